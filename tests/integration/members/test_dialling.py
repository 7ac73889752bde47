"""A member's addresses are tried in turn, also where this host has no socket for one of them."""

import asyncio
import socket
from typing import cast

import pytest

from rppam.adapters.members.channel import Channel
from rppam.adapters.members.credentials import Credentials
from rppam.adapters.members.dial import NotReachedError, Pace, dial
from rppam.adapters.members.names import Names
from rppam.adapters.system.lookups import Place
from tests.contract.servers import free_port
from tests.integration.members.links import CLOCK, CLUSTER, KEY, Impostor

NO_FAMILY = cast("socket.AddressFamily", 99)
"""No kind of address of any system: what AF_INET6 is to one that does without IPv6."""


def at(*families: socket.AddressFamily) -> Names:
    """Every name has a place of each of ``families``."""

    def ask(_host: str, port: int, _flags: int) -> list[Place]:
        return [(family, ("127.0.0.1", port)) for family in families]

    return Names(ask)


async def reach(port: int, names: Names) -> Channel:
    """Dial ``node2``."""
    channel = Channel(clock=CLOCK, on_text=lambda *_: None, on_end=lambda *_: None)
    credentials = Credentials(KEY, cluster_id=CLUSTER, node_name="node1")
    await dial("node2", f"node2.example:{port}", channel, credentials.client, names, Pace(), timeout_s=5)
    return channel


@pytest.mark.parametrize("families", [(NO_FAMILY, socket.AF_INET), (socket.AF_INET, NO_FAMILY)])
async def test_one_that_this_host_has_no_socket_for_hides_no_other(
    families: tuple[socket.AddressFamily, ...],
) -> None:
    async with Impostor("node2").open() as member:
        channel = await reach(int(member.address.partition(":")[2]), at(*families))
        assert channel.ended is None
        channel.drop()
        await asyncio.wait([channel.gone], timeout=5)


@pytest.mark.parametrize("families", [(NO_FAMILY, socket.AF_INET), (socket.AF_INET, NO_FAMILY)])
async def test_the_reason_is_that_of_the_one_which_could_be_tried(families: tuple[socket.AddressFamily, ...]) -> None:
    with pytest.raises(NotReachedError, match="connection refused"):
        await reach(free_port(), at(*families))


async def test_where_there_is_no_socket_for_any_of_them_that_is_the_reason() -> None:
    with pytest.raises(NotReachedError, match=r"no connection to node2 at node2\.example.*does without that kind"):
        await reach(free_port(), at(NO_FAMILY))
