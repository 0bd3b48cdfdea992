"""The demo: what its table says is what arrived, and a metric that arrives twice does not go unnoticed."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from http import HTTPStatus

import pytest

from ldtrack import Feedback
from ldtrack.cli.demo import embedded, story
from ldtrack.cli.demo.people import crowd
from ldtrack.cli.demo.received import Repeat, arrivals, by_variation, figures_of, percentile, repeats
from ldtrack.cli.demo.screen import Screen, Style
from ldtrack.cli.demo.second_process import SecondProcessError, count_elsewhere
from ldtrack.cli.demo.sink import EventSink
from ldtrack.cli.demo.story import Plot, tell
from ldtrack.cli.demo.table import table_of
from ldtrack.cli.demo.verdict import Sent, account_of
from ldtrack.cli.demo.votes import Ballot, Vote

PLAIN = Style()


def event(name, run_id="run-1", value=1, variation="steady", **data):
    """A custom event as LaunchDarkly's SDK posts it."""
    data = {"runId": run_id, "variationKey": variation, "modelName": "a-model", **data}
    return {"kind": "custom", "key": f"$ld:ai:{name}", "data": data, "metricValue": value}


DURATION, FIRST_TOKEN = "duration:total", "tokens:ttf"
SUCCESS, ERROR = "generation:success", "generation:error"
THUMBS_UP, THUMBS_DOWN = "feedback:user:positive", "feedback:user:negative"


# The whole of it


