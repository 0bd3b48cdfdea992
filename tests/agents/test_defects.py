"""What LaunchDarkly's managed layer gets wrong, one test for each: ours does not.

The names are those of the reference's lists: the managed run, judges, the OpenAI package, what reviewers
found, and what the SDK does not do at all.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
import pytest
from fake_http import FakeServer, broken_connection, openai_client
from launchdarkly import Captured, client
from ldclient import Context
from recorded import CHAT_USAGE, chat_answer, chat_stream
from sink import EventSink

from ldtrack import AIClient, JudgePolicy, Outcome
from ldtrack.core.judging import is_sampled
from ldtrack.providers.runners.openai import OpenAIRunners
from ldtrack.testing import Recording, SequentialIds, recording

ADA = Context.create("ada")
BASE = {"provider": {"name": "openai"}, "model": {"name": "gpt"}}
CALL = {"id": "c", "type": "function", "function": {"name": "search", "arguments": "{}"}}
GOOD = chat_answer(json.dumps({"score": 0.75, "reasoning": "Good."}))
HELLO = chat_answer("Hello.")


def flags(*judges: tuple[str, float], **more: Any) -> dict[str, Any]:
    attached = [{"key": key, "samplingRate": rate} for key, rate in judges]
    judge = {**BASE, "_ldMeta": {"enabled": True, "mode": "judge"}}
    return {
        "chat": {**BASE, "_ldMeta": {"enabled": True}, "judgeConfiguration": {"judges": attached}, **more},
        "agent": {**BASE, "_ldMeta": {"enabled": True, "mode": "agent"}, "instructions": "Help.", **more},
        **{key: {**judge, "evaluationMetricKey": key} for key, _ in judges},
    }


def over(server: FakeServer, *judges: tuple[str, float], more: Any = None, **options: Any) -> Recording:
    runners = {"openai": OpenAIRunners(openai_client(server=server))}
    return recording(flags(*judges, **(more or {})), runners=runners, **options)


async def a_model(ld: Recording, **options: Any) -> Any:
    return await ld.ai.create_model("chat", ADA, **options)


def scores(ld: Recording) -> list[str]:
    return [event.key for event in ld.events if event.data.get("judgeConfigKey")]


def to_judge(body: dict[str, Any]) -> bool:
    return "RESPONSE TO EVALUATE" in body["messages"][-1]["content"]


class TestManagedRun:
    """Section 5.3."""

    def test_evaluations_vanish_when_the_loop_ends(self) -> None:
        """Judge calls and scores are done while the loop shuts down, whether anybody waits or not."""
        ld = over(FakeServer(HELLO, GOOD), ("judge", 1))

        async def main() -> None:
            await (await a_model(ld)).run("Hi")

        asyncio.run(main())
        assert scores(ld) == ["judge"]

    async def test_judges_run_after_a_failed_generation(self) -> None:
        """Nobody is asked to score an empty text."""
        server = FakeServer(broken_connection(openai), GOOD)
        ld = over(server, ("judge", 1))
        with pytest.raises(openai.APIConnectionError):
            await (await a_model(ld)).run("Hi")
        await ld.ai.aclose()
        assert len(server.requests) == 1

    async def test_five_judges_take_five_times_as_long(self) -> None:
        """They work side by side: the second is asked before the first has answered."""
        gate, asked = asyncio.Event(), []

        async def answer(body: dict[str, Any]) -> Any:
            if not to_judge(body):
                return HELLO
            asked.append(body)
            if len(asked) == 5:
                gate.set()
            await gate.wait()
            return GOOD

        judges = [(f"judge-{at}", 1.0) for at in range(5)]
        ld = over(FakeServer(answer), *judges, judges=JudgePolicy(at_once=5, timeout=60))
        result = await (await a_model(ld)).run("Hi")
        assert all(verdict.success for verdict in await result.evaluations)

    async def test_an_agent_does_not_forward_parsed(self) -> None:
        """The structured answer of an agent is in its result."""
        ld = over(FakeServer(chat_answer('{"a": 1}')))
        agent = await ld.ai.create_agent("agent", ADA)
        assert agent is not None
        assert (await agent.run("Hi", {"type": "object"})).parsed == {"a": 1}

    async def test_no_overload_takes_messages_or_a_conversation_or_streams(self) -> None:
        """All three are there."""
        server = FakeServer(HELLO, chat_stream("Hel", "lo"))
        conversation = (await a_model(over(server))).conversation()
        await conversation.run("Hi")
        assert "".join([text async for text in conversation.stream("Again")]) == "Hello"
        assert [part["content"] for part in server.requests[1]["messages"]] == ["Hi", "Hello.", "Again"]


class TestJudges:
    """Section 5.4."""

    @pytest.mark.parametrize("score", ["NaN", "Infinity", "-0.1", "1.1", "true", '"0.5"'])
    async def test_a_score_that_is_none_slips_through(self, score: str) -> None:
        """NaN, infinite, out of range or no number: refused with a reason, and not recorded."""
        answer = chat_answer(f'{{"score": {score}, "reasoning": "Good."}}')
        ld = over(FakeServer(HELLO, answer), ("judge", 1))
        (verdict,) = await (await (await a_model(ld)).run("Hi")).evaluations
        assert (verdict.sampled, verdict.success) == (True, False)
        assert "score" in (verdict.error_message or "")
        assert scores(ld) == []

    async def test_a_bad_shape_has_no_error_message(self) -> None:
        """It says what is missing."""
        ld = over(FakeServer(HELLO, chat_answer('{"score": 0.5}')), ("judge", 1))
        (verdict,) = await (await (await a_model(ld)).run("Hi")).evaluations
        assert "reasoning" in (verdict.error_message or "")

    async def test_rate_0_may_run(self) -> None:
        """Never, whatever is drawn."""
        server = FakeServer(HELLO)
        model = await a_model(over(server, ("judge", 0)))
        for _ in range(50):
            assert not (await (await model.run("Hi")).evaluations)[0].sampled
        assert len(server.requests) == 50


class TestOpenAIPackage:
    """Section 5.6, the model."""

    async def test_tool_calls_are_neither_executed_nor_reported(self) -> None:
        """With functions they are called; either way they are reported. Row 36, too."""
        tools = {"tools": {"search": {"name": "search"}}}
        server = FakeServer(chat_answer(None, tool_calls=[CALL]), HELLO)
        ld = over(server, more=tools)
        result = await (await a_model(ld, tools={"search": lambda: "found"})).run("Hi")
        assert (result.content, result.metrics.tool_calls) == ("Hello.", ("search",))
        assert server.requests[1]["messages"][-1]["content"] == "found"

    async def test_a_tool_call_answer_without_text_becomes_a_failure(self) -> None:
        """It is what the model was asked for."""
        ld = over(FakeServer(chat_answer(None, tool_calls=[CALL])))
        result = await (await a_model(ld)).run("Hi")
        assert result.metrics.outcome is Outcome.SUCCESS
        assert "generation:error" not in ld.names()

    async def test_rate_limits_are_swallowed(self) -> None:
        """The SDK's own error is raised, by its own class. Row 37, too."""

        async def limited(body: dict[str, Any]) -> Any:
            raise openai.APITimeoutError(request=None)  # type: ignore[arg-type]  # nobody looks at it

        with pytest.raises(openai.APIConnectionError):
            await (await a_model(over(FakeServer(limited)))).run("Hi")

    async def test_concurrent_runs_interleave_their_turns(self) -> None:
        """Nothing of one run is in another's request. Row 35, too; 200 at once in ``test_concurrency``."""
        server = FakeServer(HELLO)
        model = await a_model(over(server))
        await asyncio.gather(*(model.run(str(number)) for number in range(20)))
        assert sorted(len(request["messages"]) for request in server.requests) == [1] * 20

    async def test_cached_and_reasoning_tokens_are_ignored(self) -> None:
        """They are in the summary."""
        tokens = (await (await a_model(over(FakeServer(HELLO)))).run("Hi")).metrics.tokens
        assert (tokens.cached_input, tokens.reasoning) == (4, 3)


