"""Configs and their defaults: two families, frozen, with the official dicts."""

from __future__ import annotations

import copy
import pickle
import re
import typing
from typing import Any

import attrs
import ldai.models
import pytest
from immutability import holes

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

DEFAULTS = (AICompletionConfigDefault, AIAgentConfigDefault, AIJudgeConfigDefault)
CONFIGS = (AICompletionConfig, AIAgentConfig, AIJudgeConfig)


def parts(models: Any) -> dict[str, Any]:
    """The same parts, made of that module's types."""
    judge = models.JudgeConfiguration.Judge("relevance", 0.5)
    return {
        "model": models.ModelConfig("gpt", {"stop": ["a"]}, {"team": "x"}, "eu"),
        "provider": models.ProviderConfig("openai"),
        "messages": [models.LDMessage("system", "Be {{adjective}}.")],
        "instructions": "Help {{name}}.",
        "judge_configuration": models.JudgeConfiguration([judge]),
        "tools": {"search": models.LDTool("search", "Searches.", parameters={"type": "object"})},
        "evaluation_metric_key": "relevance",
    }


def of(cls: Any, models: Any = None, **options: Any) -> Any:
    """An instance with every part that the class has."""
    names = {field.name for field in attrs.fields(globals()[cls.__name__])}
    made = parts(models or _OURS)
    return cls(**{name: part for name, part in made.items() if name in names}, **options)


class _OURS:
    JudgeConfiguration = JudgeConfiguration
    LDMessage = LDMessage
    LDTool = LDTool
    ModelConfig = ModelConfig
    ProviderConfig = ProviderConfig


def a_config(cls: Any) -> Any:
    """A full config of that class."""
    return of(cls, key="chat", enabled=True, problems=("One.",), new_tracker=object)


@pytest.mark.parametrize("cls", DEFAULTS)
def test_a_default_reads_like_the_official_one(cls: Any) -> None:
    """Full, bare and disabled, it has the official dict, and so is evaluated the same."""
    official = getattr(ldai.models, cls.__name__)
    assert of(cls, enabled=True).to_dict() == of(official, ldai.models, enabled=True).to_dict()
    assert cls().to_dict() == official().to_dict()
    assert cls.disabled() == cls(enabled=False)
    assert cls.disabled().to_dict() == official.disabled().to_dict()


def test_a_default_takes_its_parts_by_position_as_the_official_one_does() -> None:
    """Moving over is a change of import, whatever the style."""
    made = parts(_OURS)
    first = (True, made["model"], made["provider"])
    extras = (made["judge_configuration"], made["tools"])
    assert AICompletionConfigDefault(*first, made["messages"], *extras) == of(
        AICompletionConfigDefault, enabled=True
    )
    assert AIAgentConfigDefault(*first, made["instructions"], *extras) == of(
        AIAgentConfigDefault, enabled=True
    )
    assert AIJudgeConfigDefault(*first, made["messages"], "relevance") == of(
        AIJudgeConfigDefault, enabled=True
    )


def test_an_empty_list_of_messages_stays_one() -> None:
    """The official dict says null for it; ours comes back from the flag as it went in."""
    assert AICompletionConfigDefault(messages=[]).to_dict()["messages"] == []


@pytest.mark.parametrize("cls", DEFAULTS)
def test_a_default_has_no_hole(cls: Any) -> None:
    """Nothing in it can be changed; it can be compared, hashed, pickled and copied."""
    default = of(cls, enabled=True)
    assert holes(default) == []
    assert default == of(cls, enabled=True)
    assert hash(default) == hash(of(cls, enabled=True))
    assert pickle.loads(pickle.dumps(default)) == default
    assert copy.deepcopy(default) == default


@pytest.mark.parametrize("cls", CONFIGS)
def test_a_config_has_no_hole(cls: Any) -> None:
    """Nothing in it can be changed; it can be compared and hashed, whoever makes its trackers."""
    config = a_config(cls)
    assert holes(config) == []
    assert config == a_config(cls)
    assert hash(config) == hash(a_config(cls))
    assert "tracker" not in repr(config)
    assert attrs.evolve(config, new_tracker=dict) == config


@pytest.mark.parametrize("cls", CONFIGS)
def test_a_config_reads_like_its_default(cls: Any) -> None:
    """The dict of a config is the one its flag would have, in fresh parts."""
    config = a_config(cls)
    default = of(globals()[f"{cls.__name__}Default"], enabled=True)
    assert config.to_dict() == default.to_dict()
    config.to_dict()["model"]["parameters"]["stop"].clear()
    assert config.to_dict() == default.to_dict()