def started(*arguments):
    """The demo in a process of its own, as a user would start it; warnings are errors there too."""
    # Isolated where the tests are, so that the same ldtrack runs here and there.
    flags = ["-I"] if sys.flags.isolated else []
    return subprocess.Popen(
        [sys.executable, *flags, "-X", "utf8", "-W", "error", "-m", "ldtrack", "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


@pytest.fixture(scope="module")
def shown():
    """What the demo prints."""
    with started("--fast", "--runs", "40", "--seed", "7") as demo:
        out, complaints = demo.communicate()
    assert (demo.returncode, complaints) == (0, ""), out
    return out


@pytest.fixture(scope="module")
def rows(shown):
    """The table's rows: the numbers for steady, swift and all, by the row's label."""
    cells = [re.split(r"  +", line.strip()) for line in shown.splitlines()]
    return {
        label: [float(re.sub(r"[^\d.]", "", number)) for number in numbers]
        for label, *numbers in cells
        if len(numbers) == 3 and not any(number.isalpha() for number in numbers)
    }


def test_every_run_is_in_the_table(rows) -> None:
    """As many runs arrive as were asked for, of both variations, each with one of three outcomes."""
    runs = rows["runs"]
    assert runs[2] == 40
    assert all(runs)
    for at in range(3):
        assert rows["succeeded"][at] + rows["errors"][at] + rows["cancelled *"][at] == runs[at]


@pytest.mark.parametrize(
    "label",
    ["runs", "succeeded", "errors", "cancelled *", "tokens in", "tokens out", "tool calls", "thumbs up"],
)
def test_the_variations_add_up(label, rows) -> None:
    """What is counted for all is what is counted for each."""
    steady, swift, both = rows[label]
    assert steady + swift == both


def test_times_are_in_order(rows) -> None:
    """Half of the first tokens come before nearly all of them, and before half of the runs are over."""
    for at in range(3):
        assert 0 < rows["first token, p50"][at] <= rows["first token, p95"][at]
        assert rows["first token, p50"][at] < rows["duration, p50"][at]


def test_tokens_are_counted(rows) -> None:
    """Usage arrives for both dialects, the one that sends it first and the one that sends it last."""
    assert all(rows["tokens in"])
    assert all(rows["tokens out"])


def test_late_feedback_counts_once(shown, rows) -> None:
    """The second process got every rated run's token, and no thumb counted twice, however often posted."""
    found = re.search(
        r"process (\d+) got (\d+) tokens and posted (\d+) thumbs.* (\d+) were duplicates", shown
    )
    assert found is not None
    _process, tokens, posted, duplicates = map(int, found.groups())
    assert duplicates > 0
    assert posted == tokens + duplicates
    assert rows["thumbs up"][2] + rows["thumbs down"][2] == tokens
    assert f"{duplicates} duplicates suppressed" in shown


def test_all_that_was_sent_arrived_once(shown) -> None:
    """The demo says so itself, with the numbers."""
    found = re.search(
        r"^✓ ([\d,]+) events were handed to LaunchDarkly's SDK, ([\d,]+) arrived$", shown, re.MULTILINE
    )
    assert found is not None
    assert found[1] == found[2]
    assert re.search(r"^✓ each of \d+ \(runId, metric\) pairs arrived once$", shown, re.MULTILINE)


def test_nothing_that_a_terminal_would_interpret(shown) -> None:
    """Into a pipe go plain lines."""
    assert "\x1b" not in shown
    assert "\r" not in shown


@pytest.fixture
def heard():
    """Ctrl-C reaches the children even of what a script started in its background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to one process on Windows")
def test_ctrl_c_shows_what_arrived_so_far() -> None:
    """Ctrl-C settles every open run as cancelled, shows the table, and leaves no traceback."""
    with started("--runs", "1000000") as demo:
        first = demo.stdout.readline()
        demo.send_signal(signal.SIGINT)
        rest, complaints = demo.communicate()
    assert "make 1,000,000 runs" in first
    assert (demo.returncode, complaints) == (130, "")
    assert "\ninterrupted\n" in rest
    assert re.search(
        r"^✓ [\d,]+ events were handed to LaunchDarkly's SDK, [\d,]+ arrived$", rest, re.MULTILINE
    )


class RepeatingClient(embedded.CountingClient):
    """Sends everything twice, and counts it twice."""

    def track(self, event_name, context, data=None, metric_value=None) -> None:
        for _ in range(2):
            super().track(event_name, context, dict(data) if isinstance(data, dict) else data, metric_value)


def test_a_sender_that_repeats_itself_fails_the_demo(monkeypatch, capsys) -> None:
    """Negative control: with duplicates on the way, the demo ends with 1 and names the runs."""
    monkeypatch.setattr(embedded, "CountingClient", RepeatingClient)
    assert tell(Plot(users=2, runs=2, seed=7, is_fast=True)) == 1
    out = capsys.readouterr().out
    assert "pairs arrived more than once:" in out
    assert re.search(r"^ +run [0-9a-f-]{36}: duration, 2 times$", out, re.MULTILINE)


class LosingClient(embedded.CountingClient):
    """Counts everything and loses what tells of first tokens."""

    def track(self, event_name, context, data=None, metric_value=None) -> None:
        if event_name.endswith(FIRST_TOKEN):
            self.tracked += 1
        else:
            super().track(event_name, context, data, metric_value)


def test_a_sender_that_loses_events_fails_the_demo(monkeypatch, capsys) -> None:
    """Negative control: with events lost on the way, the demo ends with 1, and says how many arrived."""
    monkeypatch.setattr(embedded, "CountingClient", LosingClient)
    monkeypatch.setattr(story, "PATIENCE", 0.0)
    assert tell(Plot(users=2, runs=2, seed=7, is_fast=True)) == 1
    assert "FAILED:" in capsys.readouterr().out.replace("✗", "FAILED:")


# The second process


async def test_the_second_process_suppresses_repeats() -> None:
    """One vote posted many times at once, from tasks and threads, arrives once."""
    token = "eyJydW5JZCI6InJ1bi0xIiwiY29uZmlnS2V5Ijoic3VwcG9ydCIsInZlcnNpb24iOjF9"
    vote = Vote(token, embedded.Person("user-1", "Ada", "A"), Feedback.POSITIVE, times=25)
    with EventSink() as sink:
        count = await count_elsewhere(Ballot(sink.uri, 7, (vote,)))
        assert sink.wait_for(count.tracked, 10)
        arrived = arrivals(sink.events)
    assert (count.posted, count.duplicates) == (25, 24)
    assert count.process_id != os.getpid()
    assert [(arrival.run_id, arrival.key) for arrival in arrived] == [("run-1", f"$ld:ai:{THUMBS_UP}")]


async def test_a_second_process_that_fails_says_why() -> None:
    """What it printed on its way down is in the error."""
    vote = Vote("no token", embedded.Person("user-1", "Ada", "A"), Feedback.POSITIVE, times=1)
    with EventSink() as sink, pytest.raises(SecondProcessError, match="InvalidTokenError"):
        await count_elsewhere(Ballot(sink.uri, 7, (vote,)))


# The sink


def post(uri, body, **headers) -> int:
    """POST to the sink as an SDK would, and return the status."""
    request = urllib.request.Request(uri, body, {name.replace("_", "-"): headers[name] for name in headers})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request) as response:
            return response.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_the_sink_keeps_custom_events() -> None:
    """Custom events are kept in order; summaries and the like are taken and let go."""
    first, second = event(DURATION), event(SUCCESS)
    with EventSink() as sink:
        body = json.dumps([first, {"kind": "summary"}, second]).encode()
        assert post(f"{sink.uri}/bulk", body) == HTTPStatus.ACCEPTED
        assert sink.events == (first, second)
        assert (sink.count, sink.posts, sink.refused) == (2, 1, 0)


def test_the_sink_reads_gzip() -> None:
    """A compressed payload is a payload."""
    with EventSink() as sink:
        body = gzip.compress(json.dumps([event(DURATION)]).encode())
        assert post(f"{sink.uri}/bulk", body, Content_Encoding="gzip") == HTTPStatus.ACCEPTED
        assert sink.events == (event(DURATION),)


def test_the_sink_takes_a_payload_once() -> None:
    """A post that is repeated under its own id is not counted again; one under another id is."""
    body = json.dumps([event(DURATION)]).encode()
    with EventSink() as sink:
        for payload_id in ("one", "one", "two"):
            status = post(f"{sink.uri}/bulk", body, X_LaunchDarkly_Payload_ID=payload_id)
            assert status == HTTPStatus.ACCEPTED
        assert (sink.count, sink.posts) == (2, 2)


@pytest.mark.parametrize(
    ("path", "status"), [("/diagnostic", HTTPStatus.ACCEPTED), ("/elsewhere", HTTPStatus.NOT_FOUND)]
)
def test_other_paths_of_the_sink_keep_nothing(path, status) -> None:
    """Diagnostics are taken and let go, and nothing else is known."""
    with EventSink() as sink:
        assert post(sink.uri + path, json.dumps([event(DURATION)]).encode()) == status
        assert (sink.events, sink.refused) == ((), 0)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        pytest.param(b"{", None, id="no JSON"),
        pytest.param(b"\xff", None, id="no text"),
        pytest.param(b"7", None, id="a number"),
        pytest.param(b"[7]", None, id="no events"),
        pytest.param(b'[{"key": "x"}]', None, id="an event of no kind"),
        pytest.param(b"[]", "gzip", id="not compressed"),
        pytest.param(gzip.compress(b"[]")[:-9], "gzip", id="half a payload"),
    ],
)
def test_the_sink_refuses_what_it_cannot_read(body, encoding) -> None:
    """An unreadable post is refused and counted, and leaves nothing behind."""
    sink = EventSink()
    with sink:
        assert sink.take("/bulk", body, encoding=encoding, payload_id="one") is HTTPStatus.BAD_REQUEST
        assert (sink.events, sink.refused) == ((), 1)


def test_waiting_for_the_sink_ends() -> None:
    """It says whether as many events have arrived, and does not wait for more than that."""
    with EventSink() as sink:
        sink.take("/bulk", json.dumps([event(DURATION)]).encode())
        assert sink.wait_for(1, 60)
        assert not sink.wait_for(2, 0)


# The figures


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([], 0.5, None),
        ([7], 0.5, 7),
        ([7], 0.95, 7),
        ([3, 1, 2], 0.5, 2),
        ([4, 3, 2, 1], 0.5, 2),
        (range(1, 101), 0.95, 95),
        (range(1, 21), 0.95, 19),
        ([1, 2], 0.95, 2),
        ([5, 9], 0.0, 5),
        ([5, 9], 1.0, 9),
    ],
)
def test_percentile(values, share, expected) -> None:
    """The smallest value that at least that share of all values do not exceed."""
    assert percentile(values, share) == expected


def test_figures_come_from_events_alone() -> None:
    """A run with a duration and no outcome was cancelled; times and tokens come from the events' values."""
    figures = figures_of(
        arrivals(
            [
                *(event(DURATION, "a", 100), event(FIRST_TOKEN, "a", 10), event(SUCCESS, "a")),
                *(
                    event("tokens:total", "a", 9),
                    event("tokens:input", "a", 4),
                    event("tokens:output", "a", 5),
                ),
                *(event("tool_call", "a", toolKey="x"), event("tool_call", "a", toolKey="x")),
                *(event(DURATION, "b", 50), event(ERROR, "b"), event(THUMBS_DOWN, "b")),
                *(event(DURATION, "c", 200), event(FIRST_TOKEN, "c", 30), event(THUMBS_UP, "c")),
            ]
        )
    )
    assert (figures.runs, figures.succeeded, figures.errors, figures.cancelled) == (3, 1, 1, 1)
    assert figures.success_rate == 0.5
    assert (figures.first_token_p50, figures.first_token_p95, figures.duration_p50) == (10, 30, 100)
    assert (figures.tokens_in, figures.tokens_out, figures.tool_calls) == (4, 5, 2)
    assert (figures.thumbs_up, figures.thumbs_down) == (1, 1)
    assert figures.models == ("a-model",)


def test_figures_of_nothing() -> None:
    """Where nothing arrived there are no times and no rate, rather than zeros."""
    figures = figures_of([])
    assert (figures.runs, figures.success_rate, figures.first_token_p50) == (0, None, None)


def test_feedback_from_elsewhere_belongs_to_its_variation() -> None:
    """A resumed run knows its variation and not its model; the model is still that of the run."""
    late = event(THUMBS_UP, "a", variation="swift", modelName="")
    parts = by_variation(arrivals([event(DURATION, "a", variation="swift"), event(DURATION, "b"), late]))
    assert list(parts) == ["steady", "swift"]
    assert figures_of(parts["swift"]).thumbs_up == 1
    assert figures_of(parts["swift"]).models == ("a-model",)


def test_events_about_no_run_are_left_out() -> None:
    """What an SDK tells of itself is about no run, whatever shape it has."""
    others = [{"key": "x", "data": {"aiSdkName": "ldtrack"}}, {"key": "x", "data": "a-config"}, {"key": "x"}]
    assert arrivals(others) == []


# The check


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param([DURATION, FIRST_TOKEN, SUCCESS, THUMBS_UP], [], id="a whole run"),
        pytest.param(["tokens:total", "tokens:input", "tokens:output"], [], id="three token events"),
        pytest.param(["tool_call", "tool_call"], [], id="tool calls may repeat"),
        pytest.param([DURATION, DURATION], [("duration", 2)], id="duration"),
        pytest.param([FIRST_TOKEN] * 3, [("first token", 3)], id="first token"),
        pytest.param(["tokens:input"] * 2, [("input tokens", 2)], id="one of the tokens"),
        pytest.param([SUCCESS, ERROR], [("outcome", 2)], id="success and error are one"),
        pytest.param([THUMBS_UP, THUMBS_DOWN], [("feedback", 2)], id="both thumbs are one"),
    ],
)
def test_repeats(names, expected) -> None:
    """What may arrive once for a run is told apart from what may not."""
    found = repeats(arrivals([event(name, "a") for name in names]))
    assert found == [Repeat("a", metric, times) for metric, times in expected]


