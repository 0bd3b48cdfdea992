"""Signed tokens: only what was signed, with a known key, in time and for this context, is accepted."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from fractions import Fraction
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldai.tracker import LDAIConfigTracker
from ldclient import Config, Context, LDClient

from ldtrack.core.signing import TokenSigner, _signature
from ldtrack.core.token import TokenClaims, decode_token, encode_token, members_of
from ldtrack.exceptions import InvalidTokenError

SECRET = "correct horse battery staple"
OTHER_SECRET = b"\x00\xff sixteen or more"
NOW = 1_750_000_000.25
ADA = "user:ada"
RUN_ID = "2f1c6f0e-4d9b-4f0c-9a57-0a4f8f0f8b11"
CLAIMS = TokenClaims(RUN_ID, "support-chat", 7, "warm-tone", "graph")
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

SIGNER = TokenSigner({"2026": SECRET, "2025": OTHER_SECRET}, ttl=timedelta(hours=1))
LENIENT = TokenSigner({"2026": SECRET}, bind_context=False)

SECRETS = st.text(min_size=16, max_size=40) | st.binary(min_size=16, max_size=40)
KEYS = st.text(min_size=1, max_size=20)
EXTRAS = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=5),
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10),
    max_size=3,
)
ANY_CLAIMS = st.builds(
    TokenClaims,
    run_id=KEYS,
    config_key=KEYS,
    version=st.integers(-(2**63), 2**63 - 1),
    variation_key=st.text(max_size=20),
    graph_key=st.text(max_size=20),
    extras=EXTRAS,
)
SIGNERS = st.builds(
    TokenSigner.from_key,
    SECRETS,
    key_id=KEYS,
    ttl=st.none() | st.floats(1, 1e9) | st.timedeltas(timedelta(seconds=1), timedelta(days=999)),
    bind_context=st.booleans(),
)
TIMES = st.integers(0, 10**10) | st.floats(0, 1e10)


def signed(signer: TokenSigner = SIGNER, claims: TokenClaims = CLAIMS, **changed: Any) -> str:
    """The token of a run, signed now for Ada unless said otherwise."""
    return signer.sign(claims, **{"now_s": NOW, "context_key": ADA, **changed})


def verified(token: object, signer: TokenSigner = SIGNER, **changed: Any) -> TokenClaims:
    """What a token says, read now for Ada unless said otherwise."""
    return signer.verify(token, **{"now_s": NOW, "context_key": ADA, **changed})


def members_in(token: str) -> dict[str, Any]:
    """The JSON object inside a token."""
    return json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))


def token_of(members: dict[str, Any], **style: Any) -> str:
    """A token with these members, written in some style of JSON."""
    raw = json.dumps(members, **style).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def altered(token: str, **changed: Any) -> str:
    """The token with members changed, or left out where the change is an ellipsis."""
    members = {**members_in(token), **changed}
    return token_of({name: value for name, value in members.items() if value is not ...})


def signed_by_hand(**extras: Any) -> str:
    """A properly signed token with these members, as somebody else who has the secret may make it."""
    claims = attrs.evolve(CLAIMS, extras={"kid": "2026", **extras})
    signature = _signature(SECRET.encode(), members_of(claims))
    return encode_token(attrs.evolve(claims, extras={**claims.extras, "sig": signature}))


def refusal_of(token: object, signer: TokenSigner = SIGNER, **changed: Any) -> str:
    """The sentence with which a token is refused."""
    with pytest.raises(InvalidTokenError, match=r"^[A-Z].*\.$") as refusal:
        verified(token, signer, **changed)
    return str(refusal.value)


class TestAccepting:
    @given(ANY_CLAIMS, SIGNERS, st.text(max_size=30), TIMES)
    def test_round_trip(self, claims, signer, context_key, now_s):
        """What was signed is what comes back, whatever it is, without the members that signing added."""
        token = signer.sign(claims, now_s=now_s, context_key=context_key)
        assert signer.verify(token, now_s=now_s, context_key=context_key) == claims

    def test_members(self):
        """A signed token is an ordinary one with four more flat members, the last ones."""
        members = members_in(signed())
        assert list(members) == [
            *("runId", "configKey", "variationKey", "version", "graphKey"),
            *("kid", "exp", "ctx", "sig"),
        ]
        assert members["kid"] == "2026"
        assert members["exp"] == 1_750_003_601
        assert len(members["ctx"]) == 22
        assert len(members["sig"]) == 43

    def test_fixed_token(self):
        """The same run gives the same token in every release: tokens outlive upgrades."""
        members = members_in(signed())
        assert members["ctx"] == "U8Py5NwIZArWToa3cr2Lhw"
        assert members["sig"] == "opkFe1tryC-gMCiya2rDovkg4lKI3csyBRVgtERA8XY"

    def test_without_ttl_and_context(self):
        """Without a ttl and without binding, only the key's id and the signature are added."""
        assert list(decode_token(signed(LENIENT)).extras) == ["kid", "sig"]

    def test_first_key_signs_and_all_verify(self):
        """After a rotation the new key signs, and tokens of the old one are still good."""
        old = TokenSigner({"2025": OTHER_SECRET}, ttl=3600)
        assert verified(signed(old)) == CLAIMS
        assert members_in(signed())["kid"] == "2026"

    def test_str_and_bytes_secrets_are_one(self):
        """A secret as text is the same secret as its UTF-8 bytes."""
        text, raw = (TokenSigner.from_key(secret) for secret in ("ß" * 8, ("ß" * 8).encode()))
        assert verified(signed(text), raw) == CLAIMS

    def test_secret_from_an_undecodable_environment(self):
        """A secret with surrogates, as undecodable environment variables have, is as good as another."""
        signer = TokenSigner.from_key("\udcff" * 16)
        assert verified(signed(signer), signer) == CLAIMS

    @pytest.mark.parametrize("ttl", [timedelta(seconds=10), 10, 10.0])
    def test_ttl_spellings(self, ttl):
        """A ttl is a timedelta or a number of seconds."""
        assert members_in(signed(TokenSigner.from_key(SECRET, ttl=ttl)))["exp"] == 1_750_000_011

    @pytest.mark.parametrize(("late", "is_good"), [(0, True), (9.75, True), (10.7, True), (10.75, False)])
    def test_ttl_is_never_cut(self, late, is_good):
        """A token is good for its whole ttl, rounded up to a full second, and not after."""
        signer = TokenSigner.from_key(SECRET, ttl=10)
        token = signed(signer)
        if is_good:
            assert verified(token, signer, now_s=NOW + late) == CLAIMS
        else:
            assert "expired" in refusal_of(token, signer, now_s=NOW + late)

    @pytest.mark.parametrize(
        "style",
        [
            {"sort_keys": True},
            {"separators": (",", ":")},
            {"ensure_ascii": False},
            {"indent": 2},
        ],
    )
    def test_written_anew(self, style):
        """A token that some tool wrote anew in its own style of JSON is as good as before."""
        claims = attrs.evolve(CLAIMS, config_key="größe 😀")
        members = members_in(signed(claims=claims))
        assert verified(token_of(members, **style)) == claims

    def test_written_anew_by_javascript(self):
        """A whole number stays good where a tool drops its fraction, as JavaScript does."""
        token = signed(claims=attrs.evolve(CLAIMS, extras={"weight": 2.0}))
        assert members_in(token)["weight"] == 2.0
        assert verified(altered(token, weight=2)).extras == {"weight": 2}

    def test_empty_context_key(self):
        """An invalid context has an empty key; its tokens can be made, and are good for it alone."""
        token = signed(context_key="")
        assert verified(token, context_key="") == CLAIMS
        assert "another context" in refusal_of(token)

    def test_verified_claims_can_be_signed_again(self):
        """What verify returns carries no trace of the old signature, so it can be signed anew."""
        again = signed(claims=verified(signed()), now_s=NOW + 60)
        assert members_in(again)["exp"] == 1_750_003_661


