"""The service: what an application writes to have its runs recorded.

Rule for this file: nothing that a real application would not have. Chance, counters and closed tabs are
elsewhere.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

from ldclient import Context

from ldtrack import AIClient
from ldtrack.cli.demo.dialects import DIALECTS
from ldtrack.cli.demo.embedded import CONFIG_KEY
from ldtrack.cli.demo.provider import Provider

__all__ = ["answer"]


async def answer(
    ai: AIClient, provider: Provider, context: Context, question: str, save: Callable[[str], None]
) -> AsyncGenerator[str, None]:
    """Answer a question piece by piece, and save the run's token beside the finished answer.

    Cancelling it, or closing it early, ends the run as cancelled.
    """
    config = await ai.completion_config(CONFIG_KEY, context, variables={"name": context.name})
    assert config.model is not None, "the demo's flag has a model in every variation"
    assert config.provider is not None, "the demo's flag has a provider in every variation"
    dialect = DIALECTS[config.provider.name]
    prompt = " ".join([*(message.content for message in config.messages or ()), question])

    tracker = config.create_tracker()
    async with tracker.run() as run:
        tool: str | None = ""
        while tool is not None:
            # A tool that was called is answered, and the model asked again: one run, two calls.
            stream = provider.stream(
                provider=config.provider.name,
                model=config.model.name,
                prompt=f"{prompt} {tool}",
                may_call_tool=not tool,
            )
            tool = None
            async for chunk in run.stream(stream):
                tool = dialect.tool_of(chunk) or tool
                if text := dialect.text_of(chunk):
                    yield text
    save(tracker.resumption_token)
