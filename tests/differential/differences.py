"""Where we differ from LaunchDarkly's own Python AI SDK on purpose: one row for each difference.

Rule for this file: it is the only place where a difference is allowed. Every scenario that shows one names
its row; a row that no scenario shows is out of date. ``docs/differences.md`` is made from it:
``python tests/differential/differences.py`` writes it anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs

__all__ = ["DIFFERENCES", "DOCUMENT", "Difference", "as_document"]

DOCUMENT: Final = Path(__file__).resolve().parents[2] / "docs" / "differences.md"


@attrs.frozen
class Difference:
    """One deliberate difference; every text is one or two plain sentences."""

    name: str
    what: str
    official: str
    ours: str
    reason: str


_FLAGS: Final = (
    Difference(
        "not-an-object",
        "A flag whose value is no object",
        "Raises `TypeError` or `AttributeError` out of the config method.",
        "Uses the caller's default, with the reason in `config.problems` and one log line.",
        "A typing mistake in a flag must not take a service down.",
    ),
    Difference(
        "malformed-meta",
        "A malformed `_ldMeta`",
        'Guesses: `enabled: "false"` switches the config on, `version: "3"` is 3. Or raises.',
        "Uses the caller's default, with the reason.",
        "Guessing may switch on what somebody meant to switch off.",
    ),
    Difference(
        "malformed-part",
        "A malformed model, provider, message or map of tools",
        "Drops the part (for one bad message, all messages), or raises.",
        "Uses the caller's default, with the reason.",
        "A prompt with a hole, or no prompt at all, is another prompt than the one that was meant.",
    ),
    Difference(
        "mode-mismatch",
        "A flag of another mode than the one asked for",
        "Never reads the mode.",
        "Uses the caller's default, with the reason. A flag without a mode fits every method.",
        "LaunchDarkly's .NET and Java SDKs do the same; a judge's prompt is no agent's.",
    ),
    Difference(
        "model-key",
        "`modelKey` and `modelVersion` in the data of events",
        "Release 1.2.0 does not send them; its main branch does.",
        "Sends them where the flag has them.",
        "They tell a pinned model from the current one.",
    ),
    Difference(
        "agent-parts",
        "An agent served without instructions, model or provider",
        "Takes them from the default afterwards: the instructions keep their placeholders, and events name "
        "no model.",
        "Takes them from the default and treats them like served ones.",
        "A prompt with `{{topic}}` in it helps nobody, and events should name the model that is called.",
    ),
    Difference(
        "metric-key",
        "A judge's metric key in spaces, or a list of keys that begins with an empty one",
        "Uses it as it is, even if empty.",
        "Trims it, and takes the first that is not blank.",
        "LaunchDarkly's JavaScript, Java and Go SDKs do; a score under a blank name is lost.",
    ),
    Difference(
        "sampling-rate",
        "A judge whose sampling rate is no number from 0 to 1",
        "Keeps it.",
        "Leaves that judge out, with the reason.",
        "There is no meaning in sampling seven times out of one.",
    ),
    Difference(
        "judge-template",
        "The messages of `judge_config_template`",
        "Leaves out the messages that show what is judged, although its documentation says otherwise.",
        "Has all messages, as they are served.",
        "A template is what was served; LaunchDarkly's JavaScript SDK does the same.",
    ),
    Difference(
        "judges-when-needed",
        "A config with judges",
        "Evaluates the flag of every judge, and makes its provider's client, whenever the config is.",
        "Evaluates the config's own flag.",
        "Most configs are read without a judge being asked.",
    ),
    Difference(
        "immutable",
        "Changing a config, or what is in it",
        "Possible, and what is changed in `model` or its parameters is changed in the flag store as well.",
        "Not possible: everything handed out is frozen and shares nothing.",
        "One request must not change the next one's prompt.",
    ),
    Difference(
        "empty-messages",
        "`to_dict()` of a config with an empty list of messages",
        "Writes `None`.",
        "Writes an empty list.",
        "It is what was served.",
    ),
    Difference(
        "wrong-arguments",
        "A key that is empty, or a context that is none",
        "Reports the use, evaluates the flag of that name; fails somewhere inside.",
        "Raises `ValueError` or `TypeError` at once, and says what to pass.",
        "A mistake in code is found where it is made.",
    ),
)

_PROMPTS: Final = (
    Difference(
        "no-html-escape",
        "`{{name}}` with `<`, `>`, `&` or quotes in it",
        "Escapes them as HTML.",
        "Leaves them alone; `AIClient(escape_html=True)` escapes.",
        "A prompt is no web page, and LaunchDarkly's JavaScript, Java and new Go SDKs leave them alone.",
    ),
    Difference(
        "values-as-javascript",
        "How numbers, booleans, lists and objects read in a prompt",
        "As Python writes them: `True`, `2.0`, `['x', 'y']`.",
        "As JavaScript writes them: `true`, `2`, `x,y`.",
        "One flag gives the same prompt in services of both languages.",
    ),
    Difference(
        "no-partials",
        "`{{>name}}`",
        "Reads `name.mustache` from the working directory of the process.",
        "Is empty.",
        "Whoever may edit a prompt must not be able to read files.",
    ),
    Difference(
        "no-attributes",
        "Objects among the variables",
        "Reads their attributes and calls their methods.",
        "Reads mappings, lists, text, numbers and dates; an object is empty.",
        "Whoever may edit a prompt must not be able to call code.",
    ),
    Difference(
        "private-attributes",
        "Private attributes of the context, under `ldctx`",
        "Readable, and so is the list of them.",
        "Empty; `AIClient(privacy=Privacy(include_private=True))` makes them readable.",
        "What is not for LaunchDarkly is not for a model provider either, unless somebody says so.",
    ),
    Difference(
        "broken-template",
        "A template that cannot be parsed",
        "Raises, for a whole batch of agents if it is in one of them.",
        "Keeps that text as it is, with the reason in `config.problems`.",
        "A typing mistake in a prompt must not take a service down.",
    ),
)

_METRICS: Final = (
    Difference(
        "returns",
        "What `track_*` returns",
        "`None`.",
        "Whether this call recorded the metric. All of them are awaited.",
        "Callers can tell a vote that counted from one that did not.",
    ),
    Difference(
        "duplicate-log",
        "Tracking a metric twice",
        "One warning each time, with all of the event's data.",
        "`False`, a count in `ai.stats.duplicates`, one warning for the first of its kind.",
        "A retry loop must not fill the logs.",
    ),
    Difference(
        "summary-snapshot",
        "A summary that was taken earlier",
        "Changes with the tracker.",
        "Is a snapshot, and never changes.",
        "What was passed on stays what it was.",
    ),
    Difference(
        "single-tool-call-in-summary",
        "`track_tool_call` and the summary",
        "The summary lists the calls of `track_tool_calls` only.",
        "The summary lists every call.",
        "One list of what was recorded.",
    ),
    Difference(
        "empty-usage",
        "A usage of zero tokens",
        "Sends nothing, and no usage can be recorded afterwards.",
        "Sends nothing, returns `False`, and a real usage can be recorded afterwards.",
        "Nothing spends nothing.",
    ),
    Difference(
        "total-left-out",
        "A usage without a total",
        "Raises `TypeError`, and no usage can be recorded afterwards.",
        "Adds input and output up.",
        "Several providers report no total.",
    ),
    Difference(
        "bad-usage",
        "A negative number of tokens",
        "Leaves the negative ones out, and no usage can be recorded afterwards.",
        "Raises `ValueError`; a good usage can be recorded afterwards.",
        "Bad input must not spend a metric's only chance.",
    ),
    Difference(
        "bad-duration",
        "A time that is negative, no number, or a boolean",
        "Sends it as it is.",
        "Raises `ValueError` or `TypeError`; a good one can be recorded afterwards.",
        "One such value spoils an average, and `NaN` makes a whole batch of events invalid JSON.",
    ),
    Difference(
        "whole-milliseconds",
        "A time with a fraction of a millisecond",
        "Sends the fraction.",
        "Sends whole milliseconds, rounded down.",
        "What both SDKs measure themselves is in whole milliseconds.",
    ),
    Difference(
        "feedback-spellings",
        "Feedback as text",
        "Raises `TypeError` or sends nothing, and no feedback can be recorded afterwards.",
        'Understands `"positive"`, `"negative"` and `{"kind": "positive"}`.',
        "It is what arrives in the body of a request.",
    ),
    Difference(
        "bad-feedback",
        "Feedback that is neither positive nor negative",
        "Sends nothing or raises, and no feedback can be recorded afterwards.",
        "Raises `ValueError`; good feedback can be recorded afterwards.",
        "Bad input must not spend a metric's only chance.",
    ),
    Difference(
        "tool-keys",
        "Tool keys that are no list of texts",
        "Records each character of a text, or `None`.",
        "Raises `TypeError`, and records none of them.",
        "Nobody has a tool called `a`.",
    ),
    Difference(
        "judge-score",
        "A judge's score that is missing or not between 0 and 1",
        "Sends it.",
        "A missing one is not recorded; another one raises `ValueError`.",
        "One such value spoils an average.",
    ),
    Difference(
        "invalid-context",
        "A run of an invalid context",
        "Looks as if it were recorded; the base SDK drops the events with a warning.",
        "`track_*` raises `LedgerError`, and a token cannot be resumed for it.",
        "What cannot be recorded should not look as if it were.",
    ),
    Difference(
        "failing-delivery",
        "A `track` of the base SDK that raises",
        "Passes on, the result of a measured operation is lost, and the metric cannot be recorded again.",
        "`track_*` raises `LedgerError`, a measured operation keeps its result, and the metric can be "
        "recorded again.",
        "Telemetry must not break what it measures.",
    ),
)

_OPERATIONS: Final = (
    Difference(
        "duration-of-async",
        "`track_duration_of` an asynchronous function",
        "Measures how long it takes to make the coroutine: nothing.",
        "Measures how long it takes to await it.",
        "It is what was meant.",
    ),
    Difference(
        "cancelled",
        "An operation that is cancelled",
        "Records nothing.",
        "Records the duration; the summary's outcome is `CANCELLED`, which is no event of LaunchDarkly's.",
        "A closed tab is not a failure, and its tokens and its time were spent all the same.",
    ),
    Difference(
        "silent-extractor",
        "An extractor that fails or returns `None`",
        "Records the duration and no verdict.",
        "Records the duration and a success; a failure is counted in `ai.stats.failures`.",
        "The operation did succeed. A verdict that is missing would drop it from the success rate.",
    ),
    Difference(
        "wrong-extractor",
        "An extractor that returns something else",
        "Raises `AttributeError`, and the result of the operation is lost.",
        "Is counted like one that fails; the result is returned.",
        "Telemetry must not break what it measures.",
    ),
    Difference(
        "repeated-tool-calls",
        "Tool calls that are reported a second time for one run",
        "Are sent a second time.",
        "Tool calls that were tracked before stand; those an operation reports afterwards are not added.",
        "An explicit call wins over what is measured, as for every other metric.",
    ),
)

_TOKENS: Final = (
    Difference(
        "shared-slots",
        "Two trackers of one run: the original and a resumed one, or two resumed ones",
        "Each records everything once more.",
        "Within one `AIClient` they share what was recorded.",
        "A vote that is posted twice is one vote.",
    ),
    Difference(
        "token-spelling",
        "The text of a token",
        "JSON with spaces.",
        "The same JSON without spaces. Each SDK reads the other's.",
        "Shorter, and what all the other SDKs write.",
    ),
    Difference(
        "token-no-object",
        "A token that holds no JSON object",
        "Raises `TypeError` out of `create_tracker`.",
        "A failed `Result`.",
        "Tokens are posted by strangers.",
    ),
    Difference(
        "token-types",
        "A token whose members are of another type, or empty",
        "Accepts it, and sends them in events.",
        "A failed `Result`.",
        "Tokens are posted by strangers.",
    ),
    Difference(
        "token-clean",
        "A token with foreign characters in it, or one that names a member twice",
        "Accepts it.",
        "A failed `Result`.",
        "One run should have one token, and all SDKs should read the same in it.",
    ),
)

_CLIENT: Final = (
    Difference(
        "sdk-info",
        "The event about the SDK itself",
        "Sent under `launchdarkly-server-sdk-ai`.",
        "Sent under `ldtrack`; `AIClient(usage_events=False)` silences it.",
        "It is another library.",
    ),
)

_MANAGED: Final = (
    Difference(
        "provider-errors",
        "An error of the provider, in a managed run",
        "Recorded, logged, and answered with an empty text.",
        "Recorded, and raised as it is.",
        "Only the app knows whether to try again, and an empty text is no answer.",
    ),
    Difference(
        "tool-answers",
        "An answer that has no text, such as one that calls a tool",
        "Counts as an error; tool calls of chat models are not recorded.",
        "Counts as what the provider says that it is, and its tool calls are recorded.",
        "The model did what it was asked to do.",
    ),
    Difference(
        "root-tools",
        "Tools in the config's own map, in a managed model",
        "Not sent; only those in `model.parameters.tools` are.",
        "Sent, and called where `create_model(..., tools=...)` has functions for them.",
        "It is where LaunchDarkly keeps tools today.",
    ),
    Difference(
        "model-memory",
        "Asking a managed model a second time",
        "Sends the first question and answer along; concurrent questions of different users get mixed.",
        "Sends what is asked; `model.conversation()` has a memory, of its own.",
        "A model is shared by all requests of a service, a conversation is not.",
    ),
    Difference(
        "failed-answers",
        "Judges of an answer that failed",
        "Score the empty text.",
        "Are not asked.",
        "It would be paid for, and spoil the average.",
    ),
    Difference(
        "cut-answers",
        "Judges of an answer that was cut short at `max_tokens`",
        "Score it like a whole one.",
        "Are not asked; `result.is_cut` is true, and `error_message` says so.",
        "Half an answer says little about the whole.",
    ),
    Difference(
        "judge-scores",
        "A score that is `true` or not a number",
        "`true` is 1.0, and NaN passes.",
        "Refused, with the reason in `error_message`.",
        "A judge that does not answer the question has not scored anything.",
    ),
    Difference(
        "judge-reasons",
        "A verdict that cannot be used",
        "Has no `error_message`.",
        "Has one.",
        "Who looks for a missing score wants to know why.",
    ),
    Difference(
        "no-runner",
        "A config that no runner fits",
        "`None`, as for a disabled one, and warnings in the log.",
        "Raises `NoRunnerError`, which says of each candidate why.",
        "A missing package is a mistake; a disabled config is a decision.",
    ),
)

_GRAPHS: Final = (
    Difference(
        "graph-switched-off",
        "A graph whose flag says `enabled: false`",
        "Is enabled.",
        "Is disabled.",
        "It is what somebody switched off; LaunchDarkly's other SDKs do the same.",
    ),
    Difference(
        "graph-unreachable",
        "A graph with nodes that nothing leads to",
        "Is enabled, and never evaluates those that only lead onward.",
        "Is disabled, with the reason.",
        "An edge was forgotten; LaunchDarkly's other SDKs do the same.",
    ),
    Difference(
        "graph-malformed",
        "A malformed graph",
        "Raises out of `agent_graph`.",
        "Is disabled, with the reason in `graph.problems` and one log line.",
        "A typing mistake in a flag must not take a service down.",
    ),
    Difference(
        "graph-bottom-up",
        "`reverse_traverse` of a graph with paths of uneven length, or without an end",
        "Visits some nodes before their children, or none at all.",
        "Children always come before their parents, except across a cycle.",
        "Who builds agents from the bottom up needs the children first.",
    ),
    Difference(
        "graph-top-down",
        "`traverse` of a graph with a cycle",
        "May visit a node before the root.",
        "The root is first; the edge that leads back counts for nothing.",
        "A run begins there.",
    ),
    Difference(
        "graph-run-id",
        "The run of a graph",
        "Has no id and no token; its events cannot be told from those of another run.",
        "Has a `runId` in every event, and a resumption token. An empty `variationKey` is left out.",
        "LaunchDarkly's other SDKs do the same.",
    ),
    Difference(
        "graph-path",
        "Tracking the path of a graph's run a second time",
        "Sends a second path.",
        "`False`: the path is recorded once, and whole.",
        "LaunchDarkly's other SDKs do the same.",
    ),
    Difference(
        "graph-keys",
        "A path that is one text, or a node key that is empty",
        "Sends it as it is.",
        "Raises `TypeError` or `ValueError`, and records nothing.",
        "No node has such a key.",
    ),
    Difference(
        "graph-usage-event",
        "The usage event of `agent_graph`",
        "None.",
        "`agent-graph`.",
        "LaunchDarkly's other SDKs send it.",
    ),
)

_MANAGED_GRAPHS: Final = (
    Difference(
        "graph-node-order",
        "The order of a node's events",
        "Tokens, duration, tool calls, outcome.",
        "Duration, outcome, tokens, tool calls, as of every run.",
        "A node's run is one like any other. LaunchDarkly reads no order.",
    ),
    Difference(
        "graph-node-tokens",
        "A node whose model is asked more than once, on OpenAI's Agents SDK",
        "Has the tokens of the last request.",
        "Has those of all.",
        "All of them are paid for, and the graph's total has them.",
    ),
    Difference(
        "graph-handoffs",
        "A handoff in a managed graph",
        "Sends no event: nothing calls `track_handoff_*` and `track_redirect`.",
        "Sends `handoff_success`, `handoff_failure` or `redirect` when it happens.",
        "The events exist for it.",
    ),
    Difference(
        "graph-heard",
        "What a node hears of those before it, on LangGraph",
        "All of their messages, tool calls included, as if it had said them itself.",
        "What they said, as from somebody else, signed with the node's key.",
        "Some providers refuse tool calls of tools that were not offered; a model should know who said what.",
    ),
    Difference(
        "graph-node-config",
        "The config of a node, on OpenAI's Agents SDK",
        "Its parameters and tools are not passed on, but for those in `model.parameters.tools`; a preamble "
        "of OpenAI's is put before its instructions.",
        "All parameters and tools are passed on, and the instructions are the flag's.",
        "What is in the flag is what was meant.",
    ),
    Difference(
        "graph-errors",
        "An error in a managed graph",
        "Logged, and answered with an empty text. On LangGraph path, nodes and tokens are lost; on OpenAI's "
        "Agents SDK the graph's tokens, and the duration of the node that failed.",
        "Recorded with all that happened before, and raised as it is.",
        "Only the app knows whether to try again; and what failed has cost something, too.",
    ),
    Difference(
        "graph-shapes",
        "A graph with a cycle, or with paths of uneven length, on OpenAI's Agents SDK",
        "Fails while it is built: every run is recorded as failed.",
        "Runs; `OpenAIAgentsRunners(max_turns=...)` bounds it.",
        "The flag allows it.",
    ),
    Difference(
        "graph-visited-again",
        "The path of a run that visits a node again, on LangGraph",
        "Names it once.",
        "Names it for each visit.",
        "It is the path that was taken.",
    ),
    Difference(
        "graph-judges",
        "Judges of a node's config",
        "Are not asked.",
        "Look at a sample of its answers, and score the node's run.",
        "Somebody attached them.",
    ),
    Difference(
        "graph-at-once",
        "Two runs of one managed graph at the same time, on OpenAI's Agents SDK",
        "Share what is measured: one gets the nodes of the other, and records them a second time.",
        "Share nothing.",
        "A graph is shared by all requests of a service.",
    ),
)

DIFFERENCES: Final[dict[str, tuple[Difference, ...]]] = {
    "Flags and configs": _FLAGS,
    "Prompts": _PROMPTS,
    "Metrics": _METRICS,
    "Whole operations": _OPERATIONS,
    "Resumption tokens": _TOKENS,
    "Managed models and judges": _MANAGED,
    "Agent graphs": _GRAPHS,
    "Managed graphs": _MANAGED_GRAPHS,
    "The client": _CLIENT,
}

_OPENING: Final = """\
# Differences from the official SDK

ldtrack sends the events that LaunchDarkly's `launchdarkly-server-sdk-ai` for Python sends: the same names,
values, contexts and data, in the same order. The tests run both packages on the same flags, through a real
`LDClient`, and compare what comes out. These are all the differences that they allow, each on purpose.

The comparison is with release 1.2.0. This page is made from the tests' own table.
"""


def as_document() -> str:
    """The table as ``docs/differences.md`` has it."""
    parts = [_OPENING]
    for area, rows in DIFFERENCES.items():
        lines = [f"## {area}", "", "| | official SDK | ldtrack | why |", "|---|---|---|---|"]
        lines += [f"| {row.what} | {row.official} | {row.ours} | {row.reason} |" for row in rows]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    DOCUMENT.write_text(as_document(), encoding="utf-8")
