"""The ledger that records nothing says why, and is otherwise a ledger."""

from __future__ import annotations

import pytest
from ldclient import Context
from ledger_kits import a_claim
from once_world import ATTRIBUTION, new_recorder

from ldtrack.core.slots import DURATION
from ldtrack.exceptions import LedgerError
from ldtrack.ledgers.refusing import RefusingLedger
from ldtrack.testing import RecordingLedger
from ldtrack.tracking.tracker import Tracker


async def test_every_claim_is_refused_for_the_reason() -> None:
    """The metric, the run and the reason; nothing is counted, nothing is pending."""
    ledger = RefusingLedger("the flag is off")
    for _ in range(2):
        with pytest.raises(LedgerError, match="duration of run run-1 cannot be recorded: the flag is off"):
            ledger.submit(a_claim(DURATION, 1))
    assert ledger.recorded == 0
    assert await ledger.flush(1)
    await ledger.aclose()


async def test_a_run_of_an_invalid_context_records_nothing_and_says_so() -> None:
    """LaunchDarkly's SDK would drop the events without a word, and the slots would be spent."""
    ledger = RecordingLedger()
    recorder = new_recorder(ledger)
    tracker = Tracker(recorder, ATTRIBUTION, Context.create(""))
    with pytest.raises(LedgerError, match="context is invalid"):
        await tracker.track_success()
    async with tracker.run():
        pass
    assert dict(recorder.stats().failures) == {"duration": 1, "outcome": 1}
    assert ledger.submitted == 0
    assert tracker.summary.outcome is None
