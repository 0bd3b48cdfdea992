"""The front door: ``AIClient``.

Rule for this file: it puts the parts together and owns what runs in the background. Evaluating configs is
the affair of ``configs``, measuring runs that of ``tracking``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from ldclient import Context, Result

from ldtrack.agents.graph_methods import ManagedGraphMethods
from ldtrack.agents.methods import Managing
from ldtrack.agents.policy import DEFAULT_POLICY, JudgePolicy
from ldtrack.configs.ldclient_config import introducing_of, privacy_of
from ldtrack.core import events
from ldtrack.core.events import Attribution, Event, GraphAttribution
from ldtrack.core.options import (
    given,
    require_callables,
    require_clock,
    require_flags,
    require_kinds,
    require_methods,
    require_positive,
    require_seconds,
    require_several,
)
from ldtrack.core.privacy import Privacy
from ldtrack.core.signing import TokenSigner
from ldtrack.delivery import LDClientDestination
from ldtrack.delivery.background import BackgroundRelay
from ldtrack.ids import SDK_NAME, VERSION, SystemClock, new_run_id
from ldtrack.ledgers import MemoryLedger
from ldtrack.providers import ReaderRegistry
from ldtrack.tracking.graph_tracker import GraphTracker
from ldtrack.tracking.recorder import Recorder, Stats
from ldtrack.tracking.sub_run import tracker_of
from ldtrack.tracking.tokens import RunTokens, parent_in
from ldtrack.tracking.tracker import Tracker
from ldtrack.typing import Destination, Ledger, Observer

if TYPE_CHECKING:
    from ldtrack.running import RunnerFactory
    from ldtrack.typing import (
        Clock,
        Estimator,
        FlushResult,
        LaunchDarklyClient,
        NewRunId,
        Reader,
    )

__all__ = ["AIClient"]

_INTERNAL = Context.builder("ld-internal-tracking").kind("ld_ai").anonymous(True).build()
"""Whom the SDK info event is about: nobody."""


class AIClient(ManagedGraphMethods):
    """Evaluates AI Configs and tracks their runs, over an ``LDClient`` or an ``AsyncLDClient``.

    Use it as ``async with AIClient(ld_client) as ai``. It may be used without entering when nothing has to
    run in the background, which is so unless an ``idle_limit`` or a ``destination`` is set. It never closes
    ``ld_client``: who made it closes it, after this client.

    ``ledger`` decides what is recorded once. By default that is a ``MemoryLedger`` of this client's own:
    another client, in this process or elsewhere, knows nothing of what this one has recorded.
    ``destination`` is where a durable ledger's events are delivered to, by a relay that runs while this
    client is entered. Without one a durable ledger only records, and some other relay delivers.
    ``signer`` signs resumption tokens, and refuses unsigned ones.
    ``readers`` are asked before the built-in ones.
    ``usage_events=False`` silences the events about this library itself.
    ``context_events=False`` has a durable ledger leave out the index events that introduce contexts to
    LaunchDarkly, for when all of them are known there already.
    ``escape_html`` renders templates as LaunchDarkly's Python package does.
    ``privacy`` says which attributes of the context templates cannot read, besides those that the context
    marks as private: by default those that the client's ``Config`` marks. Or include them all.
    ``blocking_store`` says whether flags are to be evaluated in a worker thread; it is found out otherwise.
    ``model_time`` measures the time spent waiting for the provider in streams, too.
    ``idle_limit`` ends a stream that nobody has asked for a chunk for so many seconds.
    ``estimator`` guesses the usage of a stream whose provider reported none.
    ``settle_timeout`` bounds how long leaving a run waits for the ledger, ``close_timeout`` how long
    cleaning up waits for a provider's stream to close, both in seconds.
    ``runners`` make what runs managed models and agents, by provider; they go before the installed ones.
    ``judges`` says how long a judge may take, and how many of them are at work at a time.
    ``observers`` are told of every run that ends.
    """

    _is_introduced = False
    _sweeper: asyncio.Task[None] | None = None

    def __init__(
        self,
        ld_client: LaunchDarklyClient,
        *,
        ledger: Ledger | None = None,
        destination: Destination | None = None,
        signer: TokenSigner | None = None,
        clock: Clock | None = None,
        run_ids: NewRunId = new_run_id,
        readers: Iterable[Reader] = (),
        usage_events: bool = True,
        context_events: bool = True,
        escape_html: bool = False,
        privacy: Privacy | None = None,
        blocking_store: bool | None = None,
        model_time: bool = False,
        idle_limit: float | None = None,
        estimator: Callable[[], Estimator] | None = None,
        settle_timeout: float = 1.0,
        close_timeout: float = 2.0,
        runners: Mapping[str, RunnerFactory] | None = None,
        judges: JudgePolicy = DEFAULT_POLICY,
        observers: Iterable[Observer] = (),
    ) -> None:
        _require_options(locals())
        self._clock = clock = clock or SystemClock()
        self._tokens, self._usage_events = RunTokens(signer, clock), usage_events
        self._pass_through = LDClientDestination(ld_client)
        self._recorder = Recorder(
            ledger=ledger or MemoryLedger(self._pass_through),
            clock=clock,
            new_run_id=run_ids,
            find_reader=ReaderRegistry(readers).find,
            encode_token=self._tokens.write,
            model_time=model_time,
            idle_limit=idle_limit,
            settle_timeout=settle_timeout,
            close_timeout=close_timeout,
            new_estimator=estimator,
            observers=_observers_in(observers),
        )
        self._managing = Managing.of(runners, judges, self._recorder.failed, settle_timeout)
        self._background = BackgroundRelay(self._recorder.ledger, destination, self._recorder.failed)
        privacy = _instruct(ledger, ld_client, privacy, introduces=context_events)
        super().__init__(
            ld_client, self._recorder, escape_html=escape_html, privacy=privacy, blocking_store=blocking_store
        )
        self._introduce(is_heard=not self._pass_through.is_async)

    def __repr__(self) -> str:
        return f"<AIClient with {type(self._recorder.ledger).__name__}, {self.stats!r}>"

    async def __aenter__(self) -> Self:
        """Start what runs in the background; there is no wait to cancel."""
        self._introduce()
        ReaderRegistry.load()
        self._background.start()
        if self._recorder.idle_limit is not None and self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().create_task(self._sweep_forever())
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the client; cancelling it skips what is left of the flush."""
        await self.aclose()

    async def aclose(self, timeout: float = 5.0) -> None:
        """Let judges finish, end open streams, flush, and stop what runs in the background; idempotent.

        Judges and flush are given ``timeout`` seconds each. Unless judges are at work everything is settled
        before the first wait; cancelling it gives judges up and skips what is left of the flush.
        """
        try:
            await self._managing.finish(timeout)
        finally:
            await self._close(timeout)

    async def _close(self, timeout: float) -> None:
        sweeper, self._sweeper = self._sweeper, None
        if sweeper is not None:
            sweeper.cancel()
        for call in self._recorder.end_open_calls():
            call.close_soon()
        await self._recorder.drain()
        if sweeper is not None:
            await asyncio.wait([sweeper])
        await self._managing.aclose()
        await self._background.aclose(timeout)

    async def flush(self, timeout: float = 5.0) -> FlushResult:
        """Push what was recorded on its way, for at most ``timeout`` seconds; cancelling loses nothing.

        The result is truthy only if everything recorded before is known to be delivered. An ``LDClient``
        never says so: what was handed to one counts as unconfirmed.
        """
        return await self._background.flush(timeout)

    @property
    def stats(self) -> Stats:
        """What was recorded and what went wrong so far: a snapshot."""
        return self._recorder.stats()

    def resume(self, token: str, context: Context) -> Tracker:
        """A tracker for the run that a resumption token stands for, within that run's slots.

        Raises ``InvalidTokenError`` if the token cannot be read, or, with a signer, not be trusted.
        """
        _require_valid(context)
        claims = self._tokens.read(token, context)
        attribution = Attribution(
            claims.config_key, claims.version, claims.variation_key, graph_key=claims.graph_key
        )
        parent = parent_in(claims.extras)
        return tracker_of(self._recorder, attribution, context, claims.run_id, parent)

    def resume_graph(self, token: str, context: Context) -> GraphTracker:
        """``resume``, for the run of an agent graph. Its nodes have runs and tokens of their own."""
        _require_valid(context)
        claims = self._tokens.read_graph(token, context)
        attribution = GraphAttribution(claims.graph_key, claims.version, claims.variation_key)
        parent = parent_in(claims.extras)
        return GraphTracker(self._recorder, attribution, context, claims.run_id, parent_run_id=parent)

    def create_tracker(self, token: str, context: Context) -> Result:
        """``resume`` in the form of LaunchDarkly's SDK: a ``Result`` that holds the tracker or the error."""
        try:
            return Result.success(self.resume(token, context))
        except ValueError as error:  # InvalidTokenError is one
            return Result.fail(str(error), error)

    def _introduce(self, *, is_heard: bool = True) -> None:
        """Say once which library is at work.

        An asynchronous client listens only once it is started, so that one hears of us when this client is
        entered, or first asked for a config.
        """
        if is_heard and not self._is_introduced:
            self._is_introduced = True
            self._emit_quietly(events.sdk_info(SDK_NAME, VERSION), _INTERNAL)

    def _note_usage(self, event: Event, context: Context) -> None:
        self._introduce()
        self._emit_quietly(event, context)

    def _emit_quietly(self, event: Event, context: Context) -> None:
        if not self._usage_events:
            return
        try:
            self._pass_through.emit(event, context)
        except Exception as error:  # noqa: BLE001 - C5: an event about ourselves never breaks the app
            self._recorder.failed("usage event", error)

    def sweep(self) -> None:
        """End the streams that nobody has asked for a chunk for longer than the idle limit."""
        limit = self._recorder.idle_limit
        if limit is not None:
            self._recorder.end_idle_calls(self._clock.monotonic_ns() - int(limit * 1e9))

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep((self._recorder.idle_limit or 0) / 4)
            self.sweep()


