"""Resumption tokens of this client: signed if it has a signer, of a config's run or of a graph's.

Rule for this file: it knows who signs, what time it is and which context is asked about. What is in a token
is for ``core`` to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ldtrack.core.events import Attribution, GraphAttribution
from ldtrack.core.graph_token import GraphTokenClaims, decode_graph_token, encode_graph_token
from ldtrack.core.token import TokenClaims, decode_token, encode_token
from ldtrack.exceptions import InvalidTokenError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ldclient import Context

    from ldtrack.core.signing import TokenSigner
    from ldtrack.core.token import JsonScalar
    from ldtrack.typing import Clock

__all__ = ["RunTokens", "parent_in"]

PARENT: Final = "parentRunId"
"""An extra member, which other SDKs ignore."""
_NO_EXTRAS: Final[Mapping[str, JsonScalar]] = {}


class RunTokens:
    """Writes and reads the tokens of runs."""

    def __init__(self, signer: TokenSigner | None, clock: Clock) -> None:
        self._signer = signer
        self._clock = clock

    def write(
        self,
        run_id: str,
        attribution: Attribution | GraphAttribution,
        context: Context,
        parent_run_id: str | None = None,
    ) -> str:
        """The token of a run."""
        extras = _NO_EXTRAS if parent_run_id is None else {PARENT: parent_run_id}
        signer = self._signer
        if isinstance(attribution, GraphAttribution):
            graph = GraphTokenClaims(
                run_id, attribution.graph_key, attribution.version, attribution.variation_key, extras
            )
            return encode_graph_token(graph) if signer is None else self._signed(signer, graph, context)
        claims = TokenClaims(
            run_id,
            attribution.config_key,
            attribution.version,
            attribution.variation_key,
            attribution.graph_key,
            extras,
        )
        return encode_token(claims) if signer is None else self._signed(signer, claims, context)

    def _signed(self, signer: TokenSigner, claims: TokenClaims | GraphTokenClaims, context: Context) -> str:
        return signer.sign(claims, now_s=self._clock.time(), context_key=context.fully_qualified_key)

    def read(self, token: str, context: Context) -> TokenClaims:
        """What the token of a config's run says; raises ``InvalidTokenError`` if it is not to be trusted."""
        if self._signer is None:
            return decode_token(token)
        key = context.fully_qualified_key
        return self._signer.verify(token, now_s=self._clock.time(), context_key=key)

    def read_graph(self, token: str, context: Context) -> GraphTokenClaims:
        """What the token of a graph's run says; raises ``InvalidTokenError`` if that is not to be trusted."""
        if self._signer is None:
            return decode_graph_token(token)
        key = context.fully_qualified_key
        return self._signer.verify_graph(token, now_s=self._clock.time(), context_key=key)


def parent_in(extras: Mapping[str, JsonScalar]) -> str | None:
    """The parent's run id that a token names, if it names one."""
    parent = extras.get(PARENT)
    if parent is not None and (not isinstance(parent, str) or not parent):
        raise InvalidTokenError(
            f"The token is malformed, its {PARENT} must be text that is not empty: "
            "pass the text of a tracker's resumption_token unchanged."
        )
    return parent
