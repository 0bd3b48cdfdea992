"""From flags to variations: every row of the table, and nothing ever raises."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from immutability import holes

from ldtrack.core import variation as variation_module
from ldtrack.core.models import JudgeConfiguration, LDMessage, LDTool, ModelConfig, ProviderConfig
from ldtrack.core.variation import Rejected, Variation, parse_variation
from tests.strategies import (
    MODES,
    HostileMapping,
    Shade,
    Shapeless,
    containing_itself,
    flags,
    json_values,
    nearly_flags,
    nested,
    python_values,
    repeated,
)

FULL: dict[str, Any] = {
    "_ldMeta": {
        "enabled": True,
        "variationKey": "warm",
        "version": 3,
        "mode": "completion",
        "modelKey": "registry-key",
        "modelVersion": 7,
    },
    "model": {
        "name": "gpt",
        "parameters": {"temperature": 0.5, "stop": ["a"]},
        "custom": {"team": "x"},
        "region": "eu",
    },
    "provider": {"name": "openai"},
    "messages": [{"role": "system", "content": "Be {{adjective}}."}, {"role": "user", "content": ""}],
    "tools": {"search": {"description": "d", "type": "function", "parameters": {}, "customParameters": {}}},
    "judgeConfiguration": {"judges": [{"key": "relevance", "samplingRate": 1}]},
}


GONE = "This judge is left out."


def served(flag: Any, mode: str = "completion") -> Variation:
    """The variation of a flag that is not rejected."""
    parsed = parse_variation(flag, mode)
    assert isinstance(parsed, Variation), parsed
    return parsed


def refusal(flag: Any, mode: str = "completion") -> tuple[str, ...]:
    """The problems of a flag that is rejected."""
    parsed = parse_variation(flag, mode)
    assert isinstance(parsed, Rejected), parsed
    return parsed.problems


def with_meta(**members: Any) -> dict[str, Any]:
    """A flag that consists of its meta data."""
    return {"_ldMeta": members}


def test_a_full_flag_is_read_whole() -> None:
    """Every part arrives, templates untouched, without problems."""
    assert served(FULL) == Variation(
        mode="completion",
        enabled=True,
        variation_key="warm",
        version=3,
        model_key="registry-key",
        model_version=7,
        model=ModelConfig("gpt", {"temperature": 0.5, "stop": ["a"]}, {"team": "x"}, "eu"),
        provider=ProviderConfig("openai"),
        messages=(LDMessage("system", "Be {{adjective}}."), LDMessage("user", "")),
        tools=served(FULL).tools,
        judge_configuration=JudgeConfiguration([JudgeConfiguration.Judge("relevance", 1)]),
    )
    assert served(FULL).tools == {"search": LDTool("search", "d", "function", {}, {})}


def test_an_empty_flag_is_a_disabled_config() -> None:
    """Nothing is malformed about saying nothing."""
    assert served({}) == Variation(mode="completion")
    assert served({}) == Variation(mode="completion", enabled=False, version=1, variation_key="")


@pytest.mark.parametrize(
    ("flag", "sentence"),
    [
        ("text", 'The flag\'s value must be an object, not "text".'),
        (3, "The flag's value must be an object, not 3."),
        (None, "The flag's value must be an object, not null."),
        (True, "The flag's value must be an object, not true."),
        ([], "The flag's value must be an object, not an empty list."),
        ([1], "The flag's value must be an object, not a list."),
        ({"_ldMeta": None}, "_ldMeta must be an object, not null."),
        ({"_ldMeta": [1]}, "_ldMeta must be an object, not a list."),
        (with_meta(enabled="false"), '_ldMeta.enabled must be true or false, not "false".'),
        (with_meta(enabled=1), "_ldMeta.enabled must be true or false, not 1."),
        (with_meta(enabled=None), "_ldMeta.enabled must be true or false, not null."),
        (
            with_meta(version=None),
            "_ldMeta.version must be a whole number, 0 or more, of at most 64 bits, not null.",
        ),
        (
            with_meta(version="3"),
            '_ldMeta.version must be a whole number, 0 or more, of at most 64 bits, not "3".',
        ),
        (
            with_meta(version=3.9),
            "_ldMeta.version must be a whole number, 0 or more, of at most 64 bits, not 3.9.",
        ),
        (
            with_meta(version=-1),
            "_ldMeta.version must be a whole number, 0 or more, of at most 64 bits, not -1.",
        ),
        (
            with_meta(version=True),
            "_ldMeta.version must be a whole number, 0 or more, of at most 64 bits, not true.",
        ),
        (
            with_meta(version=2**63),
            f"_ldMeta.version must be a whole number, 0 or more, of at most 64 bits, not {2**63}.",
        ),
        (
            with_meta(variationKey=5),
            "_ldMeta.variationKey must be Unicode text of at most 500 characters, not 5.",
        ),
        (
            with_meta(variationKey=None),
            "_ldMeta.variationKey must be Unicode text of at most 500 characters, not null.",
        ),
        (
            with_meta(variationKey="\ud800"),
            '_ldMeta.variationKey must be Unicode text of at most 500 characters, not "?".',
        ),
        (
            with_meta(variationKey="k" * 501),
            f'_ldMeta.variationKey must be Unicode text of at most 500 characters, not "{"k" * 39}…".',
        ),
        (with_meta(mode="agent"), '_ldMeta.mode is "agent", but the config was asked for as "completion".'),
        (with_meta(mode=1), "_ldMeta.mode must be text, not 1."),
        (with_meta(mode=None), "_ldMeta.mode must be text, not null."),
        ({"model": "gpt"}, 'model must be an object, not "gpt".'),
        ({"model": {}}, "model.name is missing."),
        ({"model": {"name": ""}}, 'model.name must be text that is not empty, not "".'),
        ({"model": {"name": None}}, "model.name must be text that is not empty, not null."),
        (
            {"model": {"name": "m", "parameters": []}},
            "model.parameters must be an object, not an empty list.",
        ),
        ({"model": {"name": "m", "custom": 1.5}}, "model.custom must be an object, not 1.5."),
        ({"model": {"name": "m", "region": {}}}, "model.region must be text, not an empty object."),
        ({"provider": "openai"}, 'provider must be an object, not "openai".'),
        ({"provider": {"name": {"a": 1}}}, "provider.name must be text, not an object."),
        ({"messages": {}}, "messages must be a list, not an empty object."),
        ({"messages": [{"role": "user", "content": "a"}, "b"]}, 'messages[1] must be an object, not "b".'),
        ({"messages": [{"content": "a"}]}, "messages[0].role is missing."),
        (
            {"messages": [{"role": "", "content": "a"}]},
            'messages[0].role must be text that is not empty, not "".',
        ),
        ({"messages": [{"role": "user"}]}, "messages[0].content is missing."),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content must be text, not null."),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content must be text, not 5."),
        ({"tools": []}, "tools must be an object, not an empty list."),
        ({"judgeConfiguration": []}, "judgeConfiguration must be an object, not an empty list."),
        (
            {"judgeConfiguration": {"judges": {}}},
            "judgeConfiguration.judges must be a list, not an empty object.",
        ),
    ],
    ids=lambda value: None if isinstance(value, str) else repr(value)[:60],
)
def test_a_malformed_flag_is_rejected_with_the_reason(flag: Any, sentence: str) -> None:
    """One sentence says where, what was expected, and what is there instead."""
    assert refusal(flag) == (sentence,)


@pytest.mark.parametrize(
    ("flag", "changes"),
    [
        (with_meta(version=3.0), {"version": 3}),
        (with_meta(version=0), {"version": 0}),
        (with_meta(version=2**63 - 1), {"version": 2**63 - 1}),
        (with_meta(variationKey=""), {}),
        (with_meta(modelKey=None, modelVersion=None), {}),
        (with_meta(enabled=True, mode="completion"), {"enabled": True}),
        ({"provider": {}}, {"provider": ProviderConfig("")}),
        ({"provider": {"name": None}}, {"provider": ProviderConfig("")}),
        ({"messages": []}, {"messages": ()}),
        ({"model": None, "provider": None, "messages": None, "tools": None, "judgeConfiguration": None}, {}),
        ({"judgeConfiguration": {}}, {}),
        ({"judgeConfiguration": {"judges": None}}, {}),
        ({"judgeConfiguration": {"judges": []}}, {}),
        ({"tools": {}}, {}),
        (
            {"model": {"name": "m", "parameters": None, "custom": None, "region": None}},
            {"model": ModelConfig("m")},
        ),
        ({"instructions": 5, "evaluationMetricKey": 5, "unknown": object}, {}),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_an_unusual_flag_is_fine(flag: Any, changes: dict[str, Any]) -> None:
    """What may be left out may be null, and what is of no use to the mode may be anything that is JSON."""
    flag = {name: "nothing" if member is object else member for name, member in flag.items()}
    assert served(flag) == Variation(mode="completion", **changes)


@pytest.mark.parametrize(
    ("flag", "changes", "problems"),
    [
        (
            with_meta(modelKey=5, modelVersion="7"),
            {},
            [
                "_ldMeta.modelKey must be text, not 5.",
                '_ldMeta.modelVersion must be a whole number, 0 or more, of at most 64 bits, not "7".',
            ],
        ),
        (
            {"messages": [{"role": "developer", "content": "a"}]},
            {"messages": (LDMessage("developer", "a"),)},
            ['messages[0].role is "developer", which is none of system, user, assistant; it is kept.'],
        ),
        (
            {
                "judgeConfiguration": {
                    "judges": [{"key": "a"}, {"samplingRate": 1}, "j", {"key": "b", "samplingRate": 0}]
                }
            },
            {"judge_configuration": JudgeConfiguration([JudgeConfiguration.Judge("b", 0)])},
            [
                "judgeConfiguration.judges[0].samplingRate is missing. This judge is left out.",
                "judgeConfiguration.judges[1].key is missing. This judge is left out.",
                'judgeConfiguration.judges[2] must be an object, not "j". This judge is left out.',
            ],
        ),
        (
            {
                "judgeConfiguration": {
                    "judges": [{"key": "a", "samplingRate": 1.1}, {"key": "b", "samplingRate": True}]
                }
            },
            {},
            [
                f"judgeConfiguration.judges[0].samplingRate must be a number from 0 to 1, not 1.1. {GONE}",
                f"judgeConfiguration.judges[1].samplingRate must be a number from 0 to 1, not true. {GONE}",
            ],
        ),
        (
            {"tools": {"a": "text", "b": {"name": 5}}},
            {},
            [
                'tools["a"] must be an object, not "text". This tool is left out.',
                'tools["b"].name must be text, not 5. This tool is left out.',
            ],
        ),
        (
            {"tools": {"": {}}},
            {},
            ['tools[""].name is missing. This tool is left out.'],
        ),
    ],
    ids=["labels", "role", "judges", "rates", "tools", "nameless tool"],
)
def test_a_flaw_in_a_detail_costs_the_detail(flag: Any, changes: dict[str, Any], problems: list[str]) -> None:
    """What can be left out is left out, and said."""
    assert served(flag) == Variation(mode="completion", problems=tuple(problems), **changes)


def test_a_tool_is_left_out_for_any_flaw() -> None:
    """Half a tool is no tool; its neighbours stay."""
    tools = {
        "good": {"name": None},
        "renamed": {"name": "other"},
        "bad description": {"description": 1},
        "bad type": {"type": []},
        "bad parameters": {"parameters": "none"},
        "bad custom": {"customParameters": []},
    }
    parsed = served({"tools": tools})
    assert parsed.tools == {"good": LDTool("good"), "renamed": LDTool("other")}
    assert [problem.split(" must")[0] for problem in parsed.problems] == [
        'tools["bad description"].description',
        'tools["bad type"].type',
        'tools["bad parameters"].parameters',
        'tools["bad custom"].customParameters',
    ]


def test_tools_in_the_parameters_stand_in_for_missing_ones() -> None:
    """Nameless ones are left out, of two with one name the last one counts, and the parameters stay whole."""
    listed = [
        {"name": "a", "description": "old"},
        {"type": "function"},
        5,
        {"name": "a"},
        {"name": "b"},
        {"name": ""},
    ]
    parsed = served({"model": {"name": "m", "parameters": {"tools": listed}}})
    assert parsed.tools == {"a": LDTool("a"), "b": LDTool("b")}
    left_out = "This tool is left out of the config's tools."
    assert parsed.problems == (
        f"model.parameters.tools[1].name is missing. {left_out}",
        f"model.parameters.tools[2] must be an object, not 5. {left_out}",
        f'model.parameters.tools[5].name must be text that is not empty, not "". {left_out}',
    )
    assert parsed.model is not None
    assert parsed.model.to_dict()["parameters"] == {"tools": listed}


@pytest.mark.parametrize("tools", [None, {}], ids=["null", "empty"])
def test_tools_of_its_own_silence_those_in_the_parameters(tools: Any) -> None:
    """Whoever says that there are none is believed, as by the official SDK."""
    legacy = {"name": "m", "parameters": {"tools": [{"name": "a"}]}}
    assert served({"model": legacy, "tools": tools}).tools is None


@pytest.mark.parametrize("parameters", [{"tools": "auto"}, {"tools": {}}, {"tools": []}, {}, None])
def test_parameters_are_the_providers_business(parameters: Any) -> None:
    """What is no list of tools there is nobody's problem."""
    parsed = served({"model": {"name": "m", "parameters": parameters}})
    assert (parsed.tools, parsed.problems) == (None, ())


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_that_is_not_said_fits_every_call(mode: Any) -> None:
    """The official Python SDK never reads it, and defaults never say it."""
    assert served(with_meta(enabled=True), mode).enabled
    assert served(with_meta(mode=mode, enabled=True), mode).enabled


