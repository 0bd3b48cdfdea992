"""LiteLLM: its ``ModelResponse`` and ``ModelResponseStream``, whichever provider is behind them.

Rule for this file: LiteLLM makes everybody's answers into chat completions, read as such; here is
only what its objects have of their own. Its Responses are read by ``openai_responses``.
"""

from __future__ import annotations

from typing import Any

from ldtrack.core.reading import CONTENT, Reading, Wants
from ldtrack.providers.fields import comes_from, field, is_filled, items
from ldtrack.providers.openai_chat import read_chat

__all__ = ["LiteLLMReader"]


class LiteLLMReader:
    """Reads completions: a finish reason is the finish mark, usage comes last and only if asked for.

    In a stream LiteLLM names the model that it was asked for, and not the one that answered. It ends a stream
    that broke off as it ends one whose service sent its last text and the finish reason at once: by chunks of
    its own, with counts of its own. Only its stream knows which it was, so all ends and counts are believed.
    """

    wants: Wants = Wants.EVERY
    marks_end: bool = True
    usage_hint: str = (
        "The completion streamed by LiteLLM ended without token usage, which is sent only on request: pass "
        'stream_options={"include_usage": True} to litellm.acompletion(...).'
    )
    modules: tuple[str, ...] = ("litellm.types.utils",)

    def recognises(self, item: object) -> bool:
        """Whether this is of LiteLLM's types; its JSON is OpenAI's."""
        return comes_from(type(item), self.modules)

    def read(self, item: Any) -> Reading | None:
        """What a chunk or a whole answer says."""
        try:
            # Nearly all chunks: one choice, some text, nothing else. LiteLLM keeps what a delta says among
            # the extras, which cost a tenth if they are not asked for as attributes.
            (choice,) = item.choices
            said = choice.delta.model_extra
            calls = said.get("tool_calls") or said.get("function_call")
            beside_text = calls or choice.finish_reason or item.model_extra.get("usage")
            is_plain = type(said["content"]) is str and said["content"] != "" and not beside_text
        except Exception:  # noqa: BLE001 - it has another shape
            is_plain = False
        return CONTENT if is_plain else _read_closely(item)


def _read_closely(item: Any) -> Reading | None:
    reading = read_chat(item)
    if any(_is_refusal(choice) for choice in items(field(item, "choices"))):
        reading = (reading or Reading())._replace(content=True, refused=True)
    return reading


def _is_refusal(choice: object) -> bool:
    # LiteLLM keeps here what its own messages have no place for.
    message = field(choice, "message")
    return is_filled(field(field(message, "provider_specific_fields"), "refusal"))
