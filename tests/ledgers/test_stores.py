"""What every store promises, whatever it is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from ledger_kits import in_threads
from store_asks import PLENTY, lease
from store_kits import STORES, Kit, a_row, rows_of_run
from store_model import Model

from ldtrack.core.batch import Batch, Standing
from ldtrack.core.row import FIRST_CLAIMANT
from ldtrack.ledgers.store import Store, UnavailableError


@pytest.fixture(params=sorted(STORES))
def new_kit(request: pytest.FixtureRequest) -> Iterator[Callable[[], Kit]]:
    """Makes empty data for the store under test."""
    kits: list[Kit] = []

    def make() -> Kit:
        kits.append(STORES[request.param](request))
        return kits[-1]

    yield make
    for kit in kits:
        kit.destroy()


@pytest.fixture
def kit(new_kit: Callable[[], Kit]) -> Kit:
    """The data under test, and the ways to it."""
    return new_kit()


@pytest.fixture
def store(kit: Kit) -> Iterator[Store]:
    """The store under test."""
    store = kit.open()
    yield store
    store.close()


def is_empty(store: Store) -> bool:
    """Whether there is nothing to take on loan now."""
    return store.lease("who looks", 100, PLENTY, 60) is None


# Once


def test_the_first_row_for_a_place_is_stored(store: Store) -> None:
    """It is told so, and its body comes out as it went in."""
    row = a_row(body='{"text":"a, \\"b\\"; ü 🎈 \\u0000"},{"n":2}', events=2)
    assert store.record([row]) == [True]
    batch = lease(store)
    assert (batch.bodies, batch.events, batch.attempts) == ((row.body,), 2, 0)


def test_a_second_row_for_a_place_is_refused(store: Store) -> None:
    """It is told so, and nothing of it is stored, now or after the first was delivered."""
    first = a_row()
    assert store.record([first]) == [True]
    assert store.record([a_row()]) == [False]
    batch = lease(store)
    assert batch.bodies == (first.body,)
    store.delivered(batch)
    assert store.record([a_row()]) == [False]
    assert is_empty(store)


def test_places_and_runs_are_independent(store: Store) -> None:
    """Only the same place of the same run is taken."""
    rows = [a_row("a", 0), a_row("a", 1), a_row("b", 0), a_row("A", 0), a_row("a ", 0), a_row("", 0)]
    assert store.record(rows) == [True] * 6
    assert lease(store).bodies == tuple(row.body for row in rows)


def test_rows_of_one_call_may_collide(store: Store) -> None:
    """The first wins; the others are refused, and their neighbours are stored."""
    rows = [a_row("a", 0), a_row("b", 0), a_row("a", 0), a_row("c", 0), a_row("a", 0)]
    assert store.record(rows) == [True, True, False, True, False]
    assert sorted(lease(store).bodies) == sorted([rows[0].body, rows[1].body, rows[3].body])


def test_the_same_claimant_may_ask_again(store: Store) -> None:
    """It is the first as before, and its row is stored once."""
    row = a_row()
    assert [store.record([row]) for _ in range(3)] == [[True]] * 3
    assert store.record([row, a_row(), row]) == [True, False, True]
    assert lease(store).bodies == (row.body,)
    assert is_empty(store)


def test_the_same_claimant_may_ask_again_after_delivery(store: Store) -> None:
    """It is the first as before; the row that is gone does not come back."""
    row = a_row()
    store.record([row])
    store.delivered(lease(store))
    assert store.record([row]) == [True]
    assert store.standing().pending == 0
    assert is_empty(store)


def test_a_row_twice_in_one_call_is_stored_once(store: Store) -> None:
    """Both are answered as the first."""
    row = a_row()
    assert store.record([row, row]) == [True, True]
    assert store.standing().pending == 1


def test_repeatable_metrics_never_collide(store: Store) -> None:
    """Their place is their claimant."""
    rows = [a_row(place=FIRST_CLAIMANT + at, claimant=FIRST_CLAIMANT + at) for at in range(50)]
    assert store.record(rows) == [True] * 50


def test_large_numbers_are_kept(store: Store) -> None:
    """Places and claimants have 63 bits."""
    most = (1 << 63) - 1
    row = a_row(place=most, claimant=most, at_ms=1 << 42, events=1 << 20)
    assert store.record([row]) == [True]
    assert store.record([row._replace(claimant=most - 1)]) == [False]
    assert store.record([row]) == [True]
    assert lease(store).events == 1 << 20


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 100, 1023, 1025, 5000])
def test_a_call_takes_any_number_of_rows(store: Store, count: int) -> None:
    """All in one step, however many: all new ones, all old ones, and every other one."""
    rows = rows_of_run(count)
    assert store.record(rows[::2]) == [True] * len(rows[::2])
    assert store.record(rows) == [True] * count
    others = [a_row(row.run_id, row.place) for row in rows]
    assert store.record(others) == [False] * count
    assert store.standing().pending == count


def test_no_rows_are_no_work(store: Store) -> None:
    """Nothing is stored and nothing is answered."""
    assert store.record([]) == []
    assert store.standing().pending == 0


def test_long_bodies_are_kept(store: Store) -> None:
    """A row may be as long as a context is."""
    rows = [a_row(place=at, body='{"a":"' + "x" * 300_000 + f'{at}"}}') for at in range(4)]
    assert store.record(rows) == [True] * 4
    assert lease(store, chars=10 * PLENTY).bodies == tuple(row.body for row in rows)


# Interrupted


def test_during_an_outage_nothing_is_stored(kit: Kit, store: Store) -> None:
    """The call says that it may be repeated; repeated afterwards, it is the first."""
    store.record([a_row("before")])
    row, other = a_row("during"), a_row("before")
    with kit.outage():
        with pytest.raises(UnavailableError, match=r"\w"):
            store.record([row, other])
        with pytest.raises(UnavailableError, match=r"\w"):
            store.lease("ada", 10, PLENTY, 60)
    assert store.standing().pending == 1
    assert store.record([row, other]) == [True, False]
    assert store.standing().pending == 2


def test_during_an_outage_batches_stay_as_they_are(kit: Kit, store: Store) -> None:
    """Whatever was tried with a batch, it is as before."""
    store.record(rows_of_run(4))
    batch = lease(store)
    with kit.outage():
        for call in (
            partial(store.delivered, batch),
            partial(store.postpone, batch, "ada", 60.0),
            partial(store.split, batch, "ada", 60.0),
            partial(store.set_aside, batch, "no"),
        ):
            with pytest.raises(UnavailableError, match=r"\w"):
                call()
    assert store.standing().pending == 4
    kit.pass_time(100)
    assert lease(store).payload_id == batch.payload_id
    store.delivered(batch)
    assert store.standing().delivered == 4


# Batches


def test_a_batch_is_on_loan_to_one(kit: Kit, store: Store) -> None:
    """Nobody else gets its rows, whichever store they ask."""
    other = kit.open()
    store.record(rows_of_run(5))
    batch = lease(store, limit=3)
    rest = lease(other, owner="bob")
    assert len(batch.bodies) == 3
    assert len(rest.bodies) == 2
    assert not set(batch.bodies) & set(rest.bodies)
    assert is_empty(store)
    assert is_empty(other)


def test_a_batch_has_so_many_characters_at_most(store: Store) -> None:
    """As many rows as fit, counted in characters, not in bytes."""
    store.record([a_row(place=at, body='"' + "ü" * 8 + '"') for at in range(10)])
    assert [len(lease(store, chars=chars).bodies) for chars in (30, 29, 40)] == [3, 2, 4]


def test_a_batch_has_one_row_at_least(store: Store) -> None:
    """A row that is too long travels alone."""
    store.record([a_row(place=at, body=f'"{"x" * 50}{at}"') for at in range(2)])
    assert [len(lease(store, chars=10).bodies) for _ in range(2)] == [1, 1]
    assert is_empty(store)


def test_a_loan_that_has_run_out_is_taken_over(kit: Kit, store: Store) -> None:
    """By whoever comes first: the same payload id, the same rows, one attempt more."""
    store.record(rows_of_run(3))
    batch = lease(store, seconds=60)
    kit.pass_time(55)
    store.record(rows_of_run(3, "run-2"))
    assert lease(store, owner="bob", seconds=60).payload_id != batch.payload_id
    kit.pass_time(10)
    again = lease(kit.open(), owner="eve", seconds=60)
    assert (again.payload_id, again.bodies, again.attempts) == (batch.payload_id, batch.bodies, 1)
    kit.pass_time(65)
    attempts = {one.payload_id: one.attempts for one in (lease(store), lease(store))}
    assert attempts[batch.payload_id] == 2


def test_a_batch_of_one_that_died_comes_back_the_same(kit: Kit) -> None:
    """A payload id is stored before anybody sees it, and stays."""
    store = kit.open()
    store.record(rows_of_run(3))
    batch = lease(store)
    store.close()
    kit.pass_time(100)
    again = lease(kit.open(), limit=1, chars=1)
    assert (again.payload_id, again.bodies) == (batch.payload_id, batch.bodies)


def test_a_store_that_was_closed_opens_again(store: Store) -> None:
    """With the next call, on the same data."""
    row = a_row()
    store.record([row])
    store.close()
    store.close()
    assert store.record([row, a_row()]) == [True, False]


def test_a_clock_that_was_set_back_strands_no_batch(kit: Kit, store: Store) -> None:
    """A loan that ends later than a new one would has run out."""
    store.record(rows_of_run(3))
    batch = lease(store, seconds=60)
    kit.pass_time(-3600)
    assert lease(store, owner="bob", seconds=60).payload_id == batch.payload_id


def test_what_is_delivered_is_gone(kit: Kit, store: Store) -> None:
    """Rows and batch are deleted and counted; to say so again changes nothing."""
    store.record(rows_of_run(5))
    batch = lease(store, limit=3)
    for _ in range(3):
        store.delivered(batch)
    assert (store.standing().pending, store.standing().delivered) == (2, 3)
    kit.pass_time(100)
    assert len(lease(store).bodies) == 2
    assert is_empty(store)


def test_delivered_counts_although_the_loan_was_lost(kit: Kit, store: Store) -> None:
    """It has arrived, whoever holds it now."""
    store.record(rows_of_run(3))
    batch = lease(store)
    kit.pass_time(100)
    again = lease(kit.open(), owner="bob")
    store.delivered(batch)
    store.delivered(again)
    kit.pass_time(100)
    assert is_empty(store)
    assert store.standing().delivered == 3


def test_batches_may_be_delivered_in_any_order(store: Store) -> None:
    """What was recorded later is still found."""
    store.record(rows_of_run(4))
    batches = [lease(store, limit=2) for _ in range(2)]
    store.delivered(batches[1])
    store.record(rows_of_run(2, "run-2"))
    assert len(lease(store).bodies) == 2
    store.delivered(batches[0])
    assert store.standing().pending == 2
    assert is_empty(store)


def test_a_postponed_batch_is_left_alone(kit: Kit, store: Store) -> None:
    """Nobody takes it before its time, then anybody, with the same payload id and one attempt more."""
    store.record(rows_of_run(3))
    batch = lease(store, seconds=60)
    store.postpone(batch, "ada", 300)
    kit.pass_time(295)
    assert is_empty(store)
    kit.pass_time(10)
    again = lease(store, owner="bob")
    assert (again.payload_id, again.bodies, again.attempts) == (batch.payload_id, batch.bodies, 1)


def test_a_postponed_batch_is_hastened_once_it_has_rested(kit: Kit, store: Store) -> None:
    """Whoever postponed it; not one that was postponed just now, and none that is on loan."""
    store.record(rows_of_run(3))
    old, young, lent = (lease(store, limit=1, seconds=60) for _ in range(3))
    store.postpone(old, "ada", 300)
    kit.pass_time(15)
    store.postpone(young, "ada", 300)
    store.hasten(10)
    assert lease(store, owner="bob").payload_id == old.payload_id
    assert is_empty(store)
    kit.pass_time(10)
    store.hasten(10)
    assert lease(store, owner="bob").payload_id == young.payload_id
    assert is_empty(store)
    store.delivered(lent)


def test_a_batch_postponed_for_no_time_is_due_at_once(store: Store) -> None:
    """It was given back, no more."""
    store.record(rows_of_run(3))
    batch = lease(store)
    store.postpone(batch, "ada", 0)
    assert lease(store, owner="bob").payload_id == batch.payload_id


def test_who_lost_the_loan_cannot_postpone_or_split(kit: Kit, store: Store) -> None:
    """The batch is another's."""
    store.record(rows_of_run(4))
    batch = lease(store)
    kit.pass_time(100)
    again = lease(store, owner="bob")
    store.postpone(batch, "ada", 0)
    assert store.split(batch, "ada", 60) is None
    assert is_empty(store)
    store.delivered(again)
    store.postpone(batch, "ada", 0)
    assert store.split(batch, "ada", 60) is None
    assert is_empty(store)


