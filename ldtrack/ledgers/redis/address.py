"""Where a ledger's Redis is: one server, a cluster, or whichever server a Sentinel calls the master.

Rule for this file: from a URL to the driver's clients, which connect when they are first used. A sentence
never quotes a URL: it may hold a password.
"""

from __future__ import annotations

import contextlib
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs
import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.connection import parse_url
from redis.exceptions import ConnectionError as LostError
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from ldtrack.ledgers.redis.errors import DRIVER_ERRORS, understood
from ldtrack.ledgers.store import UnavailableError

__all__ = ["Address", "Client", "let_go"]

Client: TypeAlias = "redis.Redis | RedisCluster"

_BY_SENTINEL: Final = re.compile(
    r"(?P<scheme>rediss?)\+sentinel://(?:(?P<user>[^/?#]*)@)?(?P<hosts>[^/?#@]+)/(?P<service>[^/?#]+)"
    r"(?P<rest>(?:/\d*)?(?:\?[^#]*)?)"
)
SENTINELS_PORT: Final = 26379
_FILES: Final = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
"""Options that name files. That one is missing would look as if the server was."""


class _Asking(Sentinel):
    """Sentinels that say why none of them names the master, where that is for good."""

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """The master's address; a refused password or certificate is raised as it is."""
        try:
            found: tuple[str, int] = cast("Any", super()).discover_master(service_name)
        except MasterNotFoundError as error:
            # The driver tells what kind of error it was, and goes on. What takes its time is not asked again.
            if "TimeoutError" not in str(error):
                self._raise_what_lasts()
            raise
        return found

    def _raise_what_lasts(self) -> None:
        for one in self.sentinels:
            try:
                one.ping()
            except DRIVER_ERRORS as error:
                if not isinstance(understood(error), UnavailableError):
                    raise


@attrs.frozen
class _Sentinels:
    """Who knows which server is the master."""

    hosts: tuple[tuple[str, int], ...]
    service: str


class Address:
    """A ledger's URL, with how long connecting and an answer may take, and further options for the driver."""

    def __init__(self, url: object, *, timeout: float, driver: Mapping[str, Any]) -> None:
        if not isinstance(url, str):
            raise TypeError(f"url must be a str, such as 'redis://host:6379/0', not {type(url).__name__}")
        self._url, self._sentinels = _read(url)
        self._timeout = timeout
        self._options = dict(driver)
        self._sentinels_options = dict(self._options.pop("sentinel_kwargs", {}))
        given = {**dict(parse_qsl(urlsplit(self._url).query)), **self._options}
        self._trusts_anybody = given.get("ssl_cert_reqs") in (ssl.CERT_NONE, "none")
        for name in _FILES & given.keys():
            if given[name] is not None and not Path(given[name]).is_file():
                raise ValueError(f"{name} is {str(given[name])!r}, and there is no such file")

    @property
    def shown(self) -> str:
        """For logs: without a password, and without whatever else a query may hold."""
        if self._sentinels is not None:
            hosts = ",".join(f"{host}:{port}" for host, port in self._sentinels.hosts)
            return f"{hosts}/{self._sentinels.service}"
        parts = urlsplit(self._url)
        return parts.netloc.rpartition("@")[2] + parts.path

    def server(self) -> redis.Redis:
        """A client of the server, or of the one that is the master when it connects."""
        if self._sentinels is None:
            return redis.Redis.from_url(self._url, **self._all_options())
        options = self._all_options() | _of_url(self._url)
        shared = {name: value for name, value in options.items() if name == "ssl" or name[:4] in _FOR_ALL}
        # All of them may have to be asked in the time that there is for connecting.
        share = self._timeout / 2 / len(self._sentinels.hosts)
        times = {"socket_timeout": share, "socket_connect_timeout": share}
        sentinel: Any = cast("Any", _Asking)(
            self._sentinels.hosts,
            sentinel_kwargs={**shared, **times, "protocol": 2, **self._sentinels_options},
            **options,
        )
        client: redis.Redis = sentinel.master_for(self._sentinels.service)
        return client

    def cluster(self) -> RedisCluster:
        """A client of the cluster that the server is one of."""
        return RedisCluster.from_url(self._url, **self._all_options())

    def _all_options(self) -> dict[str, Any]:
        parts = urlsplit(self._url)
        own: dict[str, Any] = {
            # A call may be repeated: rows name their claimants, batches their owners. So a connection that
            # was cut meanwhile is made anew at once, and a server that does not answer is not asked again.
            "retry": Retry(NoBackoff(), 1, (LostError,)),
            "socket_timeout": self._timeout / 2,
            "protocol": 2,
        }
        if parts.scheme != "unix":
            own |= {"socket_connect_timeout": self._timeout / 2, "socket_keepalive": True}
        if parts.scheme == "rediss" and not self._trusts_anybody:
            # Until redis-py 6 a certificate for any name would do.
            own["ssl_check_hostname"] = True
        return own | self._options


_FOR_ALL: Final = ("ssl_", "retr")
"""How the names of those options begin that are for Sentinels as well."""


def let_go(client: Client) -> None:
    """Close its connections, also those to Sentinels."""
    clients = [client]
    if isinstance(client, redis.Redis):
        sentinels = getattr(client.connection_pool, "sentinel_manager", None)
        clients += [] if sentinels is None else sentinels.sentinels
    for one in clients:
        with contextlib.suppress(OSError, *DRIVER_ERRORS):
            one.close()


def _read(url: str) -> tuple[str, _Sentinels | None]:
    """The URL, and who knows the server in its place; it is then that of any server of theirs.

    Who forgets to quote a password has it in the port: what is no URL is refused without quoting it.
    """
    by_sentinel = _BY_SENTINEL.fullmatch(url)
    try:
        if by_sentinel is not None:
            parts = by_sentinel.groupdict(default="")
            user = f"{parts['user']}@" if parts["user"] else ""
            hosts = tuple(map(_host_of, parts["hosts"].split(",")))
            plain = f"{parts['scheme']}://{user}the.master{parts['rest']}"
            return plain, _Sentinels(hosts, unquote(parts["service"]))
        _ = urlsplit(url).port
        is_url = url.startswith(("redis://", "rediss://", "unix://"))
    except ValueError:
        is_url = False
    if not is_url:
        raise ValueError(
            "url is not the address of a Redis server, such as 'redis://user:password@host:6379/0', nor of "
            "one that Sentinels know, such as 'redis+sentinel://user:password@host:26379,host:26379/service/0'"
            "; in a password, / ? # and @ are written as %2F %3F %23 and %40"
        ) from None
    return url, None


def _host_of(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError
    return parts.hostname, parts.port or SENTINELS_PORT


def _of_url(url: str) -> dict[str, Any]:
    """What a URL says besides where the server is."""
    found: dict[str, Any] = cast("Any", parse_url)(url)
    found["ssl"] = found.pop("connection_class", None) is not None
    del found["host"]
    return found
