"""Real LaunchDarkly clients whose flags and events are ours.

Rule for this file: the clients, their stores, evaluators and event processors are LaunchDarkly's own; only
where flags come from and where events go to is set up here.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import attrs
from ldclient import Config, Context, LDClient
from ldclient.async_client import AsyncLDClient
from ldclient.async_config import AsyncConfig
from ldclient.async_feature_store import AsyncInMemoryFeatureStore
from ldclient.feature_store import CacheConfig
from ldclient.feature_store_helpers import CachingStoreWrapper
from ldclient.impl.events.event_processor import DefaultEventProcessor
from ldclient.impl.events.types import EventInputCustom, EventInputEvaluation
from ldclient.integrations.test_data import TestData
from ldclient.versioned_data_kind import FEATURES

__all__ = [
    "Captured",
    "Heard",
    "PersistentCore",
    "async_client",
    "client",
    "client_with_store",
    "flag",
    "flag_source",
    "persistent_store",
]

_NOWHERE = "http://127.0.0.1:9"
_QUIET: dict[str, Any] = {"diagnostic_opt_out": True, "flush_interval": 3600}
"""Events and nothing else, posted when a test says so."""


@attrs.frozen
class Heard:
    """One custom event as it was when the SDK took it; the SDK itself keeps a reference to the data."""

    key: str
    context: Context
    data: Any
    metric_value: Any


@attrs.frozen
class Captured:
    """What went into a client's event processor, in order."""

    customs: list[Heard] = attrs.field(factory=list)
    evaluated: list[str] = attrs.field(factory=list)
    """The keys of the flags that were evaluated."""
    failures: list[Exception] = attrs.field(factory=list)
    """What the next custom events are answered with, one each."""

    def take(self, event: Any) -> None:
        if isinstance(event, EventInputCustom):
            if self.failures:
                raise self.failures.pop(0)
            data = copy.deepcopy(event.data)
            self.customs.append(Heard(event.key, event.context, data, event.metric_value))
        elif isinstance(event, EventInputEvaluation):
            self.evaluated.append(event.key)


def flag_source(flags: Mapping[str, Any]) -> TestData:
    """LaunchDarkly's own test source, serving each value to everybody."""
    source = TestData.data_source()
    for key, value in flags.items():
        source.update(source.flag(key).value_for_all(value))
    return source


def client(
    flags: Mapping[str, Any] | TestData | None = None,
    *,
    events_uri: str | None = None,
    captured: Captured | None = None,
    **options: Any,
) -> LDClient:
    """A started ``LDClient``; its event processor is the SDK's own, listened to if ``captured`` is given.

    Without an ``events_uri`` it sends nothing, and with neither it has no event processor either.
    """
    source = flags if isinstance(flags, TestData) else flag_source(flags or {})
    if captured is not None:
        options["event_processor_class"] = _listening(captured)
    config = Config(
        "sdk-key",
        update_processor_class=source,
        events_uri=events_uri or _NOWHERE,
        send_events=events_uri is not None or captured is not None,
        **_QUIET,
        **options,
    )
    return LDClient(config, start_wait=5)


def _listening(captured: Captured) -> Any:
    class Listening(DefaultEventProcessor):
        def __init__(self, config: Config) -> None:
            # A client that has nowhere to send to need not try at its end.
            self._is_mute = config.events_base_uri == _NOWHERE
            super().__init__(config)

        def send_event(self, event: Any) -> None:
            captured.take(event)
            if not self._is_mute:
                super().send_event(event)

    return Listening


def flag(key: str, value: Any, version: int = 1) -> dict[str, Any]:
    """A flag as LaunchDarkly sends it, serving one value to everybody."""
    return {
        "key": key,
        "version": version,
        "on": True,
        "variations": [value],
        "fallthrough": {"variation": 0},
        "offVariation": 0,
        "salt": "",
    }


async def async_client(
    flags: Mapping[str, Any] | None = None,
    *,
    events_uri: str | None = None,
    store: Any = None,
    **options: Any,
) -> AsyncLDClient:
    """An ``AsyncLDClient``, not started yet, that reads its flags from a store that is filled already.

    ``use_ldd`` is LaunchDarkly's own way of saying that somebody else fills the store.
    """
    if store is None:
        store = AsyncInMemoryFeatureStore()
        await store.init({FEATURES: {key: flag(key, value) for key, value in (flags or {}).items()}})
    config = AsyncConfig(
        "sdk-key",
        use_ldd=True,
        feature_store=store,
        events_uri=events_uri or _NOWHERE,
        send_events=events_uri is not None,
        **_QUIET,
        **options,
    )
    return AsyncLDClient(config)


class PersistentCore:
    """The database behind a persistent store; a test may replace ``before_get`` to slow or break it."""

    def __init__(self, flags: Mapping[str, Any]) -> None:
        self._flags = {key: flag(key, value) for key, value in flags.items()}
        self.asked: list[str] = []

    def before_get(self, key: str) -> None:
        """What happens before an answer."""

    def get_internal(self, kind: Any, key: str) -> Any:
        self.asked.append(key)
        self.before_get(key)
        return self._flags.get(key) if kind is FEATURES else None

    def get_all_internal(self, kind: Any) -> Any:
        return self._flags if kind is FEATURES else {}

    def init_internal(self, all_data: Any) -> None:
        pass

    def initialized_internal(self) -> bool:
        return True

    def is_available(self) -> bool:
        return True


def persistent_store(core: Any) -> CachingStoreWrapper:
    """The SDK's own wrapper of a database, asking it every time."""
    return CachingStoreWrapper(core, CacheConfig.disabled())


def client_with_store(store: Any, *, start_wait: float = 5, **options: Any) -> LDClient:
    """A started ``LDClient`` that reads its flags from such a store and sends no events."""
    settings = {"use_ldd": True, "feature_store": store, "send_events": False, **_QUIET, **options}
    return LDClient(Config("sdk-key", **settings), start_wait=start_wait)
