"""How one installs the instrumentation of ``openai`` that others make, and ours, for ``instrumentation.py``.

Rule for this file: each peer is installed as its own manual says, with everything recorded, and sends to an
endpoint on the loopback interface, or, where it stands on OpenTelemetry, through the batch processor to an
exporter that drops. Nothing is imported before it is asked for; what is not installed is left out.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import attrs

MARKER = 48_151_623
"""The prompt tokens of every answer: a peer that has not recorded this number has not read the stream."""
QUESTION: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "messages": [
        {"role": "user", "content": "Which is the tallest mountain of Switzerland, and who climbed it?"}
    ],
}
STREAMING: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}


@attrs.frozen(kw_only=True)
class Fitted:
    """A peer that has been installed."""

    client: Any
    drain: Callable[[], Any]
    """Sends what waits, and returns when it has gone."""
    recorded: Callable[[], int] | None = None
    """How often the marker was recorded; ``None``: the endpoint knows."""
    config: Any = None
    """ldtrack's config, where this is ldtrack."""
    around: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext
    """What its manual says must stand round a call."""


Install = Callable[[str, Callable[..., Any]], Fitted]


def _ours(ld_client: Any) -> Callable[..., Fitted]:
    def install(_uri: str, client: Callable[..., Any]) -> Fitted:
        import asyncio

        from ldclient import Context

        from ldtrack import AIClient, AICompletionConfigDefault, ModelConfig, ProviderConfig

        ai = AIClient(ld_client(), usage_events=False)
        default = AICompletionConfigDefault(
            model=ModelConfig("gpt-4o-mini"), provider=ProviderConfig("openai")
        )
        asked = ai.completion_config("benchmark", Context.create("benchmark"), default)
        return Fitted(client=client(), drain=lambda: None, config=asyncio.run(asked))

    return install


def _stub() -> Any:
    from common import ForgetfulClient

    return ForgetfulClient()


def _offline() -> Any:
    from ldclient import Config, LDClient

    return LDClient(Config("sdk-key", offline=True))


def _dropping() -> tuple[Any, Callable[[], int]]:
    """OpenTelemetry's batch processor before an exporter that keeps only the last batch, to be looked at."""
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Dropping(SpanExporter):
        def __init__(self) -> None:
            self.last: Any = ()
            self.marked = 0

        def export(self, spans: Any) -> Any:
            self.last = spans
            return SpanExportResult.SUCCESS

        def look(self) -> int:
            self.marked += sum(str(MARKER) in str(dict(span.attributes or {})) for span in self.last)
            self.last = ()
            return self.marked

    exporter = Dropping()
    return BatchSpanProcessor(exporter), exporter.look


def _open_telemetry(module: str) -> Install:
    def install(_uri: str, client: Callable[..., Any]) -> Fitted:
        import importlib

        from opentelemetry.sdk.trace import TracerProvider

        processor, recorded = _dropping()
        provider = TracerProvider()
        provider.add_span_processor(processor)
        importlib.import_module(module).OpenAIInstrumentor().instrument(tracer_provider=provider)
        return Fitted(client=client(), drain=provider.force_flush, recorded=recorded)

    return install


def _langfuse(uri: str, client: Callable[..., Any]) -> Fitted:
    os.environ.update(LANGFUSE_PUBLIC_KEY="pk-none", LANGFUSE_SECRET_KEY="sk-none", LANGFUSE_BASE_URL=uri)
    os.environ["LANGFUSE_HOST"] = uri
    from langfuse import get_client
    from langfuse.openai import AsyncOpenAI

    return Fitted(client=client(AsyncOpenAI), drain=get_client().flush)


def _langsmith(uri: str, client: Callable[..., Any]) -> Fitted:
    os.environ.update(LANGSMITH_TRACING="true", LANGSMITH_ENDPOINT=uri, LANGSMITH_API_KEY="none")
    from langsmith.run_trees import get_cached_client
    from langsmith.wrappers import wrap_openai

    return Fitted(client=wrap_openai(client()), drain=lambda: get_cached_client().flush())


