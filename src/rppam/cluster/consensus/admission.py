"""May this process take part under this name?

Two questions, answered before the node may stand in an election. *Is somebody alive under my name?* The newcomer first
only reads. What it reads stands in Redis, where others may write, too, and where words come late: so it can keep a
newcomer out for a while, and ends nobody who takes part already.

* Where members vote, a member by the list on its own disk never gives way to a namesake that only Redis shows. It
  gives way to what the member link has met: other members are connected to another process of this name, refuse this
  one for it, and none of them has ever let this one in; then this one is the newcomer.
* Anybody else belongs to no cluster yet, or is where the record alone decides: a heartbeat under its name that goes on
  changing belongs to a live node, and the newcomer gives way. One that stands still is the newcomer's own former life,
  also when it changes now and then: heartbeats that were on their way when the host was cut off and the process killed
  still arrive when the network is whole again. Of lives that its own data directory remembers, no change counts. Two
  that start in the same moment both publish, see each other, and the one with the larger boot id gives way. Once
  admitted, it stays, unless it belongs to no cluster and the other does.

*Is there a licence seat?* Asked with the seats of all others; of several newcomers the smaller boot id comes first. A
name that is registered already has its seat, and so has a member by the list on its own disk: a licence that ran out
never keeps a member from coming back, also when the store comes back empty. Where members vote, a name
that shows no heartbeat that can be believed takes a seat only if it is a member's or was heard: anybody may list names.

Whoever is refused is started again, later and later: that Redis says so may pass. It does not protect leadership: boot
ids do that, even under one name.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Final, NamedTuple

from rppam.cluster.consensus.heartbeat import Heartbeat
from rppam.cluster.consensus.timing import Timing
from rppam.kernel.instant import Instant

SeatCheck = Callable[[int], str | None]
"""Given the licence seats others use: ``None`` when this node may join, else why not and what to do."""

ALTERNATIONS: Final = 4
"""So many changes in a row of another life's heartbeat show that it lives: the first may be its last, come late."""
LINK_WORD_US: Final = 6_000_000
"""So long a member that starts and sees a live namesake in Redis waits for what the member link says of it."""


class AdmissionState(StrEnum):
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
        return self in {AdmissionState.PROBATION, AdmissionState.ADMITTED}


class Right(NamedTuple):
    """What else speaks for this process, besides the store."""

    leading_life: str = ""
    """The boot id of the process that leads under this name, or led last, if one does."""
    is_member: bool = False
    """Its own list of members names it."""
    joins: bool = False
    """It belongs to no cluster yet."""
    displaced: str = ""
    """What the member link has met: members refuse this process for another of its name, and none has let it in."""
    known: frozenset[str] | None = None
    """Where members vote: who is a member, or was heard by this process. ``None``: the record alone decides."""


NO_RIGHT: Final = Right()
_REFUSED: Final = frozenset((AdmissionState.NAME_TAKEN, AdmissionState.NO_SEAT))


