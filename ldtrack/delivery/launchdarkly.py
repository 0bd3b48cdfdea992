"""LaunchDarkly's event endpoint as a destination.

Rule for this file: what LaunchDarkly's endpoint wants to hear. Rows arrive redacted and spelled; nothing
here reads an event.
"""

from __future__ import annotations

import asyncio
import functools
import gzip
import logging
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Self

from ldtrack.core.batch import Batch
from ldtrack.core.options import (
    given,
    require_clock,
    require_flags,
    require_kinds,
    require_positive,
    require_texts,
)
from ldtrack.core.receipts import Receipt, Verdict
from ldtrack.delivery.answers import date_of, in_short, receipt_of
from ldtrack.delivery.daemon import in_daemon
from ldtrack.delivery.http import Attempt, Connections, Reply, Route
from ldtrack.ids import SDK_NAME, VERSION, SystemClock
from ldtrack.typing import Clock

if TYPE_CHECKING:
    from ldclient import Config
    from ldclient.async_config import AsyncConfig

__all__ = ["LaunchDarklyEvents"]

_log = logging.getLogger("ldtrack")

_EVENTS_URI: Final = "https://events.launchdarkly.com"
_SCHEMA: Final = "4"
_FASTEST: Final = 1
"""How hard gzip tries: events shrink to a tenth at this level already."""
_LONGEST_KEY: Final = 8192
_LONGEST_TAG: Final = 64
_NOT_PLAIN: Final = re.compile(r"[^a-zA-Z0-9._-]")
_USER: Final = re.compile(r"(?<=://)[^/]*@")
_TOLERABLE_SKEW: Final = 300.0
"""Seconds by which two clocks may differ before it is worth a word."""


class LaunchDarklyEvents:
    """Posts batches to LaunchDarkly, or to a Relay Proxy, each under its own lasting payload id.

    ``sdk_key`` may be a function, which is asked before each post, so that a key can change. Nothing is
    retried here: a receipt says how one post went.
    """

    def __init__(
        self,
        sdk_key: str | Callable[[], str],
        *,
        events_uri: str = _EVENTS_URI,
        application: Mapping[str, str] | None = None,
        wrapper_name: str = "",
        wrapper_version: str = "",
        compress: bool = True,
        connect_timeout: float = 10,
        read_timeout: float = 15,
        total_timeout: float = 30,
        http_proxy: str | None = None,
        ca_certs: str | None = None,
        cert_file: str | None = None,
        disable_ssl_verification: bool = False,
        clock: Clock | None = None,
    ) -> None:
        if not callable(sdk_key) and (complaint := _complaint_of(sdk_key)):
            raise ValueError(f"sdk_key {complaint}: take it from your project's settings in LaunchDarkly")
        texts = given(http_proxy=http_proxy, ca_certs=ca_certs, cert_file=cert_file)
        require_texts(
            events_uri=events_uri, wrapper_name=wrapper_name, wrapper_version=wrapper_version, **texts
        )
        require_flags(compress=compress, disable_ssl_verification=disable_ssl_verification)
        require_clock(clock)
        _require_address(events_uri)
        require_positive(total_timeout=total_timeout)
        # A client's config may have none of these; then the total limit is the only one.
        require_positive(**given(connect_timeout=connect_timeout, read_timeout=read_timeout))
        self._key = sdk_key if callable(sdk_key) else lambda: sdk_key
        self._headers = _lasting_headers(application or {}, wrapper_name, wrapper_version, compress=compress)
        self._compress = compress
        self._total_timeout = total_timeout
        self._clock: Clock = SystemClock() if clock is None else clock
        self._connections = Connections(
            Route(
                uri=events_uri.rstrip("/") + "/bulk",
                connect_timeout=connect_timeout,
                read_timeout=read_timeout,
                http_proxy=http_proxy,
                ca_certs=ca_certs,
                cert_file=cert_file,
                disable_ssl_verification=disable_ssl_verification,
            )
        )
        self.clock_skew: float | None = None
        """Seconds by which LaunchDarkly's clock was ahead of ours at its last answer."""
        self._said_skew = False

    @classmethod
    def from_config(cls, config: Config | AsyncConfig, **options: Any) -> Self:
        """One that posts where and as a client with this config does; ``options`` override it.

        Posts are compressed unless ``compress=False`` is given, whatever the config says. Private
        attributes are redacted when events are recorded, by the config of the client that records them.
        """
        if not hasattr(config, "events_base_uri"):
            raise TypeError(f"config must be the Config of an LDClient, not {type(config).__name__}")
        if config.offline:
            raise ValueError("the config is offline: nothing may be sent; leave the destination out")
        http = config.http
        settings = {
            "events_uri": config.events_base_uri,
            "application": config.application,
            "wrapper_name": config.wrapper_name or "",
            "wrapper_version": config.wrapper_version or "",
            "connect_timeout": http.connect_timeout,
            "read_timeout": http.read_timeout,
            "http_proxy": http.http_proxy,
            "ca_certs": http.ca_certs,
            "cert_file": http.cert_file,
            "disable_ssl_verification": http.disable_ssl_verification,
        }
        return cls(options.pop("sdk_key", config.sdk_key or ""), **(settings | options))

    def __repr__(self) -> str:
        uri = _without_user(self._connections.route.uri.removesuffix("/bulk"))
        return f"LaunchDarklyEvents(events_uri={uri!r})"

    async def deliver(self, batch: Batch) -> Receipt:
        """Post one batch, once, and say how it went.

        Cancelling it cuts the connection and leaves open whether the batch arrived.
        """
        attempt = Attempt()
        host = self._connections.route.host
        try:
            async with asyncio.timeout(self._total_timeout):
                return await in_daemon(functools.partial(self._post, batch, attempt))
        except TimeoutError:
            return Receipt(Verdict.LATER, f"{host} did not answer within {self._total_timeout:g} s")
        finally:
            attempt.cut()

    async def aclose(self) -> None:
        """Close the connections that are open; no wait to cancel, and a later delivery opens new ones."""
        self._connections.close()

    def _post(self, batch: Batch, attempt: Attempt) -> Receipt:
        """One attempt, blocking."""
        try:
            key = self._key()
            complaint = _complaint_of(key)
        except Exception as error:  # noqa: BLE001 - no key is a verdict; the error's text may hold one
            key, complaint = "", f"cannot be had: its function raised {type(error).__name__}"
        if complaint:
            return Receipt(Verdict.LOCKED, f"the SDK key {complaint}")
        host = self._connections.route.host
        headers = {**self._headers, "Authorization": key, "X-LaunchDarkly-Payload-ID": batch.payload_id}
        try:
            reply = self._connections.post(attempt, headers, _body_of(batch, compress=self._compress))
        except Exception as error:  # noqa: BLE001 - whatever a network does is a verdict
            reason = f"{host} gave no answer: {type(error).__name__}: {error}"
            return Receipt(Verdict.LATER, in_short(reason, key))
        now = self._clock.time()
        self._compare_clocks(reply, now)
        return receipt_of(reply, host, now, key)

    def _compare_clocks(self, reply: Reply, now: float) -> None:
        its_now = date_of(reply.headers)
        if its_now is None:
            return
        self.clock_skew = its_now - now
        if abs(self.clock_skew) > _TOLERABLE_SKEW and not self._said_skew:
            self._said_skew = True
            _log.warning(
                "The clock of %s is %d seconds away from this machine's. Events say when they were recorded "
                "by the clock of the machine that recorded them: if that one is wrong, set it.",
                self._connections.route.host,
                abs(self.clock_skew),
            )


