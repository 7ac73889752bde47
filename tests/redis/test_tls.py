"""TLS with certificates made here: accepted, and each way of being refused told apart."""

import asyncio
import contextlib
import datetime
import socket
import ssl
import struct
import threading
from pathlib import Path

import pytest

from rppam.redis.errors import StoreClosed, StoreError, StoreNoGreeting, StoreProtocol, StoreTlsFailed
from tests.redis.conftest import MakeLink, Open, eventually
from tests.support.authority import DAY, NOW, Authority
from tests.support.ports import free_port
from tests.support.redis_servers import SERVERS, Server, ServerKind, need

pytestmark = pytest.mark.integration


def words(authority: Authority, name: str, port: int, *, clients: str = "no", **issue: datetime.datetime) -> list[str]:
    """Command line of a server that speaks TLS on ``port``."""
    certificate, key = authority.issue(name, **issue)
    return [
        *("--tls-port", str(port), "--tls-cert-file", certificate, "--tls-key-file", key),
        *("--tls-ca-cert-file", str(authority.path), "--tls-auth-clients", clients),
    ]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture(params=[kind for kind in SERVERS if kind.has_tls], ids=str)
def kind(request: pytest.FixtureRequest) -> ServerKind:
    found: ServerKind = request.param
    need(found)
    return found


async def test_tls_with_a_client_certificate(kind: ServerKind, authority: Authority, open_: Open) -> None:
    port = free_port()
    with Server(kind, *words(authority, "127.0.0.1", port, clients="yes")):
        context = ssl.create_default_context(cafile=str(authority.path))
        context.load_cert_chain(*authority.issue("node"))
        connection = await open_(port, ssl=context)
        value = bytes(range(256)) * 40_000
        assert await connection.command("SET", "a", value, timeout_ms=5000) == b"OK"
        assert await connection.command("GET", "a", timeout_ms=5000) == value
        await connection.close()
        with pytest.raises(StoreTlsFailed, match="tlsCertPath"):
            await open_(port, ssl=ssl.create_default_context(cafile=str(authority.path)))
        stranger = ssl.create_default_context(cafile=str(authority.path))
        (authority.folder / "other").mkdir()
        stranger.load_cert_chain(*Authority(authority.folder / "other").issue("stranger"))
        with pytest.raises(StoreTlsFailed, match="does not accept our client certificate"):
            await open_(port, ssl=stranger)


async def test_a_refusal_whose_reason_is_lost_with_the_connection_is_asked_for_again(
    authority: Authority, open_: Open
) -> None:
    """The server resets before its alert is read; it says why on the next connection, on which nothing is sent."""
    certificate = authority.issue("127.0.0.1")
    lax = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    lax.load_cert_chain(*certificate)
    strict = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    strict.load_cert_chain(*certificate)
    strict.load_verify_locations(authority.path)
    strict.verify_mode = ssl.CERT_REQUIRED
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            plug, _ = listening.accept()
            with lax.wrap_socket(plug, server_side=True) as first:
                first.recv(1)
                first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            plug, _ = listening.accept()
            with contextlib.suppress(ssl.SSLError), strict.wrap_socket(plug, server_side=True):
                pass

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            with pytest.raises(StoreTlsFailed, match="set tlsCertPath"):
                await open_(listening.getsockname()[1], ssl=ssl.create_default_context(cafile=str(authority.path)))
        finally:
            await asyncio.to_thread(thread.join, 10)


async def test_certificates_that_are_not_trusted_are_told_apart(
    kind: ServerKind, authority: Authority, open_: Open
) -> None:
    port = free_port()
    context = ssl.create_default_context(cafile=str(authority.path))
    with Server(kind, *words(authority, "redis.example", port)):
        named = await open_(port, ssl=context, server_hostname="redis.example")
        assert await named.command("PING", timeout_ms=5000) == b"PONG"
        with pytest.raises(StoreTlsFailed, match="sslHost"):
            await open_(port, ssl=context)
        with pytest.raises(StoreTlsFailed, match="signed by a trusted authority"):
            await open_(port, ssl=ssl.create_default_context(), server_hostname="redis.example")
    port = free_port()
    with (
        Server(kind, *words(authority, "127.0.0.1", port, until=NOW - DAY)),
        pytest.raises(StoreTlsFailed, match="expired"),
    ):
        await open_(port, ssl=context)


async def test_tls_and_plain_that_meet_are_named(kind: ServerKind, authority: Authority, open_: Open) -> None:
    port = free_port()
    context = ssl.create_default_context(cafile=str(authority.path))
    with Server(kind, *words(authority, "127.0.0.1", port)) as server:
        with pytest.raises(StoreClosed) as plain_to_tls:
            await open_(port)
        assert str(plain_to_tls.value) == (
            f"127.0.0.1:{port} closed the connection before the greeting was over; Redis restarts, or demands TLS "
            "(then set ssl=true)"
        )
        with pytest.raises(StoreError) as tls_to_plain:
            await open_(server.port, ssl=context, connect_timeout_ms=500)
        assert isinstance(tls_to_plain.value, StoreProtocol | StoreClosed | StoreNoGreeting)
        assert "TLS" in str(tls_to_plain.value)


async def test_a_link_over_tls_comes_back(kind: ServerKind, authority: Authority, make_link: MakeLink) -> None:
    port = free_port()
    context = ssl.create_default_context(cafile=str(authority.path))
    with Server(kind, *words(authority, "127.0.0.1", port)) as server:
        link = make_link(port, ssl=context)
        await link.start()
        first = link.connection
        assert first is not None
        server.restart()
        await eventually(lambda: link.connection is not None and link.connection.number > first.number)
        assert await link.command("PING") == b"PONG"
