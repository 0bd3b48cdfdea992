"""The parts of an AI Config, under LaunchDarkly's names.

Rule for this file: frozen, validated on construction, and deep: what they hold is frozen too. Whoever makes
one passes plain dicts and lists; whoever reads one as `to_dict()` gets fresh plain dicts and lists.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import attrs

from ldtrack.core.frozen import FrozenMapping, freeze_object, thaw

__all__ = ["JudgeConfiguration", "LDMessage", "LDTool", "ModelConfig", "ProviderConfig"]

T = TypeVar("T")
Validator = Callable[[object, "attrs.Attribute[Any]", object], None]


def plain_text(value: str) -> str:
    """The text itself instead of a subclass of it, such as a text enum; validators see to what is no text."""
    return str.__str__(value) if issubclass(type(value), str) else value


def plain_optional_text(value: str | None) -> str | None:
    """`plain_text`, for what may be left out."""
    return None if value is None else plain_text(value)


def is_text(owner: object, field: attrs.Attribute[Any], value: object) -> None:
    """Check that a field holds text, empty or not."""
    if not isinstance(value, str):
        raise TypeError(f"{_path(owner, field)} must be a str, not {value!r} ({type(value).__name__})")


def is_optional_text(owner: object, field: attrs.Attribute[Any], value: object) -> None:
    """Check that a field holds text or nothing."""
    if value is not None:
        is_text(owner, field, value)


def is_name(owner: object, field: attrs.Attribute[Any], value: object) -> None:
    """Check that a field holds text that is not empty."""
    is_text(owner, field, value)
    if not value:
        raise ValueError(f"{_path(owner, field)} must not be empty")


def is_optional(kind: type) -> Validator:
    """Check that a field holds exactly such a value, or nothing: a subclass might not be frozen."""

    def check(owner: object, field: attrs.Attribute[Any], value: object) -> None:
        if value is not None and type(value) is not kind:
            raise TypeError(
                f"{_path(owner, field)} must be {kind.__qualname__} or None, "
                f"not {value!r} ({type(value).__name__})"
            )

    return check


def _path(owner: object, field: attrs.Attribute[Any]) -> str:
    return f"{type(owner).__qualname__}.{field.name}"


def parts_of(values: Iterable[T], kind: type[T], what: str) -> tuple[T, ...]:
    """Check that every one of several values is exactly such a part, and keep them as a tuple."""
    parts = tuple(values)
    for part in parts:
        if type(part) is not kind:
            raise TypeError(
                f"{what} must hold {kind.__qualname__} only, not {part!r} ({type(part).__name__})"
            )
    return parts


def _model_parameters(value: Mapping[str, Any] | None) -> FrozenMapping[Any] | None:
    return freeze_object(value, "ModelConfig.parameters")


def _model_custom(value: Mapping[str, Any] | None) -> FrozenMapping[Any] | None:
    return freeze_object(value, "ModelConfig.custom")


def _tool_parameters(value: Mapping[str, Any] | None) -> FrozenMapping[Any] | None:
    return freeze_object(value, "LDTool.parameters")


def _tool_custom(value: Mapping[str, Any] | None) -> FrozenMapping[Any] | None:
    return freeze_object(value, "LDTool.custom_parameters")


@attrs.frozen
class LDMessage:
    """One message of a prompt.

    ``role`` is ``system``, ``user`` or ``assistant``; another one that a flag serves passes through.
    """

    role: str = attrs.field(converter=plain_text, validator=is_name)
    content: str = attrs.field(converter=plain_text, validator=is_text)

    def to_dict(self) -> dict[str, Any]:
        """The message as the flag has it."""
        return {"role": self.role, "content": self.content}


@attrs.frozen
class ModelConfig:
    """Which model to call, and how."""

    name: str = attrs.field(converter=plain_text, validator=is_name)
    parameters: FrozenMapping[Any] | None = attrs.field(default=None, converter=_model_parameters)
    """What to pass to the provider."""
    custom: FrozenMapping[Any] | None = attrs.field(default=None, converter=_model_custom)
    """The customer's own data."""
    region: str | None = attrs.field(default=None, converter=plain_optional_text, validator=is_optional_text)

    def get_parameter(self, key: str) -> Any:
        """One of the parameters, ``None`` if there is none of that name; ``"name"`` is the model's name."""
        if key == "name":
            return self.name
        return None if self.parameters is None else self.parameters.get(key)

    def get_custom(self, key: str) -> Any:
        """One piece of the customer's own data, ``None`` if there is none of that name."""
        return None if self.custom is None else self.custom.get(key)

    def to_dict(self) -> dict[str, Any]:
        """The model as the flag has it."""
        return {
            "name": self.name,
            "parameters": thaw(self.parameters),
            "custom": thaw(self.custom),
            "region": self.region,
        }


@attrs.frozen
class ProviderConfig:
    """Whose model it is."""

    name: str = attrs.field(converter=plain_text, validator=is_text)

    def to_dict(self) -> dict[str, Any]:
        """The provider as the flag has it."""
        return {"name": self.name}


@attrs.frozen
class LDTool:
    """A tool that the model may call: one entry of the config's own map of tools.

    Not to be confused with ``model.parameters["tools"]``, which is meant for the provider as it is.
    """

    name: str = attrs.field(converter=plain_text, validator=is_name)
    description: str | None = attrs.field(
        default=None, converter=plain_optional_text, validator=is_optional_text
    )
    type: str | None = attrs.field(default=None, converter=plain_optional_text, validator=is_optional_text)
    parameters: FrozenMapping[Any] | None = attrs.field(default=None, converter=_tool_parameters)
    custom_parameters: FrozenMapping[Any] | None = attrs.field(default=None, converter=_tool_custom)

    def to_dict(self) -> dict[str, Any]:
        """The tool as the flag has it, without what was left out."""
        members = {
            "name": self.name,
            "description": self.description,
            "type": self.type,
            "parameters": thaw(self.parameters),
            "customParameters": thaw(self.custom_parameters),
        }
        return {name: member for name, member in members.items() if member is not None}


def _is_rate(owner: object, field: attrs.Attribute[Any], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{_path(owner, field)} must be a number, not {value!r} ({type(value).__name__})")
    if not math.isfinite(value) or not 0 <= value <= 1:
        raise ValueError(f"{_path(owner, field)} must lie between 0 and 1, got {value!r}")


def _judges(judges: Iterable[JudgeConfiguration.Judge]) -> tuple[JudgeConfiguration.Judge, ...]:
    return parts_of(judges, JudgeConfiguration.Judge, "JudgeConfiguration.judges")


@attrs.frozen
class JudgeConfiguration:
    """Which judges look at the answers."""

    @attrs.frozen
    class Judge:
        """A judge, and which share of the answers it looks at: 0 for none, 1 for all."""

        key: str = attrs.field(converter=plain_text, validator=is_name)
        sampling_rate: float = attrs.field(validator=_is_rate)

        def to_dict(self) -> dict[str, Any]:
            """The judge as the flag has it."""
            return {"key": self.key, "samplingRate": self.sampling_rate}

    judges: tuple[JudgeConfiguration.Judge, ...] = attrs.field(converter=_judges)

    def to_dict(self) -> dict[str, Any]:
        """The judges as the flag has them."""
        return {"judges": [judge.to_dict() for judge in self.judges]}
