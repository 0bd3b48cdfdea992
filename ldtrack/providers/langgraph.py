"""LangGraph, agents and event streams: what LangChain's messages travel in.

Rule for this file: it finds the messages, and says which model call they are about; what they say is read
by ``langchain``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ldtrack.core.reading import CONTENT, Reading, Wants
from ldtrack.providers.fields import comes_from, field, is_filled, items, name
from ldtrack.providers.langchain import is_message, read_message, read_messages

__all__ = ["LangGraphReader"]

_MODES: Final = frozenset({"values", "updates", "messages", "custom", "checkpoints", "tasks", "debug"})
_STATES: Final = frozenset({"values", "updates"})
_TO_BE_CONTINUED: Final = frozenset({"tool_calls", "tool_use", "function_call"})
"""Finish reasons after which an agent's loop goes on."""


class LangGraphReader:
    """Reads streams, results and ``astream_events`` of agents and graphs, in which many models may speak.

    Usage is that of the messages themselves. A stream whose items are named by mode has it in the mode
    ``messages``; the states in other modes only repeat it.
    """

    wants: Wants = Wants.EVERY
    marks_end: bool = False
    usage_hint: str = (
        "The stream of a LangChain agent or graph ended without token usage. Of several stream modes, "
        '"messages" carries it; and OpenAI\'s models send it only on request: pass stream_usage=True to '
        "ChatOpenAI(...)."
    )
    modules: tuple[str, ...] = ("langgraph.types",)

    def recognises(self, item: object) -> bool:
        """Whether messages travel in this, or it is named as an event or a stream mode."""
        if isinstance(item, tuple):
            return _is_of_a_stream(item) or (_is_of_a_batch(item) and self.recognises(item[1]))
        if isinstance(item, Mapping):
            return _is_event(item) or _is_part(item) or next(_lists_in(item), None) is not None
        return comes_from(type(item), self.modules)

    def read(self, item: Any) -> Reading | None:
        """What a streamed item, an event, a state or a result says."""
        if isinstance(item, tuple):
            if _is_of_a_batch(item):
                return _of_call(
                    str(item[0]), read_message(item[1]) if is_message(item[1]) else self.read(item[1])
                )
            return _read_tuple(item)
        if _is_event(item):
            return _read_event(item)
        if _is_part(item):
            return _read_mode(name(field(item, "type")) or "", field(item, "data"))
        return _read_state(item if isinstance(item, Mapping) else field(item, "value"))


def _is_of_a_stream(item: tuple[Any, ...]) -> bool:
    if any(is_message(part) or (isinstance(part, str) and part in _MODES) for part in item):
        return True
    if len(item) < 2:  # noqa: PLR2004 - who sends it, and what
        return False
    sender, sent = item[0], item[-1]
    if isinstance(sent, tuple):
        return any(map(is_message, sent))
    return (
        isinstance(sent, Mapping) and isinstance(sender, tuple) and all(isinstance(at, str) for at in sender)
    )


def _is_of_a_batch(item: tuple[Any, ...]) -> bool:
    """Whether this is an answer of ``abatch_as_completed``, with its place before it."""
    return len(item) == 2 and type(item[0]) is int  # noqa: PLR2004 - a pair


def _of_call(step: str, reading: Reading | None) -> Reading | None:
    """The same, with its usage as that of one call of several, whose messages may have no ids."""
    if reading is None or (reading.usage is None and not reading.parts):
        return reading
    return reading._replace(
        step=step, parts=tuple((f"{step} {part}", usage) for part, usage in reading.parts)
    )


def _is_event(item: Any) -> bool:
    kind = name(field(item, "event")) or ""
    return kind.startswith("on_") and name(field(item, "run_id")) is not None


def _is_part(item: Any) -> bool:
    return name(field(item, "type")) in _MODES and isinstance(field(item, "ns"), tuple | list)


# Streams of a graph


def _read_tuple(item: tuple[Any, ...]) -> Reading | None:
    """A message and where it comes from; or a mode and such; either with the subgraph's name before it."""
    if item and isinstance(item[0], tuple):
        item = item[1:]
    if len(item) == 1:
        if not isinstance(item[0], tuple):
            return _read_state(item[0])
        item = item[0]
    if not item:
        return None
    return _read_mode(item[0], item[-1]) if isinstance(item[0], str) else _of_an_agent(read_message(item[0]))


def _read_mode(mode: str, payload: Any) -> Reading | None:
    if mode == "messages":
        return _of_an_agent(read_message(next(iter(items(payload)), None)))
    reading = _read_state(payload) if mode in _STATES else None
    if reading is None or not reading.parts:
        return reading
    reading = reading._replace(parts=())
    return None if reading == _SILENCE else CONTENT if reading == CONTENT else reading


_SILENCE: Final = Reading()


def _of_an_agent(reading: Reading | None) -> Reading | None:
    """The same without the finish mark, if what finished was only one of the agent's steps."""
    if reading is None or not reading.finished:
        return reading
    goes_on = reading.finish_reason in _TO_BE_CONTINUED or len(reading.tool_calls) > 0
    return reading._replace(finished=not goes_on)


def _read_state(state: Any) -> Reading | None:
    """A whole state, or what nodes added to it: each message is a call of its own, however often it comes."""
    messages = [message for those in _lists_in(state) for message in those]
    calls = [(name(field(message, "id")) or str(at), message) for at, message in enumerate(messages)]
    return _of_an_agent(read_messages(calls))


def _lists_in(state: Any, *, is_node: bool = False) -> Iterator[list[Any]]:
    """The messages under each key of a state, of this turn; or one level further down, under each node's."""
    if not isinstance(state, Mapping):
        return
    try:
        values = list(state.values())
    except Exception:  # noqa: BLE001 - somebody else's mapping may do anything
        return
    for value in values:
        if is_message(value):
            yield [value]
        elif messages := [one for one in items(value) if is_message(one)]:
            yield _since_the_user(messages)
        elif not is_node:
            yield from _lists_in(value, is_node=True)


def _since_the_user(messages: list[Any]) -> list[Any]:
    """What came after the user's last message: the rest is history, and was counted when it happened.

    Agents that speak to each other in the user's place sign with a name.
    """
    for at in range(len(messages) - 1, -1, -1):
        if name(field(messages[at], "type")) == "human" and name(field(messages[at], "name")) is None:
            return messages[at + 1 :]
    return messages


# Events


def _read_event(event: Any) -> Reading | None:
    """One of ``astream_events``: the model's own are read, and the outermost one says how it all ended."""
    kind, data, run_id = field(event, "event"), field(event, "data"), field(event, "run_id")
    if kind == "on_chat_model_stream":
        reading = read_message(field(data, "chunk"))
        if reading is CONTENT:
            return CONTENT
    elif kind == "on_chat_model_end":
        reading = read_message(field(data, "output"))
    elif kind == "on_llm_stream":
        chunk = field(data, "chunk")
        reading = CONTENT if is_filled(chunk) or is_filled(field(chunk, "text")) else None
    else:
        reading = None
    is_outermost = not items(field(event, "parent_ids"))
    read = (reading or _SILENCE)._replace(finished=is_outermost and kind.endswith("_end"))
    if read.usage is not None:
        # The whole message at the end repeats what its chunks said, and may go by another id than they did.
        read = read._replace(step=run_id, adds=kind == "on_chat_model_stream")
    if is_outermost and kind.endswith("_error"):
        read = read._replace(failed=True)
    return None if read == _SILENCE else CONTENT if read == CONTENT else read
