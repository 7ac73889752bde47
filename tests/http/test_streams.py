"""Streams of the real application over real sockets: their events, their budget, and everything that ends them."""

import asyncio
import json
import resource
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter

from rppam.app import api
from rppam.app.slices import routers
from rppam.cluster.consensus.heartbeat import MemberStatus, Role
from rppam.db.errors import DatabaseUnreachable
from rppam.http.bounds import ApiLimits
from rppam.http.routes import SIGNED_IN, Kind, declare
from rppam.http.streams import Event, EventStream
from tests.support.served import PASSWORD, Served, member

pytestmark = pytest.mark.integration

EVENTS = "/api/v1/admin/cluster/events"
routes = APIRouter()


@routes.get("/test/flood", response_model=None)
@declare(SIGNED_IN, kind=Kind.EVENTS)
async def flood() -> EventStream:
    async def source() -> AsyncIterator[Event | None]:
        while True:
            yield Event("more", "x" * 60_000)

    return EventStream(source())


@routes.get("/test/undeclared", response_model=None)
@declare(SIGNED_IN)
async def undeclared() -> EventStream:
    async def source() -> AsyncIterator[Event | None]:
        yield Event("never", None)

    return EventStream(source())


@routes.get("/test/short", response_model=None)
@declare(SIGNED_IN, kind=Kind.EVENTS)
async def short() -> EventStream:
    async def source() -> AsyncIterator[Event | None]:
        yield Event("line", "a\nb: c\r\n\u2028")

    return EventStream(source())


@routes.get("/test/broken", response_model=None)
@declare(SIGNED_IN, kind=Kind.EVENTS)
async def broken() -> EventStream:
    async def source() -> AsyncIterator[Event | None]:
        yield Event("one", 1)
        raise RuntimeError("the source broke")

    return EventStream(source())


@pytest.fixture
def limits() -> ApiLimits:
    return ApiLimits(
        streams=6,
        streams_of_user=3,
        stream_recheck_ms=100,
        stream_unknown_ms=300,
        stream_stall_ms=500,
        stream_heartbeat_ms=600,
    )