class TestReviews:
    """Section 5.8, as far as it is about managed runs."""

    async def test_helpers_each_minted_a_tracker(self) -> None:
        """One run id for the run and one for each judge that was sampled, and no other."""
        ids = SequentialIds()
        ld = over(FakeServer(HELLO, GOOD), ("judge", 1), ("idle", 0), run_ids=ids)
        await (await (await a_model(ld)).run("Hi")).evaluations
        assert len({event.data["runId"] for event in ld.events}) == 2
        assert ids() == SequentialIds_after(2)

    async def test_a_judge_could_get_no_tracker_from_a_disabled_config(self) -> None:
        """A disabled judge is no judge; one that is switched off later than its model says so."""
        ld = over(FakeServer(HELLO), ("judge", 1))
        ld.set_flag("judge", {"_ldMeta": {"enabled": False}})
        (verdict,) = await (await (await a_model(ld)).run("Hi")).evaluations
        assert verdict.error_message == "The judge's config is disabled."

    async def test_a_second_look_at_evaluations_recorded_them_again(self) -> None:
        """Awaiting twice records once."""
        ld = over(FakeServer(HELLO, GOOD), ("judge", 1))
        result = await (await a_model(ld)).run("Hi")
        assert await result.evaluations == await result.evaluations
        assert scores(ld) == ["judge"]


