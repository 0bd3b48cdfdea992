"""Fakes for testing code that uses ldtrack: no network, no waiting, the same ids every time.

    async def test_answer(ldtrack_recording):              # a fixture of the pytest plugin
        ldtrack_recording.set_flag("support-chat", {"_ldMeta": {"enabled": True}})
        await answer(ldtrack_recording.ai)
        assert "generation:success" in ldtrack_recording.names()

Rule for this package: fakes that behave, not mocks that are told what to say. Each passes the contract of the
thing it stands in for.
"""

from __future__ import annotations

from ldtrack.testing.backlog import RecordingBacklog, RecordingDestination
from ldtrack.testing.clients import AsyncRecordingClient, RecordedEvent, RecordingClient
from ldtrack.testing.clock import ManualClock, SequentialIds
from ldtrack.testing.ledger import RecordingLedger
from ldtrack.testing.recording import Recording, recording, strict
from ldtrack.testing.runners import FakeRunner, FakeRunners

__all__ = [
    "AsyncRecordingClient",
    "FakeRunner",
    "FakeRunners",
    "ManualClock",
    "RecordedEvent",
    "Recording",
    "RecordingBacklog",
    "RecordingClient",
    "RecordingDestination",
    "RecordingLedger",
    "SequentialIds",
    "recording",
    "strict",
]
