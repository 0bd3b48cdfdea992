"""Managed graphs: what is run or streamed is measured node by node, and judged.

Rule for this file: one execution is one fresh graph tracker, one run, and a frozen result. Nothing of an
execution is kept on the graph, so that any number of them may go on at once.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import attrs

from ldtrack.agents.asking import ended_well, is_cut, messages_of, metrics_of
from ldtrack.agents.evaluator import CUT, Evaluations, Evaluator
from ldtrack.agents.graph_results import GraphEvaluations, ManagedGraphResult
from ldtrack.agents.streams import Known, RunStream
from ldtrack.configs.graphs import AgentGraphDefinition
from ldtrack.core.graph_metrics import AIGraphMetrics, GraphMetricSummary
from ldtrack.core.models import LDMessage
from ldtrack.core.values import Outcome, TokenUsage
from ldtrack.exceptions import MisuseError
from ldtrack.running_graphs import (
    AgentGraphRunnerResult,
    AnyGraphRunner,
    NodeAnswer,
    NodeText,
    StreamingAgentGraphRunner,
)
from ldtrack.tracking.graph_run import GraphRun
from ldtrack.tracking.graph_tracker import GraphTracker
from ldtrack.tracking.sub_run import Parent

__all__ = ["ManagedAgentGraph", "ManagedGraphStream"]


class ManagedAgentGraph:
    """An agent graph that measures its runs. Made by ``AIClient.create_agent_graph``."""

    def __init__(
        self,
        graph: AgentGraphDefinition,
        runner: AnyGraphRunner,
        evaluators: Mapping[str, Evaluator],
        failed: Callable[[str, BaseException], None],
    ) -> None:
        self.graph = graph
        self.runner = runner
        self._evaluators = evaluators
        self._failed = failed

    def __repr__(self) -> str:
        return f"<ManagedAgentGraph {self.graph.key!r} on {type(self.runner).__name__}>"

    async def run(
        self, input: str | Sequence[LDMessage], *, parent: Parent | None = None
    ) -> ManagedGraphResult:
        """Have the graph answer a prompt, or messages.

        ``parent`` is the run that this one is part of. What the framework raises is recorded, and passes
        unchanged. Cancelling stops the run, which is recorded as cancelled with all that happened until then.
        """
        messages = messages_of(input)
        tracker = self.graph.create_tracker(parent)
        async with tracker.run() as run:
            result = self._taken(await _ask(self.runner, run, messages), run)
        return self._result(tracker, result)

    def stream(self, input: str | Sequence[LDMessage], *, parent: Parent | None = None) -> ManagedGraphStream:
        """What the nodes say as it comes; the first request goes out when the first piece is asked for.

        ``parent`` is the run that this one is part of.
        """
        messages = messages_of(input)
        if not hasattr(self.runner, "stream"):
            raise MisuseError(f"{type(self.runner).__name__} cannot stream: use `await run(...)`")
        tracker = self.graph.create_tracker(parent)
        known: Known[ManagedGraphResult] = Known(
            unread=partial(self._unread, tracker), dropped=partial(_give_up, tracker)
        )
        return ManagedGraphStream(self._pieces(tracker, messages, known), known, tracker)

    async def _pieces(
        self, tracker: GraphTracker, messages: Sequence[LDMessage], known: Known[ManagedGraphResult]
    ) -> AsyncGenerator[NodeText, None]:
        runner: StreamingAgentGraphRunner = self.runner  # type: ignore[assignment]  # it has been looked at
        said = _Said()
        try:
            async with (
                tracker.run() as run,
                contextlib.aclosing(runner.stream(messages, calls=run)) as pieces,
            ):
                async for piece in pieces:
                    if isinstance(piece, AgentGraphRunnerResult):
                        said.result = self._taken(piece, run)
                    else:
                        said.add(piece)
                        yield piece
        finally:
            known.result = self._result(tracker, said.outcome(), is_whole=said.result is not None)

    def _unread(self, tracker: GraphTracker) -> ManagedGraphResult:
        """What came of a run that nobody has read from."""
        _give_up(tracker)
        return self._result(tracker, AgentGraphRunnerResult(content=""), is_whole=False)

    def _result(
        self, tracker: GraphTracker, result: AgentGraphRunnerResult, *, is_whole: bool = True
    ) -> ManagedGraphResult:
        """What came of a run that is over; nodes' answers go to their judges unless something went wrong."""
        metrics = tracker.summary
        judged: dict[str, Evaluations] = {}
        success = is_whole and metrics.outcome in {None, Outcome.SUCCESS}  # none where the ledger failed
        if success:
            try:
                # Of a node that was visited again, the last answer.
                last = {answer.node: answer for answer in result.answers if answer.content}
            except Exception as error:  # noqa: BLE001 - C5: who only judges never takes the result away
                self._failed("node answer", error)
                last = {}
            for answer in last.values():
                self._judge(answer, tracker, metrics, judged)
        return ManagedGraphResult(
            content=result.content,
            metrics=metrics,
            raw=result.raw,
            success=success,
            evaluations=GraphEvaluations(judged),
        )

    def _judge(
        self,
        answer: NodeAnswer,
        tracker: GraphTracker,
        metrics: GraphMetricSummary,
        judged: dict[str, Evaluations],
    ) -> None:
        key, evaluator = answer.node, self._evaluators.get(answer.node)
        try:
            # The answer of a node that was not visited has no run to be judged in.
            if evaluator is None or not evaluator.keys or not ended_well(metrics.node_metrics[key]):
                return
            if is_cut(metrics.node_metrics[key]):
                judged[key] = evaluator.decline(CUT)
            else:
                judged[key] = evaluator.evaluate(tracker.node_tracker(key), answer.asked, answer.content)
        except Exception as error:  # noqa: BLE001 - C5: as above
            self._failed("node answer", error)

    def _taken(self, answer: Any, run: GraphRun) -> AgentGraphRunnerResult:
        """What a runner brought back; the run has taken in what it states, if that makes sense."""
        try:
            metrics = _graph_metrics_of(answer)
            if metrics is not None:
                run.observe(metrics)
        except Exception as error:  # noqa: BLE001 - C5: who only measures never takes the answer away
            self._failed("graph metrics", error)
        if isinstance(answer, AgentGraphRunnerResult):
            return answer
        return AgentGraphRunnerResult(content=answer.content, raw=getattr(answer, "raw", None))