def test_the_same_metric_of_two_runs_is_no_repeat() -> None:
    """Once is once per run."""
    assert repeats(arrivals([event(DURATION, "a"), event(DURATION, "b")])) == []


def judged(events, tracked, refused=0):
    """What is said of these events."""
    return account_of(events, Sent(tracked=tracked, duplicates=3), PLAIN, posts=1, refused=refused)


def test_a_good_account() -> None:
    """All arrived and nothing twice: good, with the numbers that are given and those that are counted."""
    account = judged([event(DURATION), event(SUCCESS)], tracked=2)
    assert account.is_good
    assert account.lines[-4:] == (
        "2 events received, 2 of them about runs; HTTP posts: 1",
        "3 duplicates suppressed before they were sent (counted where they were)",
        "ok: 2 events were handed to LaunchDarkly's SDK, 2 arrived",
        "ok: each of 2 (runId, metric) pairs arrived once",
    )


def test_a_duplicate_in_the_sink_fails_the_check() -> None:
    """Negative control: a metric that arrives twice, in two payloads, is found and its run is named."""
    with EventSink() as sink:
        for payload_id in ("one", "two"):
            sink.take("/bulk", json.dumps([event(DURATION, "the-run")]).encode(), payload_id=payload_id)
        account = judged(sink.events, tracked=2)
    assert not account.is_good
    assert account.lines[-2:] == (
        "FAILED: 1 of 1 (runId, metric) pairs arrived more than once:",
        "    run the-run: duration, 2 times",
    )


