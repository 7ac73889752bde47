"""Disks of simulated hosts: what a member keeps, which survives its process, and how keeping it goes wrong.

A save is confirmed once it is kept, in order, or refused with a reason. A disk may be slow, stand still, be full, or
forget to say that it has kept something. It never loses what it confirmed, unless the file itself is lost.
"""

from collections import deque
from random import Random
from typing import TYPE_CHECKING, Final

from rppam.core.voter import SaveKept
from rppam.domain.ballot import NO_CLAIM, Kept
from rppam.simulation.host import Host, Saved

if TYPE_CHECKING:
    from rppam.simulation.world import World

EMPTY: Final = Kept(NO_CLAIM, None)
"""A member's disk before it belongs to any cluster."""
FULL: Final = "no space is left on the disk"


class Disk:
    """One host's disk."""

    __slots__ = ("full_until", "hung_until", "kept", "queue", "slow_until")

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self.queue: deque[SaveKept] = deque()
        """What is being saved, the oldest first."""
        self.slow_until = self.hung_until = self.full_until = 0


class Disks:
    """All disks of one world."""

    def __init__(self, world: "World", chance: Random) -> None:
        self.world = world
        self.random = chance.random

    def save(self, host: Host, save: SaveKept) -> None:
        """A member wants this kept."""
        host.disk.queue.append(save)
        if len(host.disk.queue) == 1:
            self._begin(host)

    def _begin(self, host: Host) -> None:
        slow = host.disk.slow_until > self.world.now
        most_us = self.world.timing.lease_us if slow and self.random() < 0.3 else 300_000 if slow else 8_000
        self.world.push(self.world.now + 300 + int(self.random() * most_us), self.done, host, host.life)

    def done(self, host: Host, life: int) -> None:
        """The oldest save comes to its end."""
        disk, world = host.disk, self.world
        if host.life != life or not disk.queue:
            return
        if disk.hung_until > world.now:
            world.push(disk.hung_until, self.done, host, life)
            return
        save = disk.queue.popleft()
        while disk.queue and self.random() < 0.5:  # one write for several, as a busy node does
            save = disk.queue.popleft()
        why_not = ""
        if disk.full_until > world.now:
            why_not = FULL
        if not why_not or self.random() < 0.2:  # what failed late may be kept all the same
            disk.kept = save.kept
        if disk.queue:
            self._begin(host)
        world.hand(host, Saved(save.ticket, why_not))

    def crash(self, host: Host) -> int:
        """The process ends. Some of what it was saving is kept; the true time from which a new one can read it."""
        disk = host.disk
        hung = disk.hung_until if disk.queue else 0
        while disk.queue:
            save = disk.queue.popleft()
            if disk.full_until > self.world.now or self.random() < 0.5:
                break
            disk.kept = save.kept
        disk.queue.clear()
        return hung

    def heal(self, host: Host) -> None:
        """Whatever was wrong is over."""
        disk = host.disk
        disk.slow_until = disk.hung_until = disk.full_until = 0
        if disk.queue:
            self._begin(host)