class TestPrivacy:
    def test_context_is_not_readable(self):
        """The token does not tell whose it is, not even to somebody who guesses the key."""
        token = signed()
        assert "ada" not in json.dumps(members_in(token))
        other = TokenSigner.from_key(OTHER_SECRET)
        assert members_in(token)["ctx"] != members_in(signed(other))["ctx"]

    def test_tokens_of_one_user_cannot_be_linked(self):
        """Two runs of one user have different digests of the context."""
        other_run = attrs.evolve(CLAIMS, run_id="7b0ed5a4-5a2c-4a79-8f3e-1f0a2f6d9c55")
        assert members_in(signed())["ctx"] != members_in(signed(claims=other_run))["ctx"]

    def test_run_and_context_do_not_run_together(self):
        """Moving text from the run's id to the context's key makes another digest."""
        one = signed(claims=attrs.evolve(CLAIMS, run_id="ab"), context_key="c")
        other = signed(claims=attrs.evolve(CLAIMS, run_id="a"), context_key="bc")
        assert members_in(one)["ctx"] != members_in(other)["ctx"]

    def test_repr_and_str(self):
        """A signer shows the ids of its keys and its options, and no secret."""
        shown = repr(SIGNER)
        assert shown == "TokenSigner(keys: '2026', '2025'; ttl=3600.0, bind_context=True)"
        assert str(SIGNER) == shown