@pytest.mark.parametrize("asked", MODES)
@pytest.mark.parametrize("said", [*MODES, "workflow", "", "Agent"])
def test_a_mode_that_is_said_must_fit(said: str, asked: Any) -> None:
    """A flag of another mode is rejected, whatever else it says."""
    if said != asked:
        problems = refusal({**FULL, "_ldMeta": {**FULL["_ldMeta"], "mode": said}}, asked)
        assert problems == (f'_ldMeta.mode is "{said}", but the config was asked for as "{asked}".',)


def test_an_agent_has_instructions_and_no_messages() -> None:
    """An agent's messages are not even looked at."""
    parsed = served({"instructions": "Help {{name}}.", "messages": "nonsense"}, "agent")
    assert (parsed.instructions, parsed.messages) == ("Help {{name}}.", None)
    assert refusal({"instructions": ["a"]}, "agent") == ("instructions must be text, not a list.",)


@pytest.mark.parametrize(
    ("flag", "key", "problems"),
    [
        ({}, None, []),
        ({"evaluationMetricKey": "$ld:relevance"}, "$ld:relevance", []),
        ({"evaluationMetricKey": "  padded "}, "padded", []),
        ({"evaluationMetricKey": "", "evaluationMetricKeys": [" ", "b", "c"]}, "b", []),
        ({"evaluationMetricKey": None, "evaluationMetricKeys": ["b"]}, "b", []),
        ({"evaluationMetricKey": "a", "evaluationMetricKeys": 5}, "a", []),
        ({"evaluationMetricKeys": []}, None, []),
        ({"evaluationMetricKeys": None}, None, []),
        (
            {"evaluationMetricKey": 5, "evaluationMetricKeys": [None, "b"]},
            "b",
            ["evaluationMetricKey must be text, not 5.", "evaluationMetricKeys[0] must be text, not null."],
        ),
        ({"evaluationMetricKeys": "b"}, None, ['evaluationMetricKeys must be a list, not "b".']),
    ],
)
def test_a_judge_has_the_first_metric_key_that_is_not_blank(
    flag: Any, key: str | None, problems: list[str]
) -> None:
    """The key is trimmed; the old list of keys stands in for a missing one."""
    parsed = served({**flag, "tools": 5, "judgeConfiguration": 5}, "judge")
    assert (parsed.evaluation_metric_key, list(parsed.problems)) == (key, problems)
    assert (parsed.tools, parsed.judge_configuration) == (None, None)


