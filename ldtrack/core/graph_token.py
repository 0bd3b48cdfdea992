"""Resumption tokens of a graph's run, in the form of LaunchDarkly's JavaScript, .NET, Java and Go SDKs.

Rule for this file: that of ``token``; only the members are others, and so is their order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

import attrs

from ldtrack.core.token import (
    NO_EXTRAS,
    JsonScalar,
    check_key,
    check_text,
    check_version,
    claims_from,
    frozen_extras,
    names_of,
    read_members,
    text_token_of,
)
from ldtrack.exceptions import InvalidTokenError

__all__ = ["GraphTokenClaims", "decode_graph_token", "encode_graph_token", "graph_members_of"]

_ATTRIBUTE_OF: Final = {
    "runId": "run_id",
    "graphKey": "graph_key",
    "variationKey": "variation_key",
    "version": "version",
}
"""The official members, in the official order."""
_MAY_BE_NULL: Final = frozenset({"variationKey"})
_compact_json: Final = json.JSONEncoder(separators=(",", ":")).encode


@attrs.frozen
class GraphTokenClaims:
    """What a token says about a graph's run; ``extras`` are further members, flat ones only."""

    run_id: str = attrs.field(validator=check_key)
    graph_key: str = attrs.field(validator=check_key)
    version: int = attrs.field(validator=check_version)
    variation_key: str = attrs.field(default="", validator=check_text)
    extras: Mapping[str, JsonScalar] = attrs.field(
        default=NO_EXTRAS, converter=frozen_extras, hash=False, repr=names_of
    )


def graph_members_of(claims: GraphTokenClaims) -> dict[str, JsonScalar]:
    """The members of the token that says this, in their order; an empty variation key is left out."""
    members: dict[str, JsonScalar] = {"runId": claims.run_id, "graphKey": claims.graph_key}
    if claims.variation_key:
        members["variationKey"] = claims.variation_key
    return {**members, "version": claims.version, **claims.extras}


def encode_graph_token(claims: GraphTokenClaims) -> str:
    """Write claims as a token: unpadded URL-safe Base64 of compact, flat, plain ASCII JSON."""
    return text_token_of(_compact_json(graph_members_of(claims)))


def decode_graph_token(token: object) -> GraphTokenClaims:
    """Read the graph token of any of LaunchDarkly's SDKs; anything else raises ``InvalidTokenError``."""
    members = read_members(token)
    if members.pop("configKey", None) is not None:
        raise InvalidTokenError(
            "This is the token of a config's run, not of an agent graph's: it has a configKey. "
            "Pass a graph tracker's resumption_token instead."
        )
    return claims_from(members, GraphTokenClaims, _ATTRIBUTE_OF, may_be_null=_MAY_BE_NULL)
