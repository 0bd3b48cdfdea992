"""Managed models and agents: what is run or streamed is measured, and judged.

Rule for this file: one execution is one fresh tracker, one run, and a frozen result. Nothing of an execution
is kept on the model, so that any number of them may go on at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from ldtrack.agents.asking import ask, ended_well, is_cut, messages_of, require_streaming
from ldtrack.agents.conversation import Conversation
from ldtrack.agents.evaluator import CUT, NO_EVALUATIONS, Evaluations, Evaluator
from ldtrack.agents.results import ManagedResult
from ldtrack.agents.streams import ManagedStream, Turn, stream_of
from ldtrack.configs.types import AIAgentConfig, AICompletionConfig
from ldtrack.core.models import LDMessage
from ldtrack.running import PlainRunner, Runner, Schema
from ldtrack.tracking.sub_run import Parent
from ldtrack.tracking.tracker import Tracker

__all__ = ["ManagedAgent", "ManagedModel"]

ConfigT = TypeVar("ConfigT", AICompletionConfig, AIAgentConfig)


class _Managed(Generic[ConfigT]):
    """A config, what runs it, and who judges it."""

    def __init__(self, config: ConfigT, runner: Runner | PlainRunner, evaluator: Evaluator) -> None:
        self.config: ConfigT = config
        self.runner = runner
        self._evaluator = evaluator

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.config.key!r} on {type(self.runner).__name__}>"

    async def run(
        self,
        input: str | Sequence[LDMessage],
        output_type: Schema | None = None,
        *,
        parent: Parent | None = None,
    ) -> ManagedResult:
        """Answer a prompt, or messages that follow the config's own; ``output_type`` is a JSON schema.

        ``parent`` is the run that this one is part of. What the provider raises is recorded, and passes
        unchanged. Cancelling stops the run, which is recorded as cancelled with what it used until then.
        """
        messages = messages_of(input)
        _require_schema(output_type)
        tracker = self.config.create_tracker(parent)
        async with tracker.run() as run:
            answer = await ask(self.runner, run, messages, output_type)
        return self._result(
            *(tracker, messages, answer.content, answer.raw, answer.parsed),
            is_structured=output_type is not None,
        )

    def stream(self, input: str | Sequence[LDMessage], *, parent: Parent | None = None) -> ManagedStream:
        """The answer's texts as they come; the request goes out when the first one is asked for.

        ``parent`` is the run that this one is part of.
        """
        messages = messages_of(input)
        return self._stream(Turn(lambda: messages), parent)

    def conversation(self, history: Sequence[LDMessage] = ()) -> Conversation:
        """A conversation with a history of its own, which may go on from an earlier one."""
        return Conversation(self, history)

    def _stream(self, turn: Turn, parent: Parent | None = None) -> ManagedStream:
        runner = require_streaming(self.runner)
        return stream_of(runner, self.config.create_tracker(parent), turn, self._result)

    def _result(
        self,
        tracker: Tracker,
        messages: Sequence[LDMessage],
        content: str,
        raw: Any = None,
        parsed: Mapping[str, Any] | None = None,
        *,
        is_whole: bool = True,
        is_structured: bool = False,
    ) -> ManagedResult:
        """What came of a run that is over; an answer that is whole and has a text goes to the judges."""
        metrics = tracker.summary
        cut = is_whole and is_cut(metrics)
        is_useless = cut and is_structured
        success = is_whole and ended_well(metrics) and not is_useless
        evaluations: Evaluations = NO_EVALUATIONS
        if success and content:
            evaluations = (
                self._evaluator.decline(CUT) if cut else self._evaluator.evaluate(tracker, messages, content)
            )
        return ManagedResult(
            content=content,
            metrics=metrics,
            raw=raw,
            parsed=None if is_useless else parsed,
            success=success,
            is_cut=cut,
            evaluations=evaluations,
        )


class ManagedModel(_Managed[AICompletionConfig]):
    """A model that measures its runs. Made by ``AIClient.create_model``."""


class ManagedAgent(_Managed[AIAgentConfig]):
    """An agent that measures its runs. Made by ``AIClient.create_agent``."""


def _require_schema(output_type: object) -> None:
    if output_type is not None and not isinstance(output_type, Mapping):
        raise TypeError(f"output_type must be a JSON schema as a mapping, not {output_type!r:.80}")