@pytest.mark.parametrize("count", [2, 3, 4, 101])
def test_a_batch_is_split_into_halves(kit: Kit, store: Store, count: int) -> None:
    """Each with a payload id and a loan of its own; the whole is gone."""
    store.record(rows_of_run(count))
    batch = lease(store, limit=1000)
    halves = store.split(batch, "ada", 60)
    assert halves is not None
    left, right = halves
    assert left.bodies + right.bodies == batch.bodies
    assert abs(len(left.bodies) - len(right.bodies)) <= 1
    assert left.events + right.events == batch.events
    assert len({batch.payload_id, left.payload_id, right.payload_id}) == 3
    assert is_empty(store)
    store.delivered(batch)
    store.set_aside(batch, "too late")
    assert (store.standing().pending, store.standing().set_aside) == (count, 0)
    kit.pass_time(100)
    taken = {one.payload_id: one.bodies for one in (lease(store), lease(store))}
    assert taken == {left.payload_id: left.bodies, right.payload_id: right.bodies}
    store.delivered(left)
    store.delivered(right)
    assert store.standing() == Standing(delivered=count, last=store.standing().last)


def test_splitting_goes_down_to_single_rows(store: Store) -> None:
    """So the one row that is refused is found, and its neighbours are delivered."""
    rows = rows_of_run(16)
    store.record(rows)
    batches = [lease(store)]
    while batches:
        batch = batches.pop()
        if rows[5].body not in batch.bodies:
            store.delivered(batch)
        elif len(batch.bodies) == 1:
            store.set_aside(batch, "refused")
        else:
            batches += store.split(batch, "ada", 60) or ()
    assert [one.body for one in store.aside(10)] == [rows[5].body]
    assert (store.standing().pending, store.standing().delivered) == (0, 15)


