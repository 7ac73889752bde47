"""Whoever does not belong here is refused, counted and named, and costs those who do nothing."""

import asyncio
import socket
import sys
import time
from pathlib import Path

import pytest

from rppam.adapters.members.codec import (
    PROTOCOL,
    Greeting,
    Ping,
    Pong,
    Purpose,
    decode,
    decode_greeting,
    encode,
    encode_greeting,
)
from rppam.adapters.members.door import HANDSHAKES_MAX
from rppam.adapters.members.frames import FrameWriter
from rppam.domain.ballot import Ballot, Claim, Freeing, Invitation, Vote
from rppam.domain.errors.cluster import MemberPortInUse
from tests.integration.members.links import (
    CLUSTER,
    OTHER_KEY,
    Impostor,
    Node,
    connected,
    electorate_of,
    eventually,
    make_node,
    running,
    start,
    stranger,
)

CLAIM = Claim("node2", "41aa0b2c3d4e5f60", 9)


async def is_unharmed(node: Node, friend: Node) -> None:
    """Both still talk."""
    await eventually(lambda: node.link.peers[friend.name].is_connected and friend.link.peers[node.name].is_connected)
    so_far = len(friend.votes)
    assert friend.ask(node.name) is not None
    await eventually(lambda: len(friend.votes) == so_far + 1)


async def test_a_wrong_cluster_key_is_foreign_on_both_sides() -> None:
    one, two = make_node("node1"), make_node("node2", key=OTHER_KEY)
    async with running(one, two):
        for node in (one, two):
            await eventually(lambda node=node: node.link.refused.get("foreign", 0) >= 2)  # type: ignore[misc]
        reason = one.link.peers["node2"].reason
        assert "does not hold the key of this cluster" in reason
        assert "auth.clusterKeyPath" in reason
        assert not one.link.peers["node2"].is_connected
        assert any("127.0.0.1" in sentence for sentence in two.link.complaints)
        assert one.ask("node2") is None
        assert (one.ballots, two.ballots) == ([], [])


async def test_a_wrong_cluster_id_is_told_from_a_wrong_key() -> None:
    one, two = make_node("node1"), make_node("node2", cluster_id="cluster-002")
    async with running(one, two):
        await eventually(lambda: one.link.refused.get("cluster-id", 0) >= 2)
        await eventually(lambda: "cluster-id" in two.link.refused)
        assert "foreign" not in one.link.refused
        assert "cluster.clusterId" in one.link.peers["node2"].reason
        assert any("cluster-002" in sentence for sentence in one.link.complaints)
        assert not one.link.peers["node2"].is_connected


@pytest.mark.parametrize(("version", "word"), [(0, "older"), (PROTOCOL + 1, "newer")])
async def test_another_protocol_version_is_refused_and_named(version: int, word: str) -> None:
    one = make_node("node1")
    async with running(one), Impostor("node2").open(greets=f"rppam-member {version} whatever") as impostor:
        async with stranger(one, "node2", greeting=f"rppam-member {version} link of another kind") as guest:
            answer = decode_greeting(await guest.hear() or "")
            assert answer == ("version", PROTOCOL)
            assert await guest.is_hung_up_on()
        assert one.link.refused == {"version": 1}
        assert f"version {version} of the member protocol, an {word}".replace("an newer", "a newer") in " ".join(
            one.link.complaints
        )
        one.link.know({"node2": impostor.address})
        one.link.expect(["node2"])
        await eventually(lambda: one.link.refused["version"] >= 2)
        assert f"speaks version {version}" in one.link.peers["node2"].reason
        assert one.ask("node2") is None


async def test_an_older_node_that_refuses_us_is_named() -> None:
    one = make_node("node1")
    async with running(one), Impostor("node2").open(greets="no version 0") as impostor:
        one.link.know({"node2": impostor.address})
        one.link.expect(["node2"])
        await eventually(lambda: "does not let this node in: it speaks version 0" in one.link.peers["node2"].reason)


async def test_of_two_nodes_with_one_name_the_second_is_refused_and_told() -> None:
    one, two, twin = make_node("node1"), make_node("node2"), make_node("node2")
    async with running(one, two):
        await connected(one, two)
        await start(twin)
        try:
            twin.link.know({"node1": one.address})
            twin.link.expect(["node1"])
            await eventually(lambda: one.link.refused.get("twin", 0) >= 2)
            # The twin sees that node1 lives with another of its name, or is told so.
            await eventually(lambda: twin.link.twin)
            assert any("two nodes are named 'node2'" in sentence for sentence in one.link.complaints)
            # Even when the twin's address is what the store shows, node1 stays with the first.
            one.link.know({"node2": twin.address})
            assert one.ask("node2") is not None
            await eventually(lambda: one.votes)
            assert {vote.boot_id for vote in one.votes} == {two.boot_id}
            assert twin.ballots == []
            assert two.link.twin == ""
            await is_unharmed(one, two)
        finally:
            await twin.link.stop()


