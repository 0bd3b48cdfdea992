"""The judge of the crash test finds out what it is there for, and nothing else."""

from __future__ import annotations

import gzip
import json

import pytest
from crashtest.journal import Entry, Journal, entries_in, line_of, tokens_in
from crashtest.judge import Post, judge

RUN = "run-1"
TOKENS = {"tokens:total": 8, "tokens:input": 1, "tokens:output": 7}


def event(name, value=1, run_id=RUN):
    key, _, tool = name.partition(" ")
    return {"key": f"$ld:ai:{key}", "metricValue": value, "data": {"runId": run_id, "toolKey": tool}}


def post(payload_id, *events, is_accepted=True, compress=False):
    body = json.dumps(events).encode()
    return Post(payload_id, gzip.compress(body) if compress else body, is_accepted)


def tried(events, *said):
    return [Entry("tried", RUN, events), *(Entry(word, RUN, events) for word in said)]


SUCCESS = tried({"generation:success": 1}, "kept")
USED = tried(TOKENS, "kept")
USED_EVENTS = [event(name, value) for name, value in TOKENS.items()]


@pytest.mark.parametrize(
    ("entries", "posts"),
    [
        pytest.param([], [], id="nothing at all"),
        pytest.param(SUCCESS, [post("a", event("generation:success"))], id="acknowledged and arrived"),
        pytest.param(
            SUCCESS,
            [post("a", event("generation:success")), post("a", event("generation:success"))],
            id="a repeat under its payload id",
        ),
        pytest.param(
            SUCCESS,
            [
                post("a", event("generation:success"), is_accepted=False, compress=True),
                post("a", event("generation:success")),
            ],
            id="refused first, and in another envelope",
        ),
        pytest.param(
            tried({"generation:success": 1}),
            [post("a", event("generation:success"))],
            id="arrived though nobody lived to be told",
        ),
        pytest.param(tried({"generation:success": 1}, "failed"), [], id="not recorded, as was said"),
        pytest.param(USED, [post("a", *USED_EVENTS)], id="several events of one claim"),
        pytest.param(
            [*tried({"duration:total": 5}, "kept"), *tried({"duration:total": 6}, "taken")],
            [post("a", event("duration:total", 5))],
            id="one winner, one told so",
        ),
        pytest.param(
            [*tried({"duration:total": None}, "held"), *tried({"duration:total": 6}, "kept")],
            [post("a", event("duration:total", 6))],
            id="a run's exit that came second",
        ),
        pytest.param(
            tried({"tool_call a": 1, "tool_call b": 1}, "kept"),
            [post("a", event("tool_call b"), event("tool_call a"))],
            id="two tools",
        ),
    ],
)
def test_kept_promises_pass(entries, posts) -> None:
    """Nothing is found where nothing is wrong."""
    assert judge(entries, posts).complaints == []


@pytest.mark.parametrize(
    ("found", "entries", "posts"),
    [
        pytest.param("lost", SUCCESS, [], id="acknowledged, never arrived"),
        pytest.param(
            "lost", SUCCESS, [post("a", event("generation:success"), is_accepted=False)], id="never accepted"
        ),
        pytest.param("lost", tried({"duration:total": None}, "held"), [], id="a run's exit returned"),
        pytest.param("lost", tried({"duration:total": 1}, "taken"), [], id="refused for nobody's sake"),
        pytest.param("lost", USED, [post("a", *USED_EVENTS[:2])], id="a claim torn apart"),
        pytest.param(
            "lost",
            [*tried({"duration:total": 5}, "kept"), *tried({"duration:total": 6})],
            [post("a", event("duration:total", 6))],
            id="another claim than the acknowledged one",
        ),
        pytest.param(
            "doubled",
            SUCCESS,
            [post("a", event("generation:success")), post("b", event("generation:success"))],
            id="two payload ids",
        ),
        pytest.param(
            "doubled",
            SUCCESS,
            [post("a", event("generation:success"), event("generation:success"))],
            id="twice in one payload",
        ),
        pytest.param(
            "doubled",
            [*SUCCESS, *tried({"generation:error": 1})],
            [post("a", event("generation:success")), post("b", event("generation:error"))],
            id="two outcomes",
        ),
        pytest.param(
            "doubled",
            [*tried({"duration:total": 5}, "kept"), *tried({"duration:total": 6}, "kept")],
            [post("a", event("duration:total", 5))],
            id="two winners",
        ),
        pytest.param("strange", [], [post("a", event("generation:success"))], id="never tried"),
        pytest.param(
            "strange",
            tried({"duration:total": 5}),
            [post("a", event("duration:total", 6))],
            id="another value",
        ),
        pytest.param(
            "strange",
            tried({"tool_call a": 1}),
            [post("a", event("tool_call a", run_id="run-2"))],
            id="another run",
        ),
        pytest.param(
            "changed",
            [*SUCCESS, *USED],
            [post("a", event("generation:success"), is_accepted=False), post("a", *USED_EVENTS)],
            id="another body under one payload id",
        ),
    ],
)
def test_broken_promises_are_found(found, entries, posts) -> None:
    """Negative control: each kind of broken promise is found, and called by its name."""
    assert getattr(judge(entries, posts), found)


def test_what_was_being_written_down_when_the_writer_died_does_not_count(tmp_path) -> None:
    """A line that was not finished was followed by nothing, so nothing was acknowledged."""
    journal = Journal(tmp_path / "1")
    journal.note("tried", RUN, {"duration:total": 5})
    with (tmp_path / "1").open("a") as file:
        file.write('["kept", "run-1", {"dura')

    assert list(entries_in(tmp_path)) == [Entry("tried", RUN, {"duration:total": 5})]


def test_a_token_that_was_being_left_when_the_writer_died_is_nobodys() -> None:
    """Nor does it spoil the next one in the file, and what a piece begins or ends with is left out."""
    whole, cut = line_of("whole"), line_of("half-of-it")[:5]

    assert tokens_in(whole + cut + whole + line_of("last")) == ["whole", "whole", "last"]
    assert tokens_in(whole[3:] + whole + line_of("last")[:-1]) == ["whole"]