def SequentialIds_after(count: int) -> str:
    """The id that comes next once so many were handed out."""
    ids = SequentialIds()
    return [ids() for _ in range(count + 1)][-1]


class TestMissingAbilities:
    """Rows 31 to 37, 42 and 44 of section 6; those that are not above."""

    async def test_31_judges_have_no_timeout(self) -> None:
        """One that never answers is stopped, and says so."""

        async def answer(body: dict[str, Any]) -> Any:
            if to_judge(body):
                await asyncio.Event().wait()
            return HELLO

        ld = over(FakeServer(answer), ("judge", 1), judges=JudgePolicy(timeout=0.05))
        (verdict,) = await (await (await a_model(ld)).run("Hi")).evaluations
        assert "took longer" in (verdict.error_message or "")

    async def test_32_pending_evaluations_are_not_drained_at_shutdown(self) -> None:
        """Closing the client waits for them, and they are recorded before it flushes."""
        ld = over(FakeServer(HELLO, GOOD), ("judge", 1))
        async with ld:
            await (await a_model(ld)).run("Hi")
        assert scores(ld) == ["judge"]

    async def test_34_third_parties_cannot_register_runners(self) -> None:
        """By an option here, by an entry point in ``tests/runners/test_parts.py``."""
        ld = recording(flags(), runners={"OpenAI": OpenAIRunners(openai_client(HELLO))})
        assert (await (await a_model(ld)).run("Hi")).content == "Hello."

    async def test_42_sampling_is_drawn_anew_each_time(self) -> None:
        """The run's id decides: whoever knows it knows who was sampled."""
        ld = over(FakeServer(HELLO, HELLO, GOOD), ("judge", 0.5))
        model = await a_model(ld)
        for _ in range(10):
            result = await model.run("Hi")
            run_id = ld.ai.resume(result.resumption_token, ADA).run_id
            assert (await result.evaluations)[0].sampled == is_sampled(run_id, "judge", 0.5)

    async def test_44_judges_are_built_whenever_a_config_is_evaluated(self) -> None:
        """Neither evaluating a config nor making a model touches a judge's flag; a sampled run does, once."""
        captured = Captured()
        ld_client: Any = client(flags(("judge", 1)), captured=captured)
        server = FakeServer(HELLO, GOOD, HELLO, GOOD)
        runners = {"openai": OpenAIRunners(openai_client(server=server))}
        async with AIClient(ld_client, runners=runners) as ai:
            await ai.completion_config("chat", ADA)
            model = await ai.create_model("chat", ADA)
            assert model is not None
            assert captured.evaluated == ["chat", "chat"]
            await (await model.run("Hi")).evaluations
            await (await model.run("Hi")).evaluations
            assert captured.evaluated == ["chat", "chat", "judge"]
        ld_client.close()


async def test_what_arrives_at_launchdarkly() -> None:
    """A real client, its real event processor and a real socket: the run, the judge's run, and the score."""
    with EventSink() as sink:
        inbox = sink.inbox()
        ld_client: Any = client(flags(("judge", 1)), events_uri=inbox.uri)
        server = FakeServer(HELLO, GOOD)
        runners = {"openai": OpenAIRunners(openai_client(server=server))}
        async with AIClient(ld_client, runners=runners, usage_events=False) as ai:
            model = await ai.create_model("chat", ADA)
            assert model is not None
            result = await model.run("Hi")
            run_id = ai.resume(result.resumption_token, ADA).run_id
        ld_client.close()
        arrived = [
            (event["key"].removeprefix("$ld:ai:"), event["metricValue"])
            for event in inbox.customs
            if event["data"]["runId"] == run_id and "duration" not in event["key"]
        ]
        assert arrived == [
            ("generation:success", 1),
            ("tokens:total", CHAT_USAGE["total_tokens"]),
            ("tokens:input", CHAT_USAGE["prompt_tokens"]),
            ("tokens:output", CHAT_USAGE["completion_tokens"]),
            ("judge", 0.75),
        ]
        (score,) = [event["data"] for event in inbox.customs if event["key"] == "judge"]
        assert (score["configKey"], score["judgeConfigKey"]) == ("chat", "judge")
        assert "parentRunId" not in str(inbox.events)
        assert len({event["data"]["runId"] for event in inbox.customs}) == 2
