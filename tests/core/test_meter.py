"""The meter and what it folds: readings of one call, and the calls of one run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldtrack.core.meter import Meter, Totals
from ldtrack.core.reading import CONTENT, Reading, ToolCall, UsageReport
from ldtrack.core.values import Ending, TokenUsage

MAYBE_COUNT = st.none() | st.integers(0, 1000)
REPORTS = st.builds(UsageReport, *[MAYBE_COUNT] * len(UsageReport._fields))


def metered(*readings: Reading) -> Meter:
    """A meter that was shown these readings."""
    meter = Meter()
    for reading in readings:
        meter.note(reading)
    return meter


# One chunk


def test_the_commonest_reading_says_content_only() -> None:
    """It is content, and nothing else."""
    assert Reading(content=True) == CONTENT
    assert metered(CONTENT, Reading()).token_usage() is None
    assert metered(CONTENT).ending_when_exhausted(marks_end=False) is Ending.COMPLETED


@given(REPORTS, REPORTS)
def test_a_later_report_replaces_what_it_knows(earlier: UsageReport, later: UsageReport) -> None:
    """Providers report running totals: the last figure of each kind counts, zero included."""
    merged = earlier.updated_by(later)
    for field in UsageReport._fields:
        new = getattr(later, field)
        assert getattr(merged, field) == (getattr(earlier, field) if new is None else new)


@given(st.lists(REPORTS, max_size=4))
def test_parts_add_up_within_a_step(parts: list[UsageReport]) -> None:
    """Count by count; what no part knows stays unknown, and a running total replaces them all."""
    meter = Meter()
    for part in parts:
        meter.note(Reading(usage=part, step="a", adds=True))
    for at, count in enumerate(meter.usage.get("a", UsageReport())):
        known = [part[at] for part in parts if part[at] is not None]
        assert count == (sum(known) if known else None)
    whole = UsageReport(*range(1, 1 + len(UsageReport())))
    meter.note(Reading(usage=whole, step="a"))
    assert meter.usage == {"a": whole}


def test_a_report_becomes_usage() -> None:
    """What was not reported counts as none; a total that was not reported is the sum."""
    assert UsageReport(input=3, output=4).usage() == TokenUsage(7, 3, 4)
    assert UsageReport(total=9, output=4).usage() == TokenUsage(9, 0, 4)
    assert UsageReport(input=3, cached_input=2, reasoning=0).usage() == TokenUsage(
        3, 3, 0, cached_input=2, reasoning=0
    )
    assert UsageReport().usage().is_empty


def test_input_that_is_reported_in_parts() -> None:
    """The parts are added up once all reports are in; not without the main one, nor beside a whole."""
    first = UsageReport(fresh_input=10, written_input=3, cached_input=1000)
    assert first.usage() == TokenUsage(1013, 1013, 0, cached_input=1000)
    assert first.updated_by(UsageReport(fresh_input=12)).usage().input == 1015
    assert first.updated_by(UsageReport(written_input=0)).usage().input == 1010
    assert UsageReport(fresh_input=10).usage().input == 10
    assert UsageReport(written_input=3, cached_input=4).usage().input == 0
    assert UsageReport(input=5, fresh_input=10).usage().input == 5


# One call


def test_usage_is_folded() -> None:
    """Input comes with the first chunk of some providers, output with the last."""
    meter = metered(
        Reading(usage=UsageReport(input=10, output=1)),
        CONTENT,
        Reading(usage=UsageReport(output=20)),
    )
    assert meter.token_usage() == TokenUsage(30, 10, 20)


def test_a_total_of_nothing_beside_counts_is_their_sum() -> None:
    """Somebody filled it in, and whoever reports it last; a total beside counts of nothing stands."""
    assert UsageReport(input=3, output=4, total=0).usage() == TokenUsage(7, 3, 4)
    assert UsageReport(fresh_input=3, cached_input=4, total=0).usage().total == 7
    assert UsageReport(input=0, output=0, total=0).usage() == TokenUsage(0, 0, 0)
    assert UsageReport(input=0, total=9).usage().total == 9
    later = UsageReport(input=3, output=4, total=0)
    assert UsageReport(input=3, total=3).updated_by(later).usage().total == 7


BEGUN = Reading(usage=UsageReport(input=10, output=1), step="a", begins=True)


def test_what_names_no_step_is_about_the_one_under_way() -> None:
    """Of several messages in one stream, only the events that begin them say which."""
    meter = metered(
        Reading(usage=UsageReport(output=5)),
        BEGUN,
        Reading(usage=UsageReport(output=20)),
        BEGUN._replace(step="b"),
        Reading(usage=UsageReport(output=2), adds=True),
        Reading(usage=UsageReport(output=30), step="a"),
    )
    assert {step: report.output for step, report in meter.usage.items()} == {"": 5, "a": 30, "b": 3}


@pytest.mark.parametrize(
    ("readings", "finished"),
    [
        ([BEGUN, Reading(finished=True), BEGUN._replace(step="b")], False),
        ([BEGUN, Reading(finished=True), BEGUN._replace(step="b"), Reading(finished=True)], True),
        ([BEGUN, Reading(finished=True), BEGUN], True),
        ([BEGUN, Reading(finished=True), Reading(usage=UsageReport(output=1), step="b")], True),
        ([BEGUN._replace(finished=True)], True),
        ([Reading(finished=True), BEGUN], False),
    ],
    ids=["cut", "whole", "begun twice", "not begun", "all at once", "after one without a name"],
)
def test_the_finish_mark_is_that_of_the_last_step_begun(readings: list[Reading], finished: bool) -> None:
    """A call that is cut off is cut off, whatever came before it in the same stream."""
    meter = metered(*readings)
    assert meter.finished is finished
    expected = (Ending.COMPLETED, Ending.COMPLETED) if finished else (Ending.TRUNCATED, Ending.CLOSED_EARLY)
    assert (meter.ending_when_exhausted(marks_end=True), meter.ending_when_closed()) == expected


def test_stated_usage_wins() -> None:
    """What an extractor or an estimator hands over whole is not mixed with what chunks reported."""
    meter = metered(Reading(usage=UsageReport(input=10)))
    meter.stated = TokenUsage(1, 1)
    assert meter.token_usage() == TokenUsage(1, 1)


def test_a_tool_call_is_listed_once_however_many_deltas_name_it() -> None:
    """Calls are told apart by id: two calls of one tool are two, a repeated name is one."""
    meter = metered(
        Reading(tool_calls=(ToolCall("1", "search"), ToolCall("2", "fetch"))),
        Reading(tool_calls=(ToolCall("1", "renamed"), ToolCall("3", "search"))),
    )
    assert meter.tool_calls == {"1": "search", "2": "fetch", "3": "search"}


def test_a_call_that_is_named_again_without_its_id() -> None:
    """It is the one that was last seen at this spot; at a spot where none was, the spot is the id."""
    meter = metered(
        Reading(tool_calls=(ToolCall("a", "search", "0 search"),)),
        Reading(tool_calls=(ToolCall("0 search", "search"), ToolCall("1 search", "search"))),
        Reading(tool_calls=(ToolCall("b", "search", "0 search"), ToolCall("1 search", "search"))),
        Reading(tool_calls=(ToolCall("0 search", "search"),)),
    )
    assert meter.tool_calls == {"a": "search", "1 search": "search", "b": "search"}


@pytest.mark.parametrize("marks_end", [True, False])
@pytest.mark.parametrize(
    ("readings", "with_marks", "without"),
    [
        ((CONTENT,), Ending.TRUNCATED, Ending.COMPLETED),
        ((), Ending.TRUNCATED, Ending.COMPLETED),
        ((CONTENT, Reading(finished=True)), Ending.COMPLETED, Ending.COMPLETED),
        ((Reading(finished=True), CONTENT), Ending.COMPLETED, Ending.COMPLETED),
        ((Reading(failed=True), Reading(finished=True)), Ending.FAILED, Ending.FAILED),
        ((Reading(failed=True), CONTENT), Ending.FAILED, Ending.FAILED),
    ],
)
def test_how_an_exhausted_stream_ended(
    readings: tuple[Reading, ...], with_marks: Ending, without: Ending, marks_end: bool
) -> None:
    """Without the finish mark of a provider that always sends one, the stream broke off."""
    expected = with_marks if marks_end else without
    assert metered(*readings).ending_when_exhausted(marks_end) is expected


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ((CONTENT,), Ending.CLOSED_EARLY),
        ((CONTENT, Reading(finished=True)), Ending.COMPLETED),
        ((Reading(failed=True),), Ending.FAILED),
        ((Reading(failed=True, finished=True),), Ending.FAILED),
    ],
)
def test_how_a_closed_stream_ended(readings: tuple[Reading, ...], expected: Ending) -> None:
    """Closing after the finish mark missed nothing; a failure stays one."""
    assert metered(*readings).ending_when_closed() is expected


# One run


def test_a_run_without_calls_amounts_to_nothing() -> None:
    """No calls, no totals."""
    assert Totals.of([]) == Totals()
    assert Totals.of([Meter(), Meter()]) == Totals()


def test_calls_are_added_up() -> None:
    """Usage and waiting are summed, tool calls listed in order, the first token is the earliest."""
    one = metered(Reading(usage=UsageReport(input=1, output=2), tool_calls=(ToolCall("a", "search"),)))
    one.first_token_ns, one.model_ns = 70, 5
    two = metered(Reading(tool_calls=(ToolCall("a", "fetch"), ToolCall("b", "search"))))
    two.first_token_ns, two.model_ns = 50, 20
    three = metered(Reading(usage=UsageReport(input=10)))
    three.model_ns = 0
    assert Totals.of([one, two, three]) == Totals(
        first_token_ns=50,
        model_ns=25,
        usage=TokenUsage(13, 11, 2),
        tool_calls=("search", "fetch", "search"),
    )


def test_a_message_that_a_later_answer_tells_of_again_counts_once() -> None:
    """As of a graph that was interrupted and resumed; what has no id of its own is counted as it comes."""

    def state(*ids: str) -> Reading:
        return Reading(
            parts=tuple((id_, UsageReport(output=5)) for id_ in ids),
            tool_calls=tuple(ToolCall(f"call {id_}", f"tool {id_}") for id_ in ids),
        )

    totals = Totals.of([metered(state("one", "0")), metered(state("one", "0", "two")), metered(state("two"))])
    assert totals.usage == TokenUsage(20, 0, 20)
    assert totals.tool_calls == ("tool one", "tool 0", "tool 0", "tool two")
    apart = [metered(Reading(usage=UsageReport(output=5), step="one")) for _ in range(2)]
    assert Totals.of(apart).usage == TokenUsage(10, 0, 10)


def test_waiting_that_was_not_measured_everywhere_is_unknown() -> None:
    """A sum that leaves a call out would make a slow model look fast."""
    assert Totals.of([Meter(model_ns=5), Meter(model_ns=None)]).model_ns is None


def test_a_tool_call_without_a_proper_name_is_refused() -> None:
    """A reader's mistake must not reach the wire."""
    meter = Meter()
    for bad in ("", None, 7):
        with pytest.raises((TypeError, ValueError), match="the name of a tool call"):
            meter.note(Reading(tool_calls=(ToolCall("1", bad),)))  # type: ignore[arg-type]  # on purpose
    assert meter.tool_calls == {}