def test_all_reasons_are_given_at_once() -> None:
    """Whoever mends the flag need not try again and again; what is malformed comes first."""
    flag = {"tools": {"a": 1}, "_ldMeta": {"enabled": "yes"}, "model": {}, "messages": [{}]}
    assert refusal(flag) == (
        '_ldMeta.enabled must be true or false, not "yes".',
        "model.name is missing.",
        "messages[0].role is missing.",
        "messages[0].content is missing.",
        'tools["a"] must be an object, not 1. This tool is left out.',
    )


def test_endless_reasons_are_cut_short() -> None:
    """Twenty sentences are enough."""
    problems = refusal({"messages": [1] * 500})
    assert len(problems) == 21
    assert problems[-1] == "There are 480 more problems of this kind."


def test_long_values_are_shown_short() -> None:
    """A sentence stays a line, whatever the flag's author wrote: text, numbers and keys."""
    problems = [
        *refusal({"model": "line\nline" * 100, "provider": 2**1000}),
        *served({"tools": {"k" * 1000: 1}}).problems,
    ]
    assert all(len(problem) < 120 for problem in problems)
    assert not any("\n" in problem for problem in problems)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"messages": float("nan")}, "it must not hold nan, which JSON cannot express"),
        ({"model": b"x"}, "it must hold JSON values only, not bytes"),
        ({"model": object()}, "it must hold JSON values only, not object"),
        ({"model": {1: 2}}, "it must have text for keys, not int"),
        ({"version": 10**5000}, "it must not hold a number of more than 1024 bits"),
        (
            {"model": {"name": "m", "custom": {"deep": nested(200)}}},
            "it must not nest deeper than 100 levels",
        ),
        (nested(100_000), "it must not nest deeper than 100 levels"),
        (containing_itself(), "it must not nest deeper than 100 levels"),
        ({"messages": repeated(60)}, "it must not hold more than 1,000,000 values"),
        ({"model": HostileMapping()}, "UnspeakableError"),
        (Shapeless(), "it must hold JSON values only, not Shapeless"),
    ],
    ids=[
        "nan",
        "bytes",
        "object",
        "key",
        "long",
        "deep",
        "very deep",
        "loop",
        "huge",
        "hostile",
        "shapeless",
    ],
)
def test_what_is_no_json_is_rejected(value: Any, reason: str) -> None:
    """Nothing that code may put in a flag's place gets further than the door."""
    assert refusal(value) == (f"The flag's value cannot be read: {reason}.",)


