"""Records what an LLM run did, once, wherever the run ends, and brings it to LaunchDarkly.

    async with AIClient(ld_client) as ai:
        config = await ai.completion_config("support-chat", context)
        tracker = config.create_tracker()
        async with tracker.run() as run:
            async for chunk in run.stream(openai_stream):
                ...

Rule for this file: what is offered is imported when it is first asked for, so that an app pays for what it
uses. Type checkers see plain imports; where a name is found at run time, the table says.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ldtrack.agents.conversation import Conversation
    from ldtrack.agents.evaluator import Evaluations
    from ldtrack.agents.graph import ManagedAgentGraph, ManagedGraphStream
    from ldtrack.agents.graph_results import GraphEvaluations, ManagedGraphResult
    from ldtrack.agents.judge import Judge
    from ldtrack.agents.managed import ManagedAgent, ManagedModel
    from ldtrack.agents.policy import JudgePolicy
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
    from ldtrack.core.ended import EndedRun
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
else:
    _OFFERED = {
        "ldtrack.agents.conversation": ("Conversation",),
        "ldtrack.agents.evaluator": ("Evaluations",),
        "ldtrack.agents.graph": ("ManagedAgentGraph", "ManagedGraphStream"),
        "ldtrack.agents.graph_results": ("GraphEvaluations", "ManagedGraphResult"),
        "ldtrack.agents.judge": ("Judge",),
        "ldtrack.agents.managed": ("ManagedAgent", "ManagedModel"),
        "ldtrack.agents.policy": ("JudgePolicy",),
        "ldtrack.agents.results": ("ManagedResult",),
        "ldtrack.agents.streams": ("ManagedStream",),
        "ldtrack.client": ("AIClient",),
        "ldtrack.configs.graphs": ("AgentGraphDefinition", "AgentGraphNode", "Edge"),
        "ldtrack.configs.types": (
            "AIAgentConfig",
            "AIAgentConfigDefault",
            "AIAgentConfigRequest",
            "AICompletionConfig",
            "AICompletionConfigDefault",
            "AIJudgeConfig",
            "AIJudgeConfigDefault",
        ),
        "ldtrack.core.ended": ("EndedRun",),
        "ldtrack.core.graph_metrics": ("AIGraphMetrics", "GraphMetricSummary"),
        "ldtrack.core.models": ("JudgeConfiguration", "LDMessage", "LDTool", "ModelConfig", "ProviderConfig"),
        "ldtrack.core.privacy": ("Privacy",),
        "ldtrack.core.signing": ("TokenSigner",),
        "ldtrack.core.values": (
            "Ending",
            "Feedback",
            "JudgeResult",
            "LDAIMetrics",
            "MetricSummary",
            "Outcome",
            "TokenUsage",
        ),
        "ldtrack.exceptions": (
            "CutShortError",
            "DuplicateError",
            "InvalidTokenError",
            "LdtrackError",
            "LedgerError",
            "MisuseError",
            "NoRunnerError",
            "RoundLimitError",
        ),
        "ldtrack.ledgers": ("MemoryLedger",),
        "ldtrack.running": ("RunnerResult",),
        "ldtrack.running_graphs": ("AgentGraphRunnerResult", "NodeAnswer", "NodeText"),
        "ldtrack.tracking.graph_run": ("GraphRun",),
        "ldtrack.tracking.graph_tracker": ("GraphTracker",),
        "ldtrack.tracking.node_run": ("NodeRun",),
        "ldtrack.tracking.recorder": ("Stats",),
        "ldtrack.tracking.run": ("Run",),
        "ldtrack.tracking.stream": ("TrackedStream",),
        "ldtrack.tracking.threaded": ("in_thread",),
        "ldtrack.tracking.tracker": ("Tracker",),
        "ldtrack.typing": ("FlushResult",),
        "ldtrack": (
            "delivery",
            "exceptions",
            "ledgers",
            "providers",
            "running",
            "running_graphs",
            "testing",
            "typing",
        ),
    }
    _HOMES = {name: module for module, names in _OFFERED.items() for name in names}

    def __getattr__(name: str) -> object:
        """What is offered under this name, imported now, and from then on a plain attribute."""
        if name == "__version__":
            found = importlib.import_module("ldtrack.ids").VERSION
        elif name not in _HOMES:
            raise AttributeError(f"module 'ldtrack' has no attribute {name!r}")
        elif _HOMES[name] == "ldtrack":
            found = importlib.import_module(f"ldtrack.{name}")
        else:
            found = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        """All that is offered, imported or not."""
        return sorted({*globals(), *_HOMES, "__version__"})


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
    "EndedRun",
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
