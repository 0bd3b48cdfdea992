"""From a flag's value to the AI Config it describes, or to the reasons why it describes none.

Rule for this file: it never raises, whatever the value is, and what it returns shares nothing with it. How
one part is read, `variation_parts` says; what happens then to the caller's default, `configs.evaluate`.

==================================================  ==================================================
the flag's value                                    what comes of it
==================================================  ==================================================
no object, no JSON, nested too deep, or too large   rejected
`{}`                                                disabled, without model, version 1
`_ldMeta`, or its `enabled`, `version`,             rejected: what is wrong there was meant for us, and
`variationKey` or `mode` of another type, or null   guessing (is "false" true?) may switch a config on
`version` is 3.0                                    3; but "3", 3.9, -1, true and what has more than 64
                                                    bits are of another type
`variationKey` too long for a resumption token      rejected, as is one with half a character in it
`mode` is another one than was asked for            rejected
`mode` is missing                                   fine, for every mode: the official Python SDK never
                                                    reads it, so flags and defaults written for it have none
`modelKey`, `modelVersion` of another type          left out, with a problem: they only label events
a part is null                                      absent: the SDKs' own defaults are full of them
a part, or a member of a part, of another type      rejected
`model` without a name, or with an empty one        rejected
`provider` without a name                           its name is ""
an entry of `messages` that is not whole            rejected: a prompt with a hole is another prompt
an unknown role                                     passed through, with a problem
a tool or judge that is not whole                   left out, with a problem; so is a samplingRate beyond 0…1
`tools` is missing                                  the list in `model.parameters.tools` stands in
`evaluationMetricKey` blank or of another type      the first of `evaluationMetricKeys` that is not blank
a part that the mode has no use for                 not looked at
==================================================  ==================================================

"Rejected" is the caller's default, with the problems. Broken templates are the renderer's to find.
"""

from __future__ import annotations

import marshal
from functools import lru_cache
from typing import Any, Final, Literal

import attrs

from ldtrack.core.flag_part import COUNT, LABEL, SWITCH, TEXT, FlagPart, Problems, shown
from ldtrack.core.frozen import FrozenMapping, freeze
from ldtrack.core.models import JudgeConfiguration, LDMessage, LDTool, ModelConfig, ProviderConfig
from ldtrack.core.variation_parts import (
    read_judges,
    read_messages,
    read_metric_key,
    read_model,
    read_provider,
    read_tools,
)

__all__ = ["Mode", "Rejected", "Variation", "parse_variation"]

Mode = Literal["completion", "agent", "judge"]

_LARGEST_CACHED: Final = 65_536  # bytes


@attrs.frozen(kw_only=True)
class Variation:
    """What a flag says: its parts as they are served, messages and instructions still templates."""

    mode: Mode
    enabled: bool = False
    variation_key: str = ""
    version: int = 1
    model_key: str = ""
    model_version: int | None = None
    model: ModelConfig | None = None
    provider: ProviderConfig | None = None
    messages: tuple[LDMessage, ...] | None = None
    instructions: str | None = None
    tools: FrozenMapping[LDTool] | None = None
    judge_configuration: JudgeConfiguration | None = None
    evaluation_metric_key: str | None = None
    problems: tuple[str, ...] = ()
    """What was left out or looks wrong, as sentences."""


@attrs.frozen
class Rejected:
    """A flag that describes no config of the mode that was asked for, and why."""

    problems: tuple[str, ...]


def parse_variation(value: Any, mode: Mode) -> Variation | Rejected:
    """Read a flag's value as a config of that mode.

    Content that was read before, and is among the last few hundred, gives the same object again. The key is
    the content and not the object that holds it: a flag store returns the same dict every time, but anybody
    may have changed it. `marshal` writes types exactly, so that equal bytes mean equal values, which ``==``
    cannot promise: ``True == 1``. What it cannot write is read without the cache.
    """
    try:
        content = marshal.dumps(value)
    except ValueError:
        return _parsed(value, mode)
    return _cached(content, mode) if len(content) <= _LARGEST_CACHED else _parsed(value, mode)


@lru_cache(maxsize=256)
def _cached(content: bytes, mode: Mode) -> Variation | Rejected:
    return _parsed(marshal.loads(content), mode)  # noqa: S302 - our own bytes, written a line ago


def _parsed(value: object, mode: Mode) -> Variation | Rejected:
    try:
        root = freeze(value, "it")
    except Exception as error:  # noqa: BLE001 - a foreign Mapping may do anything when it is read
        return Rejected((f"The flag's value cannot be read: {_reason(error)}.",))
    if not isinstance(root, FrozenMapping):
        return Rejected((f"The flag's value must be an object, not {shown(root)}.",))
    malformed, minor = Problems(), Problems()
    members = _members_of(FlagPart(root, "", malformed.add), minor, mode)
    if malformed:
        return Rejected((*malformed, *minor))
    return Variation(mode=mode, problems=tuple(minor), **members)


def _reason(error: Exception) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - the error is as foreign as the Mapping that raised it
        return type(error).__name__


def _members_of(flag: FlagPart, minor: Problems, mode: Mode) -> dict[str, Any]:
    members = _meta_members(flag, minor, mode)
    members["model"], members["provider"] = read_model(flag), read_provider(flag)
    if mode == "agent":
        members["instructions"] = flag.read("instructions", TEXT)
    else:
        members["messages"] = read_messages(flag, minor)
    if mode == "judge":
        members["evaluation_metric_key"] = read_metric_key(flag, minor)
    else:
        members["tools"] = read_tools(flag, minor)
        members["judge_configuration"] = read_judges(flag, minor)
    return members


def _meta_members(flag: FlagPart, minor: Problems, mode: Mode) -> dict[str, Any]:
    meta = flag.part("_ldMeta", null_is_absent=False)
    if meta is None:
        return {}
    served = meta.read("mode", TEXT, null_is_absent=False)
    if served not in {None, mode}:
        meta.complain(f"_ldMeta.mode is {shown(served)}, but the config was asked for as {shown(mode)}.")
    members = {
        "enabled": meta.read("enabled", SWITCH, null_is_absent=False),
        "variation_key": meta.read("variationKey", LABEL, null_is_absent=False),
        "version": meta.read("version", COUNT, null_is_absent=False),
    }
    labels = meta.complaining_to(minor.add)
    members["model_key"] = labels.read("modelKey", TEXT)
    members["model_version"] = labels.read("modelVersion", COUNT)
    return {name: member for name, member in members.items() if member is not None}
