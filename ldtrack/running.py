"""The protocols of the managed layer: what runs a model or an agent, and who makes runners.

A *runner* talks to one provider for one config. It makes each of its provider calls through the ``Calls`` it
is handed, which is the run itself. So every answer and every chunk is measured as it comes, by the same
readers as everywhere else: when a later call fails, what the earlier ones used is counted already, and the
provider's own error passes unchanged. A runner returns text, and counts nothing.

    class AcmeRunner:
        async def run(self, input, output_type=None, *, calls):
            answer = await calls.call(self._client.chat(as_acme(input)))
            return RunnerResult(content=answer.text, raw=answer)

A runner of LaunchDarkly's own shape, ``run(input, output_type)`` without ``calls``, works too: it is given a
plain prompt, and states its metrics in its result.

Rule for this file: protocols and the frozen values in their signatures; nothing that runs.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

import attrs

from ldtrack.configs.types import AIAgentConfig, AICompletionConfig, AIJudgeConfig
from ldtrack.core.models import LDMessage
from ldtrack.core.values import LDAIMetrics
from ldtrack.tracking.source import StreamSource
from ldtrack.tracking.stream import TrackedStream

__all__ = [
    "Calls",
    "PlainRunner",
    "Runner",
    "RunnerFactory",
    "RunnerResult",
    "Schema",
    "StreamingRunner",
    "Tools",
]

T = TypeVar("T")

Schema: TypeAlias = Mapping[str, Any]
"""A JSON schema, which says of what shape a structured answer is to be."""
Tools: TypeAlias = Mapping[str, Callable[..., Any]]
"""What the model may call, by the keys of the config's tools; plain functions or coroutine functions."""


@attrs.frozen(kw_only=True)
class RunnerResult:
    """What a runner brings back."""

    content: str
    """The text of the answer; empty if there is none, as when the model only called tools."""
    raw: Any = None
    """The provider's own answer."""
    parsed: Mapping[str, Any] | None = None
    """The structured answer, where one was asked for and came."""
    metrics: LDAIMetrics | None = None
    """What is to be added to what was measured through ``calls``, such as that an answer is of no use."""


class Calls(Protocol):
    """Makes provider calls, and measures each. A ``Run`` does."""

    async def call(self, awaitable: Awaitable[T]) -> T:
        """Await an answer that does not stream; cancelling passes to the awaitable."""
        ...

    def stream(self, source: StreamSource[T]) -> TrackedStream[T]:
        """Read a provider's stream: enter it with ``async with``, so that it is closed on every exit."""
        ...

    def observe(self, response: Any) -> None:
        """Take in an answer that was awaited elsewhere, inside some framework, as soon as it is there."""
        ...


class Runner(Protocol):
    """Runs one config's model. It keeps no history and nothing of a run, so that runs may be concurrent."""

    async def run(
        self, input: Sequence[LDMessage], output_type: Schema | None = None, *, calls: Calls
    ) -> RunnerResult:
        """Answer what comes after the config's own messages; provider errors and cancellation pass."""
        ...


class StreamingRunner(Runner, Protocol):
    """A runner that can stream."""

    def stream(self, input: Sequence[LDMessage], *, calls: Calls) -> AsyncGenerator[str, None]:
        """The texts of the answer as they come; whoever stops reading closes the generator."""
        ...


class PlainRunner(Protocol):
    """A runner of LaunchDarkly's own shape: it is given a prompt, and measures itself."""

    async def run(self, input: str, output_type: dict[str, Any] | None = None) -> Any:
        """Answer a prompt, with ``content`` and ``metrics``; cancellation is for it to survive."""
        ...


class RunnerFactory(Protocol):
    """Makes runners for one provider.

    Register it as ``AIClient(..., runners={"acme": factory})``, or as an entry point of the group
    ``ldtrack.runners`` under the provider's name in lower case; a class is made an instance of. Without
    ``create_agent`` it offers no agents. With an ``aclose()``, it is closed with the client.
    """

    def create_model(
        self, config: AICompletionConfig | AIJudgeConfig, tools: Tools | None = None
    ) -> Runner | PlainRunner | None:
        """A runner for this config; ``None`` to decline.

        Without ``tools`` those of the config are offered to the model, and what it calls is left to the
        caller. With ``tools`` the runner calls them, and offers no others.
        """
        ...

    def create_agent(self, config: AIAgentConfig, tools: Tools) -> Runner | PlainRunner | None:
        """A runner for this agent; ``None`` to decline."""
        ...
