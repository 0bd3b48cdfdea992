"""Managed graphs: one execution, one run; judges on nodes; runners of either shape."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator, Callable
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
from ldclient import Context

from ldtrack import (
    AIGraphMetrics,
    LDAIMetrics,
    LDMessage,
    MisuseError,
    Outcome,
    TokenUsage,
)
from ldtrack.running_graphs import AgentGraphRunnerResult, NodeAnswer, NodeText
from ldtrack.testing import FakeRunners, Recording, recording

ADA = Context.create("ada")
VERDICT = {"score": 0.75, "reasoning": "Kind."}
JUDGE = {
    "_ldMeta": {"enabled": True, "mode": "judge"},
    "evaluationMetricKey": "$ld:ai:judge:kind",
    "provider": {"name": "fake"},
    "model": {"name": "a-judge"},
    "messages": [{"role": "system", "content": "Judge."}],
}


def node(key: str, **more: Any) -> dict[str, Any]:
    return {
        "_ldMeta": {"enabled": True, "mode": "agent"},
        "provider": {"name": "acme"},
        "model": {"name": "m"},
        "instructions": f"I am {key}.",
        **more,
    }


def flags(**more: Any) -> dict[str, Any]:
    return {"graph": {"root": "R", "edges": {"R": [{"key": "A"}]}}, "R": node("R"), "A": node("A"), **more}


class Making:
    """A factory of one runner, for graphs only."""

    def __init__(self, runner: Any) -> None:
        self.runner = runner
        self.tools: Any = None

    def create_model(self, config: Any, tools: Any = None) -> None:
        return None

    def create_agent_graph(self, graph: Any, tools: Any) -> Any:
        self.tools = tools
        return self.runner


async def answer(used: int = 10) -> dict[str, Any]:
    """What some provider answers."""
    return {"content": "x", "usage": {"input_tokens": used, "output_tokens": 1}}


class Line:
    """Visits R, then A."""

    def __init__(self, fail: BaseException | None = None, wait: Callable[[], Any] | None = None) -> None:
        self.fail = fail
        self.wait = wait

    async def run(self, input: Any, *, calls: Any) -> AgentGraphRunnerResult:
        with calls.visit("R") as run:
            await run.call(answer())
        calls.handoff("R", "A")
        with calls.visit("A") as run:
            if self.wait is not None:
                await self.wait()
            if self.fail is not None:
                raise self.fail
            await run.call(answer(20))
        return result_for(input)

    async def stream(self, input: Any, *, calls: Any) -> AsyncGenerator[Any, None]:
        with calls.visit("R") as run:
            await run.call(answer())
            yield NodeText("From R.", "R")
        with calls.visit("A") as run:
            await run.call(answer(20))
            yield NodeText("From", "A")
            yield NodeText(" A.", "A")
        yield result_for(input)


def result_for(input: Any) -> AgentGraphRunnerResult:
    answers = (
        NodeAnswer(node="R", asked=tuple(input), content="First R."),
        NodeAnswer(node="R", asked=tuple(input), content="From R."),
        NodeAnswer(node="A", asked=(*input, LDMessage("assistant", "From R.")), content="From A."),
    )
    return AgentGraphRunnerResult(content="From A.", raw="raw", answers=answers)


async def a_graph(runner: Any, more: Any = None, **options: Any) -> tuple[Any, Recording]:
    runners = {"acme": Making(runner), **options.pop("runners", {})}
    ld = recording(flags(**(more or {})), runners=runners, **options)
    graph = await ld.ai.create_agent_graph("graph", ADA)
    assert graph is not None
    return graph, ld


class TestRuns:
    """``run``."""

    async def test_every_execution_has_a_run_id_of_its_own(self) -> None:
        """And a result that is frozen, with the nodes' summaries."""
        graph, ld = await a_graph(Line())
        one, two = await graph.run("Hi"), await graph.run([LDMessage("user", "Hi")])
        assert one.resumption_token != two.resumption_token
        assert one.metrics.path == ("R", "A")
        assert one.metrics.tokens == TokenUsage(32, 30, 2)
        assert {key: told.tokens.total for key, told in one.metrics.node_metrics.items()} == {
            "R": 11,
            "A": 21,
        }
        assert (one.content, one.raw) == ("From A.", "raw")
        assert len({e.data["runId"] for e in ld.events}) == 6
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            one.content = "another"
        assert repr(graph) == "<ManagedAgentGraph 'graph' on Line>"

    async def test_a_graph_run_may_be_part_of_another_run(self) -> None:
        """Its parent is known, and never sent."""
        graph, ld = await a_graph(Line())
        result = await graph.run("Hi", parent="0" * 8)
        assert result.metrics.parent_run_id == "0" * 8
        assert "00000000" not in {e.data.get("parentRunId") for e in ld.events}

    async def test_errors_are_recorded_and_raised_with_what_happened_before(self) -> None:
        """Path, handoff and the first node's tokens; the error is the framework's own."""
        error = ConnectionError("gone")
        graph, ld = await a_graph(Line(error))
        with pytest.raises(ConnectionError) as raised:
            await graph.run("Hi")
        assert raised.value is error
        values = ld.values()
        assert values["graph:invocation_failure"] == 1
        assert values["graph:total_tokens"] == 11
        assert [e.data["path"] for e in ld.events if e.key.endswith("graph:path")] == [["R", "A"]]

    @pytest.mark.parametrize("wrong", [None, 7, [], ["Hi"]])
    async def test_what_is_no_prompt_raises_before_anything_is_recorded(self, wrong: Any) -> None:
        """As in the other managed things."""
        graph, ld = await a_graph(Line())
        with pytest.raises(TypeError, match="needs a prompt"):
            await graph.run(wrong)
        with pytest.raises(TypeError, match="needs a prompt"):
            graph.stream(wrong)
        assert ld.events == []

    async def test_a_runner_that_returns_no_result_is_told_so(self) -> None:
        """And the run has failed."""

        class Wrong:
            async def run(self, input: Any, *, calls: Any) -> Any:
                return {"text": "Hi"}

        graph, ld = await a_graph(Wrong())
        with pytest.raises(TypeError, match="must return an AgentGraphRunnerResult"):
            await graph.run("Hi")
        assert "graph:invocation_failure" in ld.names()

    async def test_a_disabled_graph_is_none_and_its_use_is_reported(self) -> None:
        """As in LaunchDarkly's SDK: one event, whatever comes of it."""
        ld = recording({"graph": {}}, usage_events=True)
        assert await ld.ai.create_agent_graph("graph", ADA) is None
        assert [e.key for e in ld.events if "usage" in e.key] == ["$ld:ai:usage:create-agent-graph"]

    async def test_tools_and_variables_are_passed_on(self) -> None:
        """To the factory, and into the nodes' instructions."""
        making = Making(Line())
        ld = recording(flags(R=node("R", instructions="For {{name}}.")), runners={"acme": making})
        tools = {"time": lambda: "noon"}
        graph = await ld.ai.create_agent_graph("graph", ADA, tools, variables={"name": "Ada"})
        assert graph is not None
        assert making.tools is tools
        assert graph.graph.nodes["R"].config.instructions == "For Ada."


