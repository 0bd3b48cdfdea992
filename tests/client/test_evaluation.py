"""Configs through the client: whatever is served, whoever asks, and whatever is done to what comes back."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from immutability import holes
from launchdarkly import PersistentCore, client, client_with_store, flag_source, persistent_store
from ldclient import Context
from ldclient.interfaces import UpdateProcessor

from ldtrack import (
    AIAgentConfigDefault,
    AIAgentConfigRequest,
    AIClient,
    AICompletionConfigDefault,
    AIJudgeConfigDefault,
    JudgeConfiguration,
    LDMessage,
    LDTool,
    LedgerError,
    ModelConfig,
    ProviderConfig,
)
from ldtrack.testing import RecordingClient, recording
from tests.strategies import MODES, json_values, nearly_flags

ADA = Context.create("ada")
NOBODY = Context.create("")
"""An invalid context: an empty key."""

FLAG = {
    "_ldMeta": {"enabled": True, "variationKey": "warm", "version": 3},
    "model": {
        "name": "gpt-4",
        "parameters": {"stop": ["end"], "nested": {"deep": [1]}},
        "custom": {"a": {"b": 1}},
    },
    "provider": {"name": "openai"},
    "messages": [{"role": "user", "content": "Hello {{name}}"}],
    "instructions": "Research {{name}}.",
    "tools": {"search": {"parameters": {"type": "object"}, "customParameters": {"limit": [3]}}},
    "judgeConfiguration": {"judges": [{"key": "judge", "samplingRate": 0.5}]},
    "evaluationMetricKey": "relevance",
}
METHODS = {
    "completion": ("completion_config", AICompletionConfigDefault),
    "agent": ("agent_config", AIAgentConfigDefault),
    "judge": ("judge_config", AIJudgeConfigDefault),
}


def own_default(mode: str) -> Any:
    """An enabled default with a model that no flag serves."""
    return METHODS[mode][1](enabled=True, model=ModelConfig("own"))


# Whoever asks


async def test_a_disabled_config_has_a_working_tracker() -> None:
    """What its caller does instead is worth measuring, too."""
    made = recording({"chat": {"_ldMeta": {"enabled": False, "variationKey": "off"}}})
    config = await made.ai.completion_config("chat", ADA)
    assert not config.enabled
    assert await config.create_tracker().track_success()
    assert made.events[-1].data["variationKey"] == "off"


@pytest.mark.parametrize("mode", MODES)
async def test_a_missing_flag_gives_the_default(mode: str) -> None:
    """Or, without one, a disabled config."""
    ai = recording().ai
    method = getattr(ai, METHODS[mode][0])
    assert (await method("chat", ADA, own_default(mode))).model.name == "own"
    assert not (await method("chat", ADA)).enabled


async def test_an_invalid_context_gets_a_config() -> None:
    """The default's, since no flag can be evaluated for it; templates find no context."""
    with client({"chat": FLAG}) as ld:
        default = AICompletionConfigDefault(
            enabled=True, messages=[LDMessage("user", "Hi {{ldctx.key}}{{name}}")]
        )
        config = await AIClient(ld).completion_config("chat", NOBODY, default, {"name": "you"})
    assert config.enabled
    assert [message.content for message in config.messages or ()] == ["Hi you"]


async def test_a_run_of_an_invalid_context_says_that_it_cannot_be_recorded() -> None:
    """An explicit call raises, once more each time; a run counts, and disturbs nobody."""
    made = recording({"chat": FLAG})
    tracker = (await made.ai.completion_config("chat", NOBODY)).create_tracker()
    for _ in range(2):
        with pytest.raises(LedgerError, match="its context is invalid"):
            await tracker.track_success()
    async with (await made.ai.completion_config("chat", NOBODY)).create_tracker().run():
        made.clock.advance(ms=5)
    assert made.events == []
    assert made.ai.stats.failures == {"duration": 1, "outcome": 1}
    assert made.ai.stats.recorded == 0


async def test_variables_that_are_no_mapping_are_a_mistake_in_the_code() -> None:
    """They raise; what is in a mapping may be anything."""
    ai = recording({"chat": FLAG}).ai
    with pytest.raises(TypeError, match="variables must be a mapping"):
        await ai.completion_config("chat", ADA, variables=["Ada"])  # type: ignore[arg-type]  # the point
    config = await ai.completion_config("chat", ADA, variables={"name": object()})
    assert [message.content for message in config.messages or ()] == ["Hello "]


# Whatever is served


class Served:
    """An ``AIClient`` over a real ``LDClient`` whose one flag changes."""

    def __init__(self, ld: Any, source: Any) -> None:
        self.ld = ld
        self._source = source

    def evaluate(self, value: Any, mode: str, default: Any) -> tuple[Any, list[str]]:
        """The config, evaluated twice by a new client, and what was logged about it."""
        self._source.update(self._source.flag("flag").value_for_all(value))
        ai, lines = AIClient(self.ld), LogLines()
        log = logging.getLogger("ldtrack")
        log.addHandler(lines)
        try:
            method = getattr(ai, METHODS[mode][0])
            first = asyncio.run(method("flag", ADA, default, {"name": "Ada"}))
            assert asyncio.run(method("flag", ADA, default, {"name": "Ada"})) == first
        finally:
            log.removeHandler(lines)
        return first, lines.said


