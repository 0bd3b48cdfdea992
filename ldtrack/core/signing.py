"""Signed tokens: which claims may be trusted, until when, and for whom.

Rule for this file: it decides from what it is given. The clock reading and the context's key come in as
arguments; secrets never come out, and neither does anything that a refused token contains.

A signed token is an ordinary one with four more flat members, which other SDKs ignore:

    kid   which of the signer's keys signed it
    exp   the second, since the epoch, from which it is refused
    ctx   a keyed digest of the context's key, so that the token does not tell whose it is
    sig   HMAC-SHA256 over all other members

The signature covers the members' meaning (sorted, compact JSON), not the token's bytes: a tool that writes
the same members in another order or with other escapes leaves it valid.
"""

from __future__ import annotations

import hmac
import json
import math
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final, TypeVar

import attrs

from ldtrack.core.graph_token import (
    GraphTokenClaims,
    decode_graph_token,
    encode_graph_token,
    graph_members_of,
)
from ldtrack.core.token import (
    JsonScalar,
    TokenClaims,
    base64_of,
    decode_token,
    encode_token,
    is_unicode,
    members_of,
)
from ldtrack.exceptions import InvalidTokenError

__all__ = ["TokenSigner"]

ClaimsT = TypeVar("ClaimsT", TokenClaims, GraphTokenClaims)

MIN_SECRET_BYTES: Final = 16
_CONTEXT_DIGEST_BYTES: Final = 16
_OWN_MEMBERS: Final = frozenset({"kid", "exp", "ctx", "sig"})
_LATEST_S: Final = 1e11
"""The year 5138; later than that, somebody passed milliseconds, and the token would never expire."""

# One secret makes both digests; what they start with keeps the one from passing for the other.
_SIGNATURE_DOMAIN: Final = b"ldtrack.token.signature\n"
_CONTEXT_DOMAIN: Final = b"ldtrack.token.context\n"
_canonical_json: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def _secrets_by_id(keys: Mapping[str, str | bytes]) -> Mapping[str, bytes]:
    if not isinstance(keys, Mapping):
        raise TypeError(
            f"keys must map key ids to secrets, not be {type(keys).__name__}; "
            "for a single secret use TokenSigner.from_key(secret)"
        )
    if not keys:
        raise ValueError("keys must hold at least one secret; the first one signs")
    return MappingProxyType({_checked_id(key_id): _secret_bytes(key_id, keys[key_id]) for key_id in keys})


def _checked_id(key_id: object) -> str:
    if not isinstance(key_id, str):
        raise TypeError(f"a key id must be a str, not {type(key_id).__name__}")
    if not key_id or not is_unicode(key_id):
        raise ValueError("a key id must be valid Unicode text and must not be empty")
    return key_id


def _secret_bytes(key_id: str, secret: object) -> bytes:
    if isinstance(secret, str):
        secret = secret.encode("utf-8", "surrogatepass")
    if not isinstance(secret, bytes):
        raise TypeError(f"the secret of key {key_id!r} must be str or bytes, not {type(secret).__name__}")
    if len(secret) < MIN_SECRET_BYTES:
        raise ValueError(
            f"the secret of key {key_id!r} has {len(secret)} bytes, and needs at least {MIN_SECRET_BYTES}: "
            "make one with secrets.token_urlsafe(32)"
        )
    return secret


def _ttl_seconds(ttl: timedelta | float | None) -> float | None:
    if ttl is None:
        return None
    seconds = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"ttl must be a timedelta or a number of seconds, not {type(ttl).__name__}")
    if not 0 < seconds < _LATEST_S:
        raise ValueError(f"ttl must be a positive, finite time, got {ttl!r}; leave it out for no expiry")
    return seconds


