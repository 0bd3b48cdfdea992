"""The events about this library itself: what was used, and who we are."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fake_provider import tick
from launchdarkly import Captured, client
from ldclient import Context

from ldtrack import AIAgentConfigRequest, AIClient
from ldtrack.ids import VERSION
from ldtrack.testing import RecordingClient

ADA = Context.create("ada")
INFO = "$ld:ai:sdk:info"
JUDGED = {
    "_ldMeta": {"enabled": True},
    "judgeConfiguration": {"judges": [{"key": "judge", "samplingRate": 1}]},
}

METHODS = [
    "completion_config",
    "completion_config_template",
    "agent_config",
    "agent_config_template",
    "judge_config",
    "judge_config_template",
]


class Diary(RecordingClient):
    """Writes down what was asked of it, in order."""

    def __init__(self, flags: Any = None) -> None:
        super().__init__(flags)
        self.lines: list[str] = []

    def track(self, event_name: str, context: Context, data: Any = None, metric_value: Any = None) -> None:
        self.lines.append(f"track {event_name.removeprefix('$ld:ai:')}")
        super().track(event_name, context, data, metric_value)

    def variation(self, key: str, context: Context, default: Any) -> Any:
        self.lines.append(f"variation {key}")
        return super().variation(key, context, default)


class AwaitedDiary(Diary):
    """The same for what an ``AsyncLDClient`` is asked."""

    async def variation(self, key: str, context: Context, default: Any) -> Any:
        await tick()
        return Diary.variation(self, key, context, default)


# Usage


@pytest.mark.parametrize("method", METHODS)
async def test_the_use_is_reported_before_the_flag_is_evaluated(method: str) -> None:
    """Once, under the method's name, even if the evaluation should fail."""
    diary = Diary()
    ai = AIClient(diary)
    await getattr(ai, method)("chat", ADA)
    name = method.replace("_", "-")
    assert diary.lines == ["track sdk:info", f"track usage:{name}", "variation chat"]
    assert (diary.events[-1].data, diary.events[-1].metric_value) == ("chat", 1)


async def test_a_batch_reports_itself_and_not_its_agents() -> None:
    """One event with their number, before the first is evaluated."""
    diary = Diary()
    requests = [AIAgentConfigRequest(key) for key in ("one", "two", "one")]
    configs = await AIClient(diary).agent_configs(requests, ADA)
    assert list(configs) == ["one", "two"]
    assert diary.lines[1:] == ["track usage:agent-configs", "variation one", "variation two"]
    assert (diary.events[-1].data, diary.events[-1].metric_value) == (3, 3)


async def test_a_batch_may_be_any_iterable() -> None:
    """A generator is counted, too."""
    diary = Diary()
    configs = await AIClient(diary).agent_configs((AIAgentConfigRequest(key) for key in "ab"), ADA)
    assert list(configs) == ["a", "b"]
    assert diary.events[-1].data == 2


async def test_attached_judges_are_neither_evaluated_nor_reported() -> None:
    """A config that names judges costs no more than one that does not."""
    diary = Diary({"chat": JUDGED})
    config = await AIClient(diary).completion_config("chat", ADA)
    assert config.judge_configuration is not None
    assert diary.lines[1:] == ["track usage:completion-config", "variation chat"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [(("", ADA), ValueError), ((None, ADA), TypeError), (("chat", "ada"), TypeError)],
)
@pytest.mark.parametrize("method", METHODS)
async def test_a_wrong_call_reports_no_use(method: str, arguments: Any, error: type[Exception]) -> None:
    """It raises before anything happens."""
    diary = Diary()
    with pytest.raises(error):
        await getattr(AIClient(diary), method)(*arguments)
    assert diary.lines == ["track sdk:info"]