class TestStreams:
    """``stream``."""

    async def test_pieces_then_the_result(self) -> None:
        """It is known once the stream is over."""
        graph, ld = await a_graph(Line())
        stream = graph.stream("Hi")
        token = stream.resumption_token
        assert token, "it is there from the beginning"
        assert "ManagedGraphStream of graph run" in repr(stream)
        assert [tuple(piece) async for piece in stream] == [("From R.", "R"), ("From", "A"), (" A.", "A")]
        assert (stream.result.content, stream.result.raw, stream.result.success) == ("From A.", "raw", True)
        assert ld.values()["graph:invocation_success"] == 1
        await stream.aclose()

    async def test_stopping_early_has_the_last_speaker_s_text(self) -> None:
        """And no result of the framework's."""
        graph, ld = await a_graph(Line())
        async with graph.stream("Hi") as stream:
            await anext(stream)
            await anext(stream)
        assert (stream.result.content, stream.result.raw) == ("From", None)
        assert stream.result.metrics.outcome is Outcome.CANCELLED
        assert {e.data["configKey"]: e.key for e in ld.events if "generation:" in e.key} == {
            "R": "$ld:ai:generation:success"
        }

    @pytest.mark.parametrize("ends", ["aclose", "async with"])
    async def test_a_stream_that_is_closed_unread_is_cancelled(self, ends: str) -> None:
        """It has a result like any other; LaunchDarkly hears nothing of a run that never began."""
        graph, ld = await a_graph(Line())
        stream = graph.stream("Hi")
        if ends == "aclose":
            await stream.aclose()
        else:
            async with stream:
                pass
        result = stream.result
        assert (result.content, result.raw, result.success) == ("", None, False)
        assert (result.metrics.outcome, result.metrics.path) == (Outcome.CANCELLED, ())
        assert await result.evaluations == {}
        assert [piece async for piece in stream] == []
        assert stream.result is result
        assert ld.events == []

    async def test_a_stream_that_is_dropped_unread_is_cancelled(self) -> None:
        """Whoever has its token can see that."""
        graph, ld = await a_graph(Line())
        stream = graph.stream("Hi")
        tracker = ld.ai.resume_graph(stream.resumption_token, ADA)
        assert tracker.summary.outcome is None
        del stream
        gc.collect()
        assert str(tracker.summary.outcome) == str(Outcome.CANCELLED)
        assert ld.events == []

    async def test_a_stream_that_is_dropped_while_it_is_read_is_no_success(self) -> None:
        """What was used until then is recorded, and that it was begun is not forgotten."""
        graph, ld = await a_graph(Line())
        stream = graph.stream("Hi")
        await anext(stream)
        tracker = ld.ai.resume_graph(stream.resumption_token, ADA)
        del stream
        gc.collect()
        for _ in range(10):
            await asyncio.sleep(0)
        assert tracker.summary.outcome is Outcome.CANCELLED
        assert ld.values()["graph:total_tokens"] == 11

    @pytest.mark.parametrize(
        ("pieces", "path", "used"), [(1, ("R",), 11), (2, ("R", "A"), 32), (3, ("R", "A"), 32)]
    )
    async def test_wherever_it_is_closed_it_is_cancelled_and_keeps_what_came(
        self, pieces: int, path: tuple[str, ...], used: int
    ) -> None:
        """Never an error: path and usage until then are recorded, and the result is no success."""
        graph, ld = await a_graph(Line())
        async with graph.stream("Hi") as stream:
            for _ in range(pieces):
                await anext(stream)
        metrics = stream.result.metrics
        assert (metrics.outcome, metrics.path, metrics.tokens.total) == (Outcome.CANCELLED, path, used)
        assert stream.result.success is False
        assert not {"graph:invocation_failure", "generation:error"} & {*ld.names()}

    async def test_closing_while_another_task_reads_is_cancelled_and_keeps_what_came(self) -> None:
        """The reader is told that there is nothing more."""
        waits, forever = asyncio.Event(), asyncio.Event()

        class Waiting(Line):
            async def stream(self, input: Any, *, calls: Any) -> AsyncGenerator[Any, None]:
                with calls.visit("R") as run:
                    await run.call(answer())
                    yield NodeText("From R.", "R")
                    waits.set()
                    await forever.wait()

        graph, ld = await a_graph(Waiting())
        stream = graph.stream("Hi")

        async def read() -> list[Any]:
            return [piece.text async for piece in stream]

        reader = asyncio.create_task(read())
        await waits.wait()
        await stream.aclose()
        assert await reader == ["From R."]
        result = stream.result
        assert (result.content, result.success) == ("From R.", False)
        assert (result.metrics.outcome, result.metrics.tokens.total) == (Outcome.CANCELLED, 11)
        assert "graph:invocation_failure" not in ld.names()

    async def test_a_runner_that_cannot_stream_says_so(self) -> None:
        """At once."""

        class Whole:
            async def run(self, input: Any, *, calls: Any) -> AgentGraphRunnerResult:
                return result_for(input)

        graph, _ = await a_graph(Whole())
        with pytest.raises(MisuseError, match="cannot stream"):
            graph.stream("Hi")

    async def test_metrics_that_a_streaming_runner_states_win(self) -> None:
        """As they do in a run."""

        class Stating(Line):
            async def stream(self, input: Any, *, calls: Any) -> AsyncGenerator[Any, None]:
                yield AgentGraphRunnerResult(content="", metrics=AIGraphMetrics(success=False))

        graph, ld = await a_graph(Stating())
        assert [piece async for piece in graph.stream("Hi")] == []
        assert "graph:invocation_failure" in ld.names()


