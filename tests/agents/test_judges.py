"""Judges: who is asked, when, for how long, and what becomes of what they say."""

from __future__ import annotations

import asyncio
import gc
import math
from typing import Any

import pytest
from clock_loop import play
from ldclient import Context

from ldtrack import (
    AIClient,
    Judge,
    JudgePolicy,
    JudgeResult,
    LDMessage,
    ManagedModel,
    MisuseError,
    Outcome,
    RunnerResult,
)
from ldtrack.core.judging import is_sampled
from ldtrack.testing import FakeRunners, ManualClock, Recording, RecordingLedger, recording

ADA = Context.create("ada")
GOOD = {"score": 0.75, "reasoning": "Good."}


def chat(*judges: tuple[str, float]) -> dict[str, Any]:
    return {
        "_ldMeta": {"enabled": True},
        "provider": {"name": "acme"},
        "model": {"name": "a-model"},
        "judgeConfiguration": {"judges": [{"key": key, "samplingRate": rate} for key, rate in judges]},
    }


def judge_flag(metric: str | None = "kindness", **more: Any) -> dict[str, Any]:
    return {
        "_ldMeta": {"enabled": True, "mode": "judge"},
        "provider": {"name": "court"},
        "model": {"name": "a-judge"},
        "messages": [{"role": "system", "content": "You judge {{tone}}."}],
        **({} if metric is None else {"evaluationMetricKey": metric}),
        **more,
    }


async def judged(
    court: Any, *judges: tuple[str, float], answers: Any = ("Hello.",), **options: Any
) -> tuple[ManagedModel, Recording]:
    judges = judges or (("judge", 1),)
    flags: dict[str, Any] = {"chat": chat(*judges), **{key: judge_flag(key) for key, _ in judges}}
    ld = recording(flags, runners={"acme": FakeRunners(*answers), "court": court}, **options)
    model = await ld.ai.create_model("chat", ADA, variables={"tone": "kindness"})
    assert model is not None
    return model, ld


def scores(ld: Recording) -> list[Any]:
    return [event for event in ld.events if event.data.get("judgeConfigKey")]


class Patient:
    """A factory of judges that wait until they are told to answer, and count who is at work."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.begun: list[str] = []
        self.at_work = 0
        self.most = 0

    def create_model(self, config: Any, tools: Any = None) -> Any:
        outer = self

        class Waiting:
            async def run(self, input: Any, output_type: Any = None, *, calls: Any) -> RunnerResult:
                outer.begun.append(config.key)
                outer.at_work += 1
                outer.most = max(outer.most, outer.at_work)
                try:
                    await calls.call(outer.go.wait())
                finally:
                    outer.at_work -= 1
                return RunnerResult(content="", parsed=GOOD)

        return Waiting()


async def settle(turns: int = 50) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


class TestScores:
    """What LaunchDarkly gets."""

    async def test_a_score_belongs_to_the_run_that_was_judged(self) -> None:
        """The judge's own generation has its own run id, whose parent is that run."""
        court = FakeRunners(GOOD)
        model, ld = await judged(court)
        result = await model.run("Hi")
        (verdict,) = await result.evaluations
        assert verdict == JudgeResult(
            judge_config_key="judge",
            success=True,
            sampled=True,
            metric_key="judge",
            score=0.75,
            reasoning="Good.",
        )
        (score,) = scores(ld)
        run_id = ld.ai.resume(result.resumption_token, ADA).run_id
        assert (score.key, score.metric_value) == ("judge", 0.75)
        assert (score.data["runId"], score.data["configKey"]) == (run_id, "chat")
        own = {event.data["runId"] for event in ld.events if event.data["configKey"] == "judge"}
        assert len(own) == 1
        assert own != {run_id}
        assert "generation:success" in ld.names(own.pop())

    async def test_a_judge_is_asked_with_history_and_response(self) -> None:
        """After its own messages, rendered with the variables of the model's."""
        court = FakeRunners(GOOD)
        model, _ = await judged(court)
        messages = [LDMessage("user", "Hi"), LDMessage("assistant", "Yes?"), LDMessage("user", "Hello")]
        await (await model.run(messages)).evaluations
        question = "MESSAGE HISTORY:\nuser: Hi\nassistant: Yes?\nuser: Hello\n\nRESPONSE TO EVALUATE:\nHello."
        assert court.asked == [(LDMessage("system", "You judge kindness."), LDMessage("user", question))]

    async def test_evaluations_may_be_awaited_again_and_again(self) -> None:
        """By several tasks at once, too; the score is recorded once."""
        model, ld = await judged(FakeRunners(GOOD))
        result = await model.run("Hi")
        assert not result.evaluations.done()
        both = await asyncio.gather(wait_for(result), wait_for(result))
        assert both[0] == both[1] == await result.evaluations
        assert result.evaluations.done()
        assert len(scores(ld)) == 1

    async def test_cancelling_who_waits_stops_no_judge(self) -> None:
        """The score comes all the same."""
        court = Patient()
        model, ld = await judged(court)
        result = await model.run("Hi")
        waiting = asyncio.create_task(wait_for(result))
        await settle()
        waiting.cancel()
        await settle()
        assert waiting.cancelled()
        court.go.set()
        await result.evaluations
        assert len(scores(ld)) == 1

    async def test_nobody_has_to_wait(self) -> None:
        """The result may be thrown away at once."""
        model, ld = await judged(FakeRunners(GOOD))
        await model.run("Hi")
        gc.collect()
        await settle()
        assert len(scores(ld)) == 1

    async def test_a_score_that_cannot_be_recorded_breaks_nothing(self) -> None:
        """It is counted."""
        ledger = RecordingLedger()
        model, ld = await judged(FakeRunners(GOOD), ledger=ledger)
        result = await model.run("Hi")
        ledger.fail_next(10)
        (verdict,) = await result.evaluations
        assert verdict.score == 0.75
        assert ld.ai.stats.failures["judge score"] == 1