async def test_a_node_that_starts_again_right_after_its_host_died_is_no_twin_of_its_old_self() -> None:
    one, again = make_node("node1"), make_node("node2")
    await start(one)
    try:
        async with stranger(one, "node2", boot_id="1" * 16) as old_self, running(again):
            await old_self.hear()  # and then its host dies: it says nothing any more, and nobody closes its connection
            one.link.know({"node2": again.address})
            again.link.know({"node1": one.address})
            for node in (one, again):
                node.link.expect(["node1", "node2"])
            await eventually(lambda: "twin" in one.link.refused)
            await is_unharmed(one, again)
            assert again.link.twin == ""
            await asyncio.sleep(0.5)
            assert again.link.twin == ""
    finally:
        await one.link.stop()


async def test_a_node_that_is_called_by_its_own_name_knows_its_twin() -> None:
    one, twin = make_node("node1"), make_node("node1")
    await start(one, twin)
    try:
        twin.link.know({"node2": one.address})
        twin.link.expect(["node2"])
        await eventually(lambda: one.link.twin and twin.link.twin)
        assert "this node's name 'node1'" in one.link.twin
        assert one.link.refused["own-name"] >= 1
    finally:
        await asyncio.gather(one.link.stop(), twin.link.stop())


async def test_an_address_that_leads_back_or_to_somebody_else_is_told() -> None:
    one, two = make_node("node1"), make_node("node2")
    async with running(one, two):
        one.link.know({"node3": one.address, "node4": two.address})
        one.link.expect(["node2", "node3", "node4"])
        await eventually(lambda: "leads back to this node" in one.link.peers["node3"].reason)
        await eventually(lambda: "a node named 'node2' answers" in one.link.peers["node4"].reason)
        await is_unharmed(one, two)
        await asyncio.sleep(0.3)
        assert one.link.twin == ""
        assert one.link.refused.keys() == {"itself", "wrong-name"}
        assert two.link.refused == {}


@pytest.mark.parametrize("kind", ["ballot", "freeing", "invitation"])
async def test_who_speaks_in_anothers_name_is_refused(kind: str) -> None:
    one, three = make_node("node1"), make_node("node3")
    async with running(one, three):
        forged = {
            "ballot": three.ballot(candidate="node3"),
            "freeing": Freeing(CLAIM._replace(candidate="node3")),
            "invitation": Invitation(CLAIM._replace(candidate="node3")),
        }[kind]
        async with stranger(one, "node2") as guest:
            assert decode_greeting(await guest.hear() or "") is not None
            guest.say(encode(forged))
            assert await guest.is_hung_up_on()
        assert one.link.refused == {"forged": 1}
        assert any("node2 at 127.0.0.1" in sentence for sentence in one.link.complaints)
        assert (one.ballots, one.freeings, one.invitations) == ([], [], [])
        await is_unharmed(one, three)


async def test_a_greeting_in_anothers_name_is_refused() -> None:
    one = make_node("node1")
    async with running(one):
        greeting = Impostor("node3").greeting
        async with stranger(one, "node2", greeting=greeting) as guest:
            assert await guest.hear() is None
        assert one.link.refused == {"forged": 1}


async def test_a_forged_or_unasked_vote_is_not_counted() -> None:
    one = make_node("node1")
    async with running(one), Impostor("node2").open() as impostor:
        one.link.know({"node2": impostor.address})
        one.link.expect(["node2"])
        await eventually(lambda: one.link.peers["node2"].is_connected)
        voter = make_node("node2")
        request = one.ask("node2")
        caller = impostor.callers[-1]
        ballot = decode(await caller.hear() or "")
        assert isinstance(ballot, Ballot)
        vote = voter.vote_for(ballot)
        caller.say(encode(vote._replace(request=77)))
        await eventually(lambda: one.link.refused.get("unasked") == 1)
        caller.say(encode(vote))
        caller.say(encode(vote))
        await eventually(lambda: one.link.refused.get("unasked") == 2)
        assert one.votes == [vote]
        assert one.votes[0].request == request
        again = one.ask("node2")
        caller.say(encode(vote._replace(request=again, voter="node3")))
        await eventually(lambda: one.link.refused.get("forged") == 1)
        await eventually(lambda: one.no_votes == [("node2", again)])
        assert one.votes == [vote]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nonsense", "malformed"),
        ("", "malformed"),
        ("ballot vote 1 node2 41aa0b2c3d4e5f60 9 5 rppam-electorate1 x", "malformed"),
        ("freeing node2 41aa0b2c3d4e5f60 -1", "malformed"),
        ("vote renew node2 41aa0b2c3d4e5f60 1 5 granted none 5 0.1 99 node1 -", "malformed"),
        ("freeing \xff", "malformed"),
    ],
)
async def test_what_is_no_message_ends_the_connection(text: str, reason: str) -> None:
    one, three = make_node("node1"), make_node("node3")
    async with running(one, three):
        async with stranger(one, "node2") as guest:
            await guest.hear()
            data = text.encode("latin-1")
            guest.raw((len(data) + 8).to_bytes(4, "big") + (1).to_bytes(8, "big") + data)
            assert await guest.is_hung_up_on()
        assert one.link.refused == {reason: 1}
        await is_unharmed(one, three)


