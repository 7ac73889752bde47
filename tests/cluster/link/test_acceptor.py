"""The door stays open after a fault of its own, and shows a node that gives way for its name to whoever has it."""

import asyncio
import contextlib
import gc
import socket
import warnings

import pytest

from rppam.cluster.link import acceptor
from tests.cluster.link.links import connected, eventually, introduce, make_node, running, start

pytestmark = pytest.mark.integration


async def test_a_fault_that_nobody_foresaw_shuts_nobody_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = make_node("node1"), make_node("node2")
    async with running(one):
        with monkeypatch.context() as patch:
            patch.setattr(acceptor, "HANDSHAKES_MAX", 0)  # nobody is there to make room
            with socket.create_connection(("127.0.0.1", one.link.port)):
                await eventually(lambda: "for a fault of this node" in caplog.text)
        async with running(two):
            introduce(one, two)
            await connected(one, two)


async def test_who_knocks_as_the_door_closes_is_hung_up_on() -> None:
    one = make_node("node1")
    async with running(one):
        shut = one.link._acceptor
        assert shut is not None
        for task in shut._accepting:
            task.cancel()
        await asyncio.sleep(0)
        with socket.create_connection(("127.0.0.1", one.link.port)) as caller:
            await shut._accept_one(shut._servers[0])
            await shut.close()  # before the handshake has begun
            caller.settimeout(5)
            assert caller.recv(1) == b""


@pytest.mark.parametrize("turns", range(4))
async def test_no_socket_is_lost_of_who_is_let_in_at_the_moment_of_closing(turns: int) -> None:
    one = make_node("node1")
    async with running(one):
        await asyncio.sleep(0.05)  # it waits for somebody
        with socket.create_connection(("127.0.0.1", one.link.port)) as caller:
            for _ in range(turns):
                await asyncio.sleep(0)
            shut = one.link._acceptor
            assert shut is not None
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always", ResourceWarning)
                await shut.close()
                gc.collect()
            caller.settimeout(5)
            with contextlib.suppress(ConnectionResetError):
                assert caller.recv(1) == b""
    assert [str(one.message) for one in said] == []


async def test_a_node_that_gives_way_for_its_name_is_told_of_by_the_one_that_has_it() -> None:
    one, double = make_node("node1"), make_node("node1")
    async with running(one):
        await start(double)
        await double.link.greet_namesake(one.address)
        await double.link.stop()
        assert one.link.refused == {"own-name": 1}
        (complaint,) = one.link.complaints
        assert "another node, at 127.0.0.1, has this node's name 'node1'" in complaint


async def test_a_namesake_that_is_away_by_now_keeps_nobody(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    double = make_node("node1")
    async with running(double):
        with socket.create_server(("127.0.0.1", 0)) as mute:
            await double.link.greet_namesake(f"127.0.0.1:{mute.getsockname()[1]}")
        assert "the other node named node1 was not told of this one" in caplog.text