@pytest.mark.parametrize("cls", CONFIGS)
def test_a_bare_config_reads_like_a_bare_default(cls: Any) -> None:
    """What is missing is missing in the same way."""
    bare = cls(key="chat", enabled=False, new_tracker=object)
    assert bare.to_dict() == globals()[f"{cls.__name__}Default"]().to_dict()


def test_the_families_have_nothing_in_common() -> None:
    """A default has no tracker, a config has, and neither passes for the other."""
    for default in DEFAULTS:
        assert not hasattr(default, "create_tracker")
        for config in CONFIGS:
            shared = set(default.__mro__) & set(config.__mro__)
            assert shared == {object}
    for cls in CONFIGS:
        assert a_config(cls).create_tracker().__class__ is object


@pytest.mark.parametrize("cls", [*DEFAULTS, *CONFIGS, AIAgentConfigRequest])
def test_annotations_can_be_read_at_run_time(cls: Any) -> None:
    """Frameworks that build on them find every name."""
    assert typing.get_type_hints(cls)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        pytest.param(
            lambda: AICompletionConfigDefault(enabled="yes"),
            "AICompletionConfigDefault.enabled must be bool or None",
            id="enabled",
        ),
        pytest.param(
            lambda: AICompletionConfigDefault(model="gpt"),
            "AICompletionConfigDefault.model must be ModelConfig or None",
            id="model",
        ),
        pytest.param(
            lambda: AIAgentConfigDefault(provider={}),
            "AIAgentConfigDefault.provider must be ProviderConfig or None",
            id="provider",
        ),
        pytest.param(
            lambda: AICompletionConfigDefault(messages=[{"role": "user"}]),
            "messages must hold LDMessage only",
            id="messages",
        ),
        pytest.param(
            lambda: AIAgentConfigDefault(instructions=5),
            "AIAgentConfigDefault.instructions must be a str",
            id="instructions",
        ),
        pytest.param(
            lambda: AIJudgeConfigDefault(evaluation_metric_key=5),
            "AIJudgeConfigDefault.evaluation_metric_key must be a str",
            id="metric key",
        ),
        pytest.param(
            lambda: AIAgentConfigDefault(judge_configuration=[]),
            "AIAgentConfigDefault.judge_configuration must be JudgeConfiguration or None",
            id="judges",
        ),
        pytest.param(
            lambda: AIAgentConfigDefault(tools=[LDTool("a")]),
            "tools must be a mapping of keys to LDTool",
            id="tools",
        ),
        pytest.param(
            lambda: AIAgentConfigDefault(tools={"a": {}}),
            "tools must hold LDTool only",
            id="tool",
        ),
        pytest.param(
            lambda: AIAgentConfigDefault(tools={1: LDTool("a")}),
            "tools must have a str for every key",
            id="tool key",
        ),
        pytest.param(
            lambda: AIAgentConfigRequest(5),
            "AIAgentConfigRequest.key must be a str",
            id="request key",
        ),
        pytest.param(
            lambda: AIAgentConfigRequest("a", AIJudgeConfigDefault()),
            "AIAgentConfigRequest.default must be AIAgentConfigDefault or None",
            id="request default",
        ),
        pytest.param(
            lambda: AIAgentConfigRequest("a", None, [1]),
            "variables must be a mapping of names to values",
            id="request variables",
        ),
    ],
)
def test_what_users_make_is_checked_at_once(make: Any, sentence: str) -> None:
    """A wrong type raises where the mistake is, not when a flag happens to be missing."""
    with pytest.raises(TypeError, match=f"^{re.escape(sentence)}, not "):
        make()


def test_a_request_needs_a_key() -> None:
    """There is no agent without one."""
    with pytest.raises(ValueError, match=r"^AIAgentConfigRequest\.key must not be empty$"):
        AIAgentConfigRequest("")


def test_a_request_keeps_its_variables() -> None:
    """Names are its own, values the caller's; unhashable ones are no obstacle."""
    values: list[int] = []
    given = {"list": values}
    request = AIAgentConfigRequest("helper", AIAgentConfigDefault.disabled(), given)
    given["more"] = values
    assert request.variables == {"list": []}
    assert request.variables["list"] is values
    assert hash(request) == hash(AIAgentConfigRequest("helper", AIAgentConfigDefault(enabled=False)))
    assert AIAgentConfigRequest("helper").variables is None