async def test_a_message_that_is_too_long_is_refused_before_it_is_there() -> None:
    one = make_node("node1")
    async with running(one):
        async with stranger(one, "node2") as guest:
            await guest.hear()
            guest.raw((65 * 1024).to_bytes(4, "big"))
            assert await guest.is_hung_up_on()
        assert one.link.refused == {"oversized": 1}


async def test_a_release_that_is_said_again_is_refused() -> None:
    one = make_node("node1")
    async with running(one):
        async with stranger(one, "node2") as guest:
            await guest.hear()
            frame = guest.frames.pack(encode(Freeing(CLAIM)))
            guest.raw(frame)
            await eventually(lambda: one.freeings == [Freeing(CLAIM)])
            guest.raw(frame)
            assert await guest.is_hung_up_on()
        assert one.freeings == [Freeing(CLAIM)]
        assert one.link.refused == {"replayed": 1}


async def test_a_flood_of_messages_ends_the_connection() -> None:
    one, three = make_node("node1"), make_node("node3")
    async with running(one, three):
        async with stranger(one, "node2") as guest:
            await guest.hear()
            for number in range(20_000):
                guest.say(f"ping {number}")
            assert await guest.is_hung_up_on()
        assert one.link.refused == {"too-many": 1}
        await is_unharmed(one, three)


async def test_who_asks_and_never_reads_costs_little_and_delays_nobody() -> None:
    one, three = make_node("node1"), make_node("node3")
    long = electorate_of(*(f"node{number}" + "x" * 50 for number in range(100)))
    one.on_ballot = lambda ballot, answer: answer(one.vote_for(ballot)._replace(electorate=long))
    async with running(one, three):
        await connected(one, three)
        async with stranger(one, "node2", small_buffer=True) as guest:
            await guest.hear()
            ballot = encode(make_node("node2").ballot())
            guest.writer.transport.pause_reading()  # type: ignore[attr-defined]
            for number in range(1, 4_000):
                guest.say(ballot.replace("renew 1 ", f"renew {number} "))
                await asyncio.sleep(0.001)
                (inside,) = [
                    guest for guest in one.link._guests.all if guest.greeting and guest.greeting.node == "node2"
                ]
                if inside.channel._waiting:
                    break
            else:
                pytest.fail("the votes never piled up")
            for number in range(5_000, 5_500):
                guest.say(ballot.replace("renew 1 ", f"renew {number} "))
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
        async with stranger(one, "node2", greeting="") as guest, running(three):
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
        frame = FrameWriter().pack("ping 1" + " " * 1_000)
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


async def test_an_errand_brings_a_release_beside_the_link_and_nothing_else() -> None:
    one, two = make_node("node1"), make_node("node2")
    async with running(one, two):
        await connected(one, two)
        async with stranger(one, "node2", purpose=Purpose.ERRAND) as guest:
            assert decode_greeting(await guest.hear() or "") is not None
            guest.say(encode(Freeing(CLAIM)))
            await eventually(lambda: one.freeings == [Freeing(CLAIM)])
            guest.say(encode(two.ballot()))
            assert await guest.is_hung_up_on()
        assert one.link.refused == {"malformed": 1}
        assert one.ballots == []
        await is_unharmed(one, two)


async def test_an_errand_may_be_said_in_one_breath() -> None:
    one = make_node("node1")
    async with running(one), stranger(one, "node2", greeting="") as guest:
        greeting = Greeting(Purpose.ERRAND, CLUSTER, "node2", "1" * 16, "2" * 16, "")
        said = [encode_greeting(greeting), encode(Freeing(CLAIM)), encode(Invitation(CLAIM)), encode(Ping(1))]
        guest.raw(b"".join(guest.frames.pack(text) for text in said))
        assert isinstance(decode_greeting(await guest.hear() or ""), Greeting)
        assert decode(await guest.hear() or "") == Pong(1)
        assert one.freeings == [Freeing(CLAIM)]
        assert one.invitations == [Invitation(CLAIM)]


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
                async with stranger(one, "node3", greeting="nonsense") as guest:
                    assert await guest.is_hung_up_on()
            await eventually(lambda: one.link.refused.get("foreign", 0) >= 2)
        await eventually(lambda: _open_files() <= before)


async def test_the_same_complaint_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    one = make_node("node1")
    async with running(one):
        for _ in range(5):
            async with stranger(one, "node2") as guest:
                await guest.hear()
                guest.say("nonsense")
                assert await guest.is_hung_up_on()
        assert one.link.refused == {"malformed": 5}
    assert sum("no message between members" in record.message for record in caplog.records) == 1


async def test_a_port_that_is_taken_is_told_with_the_fix() -> None:
    one = make_node("node1")
    await start(one)
    try:
        two = make_node("node2", port=one.link.port)
        with pytest.raises(MemberPortInUse, match=r"127\.0\.0\.1:\d+: Address already in use.*ss -ltnp"):
            await start(two)
        await two.link.stop()
    finally:
        await one.link.stop()


def test_a_vote_is_never_made_of_what_is_not_one() -> None:
    assert not isinstance(decode("vote"), Vote)
