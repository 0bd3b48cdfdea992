"""The registry: which reader reads this chunk.

Rule for this file: it asks and remembers; what a provider's chunks look like is known to its reader alone.

A new provider is a file with a reader, and a line in ``PROVIDERS``. Besides what ``ldtrack.typing.Reader``
asks for, a reader here names the ``modules`` in which its provider defines its types. Other packages bring
readers by an entry point of the group ``ldtrack.readers``.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from ldtrack.providers.anthropic import AnthropicReader
from ldtrack.providers.bedrock import BedrockReader
from ldtrack.providers.bedrock_invoke import BedrockInvokeReader
from ldtrack.providers.cohere import CohereReader
from ldtrack.providers.fields import comes_from
from ldtrack.providers.gemini import GeminiReader
from ldtrack.providers.huggingface import HuggingFaceReader
from ldtrack.providers.installed import entries, installed_readers
from ldtrack.providers.langchain import LangChainReader
from ldtrack.providers.langgraph import LangGraphReader
from ldtrack.providers.litellm import LiteLLMReader
from ldtrack.providers.mapping import MappingReader
from ldtrack.providers.mistral import MistralReader
from ldtrack.providers.ollama import OllamaReader
from ldtrack.providers.openai_agents import OpenAIAgentsReader
from ldtrack.providers.openai_chat import OpenAIChatReader
from ldtrack.providers.openai_responses import OpenAIResponsesReader
from ldtrack.providers.pydantic_ai import PydanticAIReader
from ldtrack.providers.text import TextReader
from ldtrack.typing import Reader

__all__ = ["PROVIDERS", "ProviderReader", "ReaderRegistry"]


class ProviderReader(Reader, Protocol):
    """A reader that knows its provider's types by where they are defined."""

    modules: tuple[str, ...]


PROVIDERS: Final[tuple[ProviderReader, ...]] = (
    HuggingFaceReader(),  # its objects have the shape of OpenAI's, too
    LiteLLMReader(),
    OpenAIChatReader(),
    OpenAIResponsesReader(),
    AnthropicReader(),
    MistralReader(),
    CohereReader(),
    GeminiReader(),
    BedrockReader(),
    BedrockInvokeReader(),
    OllamaReader(),
    LangChainReader(),
    LangGraphReader(),
    OpenAIAgentsReader(),
    PydanticAIReader(),
    TextReader(),
    MappingReader(),  # takes any mapping, so it comes last
)
"""Our readers, in the order in which they are asked. They keep nothing, so every stream shares them."""

_OF_PROVIDERS: Final = PROVIDERS[:-1]
_OF_MAPPINGS: Final = PROVIDERS[-1]

log: Final = logging.getLogger("ldtrack")


class ReaderRegistry:
    """Finds the reader for a stream's first chunk or for a whole answer.

    The user's readers are asked first, in their order, then ours, then those that other packages bring along,
    which are looked for when a registry is made. A type that one of ours knows is asked about once; a
    mapping, or an object of a type nobody knows, is looked at each time a stream begins.
    """

    __slots__ = ("_by_kind", "_extra", "_installed")

    def __init__(self, extra_readers: Iterable[Reader] = ()) -> None:
        self._extra = tuple(extra_readers)
        self._installed: tuple[Reader, ...] | None = None
        # Weak, since types made at run time (parametrised models, for one) come and go.
        self._by_kind: weakref.WeakKeyDictionary[type, Reader | None] = weakref.WeakKeyDictionary()
        for reader in self._extra:
            if isinstance(reader, type) or not isinstance(reader, Reader):
                raise TypeError(
                    f"{reader!r} is not a reader: it needs recognises(item), read(item), wants, marks_end "
                    "and usage_hint; was the class given instead of an instance?"
                )
        entries()  # now, since it reads files: not when a stream begins

    @staticmethod
    def load() -> None:
        """Import the readers that other packages bring along, so that no stream has to wait for it."""
        installed_readers()

    def find(self, item: object) -> Reader | None:
        """The reader for this chunk or answer; ``None`` if nobody knows it, and it can only be timed."""
        for reader in self._extra:
            if reader.recognises(item):
                return reader
        if not isinstance(item, Mapping):
            known = self._reader_of_kind(type(item))
            if known is not None:
                return known
        known = next((reader for reader in _OF_PROVIDERS if reader.recognises(item)), None)
        if known is None:
            known = self._installed_reader_of(item)
        if known is None and _OF_MAPPINGS.recognises(item):
            known = _OF_MAPPINGS
        return known

    def _installed_reader_of(self, item: object) -> Reader | None:
        if self._installed is None:
            self._installed = installed_readers()
        for reader in self._installed:
            try:
                if reader.recognises(item):
                    return reader
            except Exception as error:  # noqa: BLE001 - nobody here chose that reader, so it must not be in the way
                self._installed = tuple(one for one in self._installed if one is not reader)
                log.warning("The installed reader %r failed, and is not asked again: %r", reader, error)
        return None

    def _reader_of_kind(self, kind: type) -> Reader | None:
        try:
            return self._by_kind[kind]
        except KeyError:
            known = next((reader for reader in PROVIDERS if comes_from(kind, reader.modules)), None)
            self._by_kind[kind] = known
            return known
