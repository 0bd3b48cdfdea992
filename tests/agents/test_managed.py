"""Managed models and agents: one execution, one run; and conversations, which own their history."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
from ldclient import Context

from ldtrack import (
    LDAIMetrics,
    LDMessage,
    ManagedModel,
    MisuseError,
    Outcome,
    RunnerResult,
    TokenUsage,
)
from ldtrack.testing import FakeRunners, Recording, RecordingLedger, recording

ADA = Context.create("ada")
FLAG = {"_ldMeta": {"enabled": True}, "provider": {"name": "acme"}, "model": {"name": "a-model"}}


async def a_model(*answers: Any, runners: Any = None) -> tuple[ManagedModel, Recording]:
    ld = recording({"chat": FLAG}, runners={"acme": runners or FakeRunners(*answers)})
    model = await ld.ai.create_model("chat", ADA)
    assert model is not None
    return model, ld


def runs_of(ld: Recording) -> list[str]:
    """The ids of the runs, in the order in which LaunchDarkly heard of them."""
    return list(dict.fromkeys(event.data["runId"] for event in ld.events))


class Making:
    """A factory that makes just this runner."""

    def __init__(self, runner: Any) -> None:
        self.runner = runner

    def create_model(self, config: Any, tools: Any = None) -> Any:
        return self.runner


class TestRuns:
    """``run``."""

    async def test_every_execution_has_a_run_id_of_its_own(self) -> None:
        """Two runs of one model are two runs, and each result names its own."""
        model, ld = await a_model("One.", "Two.")
        one, two = await model.run("First"), await model.run("Second")
        assert len(runs_of(ld)) == 2
        assert one.resumption_token != two.resumption_token
        assert ld.ai.resume(one.resumption_token, ADA).run_id == runs_of(ld)[0]

    async def test_a_result_is_frozen(self) -> None:
        """Metrics are a snapshot: what is tracked later does not change them."""
        model, ld = await a_model("One.")
        result = await model.run("First")
        await ld.ai.resume(result.resumption_token, ADA).track_feedback("positive")
        assert result.metrics.feedback is None
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            result.content = "another"  # type: ignore[misc]  # that is the point

    async def test_no_judges_means_nothing_to_wait_for(self) -> None:
        """``evaluations`` is there all the same."""
        model, _ = await a_model("One.")
        result = await model.run("First")
        assert result.evaluations.done()
        assert await result.evaluations == ()

    @pytest.mark.parametrize("wrong", [None, 7, [], ["Hi"], [{"role": "user", "content": "Hi"}]])
    async def test_what_is_no_prompt_raises_before_anything_is_recorded(self, wrong: Any) -> None:
        """The error says what was given; no run has begun."""
        model, ld = await a_model("One.")
        with pytest.raises(TypeError, match=r"needs a prompt or some ldtrack\.LDMessage"):
            await model.run(wrong)
        with pytest.raises(TypeError, match="needs a prompt"):
            model.stream(wrong)
        assert ld.events == []

    async def test_a_schema_that_is_none_raises(self) -> None:
        """A class is no JSON schema."""
        model, ld = await a_model("One.")
        with pytest.raises(TypeError, match="JSON schema"):
            await model.run("Hi", dict)  # type: ignore[arg-type]  # that is the point
        assert ld.events == []

    async def test_a_structured_answer_that_cannot_be_read_is_a_failure(self) -> None:
        """The runner says so in its metrics, and what was measured stays."""

        class Unsure:
            async def run(self, input: Any, output_type: Any = None, *, calls: Any) -> RunnerResult:
                await calls.call(asyncio.sleep(0, {"content": "x", "usage": {"input_tokens": 3}}))
                return RunnerResult(content="{", metrics=LDAIMetrics(success=False))

        model, ld = await a_model(runners=Making(Unsure()))
        result = await model.run("Hi", {"type": "object"})
        assert result.metrics.outcome is Outcome.ERROR
        assert ld.values()["tokens:input"] == 3

    async def test_a_runner_that_returns_no_result_is_told_so(self) -> None:
        """A third party's mistake is named, and the run has failed."""

        class Wrong:
            async def run(self, input: Any, output_type: Any = None, *, calls: Any) -> Any:
                return {"text": "Hi"}

        model, ld = await a_model(runners=Making(Wrong()))
        with pytest.raises(TypeError, match=r"Wrong\.run\(\.\.\.\) must return a RunnerResult"):
            await model.run("Hi")
        assert "generation:error" in ld.names()

    async def test_a_result_without_a_text_is_no_success(self) -> None:
        """``None`` is not an empty text: whoever made the result is told."""

        class Silent:
            async def run(self, input: Any, output_type: Any = None, *, calls: Any) -> RunnerResult:
                return RunnerResult(content=None)  # type: ignore[arg-type]  # that is the point

        model, ld = await a_model(runners=Making(Silent()))
        with pytest.raises(
            TypeError, match=r"Silent\.run\(\.\.\.\) must return .* content is a str.*content=None"
        ):
            await model.run("Hi")
        assert "generation:error" in ld.names()

    async def test_reprs_say_what_they_are(self) -> None:
        """For logs and debuggers."""
        model, _ = await a_model("One.")
        assert repr(model) == "<ManagedModel 'chat' on FakeRunner>"
        assert "ManagedStream of run" in repr(model.stream("Hi"))
        assert repr(model.conversation()).startswith("<Conversation of 0 messages with <ManagedModel")
        assert repr((await model.run("Hi")).evaluations) == "<Evaluations, done>"


