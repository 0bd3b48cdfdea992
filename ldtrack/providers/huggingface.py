"""Hugging Face: what ``InferenceClient`` makes of chat completions, and of generated text with its details.

Rule for this file: only what is Hugging Face's own. Its chat completions are OpenAI's and are read as such;
its objects are dicts at the same time, whose keys know less than their attributes.
"""

from __future__ import annotations

from typing import Any, Final

from ldtrack.core.reading import CONTENT, Reading, UsageReport, Wants
from ldtrack.providers.fields import comes_from, count, field, is_filled, items, name
from ldtrack.providers.openai_chat import read_chat

__all__ = ["HuggingFaceReader"]


class HuggingFaceReader:
    """Reads chat completions, whose usage comes last and only if asked for, and text generation."""

    wants: Wants = Wants.EVERY
    marks_end: bool = True
    usage_hint: str = (
        "The stream from Hugging Face ended without token usage, which is sent only on request: pass "
        'stream_options={"include_usage": True} to chat_completion(...), or details=True to '
        "text_generation(...)."
    )
    modules: tuple[str, ...] = ("huggingface_hub.inference",)

    def recognises(self, item: object) -> bool:
        """Whether this is of the SDK's types, or has the shape of a token that was generated."""
        if comes_from(type(item), self.modules):
            return True
        return isinstance(field(field(item, "token"), "special"), bool)

    def read(self, item: Any) -> Reading | None:
        """What a chunk or a whole answer says, of a chat or of generated text."""
        token = field(item, "token")
        if token is not None:
            return _read_token(item, token)
        try:
            # Nearly all chunks of a chat: one choice, some text, nothing else.
            (choice,) = item.choices
            delta = choice.delta
            beside_text = delta.tool_calls or choice.finish_reason or item.usage
            is_plain = type(delta.content) is str and delta.content != "" and not beside_text
        except Exception:  # noqa: BLE001 - it has another shape
            is_plain = False
        if is_plain:
            return CONTENT
        text = field(item, "generated_text")
        return read_chat(item) if text is None else _read_text(item, text)


def _read_token(item: object, token: object) -> Reading | None:
    # Special tokens, such as the one that ends the text, are no text.
    content = is_filled(field(token, "text")) and field(token, "special") is not True
    details, text = field(item, "details"), field(item, "generated_text")
    if details is None and text is None:
        return CONTENT if content else None
    return _with_details(Reading(content=content, finished=True), details)


def _read_text(item: object, text: object) -> Reading:
    return _with_details(Reading(content=is_filled(text), finished=True), field(item, "details"))


def _with_details(reading: Reading, details: object) -> Reading:
    given = count(field(details, "input_length"))
    if given is None:
        # A text that did not stream lists the tokens it was given, if it was asked to.
        given = len(items(field(details, "prefill"))) or None
    usage = UsageReport(input=given, output=count(field(details, "generated_tokens")))
    return reading._replace(
        usage=None if usage == _UNKNOWN else usage,
        finish_reason=name(field(details, "finish_reason")),
    )


_UNKNOWN: Final = UsageReport()
