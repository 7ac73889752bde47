"""May this process take part under this name?

Two questions, answered before the node may stand in an election. *Is somebody alive under my name?* The newcomer first
only reads: a heartbeat under its name that goes on changing belongs to a live node, and the newcomer gives way; one
that stands still is the newcomer's own former life, also when it changes once: a heartbeat that was on its way when the
host was cut off and the process killed still arrives when the network is whole again. Two that start in the same moment
both publish, see each other, and the one with the larger boot id gives way. But the one that leads never does, nor a
member to one that belongs to no cluster: these were let in while the other alone had lost the store. *Is there a
licence seat?* Asked with the seats of all others; of several newcomers the smaller boot id comes first. A name that is
registered already has its seat, and so has a member by the list on its own disk: a licence that ran out never keeps a
member from coming back, also when the store comes back empty.

It does not protect leadership: boot ids do that, even under one name.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Final, NamedTuple

from rppam.domain.instant import Instant
from rppam.domain.member import Heartbeat
from rppam.domain.timing import Timing

SeatCheck = Callable[[int], str | None]
"""Given the licence seats others use: ``None`` when this node may join, else why not and what to do."""

ALTERNATIONS: Final = 2
"""So many changes of another life's heartbeat show that it lives: one may be its last, that came late."""


class Standing(StrEnum):
    """How far the admission has come."""

    WATCHING = "watching"
    """Reads only, and publishes nothing."""
    PROBATION = "probation"
    """Publishes, and makes sure that nobody else does."""
    ADMITTED = "admitted"
    NAME_TAKEN = "name taken"
    NO_SEAT = "no seat"

    @property
    def publishes(self) -> bool:
        """Whether this node shows itself to the others."""
        return self in {Standing.PROBATION, Standing.ADMITTED}


class Right(NamedTuple):
    """What else speaks for this process, besides the store."""

    leading_life: str = ""
    """The boot id of the process that leads under this name, or led last, if one does."""
    is_member: bool = False
    """Its own list of members names it."""
    joins: bool = False
    """It belongs to no cluster yet."""


NO_RIGHT: Final = Right()


class Admission:
    """One process's way into the cluster."""

    def __init__(self, node: str, boot_id: str, timing: Timing, seat_check: SeatCheck) -> None:
        self.standing = Standing.WATCHING
        self.reason = ""
        """Why this process was refused; empty unless it was."""
        self._node = node
        self._boot_id = boot_id
        self._patience_us = 3 * timing.heartbeat_us + timing.heartbeat_us // 2
        self._seat_check = seat_check
        self._registered: bool | None = None
        self._other: Heartbeat | None = None
        self._since: Instant | None = None
        self._alternations = 0
        self._met_at: Instant | None = None

    def observed(
        self,
        own_before: Heartbeat | None,
        heartbeats: tuple[tuple[str, Heartbeat | None], ...],
        now: Instant,
        right: Right = NO_RIGHT,
    ) -> None:
        """This node just read what stood under its name, and everybody's latest heartbeat."""
        if self._registered is None:
            self._registered = any(name == self._node and not (beat and beat.leaving) for name, beat in heartbeats)
        other = None if own_before is None or own_before.boot_id == self._boot_id else own_before
        if self.standing is Standing.WATCHING:
            self._watch(other, right, now)
        elif self.standing in {Standing.PROBATION, Standing.ADMITTED} and other is not None:
            self._meet(other, right, now)
        if self.standing is Standing.PROBATION and not self._no_seat(heartbeats, right):
            self._finish(now)

    def _finish(self, now: Instant) -> None:
        if self._since is not None and now - self._since > self._patience_us:
            self.standing = Standing.ADMITTED

    def _watch(self, other: Heartbeat | None, right: Right, now: Instant) -> None:
        if other is None or other.leaving or self._comes_first(other, right):
            self._enter(now)
        elif self._other is None or other.boot_id != self._other.boot_id:
            self._other, self._since = other, now
        elif other.beat != self._other.beat:
            self._other, self._since = other, now
            self._alternations += 1
            if self._alternations >= ALTERNATIONS:
                self._refuse(Standing.NAME_TAKEN, self._taken_by(other))
        elif self._since is not None and now - self._since > self._patience_us:
            self._enter(now)

    def _enter(self, now: Instant) -> None:
        self.standing = Standing.PROBATION
        self._since = now
        self._other = None
        self._alternations = 0

    def _comes_first(self, other: Heartbeat, right: Right) -> bool:
        """Whoever leads comes before everybody else of its name, and a member before one that belongs to no cluster."""
        if right.leading_life in {self._boot_id, other.boot_id}:
            return right.leading_life == self._boot_id
        return right.is_member and other.joins

    def _comes_last(self, other: Heartbeat, right: Right) -> bool:
        """The same, seen from the other."""
        if right.leading_life in {self._boot_id, other.boot_id}:
            return right.leading_life == other.boot_id
        return right.joins and not other.joins

    def _meet(self, other: Heartbeat, right: Right, now: Instant) -> None:
        if self._met_at is not None and now - self._met_at > self._patience_us:
            self._alternations = 0  # one word of a former life now, another then: no namesake goes on like that
        if self._other is None or (other.boot_id, other.beat) != (self._other.boot_id, self._other.beat):
            self._other = other
            self._met_at = now
            self._alternations += 1
        admitted = self.standing is Standing.ADMITTED
        gives_way = other.admitted if admitted != other.admitted else self._boot_id > other.boot_id
        if self._comes_first(other, right) or self._comes_last(other, right):
            gives_way = self._comes_last(other, right)
        if self._alternations >= ALTERNATIONS and gives_way:
            self._refuse(Standing.NAME_TAKEN, self._taken_by(other))

    def _no_seat(self, heartbeats: tuple[tuple[str, Heartbeat | None], ...], right: Right) -> bool:
        if self._registered or right.is_member:
            return False
        seats = sum(
            1 if heartbeat is None else heartbeat.seats
            for name, heartbeat in heartbeats
            if name != self._node
            and (heartbeat is None or heartbeat.admitted or heartbeat.boot_id < self._boot_id)
            and not (heartbeat is not None and heartbeat.leaving)
        )
        refusal = self._seat_check(seats)
        if refusal is not None:
            self._refuse(Standing.NO_SEAT, refusal)
        return refusal is not None

    def _refuse(self, standing: Standing, reason: str) -> None:
        self.standing = standing
        self.reason = reason

    def _taken_by(self, other: Heartbeat) -> str:
        return (
            f"another live node uses the name '{self._node}': process life {other.boot_id} on host "
            f"{other.hostname or '(unnamed)'}. Give this node a name of its own in node.nodeName, or stop the other one"
        )
