"""Writes tokens.json: resumption tokens as each of LaunchDarkly's SDKs writes them.

    python tests/vectors/make_token_vectors.py

Each style below states what an SDK's JSON looks like: its separators, its escapes, and which members it
leaves out. The order of the members is the same in all: runId, configKey, variationKey, version, graphKey.
The tokens of ``python-official`` come from the official Python package itself.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import attrs
from ldai.tracker import LDAIConfigTracker
from ldclient import Config, Context, LDClient

HERE = Path(__file__).parent

SHORT_ESCAPES = {"\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\\": r"\\"}
JAVA_SHORT_ESCAPES = {char: text for char, text in SHORT_ESCAPES.items() if char not in "\b\f"}


def is_control(char: str) -> bool:
    """What JSON itself demands to be escaped, besides the quote and the backslash."""
    return char < " "


def is_html_in_go(char: str) -> bool:
    """What Go escapes so that JSON may stand inside a script element."""
    return is_control(char) or char in "<>&\u2028\u2029"


def is_escaped_in_dotnet(char: str) -> bool:
    """What System.Text.Json escapes unless told otherwise; a quote gets a number there, too."""
    return is_control(char) or char > "~" or char in "<>&'\"+`"


def is_escaped_in_python(char: str) -> bool:
    """What json.dumps escapes: everything beyond ASCII."""
    return is_control(char) or char > "\x7f"


@attrs.frozen(kw_only=True)
class Style:
    """How one SDK writes the JSON inside a token."""

    comma: str = ","
    colon: str = ":"
    is_escaped: Callable[[str], bool] = is_control
    short_escapes: dict[str, str] = attrs.field(factory=lambda: {**SHORT_ESCAPES, '"': r"\""})
    hex_digits: str = "x"
    writes_empty_variation: bool = False
    carries_graph: bool = True

    def text(self, value: str) -> str:
        """A JSON string."""
        return '"' + "".join(map(self._char, value)) + '"'

    def _char(self, char: str) -> str:
        if char in self.short_escapes:
            return self.short_escapes[char]
        if not self.is_escaped(char):
            return char
        units = char.encode("utf-16-be")
        return "".join(
            f"\\u{format(int.from_bytes(units[at : at + 2]), '04' + self.hex_digits)}"
            for at in range(0, len(units), 2)
        )

    def token(self, claims: dict[str, object]) -> str:
        """The token of a run."""
        members = {"runId": claims["run_id"], "configKey": claims["config_key"]}
        if claims["variation_key"] or self.writes_empty_variation:
            members["variationKey"] = claims["variation_key"]
        members["version"] = claims["version"]
        if claims["graph_key"] and self.carries_graph:
            members["graphKey"] = claims["graph_key"]
        written = (
            f"{self.text(name)}{self.colon}{self.text(value) if isinstance(value, str) else value}"
            for name, value in members.items()
        )
        raw = "{" + self.comma.join(written) + "}"
        return base64.urlsafe_b64encode(raw.encode("utf-8")).rstrip(b"=").decode("ascii")


STYLES = {
    "python": Style(comma=", ", colon=": ", is_escaped=is_escaped_in_python),
    "javascript": Style(writes_empty_variation=True),
    "dotnet": Style(is_escaped=is_escaped_in_dotnet, short_escapes=SHORT_ESCAPES, hex_digits="X"),
    "java": Style(short_escapes={**JAVA_SHORT_ESCAPES, '"': r"\""}),
    "ruby": Style(carries_graph=False),
    "go-old": Style(is_escaped=is_html_in_go, carries_graph=False),
    "go-new": Style(is_escaped=is_html_in_go),
}

RUNS: dict[str, dict[str, object]] = {
    "plain": {
        "run_id": "2f1c6f0e-4d9b-4f0c-9a57-0a4f8f0f8b11",
        "config_key": "support-chat",
        "variation_key": "warm-tone",
        "version": 7,
        "graph_key": "",
    },
    "default served, so no variation": {
        "run_id": "7b0ed5a4-5a2c-4a79-8f3e-1f0a2f6d9c55",
        "config_key": "support-chat",
        "variation_key": "",
        "version": 1,
        "graph_key": "",
    },
    "node of a graph": {
        "run_id": "c0a8012e-93b1-4a7e-b6d4-6a3c1d2e4f50",
        "config_key": "triage-agent",
        "variation_key": "careful",
        "version": 12,
        "graph_key": "support-graph",
    },
    "everything that is escaped somewhere": {
        "run_id": "e5b7c1d2-0f34-4c8a-9b6d-3a2f1e0d4c7b",
        "config_key": "<b>Q&A</b> 'n' \"more\" + `code` \\ / ~?>",
        "variation_key": "größe 漢字 😀 \u2028\u2029",
        "version": 2147483647,
        "graph_key": "\b\f\n\r\t\x01\x1f é",
    },
}


def official_token(client: LDClient, claims: dict[str, object]) -> str:
    """The token that the official Python package writes for a run."""
    context = Context.create("ada")
    tracker = LDAIConfigTracker(
        ld_client=client, context=context, model_name="gpt-5", provider_name="openai", **claims
    )
    return tracker.resumption_token


def vectors() -> list[dict[str, object]]:
    """Every run in every style: the token, and what reading it must give."""
    made = []
    for run, claims in RUNS.items():
        for language, style in STYLES.items():
            expected = claims if style.carries_graph else {**claims, "graph_key": ""}
            made.append({"by": language, "run": run, "token": style.token(claims), "claims": expected})
        with LDClient(Config("no-key", offline=True)) as client:
            token = official_token(client, claims)
        made.append({"by": "python-official", "run": run, "token": token, "claims": claims})
    return made


def as_text() -> str:
    """The contents of the file."""
    return json.dumps(vectors(), indent=2) + "\n"


if __name__ == "__main__":
    HERE.joinpath("tokens.json").write_text(as_text(), encoding="utf-8")
