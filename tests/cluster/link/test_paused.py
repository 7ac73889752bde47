"""A member whose process stands still: a short pause costs nothing, a long one is noticed and mended."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.link.links import CLOCK, Node, eventually, make_node, running

ROOT = Path(__file__).parents[3]

pytestmark = [
    pytest.mark.integration,
    pytest.mark.alone,
    pytest.mark.skipif(sys.platform == "win32", reason="processes are paused by signals"),
]


@contextmanager
def member(name: str, peer: Node) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "tests.cluster.link.member", name, peer.name, peer.address]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        os.kill(process.pid, signal.SIGCONT)
        process.kill()
        process.communicate()


async def test_a_short_pause_costs_nothing_and_a_long_one_is_noticed_and_mended() -> None:
    one = make_node("node1")
    async with running(one):
        with member("node2", one) as (process, address):
            one.link.know({"node2": address})
            one.link.expect(["node2"])
            await eventually(lambda: one.link.peers["node2"].is_connected and one.link._inbound.all)

            os.kill(process.pid, signal.SIGSTOP)
            asked = one.ask("node2")
            await asyncio.sleep(1.2)
            os.kill(process.pid, signal.SIGCONT)
            await eventually(lambda: [vote.request for vote in one.votes] == [asked])
            assert one.no_votes == []

            os.kill(process.pid, signal.SIGSTOP)
            paused_us = CLOCK.now()
            asked = one.ask("node2")
            await eventually(lambda: one.no_votes == [("node2", asked)])
            assert 2_000_000 < CLOCK.now() - paused_us < 5_000_000
            assert not one.link.peers["node2"].is_connected
            await asyncio.sleep(0.5)
            os.kill(process.pid, signal.SIGCONT)
            await eventually(lambda: one.link.peers["node2"].is_connected and one.link._inbound.all)
            so_far = len(one.votes)
            assert one.ask("node2") is not None
            await eventually(lambda: len(one.votes) > so_far)
            # It is the same life, which comes back: nothing about it is refused.
            assert one.link.refused.keys() <= {"slow"}
            assert {vote.boot_id for vote in one.votes} == {one.votes[0].boot_id}