# What was refused


def test_what_was_set_aside_can_be_read(kit: Kit, store: Store) -> None:
    """With the reason and the time, oldest first; it is not pending, and not delivered again."""
    rows = [a_row(place=at, at_ms=1_700_000_000_000 + at) for at in range(3)]
    store.record(rows)
    batch = lease(store)
    store.set_aside(batch, "400: it said ‘no’")
    store.set_aside(batch, "twice")
    aside = store.aside(10)
    assert [(one.run_id, one.body, one.at_ms) for one in aside] == [
        (row.run_id, row.body, row.at_ms) for row in rows
    ]
    assert {one.reason for one in aside} == {"400: it said ‘no’"}
    assert all(one.aside_ms > 1_600_000_000_000 for one in aside)
    assert len(store.aside(2)) == 2
    kit.pass_time(1000)
    assert is_empty(store)
    assert (store.standing().pending, store.standing().set_aside) == (0, 3)


def test_what_was_set_aside_stays_claimed(store: Store) -> None:
    """A slot whose event was refused is filled all the same."""
    row = a_row()
    store.record([row])
    store.set_aside(lease(store), "no")
    assert store.record([a_row(), row]) == [False, True]
    assert store.discard_aside() == 1
    assert store.record([a_row(), row]) == [False, True]
    assert store.standing().set_aside == 0
    assert is_empty(store)


