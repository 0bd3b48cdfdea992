"""Ledgers on servers that speak TLS: whom they trust, whom they do not, and what they say of it."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import servers
import trustme
from sentinel_server import SERVICE, Sentinel
from store_kits import a_row

from ldtrack.exceptions import LedgerError
from ldtrack.ledgers.postgres import PostgresStore
from ldtrack.ledgers.postgres.faults import meaning_of
from ldtrack.ledgers.redis import RedisLedger, RedisStore
from ldtrack.ledgers.redis.errors import understood
from ldtrack.ledgers.store import UnavailableError

HERE, ELSEWHERE = "127.0.0.1", "elsewhere.example"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signs the servers' certificates, and those of clients that are let in."""
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What clients have: our authority, somebody else's, and a certificate of each."""
    folder = tmp_path_factory.mktemp("tls")
    for name, signs in {"ours": authority, "theirs": trustme.CA()}.items():
        signs.cert_pem.write_to_path(str(folder / f"{name}.pem"))
        certificate = folder / f"client-of-{name}.pem"
        signs.issue_cert("ada").private_key_and_cert_chain_pem.write_to_path(str(certificate))
        certificate.chmod(0o600)
    return folder


def install(server: servers.PostgresServer | servers.RedisServer, authority: trustme.CA, name: str) -> None:
    """Give the server a certificate for that name, in files of its own."""
    certificate = authority.issue_cert(name)
    texts = {
        "tls.key": certificate.private_key_pem,
        "tls.crt": certificate.cert_chain_pems[0],
        "tls.ca": authority.cert_pem,
    }
    owner = server.data.stat()
    for file, text in texts.items():
        path = server.data / file
        text.write_to_path(str(path))
        os.chown(path, owner.st_uid, owner.st_gid)
        path.chmod(0o600)


# PostgreSQL


@pytest.fixture(scope="module")
def safe_postgres(
    postgres_of_session: servers.PostgresServer, authority: trustme.CA
) -> Iterator[servers.PostgresServer]:
    """The tests' own server, which speaks TLS for a while."""
    server = postgres_of_session
    server.ensure()
    install(server, authority, HERE)
    server.configure(ssl="on", ssl_cert_file="tls.crt", ssl_key_file="tls.key", ssl_ca_file="tls.ca")
    server.restart()
    yield server
    server.configure(ssl="off")
    (server.data / "pg_hba.conf").write_text(servers.HBA)
    server.restart()


@pytest.fixture
def new_postgres(safe_postgres: servers.PostgresServer) -> Iterator[Callable[..., PostgresStore]]:
    """Opens a store with such parts in its connection string."""
    stores: list[PostgresStore] = []

    def make(**parts: object) -> PostgresStore:
        stores.append(PostgresStore(safe_postgres.dsn(**parts), timeout=10.0))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


def test_postgres_is_trusted_if_its_authority_is(
    new_postgres: Callable[..., PostgresStore], files: Path
) -> None:
    """And the connection is encrypted."""
    store = new_postgres(sslmode="verify-full", sslrootcert=files / "ours.pem")
    assert store.record([a_row()]) == [True]
    with store._session as connection:
        assert connection.pgconn.ssl_in_use


def test_postgres_with_a_certificate_of_anybody_else_is_refused(
    new_postgres: Callable[..., PostgresStore], files: Path
) -> None:
    """At once: to try again would not help. The sentence says what to do."""
    store = new_postgres(sslmode="verify-full", sslrootcert=files / "theirs.pem")
    with pytest.raises(LedgerError, match=r"not to be trusted; give .* sslrootcert.*verify failed"):
        store.record([a_row()])


def test_postgres_by_another_name_is_refused(
    safe_postgres: servers.PostgresServer, new_postgres: Callable[..., PostgresStore], files: Path
) -> None:
    """A certificate is for a name, not for whoever has it."""
    store = new_postgres(host=ELSEWHERE, hostaddr=HERE, sslmode="verify-full", sslrootcert=files / "ours.pem")
    with pytest.raises(LedgerError, match=r"by the name that it was made for.*does not match host name"):
        store.record([a_row()])


