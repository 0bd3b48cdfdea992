"""What follows from a receipt: what becomes of the batch, and how long the relay waits.

Rule for this file: frozen values in, frozen values out. Chance comes in as a draw from 0 to 1; doing what was
decided is the relay's affair.
"""

from __future__ import annotations

import enum
from typing import Final

import attrs

from ldtrack.core.receipts import Receipt, Verdict

__all__ = ["MARGIN", "PROBE", "REPEATS", "RESTED", "Action", "Decision", "Outlook", "backoff", "decide"]

FIRST_WAIT: Final = 1.0
"""The longest wait after the first setback, in seconds; it doubles with each further one."""
LONGEST_WAIT: Final = 60.0
LONGEST_ASKED: Final = 3600.0
"""A destination that asks for more waiting than this is asked again nevertheless."""
PROBE: Final = 60.0
"""How often a destination that accepts nothing is asked whether it does again."""
RESTED: Final = 10.0
"""A relay that begins does not wait for what others have postponed so many seconds ago: the pause was theirs,
and who restarts a relay may have removed the reason. One that is restarted all the time, and any number of
them together, thereby ask for a batch no more often than this."""
MARGIN: Final = 0.05
"""The relay comes back after its batch is due, so that it finds that one and makes no new one."""
REFUSALS: Final = 20
"""So many rows refused with nothing accepted in between: then it is not the rows."""
REPEATS: Final = 5
"""A batch that may have arrived, but whose answer was lost, is repeated so often as it is when it is refused.
If it did arrive, LaunchDarkly recognises it as long as it is the same payload; its halves would count again.
Who refuses the very same so often, over so long, has never let it pass."""
PATIENCE: Final = 5
MOST_TURNS: Final = 10
"""A batch that failed so often lets others go first, longer and longer: it may be the only one that fails."""


class Action(enum.Enum):
    """What becomes of a batch."""

    SETTLE = "settle"
    POSTPONE = "postpone"
    SPLIT = "split"
    REPEAT = "repeat"
    """Postpone it as it is, and go on with others."""
    SET_ASIDE = "set aside"
    LOCK = "lock"
    """Postpone it, and take it that the destination accepts nothing from us."""


@attrs.frozen(kw_only=True)
class Outlook:
    """What a relay knows of its destination."""

    accepts: bool = False
    """Whether the latest news is that it accepted a batch. If not, batches go out one at a time."""
    setbacks: int = 0
    """How often in a row the relay was told to come again."""
    refusals: int = 0
    """How many single rows were refused since anything was accepted."""
    locked: bool = False
    """Whether it accepts nothing from us, until it does."""

    @property
    def refuses_all(self) -> bool:
        """Whether so many rows were refused that it is not the rows."""
        return self.refusals >= REFUSALS


@attrs.frozen(kw_only=True)
class Decision:
    """What becomes of the batch, and of the relay."""

    action: Action
    outlook: Outlook
    wait: float = 0.0
    """For how many seconds the relay takes no batch."""
    postponed: float = 0.0
    """For how many seconds nobody takes this batch."""


_ACTIONS: Final = {
    # verdict            several rows     a single row      either, in doubt  once it is not the rows
    Verdict.DELIVERED: (Action.SETTLE, Action.SETTLE, Action.SETTLE, Action.SETTLE),
    Verdict.LATER: (Action.POSTPONE, Action.POSTPONE, Action.POSTPONE, Action.POSTPONE),
    Verdict.TOO_LARGE: (Action.SPLIT, Action.SET_ASIDE, Action.REPEAT, Action.LOCK),
    Verdict.REFUSED: (Action.SPLIT, Action.SET_ASIDE, Action.REPEAT, Action.LOCK),
    Verdict.LOCKED: (Action.LOCK, Action.LOCK, Action.LOCK, Action.LOCK),
}


def backoff(setbacks: int, draw: float) -> float:
    """How long to wait after so many setbacks in a row: exponential, with full jitter."""
    return draw * min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(setbacks - 1, 32))


def decide(
    receipt: Receipt,
    *,
    rows: int,
    attempts: int,
    before: Outlook,
    outlook: Outlook,
    draw: float,
    doubt: int | None = None,
) -> Decision:
    """What follows from a receipt for a batch of so many rows that was tried so often before.

    ``before`` is the outlook when this attempt began, ``outlook`` the present one: others may have come back
    since then, and what they learned is newer than what was still good when this one set out. ``doubt``: how
    often it was refused before, since an attempt that may have arrived; ``None`` if none may have.
    """
    action = _action(receipt.verdict, rows, outlook, doubt)
    if action is Action.REPEAT:
        postponed = FIRST_WAIT + backoff(1 + (doubt or 0), draw)
        return Decision(action=action, outlook=outlook, postponed=postponed)
    if action is Action.SETTLE:
        if outlook.setbacks > before.setbacks:
            return Decision(action=action, outlook=attrs.evolve(outlook, refusals=0))
        return Decision(action=action, outlook=Outlook(accepts=True))
    if action is Action.SPLIT:
        return Decision(action=action, outlook=outlook)
    if action is Action.SET_ASIDE:
        return Decision(action=action, outlook=attrs.evolve(outlook, refusals=outlook.refusals + 1))

    # Two that fail side by side are one setback.
    setbacks = max(outlook.setbacks, before.setbacks + 1)
    is_locked = outlook.locked or action is Action.LOCK
    return _come_again(
        action,
        attrs.evolve(outlook, accepts=False, setbacks=setbacks, locked=is_locked),
        asked=_asked(receipt),
        attempts=attempts,
        draw=draw,
    )


def _action(verdict: Verdict, rows: int, outlook: Outlook, doubt: int | None) -> Action:
    several, single, in_doubt, not_the_rows = _ACTIONS[verdict]
    if outlook.refuses_all:
        return not_the_rows
    if doubt is not None and doubt < REPEATS:
        return in_doubt
    return several if rows > 1 else single


def _come_again(action: Action, outlook: Outlook, *, asked: float, attempts: int, draw: float) -> Decision:
    if action is Action.LOCK:
        wait = max(asked, PROBE) + draw * PROBE / 4
    else:
        wait = asked + backoff(outlook.setbacks, draw)
    turns = MOST_TURNS if outlook.refuses_all else min(MOST_TURNS, 1 + attempts // PATIENCE)
    return Decision(action=action, outlook=outlook, wait=wait + MARGIN, postponed=wait * turns)


def _asked(receipt: Receipt) -> float:
    """The wait that the destination asked for; nonsense asks for none."""
    after = receipt.after
    return min(after, LONGEST_ASKED) if after is not None and after > 0 else 0.0