@pytest.mark.parametrize("method", [method for method in METHODS if not method.endswith("template")])
@pytest.mark.parametrize("default", [{"enabled": True}, AIAgentConfigRequest("chat"), "default"])
async def test_a_default_of_another_type_is_refused(method: str, default: Any) -> None:
    """A dict, or another mode's default, raises at once, and says what to pass."""
    diary = Diary()
    with pytest.raises(TypeError, match=r"default must be an ldtrack\.AI\w+Default or None, not"):
        await getattr(AIClient(diary), method)("chat", ADA, default)
    assert diary.lines == ["track sdk:info"]


# Who we are


async def test_the_library_introduces_itself_when_it_is_made() -> None:
    """Once, under its own name, and about nobody."""
    diary = Diary()
    ai = AIClient(diary)
    async with ai, ai:
        await ai.completion_config("chat", ADA)
    (info,) = [event for event in diary.events if event.key == INFO]
    assert info.data == {"aiSdkName": "ldtrack", "aiSdkVersion": VERSION, "aiSdkLanguage": "python"}
    assert info.metric_value == 1
    assert (info.context.kind, info.context.key, info.context.anonymous) == (
        "ld_ai",
        "ld-internal-tracking",
        True,
    )


async def test_an_async_client_hears_of_us_only_once_we_are_entered() -> None:
    """It loses what it is told before it is started."""
    diary = AwaitedDiary()
    ai = AIClient(diary)
    assert diary.lines == []
    async with ai, ai:
        assert diary.lines == ["track sdk:info"]
        await ai.completion_config("chat", ADA)
        assert diary.lines == ["track sdk:info", "track usage:completion-config", "variation chat"]


async def test_an_async_client_hears_of_us_with_the_first_config_otherwise() -> None:
    """A client that is never entered introduces itself all the same, once."""
    diary = AwaitedDiary()
    ai = AIClient(diary)
    await ai.completion_config("chat", ADA)
    await ai.agent_configs([], ADA)
    assert [line for line in diary.lines if line.startswith("track")] == [
        "track sdk:info",
        "track usage:completion-config",
        "track usage:agent-configs",
    ]


def test_a_client_made_before_there_is_a_loop_introduces_itself_in_it() -> None:
    """Modules make their clients when they are imported."""
    diary = AwaitedDiary()
    ai = AIClient(diary)

    async def main() -> None:
        await ai.completion_config("chat", ADA)

    asyncio.run(main())
    assert diary.lines[:2] == ["track sdk:info", "track usage:completion-config"]


# Silence


@pytest.mark.parametrize("kind", [Diary, AwaitedDiary])
async def test_all_of_it_can_be_silenced(kind: type[Diary]) -> None:
    """``usage_events=False`` leaves the events of runs, and no others."""
    diary = kind()
    async with AIClient(diary, usage_events=False) as ai:
        await ai.agent_configs([AIAgentConfigRequest("crew")], ADA)
        config = await ai.completion_config("chat", ADA)
        await config.create_tracker().track_success()
    assert [event.key for event in diary.events] == ["$ld:ai:generation:success"]


async def test_a_usage_event_that_fails_breaks_nothing() -> None:
    """It is counted, and the config comes."""
    diary = Diary({"chat": JUDGED})
    ai = AIClient(diary)
    diary.fail_next(OSError("no room"), OSError("no room"))
    assert (await ai.completion_config("chat", ADA)).enabled
    assert await ai.agent_configs([], ADA) == {}
    assert ai.stats.failures == {"usage event": 2}


def test_an_introduction_that_fails_breaks_nothing() -> None:
    """The client is made, and does not try again."""
    diary = Diary()
    diary.fail_next(OSError("no room"))
    assert AIClient(diary).stats.failures == {"usage event": 1}


async def test_a_real_client_drops_what_is_about_an_invalid_context() -> None:
    """The base SDK says so in its log; the call goes on."""
    captured = Captured()
    with client({"chat": JUDGED}, captured=captured) as ld:
        config = await AIClient(ld).completion_config("chat", Context.create(""))
        assert not config.enabled
        assert [heard.key for heard in captured.customs] == [INFO]
