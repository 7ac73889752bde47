"""Last words, said by another process of a node: confirmed, bounded, beside the node's own connection."""

import asyncio
import socket
import time

from rppam.adapters.members.errand import Errand
from rppam.adapters.members.party import MemberOptions
from rppam.adapters.system.entropy import SystemEntropy
from rppam.domain.ballot import Claim, Freeing, Invitation
from rppam.domain.secret import Secret
from tests.integration.members.links import (
    CLOCK,
    CLUSTER,
    KEY,
    OTHER_KEY,
    Impostor,
    Node,
    connected,
    eventually,
    make_node,
    running,
    start,
)


def errand_of(node: Node, *, key: Secret = KEY) -> Errand:
    options = MemberOptions(node_name=node.name, boot_id=node.boot_id, cluster_id=CLUSTER, cluster_key=key)
    return Errand(options, clock=CLOCK, entropy=SystemEntropy())


async def test_a_release_reaches_all_members_while_the_nodes_own_links_still_stand() -> None:
    one, two, three = nodes = [make_node(f"node{number}") for number in (1, 2, 3)]
    async with running(*nodes):
        await connected(*nodes)
        errand = errand_of(one)
        claim = Claim("node1", one.boot_id, 7)
        words = [Freeing(claim), Invitation(claim)]
        addresses = {"node2": two.address, "node3": three.address}
        outcomes = await asyncio.to_thread(errand.say, addresses, words, timeout_ms=2_000)
        assert outcomes == {"node2": "", "node3": ""}
        # Confirmed means taken, not on its way.
        assert two.freeings == three.freeings == [Freeing(claim)]
        assert two.invitations == three.invitations == [Invitation(claim)]
        assert two.link.refused == {}
        assert one.link.peers["node2"].is_connected
        assert two.link.peers["node1"].is_connected


async def test_a_member_that_does_not_answer_costs_the_others_nothing_and_the_time_is_kept() -> None:
    one, two = make_node("node1"), make_node("node2")
    await start(two)
    try:
        with socket.create_server(("127.0.0.1", 0)) as deaf, socket.create_server(("127.0.0.1", 0)) as gone:
            addresses = {
                "node2": two.address,
                "node3": f"127.0.0.1:{deaf.getsockname()[1]}",
                "node4": f"127.0.0.1:{gone.getsockname()[1]}",
                "node5": "no address",
                "node6": two.address,
            }
            gone.close()
            errand = errand_of(one)
            words = [Freeing(Claim("node1", one.boot_id, 7))]
            before_s = time.monotonic()
            outcomes = await asyncio.to_thread(errand.say, addresses, words, timeout_ms=1_000)
            assert time.monotonic() - before_s < 1.5
        assert outcomes["node2"] == ""
        assert "timed out" in outcomes["node3"] or "no confirmation" in outcomes["node3"]
        assert "refused" in outcomes["node4"]
        assert "node5 at no address" in outcomes["node5"]
        assert "another answers there" in outcomes["node6"]
        assert two.freeings == words
    finally:
        await two.link.stop()


async def test_a_stranger_runs_no_errand() -> None:
    one, two = make_node("node1"), make_node("node2")
    await start(two)
    try:
        words = [Freeing(Claim("node1", one.boot_id, 7))]
        foreign = errand_of(one, key=OTHER_KEY)
        outcomes = await asyncio.to_thread(foreign.say, {"node2": two.address}, words, timeout_ms=1_000)
        assert "CERTIFICATE_VERIFY_FAILED" in outcomes["node2"]
        await eventually(lambda: "foreign" in two.link.refused)
        forged = [Freeing(Claim("node3", one.boot_id, 7))]
        outcomes = await asyncio.to_thread(errand_of(one).say, {"node2": two.address}, forged, timeout_ms=1_000)
        assert outcomes["node2"] != ""
        assert two.link.refused["forged"] == 1
        assert two.freeings == []
    finally:
        await two.link.stop()


async def test_a_member_that_refuses_the_greeting_is_told() -> None:
    one = make_node("node1")
    async with Impostor("node2").open(greets="no version 9") as impostor:
        words = [Freeing(Claim("node1", one.boot_id, 7))]
        outcomes = await asyncio.to_thread(errand_of(one).say, {"node2": impostor.address}, words, timeout_ms=1_000)
        assert "does not let this node in" in outcomes["node2"]
        assert "version" in outcomes["node2"]
