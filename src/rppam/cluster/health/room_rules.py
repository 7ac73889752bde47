"""How much room is left on a disk, and when that is too little.

It judges by what the file system grants to an account like the node's: what is reserved for root does not count. What
it does not decide: whether a promise could be kept now, which is tried (``cluster/driver/member_gateway.py``); a disk
may be full for this account alone, by a quota.
"""

from collections.abc import Iterable
from typing import Final

from rppam.catalogue.table import finding
from rppam.cluster.health.model import DiskRoom
from rppam.kernel.finding import Finding, Severity

LOW_BYTES: Final = 256 * 1024 * 1024
LOW_INODES: Final = 1_000
LOW_SHARE: Final = 0.05
"""A small disk is judged by what it has: warned of is the smaller of both."""


def room_findings(rooms: Iterable[DiskRoom]) -> list[Finding]:
    """What should be put right, a finding for all places of one file system that are short of the same."""
    told = [sentence for room in rooms if (sentence := why_low(room))]
    return [finding("RD-620", "; ".join(told))] if told else []


def why_low(room: DiskRoom) -> str:
    """What is short there; empty when there is enough."""
    if room.problem:
        return f"{room.place} {room.path}: {room.problem}"
    short = []
    if room.free_bytes < min(LOW_BYTES, room.size_bytes * LOW_SHARE):
        short.append(f"{_mib(room.free_bytes)} of {_mib(room.size_bytes)} are left")
    if room.size_inodes and room.free_inodes < min(LOW_INODES, room.size_inodes * LOW_SHARE):
        short.append(f"{room.free_inodes} of {room.size_inodes} inodes are left, so hardly a file can be made")
    return f"{room.place} {room.path}: {' and '.join(short)}" if short else ""


def unable_findings(strange: str, problem: str, *, severity: Severity | None = None) -> list[Finding]:
    """About a promise file that is not this member's own, and a disk that takes no promise."""
    return [
        *([finding("RD-618", strange, severity=severity)] if strange else ()),
        *([finding("RD-619", problem, severity=severity)] if problem else ()),
    ]


def _mib(count: int) -> str:
    return f"{count / (1 << 20):.1f} MiB"