class TestPlainRunners:
    """Runners of LaunchDarkly's own shape, which measure themselves."""

    @staticmethod
    def plain(metrics: Any, content: Any = "Hello.") -> Any:
        class Plain:
            asked: Any = None

            async def run(self, input: str, output_type: Any = None) -> Any:
                self.asked = (input, output_type)
                return SimpleNamespace(content=content, metrics=metrics, raw="raw", parsed={"a": 1})

        return Plain()

    async def test_what_it_states_is_recorded(self) -> None:
        """In LaunchDarkly's types: tokens, tool calls, duration, success."""
        tokens = SimpleNamespace(total=19, input=12, output=7)
        metrics = SimpleNamespace(success=True, tokens=tokens, tool_calls=["weather"], duration_ms=250)
        runner = self.plain(metrics)
        model, ld = await a_model(runners=Making(runner))
        result = await model.run("Hi", {"type": "object"})
        assert runner.asked == ("Hi", {"type": "object"})
        assert (result.content, result.raw, result.parsed) == ("Hello.", "raw", {"a": 1})
        assert ld.values()["tokens:total"] == 19
        assert ld.values()["duration:total"] == 250
        assert result.metrics.tool_calls == ("weather",)

    async def test_a_failure_that_it_swallowed_is_an_error(self) -> None:
        """It says ``success=False`` instead of raising, and nobody judges an answer that is none."""
        metrics = SimpleNamespace(success=False, tokens=None, tool_calls=None, duration_ms=None)
        model, ld = await a_model(runners=Making(self.plain(metrics, "")))
        result = await model.run("Hi")
        assert result.metrics.outcome is Outcome.ERROR
        assert "generation:error" in ld.names()

    async def test_our_own_metrics_do_as_well(self) -> None:
        """And none at all: then there is only the duration and that it succeeded."""
        model, ld = await a_model(runners=Making(self.plain(LDAIMetrics(tokens=TokenUsage(3)))))
        assert (await model.run("Hi")).metrics.tokens == TokenUsage(3)
        model, ld = await a_model(runners=Making(self.plain(None)))
        assert (await model.run("Hi")).metrics.outcome is Outcome.SUCCESS
        assert ld.names() == ["duration:total", "generation:success"]

    @pytest.mark.parametrize("measures_itself", [True, False])
    @pytest.mark.parametrize(
        "metrics",
        [
            {"success": True},
            SimpleNamespace(success=True, tokens=None),
            SimpleNamespace(
                success=True,
                tokens=SimpleNamespace(total=-1, input=0, output=0),
                tool_calls=None,
                duration_ms=None,
            ),
        ],
        ids=["a mapping", "no tool calls", "a negative total"],
    )
    async def test_metrics_that_cannot_be_read_leave_the_answer_alone(
        self, metrics: Any, measures_itself: bool
    ) -> None:
        """They are counted as a fault of the recording, and the run is the success that it was."""

        class Calling:
            async def run(self, input: Any, output_type: Any = None, *, calls: Any) -> Any:
                return SimpleNamespace(content="Hello.", metrics=metrics)

        model, ld = await a_model(runners=Making(self.plain(metrics) if measures_itself else Calling()))
        result = await model.run("Hi")
        assert (result.content, result.success) == ("Hello.", True)
        assert ld.names() == ["duration:total", "generation:success"]
        assert ld.ai.stats.failures == {"extractor": 1}

    async def test_it_takes_a_prompt_and_no_conversation(self) -> None:
        """It could not be given what was said before."""
        model, _ = await a_model(runners=Making(self.plain(None)))
        with pytest.raises(MisuseError, match="takes a single prompt"):
            await model.run([LDMessage("user", "Hi"), LDMessage("assistant", "Hello")])
        with pytest.raises(MisuseError, match="takes a single prompt"):
            await model.run([LDMessage("system", "Hi")])

    async def test_it_cannot_stream(self) -> None:
        """And says what to do instead."""
        model, _ = await a_model(runners=Making(self.plain(None)))
        with pytest.raises(MisuseError, match=r"Plain cannot stream: use `await run"):
            model.stream("Hi")