class TestPlainRunners:
    """Runners of LaunchDarkly's own shape."""

    @pytest.mark.parametrize("ours", [True, False], ids=["our types", "LaunchDarkly's types"])
    async def test_what_they_state_is_recorded(self, ours: bool) -> None:
        """In our types, or in those of LaunchDarkly's SDK."""
        usage: Any = TokenUsage(5, 3, 2) if ours else SimpleNamespace(total=5, input=3, output=2)
        told: Any = {"success": True, "tokens": usage, "tool_calls": ["time"], "duration_ms": 7}
        node_metrics: Any = {"R": LDAIMetrics(**told) if ours else SimpleNamespace(**told)}
        whole: Any = {"success": True, "path": ["R"], "duration_ms": 9, "tokens": usage}
        kind: Any = AIGraphMetrics if ours else SimpleNamespace
        metrics = kind(**whole, node_metrics=node_metrics)

        class Plain:
            async def run(self, input: str) -> Any:
                assert input == "Hi"
                return SimpleNamespace(content="Hello.", metrics=metrics, raw=1)

        graph, ld = await a_graph(Plain())
        result = await graph.run("Hi")
        assert (result.content, result.raw) == ("Hello.", 1)
        assert result.metrics.path == ("R",)
        assert ld.values()["graph:total_tokens"] == 5
        assert ld.values()["graph:duration:total"] == 9
        assert result.metrics.node_metrics["R"].tool_calls == ("time",)
        assert result.metrics.node_metrics["R"].tokens.total == 5

    async def test_nothing_stated_is_nothing_recorded_but_the_run(self) -> None:
        """No tokens, no path."""

        class Plain:
            async def run(self, input: str) -> Any:
                return SimpleNamespace(content="Hello.", metrics=None)

        graph, ld = await a_graph(Plain())
        await graph.run("Hi")
        assert ld.names() == ["graph:duration:total", "graph:invocation_success"]

    async def test_they_take_a_prompt_and_no_messages(self) -> None:
        """The error says why."""

        class Plain:
            async def run(self, input: str) -> Any:
                raise AssertionError

        graph, _ = await a_graph(Plain())
        with pytest.raises(MisuseError, match="takes a single prompt"):
            await graph.run([LDMessage("user", "Hi"), LDMessage("assistant", "Hello.")])


