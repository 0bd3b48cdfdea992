"""The whole public API, used as users will use it, and checked by mypy and pyright. Never executed.

Rule for this file: every call stands where its result's type matters, and says that type. A line
with an ignore is a call that must not pass: were it to pass, the ignore would be reported.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, assert_type

import anthropic
import openai
from ldclient import Config, Context, LDClient, Result
from ldclient.async_client import AsyncLDClient
from openai import AsyncStream
from openai.types.chat import ChatCompletion, ChatCompletionChunk

import ldtrack
from ldtrack import (
    AIAgentConfig,
    AIAgentConfigDefault,
    AIAgentConfigRequest,
    AIClient,
    AICompletionConfig,
    AICompletionConfigDefault,
    AIJudgeConfig,
    AIJudgeConfigDefault,
    Conversation,
    CutShortError,
    DuplicateError,
    Ending,
    Evaluations,
    Feedback,
    FlushResult,
    InvalidTokenError,
    Judge,
    JudgeConfiguration,
    JudgePolicy,
    JudgeResult,
    LDAIMetrics,
    LDMessage,
    LDTool,
    LdtrackError,
    LedgerError,
    ManagedAgent,
    ManagedModel,
    ManagedResult,
    ManagedStream,
    MemoryLedger,
    MetricSummary,
    MisuseError,
    ModelConfig,
    NoRunnerError,
    Outcome,
    Privacy,
    ProviderConfig,
    RoundLimitError,
    Run,
    RunnerResult,
    Stats,
    TokenSigner,
    TokenUsage,
    TrackedStream,
    Tracker,
)
from ldtrack.core.introductions import Introducing
from ldtrack.core.slots import Claim
from ldtrack.delivery import (
    JSONLines,
    LaunchDarklyEvents,
    LDClientDestination,
    Relay,
    RelayState,
    RelayStats,
)
from ldtrack.ledgers import PostgresLedger, RedisLedger, SQLiteLedger
from ldtrack.providers.langchain_callbacks import LangChainCallbacks
from ldtrack.providers.runners.anthropic import AnthropicRunners
from ldtrack.providers.runners.langchain import LangChainRunners
from ldtrack.providers.runners.langgraph import LangGraphRunners
from ldtrack.providers.runners.openai import OpenAIRunners
from ldtrack.providers.runners.openai_agents import OpenAIAgentsRunners
from ldtrack.running import Calls, PlainRunner, Runner, RunnerFactory, Schema, StreamingRunner
from ldtrack.running_graphs import GraphCalls, GraphRunnerFactory
from ldtrack.testing import (
    AsyncRecordingClient,
    FakeRunner,
    FakeRunners,
    ManualClock,
    RecordedEvent,
    Recording,
    RecordingBacklog,
    RecordingClient,
    RecordingDestination,
    RecordingLedger,
    SequentialIds,
    recording,
    strict,
)
from ldtrack.typing import (
    CONTENT,
    Aside,
    Backlog,
    Batch,
    Clock,
    Destination,
    Estimator,
    Flight,
    HastyBacklog,
    LaunchDarklyClient,
    Ledger,
    Observer,
    Outlet,
    PatientFlight,
    PatientLedger,
    Reader,
    Reading,
    Receipt,
    Standing,
    ToolCall,
    UsageReport,
    Verdict,
    Wants,
)


class Spans:
    """An observer."""

    def run_ended(self, run: ldtrack.EndedRun) -> None:
        assert_type(run.run_id, str)
        assert_type(run.parent_run_id, str | None)
        assert_type(run.summary, MetricSummary | ldtrack.GraphMetricSummary)


class Frames:
    """A reader."""

    wants = Wants.EVERY
    marks_end = False
    usage_hint = ""

    def recognises(self, item: object) -> bool:
        return isinstance(item, tuple)

    def read(self, item: Any) -> Reading | None:
        if not item:
            return CONTENT
        called = ToolCall(id="call-1", name="search")
        return Reading(content=True, usage=UsageReport(input=1), tool_calls=(called,))


class Guess:
    """An estimator."""

    def see(self, chunk: Any) -> None: ...

    def usage(self) -> TokenUsage | None:
        return TokenUsage(output=1)


class Nowhere:
    """An outlet."""

    def send(self, claim: Claim) -> None: ...

    async def flush(self, timeout: float) -> FlushResult:
        return FlushResult(delivered=1)


def protocols() -> tuple[Reader, Estimator, Clock, list[Ledger], list[LaunchDarklyClient]]:
    """What parts plug in through."""
    outlet: Outlet = Nowhere()
    ledgers: list[Ledger] = [MemoryLedger(outlet, max_runs=10), RecordingLedger()]
    return Frames(), Guess(), ManualClock(), ledgers, [RecordingClient(), AsyncRecordingClient()]


PRIVACY = Privacy(
    private_attributes=["email"],
    all_attributes_private=False,
    include_private=False,
)


class Somewhere:
    """A destination."""

    async def deliver(self, batch: Batch) -> Receipt:
        return Receipt(Verdict.LATER, "not today", after=60.0)

    async def aclose(self) -> None: ...


async def durable(ld: LDClient, claim: Claim, privacy: Privacy) -> None:
    """Ledgers that outlive the process, and what brings their events on."""
    config = Config("sdk-key")
    events = LaunchDarklyEvents.from_config(config)
    assert_type(events, LaunchDarklyEvents)
    rotating = LaunchDarklyEvents(lambda: "sdk-key", events_uri="https://relay.example.com")
    destinations: list[Destination] = [
        events,
        rotating,
        JSONLines("events.jsonl"),
        LDClientDestination(ld),
        Somewhere(),
        RecordingDestination(),
    ]
    ledger = SQLiteLedger("ledger.db", synchronous="NORMAL", deadline=5, keep_claims=86_400, privacy=privacy)
    postgres = PostgresLedger("postgresql://db/track", schema="ldtrack", spool=False)
    redis = RedisLedger("redis://cache/0", name="ldtrack", spool="spool.db")
    backlogs: list[HastyBacklog] = [ledger, postgres, redis, RecordingBacklog()]
    patient: list[PatientLedger] = [ledger, postgres, redis]
    async with AIClient(ld, ledger=ledger, destination=events) as ai:
        stats = ai.stats
        assert_type(stats.pending, int | None)
        assert_type(stats.delivered, int | None)
        assert_type(stats.set_aside, int | None)
        assert_type(stats.spooled, int | None)
        assert_type(stats.oldest_s, float | None)
        assert_type(stats.last_error, str)

    flight = ledger.submit(claim)
    known: bool | Flight = flight
    if not isinstance(flight, bool):
        patient_flight: PatientFlight = flight
        assert_type(patient_flight.waiter(), asyncio.Future[bool])
    ledger.submit_quietly(claim)
    ledger.guard(privacy)
    ledger.introduce(Introducing(omits_anonymous=True))
    ledger.start()
    assert all([known, backlogs, patient, destinations])
    await deliveries(ledger, events)


async def deliveries(ledger: SQLiteLedger, events: LaunchDarklyEvents) -> None:
    """What a relay asks of a ledger, and an operator."""
    assert_type(ledger.recorded, int)
    assert_type(ledger.last_error, str)
    assert_type(ledger.last_standing, Standing)
    assert_type(await ledger.flush(1), FlushResult)
    batch = await ledger.lease(owner="me", limit=10, max_chars=10_000, seconds=60)
    assert_type(batch, Batch | None)
    if batch is not None:
        assert_type(await ledger.split(batch), tuple[Batch, Batch] | None)
        await ledger.postpone(batch, 1.0)
        await ledger.hasten(10.0)
        await ledger.set_aside(batch, "refused")
        await ledger.delivered(batch)
        assert_type(await events.deliver(batch), Receipt)
    assert_type(await ledger.standing(), Standing)
    assert_type(await ledger.aside(limit=10), list[Aside])
    assert_type(await ledger.retry_aside(), int)
    assert_type(await ledger.discard_aside(), int)
    await ledger.aclose()
    await events.aclose()


async def client(sync: LDClient, asynchronous: AsyncLDClient, context: Context) -> None:
    """The front door."""
    async with AIClient(asynchronous) as entered:
        assert_type(entered, AIClient)
    observers: list[Observer] = [Spans()]
    signer = TokenSigner({"new": b"0123456789abcdef", "old": "0123456789abcdef"}, ttl=60, bind_context=False)
    ai = AIClient(
        sync,
        ledger=MemoryLedger(Nowhere()),
        signer=signer,
        clock=ManualClock(),
        run_ids=SequentialIds(),
        readers=[Frames()],
        observers=observers,
        usage_events=False,
        escape_html=True,
        privacy=PRIVACY,
        blocking_store=True,
        model_time=True,
        idle_limit=60,
        estimator=Guess,
        settle_timeout=0.5,
        close_timeout=1,
    )
    assert_type(ai.resume("token", context), Tracker)
    assert_type(ai.create_tracker("token", context), Result)
    assert_type(await ai.flush(timeout=1), FlushResult)
    assert_type(await ai.flush(), FlushResult)
    assert_type(ai.stats, Stats)
    assert_type(ai.stats.failures, Mapping[str, int])
    assert_type(TokenSigner.from_key("0123456789abcdef", key_id="k"), TokenSigner)
    version: str = ldtrack.__version__
    assert version
    await ai.aclose(timeout=1)


async def configs(ai: AIClient, context: Context) -> None:
    """All kinds of configs and their defaults."""
    model = ModelConfig("gpt", parameters={"temperature": 0.2}, custom={"a": [1]}, region="eu")
    tool = LDTool("search", description="d", type="function", parameters={}, custom_parameters={})
    judges = JudgeConfiguration([JudgeConfiguration.Judge("polite", 0.5)])
    messages = [LDMessage("system", "Hello {{name}}")]
    completion_default = AICompletionConfigDefault(
        enabled=True,
        model=model,
        provider=ProviderConfig("openai"),
        messages=messages,
        judge_configuration=judges,
        tools={"search": tool},
    )
    completion = await ai.completion_config("key", context, completion_default, {"name": "Ada"})
    assert_type(completion, AICompletionConfig)
    assert_type(await ai.completion_config_template("key", context, completion_default), AICompletionConfig)
    assert_type(completion.messages, tuple[LDMessage, ...] | None)
    assert_type(completion.model, ModelConfig | None)
    assert_type(completion.enabled, bool)
    assert_type(completion.problems, tuple[str, ...])
    assert_type(completion.to_dict(), dict[str, Any])
    assert_type(completion.create_tracker(), Tracker)

    agent_default = AIAgentConfigDefault(
        enabled=True, model=model, instructions="Be brief.", tools={"s": tool}
    )
    agent = await ai.agent_config("key", context, agent_default, variables={"name": "Ada"})
    assert_type(agent, AIAgentConfig)
    assert_type(agent.instructions, str | None)
    assert_type(await ai.agent_config_template("key", context), AIAgentConfig)
    requests = [AIAgentConfigRequest("key", agent_default, {"a": 1}), AIAgentConfigRequest("other")]
    assert_type(await ai.agent_configs(requests, context), dict[str, AIAgentConfig])

    judge_default = AIJudgeConfigDefault(enabled=True, messages=messages, evaluation_metric_key="m")
    judge = await ai.judge_config("key", context, judge_default)
    assert_type(judge, AIJudgeConfig)
    assert_type(judge.evaluation_metric_key, str | None)
    assert_type(await ai.judge_config_template("key", context), AIJudgeConfig)
    assert_type(AICompletionConfigDefault.disabled(), AICompletionConfigDefault)
    assert_type(AIAgentConfigDefault.disabled(), AIAgentConfigDefault)
    assert_type(AIJudgeConfigDefault.disabled(), AIJudgeConfigDefault)

    # Two families: a default has no tracker, and a config of one kind is no default of another.
    completion_default.create_tracker()  # type: ignore[attr-defined]
    await ai.agent_config("key", context, completion_default)  # type: ignore[arg-type]
    completion.enabled = False  # type: ignore[misc]


async def metrics(tracker: Tracker) -> None:
    """Everything that can be tracked by hand."""
    assert_type(await tracker.track_duration(1.5), bool)
    assert_type(await tracker.track_time_to_first_token(1), bool)
    assert_type(await tracker.track_tokens(TokenUsage(3, 1, 2, cached_input=1, reasoning=1)), bool)
    assert_type(await tracker.track_success(), bool)
    assert_type(await tracker.track_error(), bool)
    assert_type(await tracker.track_feedback(Feedback.POSITIVE), bool)
    assert_type(await tracker.track_feedback("negative"), bool)
    assert_type(await tracker.track_feedback({"kind": "positive"}), bool)
    assert_type(await tracker.track_tool_call("search"), bool)
    assert_type(await tracker.track_tool_calls(name for name in ("search", "buy")), bool)
    result = JudgeResult(judge_config_key="j", metric_key="m", score=0.5, sampled=True, success=True)
    assert_type(await tracker.track_judge_result(result), bool)
    assert_type(tracker.run_id, str)
    assert_type(tracker.resumption_token, str)

    summary = tracker.summary
    assert_type(summary, MetricSummary)
    assert_type(summary.duration_ms, int | None)
    assert_type(summary.time_to_first_token, int | None)
    assert_type(summary.tokens, TokenUsage | None)
    assert_type(summary.success, bool | None)
    assert_type(summary.feedback, Feedback | None)
    assert_type(summary.tool_calls, tuple[str, ...])
    assert_type(summary.outcome, Outcome | None)
    assert_type(summary.ending, Ending | None)
    assert_type(summary.model_ms, int | None)


async def operations(tracker: Tracker, sdk: openai.AsyncOpenAI) -> None:
    """Wrapping a whole operation keeps the type of its result."""

    def sync_answer() -> bytes:
        return b""

    async def async_answer() -> str:
        return ""

    async def completion() -> ChatCompletion:
        return await sdk.chat.completions.create(model="gpt", messages=[])

    def extract(answer: ChatCompletion) -> LDAIMetrics | None:
        return LDAIMetrics(
            success=bool(answer.choices), tokens=TokenUsage(1), tool_calls=["a"], duration_ms=1
        )

    def extract_text(answer: str) -> LDAIMetrics:
        return LDAIMetrics(success=bool(answer))

    def extract_bytes(answer: bytes) -> None: ...

    assert_type(await tracker.track_duration_of(async_answer), str)
    assert_type(await tracker.track_duration_of(sync_answer), bytes)
    assert_type(await tracker.track_metrics_of(extract, completion), ChatCompletion)
    assert_type(await tracker.track_metrics_of(extract_text, async_answer), str)
    assert_type(await tracker.track_metrics_of(extract_bytes, sync_answer), bytes)


async def runs(tracker: Tracker, sdk: openai.AsyncOpenAI) -> None:
    """A run and its calls."""
    run = tracker.run(cancelled_as=Outcome.ERROR, duration="model", model_time=True, estimator=Guess)
    assert_type(run, Run)
    tracker.run(duration="cpu")  # type: ignore[arg-type]
    async with run as entered:
        assert_type(entered, Run)
        answer = await entered.call(sdk.chat.completions.create(model="gpt", messages=[]))
        assert_type(answer, ChatCompletion)
        future: Awaitable[int] = entered_future()
        assert_type(await entered.call(future, lambda number: LDAIMetrics(success=number > 0)), int)
        entered.observe(answer)
        entered.observe(answer, lambda seen: LDAIMetrics())
        assert_type(await entered.track_success(), bool)
        assert_type(entered.summary, MetricSummary)
        assert_type(entered.resumption_token, str)
        assert_type((entered.run_id, entered.parent_run_id), tuple[str, str | None])
        assert_type(entered.tracker, Tracker)
        stream = entered.stream(
            await sdk.chat.completions.create(model="gpt", messages=[], stream=True),
            first_token=lambda chunk: bool(chunk.choices),
            reader=Frames(),
        )
        assert_type(stream, TrackedStream[ChatCompletionChunk])


async def entered_future() -> int:
    """Something to await."""
    return 1


async def streams(
    *,
    tracker: Tracker,
    sdk: openai.AsyncOpenAI,
    claude: anthropic.AsyncAnthropic,
    texts: AsyncIterator[str],
    waiting: Awaitable[AsyncIterator[str]],
    manager: AbstractAsyncContextManager[AsyncIterator[bytes]],
    both: Awaitable[AbstractAsyncContextManager[AsyncIterator[int]]],
) -> None:
    """A stream yields what its source yields, in whichever shape the source comes."""
    assert_type(tracker.stream(texts), TrackedStream[str])
    assert_type(tracker.stream(waiting), TrackedStream[str])
    assert_type(tracker.stream(manager), TrackedStream[bytes])
    assert_type(tracker.stream(both), TrackedStream[int])
    assert_type(tracker.stream(ldtrack.in_thread([b"body"])), TrackedStream[bytes])
    assert_type(tracker.stream(ldtrack.in_thread(lambda: iter([1.5]))), TrackedStream[float])

    opened: AsyncStream[ChatCompletionChunk] = await sdk.chat.completions.create(
        model="gpt", messages=[], stream=True
    )
    assert_type(tracker.stream(opened), TrackedStream[ChatCompletionChunk])
    unopened = sdk.chat.completions.create(model="gpt", messages=[], stream=True)
    stream = tracker.stream(
        unopened, first_token=lambda chunk: chunk.choices != [], cancelled_as=Outcome.ERROR
    )
    assert_type(stream, TrackedStream[ChatCompletionChunk])
    async for chunk in stream:
        assert_type(chunk, ChatCompletionChunk)
    assert_type(await anext(stream), ChatCompletionChunk)
    assert_type(aiter(stream), AsyncIterator[ChatCompletionChunk])
    async with stream as entered:
        assert_type(entered, TrackedStream[ChatCompletionChunk])
    await stream.aclose()
    assert stream.response  # the provider's own, whatever it is

    helper = tracker.stream(claude.messages.stream(model="claude", max_tokens=1, messages=[]))
    async for event in helper:
        assert_type(event.type == "text", bool)

    tracker.stream(["sync"])  # type: ignore[arg-type]


def errors(error: Exception) -> str:
    """The tree of errors."""
    match error:
        case InvalidTokenError():
            value: ValueError = error
            return str(value)
        case MisuseError():
            runtime: RuntimeError = error
            return str(runtime)
        case LedgerError() | DuplicateError() | NoRunnerError() | RoundLimitError() | CutShortError():
            ours: LdtrackError = error
            return str(ours)
    raise error


async def testing(context: Context) -> None:
    """The fakes."""
    recorded = recording({"key": {}}, client=AsyncRecordingClient(), ledger=RecordingLedger(), idle_limit=1)
    assert_type(recorded, Recording)
    async with recorded as entered:
        assert_type(entered, Recording)
    assert_type(recorded.ai, AIClient)
    assert_type(recorded.clock, ManualClock)
    assert_type(recorded.client, RecordingClient | AsyncRecordingClient)
    assert_type(recorded.ledger, RecordingLedger | None)
    assert_type(recorded.events, list[RecordedEvent])
    assert_type(recorded.names("run"), list[str])
    assert_type(recorded.keys(), list[str])
    assert_type(recorded.values(), dict[str, float | None])
    recorded.set_flag("key", {"_ldMeta": {}})
    with strict():
        tracker = recorded.ai.resume("token", context)
        keep: Callable[[], Awaitable[bool]] = tracker.track_success
        await keep()


async def deliver(clock: ManualClock) -> None:
    """A relay between the two ends that tests have for it."""
    backlog, destination = RecordingBacklog(clock), RecordingDestination(max_chars=1000)
    ends: tuple[Backlog, Destination] = backlog, destination
    backlog.add('{"kind":"custom"}', events=1)
    destination.answer_next(Verdict.LATER, Receipt(Verdict.LATER, after=2.0), ValueError())
    relay = Relay(*ends, batch_rows=100, interval=0.5, clock=clock)
    assert_type(await relay.step(), bool)
    assert_type(await relay.drain(timeout=1.0), bool)
    relay.hurry()
    assert_type(relay.stats, RelayStats)
    assert_type(relay.stats.state, RelayState)
    assert_type(destination.bodies, list[str])
    assert_type(destination.accepted, dict[str, Batch])
    assert_type(await backlog.standing(), Standing)
    assert_type(backlog.aside(), list[Aside])


async def managed(ld: LDClient, context: Context, client: openai.AsyncOpenAI) -> None:
    """Models, agents and judges that measure themselves."""
    ours: dict[str, RunnerFactory] = {
        "openai": OpenAIRunners(client),
        "anthropic": AnthropicRunners(),
        "google": LangChainRunners(),
    }
    ai = AIClient(ld, runners=ours, judges=JudgePolicy(timeout=10, at_once=2, in_all=8))
    model = await ai.create_model("key", context, default_ai_provider="openai", tools={"now": lambda: "noon"})
    assert_type(model, ManagedModel | None)
    if model is None:
        return
    assert_type(model.config, AICompletionConfig)
    assert_type(model.runner, Runner | PlainRunner)
    result = await model.run("Hi", {"type": "object"}, parent="run")
    assert_type(result, ManagedResult)
    assert_type(result.content, str)
    assert_type(result.metrics, MetricSummary)
    assert_type(result.parsed, Mapping[str, Any] | None)
    assert_type(result.resumption_token, str)
    assert_type(result.success, bool)
    assert_type(result.evaluations, Evaluations)
    assert_type(await result.evaluations, tuple[JudgeResult, ...])
    assert_type(result.evaluations.done(), bool)
    async with model.stream([LDMessage("user", "Hi")]) as stream:
        assert_type(stream, ManagedStream)
        async for text in stream:
            assert_type(text, str)
    assert_type(stream.result, ManagedResult)
    await stream.aclose()
    conversation = model.conversation([LDMessage("user", "Hi")])
    assert_type(conversation, Conversation)
    assert_type(await conversation.run("And?"), ManagedResult)
    assert_type(conversation.stream("And?"), ManagedStream)
    assert_type(conversation.messages, tuple[LDMessage, ...])
    await model.run(7)  # type: ignore[arg-type]

    agent = await ai.create_agent("key", context, {"now": lambda: "noon"}, AIAgentConfigDefault())
    assert_type(agent, ManagedAgent | None)
    judge = await ai.create_judge("key", context, AIJudgeConfigDefault(), {"tone": "kind"})
    assert_type(judge, Judge | None)
    if judge is not None:
        assert_type(await judge.evaluate("Hi", "Hello", 0.5), JudgeResult)
        answer = RunnerResult(content="Hello")
        assert_type(await judge.evaluate_messages([LDMessage("user", "Hi")], answer), JudgeResult)


def runners(context: Context) -> None:
    """What others write for providers of theirs."""

    class Mine:
        async def run(self, input: Any, output_type: Schema | None = None, *, calls: Calls) -> RunnerResult:
            said = await calls.call(model(input))
            return RunnerResult(content=said, parsed={}, metrics=LDAIMetrics())

    class Plain:
        async def run(self, input: str, output_type: dict[str, Any] | None = None) -> RunnerResult:
            return RunnerResult(content=input)

    async def model(input: Any) -> str:
        return str(input)

    class Factory:
        def create_model(self, config: Any, tools: Any = None) -> Mine | Plain:
            return Plain() if tools else Mine()

        def create_agent(self, config: Any, tools: Any) -> None:
            return None

    factory: RunnerFactory = Factory()
    fakes: RunnerFactory = FakeRunners(
        "Hello", {"score": 1}, ValueError(), lambda messages: messages[-1].content
    )
    fake = FakeRunners("Hello").create_model(AICompletionConfig(key="k", enabled=True, new_tracker=_never))
    assert_type(fake, FakeRunner)
    streaming: StreamingRunner = fake
    both: tuple[RunnerFactory, RunnerFactory, StreamingRunner] = (factory, fakes, streaming)
    recording(runners={"openai": both[0]})


def _never() -> Tracker:
    raise NotImplementedError


async def graphs(ai: AIClient, context: Context) -> None:
    """Agent graphs, their runs, and runs with parents."""
    graph = await ai.agent_graph("trip", context, {"city": "Rome"})
    assert_type(graph, ldtrack.AgentGraphDefinition)
    assert_type(graph.root, ldtrack.AgentGraphNode | None)
    assert_type(graph.nodes["a"].config, AIAgentConfig)
    assert_type((graph.key, graph.enabled, graph.problems), tuple[str, bool, tuple[str, ...]])
    assert_type(graph.get_node("a"), ldtrack.AgentGraphNode | None)
    assert_type(graph.children("a") + graph.parents("a"), tuple[ldtrack.AgentGraphNode, ...])
    assert_type([node.is_terminal for node in graph.terminal_nodes], list[bool])
    edge: ldtrack.Edge = graph.edges[0]
    assert_type(edge.handoff["x"], Any)
    assert_type(graph.traverse(), tuple[ldtrack.AgentGraphNode, ...])
    assert_type(graph.reverse_traverse(lambda node, results: len(results), {}), int | None)
    graph.nodes["a"] = graph.nodes["b"]  # type: ignore[index]

    tracker = graph.create_tracker(parent="outer")
    assert_type(tracker, ldtrack.GraphTracker)
    assert_type((tracker.run_id, tracker.graph_key, tracker.parent_run_id), tuple[str, str, str | None])
    assert_type(tracker.node_keys, tuple[str, ...])
    assert_type(await tracker.track_invocation_success(), bool)
    assert_type(await tracker.track_invocation_failure(), bool)
    assert_type(await tracker.track_duration(1.5), bool)
    assert_type(await tracker.track_total_tokens(TokenUsage(1)), bool)
    assert_type(await tracker.track_path(["a", "b"]), bool)
    assert_type(await tracker.track_redirect("a", "b"), bool)
    assert_type(await tracker.track_handoff_success("a", "b"), bool)
    assert_type(await tracker.track_handoff_failure("a", "b"), bool)
    metrics = ldtrack.AIGraphMetrics(path=("a",), node_metrics={"a": LDAIMetrics()})
    assert_type(await tracker.track_graph_metrics_of(lambda _: metrics, lambda: 3), int)
    assert_type(ai.resume_graph(tracker.resumption_token, context), ldtrack.GraphTracker)

    async with tracker.run(cancelled_as=Outcome.ERROR) as run:
        assert_type(run, ldtrack.GraphRun)
        visit = run.visit("a")
        assert_type(visit.begin(), ldtrack.NodeRun)
        visit.end(ValueError())
        with run.visit("b") as node:
            assert_type(node, ldtrack.NodeRun)
            assert_type((node.key, node.usage), tuple[str, TokenUsage | None])
        run.handoff("a", "b", failed=True)
        run.redirect("a", "b")
        run.observe(metrics)
        assert_type(run.node("a"), ldtrack.NodeRun)
        assert_type(run.path, tuple[str, ...])
    assert_type(run.summary, ldtrack.GraphMetricSummary)
    assert_type((run.run_id, run.parent_run_id, run.resumption_token), tuple[str, str | None, str])
    assert_type((run.tracker, node.tracker), tuple[ldtrack.GraphTracker, ldtrack.Tracker])
    assert_type((node.summary, node.parent_run_id), tuple[MetricSummary, str | None])
    assert_type(run.summary.node_metrics["a"], MetricSummary)
    inner = tracker.node_tracker("a")
    assert_type(graph.nodes["a"].config.create_tracker(parent=inner).parent_run_id, str | None)


async def managed_graphs(ai: AIClient, context: Context) -> None:
    """Graphs that run themselves, on frameworks and on runners of one's own."""

    class Mine:
        async def run(
            self, input: Sequence[LDMessage], *, calls: GraphCalls
        ) -> ldtrack.AgentGraphRunnerResult:
            with calls.visit("a") as node:
                assert_type(node, ldtrack.NodeRun)
            calls.handoff("a", "b")
            calls.redirect("a", "c")
            answer = ldtrack.NodeAnswer(node="a", asked=tuple(input), content="Hello")
            return ldtrack.AgentGraphRunnerResult(content="Hello", answers=(answer,))

    class Factory:
        def create_agent_graph(self, graph: ldtrack.AgentGraphDefinition, tools: Any) -> Mine | None:
            return Mine() if graph.enabled else None

    factories: tuple[GraphRunnerFactory, ...] = (
        Factory(),
        LangGraphRunners(max_steps=9),
        OpenAIAgentsRunners(responses=False, max_turns=9),
    )
    runners: dict[str, RunnerFactory] = {"a": LangGraphRunners(), "b": OpenAIAgentsRunners()}
    assert_type(len(factories) + len(runners), int)

    graph = await ai.create_agent_graph("trip", context, {"now": lambda: "noon"}, variables={"a": 1})
    assert_type(graph, ldtrack.ManagedAgentGraph | None)
    if graph is None:
        return
    result = await graph.run("Hi", parent="outer")
    assert_type(result, ldtrack.ManagedGraphResult)
    assert_type((result.content, result.resumption_token), tuple[str, str])
    assert_type(result.metrics, ldtrack.GraphMetricSummary)
    assert_type(result.evaluations, ldtrack.GraphEvaluations)
    assert_type(await result.evaluations, Mapping[str, tuple[JudgeResult, ...]])
    async with graph.stream([LDMessage("user", "Hi")]) as stream:
        assert_type(stream, ldtrack.ManagedGraphStream)
        async for piece in stream:
            assert_type(piece, ldtrack.NodeText)
            assert_type((piece.text, piece.node), tuple[str, str])
    assert_type(stream.result, ldtrack.ManagedGraphResult)
    tracker = graph.graph.create_tracker()
    LangChainCallbacks(tracker.run(), {"theirs": "ours"})
    LangChainCallbacks(tracker.node_tracker("a").run())
