"""The event table: every name, value and payload key that goes to LaunchDarkly.

Rule for this file: it is the only one that writes ``$ld:ai:``, and it decides nothing; it spells.
Names and payload keys are those of LaunchDarkly's Python SDK; the order of the keys is too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from ldtrack.core.values import Feedback

if TYPE_CHECKING:
    from ldtrack.core.values import JudgeResult, TokenUsage

__all__ = ["Attribution", "Event", "GraphAttribution"]


Event: TypeAlias = tuple[str, Any, float]
"""One custom event: its key, its data, its metric value. A plain tuple, since seven are made per run.

The data is shared between events and must never be changed.
"""


_DURATION: Final = "$ld:ai:duration:total"
_FIRST_TOKEN: Final = "$ld:ai:tokens:ttf"  # noqa: S105 - an event name, not a password
_SUCCESS: Final = "$ld:ai:generation:success"
_ERROR: Final = "$ld:ai:generation:error"
_TOTAL: Final = "$ld:ai:tokens:total"
_INPUT: Final = "$ld:ai:tokens:input"
_OUTPUT: Final = "$ld:ai:tokens:output"
_POSITIVE: Final = "$ld:ai:feedback:user:positive"
_NEGATIVE: Final = "$ld:ai:feedback:user:negative"
_TOOL_CALL: Final = "$ld:ai:tool_call"
_LIKED: Final = Feedback.POSITIVE

_GRAPH_SUCCESS: Final = "$ld:ai:graph:invocation_success"
_GRAPH_FAILURE: Final = "$ld:ai:graph:invocation_failure"
_GRAPH_DURATION: Final = "$ld:ai:graph:duration:total"
_GRAPH_TOKENS: Final = "$ld:ai:graph:total_tokens"
_GRAPH_PATH: Final = "$ld:ai:graph:path"
_REDIRECT: Final = "$ld:ai:graph:redirect"
_HANDOFF_SUCCESS: Final = "$ld:ai:graph:handoff_success"
_HANDOFF_FAILURE: Final = "$ld:ai:graph:handoff_failure"

SDK_INFO: Final = "$ld:ai:sdk:info"
USAGE: Final = "$ld:ai:usage:"

Data = Mapping[str, Any]


class RunData(dict[str, Any]):
    """The payload that every event of a run carries. It is never changed, so it need be spelled only once."""

    __slots__ = ("member",)

    member: str
    """Itself as a member of an event in JSON, as soon as somebody has written it down."""


@attrs.frozen
class Attribution:
    """What a run is attributed to: the config, its variation and the model. Shared by a config's runs."""

    config_key: str
    version: int = 1
    variation_key: str = ""
    model_name: str = ""
    provider_name: str = ""
    model_key: str = ""
    model_version: int | None = None
    graph_key: str = ""
    _payload: dict[str, Any] = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        payload: dict[str, Any] = {
            "runId": "",
            "configKey": self.config_key,
            "version": self.version,
            "modelName": self.model_name,
            "providerName": self.provider_name,
        }
        if self.variation_key:
            payload["variationKey"] = self.variation_key
        if self.model_key:
            payload["modelKey"] = self.model_key
        if self.model_version is not None:
            payload["modelVersion"] = self.model_version
        if self.graph_key:
            payload["graphKey"] = self.graph_key
        object.__setattr__(self, "_payload", payload)

    def data_of(self, run_id: str) -> RunData:
        """The payload that every event of a run carries."""
        data = RunData(self._payload)
        data["runId"] = run_id
        return data


@attrs.frozen
class GraphAttribution:
    """What a graph's run is attributed to: the graph and its variation."""

    graph_key: str
    version: int = 1
    variation_key: str = ""

    def data_of(self, run_id: str) -> dict[str, Any]:
        """The payload that every event of a graph's run carries."""
        variation = {"variationKey": self.variation_key} if self.variation_key else {}
        return {"runId": run_id, **variation, "graphKey": self.graph_key, "version": self.version}


