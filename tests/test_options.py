"""Whatever users make, made with a wrong option: it raises at once, and says what was given and is wanted."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from ldclient import Config

import ldtrack
import ldtrack.delivery
import ldtrack.ledgers
import ldtrack.testing
from ldtrack import (
    AIAgentConfigDefault,
    AIAgentConfigRequest,
    AIClient,
    AICompletionConfigDefault,
    AIGraphMetrics,
    AIJudgeConfigDefault,
    JudgeConfiguration,
    JudgePolicy,
    JudgeResult,
    LDAIMetrics,
    LDMessage,
    LDTool,
    LdtrackError,
    ModelConfig,
    Privacy,
    ProviderConfig,
    TokenSigner,
    TokenUsage,
    in_thread,
)
from ldtrack.delivery import JSONLines, LaunchDarklyEvents, LDClientDestination, Relay
from ldtrack.ledgers import MemoryLedger, PostgresLedger, RedisLedger, SQLiteLedger
from ldtrack.testing import (
    AsyncRecordingClient,
    FakeRunners,
    ManualClock,
    RecordingBacklog,
    RecordingClient,
    RecordingDestination,
    recording,
)

NAN, INF = float("nan"), float("inf")
CLOCK = "a Clock, not int, which has no time() and no monotonic_ns()"
CLIENT = "an LDClient or an AsyncLDClient, not {}"
PG, REDIS = "postgresql://nowhere/db", "redis://nowhere"


def relay(**options: Any) -> Relay:
    ends: dict[str, Any] = {"backlog": RecordingBacklog(), "destination": RecordingDestination()}
    return Relay(**(ends | options))


def client(**options: Any) -> AIClient:
    return AIClient(**({"ld_client": RecordingClient()} | options))


def events(**options: Any) -> LaunchDarklyEvents:
    return LaunchDarklyEvents(**({"sdk_key": "sdk-key"} | options))


def memory(**options: Any) -> MemoryLedger:
    return MemoryLedger(**({"outlet": LDClientDestination(RecordingClient())} | options))


def signer(**options: Any) -> TokenSigner:
    return TokenSigner(**({"keys": {"one": "0123456789abcdef"}} | options))


Table = dict[Any, list[tuple[dict[str, Any], str]]]

TABLE: Table = {
    client: [
        ({"ld_client": None}, f"ld_client must be {CLIENT.format('None')}"),
        ({"ld_client": "sdk-key"}, f"ld_client must be {CLIENT.format('str')}"),
        ({"ledger": "ledger.db"}, "ledger must be a Ledger, not str"),
        ({"ledger": SQLiteLedger}, "ledger must be a Ledger, not the class SQLiteLedger"),
        ({"destination": 3}, "destination must be a Destination, not int"),
        ({"signer": "secret"}, "signer must be a TokenSigner, not str"),
        ({"clock": 3}, f"clock must be {CLOCK}"),
        ({"run_ids": 3}, "run_ids must be a function, not 3 (int)"),
        ({"run_ids": None}, "run_ids must be a function, not None"),
        ({"readers": 3}, "readers must be several: a list or a tuple, not int"),
        ({"readers": None}, "readers must be several: a list or a tuple, not None"),
        ({"readers": [3]}, "3 is not a reader"),
        ({"usage_events": "no"}, "usage_events must be True or False, not 'no' (str)"),
        ({"context_events": None}, "context_events must be True or False, not None"),
        ({"escape_html": 1}, "escape_html must be True or False, not 1 (int)"),
        ({"privacy": ["email"]}, "privacy must be a Privacy, not list"),
        ({"blocking_store": "auto"}, "blocking_store must be True or False, not 'auto'"),
        ({"model_time": 3}, "model_time must be True or False, not 3"),
        ({"idle_limit": 0}, "idle_limit must be a positive number of seconds, got 0"),
        ({"idle_limit": "60"}, "idle_limit must be a number of seconds, not '60'"),
        ({"estimator": 3}, "estimator must be a function, not 3"),
        ({"settle_timeout": None}, "settle_timeout must be a number of seconds, not None"),
        ({"close_timeout": NAN}, "close_timeout must be a positive number of seconds, got nan"),
        ({"runners": ["openai"]}, "runners must be a Mapping, not list"),
        ({"judges": None}, "judges must be a JudgePolicy, not None"),
        ({"judges": 3}, "judges must be a JudgePolicy, not int"),
    ],
    relay: [
        ({"backlog": None}, "backlog must be a Backlog, not None"),
        ({"backlog": RecordingBacklog}, "backlog must be a Backlog, not the class RecordingBacklog"),
        ({"destination": None}, "destination must be a Destination, not None"),
        ({"batch_rows": "5"}, "batch_rows must be a whole number, not '5' (str)"),
        ({"batch_chars": 1.5}, "batch_chars must be a whole number, not 1.5 (float)"),
        ({"concurrency": True}, "concurrency must be a whole number, not True"),
        ({"concurrency": 0}, "concurrency must be at least 1, got 0"),
        ({"loan": "60"}, "loan must be a number of seconds, not '60'"),
        ({"interval": NAN}, "interval must be a positive number of seconds, got nan"),
        ({"owner": 3}, "owner must be a str, not int"),
        ({"clock": 3}, f"clock must be {CLOCK}"),
        ({"random": 0.5}, "random must be a function, not 0.5 (float)"),
    ],
    events: [
        ({"sdk_key": None}, "sdk_key is a NoneType, not text: take it from your project's settings"),
        ({"events_uri": 3}, "events_uri must be a str, not int"),
        ({"application": "shop"}, "application must be a Mapping, not str"),
        ({"application": {"id": 3}}, "application['id'] must be a str, not int"),
        ({"wrapper_name": 3}, "wrapper_name must be a str, not int"),
        ({"wrapper_version": None}, "wrapper_version must be a str, not None"),
        ({"compress": "gzip"}, "compress must be True or False, not 'gzip'"),
        ({"connect_timeout": 0}, "connect_timeout must be a positive number of seconds, got 0"),
        ({"read_timeout": "5"}, "read_timeout must be a number of seconds, not '5'"),
        ({"total_timeout": None}, "total_timeout must be a number of seconds, not None"),
        ({"http_proxy": 3128}, "http_proxy must be a str, not int"),
        ({"ca_certs": True}, "ca_certs must be a str, not bool"),
        ({"cert_file": 3}, "cert_file must be a str, not int"),
        ({"disable_ssl_verification": "no"}, "disable_ssl_verification must be True or False, not 'no'"),
        ({"clock": 3}, f"clock must be {CLOCK}"),
    ],
    LaunchDarklyEvents.from_config: [
        ({"config": None}, "config must be the Config of an LDClient, not NoneType"),
        ({"config": Config("key", offline=True)}, "the config is offline"),
        ({"config": Config("key"), "compres": True}, "compres"),
    ],
    JSONLines: [
        ({"path": None}, "path must be the path of a file, as a str or a Path, not None"),
        ({"path": b"events"}, "path must be the path of a file, as a str or a Path, not bytes"),
        ({"path": ""}, "path is empty: give the path of a file"),
    ],
    LDClientDestination: [({"client": None}, f"client must be {CLIENT.format('None')}")],
    memory: [
        ({"outlet": None}, "outlet must be an Outlet, such as LDClientDestination(client), not None"),
        ({"max_runs": 0}, "max_runs must be at least 1, got 0"),
        ({"max_runs": 1.5}, "max_runs must be a whole number, not 1.5"),
    ],
    SQLiteLedger: [
        ({"path": None}, "path must be the path of a file, as a str or a Path, not None"),
        ({"path": ":memory:"}, "a SQLite ledger needs the path of a file, got ':memory:'"),
        ({"path": "x", "synchronous": "OFF"}, "synchronous must be 'FULL' or 'NORMAL', got 'OFF'"),
        ({"path": "x", "deadline": "5"}, "deadline must be a number of seconds, not '5'"),
        ({"path": "x", "keep_claims": INF}, "keep_claims must be positive and at most"),
        ({"path": "x", "privacy": ["email"]}, "privacy must be a Privacy, not list"),
        ({"path": "x", "clock": 3}, f"clock must be {CLOCK}"),
    ],
    PostgresLedger: [
        ({"dsn": None}, "dsn must be a str, not None"),
        ({"dsn": PG, "schema": 3}, "schema must be a str, not int"),
        ({"dsn": PG, "spool": 3}, "spool must be the path of a file, as a str or a Path, not int"),
        ({"dsn": PG, "deadline": 0}, "deadline must be positive and at most"),
        ({"dsn": PG, "privacy": 3}, "privacy must be a Privacy, not int"),
        ({"dsn": PG, "clock": 3}, f"clock must be {CLOCK}"),
    ],
    RedisLedger: [
        ({"url": 3}, "url must be a str, such as 'redis://host:6379/0', not int"),
        ({"url": REDIS, "name": 3}, "name must be a str, not int"),
        ({"url": REDIS, "shards": "5"}, "shards must be a whole number, not '5' (str)"),
        ({"url": REDIS, "wait_replicas": -1}, "wait_replicas must be at least 0, got -1"),
        ({"url": REDIS, "spool": None}, "spool must be the path of a file, as a str or a Path, not None"),
        ({"url": REDIS, "driver": ["x"]}, "driver must be a Mapping, not list"),
        ({"url": REDIS, "deadline": None}, "deadline must be a number of seconds, not None"),
        ({"url": REDIS, "privacy": 3}, "privacy must be a Privacy, not int"),
        ({"url": REDIS, "clock": 3}, f"clock must be {CLOCK}"),
    ],
    signer: [
        ({"keys": "secret"}, "keys must map key ids to secrets"),
        ({"ttl": "60"}, "ttl must be a timedelta or a number of seconds, not str"),
        ({"bind_context": "yes"}, "bind_context"),
    ],
    Privacy: [
        ({"private_attributes": "email"}, "private_attributes must be several references: write ['email']"),
        ({"private_attributes": 3}, "private_attributes must be several: a list or a tuple, not int"),
        ({"private_attributes": [3]}, "private_attributes must be texts such as '/address/city', not 3"),
        ({"all_attributes_private": "no"}, "all_attributes_private must be True or False, not 'no'"),
        ({"include_private": None}, "include_private must be True or False, not None"),
    ],
    JudgePolicy: [
        ({"timeout": "5"}, "JudgePolicy.timeout must be a number of seconds, not '5'"),
        ({"at_once": 0}, "JudgePolicy.at_once must be at least 1"),
    ],
    RecordingBacklog: [({"clock": 3}, f"clock must be {CLOCK}")],
    RecordingDestination: [
        ({"refuses": '"bad"'}, "refuses must be a function, not '\"bad\"' (str)"),
        ({"max_chars": "9"}, "max_chars must be a whole number, not '9'"),
    ],
    RecordingClient: [({"flags": 3}, "flags must be a Mapping, not int")],
    AsyncRecordingClient: [({"flags": "on"}, "flags must be a Mapping, not str")],
    ManualClock: [({"start": "now"}, "start must be a number of seconds, not 'now'")],
    FakeRunners: [({}, "FakeRunners needs at least one answer")],
    recording: [
        ({"client": 3}, "client must be a RecordingClient or an AsyncRecordingClient, not int"),
        ({"ledger": 3}, "ledger must be a Ledger, not int"),
    ],
    in_thread: [({"body": 3}, "in_thread needs an iterable, or a function that returns one, not 3")],
    AICompletionConfigDefault: [({"enabled": "on"}, "AICompletionConfigDefault.enabled must be bool")],
    AIAgentConfigDefault: [({"model": 3}, "AIAgentConfigDefault.model must be ModelConfig or None, not 3")],
    AIJudgeConfigDefault: [({"provider": 3}, "AIJudgeConfigDefault.provider must be ProviderConfig or None")],
    AIAgentConfigRequest: [({"key": 3}, "AIAgentConfigRequest.key must be a str, not 3")],
    JudgeConfiguration.Judge: [({"key": 3, "sampling_rate": 1}, "JudgeConfiguration.Judge.key must be a")],
    LDMessage: [({"role": 3, "content": ""}, "LDMessage.role must be a str, not 3")],
    LDTool: [({"name": 3}, "LDTool.name must be a str, not 3")],
    ModelConfig: [({"name": 3}, "ModelConfig.name must be a str, not 3")],
    ProviderConfig: [({"name": 3}, "ProviderConfig.name must be a str, not 3")],
    TokenUsage: [({"total": "3"}, "TokenUsage.total must be a whole number, not '3'")],
    LDAIMetrics: [({"tokens": 3}, "LDAIMetrics.tokens must be an ldtrack.TokenUsage, not 3")],
    AIGraphMetrics: [({"tokens": 3}, "tokens must be an ldtrack.TokenUsage, not 3")],
    JudgeResult: [({"score": "3"}, "JudgeResult.score must be a number, not '3'")],
}
CASES = [(make, options, said) for make, cases in TABLE.items() for options, said in cases]

MADE_FOR_USERS = {
    "AIAgentConfig",
    "AICompletionConfig",
    "AIJudgeConfig",
    "AgentGraphDefinition",
    "AgentGraphNode",
    "AgentGraphRunnerResult",
    "Conversation",
    "Edge",
    "EndedRun",
    "Evaluations",
    "FakeRunner",
    "FlushResult",
    "GraphEvaluations",
    "GraphMetricSummary",
    "GraphRun",
    "GraphTracker",
    "Judge",
    "JudgeConfiguration",
    "ManagedAgent",
    "ManagedAgentGraph",
    "ManagedGraphResult",
    "ManagedGraphStream",
    "ManagedModel",
    "ManagedResult",
    "ManagedStream",
    "MetricSummary",
    "NodeAnswer",
    "NodeRun",
    "NodeText",
    "RecordedEvent",
    "Recording",
    "RecordingLedger",
    "RelayStats",
    "Run",
    "RunnerResult",
    "SequentialIds",
    "Stats",
    "TrackedStream",
    "Tracker",
}
"""What the library hands out, what takes no options, and what only somebody who writes a runner makes."""


def name_of(make: Callable[..., Any]) -> str:
    return getattr(make, "__qualname__", str(make))


def id_of(make: Callable[..., Any], options: Mapping[str, Any]) -> str:
    """The same in every process: an object goes by its type, not by where it is."""
    return re.sub(r"<([\w.]+) object at 0x\w+>", r"\1", f"{name_of(make)} {options}")


@pytest.mark.parametrize(
    ("make", "options", "said"), CASES, ids=[id_of(make, options) for make, options, _ in CASES]
)
def test_a_wrong_option_raises_at_once(
    make: Callable[..., Any], options: dict[str, Any], said: str, tmp_path: Path, monkeypatch: Any
) -> None:
    """It says what was given and what to do, before anything else happens."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises((TypeError, ValueError, LdtrackError), match=re.escape(said)):
        make(**options)
    assert list(tmp_path.iterdir()) == []


def test_nothing_that_users_make_is_left_out() -> None:
    """Every class of the public API is in the table, or says why not."""
    helpers = {client: AIClient, relay: Relay, events: LaunchDarklyEvents, memory: MemoryLedger}
    tested = {helpers.get(make, TokenSigner if make is signer else make) for make in TABLE}
    public: set[Any] = set()
    for module in (ldtrack, ldtrack.ledgers, ldtrack.delivery, ldtrack.testing):
        public |= {getattr(module, name) for name in module.__all__}
    classes = {one for one in public if inspect.isclass(one) and not issubclass(one, BaseException)}
    enums = {one for one in classes if hasattr(one, "__members__")}
    missing = {one.__name__ for one in classes - enums - tested}
    assert missing == MADE_FOR_USERS
