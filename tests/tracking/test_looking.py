"""What is taken from the chunks as they pass: first token, usage, tool calls, and how the stream ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from fake_provider import CHUNK_MS, Chunk
from stage import FakeReader, Stage

from ldtrack.core.reading import Reading, ToolCall, UsageReport, Wants
from ldtrack.core.values import Ending, Outcome, TokenUsage

ROLE = ""
"""A chunk without text: a preamble."""


def playing(scene: Any, failures: dict[str, int] | None = None, **options: Any) -> Stage:
    """Play a scene; nothing may go wrong unseen but these failures, each logged once."""
    stage = Stage(**options)
    stage.play(scene)
    assert dict(stage.recorder.failures) == (failures or {})
    logged = [problem for problem in stage.problems if "ldtrack could not record something" in problem]
    assert len(logged) == len(failures or {})
    stage.problems = [problem for problem in stage.problems if problem not in logged]
    stage.recorder.failures.clear()
    stage.assert_clean()
    return stage


def read_all(*chunks: Any, close_after: int | None = None, **options: Any) -> Callable[[Stage], Any]:
    """A scene in which these chunks are read, all of them or so many."""

    async def scene(stage: Stage) -> None:
        provider = stage.new_provider(chunks=chunks)
        async with stage.tracker.stream(provider.generator(), **options) as stream:
            at = 0
            async for chunk in stream:
                assert chunk is provider.chunks[at]
                at += 1
                if at == close_after:
                    break

    return scene


# The first token


def test_a_preamble_is_no_first_token() -> None:
    """What no peer does: the first chunk with content is the first token, not the first chunk."""
    stage = playing(read_all(Chunk(ROLE), Chunk(ROLE), Chunk("a"), Chunk("b")))
    assert stage.tracker.summary.time_to_first_token == 3 * CHUNK_MS


def test_a_tool_call_is_a_first_token() -> None:
    """It is something the user waits for."""
    stage = playing(read_all(Chunk(ROLE), Chunk(tools=("search",)), Chunk("b")))
    assert stage.tracker.summary.time_to_first_token == 2 * CHUNK_MS


def test_a_stream_without_content_has_no_first_token() -> None:
    """Only a preamble came, and the end."""
    stage = playing(read_all(Chunk(ROLE), Chunk(ROLE, finish=True)))
    assert stage.events == [("duration:total", 20), ("generation:success", 1)]


def test_an_empty_stream() -> None:
    """No chunk at all: a duration and an outcome."""

    async def scene(stage: Stage) -> None:
        source = stage.new_provider(chunks=(1,)).generator()
        stage.provider.chunks = ()
        assert [chunk async for chunk in stage.tracker.stream(source)] == []

    assert playing(scene).events == [("duration:total", 0), ("generation:success", 1)]


def test_chunks_that_nobody_knows_are_timed() -> None:
    """No usage, no tool calls, no error: the first one counts as the first token."""
    stage = playing(read_all(object(), {"x": 1}, b"y"))
    assert stage.events == [("duration:total", 30), ("tokens:ttf", 10), ("generation:success", 1)]
    assert stage.reader.seen == []


def test_after_the_first_token_nobody_looks_at_chunks_that_nobody_knows() -> None:
    """They pass at the provider's own speed."""

    async def scene(stage: Stage) -> None:
        stream = stage.tracker.stream(stage.new_provider(chunks=(1, 2, 3)).generator())
        await anext(stream)
        assert stream._chunks._skim is None
        await stream.aclose()

    playing(scene)


def test_a_reader_that_was_let_go_of_meanwhile_is_asked_no_more() -> None:
    """It raised when it was shown what a method of the stream's had read past us, say."""

    async def scene(stage: Stage) -> None:
        provider = stage.new_provider(chunks=(Chunk("a"), Chunk("b"), Chunk("c")))
        async with stage.tracker.stream(provider.generator()) as stream:
            await anext(stream)
            stream._chunks.call.reader = None
            await anext(stream)
            assert stream._chunks._skim is None
            await anext(stream)
        assert stage.reader.seen == ["a"]

    playing(scene)


