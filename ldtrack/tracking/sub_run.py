"""Runs within runs: who is whose.

Rule for this file: a run that has a parent knows its id and nothing else of it. The id goes into summaries
and tokens, never to LaunchDarkly; a tracker without a parent pays nothing for any of this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

from ldtrack.core.token import is_unicode
from ldtrack.core.values import key_of
from ldtrack.tracking.tracker import Tracker

if TYPE_CHECKING:
    from ldclient import Context

    from ldtrack.core.events import Attribution
    from ldtrack.tracking.recorder import Recorder

__all__ = ["HasRunId", "Parent", "SubRunTracker", "run_id_of", "tracker_of"]


class HasRunId(Protocol):
    """A tracker or a run, of a config or of a graph."""

    @property
    def run_id(self) -> str:
        """The run's id."""
        ...


Parent: TypeAlias = HasRunId | str
"""The run that another one is part of: its tracker, the run itself, or its id."""


def run_id_of(parent: Parent) -> str:
    """The id of the run that was given as a parent."""
    run_id: object = parent if isinstance(parent, str) else getattr(parent, "run_id", None)
    if not isinstance(run_id, str):
        raise TypeError(f"parent must be a tracker, a run or a run id, not {parent!r:.80}")
    if not is_unicode(key_of(run_id, "the run id of parent")):
        raise ValueError(f"the run id of parent must be valid Unicode, not {run_id!r}: a lone surrogate")
    return run_id


class SubRunTracker(Tracker):
    """The tracker of a run that is part of another one."""

    __slots__ = ("parent_run_id",)

    def __init__(
        self,
        recorder: Recorder,
        attribution: Attribution,
        context: Context,
        run_id: str | None = None,
        *,
        parent_run_id: str,
    ) -> None:
        super().__init__(recorder, attribution, context, run_id)
        self.parent_run_id = parent_run_id


def tracker_of(
    recorder: Recorder,
    attribution: Attribution,
    context: Context,
    run_id: str | None = None,
    parent_run_id: str | None = None,
) -> Tracker:
    """A tracker for a run, new or resumed, with or without a parent."""
    if parent_run_id is None:
        return Tracker(recorder, attribution, context, run_id)
    return SubRunTracker(recorder, attribution, context, run_id, parent_run_id=parent_run_id)
