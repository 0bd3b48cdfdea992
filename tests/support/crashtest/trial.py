"""All of it together: children that are killed, an endpoint that misbehaves, the rest delivered, the verdict.

Rule for this file: the order of things. What is found is the judge's affair.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs
from endpoint import Endpoint

import ldtrack
from crashtest.carrier import deliver_the_rest
from crashtest.journal import entries_in
from crashtest.judge import Post, Verdict, judge
from crashtest.outages import Outages
from crashtest.places import Place
from crashtest.plan import Plan
from crashtest.weather import Weather

__all__ = ["Report", "run_script", "table_of", "try_it"]


_COLUMNS = (
    *("ledger", "kills", "of these relays", "all at once", "server crashes", "tried", "acknowledged"),
    *("refused by the ledger", "events arrived", "repeats recognised", "lost", "doubled", "never tried"),
    "seed",
)


@attrs.frozen
class Report:
    """How a trial went."""

    plan: Plan
    killed: dict[str, int]
    ended: list[str]
    """Children that ended by themselves."""
    outages: int
    """How often the ledger's server crashed meanwhile."""
    said: str
    """What the children wrote to their standard error."""
    is_drained: bool
    verdict: Verdict

    @property
    def kills(self) -> int:
        return self.killed["writer"] + self.killed["carrier"]

    @property
    def complaints(self) -> list[str]:
        """All that should not be; empty if every promise was kept."""
        undrained = [] if self.is_drained else ["the ledger does not say that all was delivered"]
        ended = [*self.ended, self.said] if self.ended else []
        return [*ended, *undrained, *self.verdict.complaints]

    def explained(self, most: int = 10) -> str:
        found = self.complaints
        more = [f"... and {len(found) - most} more"] if len(found) > most else []
        return "\n".join([f"seed {self.plan.seed}, {len(found)} complaints:", *found[:most], *more])


def try_it(
    place: Place, folder: Path, *, seed: int, kills: int, patience: float = 120.0, **how: Any
) -> Report:
    """Run one trial; it fails by raising only if the supervisor itself does."""
    weather = Weather(seed)
    with Endpoint() as endpoint:
        endpoint.judge = weather
        plan = Plan(
            ledger=place.ledger,
            where=place.where,
            options={
                **place.options,
                **({} if place.server is None else {"spool": str(folder / "spool.db")}),
            },
            folder=folder,
            events_uri=endpoint.uri,
            seed=seed,
            kills=kills,
            **how,
        )
        plan.journals.mkdir(parents=True)
        with Outages(place.server, seed) as outages:
            said, result = run_script("supervisor", plan)
        is_drained = asyncio.run(deliver_the_rest(plan, patience))
        posts = [
            Post(arrival.payload_id, arrival.body, is_accepted) for arrival, is_accepted in weather.posts
        ]
    return Report(
        plan=plan,
        **json.loads(result),
        outages=outages.count,
        said=said,
        is_drained=is_drained,
        verdict=judge(entries_in(plan.journals), posts),
    )


def run_script(name: str, plan: Plan) -> tuple[str, str]:
    """Run a script of this package in a process of its own; returns its standard error and output."""
    with (plan.folder / "stderr").open("w") as stderr:
        done = subprocess.run(
            [sys.executable, str(Path(__file__).parent / f"{name}.py"), plan.to_json()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            # The ldtrack under test, also for a process that is not isolated from the checkout.
            env={**os.environ, "PYTHONPATH": str(Path(ldtrack.__file__).parent.parent)},
            check=False,
            text=True,
        )
    said = (plan.folder / "stderr").read_text(errors="replace")[-4000:]
    if done.returncode:
        raise RuntimeError(f"{name} failed with {done.returncode}:\n{said}")
    return said, done.stdout


def table_of(reports: Iterable[Report]) -> str:
    """What CI prints."""
    lines = ["| " + " | ".join(_COLUMNS) + " |", "|---|" + "---:|" * (len(_COLUMNS) - 1)]
    for report in reports:
        found = report.verdict
        cells = (
            report.plan.ledger + (f" ({report.plan.fraud})" if report.plan.fraud else ""),
            report.kills,
            report.killed["carrier"],
            report.killed["together"],
            report.outages,
            found.tried,
            found.acknowledged,
            found.failed,
            found.arrived,
            found.repeats,
            len(found.lost),
            len(found.doubled),
            len(found.strange) + len(found.changed),
            report.plan.seed,
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)
