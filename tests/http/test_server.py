"""The server as a guest in the node's loop: it starts, says why when it cannot, drains, and leaves nothing behind."""

import asyncio
import signal
import socket
from pathlib import Path

import httpx
import pytest

from rppam.http.bounds import ApiLimits
from rppam.http.server import ApiServer
from rppam.http.serving_errors import ListenError
from tests.support.served import Served

pytestmark = pytest.mark.integration

NOTE = "/api/v1/admin/cluster/note"


async def test_a_port_that_is_taken_is_an_error_with_the_place_and_not_the_end_of_the_process(served: Served) -> None:
    second = ApiServer(served.app, "127.0.0.1", served.server.port)
    with pytest.raises(ListenError, match=f"127.0.0.1 port {served.server.port}: .*in use"):
        await second.start()
    await second.stop()
    for host, port in (("no-such-host.invalid", 0), ("127.0.0.1", 70_000), ("203.0.113.1", 0)):
        with pytest.raises(ListenError, match=f"{host} port {port}"):
            await ApiServer(served.app, host, port).start()


async def test_it_touches_no_signal_handler(served: Served) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    another = ApiServer(served.app, "127.0.0.1", 0)
    await another.start()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    await another.stop()


async def test_a_name_with_two_addresses_is_served_on_both(served: Served) -> None:
    another = ApiServer(served.app, "localhost", 0)
    await another.start()
    found = {entry[4][0] for entry in socket.getaddrinfo("localhost", another.port, type=socket.SOCK_STREAM)}
    async with httpx.AsyncClient(trust_env=False) as http:
        for address in found:
            shown = f"[{address}]" if ":" in str(address) else address
            assert (await http.get(f"http://{shown}:{another.port}/system/health/ping")).status_code == 200
    await another.stop()


async def test_stopping_lets_a_request_finish_and_takes_no_new_one(served: Served) -> None:
    served.note.silent.clear()
    slow = asyncio.create_task(served.http.get(NOTE, headers=served.bearer()))
    await asyncio.sleep(0.1)
    stopping = asyncio.create_task(served.server.stop(drain_ms=5_000))
    await asyncio.sleep(0.2)
    with pytest.raises(httpx.ConnectError):
        async with httpx.AsyncClient(trust_env=False) as other:
            await other.get(f"{served.url}/system/health/ping")
    assert not slow.done()
    served.note.silent.set()
    assert (await slow).status_code == 200
    await asyncio.wait_for(stopping, 2)


async def test_stopping_is_bounded_and_tells_the_callers_that_are_cut(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    served.note.silent.clear()
    slow = asyncio.create_task(served.http.get(NOTE, headers=served.bearer()))
    idle = await asyncio.open_connection("127.0.0.1", served.server.port)
    half = await asyncio.open_connection("127.0.0.1", served.server.port)
    half[1].write(b"GET / HT")
    await asyncio.sleep(0.1)
    began = asyncio.get_running_loop().time()
    await served.server.stop(drain_ms=300)
    assert asyncio.get_running_loop().time() - began < 2
    answer = await slow
    assert (answer.status_code, answer.json()["code"]) == (503, "RPPAM-6032")
    for reader, writer in (idle, half):
        assert await asyncio.wait_for(reader.read(), 2) == b""
        writer.close()
    assert [record for record in caplog.records if record.exc_info] == []


async def test_stopping_when_idle_is_quick(served: Served) -> None:
    await served.http.get("/system/health/ping")
    began = asyncio.get_running_loop().time()
    await served.server.stop()
    assert asyncio.get_running_loop().time() - began < 0.6


async def test_the_access_log_is_off_unless_asked_for(
    served: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    await served.http.get("/system/health/ping?secret=1")
    assert not [
        record
        for record in caplog.records
        if "/system/health/ping" in record.getMessage() and record.name.startswith(("rppam", "uvicorn"))
    ]
    logged = Served(tmp_path / "others", ApiLimits(), access_log=True)
    await logged.start()
    await logged.http.get("/system/health/ping?secret=1")
    await logged.stop()
    [line] = [record.getMessage() for record in caplog.records if record.name == "rppam.api.access"]
    assert line.startswith("GET '/system/health/ping' 200 ")
    assert "secret" not in line


async def test_many_requests_on_one_connection_and_pipelined_ones_are_all_answered(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.server.port)
    writer.write(b"GET /system/health/leader HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
    writer.write(b"GET /system/health/leader HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 5)
    assert answer.count(b"HTTP/1.1 200 ") == 51
    writer.close()
