"""The failure detector: whose heartbeats still come?

A member is judged by *change*: a new ``(boot id, beat)`` is life, whatever the clocks say. Its age is counted in
**observed time**, which advances only while this node itself reads heartbeats without a gap; so a node that was paused
or cut off from the store accuses nobody, it starts listening again. ``suspect`` after three missed heartbeats,
``unreachable`` after a whole lease.

Only a beat that is higher than every one seen of the same process life is a change. What somebody writes back into the
store, or the network brings late, is a beat that was there before: it neither brings a member back nor makes it leave,
and nothing that it says is heeded.

It does not decide leadership: a leader may be suspect here and hold its lease all the same.
"""

from collections.abc import Collection
from typing import Final, NamedTuple

from rppam.cluster.consensus.heartbeat import Heartbeat, MemberStatus, Role
from rppam.cluster.consensus.timing import Timing
from rppam.kernel.instant import Instant, WallMs

MISSED: Final = 3
LIVES_MAX: Final = 16
"""Of each name the beats of so many lives are remembered, the latest seen."""
NAMES_MAX: Final = 512
"""Of so many names, and so many are watched: more than the store lists and a cluster has."""
CROWD: Final = 128
"""Where more than so many are watched, who is neither listed nor shows life is forgotten."""


class MemberChanged(NamedTuple):
    """A member's status changed, as this node sees it."""

    node: str
    status: MemberStatus | None
    """``None``: it left."""
    epoch: int
    sentence: str


class _Seen:
    __slots__ = ("at_us", "heartbeat", "status", "wall_ms")

    def __init__(self, heartbeat: Heartbeat, at_us: int, wall_ms: WallMs | None) -> None:
        self.heartbeat = heartbeat
        self.at_us = at_us
        self.wall_ms = wall_ms
        self.status = MemberStatus.HEALTHY


class SeenMember(NamedTuple):
    """What the detector knows of one member."""

    heartbeat: Heartbeat
    status: MemberStatus
    last_heartbeat: WallMs | None
    """``None``: this node has never seen one."""