async def wait_for(result: Any) -> Any:
    return await result.evaluations


class TestWhoIsAsked:
    """Sampling, laziness, and runs that are not judged."""

    async def test_a_judge_is_made_when_a_sample_says_so(self) -> None:
        """Neither its flag nor its runner is touched before; after that it is kept."""
        court = FakeRunners(GOOD)
        made: list[str] = []

        class Counting(FakeRunners):
            def create_model(self, config: Any, tools: Any = None) -> Any:
                made.append(config.key)
                return court.create_model(config, tools)

        flags = {"chat": chat(("never", 0), ("always", 1)), "always": judge_flag("always")}
        ld = recording(flags, runners={"acme": FakeRunners("Hello."), "court": Counting(GOOD)})
        model = await ld.ai.create_model("chat", ADA)
        assert model is not None
        assert made == []
        for _ in range(3):
            results = await (await model.run("Hi")).evaluations
            assert [result.sampled for result in results] == [False, True]
        assert made == ["always"]

    async def test_who_is_sampled_depends_on_the_run_alone(self) -> None:
        """What the pure function says of the run's id is what happens."""
        model, ld = await judged(FakeRunners(GOOD), ("a", 0.5), ("b", 0.5))
        for _ in range(30):
            result = await model.run("Hi")
            run_id = ld.ai.resume(result.resumption_token, ADA).run_id
            verdicts = await result.evaluations
            expected = [is_sampled(run_id, key, 0.5) for key in ("a", "b")]
            assert [verdict.sampled for verdict in verdicts] == expected
            assert [verdict.judge_config_key for verdict in verdicts] == ["a", "b"]

    async def test_a_run_that_no_judge_looks_at_starts_no_task(self) -> None:
        """There is nothing to wait for, and the results say who was passed over."""
        model, _ = await judged(FakeRunners(GOOD), ("judge", 0))
        before = asyncio.all_tasks()
        result = await model.run("Hi")
        assert asyncio.all_tasks() == before
        assert result.evaluations.done()
        assert await result.evaluations == (JudgeResult(judge_config_key="judge"),)

    @pytest.mark.parametrize("how", ["fails", "is cancelled", "is closed early", "says nothing"])
    async def test_a_run_without_a_good_answer_is_not_judged(self, how: str) -> None:
        """There is nothing to score."""
        court = FakeRunners(GOOD)
        answers: Any = {"fails": [ConnectionError("gone")], "says nothing": [""]}.get(how, ["Two words."])
        model, _ = await judged(court, answers=answers)
        if how == "fails":
            with pytest.raises(ConnectionError):
                await model.run("Hi")
        elif how == "is cancelled":
            task = asyncio.create_task(model.run("Hi"))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        elif how == "is closed early":
            async with model.stream("Hi") as stream:
                await anext(stream)
            assert await stream.result.evaluations == ()
        else:
            assert await (await model.run("Hi")).evaluations == ()
        await settle()
        assert court.asked == []

    async def test_a_stream_is_judged_after_its_last_chunk_without_delay(self) -> None:
        """The consumer has the whole answer while the judge has not even begun to answer."""
        court = Patient()
        model, _ = await judged(court, answers=["Two words."])
        stream = model.stream("Hi")
        texts = []
        async for text in stream:
            texts.append(text)
            assert court.begun == []
        assert texts == ["Two", " words."]
        assert not stream.result.evaluations.done()
        court.go.set()
        (verdict,) = await stream.result.evaluations
        assert verdict.score == 0.75


