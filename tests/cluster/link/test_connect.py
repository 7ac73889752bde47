"""Addresses of a member are tried in turn, also where this host has no socket for one; and many members in turn."""

import asyncio
import socket
import time
from typing import cast

import pytest

from rppam.cluster.link.connect import Dialer, Names, NotReachedError, Pace
from rppam.cluster.link.connection import MemberConnection
from rppam.cluster.link.credentials import Credentials
from rppam.kernel.network import Place
from tests.cluster.link.links import CLOCK, CLUSTER, KEY, Impostor
from tests.support.ports import free_port

pytestmark = pytest.mark.integration

NO_FAMILY = cast("socket.AddressFamily", 99)
"""No kind of address of any system: what AF_INET6 is to one that does without IPv6."""


def at(*families: socket.AddressFamily) -> Names:
    """Every name has a place of each of ``families``."""

    def ask(_host: str, port: int, _flags: int) -> list[Place]:
        return [(family, ("127.0.0.1", port)) for family in families]

    return Names(ask)


async def reach(port: int, names: Names) -> MemberConnection:
    """Dial ``node2``."""
    channel = MemberConnection(clock=CLOCK, on_data=lambda *_: None, on_end=lambda *_: None)
    credentials = Credentials(KEY, cluster_id=CLUSTER, node_name="node1")
    await Dialer(credentials, names).dial("node2", f"node2.example:{port}", channel, timeout_s=5)
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


async def _turns_taken(blocked_s: float) -> int:
    """How many of a hundred who wait for their turn have it after twenty rounds of a loop that is blocked so long."""
    pace, taken = Pace(), 0

    async def one() -> None:
        nonlocal taken
        await pace.turn()
        taken += 1

    waiting = [asyncio.create_task(one()) for _ in range(100)]
    for _ in range(20):
        await asyncio.sleep(0)
        time.sleep(blocked_s)  # noqa: ASYNC251 - the point of it
    try:
        return taken
    finally:
        for task in waiting:
            task.cancel()


async def test_the_later_the_loop_runs_the_fewer_handshakes_are_begun() -> None:
    assert 2 <= await _turns_taken(0.02) <= 12  # one every 3 ms would be all of them


async def test_in_a_quiet_loop_everybody_has_his_turn() -> None:
    pace = Pace()
    async with asyncio.timeout(20):
        await asyncio.gather(*(pace.turn() for _ in range(100)))


async def test_who_gives_up_waiting_for_his_turn_takes_nobody_else_s() -> None:
    pace = Pace()
    waiting = [asyncio.create_task(pace.turn()) for _ in range(10)]
    await asyncio.sleep(0)
    for task in waiting[1::2]:
        task.cancel()
    async with asyncio.timeout(20):
        await asyncio.gather(*waiting[::2])
