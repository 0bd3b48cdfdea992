"""How a relay is, as JSON and in Prometheus' text format.

Rule for this file: from figures to text. Where the figures come from is not its affair.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from http import HTTPStatus
from typing import Final

import attrs

from ldtrack.cli.health import Answer
from ldtrack.core.batch import Standing
from ldtrack.delivery import RelayState, RelayStats

__all__ = ["Report", "health_of", "metrics_of", "oldest_age"]

_PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"


@attrs.frozen(kw_only=True)
class Report:
    """A relay and its ledger at one moment."""

    ledger: str
    """Where it is, for people."""
    stats: RelayStats
    standing: Standing | None = None
    """How the ledger stood when it last said so."""
    spooled: int | None = None
    """How many claims waited in this machine's spool when it was last looked at; ``None`` without a spool."""
    ledger_error: str | None = None
    """Why it does not say so now."""
    last_error: str | None = None
    """What last went wrong with a delivery, without anything secret."""
    key_problem: str | None = None
    is_stopping: bool = False
    now: float
    uptime: float

    @property
    def is_well(self) -> bool:
        """Whether nobody has to look. A destination that is away for a while is what a relay is there for."""
        return not (self.is_stopping or self.ledger_error or self.stats.state is RelayState.LOCKED)


def oldest_age(standing: Standing, now: float) -> float | None:
    """For how many seconds the oldest claim has been waiting; ``None`` if none is."""
    return None if standing.oldest_ms is None else max(0.0, round(now - standing.oldest_ms / 1000, 3))


def health_of(report: Report) -> Answer:
    """The answer to ``/health``: 200 while all is well or takes care of itself, else 503."""
    stats, standing = report.stats, report.standing
    waiting = None if stats.waiting_until is None else max(0.0, round(stats.waiting_until - report.now, 3))
    said = {
        "status": "ok" if report.is_well else "stopping" if report.is_stopping else "failing",
        "state": stats.state.value,
        "ledger": report.ledger,
        "pending": standing and standing.pending,
        "spooled": report.spooled,
        "oldest_age_seconds": standing and oldest_age(standing, report.now),
        "delivered": stats.delivered,
        "delivered_events": stats.events,
        "delivered_in_all": standing and standing.delivered,
        "set_aside": standing and standing.set_aside,
        "attempts": stats.attempts,
        "retries": stats.retries,
        "last_error": report.last_error,
        "ledger_error": report.ledger_error,
        "key_problem": report.key_problem,
        "waiting_seconds": waiting,
        "uptime_seconds": round(report.uptime, 3),
    }
    status = HTTPStatus.OK if report.is_well else HTTPStatus.SERVICE_UNAVAILABLE
    return Answer(status, json.dumps(said) + "\n", "application/json")


_COUNTERS: Final = (
    ("delivered", "delivered_claims_total", "Claims that the destination accepted from this relay."),
    ("events", "delivered_events_total", "Events of those claims."),
    ("attempts", "attempts_total", "Batches that were brought to the destination, however it answered."),
    ("retries", "retries_total", "Those among them that had been tried before."),
    ("splits", "splits_total", "Batches that were halved, being too large or refused."),
    ("set_aside", "set_aside_claims_total", "Claims that the destination refused from this relay."),
    ("errors", "errors_total", "How often the ledger or the destination failed unexpectedly."),
)
_LEDGER: Final = (
    ("pending", "pending_claims", "gauge", "Claims that are recorded and not delivered."),
    ("set_aside", "set_aside_claims", "gauge", "Claims that were refused and are kept."),
    ("delivered", "delivered_claims_total", "counter", "Claims delivered since the ledger was made."),
)


def metrics_of(report: Report) -> Answer:
    """The answer to ``/metrics``. What the ledger does not tell right now is left out."""
    return Answer(HTTPStatus.OK, "\n".join([*_metrics(report), ""]), _PROMETHEUS)


def _metrics(report: Report) -> Iterator[str]:
    stats, standing = report.stats, report.standing
    for field, name, text in _COUNTERS:
        yield from _metric(f"ldtrack_relay_{name}", "counter", text, getattr(stats, field))
    yield from _head("ldtrack_relay_state", "gauge", "What the relay is doing.")
    for state in RelayState:
        yield f'ldtrack_relay_state{{state="{state.value}"}} {int(stats.state is state)}'
    yield from _metric("ldtrack_relay_uptime_seconds", "gauge", "How long it runs.", round(report.uptime, 3))
    if report.spooled is not None:
        text = "Claims in this machine's spool, which the ledger's server has not got yet."
        yield from _metric("ldtrack_ledger_spooled_claims", "gauge", text, report.spooled)
    is_up = int(standing is not None and report.ledger_error is None)
    yield from _metric("ldtrack_ledger_up", "gauge", "Whether the ledger answers.", is_up)
    if standing is None or not is_up:
        return
    for field, name, kind, text in _LEDGER:
        yield from _metric(f"ldtrack_ledger_{name}", kind, text, getattr(standing, field))
    age = oldest_age(standing, report.now) or 0.0
    yield from _metric("ldtrack_ledger_oldest_age_seconds", "gauge", "Age of the oldest pending claim.", age)


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def _metric(name: str, kind: str, text: str, value: float) -> Iterator[str]:
    yield from _head(name, kind, text)
    yield f"{name} {value}"
