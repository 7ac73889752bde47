"""Floods, silence, dribbled bytes and piles of connections cost those who do nothing neither memory nor time."""

import asyncio
import socket
import sys
import time
from pathlib import Path

import pytest

from rppam.cluster.consensus.messages import Freeing
from rppam.cluster.link.acceptor import HANDSHAKES_MAX
from rppam.cluster.link.codec import Ping, encode
from rppam.cluster.link.connection import FrameWriter
from tests.cluster.link.links import (
    CLAIM,
    OTHER_KEY,
    Impostor,
    connected,
    eventually,
    is_unharmed,
    make_node,
    membership_of,
    running,
    start,
    stranger,
)

pytestmark = pytest.mark.integration


async def test_a_flood_of_messages_ends_the_connection() -> None:
    one, three = make_node("node1"), make_node("node3")
    async with running(one, three):
        async with stranger(one, "node2") as guest:
            await guest.hear()
            for number in range(20_000):
                guest.say(encode(Ping(number)))
            assert await guest.is_hung_up_on()
        assert one.link.refused == {"too-many": 1}
        await is_unharmed(one, three)


async def test_who_asks_and_never_reads_costs_little_and_delays_nobody() -> None:
    one, three = make_node("node1"), make_node("node3")
    long = membership_of(*(f"node{number}" + "x" * 50 for number in range(100)))
    one.on_vote_request = lambda vote_request, answer: answer(one.vote_for(vote_request)._replace(membership=long))
    async with running(one, three):
        await connected(one, three)
        async with stranger(one, "node2", small_buffer=True) as guest:
            await guest.hear()
            vote_request = encode(make_node("node2").vote_request())
            guest.writer.transport.pause_reading()  # type: ignore[attr-defined]
            for number in range(1, 4_000):
                guest.say(vote_request.replace(b'"request":1,', b'"request":%d,' % number))
                await asyncio.sleep(0.001)
                (inside,) = [
                    guest for guest in one.link._inbound.all if guest.greeting and guest.greeting.node == "node2"
                ]
                if inside.channel._waiting:
                    break
            else:
                pytest.fail("the votes never piled up")
            for number in range(5_000, 5_500):
                guest.say(vote_request.replace(b'"request":1,', b'"request":%d,' % number))
            before_s = time.monotonic()
            await is_unharmed(one, three)
            assert time.monotonic() - before_s < 2
            await asyncio.sleep(0.3)
            assert len(inside.channel._waiting) <= 64
        await is_unharmed(one, three)


async def test_ballots_to_a_member_that_never_reads_are_dropped_and_given_up_the_oldest_first() -> None:
    one = make_node("node1")
    async with running(one), Impostor("node2").open() as impostor:
        one.link.know({"node2": impostor.address})
        one.link.expect(["node2"])
        await eventually(lambda: one.link.peers["node2"].is_connected)
        impostor.callers[-1].writer.transport.pause_reading()  # type: ignore[attr-defined]
        sent: list[int] = []
        while not one.no_votes:
            assert len(sent) < 100_000
            request = one.ask("node2")
            assert request is not None
            sent.append(request)
            if len(sent) % 100 == 0:
                await asyncio.sleep(0)
        assert one.link.peers["node2"].is_connected
        given_up = one.no_votes[0][1]
        assert len(sent) - sent.index(given_up) in range(60, 200)
        # Words that must arrive wait, but not without end.
        while one.link.send("node2", Freeing(CLAIM)):
            assert len(sent) < 200_000
            sent.append(0)
        assert one.link.refused == {"unread": 1}
        await eventually(lambda: "does not read" in one.link.peers["node2"].reason)
        assert sent.count(0) in range(900, 1_200)


async def test_the_silent_and_the_slow_are_sent_away_within_seconds_and_others_come_in_meanwhile() -> None:
    one, three = make_node("node1"), make_node("node3")
    await start(one)
    loop = asyncio.get_running_loop()
    plugs = [socket.create_connection(("127.0.0.1", one.link.port)) for _ in range(20)]
    started_s = loop.time()
    try:
        for index, plug in enumerate(plugs):
            if index % 2:
                plug.send(b"\x16\x03\x01")  # the beginning of a handshake
        async with stranger(one, "node2", greeting=b"") as guest, running(three):
            guest.raw(b"\x00\x00")  # the beginning of a greeting
            three.link.know({"node1": one.address})
            one.link.know({"node3": three.address})
            for node in (one, three):
                node.link.expect(["node1", "node3"])
            await is_unharmed(one, three)
            assert loop.time() - started_s < 2
            assert await guest.is_hung_up_on()
            await eventually(lambda: one.link.refused.get("slow") == 21)
            assert 2.5 < loop.time() - started_s < 6
            for plug in plugs:
                plug.settimeout(1)
                assert await loop.run_in_executor(None, _is_closed, plug)
            await is_unharmed(one, three)
    finally:
        for plug in plugs:
            plug.close()
        await one.link.stop()


