"""Delivery brings events from a ledger to where they go."""

from ldtrack.delivery.jsonl import JSONLines
from ldtrack.delivery.launchdarkly import LaunchDarklyEvents
from ldtrack.delivery.ldclient import LDClientDestination
from ldtrack.delivery.relay import Relay, RelayState, RelayStats

__all__ = ["JSONLines", "LDClientDestination", "LaunchDarklyEvents", "Relay", "RelayState", "RelayStats"]
