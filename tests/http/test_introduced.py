"""The API behind balancers that name the caller by the PROXY protocol, version 2, in front of TLS or HTTP."""

import asyncio
import json
import logging
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi import FastAPI, WebSocket
from websockets.asyncio.client import connect

from rppam.http import introduced
from rppam.http.server import ApiServer
from rppam.kernel.proxy_protocol import MORE_BYTES_MAX, SIGNATURE
from tests.http.over_tls import PING, Tls
from tests.support.served import PASSWORD, Served

pytestmark = pytest.mark.integration

HOST, BALANCER = "127.0.0.1", "127.0.0.9"
V4 = bytes([192, 0, 2, 7, 192, 0, 2, 1]) + struct.pack(">HH", 40_000, 443)
V6 = bytes.fromhex("20010db8000000000000000000000007") + bytes(16) + struct.pack(">HH", 40_000, 443)


def header(command: int = 0x21, family: int = 0x11, more: bytes = V4) -> bytes:
    return SIGNATURE + struct.pack(">BBH", command, family, len(more)) + more


def login() -> bytes:
    body = json.dumps({"username": "simon", "password": PASSWORD}).encode()
    words = (
        "POST /api/v1/auth/login HTTP/1.1",
        "Host: x",
        "Content-Type: application/json",
        "X-Forwarded-For: 192.0.2.99",
    )
    return "\r\n".join([*words, f"Content-Length: {len(body)}", "Connection: close", "", ""]).encode() + body


async def said(port: int, sent: bytes, own: str = BALANCER) -> bytes:
    """What comes back until the server hangs up."""
    reader, writer = await asyncio.open_connection(HOST, port, local_addr=(own, 0))
    writer.write(sent)
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


@pytest.fixture
async def server(served: Served) -> AsyncIterator[ApiServer]:
    """The application behind a balancer at 127.0.0.9."""
    made = ApiServer(served.app, HOST, 0, balancers=(f"{BALANCER}/32",))
    await made.start()
    yield made
    await made.stop(drain_ms=500)


async def addresses(served: Served) -> set[str]:
    """Of those who logged in, as the ledger has them."""
    answer = await served.http.get("/api/v1/audit/events?limit=50", headers=served.bearer())
    simon = [one["actor"] for one in answer.json()["events"] if one["actor"].get("name") == "simon"]
    return {one["address"] for one in simon}


@pytest.mark.parametrize(
    ("sent", "address"),
    [
        (header(), "192.0.2.7"),
        (header(more=V4 + b"\x04\x00\x03abc"), "192.0.2.7"),
        (header(family=0x21, more=V6), "2001:db8::7"),
        (header(0x20, 0x00, b""), BALANCER),
    ],
)
async def test_the_ledger_has_the_caller_that_was_named_and_no_header_counts(
    served: Served, server: ApiServer, sent: bytes, address: str
) -> None:
    assert (await said(server.port, sent + login())).startswith(b"HTTP/1.1 200")
    assert await addresses(served) == {address}


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (login(), "expected a header of the PROXY protocol, version 2, found something else"),
        (b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n" + login(), "found something else"),
        (header(0x11) + login(), "found 0x11"),
        (header(family=0x12) + login(), "family 0x12"),
        (header(family=0x21) + login(), "family 0x21"),
        (header(more=bytes(MORE_BYTES_MAX + 1)) + login(), "at most 536 bytes"),
    ],
)
async def test_a_trusted_balancer_that_does_not_begin_so_is_refused_and_the_log_says_why(
    served: Served, server: ApiServer, caplog: pytest.LogCaptureFixture, sent: bytes, why: str
) -> None:
    with caplog.at_level(logging.WARNING, "rppam.api"):
        assert await said(server.port, sent) == b""
    (line,) = [one for one in caplog.messages if "is refused" in one]
    assert line.startswith(f"a connection from {BALANCER} is refused: 'api.trustedProxies' has this address")
    assert "(send-proxy-v2)" in line
    assert why in line
    assert await addresses(served) == set()
    assert (await said(server.port, header() + login())).startswith(b"HTTP/1.1 200"), "others go on"


async def test_from_anybody_else_a_header_is_no_http_and_none_is_needed(served: Served, server: ApiServer) -> None:
    assert (await said(server.port, login(), own="127.0.0.4")).startswith(b"HTTP/1.1 200")
    assert (await said(server.port, header() + login(), own="127.0.0.4")).startswith(b"HTTP/1.1 400")
    assert await addresses(served) == {"127.0.0.4"}