@pytest.mark.parametrize("file", ["missing.pem", "empty.pem"])
def test_an_authoritys_file_that_cannot_be_read_is_said(
    new_postgres: Callable[..., PostgresStore], files: Path, file: str
) -> None:
    """It does not look as if the server was away."""
    (files / "empty.pem").touch()
    with pytest.raises(LedgerError, match="a file that TLS needs cannot be used"):
        new_postgres(sslmode="verify-full", sslrootcert=files / file).standing()


def test_postgres_may_want_a_certificate_as_well(
    safe_postgres: servers.PostgresServer, new_postgres: Callable[..., PostgresStore], files: Path
) -> None:
    """One that its authority has signed; without it, it says so."""
    rule = f"hostssl all all {HERE}/32 trust clientcert=verify-ca\n"
    (safe_postgres.data / "pg_hba.conf").write_text(rule)
    safe_postgres.restart()
    with pytest.raises(LedgerError, match=r"refused the connection.* valid client certificate"):
        new_postgres(sslmode="require").standing()
    for name, is_let_in in {"theirs": False, "ours": True}.items():
        certificate = files / f"client-of-{name}.pem"
        store = new_postgres(sslmode="require", sslcert=certificate, sslkey=certificate)
        if is_let_in:
            assert store.record([a_row("with a certificate")]) == [True]
        else:
            # The server's reason may be overtaken by the end of the connection.
            with pytest.raises((LedgerError, UnavailableError)):
                store.standing()


# Redis


@pytest.fixture(scope="module")
def safe_redis(redis_of_session: servers.RedisServer, authority: trustme.CA) -> Iterator[servers.RedisServer]:
    """A server that speaks TLS on another port, where there can be servers at all."""
    with servers.redis_server() as server:
        install(server, authority, HERE)
        files = {"cert": "crt", "key": "key", "ca-cert": "ca"}
        server.settings |= {
            f"tls-{name}-file": str(server.data / f"tls.{end}") for name, end in files.items()
        }
        server.settings |= {"tls-port": str(servers._free_port()), "tls-auth-clients": "no"}
        server.restart()
        yield server


@pytest.fixture
def new_redis(safe_redis: servers.RedisServer) -> Iterator[Callable[..., RedisStore]]:
    """Opens a store with such a query in its URL."""
    stores: list[RedisStore] = []
    name = safe_redis.unique()

    def make(query: str = "", *, host: str = HERE, **driver: object) -> RedisStore:
        url = f"rediss://{host}:{safe_redis.settings['tls-port']}/0?{query}"
        stores.append(RedisStore(url, name=name, timeout=10.0, driver=driver))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


def test_redis_is_trusted_if_its_authority_is(new_redis: Callable[..., RedisStore], files: Path) -> None:
    """Named in the URL or in the options for the driver."""
    assert new_redis(f"ssl_ca_certs={files}/ours.pem").record([a_row()]) == [True]
    assert new_redis(ssl_ca_certs=str(files / "ours.pem")).record([a_row()]) == [False]


@pytest.mark.parametrize("query", ["", "ssl_ca_certs={}/theirs.pem"], ids=["the system's", "another"])
def test_redis_with_a_certificate_of_anybody_else_is_refused(
    new_redis: Callable[..., RedisStore], files: Path, query: str
) -> None:
    """At once: to try again would not help. The sentence says what to do."""
    with pytest.raises(LedgerError, match=r"not to be trusted; give .*'rediss://.*certificate"):
        new_redis(query.format(files)).record([a_row()])


def test_redis_by_another_name_is_refused(new_redis: Callable[..., RedisStore], files: Path) -> None:
    """A certificate is for a name, not for whoever has it."""
    with pytest.raises(LedgerError, match=r"the name that it was made for .*mismatch"):
        new_redis(f"ssl_ca_certs={files}/ours.pem", host="localhost").record([a_row()])