def judged(rate: float = 1.0) -> dict[str, Any]:
    """Both nodes with a judge."""
    configuration = {"judges": [{"key": "kind", "samplingRate": rate}]}
    return {
        "R": node("R", judgeConfiguration=configuration),
        "A": node("A", judgeConfiguration=configuration),
        "kind": JUDGE,
    }


class TestJudges:
    """Judges on nodes: LaunchDarkly's graphs have none (section 5.5, row 33)."""

    @pytest.mark.parametrize("streams", [False, True])
    async def test_scores_belong_to_the_runs_of_the_nodes(self, streams: bool) -> None:
        """After the end; of a node that was visited again, the last answer is judged."""
        fakes = FakeRunners(VERDICT)
        graph, ld = await a_graph(Line(), judged(), runners={"fake": fakes})
        if streams:
            stream = graph.stream("Hi")
            [piece async for piece in stream]
            result = stream.result
        else:
            result = await graph.run("Hi")
        assert not result.evaluations.done()
        assert fakes.asked == []  # nobody waited for a judge
        said = await result.evaluations
        assert {key: [one.score for one in verdicts] for key, verdicts in said.items()} == {
            "R": [0.75],
            "A": [0.75],
        }
        assert repr(result.evaluations) == "<GraphEvaluations of 2 nodes, done>"
        scores = {e.data["runId"]: e.data["configKey"] for e in ld.events if e.key == "$ld:ai:judge:kind"}
        runs = {e.data["runId"]: e.data["configKey"] for e in ld.events if "generation:" in e.key}
        assert set(scores.values()) == {"R", "A"}
        assert all(runs[run_id] == key for run_id, key in scores.items())
        asked = str([[part.content for part in messages] for messages in fakes.asked])
        assert "From R." in asked
        assert "First R." not in asked
        await ld.ai.aclose()

    async def test_a_failed_run_is_not_judged(self) -> None:
        """Nor one that was not sampled."""
        fakes = FakeRunners(VERDICT)
        graph, ld = await a_graph(Line(ConnectionError()), judged(), runners={"fake": fakes})
        with pytest.raises(ConnectionError):
            await graph.run("Hi")
        async with graph.stream("Hi") as stream:
            await anext(stream)
        assert await stream.result.evaluations == {}
        graph, ld = await a_graph(Line(), judged(rate=0.0), runners={"fake": fakes})
        said = await (await graph.run("Hi")).evaluations
        assert [one.sampled for verdicts in said.values() for one in verdicts] == [False, False]
        await ld.ai.aclose()
        assert fakes.asked == []


