"""Real provider clients over a transport that serves from memory: no socket, no key, no waiting.

    client = openai_client(chat_stream("Hel", "lo"))                   # see recorded.py
    client = anthropic_client(message_stream("Hello")[:-1])            # cut before the finish mark

    server = FakeServer(chat_stream("Hello"), chat_answer("Hello"))    # one answer after the other
    client = openai_client(server=server)
    ...
    assert server.closed == 1

An answer is either a mapping, served as JSON, or a list of server-sent events. What goes into such a list:
a mapping (one event, named by its ``type`` if it has one), a ``str`` (the data of an event, as it is), an
``asyncio.Event`` (the server waits for it), or an exception (the connection breaks). Instead of an answer
there may be an exception (no connection comes about), or a coroutine function that is given the request's
JSON and returns the answer. The last answer is served again as often as it is asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import anthropic
import openai

Event = Mapping[str, Any] | str | asyncio.Event | Exception
Answer = Mapping[str, Any] | Sequence[Event] | Exception | Callable[[dict[str, Any]], Awaitable["Answer"]]


class FakeServer:
    """Answers requests from memory, and knows what became of its answers."""

    def __init__(self, *answers: Answer) -> None:
        self.requests: list[dict[str, Any]] = []
        """The JSON bodies it was sent."""
        self.sent = 0
        """How many events it was asked for."""
        self.begun = 0
        """How many streamed answers were asked for and handed out."""
        self.closed = 0
        """How many streamed answers the client has closed, read to the end or not."""
        self._answers = [*answers]

    def client_for(self, sdk: Any) -> Any:
        """An HTTP client of the library that this SDK stands on, with this server behind it."""
        return self.client_over(_http_under(sdk))

    def client_over(self, http: Any) -> Any:
        """A client of this HTTP library, ``httpx`` or what took its place, with this server behind it."""

        async def answer(request: Any) -> Any:
            self.requests.append(body := json.loads(request.content or b"{}"))
            served: Any = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            if callable(served):
                served = await served(body)
            if isinstance(served, Exception):
                raise served
            if isinstance(served, Mapping):
                return http.Response(200, json=served)
            events = _body_of(http, self, served)
            self.begun += 1
            return http.Response(200, headers={"content-type": "text/event-stream"}, stream=events)

        return http.AsyncClient(transport=http.MockTransport(answer))


def _http_under(sdk: Any) -> Any:
    return importlib.import_module(sdk.DefaultAsyncHttpxClient.__mro__[1].__module__.partition(".")[0])


def _body_of(http: Any, server: FakeServer, events: Iterable[Event]) -> Any:
    class Body(http.AsyncByteStream):  # type: ignore[misc]  # either library's class
        def __init__(self) -> None:
            self._is_closed = False

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for event in events:
                if isinstance(event, asyncio.Event):
                    await event.wait()
                elif isinstance(event, Exception):
                    raise event
                else:
                    server.sent += 1
                    yield sse(event)

        async def aclose(self) -> None:
            if not self._is_closed:
                self._is_closed = True
                server.closed += 1

    return Body()


def sse(event: Mapping[str, Any] | str) -> bytes:
    """One server-sent event as bytes."""
    if isinstance(event, str):
        return f"data: {event}\n\n".encode()
    line = f"event: {event['type']}\n" if "type" in event else ""
    return f"{line}data: {json.dumps(event)}\n\n".encode()


def broken_connection(sdk: Any) -> Exception:
    """What the HTTP library under this SDK raises when the other side is gone."""
    error: Exception = _http_under(sdk).ReadError("the connection was reset")
    return error


def openai_client(*answers: Answer, server: FakeServer | None = None) -> openai.AsyncOpenAI:
    """An ``AsyncOpenAI`` that is given these answers, or talks to this server."""
    http_client = (server or FakeServer(*answers)).client_for(openai)
    return openai.AsyncOpenAI(api_key="none", base_url="http://fake", http_client=http_client, max_retries=0)


def azure_client(*answers: Answer, server: FakeServer | None = None) -> openai.AsyncAzureOpenAI:
    """An ``AsyncAzureOpenAI`` that is given these answers, or talks to this server."""
    http_client = (server or FakeServer(*answers)).client_for(openai)
    return openai.AsyncAzureOpenAI(
        api_key="none",
        api_version="2024-10-21",
        azure_endpoint="http://fake",
        http_client=http_client,
        max_retries=0,
    )


def anthropic_client(*answers: Answer, server: FakeServer | None = None) -> anthropic.AsyncAnthropic:
    """An ``AsyncAnthropic`` that is given these answers, or talks to this server."""
    http_client = (server or FakeServer(*answers)).client_for(anthropic)
    return anthropic.AsyncAnthropic(
        api_key="none", base_url="http://fake", http_client=http_client, max_retries=0
    )


@contextlib.contextmanager
def huggingface_clients() -> Iterator[Callable[..., Any]]:
    """Makes ``AsyncInferenceClient``s that are given these answers, by a setting of the process."""
    import huggingface_hub
    from huggingface_hub.utils._http import default_async_client_factory

    http = importlib.import_module(type(default_async_client_factory()).__module__.partition(".")[0])

    def make(*answers: Answer, server: FakeServer | None = None) -> Any:
        served = server or FakeServer(*answers)
        huggingface_hub.set_async_client_factory(lambda: served.client_over(http))
        return huggingface_hub.AsyncInferenceClient(base_url="http://fake/v1", api_key="none")

    try:
        yield make
    finally:
        huggingface_hub.set_async_client_factory(default_async_client_factory)
