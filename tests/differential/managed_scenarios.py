"""Managed models and judges, on both SDKs' own OpenAI and LangChain runners, over the same served answers.

Rule for this file: the provider's packages are real; what they are answered is given by the scenario.
"""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from collections.abc import Iterator
from typing import Any
from unittest import mock

import httpx
import pytest
from fake_http import FakeServer, openai_client
from model_server import plain, serving_model
from recorded import chat_answer

from .harness import differs, same
from .sides import ADA, Side

BASE = {"provider": {"name": "openai"}, "model": {"name": "gpt-4", "parameters": {"temperature": 0.5}}}
SYSTEM = {"role": "system", "content": "Be kind to {{ldctx.name}}."}


def chat(*judges: tuple[str, float], **more: Any) -> dict[str, Any]:
    attached = [{"key": key, "samplingRate": rate} for key, rate in judges]
    judged = {"judgeConfiguration": {"judges": attached}} if judges else {}
    meta = {"enabled": True, "variationKey": "warm", "version": 3}
    return {"_ldMeta": meta, **BASE, "messages": [SYSTEM], **judged, **more}


JUDGE = {
    "_ldMeta": {"enabled": True, "mode": "judge", "variationKey": "fair", "version": 2},
    **BASE,
    "messages": [SYSTEM, {"role": "user", "content": "{{message_history}} {{response_to_evaluate}}"}],
    "evaluationMetricKey": "kindness",
}
FLAGS = {
    "chat": chat(),
    "judged": chat(("judge", 1)),
    "unjudged": chat(("judge", 0)),
    "judge": JUDGE,
    "nameless": {name: part for name, part in JUDGE.items() if name != "evaluationMetricKey"},
    "off": {"_ldMeta": {"enabled": False}, **BASE},
    "tools": chat(tools={"search": {"name": "search", "parameters": {"type": "object"}}}),
}
USED = ["tokens:total=19", "tokens:input=12", "tokens:output=7"]
ANSWERED = ["duration:total=0", "generation:success=1", *USED]
FAILED = ["duration:total=0", "generation:error=1"]
MADE, MADE_JUDGE = "usage:create-model=1", "usage:create-judge=1"
NO_NUMBER = "The judge's score is no number, but True (bool)."
NO_TEXT = "The judge's reasoning is no text, but None (NoneType)."
GOOD = {"score": 0.75, "reasoning": "Good."}
CALL = {"id": "c", "type": "function", "function": {"name": "search", "arguments": "{}"}}


@contextlib.contextmanager
def answering(*answers: Any) -> Iterator[FakeServer]:
    """Whoever makes a client of OpenAI's is given one that is answered from memory."""
    server = FakeServer(*answers)
    client = openai_client(server=server)

    def make(**_options: Any) -> Any:
        return client

    theirs, ours = "ldai_openai.openai_runner_factory.AsyncOpenAI", "openai.AsyncOpenAI"
    with mock.patch(theirs, make), mock.patch(ours, make):
        yield server


def verdict(answer: Any) -> Any:
    return chat_answer(json.dumps(answer))


def shown(result: Any) -> Any:
    """A managed result, or what was raised."""
    return result if isinstance(result, str) else [result.content, result.parsed]


def judged(result: Any) -> Any:
    names = ("judge_config_key", "sampled", "success", "metric_key", "score", "reasoning")
    return [getattr(result, name) for name in names]


def in_order(requests: Any) -> str:
    """What was sent, whatever the order of its names."""
    return json.dumps(requests, sort_keys=True)


async def run(side: Side, key: str, *args: Any) -> Any:
    model = await side.call(side.ai.create_model, key, ADA)
    return await side.call(model.run, *args)


@same(flags=FLAGS)
async def a_managed_model_answers(side: Side) -> Any:
    with answering(chat_answer("Hello.")) as server:
        result = await run(side, "chat", "Hi")
    return [shown(result), await result.evaluations, in_order(server.requests)]


def cut(text: str) -> Any:
    """An answer for whose end the model had no tokens left."""
    answer = chat_answer(text)
    answer["choices"][0]["finish_reason"] = "length"
    return answer


@same(flags=FLAGS)
async def an_answer_that_was_cut_is_a_success(side: Side) -> Any:
    with answering(cut("Once upon a")):
        result = await run(side, "chat", "Hi")
    return [shown(result), result.metrics.success]


@differs(
    "cut-answers",
    official=[MADE, *ANSWERED, *ANSWERED, "kindness=0.75", "-> 2"],
    ours=[MADE, *ANSWERED, "-> 1"],
    flags=FLAGS,
)
async def judges_of_an_answer_that_was_cut(side: Side) -> Any:
    with answering(cut("Once upon a"), verdict(GOOD)) as server:
        await (await run(side, "judged", "Hi")).evaluations
    return len(server.requests)


@same(flags=FLAGS)
async def a_disabled_model_is_none(side: Side) -> Any:
    makers = (side.ai.create_model, side.ai.create_agent, side.ai.create_judge)
    return [await side.call(make, "off", ADA) for make in makers]


@same(flags=FLAGS)
async def an_attached_judge_scores(side: Side) -> Any:
    with answering(chat_answer("Hello."), verdict(GOOD)) as server:
        result = await run(side, "judged", "Hi")
        verdicts = [judged(one) for one in await result.evaluations]
    return [verdicts, [request["messages"] for request in server.requests]]