# What is refused, and what the refusal says. Each row is one rule.
REFUSED: dict[str, tuple[str, str]] = {
    "unsigned": (encode_token(CLAIMS), "The token is not signed"),
    "unsigned, with a key id": (altered(signed(), sig=...), "The token is not signed"),
    "no key id": (altered(signed(), kid=...), "The token names no key that this signer has"),
    "unknown key id": (altered(signed(), kid="2024"), "The token names no key that this signer has"),
    "number as key id": (altered(signed(), kid=2026), "The token names no key that this signer has"),
    "another known key's id": (altered(signed(), kid="2025"), "The token's signature does not fit"),
    "another secret": (
        signed(TokenSigner.from_key(OTHER_SECRET, key_id="2026", ttl=60)),
        "The token's signature does not fit",
    ),
    "number as signature": (altered(signed(), sig=1), "The token's signature does not fit"),
    "null as signature": (altered(signed(), sig=None), "The token's signature does not fit"),
    "empty signature": (altered(signed(), sig=""), "The token's signature does not fit"),
    "signature beyond ASCII": (altered(signed(), sig="é" * 43), "The token's signature does not fit"),
    "context's digest as signature": (
        altered(signed(), sig=members_in(signed())["ctx"]),
        "The token's signature does not fit",
    ),
    "another run": (altered(signed(), runId="r"), "The token's signature does not fit"),
    "another config": (altered(signed(), configKey="c"), "The token's signature does not fit"),
    "another version": (altered(signed(), version=8), "The token's signature does not fit"),
    "another variation": (altered(signed(), variationKey="v"), "The token's signature does not fit"),
    "variation removed": (altered(signed(), variationKey=...), "The token's signature does not fit"),
    "graph removed": (altered(signed(), graphKey=None), "The token's signature does not fit"),
    "extra added": (altered(signed(), more=None), "The token's signature does not fit"),
    "longer life": (altered(signed(), exp=2_000_000_000), "The token's signature does not fit"),
    "expiry removed": (altered(signed(), exp=...), "The token's signature does not fit"),
    "expiry of another type": (altered(signed(), exp="1750003601"), "The token's signature does not fit"),
    "context changed": (altered(signed(), ctx="x"), "The token's signature does not fit"),
    "context removed": (altered(signed(), ctx=...), "The token's signature does not fit"),
    "made without a ttl": (signed(TokenSigner.from_key(SECRET, key_id="2026")), "The token has no expiry"),
    "expired": (signed(now_s=NOW - 3601), "The token has expired"),
    "expired and another's": (signed(now_s=NOW - 3601, context_key="user:bob"), "The token has expired"),
    "text as expiry": (signed_by_hand(exp="1750003601"), "The token's expiry is not a whole number"),
    "fraction as expiry": (signed_by_hand(exp=1750003601.5), "The token's expiry is not a whole number"),
    "boolean as expiry": (signed_by_hand(exp=True), "The token's expiry is not a whole number"),
    "null as expiry": (signed_by_hand(exp=None), "The token's expiry is not a whole number"),
    "made without binding": (
        signed(TokenSigner.from_key(SECRET, key_id="2026", ttl=60, bind_context=False)),
        "The token is bound to no context",
    ),
    "another context": (signed(context_key="user:bob"), "The token belongs to another context"),
    "context of another kind": (signed(context_key="org:ada"), "The token belongs to another context"),
    "number as context": (signed_by_hand(exp=1750003601, ctx=1), "The token belongs to another context"),
    "context beyond ASCII": (signed_by_hand(exp=1750003601, ctx="é"), "The token belongs to another context"),
    "not a token": ("hello", "The token is not "),
}