def test_types_that_are_more_than_json_are_read_as_json() -> None:
    """Enums in a flag made by code are text, with and without the cache."""
    assert served({"model": {"name": Shade.DARK}}).model == ModelConfig("dark")


@given(python_values, st.sampled_from(MODES))
def test_nothing_ever_raises(value: Any, mode: Any) -> None:
    """Any object whatever gives a variation or the reasons."""
    parsed = parse_variation(value, mode)
    assert isinstance(parsed, Variation) or parsed.problems


@given(st.data(), st.sampled_from(MODES))
def test_nothing_raises_for_flags_that_are_nearly_right(data: st.DataObject, mode: Any) -> None:
    """Whatever is replaced, missing or misspelt in a flag, the answer is clean."""
    flag = data.draw(nearly_flags(mode))
    parsed = parse_variation(flag, mode)
    assert isinstance(parsed, Variation) or parsed.problems
    assert holes(parsed) == []
    for problem in parsed.problems:
        problem.encode()
        assert problem.endswith(".")
        assert "\n" not in problem


@given(st.data(), st.sampled_from(MODES))
def test_nothing_raises_for_flags_with_foreign_objects_in_them(data: st.DataObject, mode: Any) -> None:
    """The same, for values that no flag store would hold."""
    parsed = parse_variation(data.draw(nearly_flags(mode, python_values)), mode)
    assert isinstance(parsed, Variation) or parsed.problems


