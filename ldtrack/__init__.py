"""Records what an LLM run did, once, wherever the run ends, and brings it to LaunchDarkly.

async with AIClient(ld_client) as ai:
config = await ai.completion_config("support-chat", context)
tracker = config.create_tracker()
async with tracker.run() as run:
async for chunk in run.stream(openai_stream):
...
"""

from __future__ import annotations

from ldtrack.client import AIClient
from ldtrack.configs.types import (
    AIAgentConfig,
    AIAgentConfigDefault,
    AIAgentConfigRequest,
    AICompletionConfig,
    AICompletionConfigDefault,
    AIJudgeConfig,
    AIJudgeConfigDefault,
)
from ldtrack.core.models import JudgeConfiguration, LDMessage, LDTool, ModelConfig, ProviderConfig
from ldtrack.core.privacy import Privacy
from ldtrack.core.signing import TokenSigner
from ldtrack.core.values import (
    Ending,
    Feedback,
    JudgeResult,
    LDAIMetrics,
    MetricSummary,
    Outcome,
    TokenUsage,
)
from ldtrack.exceptions import DuplicateError, InvalidTokenError, LdtrackError, LedgerError, MisuseError
from ldtrack.ids import VERSION as __version__  # noqa: N811 - a constant there, a dunder by convention here
from ldtrack.ledgers import MemoryLedger
from ldtrack.tracking.recorder import Stats
from ldtrack.tracking.run import Run
from ldtrack.tracking.stream import TrackedStream
from ldtrack.tracking.tracker import Tracker
from ldtrack.typing import FlushResult

__all__ = [
    "AIAgentConfig",
    "AIAgentConfigDefault",
    "AIAgentConfigRequest",
    "AIClient",
    "AICompletionConfig",
    "AICompletionConfigDefault",
    "AIJudgeConfig",
    "AIJudgeConfigDefault",
    "DuplicateError",
    "Ending",
    "Feedback",
    "FlushResult",
    "InvalidTokenError",
    "JudgeConfiguration",
    "JudgeResult",
    "LDAIMetrics",
    "LDMessage",
    "LDTool",
    "LdtrackError",
    "LedgerError",
    "MemoryLedger",
    "MetricSummary",
    "MisuseError",
    "ModelConfig",
    "Outcome",
    "Privacy",
    "ProviderConfig",
    "Run",
    "Stats",
    "TokenSigner",
    "TokenUsage",
    "TrackedStream",
    "Tracker",
    "__version__",
]
