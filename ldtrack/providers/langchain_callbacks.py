"""Callbacks for LangChain and LangGraph, for those who bring a chain or a graph of their own.

    async with graph.create_tracker().run() as graph_run:
        await my_graph.ainvoke(state, {"callbacks": [LangChainCallbacks(graph_run)]})

A run's nodes are known by where LangGraph says that they are, never by the display names of runnables: the
place of a task is unique, so that visits at the same time, and again, are kept apart. What happens further
inside, in a graph within a node, is that node's.

Rule for this file: it only tells runs what it is told. It raises nothing into a chain and keeps nothing of a
model call that is over. It is imported by those who use it, since it needs ``langchain_core``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, NoReturn
from uuid import UUID

import attrs
from langchain_core.callbacks import AsyncCallbackHandler

from ldtrack.core.reading import CONTENT, Reading, Wants
from ldtrack.loops import running_loop
from ldtrack.providers.langchain import LangChainReader
from ldtrack.tracking.graph_run import GraphRun
from ldtrack.tracking.node_run import Visit
from ldtrack.tracking.run import Run
from ldtrack.tracking.stream import TrackedStream

__all__ = ["LangChainCallbacks"]

_LANGCHAIN: Final = LangChainReader()
_PLACE: Final = "langgraph_checkpoint_ns"
"""Where LangGraph says which task this is: names and ids of all tasks around it, the outermost first."""


class LangChainCallbacks(AsyncCallbackHandler):
    """Tells a run, or the nodes of a graph's run, what LangChain does: one handler for one execution.

    Given a ``Run``, all model calls are its. Given a ``GraphRun``, nodes of LangGraph that are called as the
    graph's nodes are visited, and own what happens inside; ``nodes`` says which node of the graph is meant
    where LangGraph's has another name. Make it where the chain is awaited: of synchronous nodes, which
    LangGraph runs in threads, first tokens are not known.
    """

    def __init__(self, run: Run | GraphRun, nodes: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._run = run
        self._names = dict(nodes or {})
        self._loop = running_loop()
        self._calls: dict[UUID, _ModelCall] = {}
        self._visits: dict[UUID, tuple[str, Visit]] = {}
        """Open visits by the run that began them, each with its place."""
        if isinstance(run, GraphRun):
            known = run.tracker.node_keys
            strangers = [key for key in self._names.values() if key not in known]
            if strangers:
                raise ValueError(
                    f"nodes must lead to nodes of the graph, not to {strangers[0]!r}: it has {known}"
                )

    # Nodes

    async def on_chain_start(
        self,
        serialized: Any,
        inputs: Any,
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **beside: Any,
    ) -> None:
        """Begin a visit where a node's own chain begins; there is no wait to cancel."""
        with self._quietly():
            place = self._place_of(metadata)
            if place is None or not isinstance(self._run, GraphRun):
                return
            if all(place[0] != known for known, _ in self._visits.values()):
                visit = self._run.visit(place[1])
                visit.begin()
                self._visits[run_id] = (place[0], visit)

    async def on_chain_end(self, outputs: Any, *, run_id: UUID, **beside: Any) -> None:
        """End the visit that this chain began; there is no wait to cancel."""
        with self._quietly():
            self._leave(run_id, None)

    async def on_chain_error(self, error: BaseException, *, run_id: UUID, **beside: Any) -> None:
        """End the visit that this chain began, with what broke it off; there is no wait to cancel."""
        with self._quietly():
            self._leave(run_id, None if _is_control_flow(error) else error)

    def _leave(self, run_id: UUID, error: BaseException | None) -> None:
        _, visit = self._visits.pop(run_id, (None, None))
        if visit is not None:
            visit.end(error)

    def _place_of(self, metadata: Mapping[str, Any] | None) -> tuple[str, str] | None:
        """The outermost task around this that is a node of the graph: its place, and the node's key."""
        if not isinstance(self._run, GraphRun):
            return None
        path = str((metadata or {}).get(_PLACE) or "").split("|")
        for depth, task in enumerate(path, start=1):
            name = task.partition(":")[0]
            key = self._names.get(name, name)
            if key in self._run.tracker.node_keys:
                return "|".join(path[:depth]), key
        return None

    # Model calls

    async def on_chat_model_start(
        self,
        serialized: Any,
        messages: Any,
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **beside: Any,
    ) -> None:
        """Note whose call begins; there is no wait to cancel."""
        await self.on_llm_start(serialized, [], run_id=run_id, metadata=metadata)

    async def on_llm_start(
        self,
        serialized: Any,
        prompts: Any,
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **beside: Any,
    ) -> None:
        """Note whose call begins; there is no wait to cancel."""
        with self._quietly():
            run = self._owner(metadata)
            if run is not None:
                self._calls[run_id] = _ModelCall(run)

    def _owner(self, metadata: Mapping[str, Any] | None) -> Run | None:
        if not isinstance(self._run, GraphRun):
            return self._run
        place = self._place_of(metadata)
        if place is not None:
            return self._run.node(place[1])
        self._run._recorder.hint(  # noqa: SLF001 - of those who measure, as the run is
            "callbacks outside of nodes",
            f"A model was called outside of the nodes of graph {self._run.tracker.graph_key!r}, so nobody is "
            "charged for it: call LangGraph's nodes as the graph's, or say what is what with nodes={...}",
        )
        return None

    async def on_llm_new_token(self, token: Any, *, run_id: UUID, chunk: Any = None, **beside: Any) -> None:
        """Take in a chunk; nothing is waited for but the run, which has it at once."""
        with self._quietly():
            call = self._calls.get(run_id)
            # A synchronous node has a loop for each word, with which the stream would end: it has its whole.
            if call is not None and running_loop() is self._loop:
                await call.take(_TOKEN if chunk is None else chunk)

    async def on_llm_end(self, response: Any, *, run_id: UUID, **beside: Any) -> None:
        """Take in the whole answer, and end the call; nothing is waited for but the run."""
        with self._quietly():
            call = self._calls.pop(run_id, None)
            if call is not None:
                await call.end(response)

    async def on_llm_error(self, error: BaseException, *, run_id: UUID, **beside: Any) -> None:
        """End the call with its error, keeping what it used; nothing is waited for but the run."""
        with self._quietly():
            call = self._calls.pop(run_id, None)
            if call is not None:
                await call.fail(error)

    async def on_tool_error(self, error: BaseException, *, run_id: UUID, **beside: Any) -> None:
        """Say nothing: an error that a node survives is not its outcome, and any other ends its chain."""

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        """C5: who only measures never breaks a chain."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - as above
            self._run._recorder.failed("callbacks", error)  # noqa: SLF001 - of those who measure, as the run is


_TOKEN: Final = "token"  # noqa: S105 - of a model's text
"""Stands for a piece of text of which nothing else is known."""


class _CallReader:
    """Reads what callbacks are told of one model call: its chunks, then the whole, which replaces them."""

    wants: Wants = Wants.EVERY
    marks_end: bool = False
    usage_hint: str = ""
    modules: tuple[str, ...] = ()

    def recognises(self, item: object) -> bool:
        """Whatever it is, it came from a callback."""
        return True

    def read(self, item: Any) -> Reading | None:
        """What a chunk or the whole answer says; all of it is about one step."""
        if item is _TOKEN:
            return CONTENT
        reading = _LANGCHAIN.read(item)
        return reading if reading is None or reading is CONTENT else reading._replace(step="")


_READER: Final = _CallReader()


class _Told(AsyncIterator[Any]):
    """A stream of what callbacks were told, which has everything before it is asked."""

    def __init__(self) -> None:
        self.items: deque[Any] = deque()
        self.error: BaseException | None = None

    async def __anext__(self) -> Any:
        if self.items:
            return self.items.popleft()
        raise self.error or StopAsyncIteration

    async def aclose(self) -> None:
        """Nothing stands behind it."""


@attrs.define(eq=False)
class _ModelCall:
    """One model call: a stream for its run from the first chunk on, or else an answer in the end."""

    _run: Run
    _told: _Told = attrs.field(factory=_Told)
    _stream: TrackedStream[Any] | None = None

    async def take(self, item: Any) -> None:
        if self._stream is None:
            self._stream = self._run.stream(self._told, reader=_READER)
        self._told.items.append(item)
        await anext(self._stream)

    async def end(self, response: Any) -> None:
        if self._stream is None:
            self._run.observe(response)
            return
        await self.take(response)
        with suppress(StopAsyncIteration):
            await anext(self._stream)

    async def fail(self, error: BaseException) -> None:
        try:
            if self._stream is None:
                await self._run.call(_Failed(error))
            else:
                self._told.error = error
                await anext(self._stream)
        except BaseException as raised:
            if raised is not error:
                raise


@attrs.frozen
class _Failed:
    """An answer that never came; unlike a coroutine, nobody has to await it."""

    error: BaseException

    def __await__(self) -> NoReturn:
        raise self.error


def _is_control_flow(error: BaseException) -> bool:
    """Whether LangGraph only says where to go on with this, or that it waits for somebody."""
    return any(kind.__name__ == "GraphBubbleUp" for kind in type(error).__mro__)
