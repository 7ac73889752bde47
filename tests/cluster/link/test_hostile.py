"""Whoever does not belong here is refused, counted and named, and costs those who do nothing."""

import asyncio

import pytest

from rppam.cluster.consensus.messages import Freeing, Invitation, Vote, VoteRequest
from rppam.cluster.errors import MemberPortInUse
from rppam.cluster.link.codec import (
    PROTOCOL,
    Greeting,
    Message,
    Ping,
    Pong,
    Purpose,
    decode,
    decode_greeting,
    encode,
    encode_greeting,
)
from tests.cluster.link.links import (
    CLAIM,
    CLUSTER,
    OTHER_KEY,
    Impostor,
    connected,
    eventually,
    is_unharmed,
    make_node,
    running,
    start,
    stranger,
)

pytestmark = pytest.mark.integration


async def test_a_wrong_cluster_key_is_foreign_on_both_sides() -> None:
    one, two = make_node("node1"), make_node("node2", key=OTHER_KEY)
    async with running(one, two):
        await eventually(lambda: all(node.link.refused.get("foreign", 0) >= 2 for node in (one, two)))
        reason = one.link.peers["node2"].reason
        assert "does not hold the key of this cluster" in reason
        assert "auth.clusterKeyPath" in reason
        assert not one.link.peers["node2"].is_connected
        assert any("127.0.0.1" in sentence for sentence in two.link.complaints)
        assert one.ask("node2") is None
        assert (one.vote_requests, two.vote_requests) == ([], [])


async def test_a_wrong_cluster_id_is_told_from_a_wrong_key() -> None:
    one, two = make_node("node1"), make_node("node2", cluster_id="cluster-002")
    async with running(one, two):
        await eventually(lambda: one.link.refused.get("cluster-id", 0) >= 2)
        await eventually(lambda: "cluster-id" in two.link.refused)
        assert "foreign" not in one.link.refused
        assert "cluster.clusterId" in one.link.peers["node2"].reason
        assert any("cluster-002" in sentence for sentence in one.link.complaints)
        assert not one.link.peers["node2"].is_connected


async def test_health_names_what_is_wrong_with_a_member_now_and_not_what_was_before() -> None:
    one, other_key = make_node("node1"), make_node("node2", key=OTHER_KEY)
    async with running(one):
        await start(other_key)
        port = other_key.link.port
        one.link.know({"node2": other_key.address})
        one.link.expect(["node2"])
        await eventually(lambda: any("does not hold the key" in sentence for sentence in one.link.complaints))
        one.link.expect([])
        door = other_key.link._acceptor
        assert door is not None
        await eventually(lambda: not door._handshakes)
        await other_key.link.stop()
        other_id = make_node("node2", cluster_id="cluster-002", port=port)
        async with running(other_id):
            one.link.expect(["node2"])
            await eventually(
                lambda: any("its cluster.clusterId is another one" in sentence for sentence in one.link.complaints),
                told=lambda: one.link.complaints,
            )
            assert len(one.link.complaints) == 1, one.link.complaints
            assert set(one.link.refused) == {"foreign"}, "who refuses counts"


@pytest.mark.parametrize(("version", "word"), [(0, "older"), (PROTOCOL + 1, "newer")])
async def test_another_protocol_version_is_refused_and_named(version: int, word: str) -> None:
    one = make_node("node1")
    async with running(one), Impostor("node2").open(greets=b"rppam-member %d whatever" % version) as impostor:
        async with stranger(one, "node2", greeting=b"rppam-member %d link of another kind" % version) as guest:
            answer = decode_greeting(await guest.hear() or b"")
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
    async with running(one), Impostor("node2").open(greets=b"no version 0") as impostor:
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
            await eventually(lambda: twin.link.duplicate)
            assert any("two nodes are named 'node2'" in sentence for sentence in one.link.complaints)
            # Even when the twin's address is what the store shows, node1 stays with the first.
            one.link.know({"node2": twin.address})
            assert one.ask("node2") is not None
            await eventually(lambda: one.votes)
            assert {vote.boot_id for vote in one.votes} == {two.boot_id}
            assert twin.vote_requests == []
            assert two.link.duplicate == ""
            await is_unharmed(one, two)
        finally:
            await twin.link.stop()


async def test_of_two_with_one_name_the_link_tells_which_is_the_newcomer() -> None:
    one, two, twin = make_node("node1"), make_node("node2"), make_node("node2")
    async with running(one, two):
        await connected(one, two)
        assert one.link.callers == ("node2",)
        await start(twin)
        try:
            twin.link.know({"node1": one.address})
            twin.link.expect(["node1"])
            await eventually(lambda: twin.link.displaced)
            assert "node1" in twin.link.displaced
            assert two.link.displaced == ""
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
            assert again.link.duplicate == ""
            await asyncio.sleep(0.5)
            assert again.link.duplicate == ""
    finally:
        await one.link.stop()


