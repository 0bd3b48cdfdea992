"""Flags that are not what they should be, on both SDKs.

Rule for this file: one row for each flag, with what each SDK makes of it: whether the config is enabled, and
its model, or what was raised. The caller's default is enabled, and its model is "own".
"""

from __future__ import annotations

from typing import Any

from .harness import SCENARIOS, Scenario
from .sides import ADA, Side

GOOD = {"enabled": True}
MODEL = {"name": "served"}
SERVED, OFF, DEFAULT = "True served", "False served", "True own"
ON_WITHOUT_MODEL = "True None"

CASES: tuple[tuple[str, str, Any, str, str], ...] = (
    # row, what is wrong, flag, official, ours
    ("not-an-object", "text", "gpt-4", "raises AttributeError", DEFAULT),
    ("not-an-object", "a number", 4, "raises TypeError", DEFAULT),
    ("not-an-object", "true", True, "raises TypeError", DEFAULT),
    ("not-an-object", "a list", [], "raises AttributeError", DEFAULT),
    ("not-an-object", "null", None, "raises TypeError", DEFAULT),
    ("malformed-meta", "null meta", {"_ldMeta": None, "model": MODEL}, "raises AttributeError", DEFAULT),
    (
        "malformed-meta",
        "enabled as text",
        {"_ldMeta": {"enabled": "false"}, "model": MODEL},
        SERVED,
        DEFAULT,
    ),
    ("malformed-meta", "enabled as null", {"_ldMeta": {"enabled": None}, "model": MODEL}, OFF, DEFAULT),
    (
        "malformed-meta",
        "version null",
        {"_ldMeta": {**GOOD, "version": None}, "model": MODEL},
        "raises TypeError",
        DEFAULT,
    ),
    (
        "malformed-meta",
        "version as text",
        {"_ldMeta": {**GOOD, "version": "3"}, "model": MODEL},
        SERVED,
        DEFAULT,
    ),
    (
        "malformed-meta",
        "variation key as a number",
        {"_ldMeta": {**GOOD, "variationKey": 3}, "model": MODEL},
        SERVED,
        DEFAULT,
    ),
    (
        "mode-mismatch",
        "another mode",
        {"_ldMeta": {**GOOD, "mode": "judge"}, "model": MODEL},
        SERVED,
        DEFAULT,
    ),
    (
        "mode-mismatch",
        "a mode nobody knows",
        {"_ldMeta": {**GOOD, "mode": "chat"}, "model": MODEL},
        SERVED,
        DEFAULT,
    ),
    ("malformed-part", "model as text", {"_ldMeta": GOOD, "model": "gpt-4"}, ON_WITHOUT_MODEL, DEFAULT),
    ("malformed-part", "model without a name", {"_ldMeta": GOOD, "model": {}}, "raises KeyError", DEFAULT),
    (
        "malformed-part",
        "provider as text",
        {"_ldMeta": GOOD, "model": MODEL, "provider": "openai"},
        SERVED,
        DEFAULT,
    ),
    (
        "malformed-part",
        "messages as text",
        {"_ldMeta": GOOD, "model": MODEL, "messages": "Hello"},
        SERVED,
        DEFAULT,
    ),
    (
        "malformed-part",
        "a message as text",
        {"_ldMeta": GOOD, "model": MODEL, "messages": [{"role": "user", "content": "a"}, "b"]},
        SERVED,
        DEFAULT,
    ),
    (
        "malformed-part",
        "a message without content",
        {"_ldMeta": GOOD, "model": MODEL, "messages": [{"role": "user"}]},
        "raises KeyError",
        DEFAULT,
    ),
    (
        "malformed-part",
        "a message whose content is a number",
        {"_ldMeta": GOOD, "model": MODEL, "messages": [{"role": "user", "content": 3}]},
        "raises AttributeError",
        DEFAULT,
    ),
    ("malformed-part", "tools as a list", {"_ldMeta": GOOD, "model": MODEL, "tools": []}, SERVED, DEFAULT),
)


def _register(row: str, what: str, flag: Any, official: str, ours: str) -> None:
    async def evaluate(side: Side) -> str:
        new = side.types
        default = new.AICompletionConfigDefault(enabled=True, model=new.ModelConfig("own"))
        config = await side.call(side.ai.completion_config, "odd", ADA, default)
        side.from_here()
        if isinstance(config, str):
            return config
        return f"{config.enabled} {None if config.model is None else config.model.name}"

    shown = [(f"-> {outcome}",) for outcome in (official, ours)]
    name = f"a flag with {what}".replace(" ", "_")
    SCENARIOS.append(Scenario(name, evaluate, {"odd": flag}, row, *shown))


for case in CASES:
    _register(*case)
