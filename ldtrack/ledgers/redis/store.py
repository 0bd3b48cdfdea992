"""Rows in Redis or Valkey: a ledger for many hosts, as safe as the server's append-only file.

Rule for this file: from rows and batches to scripts and back. What the scripts do is in ``scripts``,
how they get to the server in ``link``.

A ledger is one shard unless it is told otherwise, and a shard lives on one server: with a cluster, shards are
what spreads the load. The number of shards is fixed for a ledger's life, and stored in it. What is atomic is
atomic within a shard, and all rows of a run are in one.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

from ldtrack import ids
from ldtrack.core.batch import Aside, Batch, Standing
from ldtrack.core.row import Row
from ldtrack.exceptions import LedgerError
from ldtrack.ledgers.redis import scripts
from ldtrack.ledgers.redis.facts import Facts
from ldtrack.ledgers.redis.link import Call, Link
from ldtrack.ledgers.redis.scripts import Script, Shard, shard_of
from ldtrack.ledgers.store import UnavailableError

__all__ = ["RedisStore"]

KEEP_CLAIMS: Final = 400 * 86_400.0
LAYOUT: Final = 1
"""Of the keys; a later one that is not compatible gets another number."""
MAX_ROWS: Final = 500
"""How many rows one script takes: the server does nothing else meanwhile, and that should be milliseconds."""
MAX_CHARS: Final = 4_000_000
"""How many characters their bodies have, unless it is one row."""


class RedisStore:
    """A store on a Redis or Valkey server from version 6.2, or a cluster of them."""

    def __init__(
        self,
        url: str,
        *,
        name: str = "ldtrack",
        shards: int = 1,
        keep_claims: float = KEEP_CLAIMS,
        timeout: float = 3.0,
        wait_replicas: int = 0,
        driver: Mapping[str, Any] | None = None,
        new_payload_id: Callable[[], str] = ids.new_payload_id,
        tell: Callable[[Facts], object] | None = None,
    ) -> None:
        """``driver`` holds further options for redis-py's connections: a credential provider, TLS files.

        ``tell`` is called with what the server says about itself, whenever it was connected to.
        """
        _check(name, shards, keep_claims, timeout, wait_replicas)
        self._shards = [Shard.of(name, number) for number in range(shards)]
        self._keep = max(int(keep_claims), 1)
        self._wait_replicas = wait_replicas
        self._wait_ms = max(int(timeout * 1000 / 4), 1)
        self._new_payload_id = new_payload_id
        self._tell = tell
        self._behind = 0
        self._turn = 0
        self._link = Link(
            url, timeout=timeout, on_open=self._introduction, check=self._agree, driver=dict(driver or {})
        )

    # Claims

    def record(self, rows: Sequence[Row]) -> list[bool]:
        """Store those rows that are the first for their run and place.

        Many rows are several scripts, each of which is atomic; if one of them fails all of the rows may be
        handed in again.
        """
        if not rows:
            return []
        answers = [False] * len(rows)
        calls: list[Call] = []
        placed: list[Sequence[int]] = []
        for shard, at in self._portions(rows):
            calls.append(self._recording(shard, [rows[one] for one in at]))
            placed.append(at)
        told = self._confirmed(calls)
        for at, (first, last) in zip(placed, told, strict=False):
            self._behind = max(self._behind, last)
            for one, mark in zip(at, first, strict=True):
                answers[one] = mark == _FIRST
        return answers

    def _portions(self, rows: Sequence[Row]) -> Iterator[tuple[Shard, Sequence[int]]]:
        """Which rows go where, by their position."""
        count = len(self._shards)
        of_shard: dict[int, list[int]] = {}
        if count == 1:
            of_shard[0] = list(range(len(rows)))
        else:
            for position, row in enumerate(rows):
                of_shard.setdefault(shard_of(row.run_id, count), []).append(position)
        for number, positions in of_shard.items():
            begin = size = 0
            for end, position in enumerate(positions):
                size += len(rows[position].body)
                if end - begin == MAX_ROWS or (size > MAX_CHARS and end > begin):
                    yield self._shards[number], positions[begin:end]
                    begin, size = end, len(rows[position].body)
            yield self._shards[number], positions[begin:]

    def _recording(self, shard: Shard, rows: Sequence[Row]) -> Call:
        runs: dict[str, int] = {}
        arguments: list[str | bytes | int] = [self._keep, self._behind, int(self._wait_replicas > 0)]
        for run_id, place, claimant, at_ms, events, body in rows:
            run = runs.setdefault(run_id, len(runs) + 1)
            arguments += (run, place, claimant, _bytes(f"{at_ms} {events} {run_id}"), _bytes(body))
        return Call(scripts.RECORD, [*shard.keys, *(_bytes(shard.run(run)) for run in runs)], arguments)

    def _confirmed(self, calls: list[Call]) -> list[Any]:
        """What the scripts return, once replicas have what they wrote, and what was written before."""
        if not self._wait_replicas:
            return self._link.run(calls)
        *told, count = self._link.run(calls, then=[("WAIT", self._wait_replicas, self._wait_ms)])
        if count < self._wait_replicas:
            raise UnavailableError(f"only {count} of {self._wait_replicas} replicas have it already")
        return told

    # Batches

    def lease(self, owner: str, limit: int, max_chars: int, seconds: float) -> Batch | None:
        """Take a batch on loan, from each shard in its turn."""
        if limit < 1:
            raise ValueError(f"limit is {limit}; a batch has at least one row")
        for _ in self._shards:
            shard = self._shards[self._turn]
            self._turn = (self._turn + 1) % len(self._shards)
            asked = (owner, limit, max_chars, _ms(seconds), self._new_payload_id())
            # Nothing is posted under a payload id that a failover may lose: it would be counted twice.
            [told] = self._confirmed([Call(scripts.LEASE, shard.keys, asked)])
            if told:
                return _batch(shard, told)
        return None

    def delivered(self, batch: Batch) -> None:
        """Delete the batch and its rows, and count them; their claims stay. Nothing if it is gone."""
        shard, number = self._find(batch)
        self._call(scripts.DELIVERED, shard, number)

    def postpone(self, batch: Batch, owner: str, seconds: float) -> None:
        """Give the batch back; nobody takes it before so long. Nothing if the loan was lost."""
        shard, number = self._find(batch)
        self._call(scripts.POSTPONE, shard, number, owner, _ms(seconds))

    def hasten(self, seconds: float) -> None:
        """Make due what was postponed at least so long ago. What is on loan stays on loan."""
        self._link.run([Call(scripts.HASTEN, shard.keys, [_ms(seconds)]) for shard in self._shards])

    def split(self, batch: Batch, owner: str, seconds: float) -> tuple[Batch, Batch] | None:
        """Halve the batch into two on loan to the same owner; ``None`` if the loan was lost."""
        if len(batch.bodies) < 2:  # noqa: PLR2004 - halves
            raise ValueError("a batch of one row cannot be split")
        shard, number = self._find(batch)
        payload_ids = self._new_payload_id(), self._new_payload_id()
        asked = (number, owner, _ms(seconds), *payload_ids)
        [told] = self._confirmed([Call(scripts.SPLIT, shard.keys, asked)])
        return (_batch(shard, told[0]), _batch(shard, told[1])) if told else None

    def _find(self, batch: Batch) -> tuple[Shard, str]:
        shard, _, number = batch.id.partition("-")
        return self._shards[int(shard)], number

    # What was refused

    def set_aside(self, batch: Batch, reason: str) -> None:
        """Move the batch's rows to those that were refused. Nothing if it is gone."""
        shard, number = self._find(batch)
        self._call(scripts.SET_ASIDE, shard, number, _bytes(reason))

    def aside(self, limit: int) -> list[Aside]:
        """The rows that were refused, oldest first."""
        told = self._link.run([Call(scripts.ASIDE, shard.keys, [limit]) for shard in self._shards])
        of_shards = [[_aside(*row) for row in rows] for rows in told]
        return list(heapq.merge(*of_shards, key=attrgetter("aside_ms")))[:limit]

    def retry_aside(self) -> int:
        """Make the refused rows pending again; returns how many."""
        return sum(map(self._retry_aside, self._shards))

    def _retry_aside(self, shard: Shard) -> int:
        # Not until there are none left: a relay may set them aside as quickly as they come back.
        wanted, moved = int(self._call(scripts.STANDING, shard)[1]), 0
        while moved < wanted:
            count = int(self._call(scripts.RETRY_ASIDE, shard, min(MAX_ROWS, wanted - moved)))
            if not count:
                break
            moved += count
        return moved

    def discard_aside(self) -> int:
        """Delete the refused rows; their claims stay. Returns how many."""
        return sum(self._link.run([Call(scripts.DISCARD_ASIDE, shard.keys, []) for shard in self._shards]))

    # The rest

    def standing(self) -> Standing:
        """How much is waiting, and since when; it takes as long whatever the backlog."""
        told = self._link.run([Call(scripts.STANDING, shard.keys, []) for shard in self._shards])
        pending, aside, delivered, last, heads, metas = zip(*told, strict=True)
        # With several shards a position is one in any of them: each goes on behind the highest that a
        # writer has seen, so that the comparison of `first` and `last` holds for all of them together.
        return Standing(
            pending=sum(pending),
            set_aside=sum(aside),
            delivered=sum(delivered),
            oldest_ms=min((int(meta.split(b" ", 1)[0]) for meta in metas if meta), default=None),
            first=min((int(head.split(b"-")[0]) for head in heads if head), default=None),
            last=max(last),
        )

    def tidy(self, now_ms: int) -> bool:
        """Nothing is left to do: claims expire by themselves, and nothing is counted twice."""
        return False

    def close(self) -> None:
        """Let go of the connection; the next call makes another."""
        self._link.close()

    def abandon(self) -> None:
        """In a forked child: forget the parent's connection without touching it."""
        self._link.abandon()

    def _call(self, script: Script, shard: Shard, *arguments: str | bytes | int) -> Any:
        return self._link.run([Call(script, shard.keys, arguments)])[0]

    def _introduction(self) -> list[Call]:
        return [Call(scripts.OPEN, self._shards[0].keys, [len(self._shards), LAYOUT])]

    def _agree(self, facts: Facts, told: list[Any]) -> None:
        if self._wait_replicas and facts.is_cluster:
            raise LedgerError(
                "wait_replicas is for one server with replicas, and this is a Redis Cluster; leave it out"
            )
        shards, layout = map(int, told[0])
        if layout != LAYOUT:
            raise LedgerError(
                f"the ledger {self._shards[0].tag} was made by another version of ldtrack (layout {layout}, "
                f"not {LAYOUT}); upgrade, or give this ledger another `name`"
            )
        if shards != len(self._shards):
            raise LedgerError(
                f"the ledger {self._shards[0].tag} has {shards} shards, not {len(self._shards)}, and keeps "
                f"them for good; say shards={shards}, or give this ledger another `name`"
            )
        if self._tell is not None:
            self._tell(facts)