class SkimmingReader(FakeReader):
    """Tells plain chunks at a glance; a glance at a chunk named so fails."""

    @staticmethod
    def is_plain(item: Any) -> bool:
        if item.text == "odd":
            raise AttributeError("of another shape")
        return item.text == "plain"


def test_a_reader_made_of_another_is_asked_itself() -> None:
    """What was plain to the other says nothing of what this one reads."""

    class Closer(SkimmingReader):
        def read(self, item: Any) -> Reading | None:
            return super().read(item)

    reader = Closer()
    playing(read_all(Chunk("plain"), Chunk("plain")), reader=reader)
    assert reader.seen == ["plain", "plain"]


@pytest.mark.parametrize("estimates", [False, True])
def test_a_chunk_that_is_plain_at_a_glance_is_not_read(estimates: bool) -> None:
    """The first one is, for the first token; and all of them where there is an estimator to show them to."""

    class Nothing:
        def see(self, chunk: Any) -> None: ...

        def usage(self) -> None: ...

    estimator = {"estimator": Nothing} if estimates else {}
    chunks = [Chunk(text) for text in ("plain", "plain", "else", "plain", "odd", "plain")]
    reader = SkimmingReader()
    stage = playing(read_all(*chunks, Chunk("", usage=(1, 2)), **estimator), reader=reader)
    read = ["plain", "else", "odd", ""]
    assert reader.seen == ([chunk.text for chunk in chunks] + [""] if estimates else read)
    assert stage.tracker.summary.tokens == TokenUsage(3, 1, 2)


def test_after_the_first_chunk_a_stream_is_read_straight_from_its_provider() -> None:
    """Nothing of ours stands in between, whether or not somebody still looks."""

    async def scene(stage: Stage) -> None:
        generator = stage.new_provider(chunks=(Chunk("a"), Chunk("b"))).generator()
        async with stage.tracker.stream(generator) as stream:
            await anext(stream)
            assert stream._chunks._iterator is generator

    playing(scene)


def test_a_user_says_what_the_first_token_is() -> None:
    """The predicate is asked of each chunk until it agrees, and never again."""
    asked: list[str] = []

    def is_answer(chunk: Chunk) -> bool:
        asked.append(chunk.text)
        return chunk.text == "answer"

    chunks = [Chunk(text) for text in ("thinking", "thinking", "answer", "more")]
    stage = playing(read_all(*chunks, first_token=is_answer))
    assert stage.tracker.summary.time_to_first_token == 3 * CHUNK_MS
    assert asked == ["thinking", "thinking", "answer"]
    assert stage.reader.seen == ["thinking", "thinking", "answer", "more"]


def test_a_predicate_about_chunks_that_nobody_knows() -> None:
    """It needs no reader."""
    stage = playing(read_all(1, 2, 3, first_token=lambda chunk: chunk == 2))
    assert stage.tracker.summary.time_to_first_token == 2 * CHUNK_MS


def test_a_predicate_that_never_agrees() -> None:
    """Then there was no first token."""
    stage = playing(read_all(Chunk("a"), Chunk("b"), first_token=lambda _: False))
    assert stage.tracker.summary.time_to_first_token is None


def test_a_predicate_that_raises() -> None:
    """It is not asked again; the reader's answer stands in, and usage is still read."""
    chunks = [Chunk(ROLE), Chunk("a"), Chunk("b", usage=(1, 2))]
    stage = playing(read_all(*chunks, first_token=lambda chunk: chunk.missing), failures={"first_token": 1})
    assert stage.tracker.summary.time_to_first_token == 2 * CHUNK_MS
    assert stage.tracker.summary.tokens == TokenUsage(3, 1, 2)


