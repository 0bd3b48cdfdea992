"""Tokens of a graph's run: those that LaunchDarkly's other SDKs write are read, and ours are theirs."""

from __future__ import annotations

import base64
import json
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldtrack.core.graph_token import (
    GraphTokenClaims,
    decode_graph_token,
    encode_graph_token,
    graph_members_of,
)
from ldtrack.core.signing import TokenSigner
from ldtrack.core.token import TokenClaims, decode_token, encode_token
from ldtrack.exceptions import InvalidTokenError

CLAIMS = GraphTokenClaims("run-1", "trip", 3, "warm")
SIGNER = TokenSigner.from_key("a secret of sixteen bytes")


def token_of(text: str, *, padded: bool = False) -> str:
    """A token that holds this text."""
    token = base64.urlsafe_b64encode(text.encode()).decode()
    return token if padded else token.rstrip("=")


VECTORS = {
    "JavaScript": '{"runId":"run-1","graphKey":"Ünïcode","variationKey":"warm","version":3}',
    ".NET": '{"runId":"run-1","graphKey":"\\u00dcn\\u00efcode","variationKey":"warm","version":3}',
    "Java": '{"runId":"run-1","graphKey":"Ünïcode","variationKey":"warm","version":3}',
    "Go": '{"runId":"run-1","graphKey":"\\u00dcn\\u00efcode","variationKey":"warm","version":3}',
    "spaced": '{"runId": "run-1", "graphKey": "Ünïcode", "variationKey": "warm", "version": 3}',
    "in another order": '{"version":3,"graphKey":"Ünïcode","variationKey":"warm","runId":"run-1"}',
}


@pytest.mark.parametrize("text", VECTORS.values(), ids=VECTORS)
@pytest.mark.parametrize("padded", [False, True])
def test_the_tokens_of_other_sdks_are_read(text: str, padded: bool) -> None:
    """As the wire document says they write them: separators, escapes and padding differ."""
    assert decode_graph_token(token_of(text, padded=padded)) == GraphTokenClaims(
        "run-1", "Ünïcode", 3, "warm"
    )


@pytest.mark.parametrize("text", ['"variationKey":null,', '"variationKey":"",', "", '"configKey":null,'])
def test_an_absent_variation_key_is_empty(text: str) -> None:
    """However it is absent."""
    token = token_of(f'{{"runId":"run-1","graphKey":"trip",{text}"version":1}}')
    assert decode_graph_token(token) == GraphTokenClaims("run-1", "trip", 1)


def test_ours_is_written_as_theirs() -> None:
    """Members in the official order, compact, without padding; an empty variation key is left out."""
    padded = encode_graph_token(CLAIMS) + "=="
    assert base64.urlsafe_b64decode(padded) == (
        b'{"runId":"run-1","graphKey":"trip","variationKey":"warm","version":3}'
    )
    assert list(graph_members_of(GraphTokenClaims("run-1", "trip", 3))) == ["runId", "graphKey", "version"]


texts = st.text(st.characters(codec="utf-8"), max_size=20)
claims = st.builds(
    GraphTokenClaims,
    texts.filter(bool),
    texts.filter(bool),
    st.integers(-(2**63), 2**63 - 1),
    texts,
    st.dictionaries(texts.map("x-".__add__), st.none() | st.booleans() | texts, max_size=3),
)


@given(claims)
def test_what_is_written_is_read_back(said: GraphTokenClaims) -> None:
    """Whatever the keys are; signed and unsigned."""
    assert decode_graph_token(encode_graph_token(said)) == said
    signed = SIGNER.sign(said, now_s=1.0, context_key="user:ada")
    assert SIGNER.verify_graph(signed, now_s=2.0, context_key="user:ada") == said


MALFORMED: dict[str, tuple[Any, str]] = {
    "no text": (None, "must be a str"),
    "no object": (token_of("3"), "JSON object"),
    "no runId": (token_of('{"graphKey":"g","version":1}'), "has no runId"),
    "no graphKey": (token_of('{"runId":"r","version":1}'), "has no graphKey"),
    "no version": (token_of('{"runId":"r","graphKey":"g"}'), "has no version"),
    "an empty runId": (token_of('{"runId":"","graphKey":"g","version":1}'), "run_id must not be empty"),
    "an empty graphKey": (token_of('{"runId":"r","graphKey":"","version":1}'), "graph_key must not be empty"),
    "a null graphKey": (token_of('{"runId":"r","graphKey":null,"version":1}'), "graph_key must be a str"),
    "a version of text": (token_of('{"runId":"r","graphKey":"g","version":"1"}'), "version must be an int"),
    "a nested extra": (token_of('{"runId":"r","graphKey":"g","version":1,"x":[]}'), "must be flat"),
    "a config's token": (encode_token(TokenClaims("r", "chat", 1, graph_key="g")), "of a config's run"),
}


@pytest.mark.parametrize("case", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_graph_token_is_refused(case: tuple[Any, str]) -> None:
    """With one kind of error, that says what is wrong and repeats nothing."""
    token, why = case
    with pytest.raises(InvalidTokenError, match=why):
        decode_graph_token(token)


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_arbitrary_input_raises_one_kind_of_error(given: Any) -> None:
    """Text that anybody may have posted."""
    for token in (given, base64.urlsafe_b64encode(given).decode() if isinstance(given, bytes) else given):
        try:
            decode_graph_token(token)
        except InvalidTokenError:
            continue
        raise AssertionError("hypothesis made up a token")


def test_a_graph_token_is_no_configs_token_even_if_signed() -> None:
    """The signature covers all members: neither passes for the other."""
    signed = SIGNER.sign(CLAIMS, now_s=1.0, context_key="user:ada")
    with pytest.raises(InvalidTokenError, match="agent graph"):
        SIGNER.verify(signed, now_s=1.0, context_key="user:ada")
    with pytest.raises(InvalidTokenError, match="agent graph"):
        decode_token(encode_graph_token(CLAIMS))
    padded = signed + "=" * (-len(signed) % 4)
    members = {**json.loads(base64.urlsafe_b64decode(padded)), "configKey": "chat"}
    with pytest.raises(InvalidTokenError, match="does not fit"):
        SIGNER.verify(token_of(json.dumps(members)), now_s=1.0, context_key="user:ada")


@pytest.mark.parametrize(
    "change", [{"run_id": "run-2"}, {"graph_key": "t"}, {"version": 4}, {"variation_key": ""}]
)
def test_a_signed_graph_token_cannot_be_altered(change: dict[str, Any]) -> None:
    """Nor used for another context, nor left unsigned."""
    signed = decode_graph_token(SIGNER.sign(CLAIMS, now_s=1.0, context_key="user:ada"))
    altered = encode_graph_token(attrs.evolve(signed, **change))
    with pytest.raises(InvalidTokenError, match="does not fit"):
        SIGNER.verify_graph(altered, now_s=1.0, context_key="user:ada")
    with pytest.raises(InvalidTokenError, match="another context"):
        SIGNER.verify_graph(encode_graph_token(signed), now_s=1.0, context_key="user:bob")
    with pytest.raises(InvalidTokenError, match="not signed"):
        SIGNER.verify_graph(encode_graph_token(CLAIMS), now_s=1.0, context_key="user:ada")