class TestStreams:
    """``stream``."""

    async def test_nothing_is_begun_before_the_first_read(self) -> None:
        """A stream that is dropped unread has asked nobody, and records nothing."""
        runners = FakeRunners("Hello there.")
        model, ld = await a_model(runners=runners)
        stream = model.stream("Hi")
        assert stream.resumption_token
        await stream.aclose()
        del stream
        gc.collect()
        assert runners.asked == []
        assert ld.events == []

    @pytest.mark.parametrize("ends", ["aclose", "async with"])
    async def test_a_stream_that_is_closed_unread_is_cancelled(self, ends: str) -> None:
        """It has a result like any other; LaunchDarkly hears nothing of a run that never began."""
        model, ld = await a_model("Hello there.")
        stream = model.stream("Hi")
        if ends == "aclose":
            await stream.aclose()
        else:
            async with stream:
                pass
        result = stream.result
        assert (result.content, result.success) == ("", False)
        assert result.metrics.outcome is Outcome.CANCELLED
        assert await result.evaluations == ()
        assert [text async for text in stream] == []
        assert stream.result is result
        assert ld.events == []

    async def test_a_stream_that_is_dropped_unread_is_cancelled(self) -> None:
        """Whoever has its token can see that."""
        model, ld = await a_model("Hello there.")
        stream = model.stream("Hi")
        tracker = ld.ai.resume(stream.resumption_token, ADA)
        assert tracker.summary.outcome is None
        del stream
        gc.collect()
        assert str(tracker.summary.outcome) == str(Outcome.CANCELLED)
        assert ld.events == []

    async def test_closing_unread_leaves_a_conversation_to_whoever_has_the_turn(self) -> None:
        """A stream that was refused its turn ends as well, and ends nobody else's."""
        model, _ = await a_model("One.")
        conversation = model.conversation()
        first = asyncio.create_task(conversation.run("First"))
        await asyncio.sleep(0)
        with pytest.raises(MisuseError, match="middle of a turn"):
            async with conversation.stream("Second") as refused:
                await anext(refused)
        assert refused.result.metrics.outcome is Outcome.CANCELLED
        with pytest.raises(MisuseError, match="middle of a turn"):
            await conversation.run("Third")
        await first
        assert [message.content for message in conversation.messages] == ["First", "One."]

    async def test_there_is_no_result_before_the_end(self) -> None:
        """It says so, and has one however the stream ends."""
        model, _ = await a_model("Hello there.")
        stream = model.stream("Hi")
        with pytest.raises(MisuseError, match="no result before its end"):
            _ = stream.result
        await anext(stream)
        with pytest.raises(MisuseError, match="no result before its end"):
            _ = stream.result
        await stream.aclose()
        assert stream.result.content == "Hello"
        assert stream.result.resumption_token == stream.resumption_token

    async def test_closing_after_the_finish_mark_is_success(self) -> None:
        """Nothing was missed, so nothing was cancelled."""

        class Late:
            async def run(self, input: Any, output_type: Any = None, *, calls: Any) -> RunnerResult:
                raise NotImplementedError

            async def stream(self, input: Any, *, calls: Any) -> AsyncGenerator[str, None]:
                async with calls.stream(chunks()) as read:
                    async for chunk in read:
                        yield chunk["content"]

        async def chunks() -> AsyncGenerator[dict[str, str], None]:
            yield {"content": "Hello", "finish_reason": "stop"}
            yield {"content": "never read"}

        model, ld = await a_model(runners=Making(Late()))
        async with model.stream("Hi") as stream:
            await anext(stream)
        assert stream.result.metrics.outcome is Outcome.SUCCESS
        assert "generation:success" in ld.names()

    async def test_closing_before_the_runner_is_done_is_no_answer(self) -> None:
        """Its call went well, and LaunchDarkly is told so; but a fragment is no turn, and not judged."""

        class Ahead:
            async def run(self, input: Any, output_type: Any = None, *, calls: Any) -> RunnerResult:
                raise NotImplementedError

            async def stream(self, input: Any, *, calls: Any) -> AsyncGenerator[str, None]:
                await calls.call(asyncio.sleep(0, "an answer"))
                for word in ("one ", "two ", "three"):
                    yield word

        judged = {**FLAG, "judgeConfiguration": {"judges": [{"key": "judge", "samplingRate": 1}]}}
        judge = {**FLAG, "_ldMeta": {"enabled": True, "mode": "judge"}, "evaluationMetricKey": "kindness"}
        judge["provider"] = {"name": "court"}
        court = FakeRunners({"score": 1, "reasoning": "Fine."})
        ld = recording({"chat": judged, "judge": judge}, runners={"acme": Making(Ahead()), "court": court})
        model = await ld.ai.create_model("chat", ADA)
        assert model is not None
        conversation = model.conversation()
        async with conversation.stream("Hi") as stream:
            await anext(stream)
        assert (stream.result.content, stream.result.success) == ("one ", False)
        assert len(conversation.messages) == 0
        assert (await stream.result.evaluations, court.asked) == ((), [])
        assert ld.names() == ["duration:total", "generation:success"]
        assert [text async for text in conversation.stream("Hi")] == ["one ", "two ", "three"]
        assert "one two three" in str(conversation.messages)
        await ld.ai.aclose()
        assert len(court.asked) == 1

    async def test_a_stream_that_is_dropped_settles(self) -> None:
        """Garbage collection is an exit like any other."""
        model, ld = await a_model("Hello there.")
        stream = model.stream("Hi")
        await anext(stream)
        del stream
        gc.collect()
        for _ in range(10):
            await asyncio.sleep(0)
        assert ld.names() == ["duration:total", "tokens:ttf"]

    async def test_a_failed_stream_has_a_result_of_what_came(self) -> None:
        """The error has been raised; the metrics are there to be looked at."""
        model, _ = await a_model(ConnectionError("gone"))
        stream = model.stream("Hi")
        with pytest.raises(ConnectionError):
            await anext(stream)
        assert stream.result.metrics.outcome is Outcome.ERROR
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    async def test_what_is_no_text_raises_and_frees_the_conversation(self) -> None:
        """The error names runner and value; the run has failed, has a result, and holds no turn."""

        class Wrong:
            async def run(self, input: Any, output_type: Any = None, *, calls: Any) -> RunnerResult:
                return RunnerResult(content="Fine.")

            async def stream(self, input: Any, *, calls: Any) -> AsyncGenerator[Any, None]:
                yield "a"
                yield None

        model, ld = await a_model(runners=Making(Wrong()))
        conversation = model.conversation()
        stream = conversation.stream("Hi")
        assert await anext(stream) == "a"
        with pytest.raises(
            TypeError, match=r"Wrong\.stream\(\.\.\.\) must yield texts, not None \(NoneType\)"
        ):
            await anext(stream)
        assert (stream.result.content, stream.result.success) == ("a", False)
        assert ld.names() == ["duration:total", "generation:error"]
        assert (await conversation.run("Again")).content == "Fine."
        assert [message.content for message in conversation.messages] == ["Again", "Fine."]