class TestBounds:
    """How many, and how long."""

    async def test_judges_work_side_by_side_but_not_all_at_once(self) -> None:
        """Ten judges, four at a time by default."""
        court = Patient()
        model, _ = await judged(court, *((f"judge-{at}", 1) for at in range(10)))
        result = await model.run("Hi")
        await settle()
        assert (court.at_work, len(court.begun)) == (4, 4)
        court.go.set()
        verdicts = await result.evaluations
        assert court.most == 4
        assert [verdict.judge_config_key for verdict in verdicts] == [f"judge-{at}" for at in range(10)]
        assert all(verdict.success for verdict in verdicts)

    async def test_how_many_is_for_the_policy_to_say(self) -> None:
        """One after the other, if that is wanted."""
        court = Patient()
        court.go.set()
        model, _ = await judged(court, ("a", 1), ("b", 1), judges=JudgePolicy(at_once=1))
        await (await model.run("Hi")).evaluations
        assert court.most == 1

    async def test_many_answers_do_not_set_all_their_judges_to_work(self) -> None:
        """Of a hundred judges of fifty answers three are at work; all are heard in the end."""
        court = Patient()
        model, _ = await judged(court, ("a", 1), ("b", 1), judges=JudgePolicy(in_all=3))
        results = [await model.run("Hi") for _ in range(50)]
        await settle()
        assert (court.at_work, len(court.begun)) == (3, 3)
        court.go.set()
        verdicts = [verdict for result in results for verdict in await result.evaluations]
        assert (court.most, len(verdicts)) == (3, 100)
        assert all(verdict.success for verdict in verdicts)

    async def test_a_judge_that_takes_too_long_is_stopped(self) -> None:
        """It says so; the others' scores stand, and its own run is no error of the model's."""
        slow = Patient()

        class Mixed(FakeRunners):
            def create_model(self, config: Any, tools: Any = None) -> Any:
                if config.key == "slow":
                    return slow.create_model(config, tools)
                return super().create_model(config, tools)

        policy = JudgePolicy(timeout=0.01)
        model, ld = await judged(Mixed(GOOD), ("slow", 1), ("quick", 1), judges=policy)
        first, second = await (await model.run("Hi")).evaluations
        assert (first.sampled, first.success) == (True, False)
        assert first.error_message == "The judge took longer than 0.01 seconds."
        assert second.score == 0.75
        assert [event.key for event in scores(ld)] == ["quick"]

    async def test_a_ledger_that_stalls_neither_holds_up_a_verdict_nor_costs_it(self) -> None:
        """The time limit is for the judge; for the ledger, its run and its score wait as any run does."""
        ledger = RecordingLedger()
        policy = JudgePolicy(timeout=0.2)
        model, ld = await judged(FakeRunners(GOOD), ledger=ledger, judges=policy, settle_timeout=0.25)
        ledger.hold()
        result = await model.run("Hi")
        (verdict,) = await asyncio.wait_for(wait_for(result), 10)
        assert verdict.score == 0.75
        assert ld.ai.stats.failures == {}
        assert scores(ld) == []
        ledger.release()
        assert len(scores(ld)) == 1

    async def test_a_score_that_a_stalled_ledger_refuses_late_is_counted(self) -> None:
        """Nobody waits for it any more."""
        ledger = RecordingLedger()
        model, ld = await judged(FakeRunners(GOOD), ledger=ledger, settle_timeout=0.01)
        ledger.hold()
        result = await model.run("Hi")
        await result.evaluations
        ledger.fail_next(100)
        ledger.release()
        await settle()
        assert ld.ai.stats.failures["judge score"] == 1

    @pytest.mark.parametrize(
        ("wrong", "error"),
        [
            ({"timeout": 0}, ValueError),
            ({"timeout": math.nan}, ValueError),
            ({"timeout": "1"}, TypeError),
            ({"at_once": 0}, ValueError),
            ({"at_once": 1.5}, TypeError),
            ({"in_all": 0}, ValueError),
        ],
    )
    def test_a_policy_that_makes_no_sense_raises(self, wrong: Any, error: type[Exception]) -> None:
        """At once, with what was given."""
        with pytest.raises(error, match="JudgePolicy"):
            JudgePolicy(**wrong)


