"""Members find each other over real sockets, and everything said between them arrives once and in order."""

import asyncio
import logging
import statistics
from collections.abc import Callable
from functools import partial

import pytest

from rppam.cluster.consensus.messages import Candidacy, Freeing, Invitation, Vote, VoteRequest
from rppam.kernel.system_entropy import fresh_boot_id
from tests.cluster.link.links import (
    CLOCK,
    KEY,
    connected,
    eventually,
    introduce,
    make_node,
    membership_of,
    running,
    start,
)

pytestmark = pytest.mark.integration


async def test_three_nodes_recognise_each_other_and_vote() -> None:
    nodes = [make_node(f"node{number}") for number in (1, 2, 3)]
    one, two, three = nodes
    async with running(*nodes):
        await connected(*nodes)
        assert one.ask("node2") is not None
        assert one.ask("node3") is not None
        await eventually(lambda: len(one.votes) == 2)
        assert {vote.voter for vote in one.votes} == {"node2", "node3"}
        assert {vote.boot_id for vote in one.votes} == {two.boot_id, three.boot_id}
        assert two.vote_requests == [one.vote_request()._replace(request=1, now=two.vote_requests[0].now)]
        assert one.link.refused == {}
        state = one.link.peers["node2"]
        assert state.reason == ""
        assert state.address == two.address
        assert state.heard_ms_ago is not None
        assert state.heard_ms_ago < 5_000
        await eventually(lambda: one.link.peers["node2"].round_trip_us is not None)


async def test_releases_and_invitations_arrive() -> None:
    one, two = make_node("node1"), make_node("node2")
    async with running(one, two):
        await connected(one, two)
        candidacy = Candidacy("node1", one.boot_id, 7)
        assert one.link.send("node2", Freeing(candidacy))
        assert one.link.send("node2", Invitation(candidacy))
        await eventually(lambda: two.invitations)
        assert two.freeings == [Freeing(candidacy)]
        assert two.invitations == [Invitation(candidacy)]


async def test_nothing_is_lost_doubled_or_reordered_on_a_healthy_link() -> None:
    one, two = make_node("node1"), make_node("node2")
    async with running(one, two):
        await connected(one, two)
        for _ in range(200):
            for _ in range(5):
                assert one.ask("node2") is not None
                assert two.ask("node1") is not None
            await asyncio.sleep(0.001)
        await eventually(lambda: len(one.votes) == 1_000 and len(two.votes) == 1_000)
        await asyncio.sleep(0.05)
        for asker, voter in ((one, two), (two, one)):
            assert [vote_request.request for vote_request in voter.vote_requests] == list(range(1, 1_001))
            assert [vote.request for vote in asker.votes] == list(range(1, 1_001))
            assert asker.no_votes == []
            assert asker.link.refused == {}


async def test_what_was_sent_before_the_stop_arrives() -> None:
    one, two = make_node("node1"), make_node("node2")
    async with running(one, two):
        await connected(one, two)
        candidacy = Candidacy("node1", one.boot_id, 7)
        for _ in range(20):
            assert one.link.send("node2", Freeing(candidacy))
        await one.link.stop()
        await eventually(lambda: len(two.freeings) == 20)
        assert not one.link.send("node2", Freeing(candidacy))
        await one.link.stop()


async def test_an_answer_may_be_given_later_or_never() -> None:
    one, two = make_node("node1"), make_node("node2")
    later: list[asyncio.TimerHandle] = []

    def answer_odd_ones_later(vote_request: VoteRequest, answer: Callable[[Vote], None]) -> None:
        if vote_request.request % 2:
            vote = two.vote_for(vote_request)
            later.append(asyncio.get_running_loop().call_later(0.05, answer, vote))

    two.on_vote_request = answer_odd_ones_later
    async with running(one, two):
        await connected(one, two)
        for _ in range(4):
            one.ask("node2")
        await eventually(lambda: len(one.votes) == 2)
        assert [vote.request for vote in one.votes] == [1, 3]
        assert one.no_votes == []
        await two.link.stop()
        await eventually(lambda: len(one.no_votes) == 2)
        assert one.no_votes == [("node2", 2), ("node2", 4)]