class TestOddResults:
    """What a runner says besides its answer never takes the answer away."""

    @pytest.mark.parametrize("streams", [False, True])
    @pytest.mark.parametrize(
        "answers",
        [
            pytest.param((NodeAnswer(node="A", asked=(), content="x"),), id="of a node that was not visited"),
            pytest.param((NodeAnswer(node="R", asked="Hi", content="x"),), id="asked a text"),  # type: ignore[arg-type]  # the point
            pytest.param(7, id="no answers at all"),
        ],
    )
    async def test_an_answer_that_cannot_be_judged_is_counted_once(self, answers: Any, streams: bool) -> None:
        """Nobody is asked, and the result stands."""

        class Odd:
            async def run(self, input: Any, *, calls: Any) -> AgentGraphRunnerResult:
                with calls.visit("R") as run:
                    await run.call(answer())
                return AgentGraphRunnerResult(content="Fine.", answers=answers)

            async def stream(self, input: Any, *, calls: Any) -> AsyncGenerator[Any, None]:
                yield NodeText("Fine.", "R")
                yield await self.run(input, calls=calls)

        fakes = FakeRunners(VERDICT)
        graph, ld = await a_graph(Odd(), judged(), runners={"fake": fakes})
        if streams:
            stream = graph.stream("Hi")
            assert [piece.text async for piece in stream] == ["Fine."]
            result = stream.result
        else:
            result = await graph.run("Hi")
        assert result.content == "Fine."
        assert await result.evaluations == {}
        assert fakes.asked == []
        assert ld.ai.stats.failures == {"node answer": 1}

    @pytest.mark.parametrize("streams", [False, True])
    @pytest.mark.parametrize("ours", [False, True])
    @pytest.mark.parametrize(
        "metrics",
        [
            SimpleNamespace(success=True, path=["R"], duration_ms=-5, tokens=None, node_metrics={}),
            {"success": True},
        ],
        ids=["a negative duration", "a dictionary"],
    )
    async def test_metrics_that_make_no_sense_are_counted(
        self, metrics: Any, ours: bool, streams: bool
    ) -> None:
        """The answer passes, and what was measured is recorded."""

        class Odd:
            async def run(self, input: Any, *, calls: Any) -> Any:
                kind: Any = AgentGraphRunnerResult if ours or streams else SimpleNamespace
                return kind(content="Fine.", metrics=metrics)

            async def stream(self, input: Any, *, calls: Any) -> AsyncGenerator[Any, None]:
                yield await self.run(input, calls=calls)

        graph, ld = await a_graph(Odd())
        if streams:
            stream = graph.stream("Hi")
            assert [piece async for piece in stream] == []
            result = stream.result
        else:
            result = await graph.run("Hi")
        assert result.content == "Fine."
        assert ld.names() == ["graph:duration:total", "graph:invocation_success"]
        assert ld.ai.stats.failures == {"graph metrics": 1}


async def test_row_35_executions_of_one_graph_share_nothing() -> None:
    """200 at once: each knows its own path and tokens; a failure among them is nobody else's."""
    turns = iter(range(10**6))

    async def wait() -> None:
        for _ in range(next(turns) % 3):
            await asyncio.sleep(0)

    graph, ld = await a_graph(Line(wait=wait))
    results = await asyncio.gather(*(graph.run(f"Question {at}") for at in range(200)))
    assert {result.metrics.path for result in results} == {("R", "A")}
    assert {result.metrics.tokens.total for result in results} == {32}
    assert len({result.resumption_token for result in results}) == 200
    assert len({e.data["runId"] for e in ld.events}) == 600