class TestFailures:
    """Whatever goes wrong with a judge is in its result, and nowhere else."""

    @pytest.mark.parametrize(
        ("flag", "answer", "reason"),
        [
            (judge_flag(None), GOOD, "no evaluationMetricKey"),
            (judge_flag(), ConnectionError("gone"), "gone"),
            (judge_flag(), ConnectionError(), "ConnectionError"),
            (judge_flag(), {"score": math.inf, "reasoning": "x"}, "between 0 and 1"),
            (judge_flag(), {"score": 7, "reasoning": "x"}, "between 0 and 1"),
            (judge_flag(), {"score": True, "reasoning": "x"}, "score is no number"),
            (judge_flag(), {"score": 0.5}, "reasoning is no text"),
            (judge_flag(), "Well...", "no structured answer"),
            ({"_ldMeta": {"enabled": False}}, GOOD, "is disabled"),
            (judge_flag(provider={"name": "nobody"}), GOOD, "No runner fits the AI Config 'judge'"),
        ],
    )
    async def test_a_reason_is_given(self, flag: Any, answer: Any, reason: str) -> None:
        """And no score is recorded."""
        no_fallback = type("Declines", (), {"create_model": lambda self, config, tools=None: None})()
        runners = {"acme": FakeRunners("Hello."), "court": FakeRunners(answer), "langchain": no_fallback}
        ld = recording({"chat": chat(("judge", 1)), "judge": flag}, runners=runners)
        model = await ld.ai.create_model("chat", ADA)
        assert model is not None
        (verdict,) = await (await model.run("Hi")).evaluations
        assert reason in (verdict.error_message or "")
        assert (verdict.success, verdict.score) == (False, None)
        assert verdict.sampled == ("evaluationMetricKey" not in reason)
        assert scores(ld) == []

    @pytest.mark.parametrize("declines", [True, False])
    async def test_the_provider_named_for_an_agent_is_asked_first_and_not_alone(self, declines: bool) -> None:
        """A framework that runs no plain models leaves the judge to its own config's provider."""
        agents, court = FakeRunners("Hello.", GOOD), FakeRunners(GOOD)

        class Framework:
            def create_model(self, config: Any, tools: Any = None) -> Any:
                return None if declines else agents.create_model(config)

            def create_agent(self, config: Any, tools: Any) -> Any:
                return agents.create_agent(config, tools)

        flag = {**chat(("judge", 1)), "_ldMeta": {"enabled": True, "mode": "agent"}, "instructions": "Go."}
        runners: Any = {"framework": Framework(), "court": court}
        ld = recording({"agent": flag, "judge": judge_flag()}, runners=runners)
        agent = await ld.ai.create_agent("agent", ADA, default_ai_provider="framework")
        assert agent is not None
        (verdict,) = await (await agent.run("Hi")).evaluations
        assert verdict.score == 0.75
        assert len(court.asked) == declines

    async def test_a_runner_that_calls_itself_failed_gives_no_score(self) -> None:
        """Even with a good looking answer, such as one that a plain runner swallowed an error of."""
        from types import SimpleNamespace

        class Plain:
            async def run(self, input: str, output_type: Any = None) -> Any:
                metrics = SimpleNamespace(success=False, tokens=None, tool_calls=None, duration_ms=None)
                return SimpleNamespace(content="x", metrics=metrics, parsed=GOOD)

        factory = type("Factory", (), {"create_model": lambda self, config, tools=None: Plain()})()
        model, ld = await judged(factory)
        (verdict,) = await (await model.run("Hi")).evaluations
        assert verdict.error_message == "The judge's own run failed."
        assert scores(ld) == []


