"""An agent with a tool, streamed, and judged. Offline: `python examples/managed_agent.py`."""

from __future__ import annotations

import asyncio

from ldclient import Context, LDClient
from ldclient.config import Config
from ldclient.integrations.test_data import TestData

from ldtrack import AIClient
from ldtrack.testing import FakeRunners

AGENT = {
    "_ldMeta": {"enabled": True, "mode": "agent"},
    "provider": {"name": "openai"},
    "model": {"name": "gpt-4o"},
    "instructions": "You know the weather. Today you talk to {{ldctx.name}}.",
    "judgeConfiguration": {"judges": [{"key": "kindness", "samplingRate": 1}]},
}
JUDGE = {
    "_ldMeta": {"enabled": True, "mode": "judge"},
    "provider": {"name": "a-judge"},
    "model": {"name": "gpt-4o"},
    "messages": [{"role": "system", "content": "You judge kindness."}],
    "evaluationMetricKey": "kindness",
}


def launchdarkly() -> LDClient:
    """LaunchDarkly's own client with flags of ours. Yours is `LDClient(Config("your SDK key"))`."""
    flags = TestData.data_source()
    flags.update(flags.flag("weather-agent").value_for_all(AGENT))
    flags.update(flags.flag("kindness").value_for_all(JUDGE))
    return LDClient(Config("offline", update_processor_class=flags, send_events=False))


async def weather(city: str) -> str:
    """What the model may call, once the flag lists it among the agent's tools."""
    return f"sunny in {city}"


async def main() -> None:
    # Scripts in place of providers; without `runners` they are OpenAI's, Anthropic's or LangChain's own.
    scripts = {
        "openai": FakeRunners("It is sunny, Ada."),
        "a-judge": FakeRunners({"score": 0.9, "reasoning": "It says her name."}),
    }
    ld_client = launchdarkly()
    async with AIClient(ld_client, runners=scripts) as ai:
        ada = Context.builder("ada").name("Ada").build()
        agent = await ai.create_agent("weather-agent", ada, tools={"weather": weather})

        async with agent.stream("What is the weather like?") as stream:
            async for text in stream:
                print(text, end="")
        print()

        result = stream.result
        print(f"{result.metrics.outcome.value}, {result.metrics.tokens.total} tokens")
        for verdict in await result.evaluations:
            print(f"{verdict.judge_config_key}: {verdict.score}, because: {verdict.reasoning}")
    ld_client.close()


if __name__ == "__main__":
    asyncio.run(main())
