"""Plain HTTP at a port of HTTPS, and TLS at a plain one: each is told what it meets there, by raw sockets."""

import asyncio
import logging
import socket
import ssl
from contextlib import suppress
from pathlib import Path

import pytest

from rppam.http.bounds import ApiLimits
from rppam.http.plain_at_tls import DRAINED_BYTES_MAX, plain_answer
from rppam.http.server import ApiServer
from tests.http.over_tls import PING, Tls
from tests.support.served import Served

TOKEN = "Authorization: Bearer eyJ.secret.token\r\n"


async def said(port: int, *parts: bytes, lines: bytes = b"\n") -> bytes:
    """What is answered to these bytes, as far as the end of the body, or of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(20):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            return head + (b"" if parts[0].startswith(b"HEAD") else await reader.readexactly(length))
    finally:
        await close(writer)


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


@pytest.mark.integration
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT"])
async def test_a_plain_request_is_told_the_address_in_one_line(method: str, tls: Tls) -> None:
    request = f"{method} {PING}?a=secret HTTP/1.1\r\nHost: node1.example.com:7101\r\n{TOKEN}\r\n".encode()
    head, _, body = (await said(tls.server.port, request)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"location" not in head.lower(), "whoever follows a redirect sends its token again"
    assert body.count(b"\n") == 1
    assert b"ask https://node1.example.com:7101/ instead" in body
    assert b"secret" not in head + body
    assert await tls.ping(tls.trusting()) == 200, "others are served"


@pytest.mark.integration
async def test_a_request_that_comes_in_pieces_and_one_with_a_body_are_answered_as_well(tls: Tls) -> None:
    port = tls.server.port
    pieces = [b"G", b"ET / HT", b"TP/1.1\r\nHo", b"st: node1\r\n", b"\r\n"]
    assert b"https://node1/" in await said(port, *pieces)
    body = b"POST / HTTP/1.1\r\nHost: node1\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000
    assert b"https://node1/" in await said(port, body)
    assert (await said(port, b"HEAD / HTTP/1.0\r\n\r\n")).endswith(b"\r\n\r\n")


@pytest.mark.integration
async def test_a_tls_client_that_trickles_its_first_bytes_is_served(tls: Tls) -> None:
    """The first byte tells; what was looked at is handed on whole."""

    def ask() -> bytes:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = tls.trusting().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
        with socket.create_connection(("127.0.0.1", tls.server.port), timeout=20) as plug:
            plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def until_done(work: object) -> object:
                while True:
                    try:
                        return work()  # type: ignore[operator]
                    except ssl.SSLWantReadError:
                        for byte in (waiting := outgoing.read())[:8]:
                            plug.sendall(bytes([byte]))
                        plug.sendall(waiting[8:])
                        incoming.write(plug.recv(65_536))

            until_done(client.do_handshake)
            client.write(f"GET {PING} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            answer = until_done(lambda: client.read(65_536))
        assert isinstance(answer, bytes)
        return answer

    assert (await asyncio.to_thread(ask)).startswith(b"HTTP/1.1 200")


@pytest.mark.integration
async def test_what_is_neither_is_hung_up_on_and_who_goes_on_and_on_too(tls: Tls) -> None:
    port = tls.server.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"\x00\x01\x02 what is this\r\n\r\n")
    async with asyncio.timeout(20):
        assert b"HTTP/" not in await reader.read()
    await close(writer)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nHost: node1\r\n\r\n" + b"x" * (2 * DRAINED_BYTES_MAX))
    async with asyncio.timeout(20):
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(10_000)
    await close(writer)
    assert await tls.ping(tls.trusting()) == 200


@pytest.mark.integration
async def test_tls_at_a_plain_port_is_answered_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = ApiServer(Served(tmp_path / "keys", ApiLimits()).app, "127.0.0.1", 0)
    await server.start()
    try:
        with caplog.at_level(logging.WARNING, "rppam.api"), pytest.raises(ssl.SSLError):
            async with asyncio.timeout(20):
                await asyncio.open_connection("127.0.0.1", server.port, ssl=ssl.create_default_context())
        assert f"127.0.0.1 speaks TLS at port {server.port}, which is plain HTTP here" in caplog.text
        assert "api.tlsCertPath" in caplog.text
        answer = await said(server.port, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"this is TLS" in answer
        assert (await said(server.port, f"GET {PING} HTTP/1.1\r\nHost: x\r\n\r\n".encode())).startswith(b"HTTP/1.1 200")
    finally:
        await server.stop(drain_ms=300)


@pytest.mark.parametrize(
    ("line", "where"),
    [
        (b"Host: node1:7101", b"https://node1:7101/"),
        (b"hOST:\t[fd00::1]:7101 ", b"https://[fd00::1]:7101/"),
        (b"Host: <script>", b"https:// "),
        (b"Host: a\x1b[2J", b"https:// "),
        (b"X: y", b"https:// "),
    ],
)
def test_only_what_is_a_host_is_named(line: bytes, where: bytes) -> None:
    body = plain_answer(b"GET / HTTP/1.1\r\n" + line + b"\r\n\r\n").partition(b"\r\n\r\n")[2]
    assert b"ask " + where in body
    assert b"\x1b" not in body
    assert b"<" not in body