def _logfire(_uri: str, client: Callable[..., Any]) -> Fitted:
    import logfire

    processor, recorded = _dropping()
    logfire.configure(
        send_to_logfire=False, console=False, metrics=False, additional_span_processors=[processor]
    )
    traced = client()
    logfire.instrument_openai(traced)
    return Fitted(client=traced, drain=logfire.force_flush, recorded=recorded)


def _opik(uri: str, client: Callable[..., Any]) -> Fitted:
    os.environ.update(OPIK_URL_OVERRIDE=f"{uri}/api", OPIK_WORKSPACE="default", OPIK_SENTRY_ENABLE="false")
    import opik
    from opik.integrations.openai import track_openai

    return Fitted(client=track_openai(client()), drain=opik.flush_tracker)


def _posthog(uri: str, client: Callable[..., Any]) -> Fitted:
    from posthog import Posthog
    from posthog.ai.openai import AsyncOpenAI

    sender = Posthog("phc_none", host=uri)
    return Fitted(client=client(AsyncOpenAI, posthog_client=sender), drain=sender.flush)


def _braintrust(uri: str, client: Callable[..., Any]) -> Fitted:
    os.environ.update(BRAINTRUST_API_URL=uri, BRAINTRUST_APP_URL=uri)
    import braintrust

    logger = braintrust.init_logger(project="benchmark", api_key="none", app_url=uri)
    return Fitted(client=braintrust.wrap_openai(client()), drain=logger.flush)


def _sentry(uri: str, client: Callable[..., Any]) -> Fitted:
    import sentry_sdk
    from sentry_sdk.integrations.openai import OpenAIIntegration

    sentry_sdk.init(
        dsn=uri.replace("http://", "http://none@") + "/1",
        traces_sample_rate=1.0,
        send_default_pii=True,
        integrations=[OpenAIIntegration(include_prompts=True)],
    )
    return Fitted(
        client=client(),
        drain=sentry_sdk.flush,
        around=lambda: sentry_sdk.start_transaction(op="task", name="benchmark"),
    )


def _datadog(uri: str, client: Callable[..., Any]) -> Fitted:
    os.environ.update(DD_TRACE_AGENT_URL=uri, DD_INSTRUMENTATION_TELEMETRY_ENABLED="false")
    os.environ.update(DD_REMOTE_CONFIGURATION_ENABLED="false", DD_SERVICE="benchmark")
    from ddtrace.llmobs import LLMObs
    from ddtrace.trace import tracer

    LLMObs.enable(ml_app="benchmark", agentless_enabled=False)

    def drain() -> None:
        tracer.flush()
        LLMObs.flush()

    return Fitted(client=client(), drain=drain)


PEERS: dict[str, tuple[str, Install]] = {
    "ldtrack": ("ldtrack", _ours(_stub)),
    "ldtrack, offline LDClient": ("ldtrack", _ours(_offline)),
    "Langfuse": ("langfuse", _langfuse),
    "OpenInference": (
        "openinference-instrumentation-openai",
        _open_telemetry("openinference.instrumentation.openai"),
    ),
    "OpenLLMetry": (
        "opentelemetry-instrumentation-openai",
        _open_telemetry("opentelemetry.instrumentation.openai"),
    ),
    "OpenTelemetry": (
        "opentelemetry-instrumentation-openai-v2",
        _open_telemetry("opentelemetry.instrumentation.openai_v2"),
    ),
    "LangSmith": ("langsmith", _langsmith),
    "Logfire": ("logfire", _logfire),
    "Opik": ("opik", _opik),
    "PostHog": ("posthog", _posthog),
    "Braintrust": ("braintrust", _braintrust),
    "Sentry": ("sentry-sdk", _sentry),
    "Datadog": ("ddtrace", _datadog),
}
"""Which package each one is, and how it is installed."""
