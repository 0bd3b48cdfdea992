"""The AI Configs as users see them, under LaunchDarkly's names.

Rule for this file: two families that share nothing. A ``...Default`` is made by users, says what to use when
a flag cannot be, and has no tracker. A config is made by `evaluate`, and its `create_tracker` always works,
enabled or not. Both are frozen, and so is everything in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

import attrs

from ldtrack.core.frozen import FrozenMapping
from ldtrack.core.models import (
    JudgeConfiguration,
    LDMessage,
    LDTool,
    ModelConfig,
    ProviderConfig,
    is_name,
    is_optional,
    is_optional_text,
    parts_of,
    plain_optional_text,
    plain_text,
)
from ldtrack.tracking.sub_run import Parent, run_id_of
from ldtrack.tracking.tracker import Tracker

__all__ = [
    "AIAgentConfig",
    "AIAgentConfigDefault",
    "AIAgentConfigRequest",
    "AICompletionConfig",
    "AICompletionConfigDefault",
    "AIJudgeConfig",
    "AIJudgeConfigDefault",
]


def _messages(messages: Iterable[LDMessage] | None) -> tuple[LDMessage, ...] | None:
    return None if messages is None else parts_of(messages, LDMessage, "messages")


def _tools(tools: Mapping[str, LDTool] | None) -> FrozenMapping[LDTool] | None:
    if tools is None:
        return None
    if not isinstance(tools, Mapping):
        raise TypeError(f"tools must be a mapping of keys to LDTool, not {type(tools).__name__}")
    parts_of(tools.values(), LDTool, "tools")
    for key in tools:
        if type(key) is not str:
            raise TypeError(f"tools must have a str for every key, not {key!r} ({type(key).__name__})")
    return tools if type(tools) is FrozenMapping else FrozenMapping(tools)


def _rendered(
    meta_enabled: bool,  # noqa: FBT001 - the value itself, not an option
    model: ModelConfig | None,
    provider: ProviderConfig | None,
) -> dict[str, Any]:
    """What every config has of a flag."""
    return {
        "_ldMeta": {"enabled": meta_enabled},
        "model": None if model is None else model.to_dict(),
        "provider": None if provider is None else provider.to_dict(),
    }


def _rendered_messages(messages: tuple[LDMessage, ...] | None) -> list[dict[str, Any]] | None:
    return None if messages is None else [message.to_dict() for message in messages]


def _rendered_extras(
    judges: JudgeConfiguration | None, tools: FrozenMapping[LDTool] | None
) -> dict[str, Any]:
    """What a completion or an agent may have besides; a flag without it has no such member."""
    extras: dict[str, Any] = {}
    if judges is not None:
        extras["judgeConfiguration"] = judges.to_dict()
    if tools is not None:
        extras["tools"] = {key: tool.to_dict() for key, tool in tools.items()}
    return extras


@attrs.frozen
class _Default:
    """What every default has. ``enabled`` left out means disabled."""

    enabled: bool | None = attrs.field(default=None, validator=is_optional(bool))
    model: ModelConfig | None = attrs.field(default=None, validator=is_optional(ModelConfig))
    provider: ProviderConfig | None = attrs.field(default=None, validator=is_optional(ProviderConfig))

    @classmethod
    def disabled(cls) -> Self:
        """The default that switches the feature off."""
        return cls(enabled=False)


@attrs.frozen
class AICompletionConfigDefault(_Default):
    """What to use when a completion's flag is missing or malformed."""

    messages: tuple[LDMessage, ...] | None = attrs.field(default=None, converter=_messages)
    judge_configuration: JudgeConfiguration | None = attrs.field(
        default=None, validator=is_optional(JudgeConfiguration)
    )
    tools: FrozenMapping[LDTool] | None = attrs.field(default=None, converter=_tools)

    def to_dict(self) -> dict[str, Any]:
        """The default as a flag would have it."""
        return {
            **_rendered(bool(self.enabled), self.model, self.provider),
            "messages": _rendered_messages(self.messages),
            **_rendered_extras(self.judge_configuration, self.tools),
        }


@attrs.frozen
class AIAgentConfigDefault(_Default):
    """What to use when an agent's flag is missing or malformed.

    A flag that has no instructions, model or provider of its own gets them from here, too.
    """

    instructions: str | None = attrs.field(
        default=None, converter=plain_optional_text, validator=is_optional_text
    )
    judge_configuration: JudgeConfiguration | None = attrs.field(
        default=None, validator=is_optional(JudgeConfiguration)
    )
    tools: FrozenMapping[LDTool] | None = attrs.field(default=None, converter=_tools)

    def to_dict(self) -> dict[str, Any]:
        """The default as a flag would have it."""
        instructions = {} if self.instructions is None else {"instructions": self.instructions}
        return {
            **_rendered(bool(self.enabled), self.model, self.provider),
            **instructions,
            **_rendered_extras(self.judge_configuration, self.tools),
        }