_FIRST: Final = ord("1")


def _check(name: str, shards: int, keep_claims: float, timeout: float, wait_replicas: int) -> None:
    if not name or not name.isprintable() or set(name) & set("{}: "):
        raise ValueError(f"name is {name!r}; a ledger's name has no blanks, colons or braces")
    if not 1 <= shards <= 1024:  # noqa: PLR2004 - each costs the relay a question
        raise ValueError(f"shards is {shards}; it must be between 1 and 1024")
    if keep_claims <= 0 or timeout <= 0 or wait_replicas < 0:
        raise ValueError("keep_claims and timeout must be positive, and wait_replicas not negative")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _ms(seconds: float) -> int:
    return max(int(seconds * 1000), 0)


def _batch(shard: Shard, told: Sequence[Any]) -> Batch:
    number, payload_id, attempts, *rows = told
    return Batch(
        id=f"{shard.number}-{number.decode()}",
        payload_id=payload_id.decode(),
        bodies=tuple(map(_text, rows[1::2])),
        events=sum(int(meta.split(b" ", 2)[1]) for meta in rows[::2]),
        attempts=attempts,
    )


def _aside(meta: bytes, body: bytes, aside_ms: bytes, reason: bytes) -> Aside:
    at_ms, _, run_id = _text(meta).split(" ", 2)
    return Aside(
        run_id=run_id, body=_text(body), reason=_text(reason), at_ms=int(at_ms), aside_ms=int(aside_ms)
    )
