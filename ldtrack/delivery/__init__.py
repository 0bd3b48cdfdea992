"""Delivery brings events from a ledger to where they go."""

from ldtrack.delivery.ldclient import LDClientDestination

__all__ = ["LDClientDestination"]
