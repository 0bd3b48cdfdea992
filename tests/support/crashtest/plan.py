"""What a crash test is about: handed to its processes as JSON.

Rule for this file: values, and how a ledger is opened from them.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import attrs

from crashtest.places import Place
from ldtrack.ledgers import spool

__all__ = ["LEDGERS", "LOAN", "Plan"]

LEDGERS = ("sqlite", "postgres", "redis")
LOAN = 1.0
"""For how many seconds batches are on loan: those whose relay was killed come back then."""


@attrs.frozen(kw_only=True)
class Plan:
    """One trial."""

    ledger: str
    where: str
    """The file, the DSN or the URL of the ledger."""
    folder: Path = attrs.field(converter=Path)
    """Where the children write down what they were told."""
    events_uri: str
    seed: int
    kills: int
    writers: int = 3
    carriers: int = 2
    tasks: int = 6
    """How many runs a writer has open at once."""
    fraud: str = ""
    """Which promise is broken on purpose: a name in ``frauds``."""
    options: dict[str, Any] = attrs.field(factory=dict)
    """Further options of the ledger."""

    def to_json(self) -> str:
        return json.dumps(attrs.asdict(self) | {"folder": str(self.folder)})

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(**json.loads(text))

    @property
    def journals(self) -> Path:
        return self.folder / "journals"

    @property
    def tokens(self) -> Path:
        """Where writers leave tokens of their runs for each other."""
        return self.folder / "tokens"

    def import_ledger(self) -> None:
        """Import what opening it needs, the driver included: a forked child has that already."""
        import_module({"sqlite": "sqlite3", "postgres": "psycopg", "redis": "redis"}[self.ledger])
        self.open_ledger()

    def open_ledger(self) -> Any:
        """The ledger, of which nothing is open yet; the drivers of the others are not imported."""
        # A portion of a spool that a dead process had on loan comes back as soon as a relay's batch.
        spool.LOAN = spool.PAUSE = LOAN
        return Place(self.ledger, self.where, self.options).open()