def test_a_first_token_at_the_start_of_the_clock_is_one() -> None:
    """Zero is a time, and zero nanoseconds of waiting are a measurement."""
    meter = Meter(first_token_ns=0, model_ns=0)
    assert (Totals.of([meter]).first_token_ns, Totals.of([meter]).model_ns) == (0, 0)


@given(st.lists(REPORTS, max_size=5))
def test_usage_of_a_run_is_the_sum_of_its_calls(reports: list[UsageReport]) -> None:
    """However many calls, nothing is lost and nothing is counted twice."""
    total = Totals.of([metered(Reading(usage=report)) for report in reports]).usage
    if not reports:
        assert total is None
    else:
        assert total is not None
        assert total.input == sum(report.usage().input for report in reports)
        assert total.output == sum(report.output or 0 for report in reports)
        assert total.total == sum(report.usage().total for report in reports)


def test_usage_is_summed_over_the_steps_of_one_stream() -> None:
    """An agent's stream carries several model calls: each one's later report replaces its own earlier one."""
    meter = Meter()
    meter.note(Reading(usage=UsageReport(input=10, output=1), step="a"))
    meter.note(Reading(usage=UsageReport(input=7, output=2), step="b"))
    meter.note(Reading(usage=UsageReport(output=5), step="a"))
    assert meter.token_usage() == TokenUsage(24, 17, 7)


def test_the_latest_finish_reason_and_model_stay_when_later_chunks_say_nothing() -> None:
    """Providers say either once, in the middle, and go on with usage."""
    meter = Meter()
    meter.note(Reading(model="gpt-4o-2024-08-06"))
    meter.note(Reading(finish_reason="stop", finished=True))
    meter.note(Reading(usage=UsageReport(input=1)))
    assert (meter.model, meter.finish_reason, meter.refused) == ("gpt-4o-2024-08-06", "stop", False)
    meter.note(Reading(refused=True))
    meter.note(Reading())
    assert meter.refused


def test_a_run_is_refused_if_its_last_call_is() -> None:
    """A second try that was answered makes good for a first one that was filtered."""
    filtered, answered = Meter(refused=True, finish_reason="content_filter"), Meter(model="b")
    assert Totals.of([answered, filtered]).refused
    again = Totals.of([filtered, answered])
    assert (again.refused, again.finish_reason, again.model) == (False, "content_filter", "b")
