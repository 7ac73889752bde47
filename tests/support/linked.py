"""Two served nodes whose member links are real: what one hands on, the other carries out."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from rppam.cluster.admin.forwarding import Carrier, LinkRelay
from rppam.cluster.consensus.heartbeat import Role
from rppam.cluster.link.link import TlsMemberLink
from rppam.cluster.link.local_peer import MemberListener, MemberOptions
from rppam.cluster.link.orders import OrderOptions
from rppam.crypto.data_key_ports import ClusterSecrets
from rppam.http.bounds import ApiLimits
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy, fresh_boot_id
from tests.support.served import Served, member

LINK_KEY, NODE_KEY = Secret("5b1e90aa" * 8), Secret("00c0ffee" * 8)


class LinkedNode(NamedTuple):
    """One of them."""

    served: Served
    link: TlsMemberLink


def nothing(*_: Any) -> None:
    """For votes, of which there are none here."""


def make_link(name: str, *, url: str = "", boot_id: str | None = None) -> TlsMemberLink:
    """A link that is not started."""
    options = MemberOptions(
        node_name=name, boot_id=boot_id or fresh_boot_id(), cluster_id="cluster-001", cluster_key=LINK_KEY,
        host="127.0.0.1", port=0, url=url,
    )  # fmt: skip
    return TlsMemberLink(options, clock=SystemClock(), entropy=SystemEntropy())


@asynccontextmanager
async def linked(folder: Path) -> AsyncIterator[tuple[LinkedNode, LinkedNode]]:
    """node1 leads, node2 is a standby; their links are connected."""
    made: list[LinkedNode] = []
    for name in ("node1", "node2"):
        link = make_link(name, url=f"http://{name}:7101")
        served = Served(folder / "keys", ApiLimits(), node=name, relay=LinkRelay(name, link))
        carrier = Carrier(served.orders, served.node.snapshot)
        link.take_orders(OrderOptions(lambda: ClusterSecrets(NODE_KEY), carrier, lambda node: node != "witness"))
        made.append(LinkedNode(served, link))
    one, two = made
    two.served.node.permission = None
    two.served.node.set(node="node2", role=Role.STANDBY)
    try:
        for node in made:
            await node.served.start()
            await node.link.start(MemberListener(nothing, nothing, nothing, nothing, nothing))
        know(*made)
        one.link.know({"node2": f"127.0.0.1:{two.link.port}"})
        two.link.know({"node1": f"127.0.0.1:{one.link.port}"})
        for node in made:
            node.link.expect(["node1", "node2"])
        await eventually(lambda: one.link.peers["node2"].is_connected and two.link.peers["node1"].is_connected)
        yield one, two
    finally:
        for node in made:
            await node.link.stop()
            await node.served.stop()


def know(one: LinkedNode, two: LinkedNode) -> None:
    """Both see each other, and a witness."""
    views = (
        member("node1", Role.LEADER, api_url=one.served.url, is_at_url=True),
        member("node2", Role.STANDBY, api_url=two.served.url, is_at_url=True),
        member("witness", Role.WITNESS, api_url=""),
    )
    for node in (one, two):
        node.served.node.set(members=views)


async def eventually(holds: Callable[[], object], *, within_s: float = 10) -> None:
    """Wait until it holds."""
    loop = asyncio.get_running_loop()
    until = loop.time() + within_s
    while not holds():
        assert loop.time() < until, f"it does not hold after {within_s} s"
        await asyncio.sleep(0.005)