class TestRefusing:
    @pytest.mark.parametrize("rule", REFUSED)
    def test_rule(self, rule):
        """Each kind of token that must not be trusted is refused with its own sentence."""
        token, said = REFUSED[rule]
        assert refusal_of(token).startswith(said)

    @pytest.mark.parametrize("rule", REFUSED)
    def test_refusals_tell_nothing(self, rule):
        """No refusal repeats the token, anything in it, or a secret."""
        token, _ = REFUSED[rule]
        said = refusal_of(token)
        hidden = [token, SECRET, repr(OTHER_SECRET), RUN_ID, "support-chat", "warm-tone", "2026", "2025"]
        assert [text for text in hidden if text in said] == []

    def test_signature_is_looked_at_first(self):
        """A forged token hears of its signature, not of what else would have been wrong with it."""
        token = altered(signed(now_s=NOW - 3601, context_key="user:bob"), version=8)
        assert "signature does not fit" in refusal_of(token)

    def test_expiry_counts_without_ttl(self):
        """An expiry that was signed counts for a signer without a ttl, too."""
        expired = signed(TokenSigner.from_key(SECRET, key_id="2026", ttl=1, bind_context=False))
        assert verified(expired, LENIENT) == CLAIMS
        assert "expired" in refusal_of(expired, LENIENT, now_s=NOW + 2)

    def test_context_counts_without_binding(self):
        """A context that was signed counts for a signer that does not bind, too."""
        bound = signed(TokenSigner.from_key(SECRET, key_id="2026"))
        assert verified(bound, LENIENT) == CLAIMS
        assert "another context" in refusal_of(bound, LENIENT, context_key="user:bob")

    def test_retired_key(self):
        """Tokens of a key that was taken out are refused."""
        retired = TokenSigner({"2026": SECRET}, ttl=3600)
        assert "no key" in refusal_of(signed(TokenSigner({"2025": OTHER_SECRET}, ttl=60)), retired)

    def test_any_changed_character(self):
        """Every change of a single character of a token is refused."""
        token = signed()
        for at, right in enumerate(token):
            for wrong in ALPHABET.replace(right, ""):
                with pytest.raises(InvalidTokenError, match=r"\.$"):
                    verified(token[:at] + wrong + token[at + 1 :])

    def test_any_missing_character(self):
        """Every loss of a single character, and every loss of the token's end, is refused."""
        token = signed()
        for at in range(len(token)):
            refusal_of(token[:at] + token[at + 1 :])
            refusal_of(token[:at])

    @given(ANY_CLAIMS, st.data())
    def test_changed_character_never_changes_the_meaning(self, claims, data):
        """Whatever was signed, with one character changed it is refused or says exactly the same.

        It may say the same: JSON spells some characters in two ways, Base64 has two alphabets.
        """
        token = signed(claims=claims)
        at = data.draw(st.integers(0, len(token) - 1))
        changed = (
            token[:at] + data.draw(st.sampled_from(ALPHABET + "+/=") | st.characters()) + token[at + 1 :]
        )
        try:
            read = verified(changed)
        except InvalidTokenError:
            return
        assert read == claims
        assert decode_token(changed) == decode_token(token)

    @given(st.text() | st.binary() | st.none() | st.integers() | st.builds(encode_token, ANY_CLAIMS))
    def test_arbitrary_input(self, token):
        """Whatever this signer did not sign is refused as an invalid token, and no other way."""
        refusal_of(token)


