"""The two SDKs side by side, driven by one and the same scenario.

Rule for this file: it hides how the two are *called* (ours is awaited, some names differ) and nothing of what
they *do*. A scenario is one function; what it saw is an ``Observation``, which has no run ids any more and
can be compared.
"""

from __future__ import annotations

import copy
import enum
import inspect
import json
import logging
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, Self

import attrs
import ldai
import ldai.tracker
from launchdarkly import Captured, client
from ldai.providers.types import LDAIMetrics as OfficialMetrics
from ldclient import Context, Result
from sink import Inbox

import ldtrack
from ldtrack.testing import ManualClock

__all__ = ["ADA", "PREFIX", "Observation", "Side", "as_plain", "of_official", "of_ours"]

ADA = (
    Context.builder("ada")
    .name("Ada")
    .set("email", "ada@example.com")
    .set("plan", {"tier": "gold", "seats": 3})
    .private("email")
    .build()
)
"""Whom the scenarios are about, unless they say otherwise."""

PREFIX = "$ld:ai:"
LOGGERS = ("ldclient.util", "ldtrack")
"""Where the two SDKs log; the official one uses the logger of its base SDK."""


@attrs.frozen
class Observation:
    """What one SDK did in a scenario."""

    answer: Any
    """What the scenario returned, as plain data."""
    events: list[Any]
    """Key, context, data with its keys in their order, metric value and its type, of every event."""
    wire: list[Any]
    """The same events as they arrived at the sink."""

    @property
    def shown(self) -> list[str]:
        """The events in short, and the answer, for expectations that are written by hand."""
        lines = [f"{key.removeprefix(PREFIX)}={metric!r}" for key, _, _, metric, _ in self.events]
        return lines if self.answer is None else [*lines, f"-> {_compact(self.answer)}"]


def _compact(answer: Any) -> str:
    return answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)


@attrs.frozen
class Sdk:
    """What makes one of the two SDKs what it is."""

    is_ours: bool
    new_ai: Callable[[Any], Any]
    types: SimpleNamespace


