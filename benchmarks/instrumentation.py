"""What it adds to a chunk and to a call of ``AsyncOpenAI`` to be recorded: ldtrack, and the peers people use.

Each peer has processes of its own, because most of them patch ``openai`` for good; the processes take turns,
in rounds. In each, bare and recorded calls are made in turns over the same HTTP transport in memory, which
serves the same bytes. ``added`` is the difference of the two within one process, and ``x`` how many times
what ldtrack adds. What a chunk costs is what 1,000 more of them cost, whether it is spent while they pass or
when the stream is summed up after them.

All figures are processor time: of the thread that runs the event loop, which is what a chunk has to wait for,
or of the whole process (``CPU``), until everything has been sent off. Time on the wall would be that of the
machine's other users.

Parsing a chunk takes ``openai`` some 70 us, and the noise of it would bury what is added. So a stream comes
about in three ways. *same*: ``AsyncStream`` hands out the chunks it has parsed once, the same objects again
and again, which makes keeping them free. *fresh*: it hands out copies, as new objects as parsed ones are.
*served*: nothing is left out.

Every peer records everything, is checked to have recorded the usage that was served (and nothing of a bare
call), and reaches no network. What is not installed is left out; the dependency group ``bench-peers`` has
all of them.
"""

from __future__ import annotations

import gzip
import json
import random
import statistics
import struct
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from typing import Any

from common import parser_of, report
from peers import MARKER, PEERS
from places import load

OURS = next(iter(PEERS))
WAYS = ("same", "fresh", "served", "answers")
COLUMNS = {
    "same ns": ("same_added_ns", 1),
    "fresh ns": ("fresh_added_ns", 1),
    "fresh CPU ns": ("fresh_added_cpu_ns", 1),
    "served ns": ("served_added_ns", 1),
    "stream us": ("same_added_call_ns", 1_000),
    "answer us": ("answers_added_ns", 1_000),
    "answer CPU us": ("answers_added_cpu_ns", 1_000),
}
"""What is shown, where it is found, and in which unit.

Added to a chunk: the first four. Added to a call that streams, beside its chunks, and to one that does not.
"""
TIMEOUT = 300.0
"""A peer that takes longer than this, in seconds, is left out of the round."""

# What a peer asks its own service before it sends anything: one answer that has what each of them looks for.
WELCOME = json.dumps(
    {
        "id": "benchmark",
        "name": "benchmark",
        "endpoints": ["/v0.4/traces", "/evp_proxy/v2/", "/evp_proxy/v4/"],
        "org_info": [{"id": "none", "name": "none", "api_url": "", "proxy_url": "", "git_metadata": None}],
        "project": {"id": "benchmark", "name": "benchmark"},
        "version": "none",
        "is_valid": True,
    }
)

FORMS = (str(MARKER).encode(), struct.pack(">I", MARKER), struct.pack(">d", MARKER))
"""The usage that was served, as JSON and as MessagePack write it."""