def _body_of(batch: Batch, *, compress: bool) -> bytes:
    text = f"[{','.join(batch.bodies)}]"
    # Bodies are ASCII. In one from elsewhere, half a surrogate pair becomes JSON's own escape of it.
    body = text.encode("utf-8", "backslashreplace")
    # Without a time in it a repeat is the same to the last byte.
    return gzip.compress(body, _FASTEST, mtime=0) if compress else body


def _lasting_headers(
    application: Mapping[str, str], wrapper_name: str, wrapper_version: str, *, compress: bool
) -> dict[str, str]:
    """The headers that all posts share."""
    require_kinds({"application": Mapping}, {"application": application})
    headers = {
        "User-Agent": f"{SDK_NAME}/{VERSION}",
        "Content-Type": "application/json",
        "X-LaunchDarkly-Event-Schema": _SCHEMA,
    }
    if compress:
        headers["Content-Encoding"] = "gzip"
    tags = [
        f"application-{part}/{_tag(part, application[part])}"
        for part in ("id", "version")
        if application.get(part)
    ]
    if tags:
        headers["X-LaunchDarkly-Tags"] = " ".join(tags)
    if wrapper_name:
        headers["X-LaunchDarkly-Wrapper"] = "/".join(filter(None, (wrapper_name, wrapper_version)))
    return headers


def _tag(part: str, value: str) -> str:
    require_texts(**{f"application[{part!r}]": value})
    if len(value) > _LONGEST_TAG or _NOT_PLAIN.search(value):
        raise ValueError(
            f"application[{part!r}] is {value!r}: LaunchDarkly takes up to {_LONGEST_TAG} letters, digits, "
            f"dots, underscores and hyphens"
        )
    return value


def _require_address(events_uri: str) -> None:
    if not re.match(r"https?://[^/]", events_uri):
        shown = _without_user(events_uri)
        raise ValueError(f"events_uri must begin with https:// or http:// and a host, not {shown!r}")


def _without_user(uri: str) -> str:
    """The address without the name and the password that it may hold."""
    return _USER.sub("", uri)


def _complaint_of(key: object) -> str:
    """What is wrong with an SDK key, never quoting it, or nothing."""
    if not isinstance(key, str):
        return f"is a {type(key).__name__}, not text"
    if not key:
        return "is empty"
    if len(key) > _LONGEST_KEY:
        return f"is longer than {_LONGEST_KEY} characters"
    if _NOT_PLAIN.search(key):
        return "holds characters that no SDK key has; look for spaces and line ends"
    return ""