def test_what_was_set_aside_is_tried_again(kit: Kit, store: Store) -> None:
    """Under a new payload id, behind what waits already, and only when told to."""
    rows = rows_of_run(3)
    store.record(rows)
    batch = lease(store)
    store.set_aside(batch, "no")
    store.record([a_row("other")])
    assert kit.open().retry_aside() == 3
    assert store.retry_aside() == 0
    assert (store.standing().pending, store.standing().set_aside) == (4, 0)
    assert store.record(rows) == [True] * 3
    assert "other" in lease(store, limit=1).bodies[0]
    again = lease(store)
    assert sorted(again.bodies) == sorted(row.body for row in rows)
    assert again.payload_id != batch.payload_id
    store.set_aside(again, "still no")
    assert len(store.aside(10)) == 3


# How it stands


def test_an_empty_store_has_nothing_waiting(store: Store) -> None:
    """All is nought."""
    assert store.standing() == Standing()
    assert is_empty(store)
    assert store.aside(10) == []
    assert store.retry_aside() == store.discard_aside() == 0


def test_the_oldest_row_tells_its_age(store: Store) -> None:
    """Batched or not."""
    store.record([a_row(place=at, at_ms=1000 + at) for at in range(3)])
    for at in range(3):
        assert store.standing().oldest_ms == 1000 + at
        store.delivered(lease(store, limit=1))
    assert store.standing().oldest_ms is None


