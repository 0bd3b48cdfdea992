"""What every provider's real package must give when its stream is tracked, and what LaunchDarkly then gets.

Each test plays one scene. A kit serves it in the provider's own wire format to the provider's own package;
what is special to one provider is in a file of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
from model_server import CUT
from provider_kits import KITS, TOOLS, Kit, Line, Scene
from tracked import Tracked, new_run, tracked_call, tracked_stream

from ldtrack import Ending, Outcome, Tracker, providers
from ldtrack.core.reading import CONTENT
from ldtrack.providers import ReaderRegistry

SCENES: list[str] = []
"""All scenes, filled below: what a test plays is a scene."""


def every_kit_that_can(scene: str) -> pytest.MarkDecorator:
    """Play this scene with every kit that is not unable to."""
    SCENES.append(scene)
    able = [kit for kit in KITS if scene not in kit.unable]
    marks = {kit: [pytest.mark.filterwarnings(warning) for warning in kit.warns] for kit in able}
    return pytest.mark.parametrize(
        "kit", [pytest.param(kit, id=kit.name, marks=marks[kit]) for kit in able], indirect=True
    )


@pytest.fixture
def kit(request: pytest.FixtureRequest) -> Kit:
    """One provider, with its package at hand."""
    made: Kit = request.param()
    made.require()
    return made


@attrs.frozen
class EachStreamARun:
    """A tracker in place of a run: each of its streams is a run of its own."""

    tracker: Tracker

    @property
    def stream(self) -> Any:
        return self.tracker.stream

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *_: object) -> None:
        pass


@pytest.fixture(params=["in a run", "as a run"])
async def tracked(request: pytest.FixtureRequest) -> Tracked:
    """A run to stream in, or to be one: the same must come of both."""
    made = await new_run()
    if request.param == "as a run":
        stand_in: Any = EachStreamARun(made.run.tracker)
        made.run = stand_in
    return made


def silence() -> asyncio.Event:
    """The provider says nothing more, and does not hang up either."""
    return asyncio.Event()


@contextlib.asynccontextmanager
async def served(kit: Kit, scene: Scene, *then: Any) -> AsyncIterator[Line]:
    """A line to a provider that serves this scene; or, with ``then``, its beginning and something else."""
    events = [*scene.events[: scene.begun], *then] if then else scene.events
    async with kit.open(events, *scene.later) as line:
        yield line


async def played(kit: Kit, scene: Scene, into: Tracked | None = None) -> Tracked:
    """What was recorded of a scene that was read to its end."""
    async with served(kit, scene) as line:
        return await tracked_stream(line.stream(), into=into)


def chunks_of_beginning(scene: Scene) -> int:
    """How many chunks there are up to the first token."""
    assert scene.first_token is not None
    return scene.first_token + 1


async def read_and_cancel(line: Line, scene: Scene, tracked: Tracked) -> None:
    """Read up to the first token, and cancel the wait for more."""
    reading = asyncio.create_task(tracked_stream(line.stream(), into=tracked))
    spoken = asyncio.create_task(tracked.seen[chunks_of_beginning(scene)].wait())
    await asyncio.wait([reading, spoken], return_when=asyncio.FIRST_COMPLETED)
    spoken.cancel()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


def assert_success(tracked: Tracked, kit: Kit, scene: Scene, *, refused: bool = False) -> None:
    """It came to its end; LaunchDarkly got the served usage, and we know why it stopped and who answered."""
    summary = tracked.summary
    assert (summary.outcome, summary.ending) == (Outcome.SUCCESS, Ending.COMPLETED)
    assert tracked.usage == kit.usage_of(scene)
    assert (summary.finish_reason, summary.answered_by) == (kit.reason_of(scene), kit.model)
    assert summary.refused == refused


def assert_cut_short(tracked: Tracked, kit: Kit, scene: Scene, outcome: Outcome, ending: Ending) -> None:
    """The first token, the model and the usage so far are known, and why it stopped is not."""
    summary = tracked.summary
    assert (summary.outcome, summary.ending) == (outcome, ending)
    assert tracked.first_token == scene.first_token
    assert tracked.usage == kit.usage_so_far
    assert summary.finish_reason is None
    assert summary.answered_by == (kit.model if kit.names_model_at_once else None)


class TestToTheEnd:
    """Streams that come to their end."""

    @every_kit_that_can("whole")
    async def test_a_whole_stream(self, kit: Kit, tracked: Tracked) -> None:
        """First token, usage, finish reason and model are those that were served."""
        scene = kit.scene("whole")
        await played(kit, scene, tracked)
        assert tracked.first_token == scene.first_token
        assert tracked.tools == []
        assert_success(tracked, kit, scene)

    @every_kit_that_can("own reader")
    async def test_its_own_reader_knows_it(self, kit: Kit) -> None:
        """It is found for the first chunk, and recognises all others by their types, too."""
        chunks = (await played(kit, kit.scene("whole"))).chunks
        assert isinstance(ReaderRegistry().find(chunks[0]), kit.reader)
        assert all(kit.reader().recognises(chunk) for chunk in chunks)

    @every_kit_that_can("common chunk")
    async def test_the_common_chunk_is_the_shared_reading(self, kit: Kit) -> None:
        """A chunk that has a text and nothing else costs no object."""
        tracked = await played(kit, kit.scene("whole"))
        read = kit.reader().read
        assert sum(read(chunk) is CONTENT for chunk in tracked.chunks) == 2, "there are two texts"

    @every_kit_that_can("opening")
    async def test_an_opening_is_not_the_first_token(self, kit: Kit) -> None:
        """A role alone, an empty text or a preamble says nothing to anybody."""
        scene = kit.scene("opening")
        assert scene.first_token, "there is something before it"
        assert (await played(kit, scene)).first_token == scene.first_token

    @every_kit_that_can("thoughts")
    async def test_a_thought_is_the_first_token(self, kit: Kit) -> None:
        """Reasoning is what a user waits for, as text is."""
        scene = kit.scene("thoughts")
        tracked = await played(kit, scene)
        assert tracked.first_token == scene.first_token
        assert_success(tracked, kit, scene)

    @every_kit_that_can("tools")
    async def test_tool_calls_split_over_chunks(self, kit: Kit) -> None:
        """Each call is counted once, however many pieces it is in; the first piece is the first token."""
        scene = kit.scene("tools")
        tracked = await played(kit, scene)
        assert tracked.tools == [*TOOLS]
        assert tracked.first_token == scene.first_token
        assert_success(tracked, kit, scene)

    @every_kit_that_can("without usage")
    async def test_usage_that_is_absent(self, kit: Kit) -> None:
        """Not sent, not invented."""
        tracked = await played(kit, kit.scene("without usage"))
        assert tracked.usage is None
        assert tracked.summary.outcome is Outcome.SUCCESS

    @every_kit_that_can("usage first")
    async def test_usage_that_is_not_at_the_end(self, kit: Kit) -> None:
        """It counts wherever it comes."""
        scene = kit.scene("usage first")
        assert_success(await played(kit, scene), kit, scene)

    @every_kit_that_can("refusal")
    async def test_the_model_declines(self, kit: Kit, tracked: Tracked) -> None:
        """That is no error, but it can be told."""
        scene = kit.scene("refusal")
        await played(kit, scene, tracked)
        assert tracked.first_token == scene.first_token
        assert_success(tracked, kit, scene, refused=True)

    @every_kit_that_can("filtered")
    async def test_a_filter_stops_the_answer(self, kit: Kit, tracked: Tracked) -> None:
        """That is a refusal, too, and no failure."""
        scene = kit.scene("filtered")
        await played(kit, scene, tracked)
        assert_success(tracked, kit, scene, refused=True)


class TestCutShort:
    """Streams that do not come to their end: what was there by then is recorded."""

    @every_kit_that_can("truncated")
    async def test_a_stream_that_ends_too_soon(self, kit: Kit, tracked: Tracked) -> None:
        """Closed politely before the finish mark: the package does not notice, we do."""
        scene = kit.scene("whole")
        await played(kit, attrs.evolve(scene, events=scene.events[: scene.begun]), tracked)
        assert_cut_short(tracked, kit, scene, Outcome.ERROR, Ending.TRUNCATED)

    @every_kit_that_can("error")
    async def test_an_error_in_mid_stream(self, kit: Kit, tracked: Tracked) -> None:
        """The package's own error passes; where it only hands the error on, it is a failure all the same."""
        raised = (
            pytest.raises(kit.errors(), match=kit.error_says) if kit.error_says else contextlib.nullcontext()
        )
        async with served(kit, kit.scene("whole"), kit.error()) as line:
            with raised:
                await tracked_stream(line.stream(), into=tracked)
        assert tracked.first_token == kit.scene("whole").first_token
        assert (tracked.summary.outcome, tracked.summary.ending) == (Outcome.ERROR, Ending.FAILED)

    @every_kit_that_can("broken")
    async def test_a_connection_that_breaks(self, kit: Kit, tracked: Tracked) -> None:
        """What the HTTP library raises, or the package makes of it, passes."""
        scene = kit.scene("whole")
        async with served(kit, scene, CUT) as line:
            with pytest.raises(Exception, match=kit.cut_says):
                await tracked_stream(line.stream(), into=tracked)
        assert_cut_short(tracked, kit, scene, Outcome.ERROR, Ending.FAILED)

    @every_kit_that_can("failed request")
    async def test_a_request_that_fails(self, kit: Kit, tracked: Tracked) -> None:
        """Before there is a stream: the package's own error passes, and nothing but the failure is known."""
        async with kit.open(kit.failing) as line:
            with pytest.raises(kit.failures(), match=kit.failing_says):
                await tracked_stream(line.stream(), into=tracked)
        assert tracked.first_token is None
        assert tracked.usage is None
        assert tracked.summary.outcome is Outcome.ERROR

    @every_kit_that_can("closing early")
    async def test_closing_early(self, kit: Kit, tracked: Tracked) -> None:
        """After the first token: what was read counts, and there is no verdict."""
        scene = kit.scene("whole")
        async with served(kit, scene, silence()) as line:
            await tracked_stream(line.stream(), until=chunks_of_beginning(scene), into=tracked)
        assert_cut_short(tracked, kit, scene, Outcome.CANCELLED, Ending.CLOSED_EARLY)

    @every_kit_that_can("cancellation")
    async def test_cancellation(self, kit: Kit, tracked: Tracked) -> None:
        """While the provider is silent: what was read counts, and there is no verdict."""
        scene = kit.scene("whole")
        async with served(kit, scene, silence()) as line:
            await read_and_cancel(line, scene, tracked)
        assert_cut_short(tracked, kit, scene, Outcome.CANCELLED, Ending.CANCELLED)
        assert tracked.ld.ai.stats.failures == {}

    @every_kit_that_can("hanging up")
    async def test_closing_early_hangs_up(self, kit: Kit) -> None:
        """The provider sees that nobody listens any more, before the package's client is closed."""
        scene = kit.scene("whole")
        async with served(kit, scene, silence()) as line:
            await tracked_stream(line.stream(), until=chunks_of_beginning(scene))
            await line.hung_up()

    @every_kit_that_can("hanging up when cancelled")
    async def test_cancellation_hangs_up(self, kit: Kit, tracked: Tracked) -> None:
        """The provider sees it at once, too."""
        scene = kit.scene("whole")
        async with served(kit, scene, silence()) as line:
            await read_and_cancel(line, scene, tracked)
            await line.hung_up()


