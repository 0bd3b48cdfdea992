"""What a LaunchDarkly client was configured with, as far as it tells.

Rule for this file: the only one that looks behind the SDK's public face. Nothing in it is needed: a client
that hides its configuration is treated as one that has none.
"""

from __future__ import annotations

from ldclient.feature_store import InMemoryFeatureStore

from ldtrack.core.introductions import Introducing
from ldtrack.core.privacy import Privacy

__all__ = ["has_store_in_memory", "introducing_of", "privacy_of"]


def has_store_in_memory(client: object) -> bool:
    """Whether flags come from the SDK's own store in memory, which never blocks."""
    config = getattr(client, "_config", None)
    data_system = getattr(config, "datasystem_config", None)
    if data_system is not None:
        return getattr(data_system, "data_store", None) is None
    return type(getattr(config, "feature_store", None)) is InMemoryFeatureStore


def privacy_of(client: object) -> Privacy:
    """The attributes that the client's configuration marks as private in all contexts."""
    config = getattr(client, "_config", None)
    return Privacy(
        private_attributes=getattr(config, "private_attributes", None) or (),
        all_attributes_private=getattr(config, "all_attributes_private", False) is True,
    )


def introducing_of(client: object) -> Introducing:
    """How the client's configuration has contexts introduced to LaunchDarkly."""
    config = getattr(client, "_config", None)
    interval = getattr(config, "context_keys_flush_interval", None)
    return Introducing(
        interval=interval if isinstance(interval, int | float) and interval > 0 else Introducing().interval,
        omits_anonymous=getattr(config, "omit_anonymous_contexts", False) is True,
    )