def _is_closed(plug: socket.socket) -> bool:
    try:
        while plug.recv(4096):
            pass
    except ConnectionError:
        return True
    return True


async def test_a_guest_that_dribbles_bytes_is_as_silent_as_one_that_says_nothing() -> None:
    one = make_node("node1")
    async with running(one), stranger(one, "node2") as guest:
        await guest.hear()
        frame = FrameWriter().pack(encode(Ping(1)) + b" " * 1_000)
        loop = asyncio.get_running_loop()
        started_s = loop.time()

        async def dribble() -> None:
            for byte in frame:
                guest.raw(bytes([byte]))
                await asyncio.sleep(0.05)

        dribbling = loop.create_task(dribble())
        assert await guest.is_hung_up_on(within_s=8)
        assert 2 < loop.time() - started_s < 6
        dribbling.cancel()


async def test_a_member_that_falls_silent_is_noticed_within_seconds() -> None:
    one = make_node("node1")
    async with running(one), Impostor("node2").open() as impostor:
        one.link.know({"node2": impostor.address})
        one.link.expect(["node2"])
        await eventually(lambda: one.link.peers["node2"].is_connected)
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        request = one.ask("node2")
        await eventually(lambda: one.no_votes == [("node2", request)])
        assert 2 < loop.time() - started_s < 5
        assert "for 3 s" in one.link.peers["node2"].reason


async def test_more_connections_than_there_is_room_for_cost_the_oldest_silent_one_its_place() -> None:
    one, two = make_node("node1"), make_node("node2")
    await start(one)
    plugs: list[socket.socket] = []
    try:
        for _ in range(HANDSHAKES_MAX + 40):
            plugs.append(socket.create_connection(("127.0.0.1", one.link.port)))
            await asyncio.sleep(0)
        await eventually(lambda: one.link.refused.get("too-many", 0) >= 40)
        async with running(two):
            two.link.know({"node1": one.address})
            one.link.know({"node2": two.address})
            for node in (one, two):
                node.link.expect(["node1", "node2"])
            await is_unharmed(one, two)
    finally:
        for plug in plugs:
            plug.close()
        await one.link.stop()


async def test_members_that_hang_in_their_handshake_delay_no_other() -> None:
    one, two = make_node("node1"), make_node("node2")
    with socket.create_server(("127.0.0.1", 0), backlog=200) as deaf:
        async with running(one, two):
            hung = [f"a{number}" for number in range(60)]
            one.link.know(dict.fromkeys(hung, f"127.0.0.1:{deaf.getsockname()[1]}"))
            one.link.expect(hung)
            await asyncio.sleep(0.3)
            before_s = time.monotonic()
            one.link.expect([*hung, "node2"])
            await is_unharmed(one, two)
            assert time.monotonic() - before_s < 1.5
            await eventually(lambda: "did not answer the handshake" in one.link.peers["a59"].reason)


async def test_what_is_not_tls_is_foreign_and_a_port_scan_is_nothing() -> None:
    one = make_node("node1")
    async with running(one):
        for _ in range(3):
            socket.create_connection(("127.0.0.1", one.link.port)).close()
        with socket.create_connection(("127.0.0.1", one.link.port)) as plug:
            plug.send(b"GET / HTTP/1.1\r\nHost: node1\r\n\r\n")
            await eventually(lambda: one.link.refused == {"foreign": 1})


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
async def test_no_descriptor_is_left_behind_by_whoever_was_refused() -> None:
    one, two = make_node("node1"), make_node("node2", key=OTHER_KEY)
    async with running(one):
        async with stranger(one, "node3") as guest:
            await guest.hear()
        before = _open_files()
        async with running(two):
            two.link.know({"node1": one.address, "node4": "127.0.0.1:1"})
            two.link.expect(["node1", "node4"])
            for _ in range(20):
                with socket.create_connection(("127.0.0.1", one.link.port)) as plug:
                    plug.send(b"GET / HTTP/1.1\r\n\r\n")
                async with stranger(one, "node3", greeting=b"nonsense") as guest:
                    assert await guest.is_hung_up_on()
            await eventually(lambda: one.link.refused.get("foreign", 0) >= 2)
        await eventually(lambda: _open_files() <= before)