# Usage and tool calls


@pytest.mark.parametrize("wants", list(Wants))
@pytest.mark.parametrize("close_after", [None, 1, 3])
def test_a_reader_sees_what_it_wants(wants: Wants, close_after: int | None) -> None:
    """All chunks up to the first token; after it every chunk, the last one that came, or none."""
    texts = [ROLE, "a", "b", "c"]
    chunks = [Chunk(text) for text in texts]
    stage = playing(read_all(*chunks, close_after=close_after), reader=FakeReader(wants))
    came = texts[:close_after]
    first, rest = came[:2], came[2:]
    expected = {Wants.FIRST: first, Wants.LAST: first + rest[-1:], Wants.EVERY: came}
    assert stage.reader.seen == expected[wants]


def test_a_stream_of_one_chunk_is_read_once() -> None:
    """Its first chunk is its last."""
    stage = playing(read_all(Chunk("a", usage=(1, 1), tools=("t",))), reader=FakeReader(Wants.LAST))
    assert stage.reader.seen == ["a"]
    assert stage.tracker.summary.tool_calls == ("t",)


@pytest.mark.parametrize("wants", [Wants.LAST, Wants.EVERY])
def test_usage_in_the_last_chunk(wants: Wants) -> None:
    """Where OpenAI puts it."""
    stage = playing(read_all(Chunk("a"), Chunk("b"), Chunk(usage=(5, 7))), reader=FakeReader(wants))
    assert stage.tracker.summary.tokens == TokenUsage(12, 5, 7)


def test_usage_in_the_first_and_in_the_last_chunk() -> None:
    """Where Anthropic puts it: the later report knows better, count by count."""
    stage = playing(read_all(Chunk(usage=(5, 1)), Chunk("a"), Chunk(usage=(None, 7), finish=True)))
    assert stage.tracker.summary.tokens == TokenUsage(12, 5, 7)


def test_tool_calls_are_listed() -> None:
    """In the order in which they came, once per call."""
    stage = playing(read_all(Chunk(tools=("search",)), Chunk(tools=("search", "fetch")), Chunk("a")))
    assert stage.tracker.summary.tool_calls == ("search", "fetch")
    assert [name for name, _ in stage.events].count("tool_call") == 2


def test_usage_that_never_came_is_not_invented() -> None:
    """No tokens event."""
    stage = playing(read_all(Chunk("a"), Chunk("b", finish=True)))
    assert stage.tracker.summary.tokens is None


def test_usage_of_nothing_claims_nothing() -> None:
    """All counts are zero: the slot stays free."""

    async def scene(stage: Stage) -> None:
        await read_all(Chunk("a", usage=(0, 0)))(stage)
        assert await stage.tracker.track_tokens(TokenUsage(3))

    assert playing(scene).tracker.summary.tokens == TokenUsage(3)


HINT = "ask for usage with include_usage"


@pytest.mark.parametrize(
    ("chunks", "options", "said"),
    [
        pytest.param((Chunk("a"),), {}, True, id="without usage"),
        pytest.param((Chunk("a", usage=(1, 1)),), {}, False, id="with usage"),
        pytest.param((Chunk("a"), Chunk("b")), {"close_after": 1}, False, id="closed early"),
        pytest.param((1,), {}, False, id="of chunks nobody knows"),
    ],
)
def test_missing_usage_is_hinted_at_once(chunks: Any, options: dict[str, Any], said: bool) -> None:
    """However many streams lack it; never for one that was not read to its end."""
    stage = Stage(FakeReader(usage_hint=HINT))

    async def scene(stage: Stage) -> None:
        for _ in range(3):
            await read_all(*chunks, **options)(stage)
            stage.tracker = stage.new_tracker()

    stage.play(scene)
    assert stage.problems == ([f"log: {HINT}"] if said else [])


