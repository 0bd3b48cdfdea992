"""Ledgers decide which claim came first, and keep its events until they are delivered."""

from ldtrack.ledgers.memory import MemoryLedger

__all__ = ["MemoryLedger"]