@given(st.data(), st.sampled_from(MODES))
def test_a_right_flag_is_never_rejected(data: st.DataObject, mode: Any) -> None:
    """The control: the strategy's own flags are served, without problems."""
    flag = data.draw(flags(mode))
    parsed = served(flag, mode)
    assert parsed.problems == ()
    assert parsed.enabled is flag["_ldMeta"].get("enabled", False)
    assert holes(parsed) == []


@given(st.data(), st.sampled_from(MODES))
def test_a_changed_store_leaves_the_variation_alone(data: st.DataObject, mode: Any) -> None:
    """Whatever is done to the served value afterwards, what was parsed stays, and parsing sees the change."""
    flag = data.draw(flags(mode))
    before = served(flag, mode)
    kept = copy.deepcopy(before)
    _spoil(flag)
    assert before == kept
    assert parse_variation(flag, mode) == Variation(mode=mode)


def _spoil(value: Any) -> None:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            _spoil(inner)
        value.clear()


@given(json_values, st.sampled_from(MODES))
def test_the_cache_changes_nothing(value: Any, mode: Any) -> None:
    """With and without it the answer is the same."""
    assert parse_variation(value, mode) == variation_module._parsed(value, mode)


def test_the_same_content_is_parsed_once() -> None:
    """A store that returns the same flag again gets the same variation, but not for another mode."""
    assert parse_variation(FULL, "completion") is parse_variation(FULL, "completion")
    assert parse_variation(with_meta(), "agent") != parse_variation(with_meta(), "judge")


def test_equal_values_of_other_types_are_other_content() -> None:
    """A store whose ``True`` becomes ``1`` in place is read anew: the two are equal, one is right."""
    flag = with_meta(enabled=True, version=1)
    assert served(flag).enabled
    flag["_ldMeta"]["enabled"] = 1
    assert refusal(flag) == ("_ldMeta.enabled must be true or false, not 1.",)
    flag["_ldMeta"].update(enabled=True, version=True)
    assert isinstance(parse_variation(flag, "completion"), Rejected)


def test_huge_flags_are_not_kept() -> None:
    """What is larger than the cache's share is parsed each time, to the same end."""
    flag = {"messages": [{"role": "user", "content": "x" * 70_000}]}
    assert served(flag) == served(flag)
    assert served(flag) is not served(flag)


def test_a_flag_as_the_network_brings_it_is_read_the_same() -> None:
    """JSON text and Python literals make no difference."""
    assert served(json.loads(json.dumps(FULL))) == served(FULL)