class TestMaking:
    """A judge is made when it is first needed."""

    async def slow(self, *errors: Exception) -> tuple[ManagedModel, Recording, list[str]]:
        """A model whose judge takes its time to be made, and how often that was begun."""
        model, ld = await judged(FakeRunners(GOOD))
        evaluator, made = model._evaluator, []
        make, to_raise = evaluator._make_judge, [*errors]

        async def slowly(key: str) -> Judge | None:
            made.append(key)
            for _ in range(5):
                await asyncio.sleep(0)
            if to_raise:
                raise to_raise.pop()
            return await make(key)

        evaluator._make_judge = slowly
        return model, ld, made

    async def test_once_for_all_answers_that_wait_for_it(self) -> None:
        """However many: evaluating its flag and making its model may take time."""
        model, _, made = await self.slow()
        results = await asyncio.gather(*(model.run("Hi") for _ in range(50)))
        verdicts = [await result.evaluations for result in results]
        assert {verdict.score for (verdict,) in verdicts} == {0.75}
        assert made == ["judge"]

    async def test_an_error_is_everybody_s_and_the_next_answer_tries_again(self) -> None:
        """It may be a passing one."""
        model, _, made = await self.slow(LookupError("no flag"))
        results = await asyncio.gather(*(model.run("Hi") for _ in range(3)))
        verdicts = [await result.evaluations for result in results]
        assert [verdict.error_message for (verdict,) in verdicts] == ["no flag"] * 3
        (verdict,) = await (await model.run("Hi")).evaluations
        assert (verdict.score, made) == (0.75, ["judge", "judge"])

    async def test_giving_up_leaves_it_to_the_others(self) -> None:
        """And nobody is told of what goes wrong once nobody waits."""
        model, ld, made = await self.slow(LookupError("no flag"))
        result = await model.run("Hi")
        await asyncio.sleep(0)
        await ld.ai.aclose(timeout=0.001)
        await settle()
        (verdict,) = await result.evaluations
        assert verdict.success is False
        assert made == ["judge"]


class Deaf:
    """A factory of judges that swallow being cancelled so many times, and go on until they are let go."""

    def __init__(self, times: int = 10**6, verdict: Any = None) -> None:
        self.times = times
        self.verdict = verdict
        self.go = asyncio.Event()
        self.told = 0
        self.is_over = False

    def create_model(self, config: Any, tools: Any = None) -> Any:
        return self

    async def run(self, input: Any, output_type: Any = None, *, calls: Any) -> RunnerResult:
        while not self.go.is_set():
            try:
                await self.go.wait()
            except asyncio.CancelledError:
                self.told += 1
                if self.told > self.times:
                    raise
        self.is_over = True
        if self.verdict is None:
            raise ConnectionError("gone")
        return RunnerResult(content="x", parsed=self.verdict)