@every_kit_that_can("answer")
async def test_an_answer_that_does_not_stream(kit: Kit) -> None:
    """The same of the whole answer, by the same reader."""
    scene = kit.scene("answer")
    async with kit.open(*(answer for (answer,) in (scene.events, *scene.later))) as line:
        tracked = await tracked_call(line.answer())
    assert isinstance(ReaderRegistry().find(tracked.chunks[0]), kit.reader)
    assert tracked.tools == [*TOOLS]
    assert tracked.usage == kit.usage_of(scene)
    summary = tracked.summary
    assert summary.outcome is Outcome.SUCCESS
    told = (kit.reason_of(scene), kit.model_of_answers or kit.model)
    assert (summary.finish_reason, summary.answered_by) == (told if kit.tells_of_answers else (None, None))


LEFT_OUT = """
common chunk / gemini: every chunk has the counts so far beside its text
common chunk / bedrock invoke boto3: an envelope has to be opened to know what is in it
common chunk / bedrock invoke aiobotocore: an envelope has to be opened to know what is in it
opening / litellm anthropic: it hands out none
opening / pydantic_ai chat: it hands out none
opening / pydantic_ai responses: it hands out none
thoughts / huggingface text: tokens are all of one kind
thoughts / litellm anthropic: it counts the tokens of thoughts itself
thoughts / langchain openai chat: it drops the reasoning of other services
tools / huggingface text: there are no tools without a chat
without usage / anthropic events: the first event counts the input, always
without usage / anthropic helper: the first event counts the input, always
without usage / anthropic beta: the first event counts the input, always
without usage / bedrock invoke boto3: the first event counts the input, always
without usage / bedrock invoke aiobotocore: the first event counts the input, always
without usage / huggingface text: the package hands out plain text then
without usage / litellm openai: it counts tokens itself
without usage / litellm anthropic: the first event counts the input, always
without usage / langchain anthropic: the first event counts the input, always
usage first / openai responses: the response that ends the stream is the only one with usage
usage first / anthropic events: the output is counted at the end, always
usage first / anthropic helper: the output is counted at the end, always
usage first / anthropic beta: the output is counted at the end, always
usage first / bedrock boto3: the event after the stop reason is the only one with usage
usage first / bedrock aiobotocore: the event after the stop reason is the only one with usage
usage first / bedrock invoke boto3: the output is counted at the end, always
usage first / bedrock invoke aiobotocore: the output is counted at the end, always
usage first / cohere: the event that ends the stream is the only one with usage
usage first / ollama: the last chunk is the only one with counts
usage first / huggingface text: the token that ends the stream is the only one with details
usage first / litellm anthropic: the output is counted at the end, always
usage first / langchain openai responses: the response that ends the stream is the only one with usage
usage first / langchain anthropic: the output is counted at the end, always
usage first / openai_agents responses: the response that ends the stream is the only one with usage
usage first / pydantic_ai responses: the response that ends the stream is the only one with usage
refusal / gemini: the model has no way to decline but words; filters have one
refusal / bedrock boto3: the model has no way to decline but words; guardrails and filters have one
refusal / bedrock aiobotocore: the model has no way to decline but words; guardrails and filters have one
refusal / mistral: the model has no way to decline but words; a host's filter has one
refusal / cohere: the model has no way to decline but words; a filter has one
refusal / ollama: the model has no way to decline but words
refusal / huggingface text: the model has no way to decline but words
refusal / litellm openai: it drops the text of a refusal from streams
refusal / langchain openai chat: it drops the text of a refusal from streams
refusal / openai_agents chat: its versions differ: some raise it, some hand it out
refusal / openai_agents responses: its versions differ: some raise it, some hand it out
refusal / pydantic_ai chat: its versions differ: some raise it, some hand it out
refusal / pydantic_ai responses: its versions differ: some raise it, some hand it out
filtered / anthropic events: a filter's stop has the same reason as the model's own refusal
filtered / anthropic helper: a filter's stop has the same reason as the model's own refusal
filtered / anthropic beta: a filter's stop has the same reason as the model's own refusal
filtered / bedrock invoke boto3: a filter's stop has the same reason as the model's own refusal
filtered / bedrock invoke aiobotocore: a filter's stop has the same reason as the model's own refusal
filtered / ollama: nothing filters
filtered / huggingface text: nothing filters
filtered / litellm anthropic: a filter's stop has the same reason as the model's own refusal
filtered / langchain openai responses: its versions differ: some drop the usage then
filtered / langchain anthropic: a filter's stop has the same reason as the model's own refusal
filtered / openai_agents chat: its versions differ: some raise it, of chat completions none hands it out
filtered / openai_agents responses: its versions differ: some raise it, of chat completions none hands it out
filtered / pydantic_ai responses: its versions differ: some keep the reason to themselves
truncated / litellm openai: it makes up a finish reason and counts tokens itself
truncated / litellm anthropic: it makes up a finish reason and counts tokens itself
truncated / langchain openai chat: not every model behind it gives a finish reason
truncated / langchain openai responses: not every model behind it gives a finish reason
truncated / langchain anthropic: not every model behind it gives a finish reason
truncated / openai_agents chat: its versions differ: some make a whole of it, some raise it
truncated / openai_agents responses: its versions differ: some make a whole of it, some raise it
truncated / pydantic_ai chat: it makes a whole of it
truncated / pydantic_ai responses: it makes a whole of it
error / langchain openai responses: its versions differ: some drop the event, some raise it
error / pydantic_ai responses: its versions differ: some only warn of it
closing early / openai_agents chat: newer versions wait for a silent model before they close
closing early / openai_agents responses: newer versions wait for a silent model before they close
hanging up / gemini: the package closes the connection only with its client
hanging up / huggingface chat: the package closes the connection only with its client
hanging up / huggingface text: the package closes the connection only with its client
hanging up / litellm anthropic: its versions differ: some leave it to the garbage collector
hanging up / langchain openai chat: the generators inside its own are closed by the garbage collector
hanging up / langchain openai responses: the generators inside its own are closed by the garbage collector
hanging up / langchain anthropic: the generators inside its own are closed by the garbage collector
hanging up / openai_agents chat: newer versions wait for a silent model before they close
hanging up / openai_agents responses: newer versions wait for a silent model before they close
hanging up when cancelled / huggingface chat: the package closes the connection only with its client
hanging up when cancelled / huggingface text: the package closes the connection only with its client
answer / bedrock invoke boto3: a whole answer is bytes, which the application opens
answer / bedrock invoke aiobotocore: a whole answer is bytes, which the application opens
answer / huggingface text: there are no tools without a chat
"""


def test_nothing_else_is_left_out() -> None:
    """What is not played is in the list above, with the kit's reason."""
    left_out = [
        f"{scene} / {kit.name}: {kit.unable[scene]}"
        for scene in SCENES
        for kit in KITS
        if scene in kit.unable
    ]
    assert left_out == LEFT_OUT.strip().splitlines()
    assert {scene for kit in KITS for scene in kit.unable} <= {*SCENES}, "there is no such scene"
    assert len({kit.name for kit in KITS}) == len(KITS)


def test_every_reader_has_a_kit() -> None:
    """All but that of graphs, and those of texts and mappings, which are no provider's."""
    others = {"LangGraphReader", "MappingReader", "TextReader"}
    readers = {name for name in providers.__all__ if name.endswith("Reader")}
    assert readers - {kit.reader.__name__ for kit in KITS} == others