class TestConversations:
    """``conversation``."""

    async def test_a_turn_knows_what_was_said_before(self) -> None:
        """Questions and answers in order, after the config's own messages."""
        runners = FakeRunners("One.", "Two words.")
        model, _ = await a_model(runners=runners)
        conversation = model.conversation()
        await conversation.run("First")
        texts = [text async for text in conversation.stream("Second")]
        assert texts == ["Two", " words."]
        assert [message.content for message in runners.asked[1]] == ["First", "One.", "Second"]
        assert [message.content for message in conversation.messages] == [
            "First",
            "One.",
            "Second",
            "Two words.",
        ]

    async def test_it_goes_on_from_a_stored_history(self) -> None:
        """What was stored is what it begins with."""
        runners = FakeRunners("Two.")
        model, _ = await a_model(runners=runners)
        await model.conversation([LDMessage("user", "First"), LDMessage("assistant", "One.")]).run("Second")
        assert [message.content for message in runners.asked[0]] == ["First", "One.", "Second"]

    async def test_conversations_of_one_model_never_mix(self) -> None:
        """Interleaved turns of two conversations: each knows only its own."""
        runners = FakeRunners(lambda messages: f"answer to {messages[-1].content}")
        model, _ = await a_model(runners=runners)
        one, two = model.conversation(), model.conversation()
        await asyncio.gather(one.run("a"), two.run("b"))
        await asyncio.gather(two.run("d"), one.run("c"))
        assert [message.content for message in one.messages] == ["a", "answer to a", "c", "answer to c"]
        assert [message.content for message in two.messages] == ["b", "answer to b", "d", "answer to d"]

    async def test_a_second_turn_at_the_same_time_raises(self) -> None:
        """With the remedy; the turn under way is not disturbed, and nothing is recorded for the other."""
        model, ld = await a_model("One.")
        conversation = model.conversation()
        first = asyncio.create_task(conversation.run("First"))
        await asyncio.sleep(0)
        with pytest.raises(MisuseError, match=r"middle of a turn.*begin another"):
            await conversation.run("Second")
        with pytest.raises(MisuseError, match="middle of a turn"):
            await anext(conversation.stream("Third"))
        assert (await first).content == "One."
        assert len(runs_of(ld)) == 1
        assert len(conversation.messages) == 2

    async def test_a_stream_that_nobody_reads_holds_no_turn(self) -> None:
        """The turn begins at the first read."""
        model, _ = await a_model("One.")
        conversation = model.conversation()
        conversation.stream("never read")
        assert (await conversation.run("First")).content == "One."

    async def test_a_stream_that_is_dropped_frees_its_turn_at_once(self) -> None:
        """The next turn need not wait until the dropped one has settled, nor does that disturb it later."""
        model, ld = await a_model("Two words.")
        conversation = model.conversation()
        async for _ in conversation.stream("First"):
            break
        second = conversation.stream("Second")
        assert await anext(second) == "Two"
        for _ in range(10):
            await asyncio.sleep(0)
        assert ld.names() == ["duration:total", "tokens:ttf"], "the dropped one has settled"
        with pytest.raises(MisuseError, match="middle of a turn"):
            await conversation.run("Third")
        assert [text async for text in second] == [" words."]
        assert [message.content for message in conversation.messages] == ["Second", "Two words."]

    async def test_a_refused_stream_that_is_dropped_leaves_the_turn_to_the_other(self) -> None:
        """Whoever has no turn cannot end it."""
        model, _ = await a_model("Two words.")
        conversation = model.conversation()
        first = conversation.stream("First")
        await anext(first)
        refused = conversation.stream("Second")
        with pytest.raises(MisuseError, match="close its stream, or begin another"):
            await anext(refused)
        del refused
        gc.collect()
        with pytest.raises(MisuseError, match="middle of a turn"):
            await conversation.run("Third")
        assert [text async for text in first] == [" words."]
        assert [message.content for message in conversation.messages] == ["First", "Two words."]

    @pytest.mark.parametrize("stops", ["fails", "is cancelled", "is closed"])
    async def test_a_turn_that_does_not_succeed_leaves_no_trace(self, stops: str) -> None:
        """Neither question nor half an answer; the next turn may begin at once."""
        answers = [ConnectionError("gone")] if stops == "fails" else []
        model, _ = await a_model(*answers, "Two words.")
        conversation = model.conversation()
        if stops == "fails":
            with pytest.raises(ConnectionError):
                await conversation.run("First")
        elif stops == "is cancelled":
            task = asyncio.create_task(conversation.run("First"))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            async with conversation.stream("First") as stream:
                await anext(stream)
        assert not conversation.messages
        await conversation.run("Second")
        assert [message.content for message in conversation.messages] == ["Second", "Two words."]

    async def test_an_answer_without_a_text_is_not_kept(self) -> None:
        """Providers refuse an empty message in the history."""
        model, _ = await a_model("")
        conversation = model.conversation()
        await conversation.run("First")
        assert conversation.messages == ()