@pytest.fixture
async def served(tmp_path: Path, limits: ApiLimits, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setattr(api, "routers", lambda: [*routers(), routes])
    one = Served(tmp_path / "keys", limits)
    await one.start()
    yield one
    await one.stop()


@pytest.fixture(autouse=True)
async def hang_up() -> AsyncIterator[None]:
    """Closes what a test has opened."""
    yield
    for writer in _open:
        writer.close()
    _open.clear()
    await asyncio.sleep(0.01)


_open: list[asyncio.StreamWriter] = []


class Reader:
    """One open stream on a connection of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        _open.append(writer)
        self.status = 0
        self.headers: dict[str, str] = {}
        self.comments = 0

    async def begin(self) -> None:
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)).decode().split("\r\n")
        self.status = int(head[0].split()[1])
        self.headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)

    async def event(self) -> tuple[str, Any]:
        """The next one; ("", None) at the end of the answer."""
        name = ""
        async with asyncio.timeout(10):
            while True:
                line = (await self.reader.readline()).decode()
                if line in {"", "0\r\n"}:
                    return "", None
                if line.startswith("event: "):
                    name = line[7:].strip()
                elif line.startswith("data: "):
                    return name, json.loads(line[6:])
                elif line.startswith(":"):
                    self.comments += 1

    async def end(self) -> str:
        """Why it ended, passing over every event before."""
        while True:
            name, data = await self.event()
            if name == "end":
                return str(data["reason"])
            if not name:
                return ""


async def opened(served: Served, headers: dict[str, str], path: str = EVENTS) -> Reader:
    one = Reader(*await asyncio.open_connection("127.0.0.1", served.server.port))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    one.writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
    await one.begin()
    return one


async def signed_in(served: Served, user: str = "admin") -> dict[str, str]:
    answer = await served.http.post("/api/v1/auth/login", json={"username": user, "password": PASSWORD})
    return {"Authorization": f"Bearer {answer.json()['accessToken']}"}


async def no_stream_is_left(served: Served) -> None:
    async with asyncio.timeout(5):
        while served.app.state.streams.count:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)
    assert served.room.in_flight == 0


async def test_the_whole_view_comes_first_and_then_each_change(served: Served) -> None:
    stream = await opened(served, {**served.bearer(), "Last-Event-ID": "7"})
    assert stream.status == 200
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.headers["cache-control"] == "no-store"
    assert "x-request-id" in stream.headers
    name, view = await stream.event()
    assert (name, view["leader"]["leaderNode"], view["leader"]["epoch"]) == ("snapshot", "node1", 7)
    assert {"node1", "node2", "node3"} == set(view["members"])
    served.node.set(leader="node2", epoch=8)
    name, data = await stream.event()
    assert (name, data["leaderNode"], data["epoch"]) == ("leader", "node2", 8)
    served.node.set(members=(member("node1", Role.LEADER), member("node2", Role.STANDBY, MemberStatus.UNKNOWN)))
    found = [await stream.event() for _ in range(3)]
    assert [name for name, _ in found] == ["cluster", "member", "member"]
    assert [(data["nodeName"], data["status"]) for _, data in found[1:]] == [("node2", "unknown"), ("node3", None)]
    stream.writer.close()
    await no_stream_is_left(served)


async def test_a_stream_outlasts_the_time_for_an_answer_and_says_that_it_lives(
    tmp_path: Path, limits: ApiLimits
) -> None:
    one = Served(tmp_path / "keys", limits._replace(body_timeout_ms=1_000, answer_timeout_ms=3_000))
    await one.start()
    try:
        stream = await opened(one, one.bearer())
        assert (await stream.event())[0] == "snapshot"
        await asyncio.sleep(5)
        one.node.set(epoch=9)
        assert (await stream.event())[0] == "leader"
        assert stream.comments >= 1
        assert one.room.in_flight == 0, "it takes no place from requests"
    finally:
        await one.stop()


@pytest.mark.parametrize(
    ("roles", "status"), [(("pam_user",), 403), (("security_admin",), 403), (("pam_auditor",), 200), ((), 200)]
)
async def test_who_may_read_the_clusters_status_may_listen(served: Served, roles: tuple[str, ...], status: int) -> None:
    assert (await opened(served, served.bearer(*roles))).status == status
    assert (await opened(served, {})).status == 401


async def test_a_route_that_declares_no_stream_cannot_begin_one(served: Served) -> None:
    assert (await opened(served, served.bearer(), "/test/undeclared")).status == 500
    assert served.app.state.streams.count == 0


async def test_no_value_begins_a_line_of_its_own_and_a_source_may_end(served: Served) -> None:
    stream = await opened(served, served.bearer(), "/test/short")
    assert await stream.event() == ("line", "a\nb: c\r\n\u2028")
    assert await stream.event() == ("", None)
    await no_stream_is_left(served)


async def test_a_source_that_breaks_ends_the_answer_half_way_and_is_logged(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    stream = await opened(served, served.bearer(), "/test/broken")
    assert await stream.event() == ("one", 1)
    assert await stream.end() == ""
    assert await stream.reader.read() == b""
    assert "the source broke" in caplog.text
    await no_stream_is_left(served)


async def test_a_session_that_ends_ends_its_streams_within_moments_and_no_others(served: Served) -> None:
    ended, other = await signed_in(served), await signed_in(served)
    streams = [await opened(served, one) for one in (ended, other)]
    assert (await served.http.post("/api/v1/auth/logout", headers=ended)).status_code == 204
    async with asyncio.timeout(10):
        assert await streams[0].end() == "access"
    served.node.set(epoch=11)
    assert (await streams[1].event())[0] == "snapshot"
    assert (await streams[1].event())[0] == "leader"


async def test_a_role_that_is_taken_away_ends_the_stream(served: Served) -> None:
    stream = await opened(served, await signed_in(served, "audrey"))
    path = "/api/v1/users/id-audrey/roles"
    assert (await served.http.put(path, headers=served.bearer(), json={"roles": ["pam_user"]})).status_code == 200
    async with asyncio.timeout(10):
        assert await stream.end() == "access"


async def test_a_token_that_expires_in_mid_stream_ends_it(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = await opened(served, served.bearer())
    await stream.event()
    monkeypatch.setattr(served.tokens, "has_expired", lambda _claims: True)
    async with asyncio.timeout(10):
        assert await stream.end() == "access"


async def test_listening_does_not_keep_a_session_from_lying_idle(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = await signed_in(served)
    stream = await opened(served, headers)
    noted: list[str] = []
    monkeypatch.setattr(served.sessions.check._touches, "note", noted.append)
    await asyncio.sleep(0.5)
    assert noted == []
    await served.http.get("/system/health/cluster", headers=headers)
    assert len(noted) == 1
    assert stream.status == 200


@pytest.mark.parametrize("path", [EVENTS, "/test/flood"])
async def test_while_nobody_can_tell_a_stream_goes_on_for_a_moment_only(
    served: Served, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    stream = await opened(served, await signed_in(served), path)

    async def away(*_: Any) -> None:
        raise DatabaseUnreachable("away")

    monkeypatch.setattr(served.store, "find", away)
    began = asyncio.get_running_loop().time()
    assert await stream.end() == "access"
    assert 0.25 < asyncio.get_running_loop().time() - began < 5


async def test_one_user_gets_some_and_all_together_get_no_more_than_there_are(served: Served) -> None:
    mine = [await opened(served, served.bearer()) for _ in range(3)]
    beyond = await opened(served, served.bearer())
    assert (beyond.status, "retry-after" in beyond.headers) == (429, True)
    audrey = [await opened(served, await signed_in(served, "audrey")) for _ in range(3)]
    assert [one.status for one in (*mine, *audrey)] == [200] * 6
    full = await opened(served, await signed_in(served, "simon"), "/test/short")
    assert full.status == 503
    mine[0].writer.close()
    async with asyncio.timeout(5):
        while (await opened(served, served.bearer(), "/test/short")).status != 200:  # noqa: ASYNC110 - has no event
            await asyncio.sleep(0.05)


async def test_a_reader_that_takes_nothing_is_cut_off_and_the_log_says_so(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    stream = await opened(served, served.bearer(), "/test/flood")
    async with asyncio.timeout(10):
        while "nothing of what was sent was taken for 500 ms" not in caplog.text:  # noqa: ASYNC110 - has no event
            await asyncio.sleep(0.05)
    await no_stream_is_left(served)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await stream.reader.readexactly(2**30)


async def test_the_longest_time_ends_a_stream_with_a_word(
    served: Served, monkeypatch: pytest.MonkeyPatch, limits: ApiLimits
) -> None:
    served.app.state.streams.limits = limits._replace(stream_total_ms=300)
    assert await (await opened(served, served.bearer())).end() == "time"
    await no_stream_is_left(served)


async def test_a_shutdown_ends_every_stream_with_a_word_and_refuses_new_ones(served: Served) -> None:
    streams = [await opened(served, served.bearer()) for _ in range(2)]
    began = asyncio.get_running_loop().time()
    await served.server.stop(drain_ms=5_000)
    assert asyncio.get_running_loop().time() - began < 3
    assert [await one.end() for one in streams] == ["shutdown"] * 2


async def test_a_slow_request_for_a_stream_is_hung_up_on_like_any_other(tmp_path: Path, limits: ApiLimits) -> None:
    one = Served(tmp_path / "keys", limits._replace(header_timeout_ms=300))
    await one.start()
    try:
        began = asyncio.get_running_loop().time()
        with pytest.raises((ConnectionError, AssertionError)):
            assert await one.raw(f"GET {EVENTS} HTTP/1.1\r\n".encode(), *[b"X"] * 20, pause_s=0.1)
        assert asyncio.get_running_loop().time() - began < 5
    finally:
        await one.stop()


@pytest.mark.slow
async def test_a_thousand_streams_leave_the_node_answering(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4_096:
        pytest.skip(f"at most {hard} files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4_096), hard))
    one = Served(tmp_path / "keys", ApiLimits(streams=1_000, streams_of_user=1_000, connections=1_100))
    await one.start()
    try:
        await one.http.get("/system/health/ping")
        bearer = one.bearer()
        streams = [await opened(one, bearer) for _ in range(1_000)]
        assert {stream.status for stream in streams} == {200}
        assert (await opened(one, bearer)).status == 503
        began = asyncio.get_running_loop().time()
        assert (await one.http.get("/system/health/cluster", headers=bearer)).status_code == 200
        assert asyncio.get_running_loop().time() - began < 2
        one.node.set(epoch=12)
        for stream in streams:
            assert (await stream.event())[0] == "snapshot"
            assert (await stream.event())[0] == "leader"
        await one.server.stop(drain_ms=5_000)
        assert {await stream.end() for stream in streams} == {"shutdown"}
    finally:
        await one.stop()