@pytest.mark.parametrize(
    ("tracked", "refused", "said"),
    [
        pytest.param(3, 0, "3 events were handed to LaunchDarkly's SDK, 1 arrived", id="lost"),
        pytest.param(0, 0, "0 events were handed to LaunchDarkly's SDK, 1 arrived", id="out of nowhere"),
        pytest.param(
            1, 2, "1 events were handed to LaunchDarkly's SDK, 1 arrived; posts that", id="unreadable"
        ),
    ],
)
def test_an_incomplete_account_is_not_good(tracked, refused, said) -> None:
    """Negative control: what is lost, invented or unreadable fails the check, repeated or not."""
    account = judged([event(DURATION)], tracked, refused)
    assert not account.is_good
    assert any(line.startswith(f"FAILED: {said}") for line in account.lines)


def test_no_run_at_all_is_not_good() -> None:
    """Nothing arrives once by never arriving."""
    account = judged([], tracked=0)
    assert not account.is_good
    assert "FAILED: nothing about any run arrived" in account.lines


def test_an_unknown_number_is_not_held_against_anybody() -> None:
    """A sender that was interrupted before it could say how much it sent leaves the repeats to be judged."""
    account = judged([event(DURATION)], tracked=None)
    assert account.is_good
    assert "ok: an unknown number of events were handed to LaunchDarkly's SDK, 1 arrived" in account.lines