class TestParents:
    """Runs within runs."""

    async def test_a_run_may_be_part_of_another_one(self) -> None:
        """As a tool's own model is part of its agent's run: its summary says so, LaunchDarkly is not told."""
        model, ld = await a_model("One.", "Two.")
        outer = await model.run("First")
        inner = await model.run("Second", parent="the outer run")
        stream = model.stream("Third", parent=ld.ai.resume(inner.resumption_token, ADA))
        async for _ in stream:
            pass
        assert outer.metrics.parent_run_id is None
        assert inner.metrics.parent_run_id == "the outer run"
        assert stream.result.metrics.parent_run_id == runs_of(ld)[1]
        assert "the outer run" not in str(ld.events)


class TestFailingLedgers:
    """Recording may fail; what an app does must not depend on it."""

    async def test_a_conversation_goes_on_when_nothing_can_be_recorded(self) -> None:
        """The outcome is unknown to LaunchDarkly, but not to us: the turn is kept, the answer is whole."""
        ledger = RecordingLedger()
        ld = recording({"chat": FLAG}, runners={"acme": FakeRunners("One.")}, ledger=ledger)
        model = await ld.ai.create_model("chat", ADA)
        assert model is not None
        ledger.fail_next(10)
        conversation = model.conversation()
        result = await conversation.run("First")
        assert (result.success, result.metrics.outcome) == (True, None)
        assert len(conversation.messages) == 2

    async def test_an_error_between_two_calls_is_no_success(self) -> None:
        """The last call went well; what came after it did not."""

        class Tripping:
            async def run(self, input: Any, output_type: Any = None, *, calls: Any) -> RunnerResult:
                raise NotImplementedError

            async def stream(self, input: Any, *, calls: Any) -> AsyncGenerator[str, None]:
                await calls.call(asyncio.sleep(0, "an answer"))
                yield "half"
                raise LookupError("a tool's own")

        model, _ = await a_model(runners=Making(Tripping()))
        conversation = model.conversation()
        stream = conversation.stream("First")
        with pytest.raises(LookupError):
            async for _ in stream:
                pass
        assert (stream.result.success, stream.result.metrics.outcome) == (False, Outcome.ERROR)
        assert conversation.messages == ()