async def test_a_node_that_is_called_by_its_own_name_knows_its_twin() -> None:
    one, twin = make_node("node1"), make_node("node1")
    await start(one, twin)
    try:
        twin.link.know({"node2": one.address})
        twin.link.expect(["node2"])
        await eventually(lambda: one.link.duplicate and twin.link.duplicate)
        assert "this node's name 'node1'" in one.link.duplicate
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
        assert one.link.duplicate == ""
        assert one.link.refused.keys() == {"itself", "wrong-name"}
        assert two.link.refused == {}


@pytest.mark.parametrize("kind", ["ballot", "freeing", "invitation"])
async def test_who_speaks_in_anothers_name_is_refused(kind: str) -> None:
    one, three = make_node("node1"), make_node("node3")
    async with running(one, three):
        messages: dict[str, Message] = {
            "ballot": three.vote_request(candidate="node3"),
            "freeing": Freeing(CLAIM._replace(candidate="node3")),
            "invitation": Invitation(CLAIM._replace(candidate="node3")),
        }
        async with stranger(one, "node2") as guest:
            assert decode_greeting(await guest.hear() or b"") is not None
            guest.say(encode(messages[kind]))
            assert await guest.is_hung_up_on()
        assert one.link.refused == {"forged": 1}
        assert any("node2 at 127.0.0.1" in sentence for sentence in one.link.complaints)
        assert (one.vote_requests, one.freeings, one.invitations) == ([], [], [])
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
        vote_request = decode(await caller.hear() or b"")
        assert isinstance(vote_request, VoteRequest)
        vote = voter.vote_for(vote_request)
        caller.say(encode(vote._replace(request=77)))
        await eventually(lambda: one.link.refused.get("unasked") == 1)
        caller.say(encode(vote))
        caller.say(encode(vote))
        await eventually(lambda: one.link.refused.get("unasked") == 2)
        assert one.votes == [vote]
        assert one.votes[0].request == request
        again = one.ask("node2")
        assert again is not None
        caller.say(encode(vote._replace(request=again, voter="node3")))
        await eventually(lambda: one.link.refused.get("forged") == 1)
        await eventually(lambda: one.no_votes == [("node2", again)])
        assert one.votes == [vote]


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense",
        b"",
        b"[]",
        b'{"type":5}',
        b'{"type":"ping"}',
        encode(make_node("node2").vote_request()).replace(b"rppam-electorate1", b"rppam-electorate9"),
        encode(Freeing(CLAIM)).replace(b":9}", b":-1}"),
        encode(make_node("node2").vote_for(make_node("node1").vote_request())),
        b'{"type":"freeing\xff"}',
    ],
)
async def test_what_is_no_message_ends_the_connection(data: bytes) -> None:
    one, three = make_node("node1"), make_node("node3")
    async with running(one, three):
        async with stranger(one, "node2") as guest:
            await guest.hear()
            guest.raw((len(data) + 8).to_bytes(4, "big") + (1).to_bytes(8, "big") + data)
            assert await guest.is_hung_up_on()
        assert one.link.refused == {"malformed": 1}
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


async def test_an_errand_brings_a_release_beside_the_link_and_nothing_else() -> None:
    one, two = make_node("node1"), make_node("node2")
    async with running(one, two):
        await connected(one, two)
        async with stranger(one, "node2", purpose=Purpose.ERRAND) as guest:
            assert decode_greeting(await guest.hear() or b"") is not None
            guest.say(encode(Freeing(CLAIM)))
            await eventually(lambda: one.freeings == [Freeing(CLAIM)])
            guest.say(encode(two.vote_request()))
            assert await guest.is_hung_up_on()
        assert one.link.refused == {"malformed": 1}
        assert one.vote_requests == []
        await is_unharmed(one, two)


async def test_an_errand_may_be_said_in_one_breath() -> None:
    one = make_node("node1")
    async with running(one), stranger(one, "node2", greeting=b"") as guest:
        greeting = Greeting(Purpose.ERRAND, CLUSTER, "node2", "1" * 16, "2" * 16, "")
        said = [encode_greeting(greeting), encode(Freeing(CLAIM)), encode(Invitation(CLAIM)), encode(Ping(1))]
        guest.raw(b"".join(guest.frames.pack(data) for data in said))
        assert isinstance(decode_greeting(await guest.hear() or b""), Greeting)
        assert decode(await guest.hear() or b"") == Pong(1)
        assert one.freeings == [Freeing(CLAIM)]
        assert one.invitations == [Invitation(CLAIM)]


async def test_the_same_complaint_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    one = make_node("node1")
    async with running(one):
        for _ in range(5):
            async with stranger(one, "node2") as guest:
                await guest.hear()
                guest.say(b"nonsense")
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
    assert not isinstance(decode(b'{"type":"vote"}'), Vote)
