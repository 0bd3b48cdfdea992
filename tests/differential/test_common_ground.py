"""Both SDKs read the same well-formed flags as the same configs, and each reads the other's tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import attrs
import ldai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from launchdarkly import Captured, client, flag_source
from ldai.tracker import LDAIConfigTracker

import ldtrack
from ldtrack.ids import new_run_id

from .sides import ADA, PREFIX, as_plain

words = st.text(st.characters(codec="utf-8", exclude_characters="{}<>&\"'"), max_size=12)
names = st.text("abcdefgh-_", min_size=1, max_size=8)
numbers = st.integers(-1000, 1000) | st.floats(-1000, 1000)
custom = st.dictionaries(
    names, words | numbers | st.booleans() | st.none() | st.lists(words, max_size=2), max_size=3
)
templates = st.lists(
    words
    | st.sampled_from(["{{who}}", "{{{who}}}", "{{ldctx.key}}", "{{#on}}on{{/on}}", "{{^on}}off{{/on}}"]),
    max_size=4,
).map("".join)
messages = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": templates}),
    min_size=1,
    max_size=3,
)
metas = st.fixed_dictionaries(
    {"enabled": st.booleans()}, optional={"variationKey": names, "version": st.integers(0, 10_000)}
)
models = st.fixed_dictionaries(
    {"name": names}, optional={"parameters": custom, "custom": custom, "region": words}
)
tools = st.dictionaries(
    names,
    st.fixed_dictionaries({}, optional={"name": names, "description": words, "parameters": custom}),
    max_size=2,
)
flags = st.fixed_dictionaries(
    {"_ldMeta": metas},
    optional={
        "model": models,
        "provider": st.fixed_dictionaries({"name": words}),
        "messages": messages,
        "instructions": templates,
        "tools": tools,
        "evaluationMetricKey": names,
    },
)
"""Flags with which nothing is wrong, and on whose reading there is no difference."""


@attrs.frozen
class Pair:
    """Both SDKs over one ``LDClient`` whose one flag changes."""

    source: Any
    captured: Captured
    official: ldai.LDAIClient
    ours: ldtrack.AIClient

    def serve(self, flag: Any) -> None:
        self.source.update(self.source.flag("flag").value_for_all(flag))
        self.forget()

    def forget(self) -> None:
        self.captured.customs.clear()
        self.captured.evaluated.clear()


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    source, captured = flag_source({}), Captured()
    with client(source, captured=captured) as ld:
        yield Pair(source, captured, ldai.LDAIClient(ld), ldtrack.AIClient(ld))


@pytest.mark.parametrize(
    "method",
    [
        "completion_config",
        "completion_config_template",
        "agent_config",
        "agent_config_template",
        "judge_config",
    ],
)
@given(flag=flags, who=words, on=st.booleans())
def test_a_well_formed_flag_is_the_same_config(
    pair: Pair, method: str, flag: dict[str, Any], who: str, on: bool
) -> None:
    """Every field, `to_dict`, and what a run of it is attributed to."""
    pair.serve(flag)
    variables = () if method.endswith("template") else (None, {"who": who, "on": on})
    expected = getattr(pair.official, method)("flag", ADA, *variables)
    config = asyncio.run(getattr(pair.ours, method)("flag", ADA, *variables))
    assert config.problems == ()
    assert as_plain(config) == as_plain(expected)

    expected.create_tracker().track_success()
    asyncio.run(config.create_tracker().track_success())
    data = [
        list(heard.data.items())[1:]
        for heard in pair.captured.customs
        if heard.key == f"{PREFIX}generation:success"
    ]
    assert data[1] == data[0]


identities = st.fixed_dictionaries(
    {
        "config_key": names,
        "variation_key": names | st.just(""),
        "version": st.integers(0, 1000),
        "graph_key": names | st.just(""),
    }
)


@given(identity=identities)
def test_each_reads_the_tokens_of_the_other(pair: Pair, identity: dict[str, Any]) -> None:
    """A run that one SDK began is the same run in the other, whichever it was."""
    run_id = new_run_id()
    began = LDAIConfigTracker(
        pair.official._client, run_id, context=ADA, model_name="gpt", provider_name="openai", **identity
    )
    ours = pair.ours.create_tracker(began.resumption_token, ADA).value
    theirs = pair.official.create_tracker(began.resumption_token, ADA).value
    theirs_through_ours = pair.official.create_tracker(ours.resumption_token, ADA).value

    pair.forget()
    asyncio.run(ours.track_success())
    theirs.track_success()
    theirs_through_ours.track_success()
    first, second, third = [list(heard.data.items()) for heard in pair.captured.customs]
    assert first == second == third
    assert first[0] == ("runId", run_id)
