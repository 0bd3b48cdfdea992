"""From what a flag serves to the config a user gets: served, missing, malformed, and partly served."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from immutability import holes
from ldclient import Context
from stage import Stage

from ldtrack.configs.evaluate import evaluate_agent, evaluate_completion, evaluate_judge
from ldtrack.configs.types import AIAgentConfigDefault, AICompletionConfigDefault, AIJudgeConfigDefault
from ldtrack.core.events import Attribution
from ldtrack.core.models import JudgeConfiguration, LDMessage, LDTool, ModelConfig, ProviderConfig
from ldtrack.core.rendering import Interpolation
from ldtrack.core.variation import Rejected, parse_variation
from ldtrack.tracking.tracker import Tracker
from tests.strategies import any_text, flags, json_objects, nearly_flags, nested, python_values

EVALUATE: dict[str, Callable[..., Any]] = {
    "completion": evaluate_completion,
    "agent": evaluate_agent,
    "judge": evaluate_judge,
}
DEFAULT: dict[str, Any] = {
    "completion": AICompletionConfigDefault,
    "agent": AIAgentConfigDefault,
    "judge": AIJudgeConfigDefault,
}
ADA = Interpolation(variables={"who": "Ada"})
MODEL, PROVIDER = ModelConfig("fallback-model"), ProviderConfig("fallback-provider")
DEFAULT_IS_USED = "So the caller's default is used."


class Trackers:
    """Makes real trackers, and knows what for."""

    def __init__(self) -> None:
        self.recorder = Stage().recorder
        self.made: list[Attribution] = []

    def __call__(self, attribution: Attribution) -> Tracker:
        self.made.append(attribution)
        return Tracker(self.recorder, attribution, Context.create("ada"))


def no_tracker(attribution: Attribution) -> Tracker:
    """For configs that are never run."""
    raise AssertionError(attribution)


def evaluated(mode: str, served: Any, default: Any = None, interpolation: Interpolation | None = ADA) -> Any:
    """The config of that mode."""
    default = DEFAULT[mode].disabled() if default is None else default
    return EVALUATE[mode]("chat", served, default, interpolation, no_tracker)


def attribution(mode: str, served: Any, default: Any = None) -> Attribution:
    """What a run of that config is attributed to."""
    trackers = Trackers()
    config = EVALUATE[mode]("chat", served, default or DEFAULT[mode](), ADA, trackers)
    config.create_tracker()
    return trackers.made[0]


META = {"enabled": True, "variationKey": "warm", "version": 3, "modelKey": "registered", "modelVersion": 7}
SERVED: dict[str, Any] = {
    "_ldMeta": META,
    "model": {"name": "gpt"},
    "provider": {"name": "openai"},
    "messages": [{"role": "system", "content": "Help {{who}}."}],
    "instructions": "Help {{who}}.",
    "tools": {"search": {}},
    "judgeConfiguration": {"judges": [{"key": "relevance", "samplingRate": 1}]},
    "evaluationMetricKey": "relevance",
}
FULL_DEFAULT = {
    "completion": AICompletionConfigDefault(True, MODEL, PROVIDER, [LDMessage("user", "Hello {{who}}")]),
    "agent": AIAgentConfigDefault(True, MODEL, PROVIDER, "Hello {{who}}"),
    "judge": AIJudgeConfigDefault(True, MODEL, PROVIDER, [LDMessage("user", "Hello {{who}}")], "fallback"),
}


@pytest.mark.parametrize("mode", EVALUATE)
def test_a_served_config_has_what_was_served(mode: str) -> None:
    """Rendered, without problems, with what its mode has."""
    config = evaluated(mode, SERVED)
    assert (config.key, config.enabled, config.problems) == ("chat", True, ())
    assert (config.model, config.provider) == (ModelConfig("gpt"), ProviderConfig("openai"))
    if mode == "agent":
        assert config.instructions == "Help Ada."
    else:
        assert config.messages == (LDMessage("system", "Help Ada."),)
    if mode == "judge":
        assert config.evaluation_metric_key == "relevance"
    else:
        assert config.tools == {"search": LDTool("search")}
        assert config.judge_configuration == JudgeConfiguration([JudgeConfiguration.Judge("relevance", 1)])


@pytest.mark.parametrize("mode", EVALUATE)
def test_a_template_is_not_rendered(mode: str) -> None:
    """Without an interpolation the texts are those of the flag."""
    config = evaluated(mode, SERVED, interpolation=None)
    text = config.instructions if mode == "agent" else config.messages[0].content
    assert text == "Help {{who}}."


@pytest.mark.parametrize("mode", EVALUATE)
def test_runs_are_attributed_to_what_was_served(mode: str) -> None:
    """Everything that events say of a config comes from its flag."""
    assert attribution(mode, SERVED) == Attribution("chat", 3, "warm", "gpt", "openai", "registered", 7)
    assert attribution(mode, {}) == Attribution("chat")


@pytest.mark.parametrize("mode", EVALUATE)
@pytest.mark.parametrize(
    "served",
    [
        "text",
        3,
        None,
        [],
        {"_ldMeta": None},
        {"_ldMeta": {"enabled": "true"}},
        {"_ldMeta": {"mode": "?"}},
        {"model": {}},
    ],
    ids=repr,
)
def test_a_malformed_flag_gives_the_default(mode: str, served: Any) -> None:
    """Its values, rendered; the reasons; and the attribution of a missing flag."""
    default = FULL_DEFAULT[mode]
    config = evaluated(mode, served, default)
    missing = evaluated(mode, default.to_dict(), default)
    assert config.problems[-1] == DEFAULT_IS_USED
    assert len(config.problems) == 2
    assert missing.problems == ()
    assert attrs.evolve(config, problems=()) == missing
    assert attribution(mode, served, default) == attribution(mode, default.to_dict(), default)
    assert attribution(mode, served, default) == Attribution(
        "chat", 1, "", "fallback-model", "fallback-provider"
    )


@pytest.mark.parametrize("mode", EVALUATE)
def test_a_default_is_rendered(mode: str) -> None:
    """Missing or malformed, the default's texts are templates like the flag's."""
    for served in (FULL_DEFAULT[mode].to_dict(), "malformed"):
        config = evaluated(mode, served, FULL_DEFAULT[mode])
        assert (config.instructions if mode == "agent" else config.messages[0].content) == "Hello Ada"


@pytest.mark.parametrize("mode", EVALUATE)
@pytest.mark.parametrize("served", [{}, None, SERVED], ids=["disabled", "malformed", "enabled"])
async def test_a_tracker_always_works(mode: str, served: Any) -> None:
    """Enabled or not, each call makes another run."""
    config = EVALUATE[mode]("chat", served, DEFAULT[mode].disabled(), ADA, Trackers())
    one, other = config.create_tracker(), config.create_tracker()
    assert one.run_id != other.run_id
    assert await one.track_success()
    assert await other.track_error()
    assert one.summary.success is True


def test_judges_and_tools_that_are_none_are_none() -> None:
    """A completion without judges has none, an agent has an empty list of them."""
    for served in ({}, {"judgeConfiguration": {"judges": []}, "tools": {}}, "malformed"):
        empty = JudgeConfiguration(())
        completion = evaluated(
            "completion", served, AICompletionConfigDefault(judge_configuration=empty, tools={})
        )
        agent = evaluated("agent", served, AIAgentConfigDefault(judge_configuration=empty, tools={}))
        assert (completion.judge_configuration, completion.tools) == (None, None)
        assert (agent.judge_configuration, agent.tools) == (empty, None)


def test_problems_of_the_flag_come_before_those_of_its_templates() -> None:
    """Everything that is wrong is said, in the order in which it was found."""
    served = {
        "_ldMeta": {"modelKey": 5},
        "messages": [{"role": "user", "content": "{{#open}}"}],
    }
    config = evaluated("completion", served, interpolation=Interpolation(variables={"ldctx": 1}))
    assert [problem.split(" ")[0] for problem in config.problems] == [
        "_ldMeta.modelKey",
        "The",
        "messages[0].content",
    ]


def test_an_agent_gets_what_it_was_served_without() -> None:
    """Instructions, model and provider come from the default, rendered and attributed."""
    default = FULL_DEFAULT["agent"]
    config = evaluated("agent", {"_ldMeta": META, "tools": {"search": {}}}, default)
    assert (config.model, config.provider, config.instructions) == (MODEL, PROVIDER, "Hello Ada")
    assert config.tools == {"search": LDTool("search")}
    assert attribution("agent", {"_ldMeta": META}, default) == Attribution(
        "chat", 3, "warm", "fallback-model", "fallback-provider"
    )


def test_an_agent_keeps_what_it_was_served_with() -> None:
    """Part by part; empty instructions are instructions, a served model keeps its registered key."""
    default = FULL_DEFAULT["agent"]
    served = {"_ldMeta": META, "model": {"name": "gpt"}, "instructions": ""}
    config = evaluated("agent", served, default)
    assert (config.model, config.provider, config.instructions) == (ModelConfig("gpt"), PROVIDER, "")
    assert attribution("agent", served, default) == Attribution(
        "chat", 3, "warm", "gpt", "fallback-provider", "registered", 7
    )


def test_an_agent_without_a_default_keeps_its_labels() -> None:
    """Where nobody has a model, the flag's word for it stands."""
    config = evaluated("agent", {"_ldMeta": META})
    assert (config.model, config.provider, config.instructions) == (None, None, None)
    assert attribution("agent", {"_ldMeta": META}) == Attribution("chat", 3, "warm", "", "", "registered", 7)


