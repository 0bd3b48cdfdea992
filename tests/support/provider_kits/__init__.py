"""One kit per way to stream from a provider; a new one passes the suite when its kit is in ``KITS``.

Rule for this file: it only lists. A provider's package is imported where a kit needs it, when it is asked.
"""

from __future__ import annotations

from provider_kits.anthropic import AnthropicBetaKit, AnthropicHelperKit, AnthropicKit
from provider_kits.bedrock import BEDROCK_KITS
from provider_kits.cohere import CohereKit
from provider_kits.frameworks import FRAMEWORK_KITS
from provider_kits.gemini import GeminiKit
from provider_kits.huggingface import HuggingFaceChatKit, HuggingFaceTextKit
from provider_kits.kit import TOOLS, Kit, Line, Scene
from provider_kits.litellm import LiteLLMAnthropicKit, LiteLLMKit
from provider_kits.mistral import MistralKit
from provider_kits.ollama import OllamaKit
from provider_kits.openai import AzureKit, OpenAIChatKit, OpenAIResponsesKit

__all__ = ["KITS", "TOOLS", "Kit", "Line", "Scene"]

KITS: tuple[type[Kit], ...] = (
    OpenAIChatKit,
    AzureKit,
    OpenAIResponsesKit,
    AnthropicKit,
    AnthropicHelperKit,
    AnthropicBetaKit,
    GeminiKit,
    *BEDROCK_KITS,
    MistralKit,
    CohereKit,
    OllamaKit,
    HuggingFaceChatKit,
    HuggingFaceTextKit,
    LiteLLMKit,
    LiteLLMAnthropicKit,
    *FRAMEWORK_KITS,
)