def test_no_hint_for_a_closed_stream_that_is_asked_again() -> None:
    """It was closed early; that it has no usage is nobody's mistake."""
    stage = Stage(FakeReader(usage_hint=HINT))

    async def scene(stage: Stage) -> None:
        stream = stage.tracker.stream(stage.provider.generator())
        await anext(stream)
        await stream.aclose()
        assert await anext(stream, None) is None

    stage.play(scene)
    stage.assert_clean()


@pytest.mark.parametrize("error", [OSError("the line is dead"), asyncio.CancelledError()])
def test_what_came_before_a_failure_is_recorded(error: BaseException) -> None:
    """The last chunk that came, and the estimate where no usage did."""

    async def provider() -> Any:
        yield Chunk("a")
        yield Chunk("b", tools=("search",))
        raise error

    async def scene(stage: Stage) -> None:
        with pytest.raises(type(error)):
            async for _ in stage.tracker.stream(provider()):
                pass
        stage.kept.append(stage.tracker)
        stage.tracker = stage.new_tracker()
        with pytest.raises(type(error)):
            async for _ in stage.tracker.stream(provider(), estimator=Words):
                pass

    stage = playing(scene, reader=FakeReader(Wants.LAST))
    assert stage.kept[0].summary.tool_calls == ("search",)
    assert stage.tracker.summary.tokens == TokenUsage(output=2, estimated=True)


# Readers that are given, and readers that fail


def test_a_reader_that_is_given_is_used() -> None:
    """Without asking whether it recognises anything."""
    given = FakeReader()
    stage = playing(read_all(Chunk("a", usage=(1, 2)), reader=given))
    assert (given.seen, stage.reader.seen) == (["a"], [])
    assert stage.tracker.summary.tokens == TokenUsage(3, 1, 2)


class Broken(FakeReader):
    """Fails at one of its duties, at one of the chunks."""

    def __init__(self, at: str = "", wants: Wants = Wants.EVERY, answer: Any = None) -> None:
        super().__init__(wants, marks_end=True, usage_hint=HINT)
        self.at = at
        self.answer = answer

    def read(self, item: Any) -> Reading | None:
        reading = super().read(item)
        if item.text == self.at:
            if self.answer is None:
                raise KeyError("broken")
            return self.answer
        return reading