@pytest.mark.parametrize("new_kit", ["postgres", "redis"], indirect=True)
def test_a_row_that_waited_in_a_spool_for_months_is_recognised(store: Store) -> None:
    """Its first try had reached the server, and nobody knew: repeatable metrics are remembered like others.

    Only a ledger in a file forgets them earlier, and beside that there is no spool.
    """
    row = a_row(place=FIRST_CLAIMANT + 5, claimant=FIRST_CLAIMANT + 5)
    store.record([row])
    store.delivered(lease(store))
    while store.tidy(row.at_ms + 300 * 86_400_000):
        pass
    assert store.record([row]) == [True]
    assert is_empty(store)


def test_housekeeping_keeps_what_counts(kit: Kit, store: Store) -> None:
    """Claims that may be asked for, and rows that wait."""
    row = a_row(at_ms=1_700_000_000_000)
    store.record([row, a_row("other")])
    batch = lease(store)
    for _ in range(5):
        store.tidy(1_700_000_000_000 + 86_400_000)
    assert store.record([a_row()]) == [False]
    kit.pass_time(100)
    assert lease(store).payload_id == batch.payload_id


# Together


def test_one_of_many_who_race_is_first(kit: Kit) -> None:
    """Every place has one winner, and one row."""
    keys = [(f"run-{at % 20}", at % 5) for at in range(100)]

    def work(number: int) -> list[tuple[tuple[str, int], bool]]:
        store = kit.open()
        mine = keys[number * 7 :] + keys[: number * 7]
        rows = [a_row(*key) for key in mine]
        answers = []
        for start in range(0, 100, 9):
            part = rows[start : start + 9]
            answers += store.record(part)
        store.close()
        return list(zip(mine, answers, strict=True))

    results = in_threads([partial(work, number) for number in range(6)])
    assert not [one for one in results if isinstance(one, Exception)]
    winners = [key for answers in results for key, is_first in answers if is_first]
    assert sorted(winners) == sorted(set(keys))
    store = kit.open()
    assert store.standing().pending == len(set(keys))
    store.close()