@pytest.mark.parametrize("mode", ["completion", "judge"])
def test_only_agents_are_completed(mode: str) -> None:
    """A completion or judge that is served in part is in part what it is."""
    config = evaluated(mode, {"_ldMeta": META}, FULL_DEFAULT[mode])
    assert (config.model, config.provider, config.messages) == (None, None, None)


def test_a_judge_drops_messages_that_show_what_is_judged() -> None:
    """Rendered ones only: a template keeps everything, and system messages always stay."""
    served = {
        "messages": [
            {"role": "system", "content": "{{message_history}}"},
            {"role": "user", "content": "{{message_history}}"},
            {"role": "user", "content": "{{ response_to_evaluate }}"},
            {"role": "user", "content": "Be fair, {{who}}."},
        ]
    }
    contents = ["{{message_history}}", "Be fair, Ada."]
    assert [message.content for message in evaluated("judge", served).messages] == contents
    templates = evaluated("judge", served, interpolation=None).messages
    assert [message.to_dict() for message in templates] == served["messages"]


def test_a_default_that_is_too_deep_for_a_flag_is_still_used() -> None:
    """A default never gets in its own way: what cannot be read back is taken as it was given."""
    default = AICompletionConfigDefault(True, ModelConfig("m", custom={"deep": nested(98)}))
    assert isinstance(parse_variation(default.to_dict(), "completion"), Rejected)
    config = evaluated("completion", default.to_dict(), default)
    assert config.model == default.model
    assert config.problems[-1] == DEFAULT_IS_USED


