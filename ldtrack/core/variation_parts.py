"""The parts of an AI Config as a flag has them: one function for each.

Rule for this file: a function reads one part and returns it, or None where there is none. Complaints of
`flag` reject the whole flag; what `minor` is told of is left out, and the rest is used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

import attrs

from ldtrack.core.flag_part import LIST, NAME, OBJECT, RATE, TEXT, FlagPart, Problems, shown
from ldtrack.core.frozen import FrozenMapping
from ldtrack.core.models import JudgeConfiguration, LDMessage, LDTool, ModelConfig, ProviderConfig

__all__ = ["read_judges", "read_messages", "read_metric_key", "read_model", "read_provider", "read_tools"]

T = TypeVar("T")
_ROLES: Final = ("system", "user", "assistant")


def read_model(flag: FlagPart) -> ModelConfig | None:
    """The model; it must have a name."""
    part = flag.part("model")
    if part is None:
        return None
    name = part.require("name", NAME)
    parameters, custom = part.read("parameters", OBJECT), part.read("custom", OBJECT)
    region = part.read("region", TEXT)
    return None if name is None else ModelConfig(name, parameters, custom, region)


def read_provider(flag: FlagPart) -> ProviderConfig | None:
    """The provider, whose name may be missing."""
    part = flag.part("provider")
    return None if part is None else ProviderConfig(part.read("name", TEXT) or "")


def read_messages(flag: FlagPart, minor: Problems) -> tuple[LDMessage, ...] | None:
    """The messages, as templates; an unknown role is passed through."""
    entries = flag.read("messages", LIST)
    if entries is None:
        return None
    parts = [flag.entry(entry, f"messages[{index}]") for index, entry in enumerate(entries)]
    messages = [_message(part, minor) for part in parts if part is not None]
    return tuple(message for message in messages if message is not None)


def _message(part: FlagPart, minor: Problems) -> LDMessage | None:
    role, content = part.require("role", NAME), part.require("content", TEXT)
    if role is None or content is None:
        return None
    if role not in _ROLES:
        known = ", ".join(_ROLES)
        minor.add(f"{part.path_of('role')} is {shown(role)}, which is none of {known}; it is kept.")
    return LDMessage(role, content)


def read_judges(flag: FlagPart, minor: Problems) -> JudgeConfiguration | None:
    """The judges attached to the config."""
    part = flag.part("judgeConfiguration")
    listed = None if part is None else part.read("judges", LIST)
    entries = _Entries(flag, minor, "This judge is left out.")
    judges = [
        entries.read(entry, f"judgeConfiguration.judges[{index}]", _judge)
        for index, entry in enumerate(listed or ())
    ]
    usable = [judge for judge in judges if judge is not None]
    return JudgeConfiguration(usable) if usable else None


def _judge(part: FlagPart) -> JudgeConfiguration.Judge | None:
    key, rate = part.require("key", NAME), part.require("samplingRate", RATE)
    return None if key is None or rate is None else JudgeConfiguration.Judge(key, rate)


def read_tools(flag: FlagPart, minor: Problems) -> FrozenMapping[LDTool] | None:
    """The config's own map of tools; where there is no such member, those in the model's parameters."""
    if "tools" not in flag.members:
        return _legacy_tools(flag, minor)
    listed = flag.read("tools", OBJECT)
    entries = _Entries(flag, minor, "This tool is left out.")
    tools = {
        key: entries.read(entry, f"tools[{shown(key)}]", partial(_tool, key))
        for key, entry in (listed or {}).items()
    }
    usable = {key: tool for key, tool in tools.items() if tool is not None}
    return FrozenMapping(usable) if usable else None


def _legacy_tools(flag: FlagPart, minor: Problems) -> FrozenMapping[LDTool] | None:
    """Of two tools of one name the last one counts. What is not a list there is the provider's business."""
    model = OBJECT.read(flag.members.get("model"))
    parameters = None if model is None else OBJECT.read(model.get("parameters"))
    listed = None if parameters is None else LIST.read(parameters.get("tools"))
    entries = _Entries(flag, minor, "This tool is left out of the config's tools.")
    tools = [
        entries.read(entry, f"model.parameters.tools[{index}]", partial(_tool, ""))
        for index, entry in enumerate(listed or ())
    ]
    usable = {tool.name: tool for tool in tools if tool is not None}
    return FrozenMapping(usable) if usable else None


def _tool(key: str, part: FlagPart) -> LDTool | None:
    """One tool; where it has a key it need not have a name."""
    name = (part.read("name", TEXT) or key) if key else part.require("name", NAME)
    description, kind = part.read("description", TEXT), part.read("type", TEXT)
    parameters, custom = part.read("parameters", OBJECT), part.read("customParameters", OBJECT)
    return None if name is None else LDTool(name, description, kind, parameters, custom)


def read_metric_key(flag: FlagPart, minor: Problems) -> str | None:
    """Under which name a judge's score is recorded: the first that is not blank."""
    lenient = flag.complaining_to(minor.add)
    named = (lenient.read("evaluationMetricKey", TEXT) or "").strip()
    if named:
        return named
    entries = lenient.read("evaluationMetricKeys", LIST)
    for index, entry in enumerate(entries or ()):
        listed = (lenient.check(entry, f"evaluationMetricKeys[{index}]", TEXT) or "").strip()
        if listed:
            return listed
    return None


@attrs.frozen
class _Entries:
    """Entries of a list or map, each read on its own: one that is complained about is left out."""

    flag: FlagPart
    minor: Problems
    left_out: str

    def read(self, value: object, path: str, how: Callable[[FlagPart], T | None]) -> T | None:
        complaints = Problems()
        part = self.flag.complaining_to(complaints.add).entry(value, path)
        entry = None if part is None else how(part)
        for complaint in complaints:
            self.minor.add(f"{complaint} {self.left_out}")
        return None if complaints else entry
