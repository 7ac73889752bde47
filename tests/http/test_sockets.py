"""WebSockets of the real application: the handshake is a request like any other, and a conversation has bounds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from rppam.app import api
from rppam.app.slices import routers
from rppam.http.bounds import ApiLimits
from rppam.http.routes import SIGNED_IN, Kind, declare, for_roles
from rppam.http.sockets import Socket, SocketAnswer
from tests.support.served import PASSWORD, Served

pytestmark = pytest.mark.integration

routes = APIRouter()
ECHO = "/test/echo"


async def echo(socket: Socket) -> None:
    while (said := await socket.receive()) != "bye":
        await socket.send(said)


async def flood(socket: Socket) -> None:
    while True:
        await socket.send("x" * 60_000)


@routes.get(ECHO, response_model=None)
@declare(SIGNED_IN, kind=Kind.SOCKET)
async def echoing() -> SocketAnswer:
    return SocketAnswer(echo)


@routes.get("/test/admins", response_model=None)
@declare(for_roles(), kind=Kind.SOCKET)
async def for_admins() -> SocketAnswer:
    return SocketAnswer(echo)


@routes.get("/test/flood", response_model=None)
@declare(SIGNED_IN, kind=Kind.SOCKET)
async def flooding() -> SocketAnswer:
    return SocketAnswer(flood)


@pytest.fixture
def limits() -> ApiLimits:
    return ApiLimits(
        streams_of_user=2,
        stream_recheck_ms=100,
        stream_stall_ms=500,
        socket_message_bytes=1_000,
        header_timeout_ms=1_000,
    )


@pytest.fixture
async def served(tmp_path: Path, limits: ApiLimits, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setattr(api, "routers", lambda: [*routers(), routes])
    one = Served(tmp_path / "keys", limits)
    await one.start()
    yield one
    await one.stop()


def opened(served: Served, headers: dict[str, str], path: str = ECHO) -> connect:
    url = f"ws://127.0.0.1:{served.server.port}{path}"
    return connect(url, additional_headers=headers, open_timeout=30, proxy=None, compression=None)


async def refused(served: Served, headers: dict[str, str], path: str = ECHO) -> tuple[int, bytes]:
    with pytest.raises(InvalidStatus) as caught:
        async with opened(served, headers, path):
            pass
    return caught.value.response.status_code, bytes(caught.value.response.body or b"")


async def closed(socket: ClientConnection) -> tuple[int, str]:
    """The code and the reason that it is closed with."""
    async with asyncio.timeout(10):
        with suppress(ConnectionClosed):
            while True:
                await socket.recv()
    return socket.close_code or 0, socket.close_reason or ""


async def signed_in(served: Served) -> str:
    answer = await served.http.post("/api/v1/auth/login", json={"username": "admin", "password": PASSWORD})
    token: str = answer.json()["accessToken"]
    return token


async def test_what_is_said_is_heard_for_longer_than_headers_may_take(served: Served) -> None:
    async with opened(served, served.bearer()) as socket:
        assert socket.response is not None
        assert "x-request-id" in socket.response.headers
        for said in ("ä", b"\x00\xff"):
            await socket.send(said)
            assert await socket.recv() == said
        await asyncio.sleep(3)
        assert served.room.in_flight == 0
        await socket.send("still there")
        assert await socket.recv() == "still there"
        await socket.send("bye")
        assert await closed(socket) == (1000, "")


async def test_the_handshake_passes_what_a_request_passes(served: Served) -> None:
    status, body = await refused(served, {})
    assert (status, b"RPPAM-6001" in body) == (401, True)
    assert (await refused(served, {"Authorization": "Bearer x"}))[0] == 401
    status, body = await refused(served, served.bearer("pam_user"), "/test/admins")
    assert (status, b"this needs the role pam_admin" in body) == (403, True)


@pytest.mark.parametrize("path", ["/system/health/cluster", "/api/v1/admin/cluster/events", "/api/v1/nothing", "/"])
async def test_an_upgrade_anywhere_else_is_ignored(served: Served, path: str) -> None:
    headers = {**served.bearer(), "Connection": "Upgrade, close", "Upgrade": "websocket"}
    headers |= {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    async with served.http.stream("GET", path, headers=headers) as answer:
        assert answer.status_code in {200, 404}
        assert "sec-websocket-accept" not in answer.headers


async def test_a_plain_request_for_a_websocket_hears_what_is_missing(served: Served) -> None:
    answer = await served.http.get(ECHO, headers=served.bearer())
    assert answer.status_code == 400
    assert "header.Upgrade: expected the handshake of a WebSocket" in answer.json()["detail"]
    assert served.app.state.streams.count == 0


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1", "http://127.0.0.1:1"])
async def test_a_page_of_another_origin_opens_none(served: Served, origin: str) -> None:
    status, body = await refused(served, {**served.bearer(), "Origin": origin})
    assert (status, b"RPPAM-6006" in body) == (403, True)
    cookie = {"Cookie": f"rppam={await signed_in(served)}"}
    assert (await refused(served, {**cookie, "Origin": origin}))[0] == 403
    assert (await refused(served, cookie))[0] == 403, "a browser would have said where the page is from"


async def test_a_page_of_this_origin_opens_one_with_its_cookie(served: Served) -> None:
    cookie = {"Cookie": f"rppam={await signed_in(served)}", "Origin": served.url}
    async with opened(served, cookie) as socket:
        await socket.send("hello")
        assert await socket.recv() == "hello"


@pytest.mark.parametrize("message", ["x" * 1_001, b"x" * 1_001, ["x" * 600, "x" * 600]])
async def test_a_message_that_is_too_large_closes_it(served: Served, message: Any) -> None:
    async with opened(served, served.bearer()) as socket:
        await socket.send(message)
        assert (await closed(socket))[0] == 1009
    async with opened(served, served.bearer()) as another:
        await another.send("x" * 1_000)
        assert len(await another.recv()) == 1_000


async def test_a_session_that_ends_closes_its_websockets(served: Served) -> None:
    headers = {"Authorization": f"Bearer {await signed_in(served)}"}
    async with opened(served, headers) as socket:
        assert (await served.http.post("/api/v1/auth/logout", headers=headers)).status_code == 204
        assert await closed(socket) == (1008, "access")


async def test_who_says_nothing_is_closed_and_so_is_everybody_at_a_shutdown(served: Served, limits: ApiLimits) -> None:
    streams = served.app.state.streams
    async with opened(served, served.bearer()) as socket:
        streams.limits = limits._replace(socket_idle_ms=300)
        async with opened(served, served.bearer()) as idle:
            assert await closed(idle) == (1000, "idle")
        assert (await refused(served, served.bearer(), "/test/echo/"))[0] == 404
        await served.server.stop(drain_ms=5_000)
        assert await closed(socket) == (1001, "shutdown")


async def test_one_user_opens_so_many(served: Served) -> None:
    async with opened(served, served.bearer()), opened(served, served.bearer()):
        assert (await refused(served, served.bearer()))[0] == 429


async def test_a_reader_that_takes_nothing_is_cut_off(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.server.port)
    key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    bearer = f"Authorization: {served.bearer()['Authorization']}"
    asked = (
        f"GET /test/flood HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{key}\r\n{bearer}\r\n\r\n"
    )
    writer.write(asked.encode())
    assert (await reader.readline()).split()[1] == b"101"
    async with asyncio.timeout(20):
        while served.app.state.streams.count:  # noqa: ASYNC110 - has no event
            await asyncio.sleep(0.05)
    writer.close()
    await asyncio.sleep(0)