def _give_up(tracker: GraphTracker) -> None:
    """Note that a run which never began will not begin any more; LaunchDarkly hears nothing of it."""
    slots = tracker._slots  # noqa: SLF001 - a run that is entered would say how long nothing took
    if slots.begin_run():
        slots.is_cancelled = True


@attrs.define
class _Said:
    """What has been said so far: the texts of the node that spoke last are the answer, should it end here."""

    result: AgentGraphRunnerResult | None = None
    _node: str = ""
    _texts: list[str] = attrs.field(factory=list)

    def add(self, piece: NodeText) -> None:
        if piece.node != self._node:
            self._node, self._texts = piece.node, []
        self._texts.append(piece.text)

    def outcome(self) -> AgentGraphRunnerResult:
        return self.result or AgentGraphRunnerResult(content="".join(self._texts))


class ManagedGraphStream(RunStream[NodeText, ManagedGraphResult]):
    """What the nodes of one run say, as it comes. Single use; made by ``ManagedAgentGraph.stream``."""

    __slots__ = ()


async def _ask(runner: AnyGraphRunner, run: GraphRun, messages: Sequence[LDMessage]) -> Any:
    """Have a runner of whichever shape answer; cancelling passes to it."""
    ask: Any = runner.run
    if "calls" in inspect.signature(ask).parameters:
        answer = await ask(messages, calls=run)
    elif len(messages) == 1 and messages[0].role == "user":
        answer = await ask(messages[0].content)
    else:
        raise MisuseError(
            f"{type(runner).__name__} takes a single prompt, since its run() has no `calls`: it cannot be "
            "given messages"
        )
    if not isinstance(getattr(answer, "content", None), str):
        raise TypeError(
            f"{type(runner).__name__}.run(...) must return an AgentGraphRunnerResult, not {answer!r:.80} "
            f"({type(answer).__name__})"
        )
    return answer


def _graph_metrics_of(answer: Any) -> AIGraphMetrics | None:
    """What a runner of LaunchDarkly's shape states, in our types or in those of LaunchDarkly's SDK."""
    metrics = getattr(answer, "metrics", None)
    if metrics is None or isinstance(metrics, AIGraphMetrics):
        return metrics
    tokens = metrics.tokens
    nodes = {key: metrics_of(_Stating(node)) for key, node in (metrics.node_metrics or {}).items()}
    return AIGraphMetrics(
        success=bool(metrics.success),
        path=tuple(metrics.path or ()),
        duration_ms=metrics.duration_ms,
        tokens=None if tokens is None else TokenUsage(tokens.total, tokens.input, tokens.output),
        node_metrics={key: node for key, node in nodes.items() if node is not None},
    )


@attrs.frozen
class _Stating:
    """A node's metrics where ``metrics_of`` looks for them."""

    metrics: Any