class TestDeafProviders:
    """A provider that swallows being cancelled holds up nobody."""

    @pytest.mark.parametrize("ends", ["failing", "scoring"])
    def test_a_judge_outlasts_its_limit_but_not_its_result(self, ends: str) -> None:
        """The result is there half a second after the limit; who goes on is owned and counted once."""
        clock = ManualClock()
        deaf = Deaf(verdict=GOOD if ends == "scoring" else None)

        async def scene() -> None:
            model, ld = await judged(deaf, judges=JudgePolicy(timeout=30), clock=clock)
            result = await model.run("Hi")
            began = asyncio.get_running_loop().time()
            (verdict,) = await result.evaluations
            assert asyncio.get_running_loop().time() - began < 30.6
            assert verdict.error_message == "The judge took longer than 30 seconds."
            assert ld.ai.stats.failures == {"judge": 1}
            deaf.go.set()
            gc.collect()
            await settle()
            assert deaf.is_over
            assert await result.evaluations == (verdict,)
            assert scores(ld) == []
            assert ld.ai.stats.failures == {"judge": 1}
            assert ld.ai.stats.open_calls == 0

        play(clock, scene())

    def test_the_others_are_heard_in_time(self) -> None:
        """With room for one judge at a time, the second has its own time after the first's."""
        clock, deaf = ManualClock(), Deaf()

        class Mixed(FakeRunners):
            def create_model(self, config: Any, tools: Any = None) -> Any:
                return deaf if config.key == "deaf" else super().create_model(config, tools)

        async def scene() -> None:
            policy = JudgePolicy(timeout=5, at_once=1)
            model, _ = await judged(Mixed(GOOD), ("deaf", 1), ("quick", 1), judges=policy, clock=clock)
            first, second = await (await model.run("Hi")).evaluations
            assert (first.success, second.score) == (False, 0.75)
            deaf.go.set()
            await settle()

        play(clock, scene())

    @pytest.mark.parametrize("since", ["before its limit", "after its limit"])
    def test_closing_the_client_is_bounded(self, since: str) -> None:
        """Whoever goes on is told once more, and waited for a moment; whoever then ends, has ended."""
        clock, deaf = ManualClock(), Deaf(times=1)

        async def scene() -> None:
            model, ld = await judged(deaf, judges=JudgePolicy(timeout=5), clock=clock)
            result = await model.run("Hi")
            if since == "after its limit":
                await result.evaluations
            else:
                await settle()
            loop = asyncio.get_running_loop()
            began = loop.time()
            await ld.ai.aclose(timeout=0.5)
            assert loop.time() - began < 2
            (verdict,) = await result.evaluations
            assert verdict.success is False
            assert ld.ai.stats.failures == {"judge": 1}
            deaf.go.set()
            await settle()
            assert scores(ld) == []

        play(clock, scene())

    def test_a_late_word_changes_nothing(self) -> None:
        """One that swallows the limit and answers at once was too late all the same."""
        clock, deaf = ManualClock(), Deaf(verdict=GOOD)

        async def scene() -> None:
            model, ld = await judged(deaf, judges=JudgePolicy(timeout=5), clock=clock)
            result = await model.run("Hi")
            asyncio.get_running_loop().call_later(5.25, deaf.go.set)
            (verdict,) = await result.evaluations
            assert verdict.error_message == "The judge took longer than 5 seconds."
            await settle()
            assert scores(ld) == []
            assert ld.ai.stats.failures == {}

        play(clock, scene())


