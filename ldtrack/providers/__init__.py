"""The readers: one file per provider, and the registry that finds the right one for a chunk.

No provider's package is imported: chunks and answers are known by the module and name of their type, or by
their shape.
"""

from __future__ import annotations

from ldtrack.providers.anthropic import AnthropicReader
from ldtrack.providers.bedrock import BedrockReader
from ldtrack.providers.bedrock_invoke import BedrockInvokeReader
from ldtrack.providers.cohere import CohereReader
from ldtrack.providers.gemini import GeminiReader
from ldtrack.providers.huggingface import HuggingFaceReader
from ldtrack.providers.langchain import LangChainReader
from ldtrack.providers.langgraph import LangGraphReader
from ldtrack.providers.litellm import LiteLLMReader
from ldtrack.providers.mapping import MappingReader
from ldtrack.providers.mistral import MistralReader
from ldtrack.providers.ollama import OllamaReader
from ldtrack.providers.openai_agents import OpenAIAgentsReader
from ldtrack.providers.openai_chat import OpenAIChatReader
from ldtrack.providers.openai_responses import OpenAIResponsesReader
from ldtrack.providers.pydantic_ai import PydanticAIReader
from ldtrack.providers.registry import ReaderRegistry
from ldtrack.providers.text import TextReader

__all__ = [
    "AnthropicReader",
    "BedrockInvokeReader",
    "BedrockReader",
    "CohereReader",
    "GeminiReader",
    "HuggingFaceReader",
    "LangChainReader",
    "LangGraphReader",
    "LiteLLMReader",
    "MappingReader",
    "MistralReader",
    "OllamaReader",
    "OpenAIAgentsReader",
    "OpenAIChatReader",
    "OpenAIResponsesReader",
    "PydanticAIReader",
    "ReaderRegistry",
    "TextReader",
]