BAD_READINGS = {
    "raises": None,
    "returns another type": {"usage": 1},
    "names no tool": Reading(content=True, tool_calls=(ToolCall("1", ""),)),
    "names a tool by number": Reading(content=True, tool_calls=(ToolCall("1", 7),)),  # type: ignore[arg-type]
    "cannot tell calls apart": Reading(tool_calls=(ToolCall([], "x"),)),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("answer", [pytest.param(bad, id=name) for name, bad in BAD_READINGS.items()])
@pytest.mark.parametrize(("at", "first_token"), [("a", 1), ("b", 1), ("c", 1)])
@pytest.mark.parametrize("wants", [Wants.EVERY, Wants.LAST])
def test_a_reader_that_fails(answer: Any, at: str, first_token: int, wants: Wants) -> None:
    """The stream goes on; it is timed, what was read before stands, and the reader is not asked again."""
    reader = Broken(at, wants, answer)
    chunks = [Chunk("a", usage=(1, 2)), Chunk("b"), Chunk("c")]
    is_asked = wants is Wants.EVERY or at != "b"
    stage = playing(read_all(*chunks), failures={"reader": 1} if is_asked else {}, reader=reader)
    summary = stage.tracker.summary
    assert summary.time_to_first_token == first_token * CHUNK_MS
    assert summary.tokens == (None if at == "a" else TokenUsage(3, 1, 2))
    assert summary.tool_calls == ()
    assert summary.ending is (Ending.COMPLETED if is_asked else Ending.TRUNCATED)


def test_a_reader_that_fails_before_the_first_token() -> None:
    """The chunk it fails at counts: nobody is left to tell a preamble."""
    stage = playing(read_all(Chunk(ROLE), Chunk("a")), failures={"reader": 1}, reader=Broken(ROLE))
    assert stage.tracker.summary.time_to_first_token == CHUNK_MS


@pytest.mark.parametrize("counts", [("many", 1), (-1, 1), (1.5, 1), (True, 1)])
def test_usage_that_is_no_usage(counts: tuple[Any, Any]) -> None:
    """Neither the app nor LaunchDarkly ever sees it; the rest of the run is recorded."""
    stage = playing(read_all(Chunk("a", usage=counts)), failures={"reader": 1})
    assert stage.events == [("duration:total", 10), ("tokens:ttf", 10), ("generation:success", 1)]


def test_looking_for_a_reader_fails() -> None:
    """Then the chunks are timed."""

    async def scene(stage: Stage) -> None:
        stage.reader.recognises = lambda item: item.missing  # type: ignore[method-assign]
        await read_all(Chunk("a"), Chunk("b"))(stage)

    stage = playing(scene, failures={"reader": 1})
    assert stage.events == [("duration:total", 20), ("tokens:ttf", 10), ("generation:success", 1)]


def test_failures_are_logged_once_and_always_counted() -> None:
    """Three broken streams, one line."""
    stage = Stage(Broken("a"))

    async def scene(stage: Stage) -> None:
        for _ in range(3):
            stage.tracker = stage.new_tracker()
            await read_all(Chunk("a"))(stage)

    stage.play(scene)
    assert dict(stage.recorder.stats().failures) == {"reader": 3}
    assert len(stage.problems) == 1


# Endings


def test_the_finish_mark_is_missing() -> None:
    """The connection ended politely: an error, if this provider always sends a mark."""
    chunks = (Chunk("a"), Chunk("b"))
    truncated = playing(read_all(*chunks), reader=FakeReader(marks_end=True))
    assert truncated.tracker.summary.ending is Ending.TRUNCATED
    assert ("generation:error", 1) in truncated.events
    completed = playing(read_all(*chunks), reader=FakeReader(marks_end=False))
    assert completed.tracker.summary.ending is Ending.COMPLETED


@pytest.mark.parametrize("wants", [Wants.LAST, Wants.EVERY])
def test_the_finish_mark_is_there(wants: Wants) -> None:
    """In the last chunk, or, for one who sees every chunk, before it."""
    chunks = [Chunk("a"), Chunk("b", finish=True), Chunk(usage=(1, 1))]
    if wants is Wants.LAST:
        chunks.pop()
    stage = playing(read_all(*chunks), reader=FakeReader(wants, marks_end=True))
    assert stage.tracker.summary.ending is Ending.COMPLETED


def test_an_empty_stream_of_unknown_provider_is_complete() -> None:
    """Without a chunk nobody knows whose stream it was, and whether it should have had a mark."""

    async def scene(stage: Stage) -> None:
        source = stage.provider.generator()
        stage.provider.chunks = ()
        async for _ in stage.tracker.stream(source):
            pass

    assert playing(scene, reader=FakeReader(marks_end=True)).tracker.summary.ending is Ending.COMPLETED


@pytest.mark.parametrize("marks_end", [False, True])
@pytest.mark.parametrize("wants", [Wants.LAST, Wants.EVERY])
def test_closed_after_the_finish_mark(wants: Wants, marks_end: bool) -> None:
    """Nothing was missed: completed, not closed early."""
    chunks = [Chunk("a"), Chunk("b", finish=True), Chunk("c")]
    stage = playing(read_all(*chunks, close_after=2), reader=FakeReader(wants, marks_end=marks_end))
    assert stage.tracker.summary.ending is Ending.COMPLETED
    assert stage.tracker.summary.outcome is Outcome.SUCCESS


@pytest.mark.parametrize("how", ["aclose", "close", "drop", "async with", "run", "generator"])
def test_closed_after_the_finish_mark_by_whatever_way(how: str) -> None:
    """By name, by hand, by leaving, by being dropped, or with the generator that hands the chunks on."""

    async def scene(stage: Stage) -> None:
        provider = stage.new_provider(chunks=(Chunk("a", finish=True), Chunk("b")))
        if how == "run":
            async with stage.tracker.run() as run:
                stream = run.stream(provider.generator())
                await anext(stream)
            return
        stream = stage.tracker.stream(provider.with_close())
        if how == "async with":
            async with stream:
                await anext(stream)
        elif how == "generator":

            async def enclosing() -> Any:
                async with stream:
                    async for chunk in stream:
                        yield chunk

            generator = enclosing()
            await anext(generator)
            await generator.aclose()
        else:
            await anext(stream)
            if how == "drop":
                del stream
                await stage.quiet()
            else:
                await getattr(stream, how)()

    assert playing(scene).tracker.summary.outcome is Outcome.SUCCESS


def test_a_provider_that_reports_its_own_failure() -> None:
    """In a chunk, with the stream ending politely after it: failed, however it is left."""

    class Failing(FakeReader):
        def read(self, item: Any) -> Reading | None:
            return Reading(failed=item.text == "error", content=True)

    for close_after in (None, 2):
        chunks = (Chunk("a"), Chunk("error"), Chunk("b"))
        stage = playing(read_all(*chunks, close_after=close_after), reader=Failing())
        assert stage.tracker.summary.ending is Ending.FAILED
        assert ("generation:error", 1) in stage.events


@pytest.mark.parametrize(
    ("chunks", "close_after", "raises", "ending", "outcome"),
    [
        ((Chunk("a", finish=True),), None, None, Ending.COMPLETED, "generation:success"),
        ((Chunk("a"), Chunk("b")), 1, None, Ending.CLOSED_EARLY, None),
        ((Chunk("a"),), None, asyncio.CancelledError(), Ending.CANCELLED, None),
        ((Chunk("a"),), None, None, Ending.TRUNCATED, "generation:error"),
        ((Chunk("a"),), None, OSError(), Ending.FAILED, "generation:error"),
    ],
)
def test_five_endings_are_told_apart(
    chunks: Any, close_after: int | None, raises: BaseException | None, ending: Ending, outcome: str | None
) -> None:
    """What a provider's stream can do, and what LaunchDarkly hears of it."""

    async def scene(stage: Stage) -> None:
        async def provider() -> Any:
            for chunk in chunks:
                yield chunk
            if raises is not None:
                raise raises

        async def read() -> None:
            async with stage.tracker.stream(provider()) as stream:
                at = 0
                async for _ in stream:
                    at += 1
                    if at == close_after:
                        break

        (result,) = await asyncio.gather(asyncio.create_task(read()), return_exceptions=True)
        assert type(result) is type(raises)

    stage = playing(scene, reader=FakeReader(marks_end=True))
    assert stage.tracker.summary.ending is ending
    told = [name for name, _ in stage.events if name.startswith("generation")]
    assert told == ([] if outcome is None else [outcome])


# Estimators


class Words:
    """Guesses by counting chunks."""

    def __init__(self, *, fails_to_see: bool = False, answer: Any = ...) -> None:
        self.seen = 0
        self.asked = 0
        self.fails_to_see = fails_to_see
        self.answer = answer

    def see(self, chunk: Any) -> None:
        if self.fails_to_see:
            raise KeyError("cannot see")
        self.seen += 1

    def usage(self) -> Any:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return TokenUsage(output=self.seen) if self.answer is ... else self.answer


@pytest.mark.parametrize("wants", list(Wants))
@pytest.mark.parametrize("close_after", [None, 2])
def test_an_estimate_stands_in_for_usage_that_never_came(wants: Wants, close_after: int | None) -> None:
    """It sees every chunk that came, whatever the reader wants, and is marked for what it is."""
    words = Words()
    chunks = [Chunk(ROLE), Chunk("a"), Chunk("b")]
    scene = read_all(*chunks, close_after=close_after, estimator=lambda: words)
    stage = playing(scene, reader=FakeReader(wants, usage_hint=HINT))
    seen = close_after or 3
    assert stage.tracker.summary.tokens == TokenUsage(output=seen, estimated=True)
    assert ("tokens:output", seen) in stage.events
    assert words.asked == 1


def test_an_estimator_for_chunks_that_nobody_knows() -> None:
    """It needs no reader."""
    stage = playing(read_all(1, 2, 3, estimator=Words))
    assert stage.tracker.summary.tokens == TokenUsage(output=3, estimated=True)


def test_reported_usage_needs_no_estimate() -> None:
    """The estimator is not even asked."""
    words = Words()
    stage = playing(read_all(Chunk("a"), Chunk("b", usage=(1, 2)), estimator=lambda: words))
    assert stage.tracker.summary.tokens == TokenUsage(3, 1, 2)
    assert words.asked == 0


def test_an_estimator_of_the_whole_client() -> None:
    """Set once, it makes one estimator per stream."""
    made: list[Words] = []

    def new() -> Words:
        made.append(Words())
        return made[-1]

    stage = playing(read_all(Chunk("a")), new_estimator=new)
    assert len(made) == 1
    assert stage.tracker.summary.tokens == TokenUsage(output=1, estimated=True)


def test_an_estimator_without_an_answer() -> None:
    """Nothing is recorded, and the provider's own way is hinted at."""
    stage = Stage(FakeReader(usage_hint=HINT))
    stage.play(read_all(Chunk("a"), estimator=lambda: Words(answer=None)))
    assert stage.tracker.summary.tokens is None
    assert stage.problems == [f"log: {HINT}"]


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: Words(fails_to_see=True), id="see"),
        pytest.param(lambda: Words(answer=KeyError("x")), id="usage"),
        pytest.param(lambda: Words(answer=12), id="type"),
        pytest.param(lambda: {}["words"], id="making it"),
    ],
)
def test_an_estimator_that_fails(make: Any) -> None:
    """No estimate; the reader reads on, and the stream never notices."""
    chunks = (Chunk("a", tools=("t",)), Chunk("b"))
    stage = playing(read_all(*chunks, estimator=make), failures={"estimator": 1})
    assert stage.tracker.summary.tokens is None
    assert stage.tracker.summary.tool_calls == ("t",)
    assert stage.reader.seen == ["a", "b"]