@attrs.frozen(eq=False, repr=False)
class TokenSigner:
    """Signs resumption tokens, and refuses those that are not signed, or no longer good, or another's.

    ``keys`` maps key ids to secrets of at least 16 bytes: the first one signs, all of them verify. To
    rotate, put a new key first and take the old one out once its tokens are no longer wanted. Key ids are
    readable in the token. ``ttl`` is how long a token is good for; ``bind_context`` makes it good only
    for the context it was made for.

    Verifying demands what the signer is configured with, and respects what the token says beyond that:
    an expiry or a context in a signed token counts even where ``ttl`` or ``bind_context`` is off.
    """

    _secrets: Mapping[str, bytes] = attrs.field(alias="keys", converter=_secrets_by_id)
    _ttl_s: float | None = attrs.field(alias="ttl", default=None, converter=_ttl_seconds, kw_only=True)
    _bind_context: bool = attrs.field(
        alias="bind_context", default=True, validator=attrs.validators.instance_of(bool), kw_only=True
    )

    @classmethod
    def from_key(
        cls,
        secret: str | bytes,
        *,
        key_id: str = "default",
        ttl: timedelta | float | None = None,
        bind_context: bool = True,
    ) -> TokenSigner:
        """A signer with a single secret."""
        return cls({key_id: secret}, ttl=ttl, bind_context=bind_context)

    def __repr__(self) -> str:
        ids = ", ".join(map(repr, self._secrets))
        return f"TokenSigner(keys: {ids}; ttl={self._ttl_s}, bind_context={self._bind_context})"

    def sign(self, claims: TokenClaims | GraphTokenClaims, *, now_s: float, context_key: str) -> str:
        """Write claims, of a config's run or a graph's, as a signed token.

        ``now_s`` is the time in seconds since the epoch, ``context_key`` the context's fully qualified key.
        """
        _check_surroundings(now_s, context_key)
        if not _OWN_MEMBERS.isdisjoint(claims.extras):
            raise ValueError(
                "the claims' extras use a name that signing needs (kid, exp, ctx, sig); sign what verify "
                "returned, or choose another name"
            )
        key_id, secret = next(iter(self._secrets.items()))
        extras: dict[str, JsonScalar] = {**claims.extras, "kid": key_id}
        if self._ttl_s is not None:
            extras["exp"] = math.ceil(now_s + self._ttl_s)
        if self._bind_context:
            extras["ctx"] = _context_digest(secret, claims.run_id, context_key)
        extras["sig"] = _signature(secret, _members_of(claims) | extras)
        if isinstance(claims, GraphTokenClaims):
            return encode_graph_token(attrs.evolve(claims, extras=extras))
        return encode_token(attrs.evolve(claims, extras=extras))

    def verify(self, token: object, *, now_s: float, context_key: str) -> TokenClaims:
        """Read a signed token, and return the claims that were signed; raises ``InvalidTokenError``.

        ``now_s`` is the time in seconds since the epoch, ``context_key`` the fully qualified key of the
        context that wants to resume the run.
        """
        _check_surroundings(now_s, context_key)
        return self._verified(decode_token(token), now_s, context_key)

    def verify_graph(self, token: object, *, now_s: float, context_key: str) -> GraphTokenClaims:
        """``verify``, for the token of a graph's run."""
        _check_surroundings(now_s, context_key)
        return self._verified(decode_graph_token(token), now_s, context_key)

    def _verified(self, claims: ClaimsT, now_s: float, context_key: str) -> ClaimsT:
        # First of all the signature: until it holds, the rest is a stranger's word.
        secret = self._authenticated(claims)
        self._require_current(claims, now_s)
        self._require_context(claims, secret, context_key)
        given = {name: value for name, value in claims.extras.items() if name not in _OWN_MEMBERS}
        return attrs.evolve(claims, extras=given)

    def _authenticated(self, claims: TokenClaims | GraphTokenClaims) -> bytes:
        extras = claims.extras
        if "sig" not in extras:
            raise InvalidTokenError(
                "The token is not signed, and this client accepts signed tokens only: configure the same "
                "TokenSigner where tokens are made."
            )
        key_id = extras.get("kid")
        secret = self._secrets.get(key_id) if isinstance(key_id, str) else None
        if secret is None:
            raise InvalidTokenError(
                "The token names no key that this signer has: add the key that signed it to the signer's "
                "keys (the first one signs, all of them verify)."
            )
        if not _is_same(extras["sig"], _signature(secret, _members_of(claims))):
            raise InvalidTokenError(
                "The token's signature does not fit: it was altered, or signed with another secret under the "
                "same key id. Pass the token unchanged, and use the same secret on both sides."
            )
        return secret

    def _require_current(self, claims: TokenClaims | GraphTokenClaims, now_s: float) -> None:
        if "exp" not in claims.extras:
            if self._ttl_s is not None:
                raise InvalidTokenError(
                    "The token has no expiry, and this signer has a ttl: configure the same ttl where "
                    "tokens are made."
                )
            return
        expiry_s = claims.extras["exp"]
        if isinstance(expiry_s, bool) or not isinstance(expiry_s, int):
            raise InvalidTokenError(
                "The token's expiry is not a whole number of seconds: make tokens with TokenSigner.sign."
            )
        if now_s >= expiry_s:
            raise InvalidTokenError(
                "The token has expired: resume runs sooner, or give the signer a longer ttl."
            )

    def _require_context(
        self, claims: TokenClaims | GraphTokenClaims, secret: bytes, context_key: str
    ) -> None:
        if "ctx" not in claims.extras:
            if self._bind_context:
                raise InvalidTokenError(
                    "The token is bound to no context, and this signer binds: configure bind_context=True "
                    "where tokens are made."
                )
            return
        if not _is_same(claims.extras["ctx"], _context_digest(secret, claims.run_id, context_key)):
            raise InvalidTokenError(
                "The token belongs to another context: resume a run with the context that started it."
            )


def _check_surroundings(now_s: object, context_key: object) -> None:
    if isinstance(now_s, bool) or not isinstance(now_s, int | float):
        raise TypeError(f"now_s must be a number of seconds, not {type(now_s).__name__}")
    if not 0 <= now_s < _LATEST_S:
        raise ValueError(f"now_s must be in seconds since the epoch, got {now_s!r}: are these milliseconds?")
    if not isinstance(context_key, str):
        raise TypeError(f"context_key must be a str, not {type(context_key).__name__}")


def _members_of(claims: TokenClaims | GraphTokenClaims) -> dict[str, JsonScalar]:
    return graph_members_of(claims) if isinstance(claims, GraphTokenClaims) else members_of(claims)


def _signature(secret: bytes, members: Mapping[str, JsonScalar]) -> str:
    signed = {name: _canonical(value) for name, value in members.items() if name != "sig"}
    return _digest(secret, _SIGNATURE_DOMAIN, signed)


def _context_digest(secret: bytes, run_id: str, context_key: str) -> str:
    # The run's id is part of it, so that two tokens of one user do not show that they are one user's.
    return _digest(secret, _CONTEXT_DOMAIN, [run_id, context_key], _CONTEXT_DIGEST_BYTES)


def _digest(secret: bytes, domain: bytes, content: Any, size: int | None = None) -> str:
    digest = hmac.digest(secret, domain + _canonical_json(content).encode("ascii"), "sha256")
    return base64_of(digest[:size])


def _canonical(value: JsonScalar) -> JsonScalar:
    # JSON has one kind of number: JavaScript writes 2.0 as 2.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _is_same(given: JsonScalar, expected: str) -> bool:
    # As bytes, because compare_digest refuses text that is not ASCII.
    return isinstance(given, str) and hmac.compare_digest(given.encode("utf-8"), expected.encode("ascii"))