class FailureDetector:
    """Watches the heartbeats of every member but this one."""

    def __init__(self, node: str, timing: Timing) -> None:
        self._node = node
        self._suspect_us = MISSED * timing.heartbeat_us + timing.heartbeat_us // 2
        self._unreachable_us = timing.lease_us
        self._step_us = 2 * timing.heartbeat_us
        self._observed_us = 0
        self._last: Instant | None = None
        self._members: dict[str, _Seen] = {}
        self._is_crowded = False
        self._beats: dict[str, dict[str, int]] = {}
        """The highest beat of each life of each name."""

    def observed(
        self, heartbeats: tuple[tuple[str, Heartbeat | None], ...], now: Instant, wall_ms: WallMs
    ) -> list[MemberChanged]:
        """This node just read everybody's latest heartbeat."""
        gap_us = self._step_us if self._last is None else now - self._last
        self._observed_us += min(gap_us, self._step_us)
        self._last = now
        changes: list[MemberChanged] = []
        for name, heartbeat in heartbeats:
            if name == self._node:
                continue
            if heartbeat is not None:
                self._heard(name, heartbeat, wall_ms, changes)
            elif name not in self._members and self._has_room():
                # Registered, and silent for so long that its last heartbeat has expired: dead before this node came.
                self._members[name] = _Seen(_never_seen(name), self._observed_us - self._unreachable_us, None)
        for name, seen in self._members.items():
            self._judge(name, seen, changes)
        return changes

    def heeded(self, heartbeats: tuple[tuple[str, Heartbeat | None], ...]) -> tuple[tuple[str, Heartbeat | None], ...]:
        """The same, with the last one that was news in the place of each that was not."""
        return tuple(
            (name, beat if beat is None or beat.leaving or name == self._node else self._last_of(name))
            for name, beat in heartbeats
        )

    def _last_of(self, name: str) -> Heartbeat | None:
        seen = self._members.get(name)
        return None if seen is None or seen.wall_ms is None else seen.heartbeat

    @property
    def heard(self) -> tuple[str, ...]:
        """Whose heartbeats this node has seen, those it has known for longest first."""
        return tuple(name for name, seen in self._members.items() if seen.wall_ms is not None)

    def keep(self, names: Collection[str]) -> None:
        """Forget everybody else: who is neither listed nor a member concerns nobody."""
        for name in [name for name in self._members if name not in names]:
            del self._members[name]

    def thin(self, names: Collection[str]) -> None:
        """Where nobody knows the members: forget who shows no life and is not listed, once there are too many.

        That goes on until all who are left are listed.
        """
        self._is_crowded = self._is_crowded or len(self._members) > CROWD
        if self._is_crowded:
            for name in [one for one, seen in self._members.items() if one not in names and _is_lifeless(seen)]:
                del self._members[name]
            self._is_crowded = any(name not in names for name in self._members)

    def _has_room(self) -> bool:
        """Whether one more can be watched; who shows no life makes room for it, one that was never heard first."""
        if len(self._members) < NAMES_MAX:
            return True
        lifeless = [(seen.wall_ms is not None, name) for name, seen in self._members.items() if _is_lifeless(seen)]
        if lifeless:
            del self._members[min(lifeless)[1]]
        return bool(lifeless)

    @property
    def watched(self) -> Collection[str]:
        """Everybody whom this node knows of, itself excepted."""
        return self._members.keys()

    def members(self, now: Instant) -> dict[str, SeenMember]:
        """Everybody but this node. While this node cannot read heartbeats itself, all are ``unknown``."""
        blind = self.is_blind(now)
        return {
            name: SeenMember(seen.heartbeat, MemberStatus.UNKNOWN if blind else seen.status, seen.wall_ms)
            for name, seen in self._members.items()
        }

    def is_blind(self, now: Instant) -> bool:
        """Whether this node cannot read heartbeats itself now."""
        return self._last is None or now - self._last > self._suspect_us

    def is_news(self, name: str, heartbeat: Heartbeat) -> bool:
        """Whether this process life of ``name`` has not got so far before, as far as this node saw."""
        if name not in self._beats and len(self._beats) >= NAMES_MAX:
            del self._beats[next(iter(self._beats))]
        beats = self._beats.setdefault(name, {})
        highest = beats.pop(heartbeat.boot_id, -1)
        beats[heartbeat.boot_id] = max(highest, heartbeat.beat)
        if len(beats) > LIVES_MAX:
            del beats[next(iter(beats))]
        return heartbeat.beat > highest

    def _heard(self, name: str, heartbeat: Heartbeat, wall_ms: WallMs, changes: list[MemberChanged]) -> None:
        seen, is_known = self._members.get(name), heartbeat.boot_id in self._beats.get(name, {})
        if not self.is_news(name, heartbeat):
            return
        if heartbeat.leaving:
            is_former = seen is not None and is_known and seen.heartbeat.boot_id != heartbeat.boot_id
            if seen is not None and not is_former:  # a late goodbye of a life before the present one ends nothing
                del self._members[name]
                changes.append(MemberChanged(name, None, heartbeat.epoch, f"node {name} left the cluster"))
        elif seen is None and not self._has_room():
            return
        elif seen is None:
            self._members[name] = _Seen(heartbeat, self._observed_us, wall_ms)
            changes.append(MemberChanged(name, MemberStatus.HEALTHY, heartbeat.epoch, f"node {name} is here"))
        else:
            if heartbeat.boot_id != seen.heartbeat.boot_id and seen.status is MemberStatus.HEALTHY:
                changes.append(
                    MemberChanged(name, MemberStatus.HEALTHY, heartbeat.epoch, f"node {name} was started anew")
                )
            seen.heartbeat = heartbeat
            seen.at_us = self._observed_us
            seen.wall_ms = wall_ms

    def _judge(self, name: str, seen: _Seen, changes: list[MemberChanged]) -> None:
        age_us = self._observed_us - seen.at_us
        if age_us >= self._unreachable_us:
            status, sentence = MemberStatus.UNREACHABLE, f"Heartbeat timeout for node {name}"
        elif age_us > self._suspect_us:
            status, sentence = MemberStatus.SUSPECT, f"node {name} missed {MISSED} heartbeats"
        else:
            status, sentence = MemberStatus.HEALTHY, f"node {name} is healthy again"
        if status is not seen.status:
            seen.status = status
            changes.append(MemberChanged(name, status, seen.heartbeat.epoch, sentence))


def _is_lifeless(seen: _Seen) -> bool:
    return seen.wall_ms is None or seen.status is MemberStatus.UNREACHABLE


def _never_seen(name: str) -> Heartbeat:
    """What is known of a member that has not been heard: its name."""
    return Heartbeat(name, "", 0, Role.STANDBY, 0, "", "", "", 0, 0, 0)