class LogLines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    source = flag_source({})
    with client(source) as ld:
        yield Served(ld, source)


MALFORMED: list[Any] = [
    "gpt-4",
    "",
    4,
    0.5,
    True,
    None,
    [],
    [FLAG],
    {"_ldMeta": None},
    {"_ldMeta": []},
    {"_ldMeta": {"enabled": "false"}},
    {"_ldMeta": {"enabled": 1}},
    {"_ldMeta": {"enabled": True, "version": "3"}},
    {"_ldMeta": {"enabled": True, "variationKey": ["warm"]}},
    {"_ldMeta": {"enabled": True, "mode": "nonsense"}},
    {"_ldMeta": {"enabled": True}, "model": "gpt-4"},
    {"_ldMeta": {"enabled": True}, "model": {"parameters": {}}},
    {"_ldMeta": {"enabled": True}, "model": {"name": ""}},
    {"_ldMeta": {"enabled": True}, "provider": "openai"},
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("value", MALFORMED, ids=repr)
def test_a_malformed_flag_gives_the_default_the_reasons_and_one_log_line(
    served: Served, value: Any, mode: str
) -> None:
    """However often it is evaluated; the reasons are sentences, and the line has them all."""
    config, said = served.evaluate(value, mode, own_default(mode))
    assert config.enabled
    assert config.model.name == "own"
    assert config.problems
    assert all(problem.endswith(".") for problem in config.problems)
    (line,) = said
    assert line == f"AI Config 'flag' has problems: {' '.join(config.problems)}"


@pytest.mark.parametrize("mode", MODES)
@given(value=json_values)
def test_no_flag_raises(served: Served, mode: str, value: Any) -> None:
    """Any JSON gives a config of the right kind whose tracker works, and a log line if it has problems."""
    check(*served.evaluate(value, mode, own_default(mode)), mode)


@pytest.mark.parametrize("mode", MODES)
def test_no_flag_that_is_nearly_right_raises(served: Served, mode: str) -> None:
    """The same for flags with a few members wrong, missing or misspelt, which is what people make."""

    @given(value=nearly_flags(mode))
    def property_of(value: Any) -> None:
        check(*served.evaluate(value, mode, own_default(mode)), mode)

    property_of()


def check(config: Any, said: list[str], mode: str) -> None:
    assert type(config).__name__ == METHODS[mode][1].__name__.removesuffix("Default")
    assert len(said) == (1 if config.problems else 0)
    assert asyncio.run(config.create_tracker().track_success())
    config.to_dict()


async def test_different_problems_of_one_flag_are_each_said_once() -> None:
    """A flag that is repaired wrongly is worth another line."""
    lines = LogLines()
    logging.getLogger("ldtrack").addHandler(lines)
    try:
        made = recording({"chat": "gpt-4"})
        await made.ai.completion_config("chat", ADA)
        made.client.flags["chat"] = {"model": "gpt-4"}
        for _ in range(3):
            await made.ai.completion_config("chat", ADA)
    finally:
        logging.getLogger("ldtrack").removeHandler(lines)
    assert len(lines.said) == 2


class FailingClient(RecordingClient):
    """A client whose store cannot be reached."""

    def variation(self, key: str, context: Context, default: Any) -> Any:
        raise ConnectionError("redis://:secret@example.com")


@pytest.mark.parametrize("mode", MODES)
async def test_an_evaluation_that_fails_gives_the_default_and_says_so(
    mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The base SDK raises where its store fails early; addresses and passwords are not repeated."""
    method = getattr(AIClient(FailingClient()), METHODS[mode][0])
    for _ in range(2):
        config = await method("chat", ADA, own_default(mode))
    assert config.model.name == "own"
    assert config.problems == (
        "The flag could not be evaluated (ConnectionError).",
        "So the caller's default is used.",
    )
    (line,) = caplog.messages
    assert "secret" not in line


class LostCore(PersistentCore):
    """A database that goes away before the first flags have arrived."""

    is_lost = False

    def initialized_internal(self) -> bool:
        if self.is_lost:
            raise ConnectionError("redis://:secret@example.com")
        return False


class NeverReady(UpdateProcessor):
    """A connection to LaunchDarkly that does not come about."""

    def __init__(self, *_: Any) -> None:
        pass

    def start(self) -> None:
        pass

    def initialized(self) -> bool:
        return False


async def test_a_real_client_that_fails_gives_the_default_too() -> None:
    """The one case in which an ``LDClient`` is known to raise."""
    core = LostCore({})
    with client_with_store(
        persistent_store(core), use_ldd=False, update_processor_class=NeverReady, start_wait=0
    ) as ld:
        core.is_lost = True
        with pytest.raises(ConnectionError):
            ld.variation("chat", ADA, None)
        config = await AIClient(ld).completion_config("chat", ADA, own_default("completion"))
    assert config.problems[0] == "The flag could not be evaluated (ConnectionError)."
    assert config.model == ModelConfig("own")


async def test_a_cancelled_evaluation_is_not_taken_for_a_failing_one() -> None:
    """Cancellation passes."""

    class Cancelled(RecordingClient):
        def variation(self, key: str, context: Context, default: Any) -> Any:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await AIClient(Cancelled()).completion_config("chat", ADA)


async def test_one_broken_agent_does_not_spoil_a_batch() -> None:
    """The others come as they are served."""
    made = recording({"good": FLAG, "odd": 4, "torn": {**FLAG, "instructions": "{{#torn}}"}})
    requests = [AIAgentConfigRequest(key, own_default("agent")) for key in ("good", "odd", "torn")]
    configs = await made.ai.agent_configs(requests, ADA)
    assert [config.model.name for config in configs.values() if config.model] == ["gpt-4", "own", "gpt-4"]
    assert [bool(config.problems) for config in configs.values()] == [False, True, True]


# Whatever is done to what comes back


@pytest.mark.parametrize("mode", MODES)
async def test_nothing_in_a_config_can_be_changed(mode: str) -> None:
    """Neither by assignment nor by method, nor by pretending it is a dict or a list."""
    with client({"chat": FLAG}) as ld:
        method, default = METHODS[mode]
        ai = AIClient(ld)
        for config in (
            await getattr(ai, method)("chat", ADA),
            await getattr(ai, f"{method}_template")("chat", ADA),
            await getattr(ai, method)(
                "no-such-flag", ADA, default(enabled=True, model=ModelConfig("m", {"a": [1]}))
            ),
        ):
            assert holes(config) == []


@pytest.mark.parametrize("mode", MODES)
async def test_what_is_written_out_is_the_readers_own(mode: str) -> None:
    """``to_dict`` gives plain dicts and lists; spoiling them spoils neither the config nor the flag store."""
    flag = copy.deepcopy(FLAG)
    with client({"chat": flag}) as ld:
        method = getattr(AIClient(ld), METHODS[mode][0])
        config = await method("chat", ADA)
        before = config.to_dict()
        spoil(config.to_dict())
        assert config.to_dict() == before
        assert flag == FLAG
        assert (await method("chat", ADA)).to_dict() == before


def spoil(value: Any) -> None:
    """Change every dict and list in a value."""
    members = (
        list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, list) else []
    )
    for member in members:
        spoil(member)
    if isinstance(value, dict):
        value["spoilt"] = True
    if isinstance(value, list):
        value.append("spoilt")


@pytest.mark.parametrize("mode", MODES)
async def test_a_config_does_not_change_with_the_flag_store(mode: str) -> None:
    """What the store serves later, or somebody does to what it holds, is the next config's affair."""
    flag = copy.deepcopy(FLAG)
    with client({"chat": flag}) as ld:
        method = getattr(AIClient(ld), METHODS[mode][0])
        config = await method("chat", ADA)
        before = config.to_dict()
        flag["model"]["name"] = "another"
        flag["model"]["parameters"]["stop"].append("spoilt")
        assert config.to_dict() == before
        assert (await method("chat", ADA)).model.name == "another"


@pytest.mark.parametrize("missing", [True, False], ids=["missing flag", "hollow flag"])
async def test_a_default_does_not_change_with_what_it_was_made_of(missing: bool) -> None:
    """The caller's own dicts and lists are copied when the default is made."""
    parameters: dict[str, Any] = {"stop": ["end"]}
    custom: dict[str, Any] = {"owner": {"team": "support"}}
    messages = [LDMessage("user", "Hello")]
    judges = [JudgeConfiguration.Judge("judge", 1)]
    tools = {"search": LDTool("search", parameters=parameters)}
    default = AIAgentConfigDefault(
        enabled=True,
        model=ModelConfig("own", parameters, custom),
        provider=ProviderConfig("self"),
        judge_configuration=JudgeConfiguration(judges),
        tools=tools,
    )
    completion = AICompletionConfigDefault(messages=messages)
    ai = recording({} if missing else {"chat": {}}).ai
    before = (await ai.agent_config("chat", ADA, default)).to_dict()
    for given_part in (parameters, custom, messages, judges):
        spoil(given_part)
    tools.clear()
    messages.clear()
    config = await ai.agent_config("chat", ADA, default)
    assert config.to_dict() == before
    assert holes(config) == []
    assert [message.content for message in completion.messages or ()] == ["Hello"]


async def test_variables_are_used_and_not_kept() -> None:
    """Changing them afterwards changes nothing, and rendering does not change them."""
    variables: dict[str, Any] = {"name": "Ada", "more": {"list": [1]}}
    given_before = copy.deepcopy(variables)
    config = await recording({"chat": FLAG}).ai.completion_config("chat", ADA, variables=variables)
    assert variables == given_before
    variables["name"] = "Bob"
    assert [message.content for message in config.messages or ()] == ["Hello Ada"]