class TestStandalone:
    """``create_judge``."""

    async def a_judge(self, *answers: Any, **flag: Any) -> tuple[Judge, Recording, FakeRunners]:
        court = FakeRunners(*answers)
        ld = recording({"judge": judge_flag(**flag), "chat": chat()}, runners={"court": court})
        judge = await ld.ai.create_judge("judge", ADA, variables={"tone": "kindness"})
        assert judge is not None
        return judge, ld, court

    async def test_it_scores_and_records_no_score(self) -> None:
        """That is for the caller to do, on the run that was judged."""
        judge, ld, _ = await self.a_judge(GOOD)
        verdict = await judge.evaluate("Hi", "Hello")
        assert verdict.score == 0.75
        assert scores(ld) == []
        tracker = (await ld.ai.completion_config("chat", ADA)).create_tracker()
        assert await tracker.track_judge_result(verdict) is True
        assert scores(ld)[0].data["runId"] == tracker.run_id

    async def test_messages_are_joined_with_their_roles(self) -> None:
        """A single one, too."""
        judge, _, court = await self.a_judge(GOOD)
        await judge.evaluate_messages([LDMessage("user", "Hi")], RunnerResult(content="Hello"))
        assert "MESSAGE HISTORY:\nuser: Hi\n\n" in court.asked[0][-1].content

    async def test_the_parent_decides_whether_it_is_sampled(self) -> None:
        """By its run id; and it is the parent of the judge's run."""
        judge, ld, _ = await self.a_judge(GOOD)
        for _ in range(20):
            parent = (await ld.ai.completion_config("chat", ADA)).create_tracker()
            verdicts = [await judge.evaluate("Hi", "Hello", 0.5, parent=parent) for _ in range(2)]
            expected = is_sampled(parent.run_id, "judge", 0.5)
            assert [verdict.sampled for verdict in verdicts] == [expected] * 2

    @pytest.mark.parametrize("kind", ["a tracker", "a run", "an id"])
    async def test_a_parent_is_a_tracker_a_run_or_an_id(self, kind: str) -> None:
        """As everywhere else."""
        judge, ld, _ = await self.a_judge(GOOD)
        tracker = (await ld.ai.completion_config("chat", ADA)).create_tracker()
        parent: Any = {"a tracker": tracker, "a run": tracker.run(), "an id": tracker.run_id}[kind]
        verdict = await judge.evaluate("Hi", "Hello", 0.5, parent=parent)
        assert verdict.sampled == is_sampled(tracker.run_id, "judge", 0.5)

    @pytest.mark.parametrize(
        ("given", "what"), [((None, "Hello"), "input_text"), (("Hi", object()), "output_text")]
    )
    async def test_what_is_no_text_is_not_judged(self, given: Any, what: str) -> None:
        """It raises at once, and nobody is asked."""
        judge, ld, court = await self.a_judge(GOOD)
        with pytest.raises(TypeError, match=f"{what} must be a text"):
            await judge.evaluate(*given)
        assert (court.asked, ld.events) == ([], [])

    async def test_a_rate_of_its_own(self) -> None:
        """Given when it is made by hand; the explicit one wins, and a bad one raises."""
        judge, _, _ = await self.a_judge(GOOD)
        never = Judge(judge.config, judge.runner, sample_rate=0)
        assert (await never.evaluate("Hi", "Hello")).sampled is False
        assert (await never.evaluate("Hi", "Hello", 1)).sampled is True
        with pytest.raises(ValueError, match="between 0 and 1"):
            Judge(judge.config, judge.runner, sample_rate=2)
        with pytest.raises(ValueError, match="between 0 and 1"):
            await judge.evaluate("Hi", "Hello", math.nan)
        assert repr(judge) == "<Judge 'judge'>"

    async def test_cancelling_passes_and_stops_its_run(self) -> None:
        """Who cancels is not told that the judge failed."""
        judge, ld, _ = await self.a_judge(GOOD)
        task = asyncio.create_task(judge.evaluate("Hi", "Hello"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ld.names() == ["duration:total"]

    @pytest.mark.parametrize("variable", ["message_history", "response_to_evaluate"])
    async def test_reserved_variables_and_legacy_messages(self, variable: str) -> None:
        """The caller's value is ignored with a warning; only a system message may show it."""
        messages = [
            {"role": "system", "content": f"Look at {{{{{variable}}}}}."},
            {"role": "user", "content": f"Here: {{{{{variable}}}}}"},
            {"role": "user", "content": "Be fair."},
        ]
        court = FakeRunners(GOOD)
        ld = recording({"judge": judge_flag(messages=messages)}, runners={"court": court})
        judge = await ld.ai.create_judge("judge", ADA, variables={variable: "mine"})
        assert judge is not None
        assert any(variable in problem for problem in judge.config.problems)
        await judge.evaluate("Hi", "Hello")
        opening = [message.content for message in court.asked[0][:-1]]
        assert opening == [f"Look at {{{{{variable}}}}}.", "Be fair."]


class TestEnds:
    """Who owns the judges: they end with the client, or with the loop, and not before."""

    async def test_closing_the_client_lets_judges_finish(self) -> None:
        """Their scores are recorded before the ledger is flushed."""
        court = Patient()
        model, ld = await judged(court)
        result = await model.run("Hi")
        closing = asyncio.create_task(ld.ai.aclose())
        await settle()
        assert not closing.done()
        court.go.set()
        await closing
        assert len(scores(ld)) == 1
        assert (await result.evaluations)[0].score == 0.75

    async def test_closing_gives_up_after_its_deadline(self) -> None:
        """Whoever waits is told; nothing goes on behind our back."""
        court = Patient()
        model, ld = await judged(court)
        result = await model.run("Hi")
        await ld.ai.aclose(timeout=0.01)
        (verdict,) = await result.evaluations
        assert verdict.error_message == "The judge was stopped before it answered."
        assert (verdict.sampled, verdict.success) == (True, False)
        assert court.at_work == 0
        assert scores(ld) == []

    async def test_cancelling_the_close_settles_all_the_same(self) -> None:
        """Judges are given up at once, and open streams are ended."""
        court = Patient()
        model, ld = await judged(court)
        result = await model.run("Hi")
        stream = model.stream("Hi")
        await anext(stream)
        closing = asyncio.create_task(ld.ai.aclose())
        await settle()
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert ld.ai.stats.open_calls == 0
        assert (await result.evaluations)[0].error_message == "The judge was stopped before it answered."
        await stream.aclose()

    def test_a_loop_that_ends_loses_no_score(self) -> None:
        """Nobody waits, nobody closes: the judge is asked again while the loop shuts down."""
        court = FakeRunners(GOOD)

        async def main() -> Recording:
            model, ld = await judged(court, ("a", 1), ("b", 1))
            await model.run("Hi")
            return ld

        ld = asyncio.run(main())
        assert sorted(event.key for event in scores(ld)) == ["a", "b"]

    def test_a_loop_that_ends_in_the_middle_of_a_judge(self) -> None:
        """What it had said is kept, and only the others are asked again: no score is recorded twice."""
        asked: list[str] = []

        class Slow:
            def create_model(self, config: Any, tools: Any = None) -> Any:
                class Judging:
                    async def run(self, input: Any, output_type: Any = None, *, calls: Any) -> RunnerResult:
                        asked.append(config.key)
                        if asked.count(config.key) == 1 and config.key == "slow":
                            await asyncio.Event().wait()
                        return RunnerResult(content="", parsed=GOOD)

                return Judging()

        async def main() -> Recording:
            model, ld = await judged(Slow(), ("slow", 1), ("quick", 1))
            await model.run("Hi")
            await settle()
            assert len(scores(ld)) == 1
            return ld

        ld = asyncio.run(main())
        assert sorted(event.key for event in scores(ld)) == ["quick", "slow"]
        assert sorted(asked) == ["quick", "slow", "slow"]

    def test_a_loop_that_ends_waits_for_a_judge_only_so_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A judge that never answers does not keep the program from ending."""
        monkeypatch.setattr("ldtrack.agents.jobs.AT_SHUTDOWN", 0.01)
        results = []

        async def main() -> Recording:
            model, ld = await judged(Patient())
            results.append(await model.run("Hi"))
            await settle()
            return ld

        ld = asyncio.run(main())
        assert scores(ld) == []
        assert results[0].evaluations.done()

    def test_evaluations_belong_to_a_loop(self) -> None:
        """In another one they say so, unless there is nothing to wait for."""
        kept: list[Any] = []
        loop = asyncio.new_event_loop()

        async def begin() -> None:
            model, _ = await judged(Patient())
            kept.append(await model.run("Hi"))

        loop.run_until_complete(begin())
        with pytest.raises(MisuseError, match="event loop of the run"):
            asyncio.run(wait_for(kept[0]))
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    async def test_a_cancelled_wait_inside_a_provider_is_a_failure_not_an_end(self) -> None:
        """A judge whose SDK lets a stray cancellation through is over, and somebody hears of it."""

        class Stray:
            def create_model(self, config: Any, tools: Any = None) -> Any:
                raise asyncio.CancelledError

        model, ld = await judged(Stray())
        (verdict,) = await (await model.run("Hi")).evaluations
        assert verdict.error_message == "The judge was stopped before it answered."
        assert ld.ai.stats.failures == {"judge": 1}

    async def test_a_cancelled_wait_inside_one_judge_leaves_the_others_at_work(self) -> None:
        """Its verdict alone is lost, and the evaluations are not over before the others are."""
        patient = Patient()

        class Stray:
            async def run(self, input: Any, output_type: Any = None, *, calls: Any) -> RunnerResult:
                gone = asyncio.get_running_loop().create_future()
                gone.cancel()
                await gone
                raise AssertionError

        class Mixed:
            def create_model(self, config: Any, tools: Any = None) -> Any:
                return Stray() if config.key == "stray" else patient.create_model(config)

        model, ld = await judged(Mixed(), ("stray", 1), ("slow", 1))
        result = await model.run("Hi")
        await settle()
        assert not result.evaluations.done()
        closing = asyncio.create_task(ld.ai.aclose())
        await settle()
        assert not closing.done()
        patient.go.set()
        await closing
        first, second = await result.evaluations
        assert first.error_message == "The judge was stopped before it answered."
        assert second.score == 0.75
        assert [event.key for event in scores(ld)] == ["slow"]
        assert ld.ai.stats.failures == {"judge": 1}


async def test_the_outcome_of_a_judged_run_is_its_own() -> None:
    """A judge that fails takes nothing from the run that it judged."""
    model, ld = await judged(FakeRunners(ConnectionError("gone")))
    result = await model.run("Hi")
    await result.evaluations
    assert result.metrics.outcome is Outcome.SUCCESS
    run_id = ld.ai.resume(result.resumption_token, ADA).run_id
    assert "generation:error" not in ld.names(run_id)
    assert isinstance(ld.ai, AIClient)
