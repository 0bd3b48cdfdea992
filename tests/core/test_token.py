"""Tokens: what LaunchDarkly's SDKs write is read, what we write they read, and anything else is refused."""

from __future__ import annotations

import base64
import enum
import json
import runpy
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldai.tracker import LDAIConfigTracker
from ldclient import Config, Context, LDClient
from ldclient.integrations.test_data import TestData

from ldtrack.core.token import MAX_TOKEN_LENGTH, TokenClaims, decode_token, encode_token, members_of
from ldtrack.exceptions import InvalidTokenError

VECTORS = Path(__file__).parent.parent / "vectors"
OFFICIAL = {"runId": "run-1", "configKey": "chat", "version": 3}
CLAIMS = TokenClaims("run-1", "chat", 3, "warm", "graph")

INT64 = st.integers(-(2**63), 2**63 - 1)
KEYS = st.text(min_size=1, max_size=40)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | INT64 | FINITE | st.text(max_size=20)
EXTRA_NAMES = st.text(max_size=20).filter(
    lambda name: name.casefold() not in {n.casefold() for n in members()}
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


def members() -> tuple[str, ...]:
    """The official members, spelled here once more so that a change of the table is noticed."""
    return ("runId", "configKey", "variationKey", "version", "graphKey")


@st.composite
def any_claims(draw: st.DrawFn) -> TokenClaims:
    """Claims of every kind."""
    return TokenClaims(
        run_id=draw(KEYS),
        config_key=draw(KEYS),
        version=draw(INT64),
        variation_key=draw(st.text(max_size=40)),
        graph_key=draw(st.text(max_size=40)),
        extras=draw(st.dictionaries(EXTRA_NAMES, SCALARS, max_size=4)),
    )


def wrapped(raw: str | bytes) -> str:
    """Text or bytes as the outside of a token."""
    data = raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else raw
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def token_of(_without: tuple[str, ...] = (), **changed: Any) -> str:
    """A good token with some members changed or left out."""
    content = {name: value for name, value in {**OFFICIAL, **changed}.items() if name not in _without}
    return wrapped(json.dumps(content))


def raw_of(token: str) -> str:
    """The JSON inside a token."""
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode("utf-8")


class TestReadingOtherSdks:
    vectors = json.loads((VECTORS / "tokens.json").read_text(encoding="utf-8"))

    @pytest.mark.parametrize("vector", vectors, ids=lambda vector: f"{vector['by']}: {vector['run']}")
    def test_vector(self, vector):
        """A token as each SDK writes it says what that SDK meant."""
        assert decode_token(vector["token"]) == TokenClaims(**vector["claims"])

    def test_vectors_are_those_of_the_script(self):
        """The vectors are what their script makes, the official package's tokens among them."""
        script = runpy.run_path(str(VECTORS / "make_token_vectors.py"))
        assert (VECTORS / "tokens.json").read_text(encoding="utf-8") == script["as_text"]()

    def test_python_style_is_the_official_packages(self):
        """The style written down for Python gives, byte for byte, what the official package writes."""
        by = {(vector["by"], vector["run"]): vector["token"] for vector in self.vectors}
        runs = {vector["run"] for vector in self.vectors}
        assert [by["python", run] for run in runs] == [by["python-official", run] for run in runs]

    @pytest.mark.parametrize("padding", ["", "=", "==", "==="])
    @pytest.mark.parametrize("run_id", ["a", "ab", "abc"])
    def test_padding_does_not_matter(self, run_id, padding):
        """Tokens are read with and without padding, whatever their length."""
        assert decode_token(token_of(runId=run_id) + padding).run_id == run_id

    def test_standard_alphabet(self):
        """A token in the standard Base64 alphabet is read as well."""
        token = wrapped(json.dumps({**OFFICIAL, "configKey": "~~~???>>>"}))
        standard = token.replace("-", "+").replace("_", "/")
        assert standard != token
        assert decode_token(standard).config_key == "~~~???>>>"

    def test_surrounding_whitespace(self):
        """Whitespace around a token, as copying brings along, is ignored."""
        assert decode_token(f"\n\t {token_of()} \r\n").run_id == "run-1"

    @pytest.mark.parametrize("name", ["variationKey", "graphKey"])
    @pytest.mark.parametrize("empty", [None, ""])
    def test_null_and_empty_are_absent(self, name, empty):
        """A null or empty variation or graph key reads as absent."""
        assert decode_token(token_of(**{name: empty})) == TokenClaims("run-1", "chat", 3)

    @pytest.mark.parametrize("value", ["text", "", 7, -1.5, True, False, None])
    def test_unknown_flat_members_are_kept(self, value):
        """A flat member that no SDK knows is kept as an extra, with its type."""
        kept = decode_token(token_of(newThing=value)).extras["newThing"]
        assert kept == value
        assert type(kept) is type(value)


class TestWriting:
    def test_bytes(self):
        """A token is compact JSON in the official order."""
        assert raw_of(encode_token(CLAIMS)) == (
            '{"runId":"run-1","configKey":"chat","variationKey":"warm","version":3,"graphKey":"graph"}'
        )

    def test_empty_members_are_omitted(self):
        """An absent variation or graph key is left out rather than written as empty."""
        assert raw_of(encode_token(TokenClaims("r", "c", 1))) == '{"runId":"r","configKey":"c","version":1}'

    def test_extras_come_last(self):
        """Extras follow the official members, in the order given."""
        extras = {"z": "é", "a": None, "m": True, "n": 1.5}
        assert raw_of(encode_token(TokenClaims("r", "c", 1, extras=extras))) == (
            '{"runId":"r","configKey":"c","version":1,"z":"\\u00e9","a":null,"m":true,"n":1.5}'
        )

    @given(any_claims())
    def test_alphabet(self, claims):
        """A token is plain URL-safe text without padding, and what is inside is plain ASCII."""
        token = encode_token(claims)
        assert token.isascii()
        assert token.replace("-", "").replace("_", "").isalnum()
        assert raw_of(token).isascii()

    @given(any_claims())
    def test_says_the_members(self, claims):
        """The text spelled out by hand is the JSON of the members, in their order."""
        assert raw_of(encode_token(claims)) == json.dumps(members_of(claims), separators=(",", ":"))

    @given(any_claims())
    def test_round_trip(self, claims):
        """Whatever claims can be made, their token reads as the same claims."""
        assert decode_token(encode_token(claims)) == claims

    def test_enum_members_are_written_as_their_values(self):
        """Keys and versions kept in enums are written by value."""

        class Key(enum.StrEnum):
            CHAT = "chat"

        class Version(enum.IntEnum):
            THIRD = 3

        assert encode_token(TokenClaims("run-1", Key.CHAT, Version.THIRD)) == token_without_spaces()

    def test_longest(self):
        """A token that could not be read back is not written; one character less is."""
        overhead = len('{"runId":"r","configKey":"","version":1}')
        longest = MAX_TOKEN_LENGTH * 3 // 4 - overhead
        token = encode_token(TokenClaims("r", "c" * longest, 1))
        assert len(token) == MAX_TOKEN_LENGTH
        assert decode_token(token).config_key == "c" * longest
        with pytest.raises(ValueError, match=r"^the token would have 16386 characters, more than the 16384"):
            encode_token(TokenClaims("r", "c" * (longest + 1), 1))


def token_without_spaces() -> str:
    """The token of the official members alone."""
    return wrapped(json.dumps(OFFICIAL, separators=(",", ":")))


class Recorded:
    """Stands in for the SDK's event processor, and keeps what it is given."""

    def __init__(self, config):
        self.events = []

    def send_event(self, event):
        self.events.append(event)

    def flush(self):
        """Nothing to send."""

    def stop(self):
        """Nothing to stop."""


def officially_resumed(token: str) -> dict[str, Any]:
    """Resume with the official package on a real client, track once, and return what the event says."""
    sent: list[Recorded] = []

    def processor(config):
        sent.append(Recorded(config))
        return sent[-1]

    config = Config("no-key", update_processor_class=TestData.data_source(), event_processor_class=processor)
    with LDClient(config) as client:
        result = LDAIConfigTracker.from_resumption_token(token, client, Context.create("ada"))
        assert result.is_success(), result.error
        result.value.track_success()
    return sent[0].events[-1].data


class TestOfficialPythonReadsOurs:
    @given(any_claims())
    def test_any_claims(self, claims):
        """The official package resumes every token we write, and sends what it says."""
        data = officially_resumed(encode_token(claims))
        assert TokenClaims(
            data["runId"],
            data["configKey"],
            data["version"],
            data.get("variationKey", ""),
            data.get("graphKey", ""),
        ) == attrs.evolve(claims, extras={})


# What is refused, and what the refusal says. Each row is one rule.
REFUSED: dict[str, tuple[object, str]] = {
    "None": (None, "A token must be a str, not NoneType"),
    "bytes": (token_of().encode(), "A token must be a str, not bytes"),
    "number": (12345, "A token must be a str, not int"),
    "not a number": (float("nan"), "A token must be a str, not float"),
    "mapping": (OFFICIAL, "A token must be a str, not dict"),
    "empty": ("", "The token is empty"),
    "blank": (" \n\t", "The token is empty"),
    "only padding": ("====", "The token does not hold valid JSON"),
    "overlong": ("A" * (MAX_TOKEN_LENGTH + 1), "A token has at most 16384 characters, this has 16385"),
    "impossible length": ("AAAAA", "The token is not Base64 text, or was cut short"),
    "not ASCII": ("é" + token_of(), "The token is not Base64 text, or was cut short"),
    "lone surrogate in the text": ("\ud800" + token_of(), "The token is not Base64 text, or was cut short"),
    "foreign character": (token_of() + "!!!!", "The token is not clean Base64 text"),
    "whitespace inside": (token_of()[:8] + "\n" * 4 + token_of()[8:], "The token is not clean Base64 text"),
    "padding inside": (token_of()[:8] + "=" + token_of()[8:], "The token is not (clean )?Base64 text"),
    "percent-encoded padding": (token_of() + "%3D", "The token is not (clean )?Base64 text"),
    "spare bits set": ("e31", "The token is not clean Base64 text"),
    "plain JSON": (json.dumps(OFFICIAL), "The token is not (clean )?Base64 text"),
    "not UTF-8": (wrapped(b'{"runId":"\xff"}'), "The token does not hold UTF-8 text"),
    "encoded surrogate": (wrapped('{"runId":"\ud800"}'), "The token does not hold UTF-8 text"),
    "not JSON": (wrapped("run-1"), "The token does not hold valid JSON"),
    "byte order mark": (wrapped("\ufeff" + json.dumps(OFFICIAL)), "The token does not hold valid JSON"),
    "trailing garbage": (wrapped(json.dumps(OFFICIAL) + "x"), "The token does not hold valid JSON"),
    "deeply nested": (wrapped("[" * 12_000), "The token does not hold valid JSON"),
    "endless number": (wrapped('{"version":' + "9" * 5_000 + "}"), "The token does not hold valid JSON"),
    "JSON null": (wrapped("null"), "The token does not hold a JSON object"),
    "JSON number": (wrapped("1"), "The token does not hold a JSON object"),
    "JSON boolean": (wrapped("true"), "The token does not hold a JSON object"),
    "JSON text": (wrapped('"runId configKey version"'), "The token does not hold a JSON object"),
    "JSON list": (wrapped('["runId","configKey","version"]'), "The token does not hold a JSON object"),
    "NaN": (wrapped('{"x":NaN}'), "The token holds a number that is not finite"),
    "Infinity": (wrapped('{"x":-Infinity}'), "The token holds a number that is not finite"),
    "overflowing number": (wrapped(json.dumps(OFFICIAL)[:-1] + ',"x":1e999}'), "extras must be finite"),
    "official member twice": (
        wrapped('{"runId":"a","runId":"b","configKey":"c","version":1}'),
        "The token names a member twice",
    ),
    "extra member twice": (
        wrapped('{"x":1,"x":1,"runId":"a","configKey":"c","version":1}'),
        "The token names a member twice",
    ),
    "empty object": (wrapped("{}"), "The token has no runId"),
    "no runId": (token_of(("runId",)), "The token has no runId"),
    "no configKey": (token_of(("configKey",)), "The token has no configKey"),
    "null graph and no configKey": (token_of(("configKey",), graphKey=None), "The token has no configKey"),
    "no version": (token_of(("version",)), "The token has no version"),
    "graph token": (token_of(("configKey",), graphKey="g"), "This is the token of an agent graph"),
    "empty runId": (token_of(runId=""), "its run_id must not be empty"),
    "null runId": (token_of(runId=None), "its run_id must be a str, not NoneType"),
    "number as runId": (token_of(runId=1), "its run_id must be a str, not int"),
    "empty configKey": (token_of(configKey=""), "its config_key must not be empty"),
    "null configKey": (token_of(configKey=None), "its config_key must be a str, not NoneType"),
    "list as configKey": (token_of(configKey=["c"]), "its config_key must be a str, not list"),
    "number as variationKey": (token_of(variationKey=0), "its variation_key must be a str, not int"),
    "boolean as graphKey": (token_of(graphKey=False), "its graph_key must be a str, not bool"),
    "null version": (token_of(version=None), "its version must be an int, not NoneType"),
    "text as version": (token_of(version="3"), "its version must be an int, not str"),
    "boolean as version": (token_of(version=True), "its version must be an int, not bool"),
    "fraction as version": (token_of(version=3.0), "its version must be an int, not float"),
    "version too large": (token_of(version=2**63), "its version must fit into 64 bits"),
    "version too small": (token_of(version=-(2**63) - 1), "its version must fit into 64 bits"),
    "lone surrogate in runId": (token_of(runId="\ud800"), "its run_id must be valid Unicode"),
    "lone surrogate in graphKey": (token_of(graphKey="a\udfff"), "its graph_key must be valid Unicode"),
    "lone surrogate in an extra": (token_of(x="\udbff"), "extras must be valid Unicode"),
    "lone surrogate in an extra's name": (token_of(**{"\ud800": 1}), "extras must be named in valid Unicode"),
    "nested object": (token_of(x={}), "its extras must be flat .*, not dict"),
    "nested list": (token_of(x=[1]), "its extras must be flat .*, not list"),
    "extra too large": (token_of(x=2**63), "its extras must fit into 64 bits"),
    "official member in another case": (token_of(RUNID="r"), "extras must not repeat an official member"),
    "official member in a case of Go": (
        wrapped(json.dumps({**OFFICIAL, "ver\u017fion": 1})),
        "extras must not repeat an official member",
    ),
}


class TestRefusing:
    @pytest.mark.parametrize("rule", REFUSED)
    def test_rule(self, rule):
        """Each kind of bad token is refused with its own sentence, which ends with what to do."""
        token, said = REFUSED[rule]
        with pytest.raises(InvalidTokenError, match=said) as refusal:
            decode_token(token)
        assert str(refusal.value).endswith(
            ("pass the text of a tracker's resumption_token unchanged.", "resumption_token instead.")
        )

    @given(st.text() | st.binary() | st.none() | st.integers() | st.floats() | st.characters())
    def test_arbitrary_input(self, token):
        """Whatever is not a token is refused as such, and no other way."""
        with pytest.raises(InvalidTokenError, match=r"\.$"):
            decode_token(token)

    @given(st.binary(max_size=60))
    def test_arbitrary_bytes_inside(self, raw):
        """Whatever bytes are dressed as a token, they are refused as such."""
        with pytest.raises(InvalidTokenError, match=r"\.$"):
            decode_token(wrapped(raw))

    @given(JSON)
    def test_arbitrary_json_inside(self, value):
        """Whatever JSON is dressed as a token, it is refused as such."""
        with pytest.raises(InvalidTokenError, match=r"\.$"):
            decode_token(wrapped(json.dumps(value)))

    @given(st.dictionaries(st.sampled_from([*members(), "RunId", "x"]), JSON))
    def test_arbitrary_members(self, content):
        """Whatever the official members hold, the token is refused as such or says just that."""
        try:
            claims = decode_token(wrapped(json.dumps(content)))
        except InvalidTokenError:
            return
        assert members_of(claims) == {
            name: value
            for name, value in content.items()
            if name not in {"variationKey", "graphKey"} or value not in {None, ""}
        }

    @given(any_claims(), st.data())
    def test_cut_short(self, claims, data):
        """A token that lost its end is refused."""
        token = encode_token(claims)
        with pytest.raises(InvalidTokenError, match=r"\.$"):
            decode_token(token[: data.draw(st.integers(0, len(token) - 1))])

    def test_only_one_text_per_content(self):
        """No other last character passes for the right one by setting bits that nobody reads."""
        token = next(token for size in range(1, 4) if len(token := token_of(runId="r" * size)) % 4 == 2)
        others = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") - {token[-1]}
        for other in others:
            with pytest.raises(InvalidTokenError, match=r"\.$"):
                decode_token(token[:-1] + other)

    @given(
        st.sampled_from([*members(), "extra"]),
        st.text("0123456789", min_size=8, max_size=12),
        st.sampled_from([list, dict.fromkeys, "\ud800".join, lambda mark: {"twice": mark, "in": [mark]}]),
    )
    def test_refusals_tell_nothing(self, broken, mark, as_nonsense):
        """No refusal repeats what a token says: not its values, not its unknown names, not its text."""
        content = {
            **OFFICIAL,
            "configKey": "confidential",
            f"extra-{mark}": 1,
            broken: as_nonsense([mark, mark]),
        }
        token = wrapped(json.dumps(content))
        with pytest.raises(InvalidTokenError, match="malformed") as refusal:
            decode_token(token)
        for said in (str(refusal.value), str(refusal.value.__cause__)):
            assert mark not in said
            assert "confidential" not in said
            assert token not in said

    def test_causes_tell_nothing(self):
        """The standard library's errors, which keep the text they stumbled on, are not shown as causes."""
        for rule in ("not ASCII", "not UTF-8", "not JSON"):
            with pytest.raises(InvalidTokenError, match="The token") as refusal:
                decode_token(REFUSED[rule][0])
            assert refusal.value.__cause__ is None
            assert refusal.value.__suppress_context__


class TestClaims:
    @pytest.mark.parametrize(
        ("changed", "error", "said"),
        [
            ({"run_id": None}, TypeError, "^run_id must be a str, not NoneType$"),
            ({"run_id": ""}, ValueError, "^run_id must not be empty$"),
            ({"run_id": "\ud83d"}, ValueError, "^run_id must be valid Unicode, but has a lone surrogate$"),
            ({"config_key": b"chat"}, TypeError, "^config_key must be a str, not bytes$"),
            ({"config_key": ""}, ValueError, "^config_key must not be empty$"),
            ({"version": True}, TypeError, "^version must be an int, not bool$"),
            ({"version": 1.0}, TypeError, "^version must be an int, not float$"),
            ({"version": 2**63}, ValueError, "^version must fit into 64 bits$"),
            ({"variation_key": None}, TypeError, "^variation_key must be a str, not NoneType$"),
            ({"graph_key": 1}, TypeError, "^graph_key must be a str, not int$"),
            ({"extras": [("a", 1)]}, TypeError, "^extras must be a mapping, not list$"),
            ({"extras": {1: "a"}}, TypeError, "^extras must be named by str, not int$"),
            ({"extras": {"runid": "a"}}, ValueError, "^extras must not repeat an official member"),
            ({"extras": {"a": ()}}, TypeError, r"^extras must be flat \(.*\), not tuple$"),
            ({"extras": {"a": float("nan")}}, ValueError, "^extras must be finite$"),
            ({"extras": {"a": -(2**63) - 1}}, ValueError, "^extras must fit into 64 bits$"),
        ],
    )
    def test_bad_value(self, changed, error, said):
        """Claims that could not become a token are refused when they are made."""
        with pytest.raises(error, match=said) as refusal:
            TokenClaims(**{"run_id": "r", "config_key": "c", "version": 1, **changed})
        assert not isinstance(refusal.value, InvalidTokenError)

    @pytest.mark.parametrize("version", [-(2**63), -1, 0, 2**63 - 1])
    def test_extreme_version(self, version):
        """Every version of 64 bits is good."""
        assert decode_token(encode_token(TokenClaims("r", "c", version))).version == version

    def test_frozen(self):
        """Claims do not change, and share nothing with what they were made from."""
        extras = {"a": 1}
        claims = TokenClaims("r", "c", 1, extras=extras)
        extras["a"] = 2
        assert claims.extras == {"a": 1}
        assert isinstance(claims.extras, MappingProxyType)
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            claims.version = 2

    def test_hashable(self):
        """Equal claims hash alike, extras or not."""
        one, other = (TokenClaims("r", "c", 1, extras={"a": 1}) for _ in range(2))
        assert {one: "found"}[other] == "found"
        assert one != TokenClaims("r", "c", 1)

    def test_repr_hides_extras(self):
        """The repr names the extras without their values, since a signature may be among them."""
        shown = repr(TokenClaims("r", "c", 1, extras={"sig": "abc123", "exp": 9}))
        assert "extras=<'sig', 'exp'>" in shown
        assert "abc123" not in shown
        assert "extras=<none>" in repr(CLAIMS)
