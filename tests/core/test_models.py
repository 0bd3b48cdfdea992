"""The parts of an AI Config: LaunchDarkly's names and shapes, checked when made, and frozen."""

from __future__ import annotations

import copy
import enum
import pickle
import typing
from typing import Any

import ldai.models
import pytest
from immutability import holes

from ldtrack.core.models import JudgeConfiguration, LDMessage, LDTool, ModelConfig, ProviderConfig


class Role(enum.StrEnum):
    """How users spell roles."""

    SYSTEM = "system"


def one_of_each() -> list[Any]:
    """One of each part, full."""
    return [
        LDMessage("system", "Be brief."),
        ModelConfig("gpt", {"stop": ["a", {"b": 1}]}, {"owner": {"team": "x"}}, "eu"),
        ProviderConfig("openai"),
        LDTool("search", "Searches.", "function", {"type": "object", "required": ["q"]}, {"ttl": 3}),
        JudgeConfiguration([JudgeConfiguration.Judge("relevance", 0.5)]),
    ]


@pytest.mark.parametrize("part", one_of_each(), ids=lambda part: type(part).__name__)
def test_a_part_has_no_hole(part: Any) -> None:
    """Nothing in a part can be changed, by any downcast; it can be compared, hashed, pickled and copied."""
    assert holes(part) == []
    assert pickle.loads(pickle.dumps(part)) == part
    assert copy.deepcopy(part) == part
    assert part in set(one_of_each())
    assert typing.get_type_hints(type(part))


@pytest.mark.parametrize("part", one_of_each(), ids=lambda part: type(part).__name__)
def test_the_dict_of_a_part_is_fresh(part: Any) -> None:
    """Whatever is done to it, the part and the next dict stay as they are."""

    def spoil(value: Any) -> None:
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            spoil(inner)
        if isinstance(value, dict | list):
            value.clear()

    before = copy.deepcopy(part.to_dict())
    spoil(part.to_dict())
    assert part.to_dict() == before


def test_the_dicts_are_those_of_the_official_sdk() -> None:
    """The same parts, made with the official package, have the same dicts."""
    official = [
        ldai.models.LDMessage("system", "Be brief."),
        ldai.models.ModelConfig("gpt", {"stop": ["a", {"b": 1}]}, {"owner": {"team": "x"}}, "eu"),
        ldai.models.ProviderConfig("openai"),
        ldai.models.LDTool(
            "search", "Searches.", "function", {"type": "object", "required": ["q"]}, {"ttl": 3}
        ),
        ldai.models.JudgeConfiguration([ldai.models.JudgeConfiguration.Judge("relevance", 0.5)]),
    ]
    assert [part.to_dict() for part in one_of_each()] == [part.to_dict() for part in official]


def test_the_dicts_of_bare_parts_are_those_of_the_official_sdk() -> None:
    """A model says what it lacks, a tool does not."""
    assert ModelConfig("gpt").to_dict() == ldai.models.ModelConfig("gpt").to_dict()
    assert LDTool("search").to_dict() == ldai.models.LDTool("search").to_dict() == {"name": "search"}
    assert JudgeConfiguration(()).to_dict() == {"judges": []}


def test_a_changed_source_leaves_the_model_alone() -> None:
    """A model shares nothing with the dicts it was made from."""
    parameters: dict[str, Any] = {"stop": ["a"]}
    model = ModelConfig("gpt", parameters, parameters)
    parameters["stop"].append("b")
    assert model.get_parameter("stop") == ("a",)
    assert model.get_custom("stop") == ("a",)


def test_parameters_are_found_by_name() -> None:
    """A missing one is None, with or without parameters; ``name`` is the model's own."""
    model = ModelConfig("gpt", {"temperature": 0.5, "name": "other"}, {"a": 1})
    assert (model.get_parameter("temperature"), model.get_parameter("top_p")) == (0.5, None)
    assert (model.get_custom("a"), model.get_custom("b")) == (1, None)
    assert model.get_parameter("name") == "gpt"
    bare = ModelConfig("gpt")
    assert (bare.get_parameter("temperature"), bare.get_custom("a")) == (None, None)


def test_text_enums_become_plain_text() -> None:
    """A subclass of text could carry state of its own."""
    message = LDMessage(Role.SYSTEM, Role.SYSTEM)
    assert (type(message.role), type(message.content)) == (str, str)
    assert message == LDMessage("system", "system")
    assert type(ModelConfig("gpt", region=Role.SYSTEM).region) is str


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: LDMessage("", "x"), ValueError, "LDMessage.role must not be empty"),
        (
            lambda: LDMessage("user", None),
            TypeError,
            r"LDMessage.content must be a str, not None \(NoneType\)",
        ),
        (lambda: ModelConfig(""), ValueError, "ModelConfig.name must not be empty"),
        (lambda: ModelConfig(5), TypeError, r"ModelConfig.name must be a str, not 5 \(int\)"),
        (lambda: ModelConfig("m", []), TypeError, "ModelConfig.parameters must be a mapping, not list"),
        (
            lambda: ModelConfig("m", None, {"a": {1}}),
            TypeError,
            "ModelConfig.custom must hold JSON values only, not set",
        ),
        (lambda: ModelConfig("m", region=1), TypeError, r"ModelConfig.region must be a str, not 1 \(int\)"),
        (
            lambda: ProviderConfig(None),
            TypeError,
            r"ProviderConfig.name must be a str, not None \(NoneType\)",
        ),
        (lambda: LDTool(""), ValueError, "LDTool.name must not be empty"),
        (lambda: LDTool("t", parameters=[]), TypeError, "LDTool.parameters must be a mapping, not list"),
        (
            lambda: LDTool("t", custom_parameters=1),
            TypeError,
            "LDTool.custom_parameters must be a mapping, not int",
        ),
        (
            lambda: JudgeConfiguration.Judge("", 1),
            ValueError,
            "JudgeConfiguration.Judge.key must not be empty",
        ),
        (
            lambda: JudgeConfiguration.Judge("j", True),
            TypeError,
            r"JudgeConfiguration.Judge.sampling_rate must be a number, not True \(bool\)",
        ),
        (
            lambda: JudgeConfiguration.Judge("j", "1"),
            TypeError,
            r"JudgeConfiguration.Judge.sampling_rate must be a number, not '1' \(str\)",
        ),
        (
            lambda: JudgeConfiguration.Judge("j", float("nan")),
            ValueError,
            "JudgeConfiguration.Judge.sampling_rate must lie between 0 and 1, got nan",
        ),
        (
            lambda: JudgeConfiguration.Judge("j", 1.5),
            ValueError,
            "JudgeConfiguration.Judge.sampling_rate must lie between 0 and 1, got 1.5",
        ),
        (
            lambda: JudgeConfiguration([{"key": "j", "samplingRate": 1}]),
            TypeError,
            r"JudgeConfiguration.judges must hold JudgeConfiguration.Judge only, not \{.*\} \(dict\)",
        ),
    ],
)
def test_a_part_is_checked_when_it_is_made(make: Any, error: type[Exception], sentence: str) -> None:
    """A wrong type or value raises at once, with the value and the field."""
    with pytest.raises(error, match=f"^{sentence}$"):
        make()


def test_a_provider_may_be_nameless() -> None:
    """LaunchDarkly serves such providers."""
    assert ProviderConfig("").name == ""
