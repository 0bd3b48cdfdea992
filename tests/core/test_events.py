"""The event table: names, values, and the payload's keys in their order."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldtrack.core import events, slots
from ldtrack.core.events import Attribution
from ldtrack.core.values import Feedback, JudgeResult, TokenUsage

DATA = {"runId": "r", "configKey": "c"}
FULL = Attribution(
    "chat",
    3,
    "warm",
    model_name="gpt",
    provider_name="openai",
    model_key="key",
    model_version=0,
    graph_key="graph",
)


def test_payload_keys_are_the_official_ones_in_their_order() -> None:
    """The payload of a run that knows everything."""
    assert list(FULL.data_of("run-1").items()) == [
        ("runId", "run-1"),
        ("configKey", "chat"),
        ("version", 3),
        ("modelName", "gpt"),
        ("providerName", "openai"),
        ("variationKey", "warm"),
        ("modelKey", "key"),
        ("modelVersion", 0),
        ("graphKey", "graph"),
    ]


def test_payload_leaves_out_what_is_empty() -> None:
    """Model and provider are always sent, the others only where they say something."""
    assert list(Attribution("chat").data_of("r").items()) == [
        ("runId", "r"),
        ("configKey", "chat"),
        ("version", 1),
        ("modelName", ""),
        ("providerName", ""),
    ]


@pytest.mark.parametrize(
    ("field", "value", "key"),
    [
        ("variation_key", "warm", "variationKey"),
        ("model_key", "key", "modelKey"),
        ("model_version", 0, "modelVersion"),
        ("graph_key", "graph", "graphKey"),
    ],
)
def test_each_optional_key_comes_and_goes_alone(field: str, value: object, key: str) -> None:
    """An optional member is sent where it is known, and adds nothing else; version zero is a version."""
    with_it = attrs.evolve(Attribution("chat"), **{field: value}).data_of("r")
    assert with_it.pop(key) == value
    assert with_it == Attribution("chat").data_of("r")


def test_payloads_of_two_runs_share_nothing() -> None:
    """Changing one run's payload leaves the next one's alone."""
    FULL.data_of("one")["configKey"] = "spoilt"
    assert FULL.data_of("two")["configKey"] == "chat"


def test_an_attribution_is_a_value() -> None:
    """Equal by what it says, hashable, frozen, and readable."""
    assert Attribution("chat", 2) == Attribution("chat", 2)
    assert Attribution("chat", 2) != Attribution("chat", 3)
    assert len({Attribution("chat"), Attribution("chat")}) == 1
    assert "payload" not in repr(FULL)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        FULL.version = 4  # type: ignore[misc]  # the point


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (events.duration(DATA, 12), [("$ld:ai:duration:total", 12)]),
        (events.first_token(DATA, 0), [("$ld:ai:tokens:ttf", 0)]),
        (events.outcome(DATA, True), [("$ld:ai:generation:success", 1)]),
        (events.outcome(DATA, False), [("$ld:ai:generation:error", 1)]),
        (events.feedback(DATA, Feedback.POSITIVE), [("$ld:ai:feedback:user:positive", 1)]),
        (events.feedback(DATA, Feedback.NEGATIVE), [("$ld:ai:feedback:user:negative", 1)]),
        (
            events.tokens(DATA, TokenUsage(9, 4, 5, cached_input=2, reasoning=3)),
            [("$ld:ai:tokens:total", 9), ("$ld:ai:tokens:input", 4), ("$ld:ai:tokens:output", 5)],
        ),
        (events.tokens(DATA, TokenUsage(input=4)), [("$ld:ai:tokens:total", 4), ("$ld:ai:tokens:input", 4)]),
        (events.tokens(DATA, TokenUsage(0, 0, 5)), [("$ld:ai:tokens:output", 5)]),
        (events.tokens(DATA, TokenUsage()), []),
    ],
)
def test_name_and_value(made: tuple[Any, ...], expected: list[tuple[str, float]]) -> None:
    """Each metric has its name and its value, and carries the run's payload unchanged."""
    assert [(key, value) for key, _, value in made] == expected
    assert all(data is DATA for _, data, _ in made)


def test_a_tool_call_adds_its_key_at_the_end() -> None:
    """A tool call says which tool, on a payload of its own."""
    assert events.tool_call(DATA, "search") == (("$ld:ai:tool_call", {**DATA, "toolKey": "search"}, 1),)
    assert list(events.tool_call(DATA, "search")[0][1]) == ["runId", "configKey", "toolKey"]
    assert "toolKey" not in DATA


def judged(**changes: Any) -> JudgeResult:
    """A result with a score to record."""
    return JudgeResult(
        **{"success": True, "sampled": True, "metric_key": "m:quality", "score": 0.5, **changes}
    )


def test_a_judge_score_goes_under_the_judges_own_name() -> None:
    """The judge's metric key is the event's name, and its config key is told where there is one."""
    assert events.judge_score(DATA, judged()) == (("m:quality", DATA, 0.5),)
    named = events.judge_score(DATA, judged(judge_config_key="judge-1", score=0))
    assert named == (("m:quality", {**DATA, "judgeConfigKey": "judge-1"}, 0),)
    assert list(named[0][1]) == ["runId", "configKey", "judgeConfigKey"]
    assert "judgeConfigKey" not in DATA


def test_events_about_the_library_itself() -> None:
    """Usage events name the method and the config; the info event names the SDK."""
    assert events.usage_of_method("completion-config", "chat") == (
        "$ld:ai:usage:completion-config",
        "chat",
        1,
    )
    assert events.usage_of_agents(3) == ("$ld:ai:usage:agent-configs", 3, 3)
    key, data, value = events.sdk_info("name", "1.2")
    assert (key, value) == ("$ld:ai:sdk:info", 1)
    assert list(data.items()) == [
        ("aiSdkName", "name"),
        ("aiSdkVersion", "1.2"),
        ("aiSdkLanguage", "python"),
    ]


EXAMPLE_OF = {
    slots.DURATION: st.integers(0, 10**9),
    slots.FIRST_TOKEN: st.integers(0, 10**9),
    slots.TOKENS: st.builds(TokenUsage, input=st.integers(0, 10**6), output=st.integers(1, 10**6)),
    slots.OUTCOME: st.booleans(),
    slots.FEEDBACK: st.sampled_from(Feedback),
    slots.TOOL_CALL: st.text(min_size=1),
    slots.JUDGE_SCORE: st.floats(0, 1).map(lambda score: judged(score=score)),
}


@given(st.data())
def test_every_metric_becomes_one_to_three_events(data: st.DataObject) -> None:
    """Whatever is recorded becomes events under official names that can be sent as JSON."""
    metric = data.draw(st.sampled_from(slots.METRICS))
    made = metric.events(DATA, data.draw(EXAMPLE_OF[metric]))
    assert 1 <= len(made) <= 3
    assert len({key for key, _, _ in made}) == len(made)
    assert all(key.startswith("$ld:ai:") for key, _, _ in made) or metric is slots.JUDGE_SCORE
    assert all(payload.items() >= DATA.items() for _, payload, _ in made)
    json.dumps(made, allow_nan=False)
