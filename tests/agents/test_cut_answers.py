"""Answers for whose end the model had no tokens left: a success, of which the result says what it is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from fake_http import FakeServer, openai_client
from ldclient import Context
from recorded import CHAT_USAGE, chat_answer, chat_chunk, chat_stream

from ldtrack import AgentGraphRunnerResult, LDMessage, NodeAnswer, RunnerResult
from ldtrack.providers.runners.openai import OpenAIRunners
from ldtrack.testing import FakeRunners, Recording, recording

ADA = Context.create("ada")
CUT = "The answer was cut short, since the model ran out of tokens: no judge looked at it."
JUDGES = {"judges": [{"key": "judge", "samplingRate": 1}]}
FLAG = {
    "_ldMeta": {"enabled": True},
    "provider": {"name": "acme"},
    "model": {"name": "m"},
    "judgeConfiguration": JUDGES,
}
JUDGE = {
    **FLAG,
    "_ldMeta": {"enabled": True, "mode": "judge"},
    "evaluationMetricKey": "kind",
    "provider": {"name": "fake"},
}


def cut_answer(text: str, reason: str = "length") -> Any:
    answer = chat_answer(text)
    answer["choices"][0]["finish_reason"] = reason
    return answer


def cut_stream(*texts: str) -> Any:
    *parts, _, _, _ = chat_stream(*texts)
    return [*parts, chat_chunk(finish_reason="length"), chat_chunk(usage=CHAT_USAGE), "[DONE]"]


async def a_model(*answers: Any) -> tuple[Any, Recording]:
    """A model with a judge, over a server that gives these answers."""
    runners: Any = {
        "acme": OpenAIRunners(openai_client(server=FakeServer(*answers))),
        "fake": FakeRunners({"score": 0.5, "reasoning": "Fine."}),
    }
    ld = recording({"chat": FLAG, "judge": JUDGE}, runners=runners)
    return await ld.ai.create_model("chat", ADA), ld


async def test_a_text_that_was_cut_is_a_success_and_says_that_it_was_cut() -> None:
    """As in LaunchDarkly's SDK, what was said counts; whoever looks can tell, by a word of all providers'."""
    model, ld = await a_model(cut_answer("Once upon a"))
    result = await model.run("Tell me")
    assert (result.content, result.success, result.is_cut) == ("Once upon a", True, True)
    assert (result.metrics.success, result.metrics.finish_reason) == (True, "length")
    assert ld.values()["generation:success"] == 1


async def test_a_whole_text_is_not_cut() -> None:
    """The control: the same with the provider's word for an end."""
    model, _ = await a_model(chat_answer("The end."))
    result = await model.run("Tell me")
    assert (result.success, result.is_cut) == (True, False)
    assert [verdict.score for verdict in await result.evaluations] == [0.5]


@pytest.mark.parametrize("streams", [False, True])
async def test_judges_are_not_asked_about_a_text_that_was_cut(streams: bool) -> None:
    """They would score half an answer as if it were whole: each result says why it has no score."""
    model, ld = await a_model(cut_stream("Once ", "upon a") if streams else cut_answer("Once upon a"))
    if streams:
        stream = model.stream("Tell me")
        assert [text async for text in stream] == ["Once ", "upon a"]
        result = stream.result
    else:
        result = await model.run("Tell me")
    assert (result.success, result.is_cut, result.evaluations.done()) == (True, True, True)
    (verdict,) = await result.evaluations
    assert (verdict.judge_config_key, verdict.sampled, verdict.error_message) == ("judge", False, CUT)
    assert "kind" not in ld.names()


async def test_a_conversation_keeps_a_text_that_was_cut() -> None:
    """So that the model can be asked to go on."""
    model, _ = await a_model(cut_answer("Once upon a"), chat_answer("time."))
    conversation = model.conversation()
    await conversation.run("Tell me")
    await conversation.run("Go on")
    assert [message.content for message in conversation.messages] == [
        "Tell me",
        "Once upon a",
        "Go on",
        "time.",
    ]


async def test_a_structured_answer_that_was_cut_is_no_success_whatever_its_runner_says() -> None:
    """Half a form is none, even where what is there can be read."""

    class Careless:
        async def run(self, input: Any, output_type: Any = None, *, calls: Any) -> RunnerResult:
            async def ask() -> dict[str, Any]:
                return {"content": "{}", "usage": {"input_tokens": 3}, "finish_reason": "max_tokens"}

            await calls.call(ask())
            return RunnerResult(content="{}", parsed={})

    runners: Any = {"acme": SimpleNamespace(create_model=lambda config, tools=None: Careless())}
    ld = recording({"chat": FLAG}, runners=runners)
    model = await ld.ai.create_model("chat", ADA)
    assert model is not None
    result = await model.run("Which?", {"type": "object"})
    assert (result.parsed, result.success, result.is_cut) == (None, False, True)
    assert await result.evaluations == ()


async def test_a_stream_that_was_closed_is_closed_and_not_cut() -> None:
    """Whatever the model would have said next, nobody was listening."""
    model, _ = await a_model(cut_stream("Once ", "upon a"))
    async with model.stream("Tell me") as stream:
        await anext(stream)
    assert (stream.result.success, stream.result.is_cut) == (False, False)


async def test_judges_of_a_node_are_not_asked_about_a_text_that_was_cut() -> None:
    """The node beside it, whose text is whole, is judged."""

    class Pair:
        async def run(self, input: Any, *, calls: Any) -> AgentGraphRunnerResult:
            for node, reason in (("R", "length"), ("A", "stop")):
                with calls.visit(node) as run:
                    await run.call(self.answer(reason))
            asked = (LDMessage("user", "Hi"),)
            said = tuple(NodeAnswer(node=node, asked=asked, content="Text.") for node in "RA")
            return AgentGraphRunnerResult(content="Text.", answers=said)

        async def answer(self, reason: str) -> dict[str, Any]:
            return {"content": "Text.", "usage": {"input_tokens": 3}, "finish_reason": reason}

    making: Any = SimpleNamespace(
        create_model=lambda config, tools=None: None, create_agent_graph=lambda graph, tools: Pair()
    )
    agent = {**FLAG, "_ldMeta": {"enabled": True, "mode": "agent"}}
    flags = {"graph": {"root": "R", "edges": {"R": [{"key": "A"}]}}, "R": agent, "A": agent, "judge": JUDGE}
    runners = {"acme": making, "fake": FakeRunners({"score": 0.5, "reasoning": "Fine."})}
    ld = recording(flags, runners=runners)
    graph = await ld.ai.create_agent_graph("graph", ADA)
    assert graph is not None
    said = await (await graph.run("Hi")).evaluations
    assert [verdict.error_message for verdict in said["R"]] == [CUT]
    assert [verdict.score for verdict in said["A"]] == [0.5]