def test_relays_that_race_share_the_rows(kit: Kit) -> None:
    """While others record, every row is in one batch, and all are delivered."""
    total = 600

    def write(number: int) -> list[str]:
        store = kit.open()
        for at in range(0, total // 2, 10):
            store.record([a_row(f"run-{number}-{at + more}") for more in range(10)])
        store.close()
        return []

    def carry(number: int) -> list[str]:
        store, bodies = kit.open(), []
        while store.standing().delivered < total:
            batch = store.lease(f"relay-{number}", 7, PLENTY, 600)
            if batch is not None:
                bodies += batch.bodies
                store.delivered(batch)
        store.close()
        return bodies

    works = [partial(write, 0), partial(write, 1), partial(carry, 0), partial(carry, 1)]
    results = in_threads(works)
    assert not [one for one in results if isinstance(one, Exception)]
    bodies = [body for result in results for body in result]
    assert len(bodies) == len(set(bodies)) == total


# All of it, in any order

BODIES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
LOANS = st.sampled_from([35.0, 65.0])
OWNERS = st.sampled_from(["ada", "bob"])
ROWS = st.lists(
    st.builds(
        a_row,
        run_id=st.sampled_from(["a", "b", "c"]),
        place=st.one_of(st.integers(0, 4), st.integers(FIRST_CLAIMANT, FIRST_CLAIMANT + 30)),
        claimant=st.one_of(st.none(), st.integers(1, 3)),
        events=st.integers(1, 3),
        body=BODIES,
    ),
    max_size=9,
)


class Stores(RuleBasedStateMachine):
    """Two stores on the same data, and a model of it.

    Times are chosen so that no loan ends within five seconds of when it is looked at: a server's clock
    goes on meanwhile.
    """

    batches = Bundle("batches")

    def __init__(self, new_kit: Callable[[], Kit]) -> None:
        super().__init__()
        self.kit = new_kit()
        self.stores = [self.kit.open(), self.kit.open()]
        self.model = Model()
        self.at_ms = 1_700_000_000_000

    @rule(which=st.booleans(), rows=ROWS)
    def record(self, which: bool, rows: list[Any]) -> None:
        self.at_ms += 1
        rows = [row._replace(at_ms=self.at_ms) for row in rows]
        assert self.stores[which].record(rows) == self.model.record(rows)

    @rule(
        target=batches,
        which=st.booleans(),
        owner=OWNERS,
        limit=st.integers(1, 6),
        chars=st.integers(0, 60),
        seconds=LOANS,
    )
    def lease(self, which: bool, owner: str, limit: int, chars: int, seconds: float) -> Any:
        batch = self.stores[which].lease(owner, limit, chars, seconds)
        self.model.leased(owner, limit, chars, seconds, batch)
        return multiple() if batch is None else batch

    @rule(which=st.booleans(), batch=batches)
    def delivered(self, which: bool, batch: Batch) -> None:
        self.stores[which].delivered(batch)
        self.model.finish(batch)

    @rule(which=st.booleans(), batch=batches, owner=OWNERS, seconds=LOANS)
    def postpone(self, which: bool, batch: Batch, owner: str, seconds: float) -> None:
        self.stores[which].postpone(batch, owner, seconds)
        self.model.postpone(batch, owner, seconds)

    @rule(which=st.booleans())
    def hasten(self, which: bool) -> None:
        self.stores[which].hasten(30.0)
        self.model.hasten(30.0)

    @rule(target=batches, which=st.booleans(), batch=batches, owner=OWNERS, seconds=LOANS)
    def split(self, which: bool, batch: Batch, owner: str, seconds: float) -> Any:
        if len(batch.bodies) < 2:
            return multiple()
        halves = self.stores[which].split(batch, owner, seconds)
        self.model.was_split(batch, owner, seconds, halves)
        return multiple(*halves or ())

    @rule(which=st.booleans(), batch=batches, reason=BODIES)
    def set_aside(self, which: bool, batch: Batch, reason: str) -> None:
        self.stores[which].set_aside(batch, reason)
        self.model.refuse(batch, reason)

    @rule(which=st.booleans())
    def retry_aside(self, which: bool) -> None:
        assert self.stores[which].retry_aside() == self.model.retry_aside()

    @rule(which=st.booleans())
    def discard_aside(self, which: bool) -> None:
        assert self.stores[which].discard_aside() == self.model.discard_aside()

    @rule(seconds=st.sampled_from([20.0, 50.0, 100.0]))
    def pass_time(self, seconds: float) -> None:
        self.kit.pass_time(seconds)
        self.model.now += seconds

    @precondition(lambda self: all(lent.owner for lent in self.model.lent.values()))
    @rule(seconds=st.sampled_from([10.0, 40.0]))
    def set_back(self, seconds: float) -> None:
        """While nothing is postponed: for that the contract leaves open what a clock set back does."""
        self.kit.pass_time(-seconds)
        self.model.now -= seconds

    @rule(which=st.booleans())
    def reopen(self, which: bool) -> None:
        self.stores[which].close()
        self.stores[which] = self.kit.open()

    @rule(which=st.booleans())
    def tidy(self, which: bool) -> None:
        self.stores[which].tidy(self.at_ms)

    @invariant()
    def both_stand_as_the_model_does(self) -> None:
        for store in self.stores:
            self.model.check_standing(store.standing())
            self.model.check_aside(store.aside(1000))

    def teardown(self) -> None:
        for store in self.stores:
            store.close()
        self.kit.destroy()


def test_any_order_of_calls_agrees_with_the_model(new_kit: Callable[[], Kit]) -> None:
    """Whatever is done in whatever order, by two stores in turns, comes out as in plain dicts."""
    run_state_machine_as_test(
        lambda: Stores(new_kit),
        settings=hypothesis.settings(
            max_examples=min(hypothesis.settings.default.max_examples, 100),  # servers take their time
            stateful_step_count=40,
            suppress_health_check=list(hypothesis.HealthCheck),
            deadline=None,
        ),
    )