class Sink(BaseHTTPRequestHandler):
    """Takes whatever is posted, and counts how often the usage that was served is in it."""

    protocol_version = "HTTP/1.1"
    marked = 0

    def do_GET(self) -> None:
        self._answer(json.dumps({"marked": Sink.marked}) if self.path == "/tally" else WELCOME)

    def do_POST(self) -> None:
        body = self._body()
        Sink.marked += any(form in body for form in FORMS)
        port = self.server.server_address[1]
        self._answer(WELCOME.replace('"api_url": ""', f'"api_url": "http://127.0.0.1:{port}"'))

    do_PUT = do_PATCH = do_POST  # noqa: N815 - the names that http.server looks for

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        packed = self.headers.get("Content-Encoding")
        if packed == "gzip":
            return gzip.decompress(body)
        if packed == "zstd":
            import zstandard

            return zstandard.ZstdDecompressor().decompressobj().decompress(body)
        return body

    def _answer(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None: ...


def is_installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def once(name: str, uri: str, times: int) -> dict[str, Any] | str:
    """One process of one peer: its figures, or why there are none."""
    script = str(Path(__file__).with_name("one_peer.py"))
    try:
        done = subprocess.run(
            [sys.executable, script, name, uri, str(times)], capture_output=True, text=True, timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired:
        return f"took more than {TIMEOUT:.0f} s"
    if done.returncode:
        return done.stderr.strip().rpartition("\n")[2] or f"ended with {done.returncode}"
    result: dict[str, Any] = json.loads(done.stdout.strip().rpartition("\n")[2])
    wrong = [what for what, was in result["recorded"].items() if was is what.startswith("bare")]
    return f"recorded otherwise than expected: {', '.join(wrong)}" if wrong else result


def added_to(way: str, result: dict[str, Any]) -> float:
    return statistics.median(result[way]["added_ns"])


def middle(results: list[dict[str, Any]]) -> dict[str, Any]:
    """The medians over all repetitions of all rounds."""
    figures: dict[str, Any] = {"version": results[0]["version"], "openai": results[0]["openai"]}
    for way in WAYS:
        for column in results[0][way]:
            values = [value for result in results for value in result[way][column]]
            figures[f"{way}_{column}"] = statistics.median(values)
    figures["rounds"] = {way: [added_to(way, result) for result in results] for way in WAYS}
    return figures


def row_of(name: str, figures: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    cells = [f"{name} {figures['version']}"]
    for column, unit in COLUMNS.values():
        cells.append(f"{figures[column] / unit:.0f}")
        cells.append(f"{figures[column] / ours[column]:.1f}" if ours[column] > 0 else "-")
    return cells


def main() -> None:
    parser = parser_of(__doc__ or "")
    parser.add_argument("--only", nargs="+", choices=PEERS, metavar="PEER", help="these, and ldtrack")
    parser.add_argument("--rounds", type=int, help="so often each peer is started")
    options = parser.parse_args()
    names = [name for name in PEERS if options.only is None or name == OURS or name in options.only]
    if not is_installed("openai"):
        raise SystemExit("this benchmark needs openai: install the dependency group `bench-peers`")
    absent = {name: "not installed" for name in names if not is_installed(PEERS[name][0])}
    rounds, times = (1, 1) if options.quick else (12, 1)
    rounds = options.rounds or rounds
    seen: dict[str, list[dict[str, Any]]] = {}
    failed: dict[str, str] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for number in range(rounds):
        turns = [name for name in names if name not in absent and name not in failed]
        random.Random(number).shuffle(turns)
        for name in turns:
            result = once(name, f"http://127.0.0.1:{server.server_port}", times)
            if isinstance(result, str):
                failed[name] = result
            else:
                seen.setdefault(name, []).append(result)
            news = result if isinstance(result, str) else f"{added_to('served', result):+.0f} ns a chunk"
            print(f"round {number + 1} of {rounds}: {name}: {news}", file=sys.stderr, flush=True)
    server.shutdown()
    figures: dict[str, Any] = {name: middle(seen[name]) for name in names if name in seen}
    if OURS not in figures:
        raise SystemExit(f"ldtrack itself could not be measured: {failed[OURS]}")
    rows = [row_of(name, one, figures[OURS]) for name, one in figures.items()]
    left_out = absent | failed
    header = ["added"]
    for title in COLUMNS:
        header += [title, "x"]
    bare = " us, ".join(f"{way} {figures[OURS][f'{way}_bare_ns'] / 1e3:.1f}" for way in WAYS[:3])
    print(f"{load()}\na bare chunk: {bare} us")
    report(
        f"Recording AsyncOpenAI {figures[OURS]['openai']}",
        header,
        rows,
        figures | {"left out": left_out},
        options.json,
    )
    for name, why in left_out.items():
        print(f"left out: {name}: {why}")


if __name__ == "__main__":
    main()
