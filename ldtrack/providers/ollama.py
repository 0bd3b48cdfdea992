"""Ollama: the chunks and answers of chat and generate, of the SDK or as JSON.

Rule for this file: a chunk is an answer that is not ``done``, so both are read alike.
"""

from __future__ import annotations

from typing import Any, Final

from ldtrack.core.reading import CONTENT, Reading, ToolCall, UsageReport, Wants
from ldtrack.providers.fields import count, field, is_filled, items, name

__all__ = ["OllamaReader"]

_SPOKEN: Final = ("content", "response", "thinking", "tool_calls", "image")
"""Where a chat's message or a generated answer says something."""


class OllamaReader:
    """Reads chat and generate: ``done`` is the finish mark, and has the counts without being asked for."""

    wants: Wants = Wants.EVERY
    marks_end: bool = True
    usage_hint: str = ""
    # The SDK keeps all its types in one module, also those of downloads: known by shape.
    modules: tuple[str, ...] = ()

    def recognises(self, item: object) -> bool:
        """Whether this names a model, says whether it is done, and says something."""
        if not isinstance(field(item, "done"), bool) or name(field(item, "model")) is None:
            return False
        message = field(item, "message")
        if message is not None:
            return not isinstance(message, str)
        return field(item, "response") is not None

    @staticmethod
    def is_plain(item: Any) -> bool:
        """Whether this is as nearly all chunks are: some text or a thought, nothing else."""
        told = item if type(item) is dict else item.__dict__  # a model is slow to say that it lacks something
        if told["done"] is not False:
            return False
        message = told.get("message")
        if message is None:
            said, calls = told["response"] or told["thinking"], told.get("tool_calls")
        elif type(message) is dict:
            said, calls = message["content"] or message["thinking"], message.get("tool_calls")
        else:
            said, calls = message.content or message.thinking, message.tool_calls
        return calls is None and type(said) is str and said != ""

    def read(self, item: Any) -> Reading | None:
        """What a chunk or a whole answer says."""
        message = field(item, "message")
        said = item if message is None else message
        done = field(item, "done")
        if done is False and not is_filled(field(said, "tool_calls")):
            # Nearly all chunks: some text, nothing else. The last one names the model, too.
            return CONTENT if any(is_filled(field(said, key)) for key in _SPOKEN) else None
        reading = Reading(
            content=any(is_filled(field(said, key)) for key in _SPOKEN),
            usage=_usage_of(item),
            tool_calls=_tool_calls(said, name(field(item, "created_at"))),
            finished=done is True,
            failed=is_filled(field(item, "error")),
            finish_reason=name(field(item, "done_reason")),
            model=name(field(item, "model")),
        )
        return None if reading == _SILENCE else reading


_SILENCE: Final = Reading()


def _tool_calls(said: object, moment: str | None) -> tuple[ToolCall, ...]:
    """The calls that a chunk has, which come whole and without an id: its moment and their place are one."""
    calls = []
    for at, call in enumerate(items(field(said, "tool_calls"))):
        called = name(field(field(call, "function"), "name"))
        if called is not None:
            calls.append(ToolCall(name(field(call, "id")) or f"{moment} {at}", called))
    return tuple(calls)


def _usage_of(item: object) -> UsageReport | None:
    report = UsageReport(
        input=count(field(item, "prompt_eval_count")), output=count(field(item, "eval_count"))
    )
    return None if report == _UNKNOWN else report


_UNKNOWN: Final = UsageReport()