class Admission:
    """One process's way into the cluster."""

    def __init__(
        self,
        node: str,
        boot_id: str,
        timing: Timing,
        seat_check: SeatCheck,
        is_former: Callable[[Heartbeat], bool] = lambda _: False,
    ) -> None:
        """``is_former``: whether a heartbeat is of a life that this node's own data directory remembers."""
        self.standing = AdmissionState.WATCHING
        self.reason = ""
        """Why this process was refused; empty unless it was."""
        self._node = node
        self._boot_id = boot_id
        self._patience_us = 3 * timing.heartbeat_us + timing.heartbeat_us // 2
        self._seat_check = seat_check
        self._is_former = is_former
        self._registered: bool | None = None
        self._other: Heartbeat | None = None
        self._since: Instant | None = None
        self._alternations = 0
        self._met_at: Instant | None = None
        self._watched_from: Instant | None = None
        self._yields = False
        """Whether it would give way to the one that it has met."""

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
        if other is not None and self._is_former(other):
            other = None
        if right.displaced and not self._leads(right) and self.standing not in _REFUSED:
            self._refuse(AdmissionState.NAME_TAKEN, right.displaced)
        elif self.standing is AdmissionState.WATCHING:
            self._watch(other, right, now)
        elif self.standing in {AdmissionState.PROBATION, AdmissionState.ADMITTED} and other is not None:
            self._meet(other, right, now)
        if self.standing is AdmissionState.PROBATION and not self._no_seat(heartbeats, right):
            self._finish(now)

    def _finish(self, now: Instant) -> None:
        if self._since is None or now - self._since <= self._patience_us:
            return
        met = self._yields and self._met_at is not None and now - self._met_at <= self._patience_us
        if not met or now - self._since > LINK_WORD_US:
            self.standing = AdmissionState.ADMITTED

    def _watch(self, other: Heartbeat | None, right: Right, now: Instant) -> None:
        self._watched_from = now if self._watched_from is None else self._watched_from
        if other is None or other.leaving or self._comes_first(other, right):
            self._enter(now)
        elif not self.believes_store_alone(right) and now - self._watched_from > LINK_WORD_US:
            self._enter(now)  # the link knows of no namesake
        elif self._other is None or other.boot_id != self._other.boot_id:
            self._other, self._since, self._alternations = other, now, 0
        elif other.beat > self._other.beat:
            self._other, self._since = other, now
            self._alternations += 1
            if self._alternations >= ALTERNATIONS and self.believes_store_alone(right):
                self._refuse(AdmissionState.NAME_TAKEN, self._taken_by(other))
        elif self._since is not None and now - self._since > self._patience_us:
            self._enter(now)

    def believes_store_alone(self, right: Right) -> bool:
        """Whether a namesake that only the store shows can make this process give way."""
        if right.is_member or self._leads(right):
            return False
        return self.standing is not AdmissionState.ADMITTED or right.joins

    def _leads(self, right: Right) -> bool:
        return right.leading_life == self._boot_id

    def namesake(self, now: Instant) -> Heartbeat | None:
        """Another life of this name whose heartbeats go on, while this one takes part all the same."""
        is_met = self._met_at is not None and now - self._met_at <= self._patience_us
        return self._other if is_met and self.standing.publishes and self._alternations >= ALTERNATIONS else None

    def _enter(self, now: Instant) -> None:
        self.standing = AdmissionState.PROBATION
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
        before = self._other
        if before is None or other.boot_id != before.boot_id or other.beat > before.beat:
            self._other = other
            self._met_at = now
            self._alternations += 1
        admitted = self.standing is AdmissionState.ADMITTED
        gives_way = other.admitted if admitted != other.admitted else self._boot_id > other.boot_id
        if self._comes_first(other, right) or self._comes_last(other, right):
            gives_way = self._comes_last(other, right)
        self._yields = gives_way and self.believes_store_alone(right)
        if self._alternations >= ALTERNATIONS and self._yields:
            self._refuse(AdmissionState.NAME_TAKEN, self._taken_by(other))

    def _no_seat(self, heartbeats: tuple[tuple[str, Heartbeat | None], ...], right: Right) -> bool:
        if self._registered or right.is_member:
            return False
        seats = sum(
            1 if heartbeat is None else heartbeat.seats
            for name, heartbeat in heartbeats
            if name != self._node
            and (heartbeat is not None or right.known is None or name in right.known)
            and (heartbeat is None or heartbeat.admitted or heartbeat.boot_id < self._boot_id)
            and not (heartbeat is not None and heartbeat.leaving)
        )
        refusal = self._seat_check(seats)
        if refusal is not None:
            self._refuse(AdmissionState.NO_SEAT, refusal)
        return refusal is not None

    def _refuse(self, standing: AdmissionState, reason: str) -> None:
        self.standing = standing
        self.reason = reason

    def _taken_by(self, other: Heartbeat) -> str:
        return (
            f"another live node uses the name '{self._node}': process life {other.boot_id} on host "
            f"{other.hostname or '(unnamed)'}. Give this node a name of its own in node.nodeName, or stop the other one"
        )
