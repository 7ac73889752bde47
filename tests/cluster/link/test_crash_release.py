"""What a dead leader's node says to members: to whom and where, said by the supervisor's own code to a real member."""

import asyncio
from ipaddress import ip_address

import pytest

from rppam.cluster.consensus.messages import Candidacy, Freeing, Invitation
from rppam.cluster.driver.crash_release import WORDS_MAX, freeing_words
from rppam.kernel.system_entropy import SystemEntropy
from rppam.process.supervisor.release_sender import deliver
from tests.cluster.link.links import eventually, make_node, running

pytestmark = pytest.mark.integration


async def test_a_member_known_by_name_is_told_without_looking_the_name_up() -> None:
    one, two = make_node("node1"), make_node("node2")
    async with running(one, two):
        one.link.know({"node2": f"localhost:{two.link.port}", "node3": "localhost:1"})
        one.link.expect(["node2", "node3"])
        await eventually(lambda: one.link.peers["node2"].is_connected)
        candidacy = Candidacy("node1", one.boot_id, 7)
        (word,) = freeing_words(
            one.link.options, one.link.credentials, one.link.places, candidacy, "node2", SystemEntropy()
        )
        assert ip_address(word.host).is_loopback
        assert word.port == two.link.port
        (outcome,) = await asyncio.to_thread(deliver, [word], 10_000)
        assert outcome.heard, outcome.said
        assert (two.freeings, two.invitations) == ([Freeing(candidacy)], [Invitation(candidacy)])


async def test_where_a_member_was_is_known_while_it_is_away() -> None:
    one, two = make_node("node1"), make_node("node2")
    async with running(one):
        async with running(two):
            one.link.know({"node2": f"localhost:{two.link.port}"})
            one.link.expect(["node2"])
            await eventually(lambda: one.link.peers["node2"].is_connected)
            port = two.link.port
        await eventually(lambda: not one.link.peers["node2"].is_connected)
        assert one.link.places["node2"][1] == port
        one.link.expect([])
        assert one.link.places == {}


def test_of_too_many_members_the_heir_is_the_first_to_be_told() -> None:
    link = make_node("node1").link
    places = {f"node{number:03}": ("10.0.0.1", number) for number in range(1, WORDS_MAX + 10)}
    heir = max(places)
    words = freeing_words(
        link.options, link.credentials, places, Candidacy("node1", "a" * 16, 7), heir, SystemEntropy()
    )
    told = [word.tls.server_name for word in words if word.tls is not None]
    assert told == [heir, *sorted(places)[: WORDS_MAX - 1]]
