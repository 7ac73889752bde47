"""The processes of a lab's node, and how to reach one of them."""

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from rppam.process.linux import CONTROL_NAME, TEMPLATE_NAME, WORKER_NAME, children_of
from tests.support.lab import Lab, LabNode, eventually


class Inside(NamedTuple):
    """The processes of one node at one moment."""

    supervisor: int
    control: int
    workers: tuple[int, ...]
    template: int

    def all(self) -> tuple[int, ...]:
        return (self.supervisor, self.control, *self.workers, self.template)


def inside(node: LabNode, *, workers: int = 2) -> Inside:
    """All of them, once they are all there."""
    assert node.process is not None
    supervisor = node.process.pid

    def found() -> Inside | None:
        # A killed child keeps its name until its parent has read its end; it is none of the node's any more.
        named = children_of(supervisor)
        names = {pid: named[pid] for pid in alive(named)}
        control, template = (
            [pid for pid, name in names.items() if name == kind] for kind in (CONTROL_NAME, TEMPLATE_NAME)
        )
        serving = tuple(sorted(pid for pid, name in names.items() if name == WORKER_NAME))
        if len(control) != 1 or len(template) != 1 or len(serving) != workers:
            return None
        return Inside(supervisor, control[0], serving, template[0])

    there = eventually(found, within_s=15, what="all processes of the node", say=node.log)
    assert there is not None
    return there


def kill(pid: int) -> None:
    """SIGKILL to one process."""
    os.kill(pid, signal.SIGKILL)


def alive(pids: Iterable[int]) -> list[int]:
    """Those that run or are stopped; a zombie is gone."""
    found = []
    for pid in pids:
        with suppress(OSError):
            text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
            if text.rpartition(")")[2].split()[0] not in ("Z", "X"):
                found.append(pid)
    return found


def settled(lab: Lab) -> LabNode:
    """The leader of a cluster in which every standby has watched for a lease, so that a release is believed."""
    lab.wait_until_healthy()
    leader = lab.wait_for_leader()
    epoch = leader.ask("/system/health/leader").body["epoch"]
    time.sleep(lab.lease_ms / 1000 + 0.3)
    assert leader.ask("/system/health/leader").body["epoch"] == epoch, "it was calm"
    return leader
