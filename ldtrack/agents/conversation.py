"""A conversation: runs that know what was said before.

Rule for this file: it owns a history, and nobody else does. A turn reads it when it begins and adds to it
when it has succeeded; there is one turn at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ldtrack.agents.asking import messages_of
from ldtrack.agents.results import ManagedResult
from ldtrack.agents.streams import ManagedStream, Turn
from ldtrack.core.models import LDMessage
from ldtrack.exceptions import MisuseError
from ldtrack.running import Schema

__all__ = ["Conversation"]


class _Managed(Protocol):
    async def run(
        self, input: str | Sequence[LDMessage], output_type: Schema | None = None
    ) -> ManagedResult: ...

    def _stream(self, turn: Turn) -> ManagedStream: ...


class Conversation:
    """Asks one model or agent several things in a row. Made by ``ManagedModel.conversation``.

    A turn that fails, is cancelled or is stopped leaves the history as it was. What the model did in
    between, such as tool calls, is not part of it.
    """

    def __init__(self, managed: _Managed, history: Sequence[LDMessage] = ()) -> None:
        self._managed = managed
        self._messages = messages_of(history) if history else ()
        self._turn: object | None = None

    def __repr__(self) -> str:
        return f"<Conversation of {len(self._messages)} messages with {self._managed!r}>"

    @property
    def messages(self) -> tuple[LDMessage, ...]:
        """What has been said so far, without the config's own messages."""
        return self._messages

    async def run(self, input: str | Sequence[LDMessage], output_type: Schema | None = None) -> ManagedResult:
        """Take a turn; provider errors pass. Cancelling stops it and leaves the history as it was."""
        asked = messages_of(input)
        turn = object()
        history = self._begin(turn, asked)
        try:
            result = await self._managed.run(history, output_type)
            self._keep(asked, result)
        finally:
            self._turn = None
        return result

    def stream(self, input: str | Sequence[LDMessage]) -> ManagedStream:
        """Take a turn that streams, from the first read until the stream is over, or nobody holds it."""
        asked, turn = messages_of(input), object()

        def end(result: ManagedResult) -> None:
            if self._turn is turn:
                self._turn = None
                self._keep(asked, result)

        def drop() -> None:
            # It settles soon, in its loop. The next turn need not wait: what is dropped is never kept.
            if self._turn is turn:
                self._turn = None

        return self._managed._stream(Turn(lambda: self._begin(turn, asked), end, drop))  # noqa: SLF001 - one thing in two files

    def _begin(self, turn: object, asked: Sequence[LDMessage]) -> tuple[LDMessage, ...]:
        if self._turn is not None:
            raise MisuseError(
                "this conversation is in the middle of a turn: wait for it to end, close its stream, or "
                "begin another with conversation(), since answers to concurrent questions have no order"
            )
        self._turn = turn
        return (*self._messages, *asked)

    def _keep(self, asked: Sequence[LDMessage], result: ManagedResult) -> None:
        if result.success and result.content:
            self._messages = (*self._messages, *asked, LDMessage("assistant", result.content))