def duration(data: Data, ms: int) -> tuple[Event, ...]:
    """The event that says how long the run took."""
    return ((_DURATION, data, ms),)


def first_token(data: Data, ms: int) -> tuple[Event, ...]:
    """The event that says how long the first token took."""
    return ((_FIRST_TOKEN, data, ms),)


def outcome(data: Data, success: bool) -> tuple[Event, ...]:  # noqa: FBT001 - the value itself, not an option
    """The event that says whether the run succeeded."""
    return ((_SUCCESS if success else _ERROR, data, 1),)


def tokens(data: Data, usage: TokenUsage) -> tuple[Event, ...]:
    """The events for total, input and output, in that order, leaving out what is zero."""
    counted = ((_TOTAL, usage.total), (_INPUT, usage.input), (_OUTPUT, usage.output))
    return tuple([(key, data, count) for key, count in counted if count > 0])


def feedback(data: Data, kind: Feedback) -> tuple[Event, ...]:
    """The event that says what the user thought of the answer."""
    return ((_POSITIVE if kind is _LIKED else _NEGATIVE, data, 1),)


def tool_call(data: Data, tool_key: str) -> tuple[Event, ...]:
    """The event for one tool call."""
    return ((_TOOL_CALL, {**data, "toolKey": tool_key}, 1),)


def judge_score(data: Data, result: JudgeResult) -> tuple[Event, ...]:
    """The event for one judge's score: its name is the judge's own metric key."""
    assert result.metric_key, "the caller checked JudgeResult.is_scored"
    assert result.score is not None, "the caller checked JudgeResult.is_scored"
    if result.judge_config_key:
        data = {**data, "judgeConfigKey": result.judge_config_key}
    return ((result.metric_key, data, result.score),)


def graph_outcome(data: Data, success: bool) -> tuple[Event, ...]:  # noqa: FBT001 - the value itself, not an option
    """The event that says whether a graph's run succeeded."""
    return ((_GRAPH_SUCCESS if success else _GRAPH_FAILURE, data, 1),)


def graph_duration(data: Data, ms: int) -> tuple[Event, ...]:
    """The event that says how long a graph's run took."""
    return ((_GRAPH_DURATION, data, ms),)


def graph_tokens(data: Data, usage: TokenUsage) -> tuple[Event, ...]:
    """The event for the tokens of all nodes together."""
    return ((_GRAPH_TOKENS, data, usage.total or usage.input + usage.output),)


def graph_path(data: Data, path: tuple[str, ...]) -> tuple[Event, ...]:
    """The event that says which nodes were visited, in their order."""
    return ((_GRAPH_PATH, {**data, "path": list(path)}, 1),)


def redirect(data: Data, ends: tuple[str, str]) -> tuple[Event, ...]:
    """The event for a node that sent the work somewhere else than was planned."""
    source, target = ends
    return ((_REDIRECT, {**data, "sourceKey": source, "redirectedTarget": target}, 1),)


def handoff_success(data: Data, ends: tuple[str, str]) -> tuple[Event, ...]:
    """The event for work that one node handed to another."""
    source, target = ends
    return ((_HANDOFF_SUCCESS, {**data, "sourceKey": source, "targetKey": target}, 1),)


def handoff_failure(data: Data, ends: tuple[str, str]) -> tuple[Event, ...]:
    """The event for work that one node could not hand to another."""
    source, target = ends
    return ((_HANDOFF_FAILURE, {**data, "sourceKey": source, "targetKey": target}, 1),)


def usage_of_method(method: str, config_key: str) -> Event:
    """The event that says a method of the client was used for a config."""
    return (USAGE + method, config_key, 1)


def usage_of_agents(count: int) -> Event:
    """The event that says several agents were evaluated in one call."""
    return (USAGE + "agent-configs", count, count)


def sdk_info(name: str, version: str) -> Event:
    """The event that says which SDK is at work; one per client."""
    data = {"aiSdkName": name, "aiSdkVersion": version, "aiSdkLanguage": "python"}
    return (SDK_INFO, data, 1)