def test_a_failing_reader_does_not_blind_the_estimator() -> None:
    """It sees every chunk."""
    chunks = (Chunk("a"), Chunk("b"), Chunk("c"))
    stage = playing(read_all(*chunks, estimator=Words), failures={"reader": 1}, reader=Broken("b"))
    assert stage.tracker.summary.tokens == TokenUsage(output=3, estimated=True)


def test_an_estimator_that_ends_the_call_it_is_asked_about() -> None:
    """Whatever user code does meanwhile, a call ends once."""

    async def scene(stage: Stage) -> None:
        class Meddling(Words):
            def usage(self) -> Any:
                stage.recorder.end_open_calls()
                return None

        await read_all(Chunk("a"), estimator=Meddling)(stage)

    stage = playing(scene)
    assert [name for name, _ in stage.events] == ["duration:total", "tokens:ttf"]
    assert stage.tracker.summary.ending is Ending.CANCELLED


def test_usage_reported_twice_and_estimated_never() -> None:
    """A provider that reports usage with every chunk reports running totals."""
    usages = [UsageReport(5, count) for count in (1, 2, 3)]
    chunks = [Chunk("a", usage=tuple(usage)) for usage in usages]
    assert playing(read_all(*chunks, estimator=Words)).tracker.summary.tokens == TokenUsage(8, 5, 3)
