"""How much room is left where a node writes (data, logs, a database that is a file), and when that is too little.

It judges by what the file system grants to an account like the node's: what is reserved for root does not count. A file
system that does not answer, as a network one whose server is gone, is reported as such: the caller goes on, and no
second look is begun before the first has ended. What it does not decide: whether a promise could be kept now, which the
member gateway tries; a disk may be full for this account alone, by a quota.
"""

import asyncio
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from rppam.catalogue.table import finding
from rppam.cluster.health.model import DiskRoom
from rppam.kernel.finding import Finding, Severity

log: Final = logging.getLogger("rppam.node")

EVERY_S: Final = 15.0
SILENT_S: Final = 10.0
SILENT: Final = f"it has not answered for {SILENT_S:.0f} s"

LOW_BYTES: Final = 256 * 1024 * 1024
LOW_INODES: Final = 1_000
LOW_SHARE: Final = 0.05
"""Of a small disk, where that is less."""


def look_at_room(places: Mapping[str, Path]) -> tuple[DiskRoom, ...]:
    """Look at each place, by its name. May block for as long as the file system does."""
    return tuple(_room(place, path) for place, path in places.items())


def _room(place: str, path: Path) -> DiskRoom:
    there = next((folder for folder in (path, *path.parents) if folder.exists()), path)
    try:
        total, _, free = shutil.disk_usage(there)
        inodes = _inodes(there)
    except OSError as error:
        return DiskRoom(place, str(path), problem=error.strerror or type(error).__name__)
    return DiskRoom(place, str(path), free, total, *inodes)


def _inodes(path: Path) -> tuple[int, int]:
    """Return how many are free, and of how many; zeros where there is no such number."""
    if not hasattr(os, "statvfs"):
        return 0, 0
    found = os.statvfs(path)
    return (found.f_favail, found.f_files) if found.f_files else (0, 0)


def room_findings(rooms: Iterable[DiskRoom]) -> list[Finding]:
    """Make one finding for all places that are short of something."""
    told = [sentence for room in rooms if (sentence := why_low(room))]
    return [finding("RD-620", "; ".join(told))] if told else []


def why_low(room: DiskRoom) -> str:
    """Return what is short there; empty when there is enough."""
    if room.problem:
        return f"{room.place} {room.path}: {room.problem}"
    short = []
    if room.free_bytes < min(LOW_BYTES, room.size_bytes * LOW_SHARE):
        short.append(f"{_mib(room.free_bytes)} of {_mib(room.size_bytes)} are left")
    if room.size_inodes and room.free_inodes < min(LOW_INODES, room.size_inodes * LOW_SHARE):
        short.append(f"{room.free_inodes} of {room.size_inodes} inodes are left, so hardly a file can be made")
    return f"{room.place} {room.path}: {' and '.join(short)}" if short else ""


def unable_findings(strange: str, problem: str, *, severity: Severity | None = None) -> list[Finding]:
    """Make the findings of a promise file that is not this member's own, and of a disk that takes no promise."""
    return [
        *([finding("RD-618", strange, severity=severity)] if strange else ()),
        *([finding("RD-619", problem, severity=severity)] if problem else ()),
    ]


def _mib(count: int) -> str:
    return f"{count / (1 << 20):.1f} MiB"


class RoomWatch:
    """Looks every :data:`EVERY_S`, in a thread. Ask it in the loop; nothing here waits."""

    def __init__(self, places: Mapping[str, Path], clock_s: Callable[[], float]) -> None:
        """``places``: folders by what people call them. ``clock_s``: seconds that never go back."""
        self._places, self._clock_s = dict(places), clock_s
        self._rooms: tuple[DiskRoom, ...] = ()
        self._looking: asyncio.Task[tuple[DiskRoom, ...]] | None = None
        self._begun_s: float | None = None
        self._told = ""

    @property
    def rooms(self) -> tuple[DiskRoom, ...]:
        is_silent = self._looking is not None and self._clock_s() - (self._begun_s or 0) > SILENT_S
        if not is_silent:
            return self._rooms
        return tuple(DiskRoom(place, str(path), problem=SILENT) for place, path in self._places.items())

    def findings(self) -> tuple[Finding, ...]:
        return tuple(room_findings(self.rooms))

    def look(self) -> None:
        """Begin to look, if it is time. Call it every second."""
        now_s = self._clock_s()
        if self._looking is not None and self._looking.done():
            if not self._looking.cancelled() and self._looking.exception() is None:
                self._rooms = self._looking.result()
            self._looking = None
        if self._looking is None and (self._begun_s is None or now_s - self._begun_s >= EVERY_S):
            self._begun_s = now_s
            self._looking = asyncio.get_running_loop().create_task(asyncio.to_thread(look_at_room, self._places))

    def tell(self) -> None:
        """Log what has changed, where nobody shows the findings."""
        found = next(iter(self.findings()), None)
        code = "" if found is None else found.code
        if found is not None and not self._told:
            log.warning("%s: %s Seen: %s. Fix: %s", found.code, found.what, found.evidence, found.advice)
        elif found is None and self._told:
            log.info("%s is no longer found", self._told)
        self._told = code