async def test_a_restarted_member_is_found_again_and_open_ballots_are_given_up() -> None:
    one, two = make_node("node1"), make_node("node2")
    two.on_vote_request = lambda vote_request, answer: None
    async with running(one, two):
        await connected(one, two)
        request = one.ask("node2")
        await eventually(lambda: two.vote_requests)
        port = two.link.port
        await two.link.stop()
        await eventually(lambda: one.no_votes == [("node2", request)])
        assert one.ask("node2") is None
        await eventually(lambda: "refused" in one.link.peers["node2"].reason)
        assert "cluster.memberPort" in one.link.peers["node2"].reason
        again = make_node("node2", port=port, boot_id=fresh_boot_id())
        async with running(again):
            again.link.know({"node1": one.address})
            again.link.expect(["node1"])
            await connected(one, again)
            assert one.ask("node2") is not None
            await eventually(lambda: len(one.votes) == 1)
            assert one.votes[0].boot_id == again.boot_id
        assert one.link.refused == {}


async def test_a_member_at_an_unknown_address_is_found_when_it_connects() -> None:
    one = make_node("node1")
    await start(one)
    try:
        one.link.expect(["node1", "node2"])
        await eventually(lambda: "no address of node2 is known" in one.link.peers["node2"].reason)
        # It cannot know its own port before it listens, so it listens once to find a free one.
        probe = make_node("node2")
        await start(probe)
        port = probe.link.port
        await probe.link.stop()
        two = make_node("node2", port=port, advertised=f"127.0.0.1:{port}")
        await start(two)
        try:
            two.link.know({"node1": one.address})
            two.link.expect(["node1"])
            await connected(one, two)
            assert one.link.addresses == {"node2": f"127.0.0.1:{port}"}
        finally:
            await two.link.stop()
    finally:
        await one.link.stop()


async def test_only_expected_members_are_kept() -> None:
    nodes = [make_node(f"node{number}") for number in (1, 2, 3)]
    one = nodes[0]
    async with running(*nodes):
        await connected(*nodes)
        one.link.expect(["node1", "node3"])
        assert list(one.link.peers) == ["node3"]
        assert one.ask("node2") is None
        assert one.ask("node3") is not None
        assert one.ask("node9") is None
        assert one.ask("node1") is None
        one.link.expect(["node2", "node3"])
        await connected(*nodes)


async def test_a_member_that_moved_is_found_at_its_new_address() -> None:
    one, two = make_node("node1"), make_node("node2")
    async with running(one, two):
        await connected(one, two)
        await two.link.stop()
        moved = make_node("node2")
        async with running(moved):
            moved.link.know({"node1": one.address})
            one.link.know({"node2": moved.address})
            moved.link.expect(["node1"])
            await connected(one, moved)


async def test_a_listener_that_fails_costs_neither_the_link_nor_the_next_message() -> None:
    one, two = make_node("node1"), make_node("node2")
    reported: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context["message"]))

    def fail_first(vote_request: VoteRequest, answer: Callable[[Vote], None]) -> None:
        if vote_request.request == 1:
            raise ZeroDivisionError
        answer(two.vote_for(vote_request))

    two.on_vote_request = fail_first
    async with running(one, two):
        await connected(one, two)
        one.ask("node2")
        one.ask("node2")
        await eventually(lambda: one.votes)
        assert [vote.request for vote in one.votes] == [2]
    assert len(reported) == 1


async def test_nothing_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    one, two = make_node("node1"), make_node("node2")
    async with running(one, two):
        await connected(one, two)
        one.ask("node2")
        await eventually(lambda: one.votes)
    text = caplog.text
    assert "connected to member node2" in text
    assert KEY.reveal() not in text
    assert "PRIVATE" not in text
    assert KEY.reveal() not in repr(one.link.options)


@pytest.mark.alone
async def test_many_members_are_all_connected_in_seconds_and_votes_take_milliseconds() -> None:
    names = [f"node{number:02d}" for number in range(20)]
    nodes = [make_node(name) for name in names]
    membership = membership_of(*names)
    for node in nodes:
        await node.link.start(node.listener)
    try:
        started_us = CLOCK.now()
        introduce(*nodes)
        await eventually(
            lambda: all(peer.is_connected for node in nodes for peer in node.link.peers.values()), within_s=60
        )
        took_us = CLOCK.now() - started_us
        one = nodes[0]
        times_us: list[int] = []

        def has_votes(count: int) -> bool:
            return len(one.votes) == count

        for asked in range(1, 21):
            before_us = CLOCK.now()
            for name in names[1:]:
                assert one.link.send(name, one.vote_request(membership=membership))
            await eventually(partial(has_votes, asked * (len(names) - 1)))
            times_us.append(CLOCK.now() - before_us)
        print(
            f"380 connections in {took_us / 1e6:.2f} s; a round of 19 votes {statistics.median(times_us) / 1e3:.1f} ms"
        )
        assert statistics.median(times_us) < 500_000
        assert all(node.link.refused == {} for node in nodes)
    finally:
        await asyncio.gather(*(node.link.stop() for node in nodes))