@attrs.frozen
class AIJudgeConfigDefault(_Default):
    """What to use when a judge's flag is missing or malformed."""

    messages: tuple[LDMessage, ...] | None = attrs.field(default=None, converter=_messages)
    evaluation_metric_key: str | None = attrs.field(
        default=None, converter=plain_optional_text, validator=is_optional_text
    )

    def to_dict(self) -> dict[str, Any]:
        """The default as a flag would have it."""
        return {
            **_rendered(bool(self.enabled), self.model, self.provider),
            "messages": _rendered_messages(self.messages),
            "evaluationMetricKey": self.evaluation_metric_key,
        }


def _sentences(problems: Iterable[str]) -> tuple[str, ...]:
    return tuple(problems)


@attrs.frozen(kw_only=True)
class _Config:
    """What every config has."""

    key: str
    enabled: bool
    model: ModelConfig | None = None
    provider: ProviderConfig | None = None
    problems: tuple[str, ...] = attrs.field(default=(), converter=_sentences)
    """What is wrong with the flag or the variables, as sentences; empty when all is well."""
    _new_tracker: Callable[..., Tracker] = attrs.field(eq=False, repr=False, alias="new_tracker")

    def create_tracker(self, parent: Parent | None = None) -> Tracker:
        """A tracker for one run, with a fresh ``runId``. One call for each run, not for each model call.

        ``parent`` is the run that this one is part of: its tracker, the run itself, or its id. It is kept in
        summaries and tokens, and never sent to LaunchDarkly.
        """
        return self._new_tracker() if parent is None else self._new_tracker(run_id_of(parent))


@attrs.frozen(kw_only=True)
class AICompletionConfig(_Config):
    """A prompt as messages, and the model that is to answer it."""

    messages: tuple[LDMessage, ...] | None = attrs.field(default=None, converter=_messages)
    judge_configuration: JudgeConfiguration | None = None
    tools: FrozenMapping[LDTool] | None = attrs.field(default=None, converter=_tools)

    def to_dict(self) -> dict[str, Any]:
        """The config as a flag would have it, its messages rendered."""
        return {
            **_rendered(self.enabled, self.model, self.provider),
            "messages": _rendered_messages(self.messages),
            **_rendered_extras(self.judge_configuration, self.tools),
        }


@attrs.frozen(kw_only=True)
class AIAgentConfig(_Config):
    """An agent: its instructions, its tools, and the model it runs on."""

    instructions: str | None = None
    judge_configuration: JudgeConfiguration | None = None
    tools: FrozenMapping[LDTool] | None = attrs.field(default=None, converter=_tools)

    def to_dict(self) -> dict[str, Any]:
        """The config as a flag would have it, its instructions rendered."""
        instructions = {} if self.instructions is None else {"instructions": self.instructions}
        return {
            **_rendered(self.enabled, self.model, self.provider),
            **instructions,
            **_rendered_extras(self.judge_configuration, self.tools),
        }


@attrs.frozen(kw_only=True)
class AIJudgeConfig(_Config):
    """A judge: its prompt, its model, and the name under which its scores are recorded."""

    messages: tuple[LDMessage, ...] | None = attrs.field(default=None, converter=_messages)
    evaluation_metric_key: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The config as a flag would have it, its messages rendered."""
        return {
            **_rendered(self.enabled, self.model, self.provider),
            "messages": _rendered_messages(self.messages),
            "evaluationMetricKey": self.evaluation_metric_key,
        }


def _variables(variables: Mapping[str, Any] | None) -> FrozenMapping[Any] | None:
    if variables is not None and not isinstance(variables, Mapping):
        raise TypeError(f"variables must be a mapping of names to values, not {type(variables).__name__}")
    return None if variables is None else FrozenMapping(variables)


@attrs.frozen
class AIAgentConfigRequest:
    """One of several agents to evaluate in one call. The values of the variables stay the caller's own."""

    key: str = attrs.field(converter=plain_text, validator=is_name)
    default: AIAgentConfigDefault | None = attrs.field(
        default=None, validator=is_optional(AIAgentConfigDefault)
    )
    variables: FrozenMapping[Any] | None = attrs.field(default=None, converter=_variables, hash=False)