@given(st.data(), st.sampled_from(sorted(EVALUATE)))
def test_nothing_ever_raises(data: st.DataObject, mode: str) -> None:
    """Whatever is served, there is a config without a hole, and reasons for every default."""
    served = data.draw(python_values | nearly_flags(mode, python_values))
    config = evaluated(mode, served, FULL_DEFAULT[mode])
    assert holes(config) == []
    assert (DEFAULT_IS_USED in config.problems) == isinstance(parse_variation(served, mode), Rejected)


@given(st.data(), st.sampled_from(sorted(EVALUATE)))
def test_a_changed_store_leaves_the_config_alone(data: st.DataObject, mode: str) -> None:
    """A config shares nothing with the flag that it came from."""
    served = data.draw(flags(mode))
    config = evaluated(mode, served)
    before = copy.deepcopy(config.to_dict())
    for part in served.values():
        if isinstance(part, dict | list):
            part.clear()
    served.clear()
    assert config.to_dict() == before


_models = st.builds(ModelConfig, st.text(min_size=1), st.none() | json_objects, st.none() | json_objects)
_judges = st.builds(JudgeConfiguration.Judge, st.text(min_size=1), st.floats(0, 1))
_tools = st.builds(LDTool, st.text(min_size=1), st.none() | any_text, parameters=st.none() | json_objects)
_extras = {
    "judge_configuration": st.none() | st.builds(JudgeConfiguration, st.lists(_judges, max_size=2)),
    "tools": st.none() | st.dictionaries(any_text, _tools, max_size=2),
}
_messages = st.none() | st.lists(
    st.builds(LDMessage, st.sampled_from(["system", "user", "assistant"]), any_text), max_size=3
)
_parts: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "completion": {"messages": _messages, **_extras},
    "agent": {"instructions": st.none() | any_text, **_extras},
    "judge": {"messages": _messages, "evaluation_metric_key": st.none() | any_text},
}


@given(st.data(), st.sampled_from(sorted(EVALUATE)))
def test_a_missing_flag_and_a_malformed_one_are_the_same(data: st.DataObject, mode: str) -> None:
    """Whatever the default: read back from its dict or taken as it is, it makes the same config."""
    default = data.draw(
        st.builds(
            DEFAULT[mode],
            enabled=st.none() | st.booleans(),
            model=st.none() | _models,
            provider=st.none() | st.builds(ProviderConfig, any_text),
            **_parts[mode],
        )
    )
    missing = evaluated(mode, default.to_dict(), default)
    malformed = evaluated(mode, "malformed", default)
    same = ("enabled", "model", "provider", *_parts[mode])
    assert [getattr(missing, name) for name in same] == [getattr(malformed, name) for name in same]
    assert attribution(mode, default.to_dict(), default) == attribution(mode, "malformed", default)
