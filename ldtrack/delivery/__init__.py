"""Delivery brings events from a ledger to where they go."""

from ldtrack.delivery.launchdarkly import LaunchDarklyEvents
from ldtrack.delivery.ldclient import LDClientDestination
from ldtrack.delivery.relay import Relay, RelayState, RelayStats

__all__ = ["LDClientDestination", "LaunchDarklyEvents", "Relay", "RelayState", "RelayStats"]