def _instruct(
    ledger: Ledger | None, ld_client: LaunchDarklyClient, given: Privacy | None, *, introduces: bool
) -> Privacy:
    """Tell a ledger that writes contexts down what is private, and whether to introduce them.

    Returns what templates go by.
    """
    configured = privacy_of(ld_client)
    guard, introduce = getattr(ledger, "guard", None), getattr(ledger, "introduce", None)
    if guard is not None:
        guard(configured)
        if given is not None:
            guard(given)
    if introduce is not None and introduces:
        introduce(introducing_of(ld_client))
    return configured if given is None else given


def _observers_in(given: Iterable[Observer]) -> tuple[Observer, ...]:
    require_several(observers=given)
    observers = tuple(given)
    for one in observers:
        require_methods("each of observers", one, ("run_ended",), "an Observer")
    return observers


def _require_valid(context: object) -> None:
    if not isinstance(context, Context):
        raise TypeError(f"context must be an ldclient.Context, not {context!r}")
    if not context.valid:
        raise ValueError(f"context is invalid ({context.error}): nothing can be recorded for it")


def _require_options(options: Mapping[str, Any]) -> None:
    """Refuse options that would fail later, with what was given and what is wanted."""
    a_client = "an LDClient or an AsyncLDClient"
    require_methods("ld_client", options["ld_client"], ("variation", "track", "flush"), a_client)
    require_clock(options["clock"])
    require_kinds(_KINDS, given(**{name: options[name] for name in _KINDS}))
    require_kinds({"judges": JudgePolicy}, {"judges": options["judges"]})
    flags = ("usage_events", "context_events", "escape_html", "model_time")
    require_flags(
        **{name: options[name] for name in flags}, **given(blocking_store=options["blocking_store"])
    )
    require_callables(run_ids=options["run_ids"], **given(estimator=options["estimator"]))
    require_several(readers=options["readers"])
    require_seconds(settle_timeout=options["settle_timeout"], close_timeout=options["close_timeout"])
    require_positive(**given(idle_limit=options["idle_limit"]))


_KINDS: Final = {
    "ledger": Ledger,
    "destination": Destination,
    "signer": TokenSigner,
    "privacy": Privacy,
    "runners": Mapping,
}