class TestMisuse:
    """A mistake of the caller's is a TypeError or a ValueError, never a refused token."""

    @pytest.mark.parametrize(
        ("keys", "error", "said"),
        [
            (
                SECRET,
                TypeError,
                r"^keys must map .* not be str; for a single secret use TokenSigner.from_key",
            ),
            (None, TypeError, "^keys must map key ids to secrets, not be NoneType"),
            ({}, ValueError, "^keys must hold at least one secret"),
            ({1: SECRET}, TypeError, "^a key id must be a str, not int$"),
            ({"": SECRET}, ValueError, "^a key id must be valid Unicode text and must not be empty$"),
            ({"\ud800": SECRET}, ValueError, "^a key id must be valid Unicode text and must not be empty$"),
            ({"k": None}, TypeError, "^the secret of key 'k' must be str or bytes, not NoneType$"),
            ({"k": bytearray(32)}, TypeError, "^the secret of key 'k' must be str or bytes, not bytearray$"),
            (
                {"k": "fifteen-letters"},
                ValueError,
                "^the secret of key 'k' has 15 bytes, and needs at least 16",
            ),
            ({"a": SECRET, "k": b""}, ValueError, "^the secret of key 'k' has 0 bytes"),
        ],
    )
    def test_keys(self, keys, error, said):
        """Keys that could not protect anything are refused at once, without showing them."""
        with pytest.raises(error, match=said) as refusal:
            TokenSigner(keys)
        assert not isinstance(refusal.value, InvalidTokenError)
        assert SECRET not in str(refusal.value)
        assert "fifteen" not in str(refusal.value)

    @pytest.mark.parametrize(
        ("ttl", "error"),
        [
            (0, ValueError),
            (-1, ValueError),
            (timedelta(0), ValueError),
            (timedelta.max, ValueError),
            (float("nan"), ValueError),
            (float("inf"), ValueError),
            (True, TypeError),
            ("60", TypeError),
            (Fraction(1, 2), TypeError),
        ],
    )
    def test_ttl(self, ttl, error):
        """A ttl is a positive, finite time."""
        with pytest.raises(error, match=r"^ttl must be a "):
            TokenSigner.from_key(SECRET, ttl=ttl)

    def test_bind_context(self):
        """Binding is on or off; a word for it, which is always true, is refused."""
        with pytest.raises(TypeError, match="bind_context"):
            TokenSigner.from_key(SECRET, bind_context="no")

    @pytest.mark.parametrize(
        ("now_s", "error"),
        [
            (None, TypeError),
            (True, TypeError),
            ("now", TypeError),
            (float("nan"), ValueError),
            (float("inf"), ValueError),
            (-1, ValueError),
            (NOW * 1000, ValueError),
        ],
    )
    def test_now(self, now_s, error):
        """A time that is no time in seconds would make tokens immortal, so it is refused on both sides."""
        with pytest.raises(error, match=r"^now_s must be "):
            signed(now_s=now_s)
        with pytest.raises(error, match=r"^now_s must be ") as refusal:
            verified(signed(), now_s=now_s)
        assert not isinstance(refusal.value, InvalidTokenError)

    @pytest.mark.parametrize("context_key", [None, b"user:ada"])
    def test_context_key(self, context_key):
        """A context's key is text."""
        with pytest.raises(TypeError, match=r"^context_key must be a str, not "):
            signed(context_key=context_key)
        with pytest.raises(TypeError, match=r"^context_key must be a str, not "):
            verified(signed(), context_key=context_key)

    @pytest.mark.parametrize("name", ["kid", "exp", "ctx", "sig"])
    def test_reserved_extras(self, name):
        """Claims that already use a name of signing's are not signed."""
        with pytest.raises(ValueError, match=r"^the claims' extras use a name that signing needs"):
            signed(claims=attrs.evolve(CLAIMS, extras={name: "x"}))

    def test_frozen(self):
        """A signer does not change, and shares nothing with the mapping it was made from."""
        keys = {"2026": SECRET}
        signer = TokenSigner(keys, ttl=3600)
        keys["2026"] = "some other long secret"
        assert verified(signed(), signer) == CLAIMS
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            signer._bind_context = False
        with pytest.raises(TypeError, match="does not support item assignment"):
            signer._secrets["2024"] = b"another long secret"


class TestOtherSdks:
    @pytest.mark.parametrize("signer", [SIGNER, LENIENT], ids=["all members", "least members"])
    def test_official_python_resumes(self, signer):
        """The official package, on a real client, resumes a signed token like any other."""
        token = signed(signer)
        with LDClient(Config("no-key", offline=True)) as client:
            result = LDAIConfigTracker.from_resumption_token(token, client, Context.create("ada"))
        assert result.is_success(), result.error
        assert decode_token(result.value.resumption_token) == CLAIMS

    @given(ANY_CLAIMS)
    def test_flat(self, claims):
        """Nothing in a signed token is nested, which parsers written by hand rely on."""
        values = members_in(signed(claims=claims)).values()
        assert not [value for value in values if isinstance(value, dict | list)]
