"""Disks of simulated hosts: what a member keeps, which survives its process, and how keeping it goes wrong.

A save is confirmed once it is kept, in order, or refused with a reason. A disk may be slow, stand still, be full, or
forget to say that it has kept something. It never loses what it confirmed, unless the file itself is lost. A full one
is tried now and then, as a node does, and its member hears of it; a leader that has been told so by everybody who could
follow it, and goes all the same, has handed leadership to nobody.
"""

from collections import deque
from random import Random
from typing import TYPE_CHECKING, Final

from rppam.cluster.consensus.effects import Saved, SaveKept, Tried
from rppam.cluster.consensus.messages import NO_CANDIDACY, PersistedVote
from rppam_sim.host import Host

if TYPE_CHECKING:
    from rppam_sim.world import World

EMPTY: Final = PersistedVote(NO_CANDIDACY, None)
"""A member's disk before it belongs to any cluster."""
FULL: Final = "no space is left on the disk"
TRIED_US: Final = 1_000_000
"""So often a disk is tried, in a world that is in a hurry."""


class Disk:
    """One host's disk."""

    __slots__ = ("full_until", "hung_until", "kept", "queue", "slow_until", "told")

    def __init__(self, kept: PersistedVote) -> None:
        self.kept = kept
        self.queue: deque[SaveKept] = deque()
        """What is being saved, the oldest first."""
        self.told: tuple[int, int] | None = None
        """The life of the process that has heard that the disk is full, and when."""
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

    def fill(self, host: Host, span_us: int) -> None:
        """Nothing is kept for a while, and that is found out when it is tried."""
        was_full = host.disk.full_until > self.world.now
        host.disk.full_until = self.world.now + span_us
        if not was_full:
            self.world.push(self.world.now + int(self.random() * TRIED_US), self.try_out, host)

    def try_out(self, host: Host) -> None:
        """The disk is tried; again and again while it is full."""
        disk, world = host.disk, self.world
        if disk.hung_until > world.now:
            world.push(disk.hung_until, self.try_out, host)
            return
        is_full = disk.full_until > world.now
        if host.votes:
            disk.told = disk.told if disk.told and disk.told[0] == host.life else (host.life, world.now)
            disk.told = disk.told if is_full else None
            world.hand(host, Tried(FULL if is_full else ""))
        if is_full or not host.votes:
            world.push(world.now + TRIED_US, self.try_out, host)

    def leaves_nobody(self, leads: Host) -> bool:
        """Whether everybody who could follow this leader has answered it since it knew that its own disk is full."""
        membership = None if leads.election is None else leads.election.status().known_membership
        if membership is None:
            return False
        names = [name for name in membership.members if membership.may_stand(name)]
        return all(self._has_told(self.world.named[name], leads) for name in names if name != leads.name)

    def _has_told(self, host: Host, leads: Host) -> bool:
        election, told = leads.election, host.disk.told
        assert election is not None, "a leader runs"
        answer = election.status().answers.get(host.name)
        if told is None or answer is None or host.election is None:
            return False
        is_of_this_life = told[0] == host.life and answer.vote.boot_id == host.election.status().me.boot_id
        is_full = host.disk.full_until > self.world.now
        return is_full and is_of_this_life and leads.true_at(answer.asked_at, self.world.now) > told[1]

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
