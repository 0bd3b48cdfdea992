"""Resumption tokens, on both SDKs and from one to the other.

Rule for this file: what a token says and who can read it. Scenarios about runs in progress are
`tracking_scenarios`.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from ldclient import Context

from .harness import SCENARIOS, Scenario, differs, same
from .sides import ADA, Side

WHOLE = {
    "runId": "00000000-0000-4000-8000-000000000001",
    "configKey": "chat",
    "variationKey": "warm",
    "version": 3,
}


def token_of(content: Any) -> str:
    """Any JSON as a token."""
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def content_of(token: str) -> Any:
    """What a token says."""
    return json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))


@same()
async def a_token_resumed_elsewhere(side: Side) -> Any:
    elsewhere = side.second_ai()
    tracker = await side.tracker()
    await side.call(tracker.track_success)
    result = elsewhere.create_tracker(tracker.resumption_token, Context.create("ada"))
    await side.call(result.value.track_feedback, side.feedback("negative"))
    await side.call(result.value.track_tool_calls, ["late"])
    return result


@same()
async def what_a_token_says(side: Side) -> Any:
    said = []
    for key in ("chat", "bare"):
        tracker = await side.tracker(key)
        content = content_of(tracker.resumption_token)
        content["runId"] = "any"
        said.append(content)
    return said


@same()
async def a_token_in_the_summary(side: Side) -> bool:
    tracker = await side.tracker()
    return side.summary(tracker).resumption_token == tracker.resumption_token


@same()
async def a_token_of_a_resumed_run(side: Side) -> bool:
    tracker = await side.tracker()
    resumed = side.resume(tracker.resumption_token)
    return resumed.resumption_token == tracker.resumption_token


@differs("token-spelling", official=["-> true"], ours=["-> false"])
async def spaces_in_a_token(side: Side) -> bool:
    tracker = await side.tracker()
    token = tracker.resumption_token
    return b" " in base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))


@differs(
    "shared-slots",
    official=["feedback:user:positive=1", "feedback:user:positive=1", "feedback:user:positive=1"],
    ours=["feedback:user:positive=1"],
)
async def feedback_through_twins(side: Side) -> None:
    tracker = await side.tracker()
    token = tracker.resumption_token
    for twin in (tracker, side.resume(token), side.resume(token)):
        await side.call(twin.track_feedback, side.feedback("positive"))


@differs("invalid-context", official=["-> success"], ours=["-> fail"])
async def a_token_resumed_for_an_invalid_context(side: Side) -> Any:
    return side.ai.create_tracker(token_of(WHOLE), Context.create(""))


# What is accepted as a token

SAME: tuple[tuple[str, str], ...] = (
    ("a whole one", token_of(WHOLE)),
    ("padding", token_of(WHOLE) + "=="),
    ("a graph", token_of({**WHOLE, "graphKey": "crew"})),
    ("an empty variation key", token_of({**WHOLE, "variationKey": ""})),
    ("a variation key that is null", token_of({**WHOLE, "variationKey": None})),
    ("no variation key", token_of({key: WHOLE[key] for key in ("runId", "configKey", "version")})),
    ("members nobody knows", token_of({**WHOLE, "tenant": "acme"})),
    ("no run", token_of({"configKey": "chat", "version": 1})),
    ("no config", token_of({"runId": "r", "version": 1})),
    ("no version", token_of({"runId": "r", "configKey": "chat"})),
    ("nothing in it", token_of({})),
    ("a list", token_of([])),
    ("text", token_of("chat")),
    ("no text at all", ""),
    ("no Base64", "%%%"),
    ("no JSON", base64.urlsafe_b64encode(b"{").decode()),
    ("no UTF-8", base64.urlsafe_b64encode(b"\xff\xff").decode()),
)

DIFFERING: tuple[tuple[str, str, Any, str, str], ...] = (
    # row, what is odd, token, official, ours
    ("token-no-object", "null", token_of(None), "raises TypeError", "fail"),
    ("token-no-object", "a number", token_of(3), "raises TypeError", "fail"),
    (
        "token-no-object",
        "a list of names",
        token_of(list(WHOLE)),
        "raises TypeError",
        "fail",
    ),
    ("token-types", "a run that is a number", token_of({**WHOLE, "runId": 1}), "success", "fail"),
    ("token-types", "an empty run", token_of({**WHOLE, "runId": ""}), "success", "fail"),
    ("token-types", "a config that is a list", token_of({**WHOLE, "configKey": []}), "success", "fail"),
    ("token-types", "a version as text", token_of({**WHOLE, "version": "3"}), "success", "fail"),
    ("token-types", "a version that is null", token_of({**WHOLE, "version": None}), "success", "fail"),
    ("token-clean", "foreign characters", "*" + token_of(WHOLE), "success", "fail"),
    (
        "token-clean",
        "a member named twice",
        base64.urlsafe_b64encode(b'{"runId":"a","runId":"b","configKey":"c","version":1}').decode(),
        "success",
        "fail",
    ),
)


def _register(what: str, token: str, row: str | None = None, official: str = "", ours: str = "") -> None:
    async def resume(side: Side) -> Any:
        result = await side.call(side.ai.create_tracker, token, ADA)
        if not isinstance(result, str) and result.is_success() and row is None:
            await side.call(result.value.track_success)
        return result

    name = f"a token with {what}".replace(" ", "_")
    shown = [(f"-> {outcome}",) for outcome in (official, ours)] if row else []
    SCENARIOS.append(Scenario(name, resume, {}, row, *shown))


for what, token in SAME:
    _register(what, token)
for row, what, token, official, ours in DIFFERING:
    _register(what, token, row, official, ours)