# How it looks


def test_the_table() -> None:
    """Labels to the left, numbers to the right, one column each, and nothing wider than its rule."""
    some = figures_of(
        arrivals([event(DURATION, "a", 1234), event(SUCCESS, "a"), event("tokens:input", "a", 98765)])
    )
    lines = table_of({"steady": some, "nobody": figures_of([])}, PLAIN)
    table = [line for line in lines if "*" not in line[:2] and " * " not in line[:3]]
    assert lines[0].split() == ["steady", "nobody"]
    assert lines[1].split() == ["a-model"]
    assert {len(line) for line in table if set(line) == {"-"}} == {len(lines[0])}
    by_label = {re.split("  +", line)[0]: re.split("  +", line)[1:] for line in table[3:]}
    assert by_label["duration, p50"] == ["1,234 ms", "-"]
    assert by_label["tokens in"] == ["98,765", "0"]
    assert by_label["success rate **"] == ["100.0 %", "-"]


class Terminal:
    """A stream that says what it is told to be, and keeps what is written."""

    def __init__(self, *, is_a_tty=True, encoding="utf-8") -> None:
        self.encoding = encoding
        self.written = ""
        self._is_a_tty = is_a_tty

    def isatty(self) -> bool:
        return self._is_a_tty

    def write(self, text) -> None:
        self.written += text

    def flush(self) -> None:
        pass


@pytest.mark.parametrize(
    ("terminal", "environment", "expected"),
    [
        (Terminal(), {}, Style(is_live=True, has_colour=True, is_fancy=True)),
        (Terminal(), {"NO_COLOR": "1"}, Style(is_live=True, has_colour=False, is_fancy=True)),
        (Terminal(), {"NO_COLOR": ""}, Style(is_live=True, has_colour=True, is_fancy=True)),
        (Terminal(), {"TERM": "dumb"}, Style(is_live=False, has_colour=False, is_fancy=True)),
        (Terminal(is_a_tty=False), {}, Style(is_live=False, has_colour=False, is_fancy=True)),
        (Terminal(encoding="ascii"), {}, Style(is_live=True, has_colour=True, is_fancy=False)),
        (Terminal(encoding="no such"), {}, Style(is_live=True, has_colour=True, is_fancy=False)),
        (Terminal(encoding=None), {}, Style(is_live=True, has_colour=True, is_fancy=False)),
    ],
    ids=["terminal", "NO_COLOR", "empty NO_COLOR", "dumb", "pipe", "ASCII", "unknown", "unnamed"],
)
def test_style(terminal, environment, expected) -> None:
    """A terminal gets colours and a live line, unless it or its user says otherwise; a pipe gets text."""
    assert Style.of(terminal, environment) == expected


def test_only_colour_is_left_out_without_colour() -> None:
    """Without colour the text is the same."""
    colourful = Style(has_colour=True)
    for text in (colourful.bold("x"), colourful.dim("x")):
        assert re.sub(r"\x1b\[\d*m", "", text) == "x"
    assert (PLAIN.bold("x"), PLAIN.dim("x"), PLAIN.mark(is_good=True)) == ("x", "x", "ok:")
    assert PLAIN.bar(0.5, width=4) == "##.."


def test_a_pipe_gets_no_live_line() -> None:
    """What is written over on a terminal is not written at all anywhere else."""
    pipe, terminal = Terminal(is_a_tty=False), Terminal()
    for stream in (pipe, terminal):
        screen = Screen(stream, Style.of(stream, {}))
        screen.show("bar", "half")
        screen.say("done")
    assert pipe.written == "done\n"
    assert terminal.written == "\r\x1b[Kbar half\r\x1b[Kdone\n"


# The users


@pytest.mark.parametrize(("users", "runs"), [(1, 1), (3, 10), (40, 40), (10, 3)])
def test_the_crowd_makes_as_many_runs_as_asked_for(users, runs) -> None:
    """Runs are shared out evenly and none is left over; cohorts differ by one user at most."""
    people = crowd(users=users, runs=runs, seed=7, speed=1)
    shares = [user.runs for user in people.users]
    cohorts = [user.person.cohort for user in people.users]
    assert (len(shares), sum(shares)) == (users, runs)
    assert max(shares) - min(shares) <= 1
    assert abs(cohorts.count("A") - cohorts.count("B")) <= 1
