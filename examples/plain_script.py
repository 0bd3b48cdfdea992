"""The smallest complete program: a config, a run, a vote. Offline: `python examples/plain_script.py`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from ldclient import Context, LDClient
from ldclient.config import Config
from ldclient.integrations.test_data import TestData

from ldtrack import AIClient, AICompletionConfig, Feedback

SERVED = {
    "_ldMeta": {"enabled": True, "variationKey": "friendly", "version": 1},
    "model": {"name": "simulated"},
    "messages": [{"role": "system", "content": "Greet {{name}} warmly."}],
}


def launchdarkly() -> LDClient:
    """LaunchDarkly's own client with a flag of ours. Yours is `LDClient(Config("your SDK key"))`."""
    flags = TestData.data_source()
    flags.update(flags.flag("greeting").value_for_all(SERVED))
    return LDClient(Config("offline", update_processor_class=flags, send_events=False))


async def model(config: AICompletionConfig) -> AsyncIterator[str]:
    """What your provider's client does with `config.model` and `config.messages`."""
    for word in ("Good ", "morning, ", f"from {config.model.name}!\n"):
        await asyncio.sleep(0.02)
        yield word


async def main() -> None:
    ld_client = launchdarkly()
    async with AIClient(ld_client) as ai:
        ada = Context.builder("ada").name("Ada").build()
        config = await ai.completion_config("greeting", ada, variables={"name": "Ada"})
        tracker = config.create_tracker()

        async for word in tracker.stream(model(config)):
            print(word, end="")

        await tracker.track_feedback(Feedback.POSITIVE)
        again = await tracker.track_feedback(Feedback.POSITIVE)
        summary = tracker.summary
        print(f"{config.messages[0].content} -> {summary.outcome.value}, {summary.feedback.value}")
        print(f"first token after {summary.time_to_first_token} ms, all of it after {summary.duration_ms} ms")
        print(f"second vote counted: {again}")
    ld_client.close()


if __name__ == "__main__":
    asyncio.run(main())
