"""Ledgers and relays that break a promise each, so that the judge can be shown to find them out.

Rule for this file: a fraud is as small as the mistake it stands for. Without one the parts are real.
"""

from __future__ import annotations

import uuid
from typing import Any

import attrs

from crashtest.plan import Plan
from ldtrack.ids import new_claimant

__all__ = ["FRAUDS", "backlog_of", "destination_of", "ledger_of"]

FRAUDS = ("hasty ledger", "forgetful ledger", "hasty relay", "inventive relay")


def ledger_of(plan: Plan) -> Any:
    """The ledger that writers record through."""
    ledger = plan.open_ledger()
    if plan.fraud == "hasty ledger":
        # Says yes before the commit.
        submit = ledger.submit
        ledger.submit = lambda claim: bool(submit(claim)) or True
    elif plan.fraud == "forgetful ledger":
        # Fills no slot: every claim is the first.
        row_of = ledger._scribe.row_of
        ledger._scribe.row_of = lambda claim: row_of(claim)._replace(place=new_claimant())
    return ledger


def backlog_of(plan: Plan, ledger: Any = None) -> Any:
    """The ledger that relays deliver from."""
    backlog = ledger or plan.open_ledger()
    if plan.fraud == "hasty relay":
        # Has it forgotten before it is delivered.
        lease = backlog.lease

        async def lease_and_forget(**terms: Any) -> Any:
            batch = await lease(**terms)
            if batch is not None:
                await backlog.delivered(batch)
            return batch

        backlog.lease = lease_and_forget
    return backlog


def destination_of(plan: Plan, destination: Any) -> Any:
    """Where relays deliver to."""
    if plan.fraud == "inventive relay":
        # Gives each attempt a payload id of its own.
        deliver = destination.deliver
        destination.deliver = lambda batch: deliver(attrs.evolve(batch, payload_id=str(uuid.uuid4())))
    return destination
