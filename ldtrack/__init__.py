"""Records what an LLM run did, once, wherever the run ends, and brings it to LaunchDarkly.

async with AIClient(ld_client) as ai:
config = await ai.completion_config("support-chat", context)
tracker = config.create_tracker()
async with tracker.run() as run:
async for chunk in run.stream(openai_stream):
...
"""

from __future__ import annotations

from ldtrack.agents.conversation import Conversation
from ldtrack.agents.evaluator import Evaluations, JudgePolicy
from ldtrack.agents.graph import ManagedAgentGraph, ManagedGraphStream
from ldtrack.agents.graph_results import GraphEvaluations, ManagedGraphResult
from ldtrack.agents.judge import Judge
from ldtrack.agents.managed import ManagedAgent, ManagedModel
from ldtrack.agents.results import ManagedResult
from ldtrack.agents.streams import ManagedStream
from ldtrack.client import AIClient
from ldtrack.configs.graphs import AgentGraphDefinition, AgentGraphNode, Edge
from ldtrack.configs.types import (
    AIAgentConfig,
    AIAgentConfigDefault,
    AIAgentConfigRequest,
    AICompletionConfig,
    AICompletionConfigDefault,
    AIJudgeConfig,
    AIJudgeConfigDefault,
)
from ldtrack.core.graph_metrics import AIGraphMetrics, GraphMetricSummary
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
from ldtrack.exceptions import (
    CutShortError,
    DuplicateError,
    InvalidTokenError,
    LdtrackError,
    LedgerError,
    MisuseError,
    NoRunnerError,
    RoundLimitError,
)
from ldtrack.ids import VERSION as __version__  # noqa: N811 - a constant there, a dunder by convention here
from ldtrack.ledgers import MemoryLedger
from ldtrack.running import RunnerResult
from ldtrack.running_graphs import AgentGraphRunnerResult, NodeAnswer, NodeText
from ldtrack.tracking.graph_run import GraphRun
from ldtrack.tracking.graph_tracker import GraphTracker
from ldtrack.tracking.node_run import NodeRun
from ldtrack.tracking.recorder import Stats
from ldtrack.tracking.run import Run
from ldtrack.tracking.stream import TrackedStream
from ldtrack.tracking.threaded import in_thread
from ldtrack.tracking.tracker import Tracker
from ldtrack.typing import FlushResult

__all__ = [
    "AIAgentConfig",
    "AIAgentConfigDefault",
    "AIAgentConfigRequest",
    "AIClient",
    "AICompletionConfig",
    "AICompletionConfigDefault",
    "AIGraphMetrics",
    "AIJudgeConfig",
    "AIJudgeConfigDefault",
    "AgentGraphDefinition",
    "AgentGraphNode",
    "AgentGraphRunnerResult",
    "Conversation",
    "CutShortError",
    "DuplicateError",
    "Edge",
    "Ending",
    "Evaluations",
    "Feedback",
    "FlushResult",
    "GraphEvaluations",
    "GraphMetricSummary",
    "GraphRun",
    "GraphTracker",
    "InvalidTokenError",
    "Judge",
    "JudgeConfiguration",
    "JudgePolicy",
    "JudgeResult",
    "LDAIMetrics",
    "LDMessage",
    "LDTool",
    "LdtrackError",
    "LedgerError",
    "ManagedAgent",
    "ManagedAgentGraph",
    "ManagedGraphResult",
    "ManagedGraphStream",
    "ManagedModel",
    "ManagedResult",
    "ManagedStream",
    "MemoryLedger",
    "MetricSummary",
    "MisuseError",
    "ModelConfig",
    "NoRunnerError",
    "NodeAnswer",
    "NodeRun",
    "NodeText",
    "Outcome",
    "Privacy",
    "ProviderConfig",
    "RoundLimitError",
    "Run",
    "RunnerResult",
    "Stats",
    "TokenSigner",
    "TokenUsage",
    "TrackedStream",
    "Tracker",
    "__version__",
    "in_thread",
]