class Side:
    """One of the two SDKs over a real ``LDClient``, and the names a scenario needs."""

    def __init__(
        self,
        sdk: Sdk,
        flags: Mapping[str, Any],
        inbox: Inbox,
        clock: ManualClock,
    ) -> None:
        self.is_ours = sdk.is_ours
        self.types = sdk.types
        self.clock = clock
        self.captured = Captured()
        self._inbox = inbox
        # A copy: the official SDK hands out parts of what the store holds, for anybody to change.
        self._client = client(copy.deepcopy(dict(flags)), events_uri=inbox.uri, captured=self.captured)
        self._new_ai = sdk.new_ai
        self.ai = sdk.new_ai(self._client)
        self._ignored = len(self.captured.customs)
        self._witness = LogWitness()

    def __enter__(self) -> Self:
        for name in LOGGERS:
            logging.getLogger(name).addHandler(self._witness)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(self._witness)

    @property
    def logged(self) -> list[str]:
        """What the SDK has warned of."""
        return self._witness.lines

    def from_here(self) -> None:
        """What happened so far is not what the scenario is about."""
        self._ignored = len(self.captured.customs)
        self.captured.evaluated.clear()
        self.logged.clear()

    def from_the_start(self) -> None:
        """The making of the AI client belongs to the scenario, too."""
        self._ignored = 0

    async def call(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a method of either SDK; what it raises comes back as ``"raises TypeError"``."""
        try:
            result = func(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result
        except Exception as error:  # noqa: BLE001 - whatever it raises is an answer
            return f"raises {type(error).__name__}"

    async def tracker(self, key: str = "chat", context: Context = ADA) -> Any:
        """A tracker of a new run; the scenario begins after this."""
        config = await self.call(self.ai.completion_config, key, context)
        tracker = config.create_tracker()
        self.from_here()
        return tracker

    def resume(self, token: str, context: Context = ADA) -> Any:
        """A tracker of the run that a token stands for."""
        return self.ai.create_tracker(token, context).value

    def second_ai(self) -> Any:
        """Another AI client over the same ``LDClient``: what another process would have."""
        return self._new_ai(self._client)

    async def metrics_of(self, tracker: Any, extractor: Any, func: Any) -> Any:
        """The composite over an asynchronous operation, which the official SDK has under another name."""
        of = tracker.track_metrics_of if self.is_ours else tracker.track_metrics_of_async
        return await self.call(of, extractor, func)

    def feedback(self, kind: str) -> Any:
        """Positive or negative, as the SDK itself spells it."""
        if self.is_ours:
            return ldtrack.Feedback(kind)
        return {"kind": ldai.tracker.FeedbackKind(kind)}

    def summary(self, tracker: Any) -> Any:
        """What the tracker says it has recorded."""
        return tracker.summary if self.is_ours else tracker.get_summary()

    def observed(self, answer: Any) -> Observation:
        """What was seen; to be asked once the client is closed, for then everything has arrived."""
        run_ids: dict[str, str] = {}
        events = [
            [heard.key, heard.context.to_dict(), _ordered(heard.data, run_ids), *_typed(heard.metric_value)]
            for heard in self.captured.customs[self._ignored :]
        ]
        wire = [
            [
                event["key"],
                event["context"],
                _ordered(event.get("data"), run_ids),
                *_typed(event.get("metricValue")),
            ]
            for event in self._inbox.customs[self._ignored :]
        ]
        return Observation(as_plain(answer), events, wire)


def _typed(value: Any) -> tuple[Any, str]:
    return value, type(value).__name__


def _ordered(data: Any, run_ids: dict[str, str]) -> Any:
    """Data as a list of its members, in their order, with run ids replaced by how many were before."""
    if not isinstance(data, dict):
        return data
    return [
        [key, run_ids.setdefault(value, f"run {len(run_ids) + 1}") if key == "runId" else value]
        for key, value in data.items()
    ]


def as_plain(value: Any) -> Any:
    """An answer as plain data, whichever SDK's types it is made of."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Result):
        return "success" if value.is_success() else "fail"
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, ldtrack.TokenUsage | ldai.tracker.TokenUsage):
        return [value.total, value.input, value.output]
    if hasattr(value, "create_tracker"):
        return _plain_config(value)
    if hasattr(value, "to_dict"):
        return as_plain(value.to_dict())
    if isinstance(value, Mapping):
        return [[key, as_plain(item)] for key, item in value.items()]
    return [as_plain(item) for item in value]


def _plain_config(config: Any) -> Any:
    """Every public field of a config, besides what both write as its dict."""
    names = (
        "key",
        "enabled",
        "model",
        "provider",
        "messages",
        "instructions",
        "judge_configuration",
        "tools",
        "evaluation_metric_key",
    )
    fields = [[name, as_plain(getattr(config, name))] for name in names if hasattr(config, name)]
    return [["type", type(config).__name__], *fields, ["to_dict", as_plain(config.to_dict())]]


_SHARED = (
    "AIAgentConfigDefault",
    "AIAgentConfigRequest",
    "AICompletionConfigDefault",
    "AIJudgeConfigDefault",
    "JudgeConfiguration",
    "JudgeResult",
    "LDMessage",
    "LDTool",
    "ModelConfig",
    "ProviderConfig",
)
"""The types that both packages export under one name."""

_OFFICIAL = SimpleNamespace(
    TokenUsage=ldai.tracker.TokenUsage,
    LDAIMetrics=OfficialMetrics,
    **{name: getattr(ldai, name) for name in _SHARED},
)
_OURS = SimpleNamespace(
    TokenUsage=ldtrack.TokenUsage,
    LDAIMetrics=ldtrack.LDAIMetrics,
    **{name: getattr(ldtrack, name) for name in _SHARED},
)


def of_official(flags: Mapping[str, Any], inbox: Inbox, clock: ManualClock) -> Side:
    """LaunchDarkly's own SDK."""
    return Side(Sdk(False, ldai.LDAIClient, _OFFICIAL), flags, inbox, clock)


def of_ours(flags: Mapping[str, Any], inbox: Inbox, clock: ManualClock, **options: Any) -> Side:
    """This library."""

    def new_ai(ld_client: Any) -> ldtrack.AIClient:
        return ldtrack.AIClient(ld_client, clock=clock, **options)

    return Side(Sdk(True, new_ai, _OURS), flags, inbox, clock)


class LogWitness(logging.Handler):
    """Collects what a logger says, as one line per record."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