def test_anybody_is_trusted_only_if_asked_for(new_redis: Callable[..., RedisStore]) -> None:
    """In so many words, in the URL or in the options for the driver."""
    assert new_redis("ssl_cert_reqs=none", host="localhost").record([a_row()]) == [True]
    store = new_redis(host="localhost", ssl_cert_reqs="none", ssl_check_hostname=False)
    assert store.record([a_row()]) == [False]


def test_redis_may_want_a_certificate_as_well(
    safe_redis: servers.RedisServer, new_redis: Callable[..., RedisStore], files: Path
) -> None:
    """As it does unless it is told otherwise."""
    certificate = str(files / "client-of-ours.pem")
    own = {"ssl_certfile": certificate, "ssl_keyfile": certificate}
    with redis.Redis.from_url(safe_redis.url) as admin:
        admin.config_set("tls-auth-clients", "yes")
        assert new_redis(f"ssl_ca_certs={files}/ours.pem", **own).record([a_row()]) == [True]
        # The server's reason may be overtaken by the end of the connection.
        with pytest.raises((LedgerError, UnavailableError)):
            new_redis(f"ssl_ca_certs={files}/ours.pem").standing()
        admin.config_set("tls-auth-clients", "no")


def test_sentinels_are_verified_as_well(safe_redis: servers.RedisServer, files: Path) -> None:
    """They say where the master is: whoever could speak for them could be it."""
    own = {name.replace("-", "_"): value for name, value in safe_redis.settings.items() if "tls-" in name}
    own |= {"tls_port": servers._free_port(), "tls_replication": "yes"}
    with servers.kept(Sentinel) as sentinel:
        sentinel.watch(int(safe_redis.settings["tls-port"]), **own)
        url = f"rediss+sentinel://{HERE}:{own['tls_port']}/{SERVICE}?ssl_ca_certs={files}"
        store = RedisStore(f"{url}/ours.pem", name=safe_redis.unique(), timeout=10.0)
        assert store.record([a_row()]) == [True]
        store.close()
        with pytest.raises(LedgerError, match=r"not to be trusted; give .*'rediss://.*certificate"):
            RedisStore(f"{url}/theirs.pem", timeout=10.0).record([a_row()])


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_certfile", "ssl_keyfile"])
def test_a_file_that_is_missing_is_said_at_once(option: str) -> None:
    """It would look as if the server was away."""
    for url, driver in (
        (f"rediss://a/0?{option}=/no/such.pem", {}),
        ("rediss://a/0", {option: "/no/such.pem"}),
    ):
        with pytest.raises(ValueError, match=f"{option} is '/no/such.pem', and there is no such file"):
            RedisLedger(url, driver=driver)


def test_a_file_that_is_no_certificate_is_said(new_redis: Callable[..., RedisStore], files: Path) -> None:
    """For the same reason."""
    (files / "empty.pem").touch()
    with pytest.raises(LedgerError, match="a file that TLS needs cannot be used"):
        new_redis(f"ssl_ca_certs={files}/empty.pem").standing()


# What errors mean


def caused_by(cause: Exception) -> redis.ConnectionError:
    """What the driver raises for what a network did."""
    try:
        try:
            raise cause
        except Exception as error:
            raise redis.ConnectionError("Error 1 connecting") from error
    except redis.ConnectionError as error:
        return error


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "refused the TLS handshake"),
        ("TLSV1_ALERT_UNKNOWN_CA", "refused the TLS handshake"),
        ("UNEXPECTED_EOF_WHILE_READING", None),
    ],
)
def test_only_a_server_that_says_so_has_refused_a_certificate(reason: str, said: str | None) -> None:
    """One that just goes away may come back."""
    meaning = understood(caused_by(ssl.SSLError(1, f"[SSL: {reason}] what it means (_ssl.c:1)")))
    assert isinstance(meaning, UnavailableError if said is None else LedgerError)
    assert (said or "cannot be used right now") in str(meaning)


def test_a_refused_certificate_is_final_for_postgres_as_well() -> None:
    """In OpenSSL's words."""
    import psycopg

    error: Any = psycopg.OperationalError("connection failed: SSL error: tlsv1 alert unknown ca")
    assert isinstance(meaning_of(error, None), LedgerError)
