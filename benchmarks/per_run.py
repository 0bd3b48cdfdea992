"""What recording one run costs: a tracker, duration, first token, tokens, outcome, feedback: seven events.

The rival is LaunchDarkly's own AI SDK, on the same client: a stub that does nothing, and a real ``LDClient``
whose events go to a loopback sink. Both make a run id and a tracker each time.
"""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import perf_counter_ns
from typing import Any

from common import ForgetfulClient, arguments, interleaved, report
from ldai.tracker import FeedbackKind, LDAIConfigTracker
from ldai.tracker import TokenUsage as OfficialUsage
from ldclient import Config, Context, LDClient
from ldclient.integrations.test_data import TestData

from ldtrack import (
    AIClient,
    AICompletionConfigDefault,
    Feedback,
    ModelConfig,
    ProviderConfig,
    TokenUsage,
)

RUNS = 1_000
CONTEXT = Context.create("benchmark")


class Sink(BaseHTTPRequestHandler):
    """Takes events and forgets them."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(202)
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


def ours(client: Any, loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    default = AICompletionConfigDefault(model=ModelConfig("gpt"), provider=ProviderConfig("openai"))
    ai = AIClient(client, usage_events=False)
    config = loop.run_until_complete(ai.completion_config("benchmark", CONTEXT, default))

    async def record() -> float:
        started = perf_counter_ns()
        for _ in range(RUNS):
            tracker = config.create_tracker()
            await tracker.track_duration(1_200)
            await tracker.track_time_to_first_token(300)
            await tracker.track_tokens(TokenUsage(30, 10, 20))
            await tracker.track_success()
            await tracker.track_feedback(Feedback.POSITIVE)
        return (perf_counter_ns() - started) / RUNS

    return lambda: loop.run_until_complete(record())


def official(client: Any) -> Callable[[], float]:
    def record() -> float:
        started = perf_counter_ns()
        for _ in range(RUNS):
            tracker = LDAIConfigTracker(
                client, str(uuid.uuid4()), "benchmark", "variation", 3, CONTEXT, "gpt", "openai"
            )
            tracker.track_duration(1_200)
            tracker.track_time_to_first_token(300)
            tracker.track_tokens(OfficialUsage(30, 10, 20))
            tracker.track_success()
            tracker.track_feedback({"kind": FeedbackKind.Positive})
        return (perf_counter_ns() - started) / RUNS

    return record


def main() -> None:
    options = arguments(__doc__ or "")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = Config(
        "sdk-key",
        update_processor_class=TestData.data_source(),
        events_uri=f"http://127.0.0.1:{server.server_port}",
        events_max_pending=1_000_000,
        diagnostic_opt_out=True,
    )
    loop = asyncio.new_event_loop()
    stub = ForgetfulClient()
    with LDClient(config) as real:
        series = interleaved(
            {
                "stub client: official": official(stub),
                "stub client: ldtrack": ours(stub, loop),
                "real client: official": official(real),
                "real client: ldtrack": ours(real, loop),
            },
            5 if options.quick else 40,
        )
    server.shutdown()
    loop.close()
    rows, figures = [], {}
    for name, measurement in series.items():
        rival = series[f"{name.split(':')[0]}: official"]
        ratio, least = measurement.median / rival.median, measurement.minimum / rival.minimum
        figures[name] = {
            "median_ns": measurement.median,
            "min_ns": measurement.minimum,
            "ratio": ratio,
            "ratio_of_minima": least,
        }
        rows.append(
            [
                name,
                f"{measurement.minimum / 1e3:.2f}",
                f"{measurement.median / 1e3:.2f}",
                f"{ratio:.2f}",
                f"{least:.2f}",
            ]
        )
    header = ["per run of seven events", "min µs", "median µs", "ratio", "of minima"]
    report("Cost per run", header, rows, figures, options.json)


if __name__ == "__main__":
    main()