async def test_the_header_comes_before_tls(tmp_path: Path) -> None:
    tls = Tls(tmp_path)
    server = ApiServer(tls.server.app, HOST, 0, tls=tls.certificate, balancers=(f"{BALANCER}/32",))
    await server.start()
    try:
        for own, sent in ((BALANCER, header()), ("127.0.0.4", b"")):
            reader, writer = await asyncio.open_connection(HOST, server.port, local_addr=(own, 0))
            writer.write(sent)
            await writer.start_tls(tls.trusting(), server_hostname=HOST)
            writer.write(f"GET {PING} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            assert (await reader.read()).startswith(b"HTTP/1.1 200")
            writer.close()
        _, writer = await asyncio.open_connection(HOST, server.port, local_addr=(BALANCER, 0))
        with pytest.raises((ssl.SSLError, OSError)):
            await writer.start_tls(tls.trusting(), server_hostname=HOST)
    finally:
        await server.stop(drain_ms=500)


async def test_a_websocket_knows_the_caller_that_was_named() -> None:
    app = FastAPI()
    app.state.route_index = SimpleNamespace(has_sockets=True, is_socket=lambda _path: True)

    @app.websocket("/who")
    async def who(line: WebSocket) -> None:
        await line.accept()
        await line.send_text(line.client.host if line.client else "")
        await line.close()

    server = ApiServer(app, HOST, 0, balancers=(f"{BALANCER}/32",))
    await server.start()
    try:
        for own, sent, client in ((BALANCER, header(), "192.0.2.7"), ("127.0.0.4", b"", "127.0.0.4")):
            plug = await connected(server.port, own, sent)
            async with connect(f"ws://{HOST}:{server.port}/who", sock=plug, proxy=None) as line:
                assert await line.recv() == client
    finally:
        await server.stop(drain_ms=500)


async def connected(port: int, own: str, sent: bytes) -> socket.socket:

    def made() -> socket.socket:
        plug = socket.create_connection((HOST, port), source_address=(own, 0))
        plug.sendall(sent)
        plug.setblocking(False)
        return plug

    return await asyncio.to_thread(made)


async def test_who_says_nothing_keeps_nobody_out_and_a_stop_waits_for_nobody(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(introduced, "WAITING_MAX", 3)
    silent = [await asyncio.open_connection(HOST, server.port, local_addr=(BALANCER, 0)) for _ in range(4)]
    async with asyncio.timeout(3):
        assert await silent[0][0].read() == b"", "the oldest makes room"
    assert (await said(server.port, header() + login())).startswith(b"HTTP/1.1 200")
    async with asyncio.timeout(3):
        await server.stop(drain_ms=2_000)
    for reader, writer in silent:
        assert await reader.read() == b""
        writer.close()


def named(number: int) -> bytes:
    """From the client 192.0.2.``number``."""
    return header(more=bytes([192, 0, 2, number]) + V4[4:])


async def test_one_client_that_never_shakes_hands_keeps_no_other_from_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it comes by the balancer or past it."""
    monkeypatch.setattr(introduced, "WAITING_MAX", 4)
    tls = Tls(tmp_path)
    server = ApiServer(tls.server.app, HOST, 0, tls=tls.certificate, balancers=(f"{BALANCER}/32",))
    await server.start()
    try:
        for own, sent in ((BALANCER, named(66)), ("127.0.0.66", b"")):
            before = await begun(server.port, BALANCER, named(7))
            silent = [await begun(server.port, own, sent) for _ in range(9)]
            await asyncio.sleep(0.2)
            after = await begun(server.port, BALANCER, named(8))
            for reader, writer in (after, before):
                async with asyncio.timeout(2):
                    await writer.start_tls(tls.trusting(), server_hostname=HOST)
                    writer.write(f"GET {PING} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                    assert (await reader.read()).startswith(b"HTTP/1.1 200")
            for _, writer in (*silent, before, after):
                writer.close()
    finally:
        await server.stop(drain_ms=500)


async def begun(port: int, own: str, sent: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that has said so much."""
    reader, writer = await asyncio.open_connection(HOST, port, local_addr=(own, 0))
    writer.write(sent)
    await writer.drain()
    return reader, writer