@same(flags=FLAGS)
async def a_judge_by_itself_scores(side: Side) -> Any:
    with answering(verdict(GOOD)) as server:
        judge = await side.call(side.ai.create_judge, "judge", ADA)
        result = await side.call(judge.evaluate, "Hi", "Hello.")
    (request,) = server.requests
    strict = request["response_format"]["json_schema"]
    return [judged(result), request["messages"], strict["name"], strict["strict"]]


@same(flags=FLAGS)
async def a_judge_that_is_never_sampled_is_not_asked(side: Side) -> Any:
    with answering(chat_answer("Hello."), verdict(GOOD)) as server:
        result = await run(side, "unjudged", "Hi")
        verdicts = [judged(one) for one in await result.evaluations]
    return [verdicts, len(server.requests)]


@same(flags=FLAGS)
async def a_judge_without_a_metric_key_is_not_asked(side: Side) -> Any:
    with answering(verdict(GOOD)) as server:
        judge = await side.call(side.ai.create_judge, "nameless", ADA)
        result = await side.call(judge.evaluate, "Hi", "Hello.")
    return [judged(result), bool(result.error_message), len(server.requests)]


@same(flags=FLAGS)
async def a_managed_model_on_langchain(side: Side) -> Any:
    pytest.importorskip("langchain_openai", reason="the frameworks are a test group of their own")
    async with serving_model(plain(chat_answer("Hello."))) as server:
        # What the official package uses of LangChain is deprecated by now, and warnings are errors here.
        with (
            warnings.catch_warnings(action="ignore"),
            mock.patch.dict(os.environ, {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": server.url}),
        ):
            model = await side.call(side.ai.create_model, "chat", ADA, None, None, "langchain")
            result = await side.call(model.run, "Hi")
            (request,) = server.requests
    return [shown(result), request.body["messages"], request.body["temperature"]]


@differs(
    "provider-errors",
    official=[MADE, *FAILED, '-> ["", null]'],
    ours=[MADE, *FAILED, "-> raises APIConnectionError"],
    flags=FLAGS,
)
async def a_provider_fails(side: Side) -> Any:
    with answering(httpx.ConnectError("gone")):
        return shown(await run(side, "chat", "Hi"))


@differs(
    "tool-answers",
    official=[MADE, *FAILED, *USED, "-> []"],
    ours=[MADE, *ANSWERED, "tool_call=1", '-> ["search"]'],
    flags=FLAGS,
)
async def a_model_asks_for_a_tool(side: Side) -> Any:
    with answering(chat_answer(None, tool_calls=[CALL])):
        result = await run(side, "chat", "Hi")
    return list(result.metrics.tool_calls or ())


@differs(
    "root-tools",
    official=[MADE, *ANSWERED, "-> []"],
    ours=[MADE, *ANSWERED, '-> ["search"]'],
    flags=FLAGS,
)
async def tools_of_the_config(side: Side) -> Any:
    with answering(chat_answer("Hello.")) as server:
        await run(side, "tools", "Hi")
    return [tool["function"]["name"] for tool in server.requests[0].get("tools", ())]


@differs(
    "model-memory",
    official=[MADE, *ANSWERED, *ANSWERED, "-> [2, 4]"],
    ours=[MADE, *ANSWERED, *ANSWERED, "-> [2, 2]"],
    flags=FLAGS,
)
async def a_model_is_asked_twice(side: Side) -> Any:
    with answering(chat_answer("Hello.")) as server:
        model = await side.call(side.ai.create_model, "chat", ADA)
        await side.call(model.run, "First")
        await side.call(model.run, "Second")
    return [len(request["messages"]) for request in server.requests]


@differs(
    "failed-answers",
    official=[MADE, *FAILED, *ANSWERED, "kindness=0.75", "-> 2"],
    ours=[MADE, *FAILED, "-> 1"],
    flags=FLAGS,
)
async def a_failed_answer_before_its_judges(side: Side) -> Any:
    with answering(ConnectionError("gone"), verdict(GOOD)) as server:
        result = await run(side, "judged", "Hi")
        if not isinstance(result, str):
            await result.evaluations
    return len(server.requests)


@differs(
    "judge-scores",
    official=[MADE_JUDGE, *ANSWERED, "-> [true, true, 1.0, null]"],
    ours=[MADE_JUDGE, *ANSWERED, f"-> [true, false, null, {json.dumps(NO_NUMBER)}]"],
    flags=FLAGS,
)
async def a_score_that_is_none(side: Side) -> Any:
    with answering(verdict({"score": True, "reasoning": "Good."})):
        judge = await side.call(side.ai.create_judge, "judge", ADA)
        result = await side.call(judge.evaluate, "Hi", "Hello.")
    return [result.sampled, result.success, result.score, result.error_message]


@differs(
    "judge-reasons",
    official=[MADE_JUDGE, *ANSWERED, "-> [null]"],
    ours=[MADE_JUDGE, *ANSWERED, f"-> {json.dumps([NO_TEXT])}"],
    flags=FLAGS,
)
async def a_verdict_of_another_shape(side: Side) -> Any:
    with answering(verdict({"score": 0.5})):
        judge = await side.call(side.ai.create_judge, "judge", ADA)
        result = await side.call(judge.evaluate, "Hi", "Hello.")
    return [result.error_message]


@differs(
    "no-runner",
    official=[MADE, "-> None"],
    ours=[MADE, "-> raises NoRunnerError"],
    flags=FLAGS,
)
async def nobody_can_run_it(side: Side) -> Any:
    return str(await side.call(side.ai.create_model, "chat", ADA, None, None, "nobody"))
