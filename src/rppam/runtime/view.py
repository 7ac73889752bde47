"""The node as others may see it: one snapshot, made from the machines at the moment of asking.

Read-only and without I/O, so that health answers while Redis is a black hole. ``may_lead`` is not part of the snapshot:
permission is computed at the moment of acting and grows stale at once.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from rppam.core.node import NodeCore
from rppam.domain.health import ClusterSnapshot, MemberView, SafetyLevel
from rppam.domain.instant import US_PER_MS, Instant
from rppam.domain.member import Heartbeat, MemberStatus, Role
from rppam.ports.clock import Clock
from rppam.ports.status import Authority
from rppam.runtime.driver import Driver

ALIVE_WITHIN_US: Final = 10_000_000
"""A loop that has not turned for this long is stuck, whatever it waits for."""
NO_QUORUM: Final = "Redis does not answer this node, so its vote is missing"
ALONE: Final = "this node runs alone, without Redis: redis.enabled is false"


class NodeFacts(NamedTuple):
    """What does not change while the process lives."""

    cluster_id: str
    node: str
    boot_id: str
    hostname: str
    api_url: str
    version: str
    redis_enabled: bool
    safety_level: SafetyLevel = SafetyLevel.SINGLE
    member_address: str = ""
    """Where its member link listens, as others reach it; empty where members do not vote."""
    priority: int = 100


class NodeView:
    """Implements :class:`rppam.ports.status.NodeStatus`."""

    def __init__(
        self, facts: NodeFacts, core: NodeCore, driver: Driver, clock: Clock, warnings: Callable[[], tuple[str, ...]]
    ) -> None:
        self._facts = facts
        self._core = core
        self._driver = driver
        self._clock = clock
        self._warnings = warnings
        self.draining = False
        self.serving = False
        """Set once the node has taken its place, or has waited long enough for a store that does not answer."""

    def may_lead(self) -> int | None:
        """See :meth:`rppam.ports.status.NodeStatus.may_lead`."""
        return self._core.election.permission(self._clock.now())

    def authority(self) -> Authority | None:
        """See :meth:`rppam.ports.status.NodeStatus.authority`."""
        epoch = self.may_lead()
        return None if epoch is None else Authority(epoch, self._core.election.boot_id)

    def permitted_until(self) -> Instant | None:
        """When the permission of now ends; ``None`` without one."""
        return None if self.may_lead() is None else self._core.election.ledger.deadline

    def is_alive(self) -> bool:
        """See :meth:`rppam.ports.status.NodeStatus.is_alive`."""
        return self._clock.now() - self._driver.polled_at < ALIVE_WITHIN_US

    def role(self) -> Role:
        """Leader only while permission lasts."""
        return Role.LEADER if self.may_lead() is not None else Role.STANDBY

    def heartbeat(self, beat: int, loop_lag_ms: int, renewed_ms_ago: int) -> Heartbeat:
        """What this node says of itself now."""
        facts, election = self._facts, self._core.election
        epoch = self.may_lead()
        return Heartbeat(
            facts.node,
            facts.boot_id,
            beat,
            self.role(),
            epoch if epoch is not None else election.watch.highest,
            facts.version,
            facts.hostname,
            facts.api_url,
            self._clock.wall_ms(),
            loop_lag_ms,
            renewed_ms_ago,
            admitted=self._driver.admitted.is_set(),
            member_address=facts.member_address,
            priority=facts.priority,
            joins=self._core.voter is not None and election.electorate is None,
        )

    def snapshot(self) -> ClusterSnapshot:
        """See :meth:`rppam.ports.status.NodeStatus.snapshot`."""
        facts, election, now = self._facts, self._core.election, self._clock.now()
        connected = self._connected()
        leader = election.leader(now)
        quorum_met = leader is not None or (connected and election.watch.record is not None)
        store = self._driver.store_view
        odd = self._driver.warning and f"foreign data under this cluster's keys in Redis: {self._driver.warning}"
        return ClusterSnapshot(
            cluster_id=facts.cluster_id,
            node=facts.node,
            boot_id=facts.boot_id,
            role=self.role(),
            leader=leader[0] if leader and (connected or leader[0] == facts.node) else None,
            epoch=leader[1] if leader else election.watch.highest,
            members=self._members(connected),
            redis_enabled=facts.redis_enabled,
            redis_connected=connected and facts.redis_enabled,
            redis_reason=self._why_not_connected(connected),
            quorum_met=quorum_met and (connected or self.may_lead() is not None),
            quorum_reason="" if connected else NO_QUORUM,
            safety_level=facts.safety_level,
            ready=self.serving and not self.draining,
            taken_at=self._clock.wall_ms(),
            store_clock_offset_ms=store.offset_ms,
            warnings=self._warnings() + ((odd,) if odd else ()),
        )

    def sentence(self) -> str:
        """This node's place in one line, for the service manager."""
        snapshot = self.snapshot()
        if snapshot.role is Role.LEADER:
            return f"leader at epoch {snapshot.epoch}"
        if snapshot.leader is not None:
            return f"{snapshot.role}; the leader is {snapshot.leader}"
        return f"{snapshot.role}; no leader is known: {snapshot.redis_reason or 'an election is due'}"

    def _connected(self) -> bool:
        """Redis counts as connected while exchanges are answered, not while a socket is merely open."""
        store = self._driver.store_view
        if not store.connected or store.answered_at is None:
            return False
        timing = self._core.election.timing
        silent_us = self._clock.now() - store.answered_at
        return not store.reason and silent_us <= timing.heartbeat_us + 2 * timing.request_timeout_us

    def _why_not_connected(self, connected: bool) -> str:
        if not self._facts.redis_enabled:
            return ALONE
        return "" if connected else (self._driver.store_view.reason or "Redis did not answer the last exchange")

    def _members(self, connected: bool) -> tuple[MemberView, ...]:
        facts, now = self._facts, self._clock.now()
        own = MemberView(
            facts.node,
            facts.hostname,
            self.role(),
            MemberStatus.HEALTHY,
            self._clock.wall_ms(),
            connected and facts.redis_enabled,
            self._core.election.epoch if self.may_lead() is not None else self._core.election.watch.highest,
            facts.version,
            facts.api_url,
            facts.boot_id,
            self._driver.loop_lag_ms,
        )
        leader = self._core.election.leader(now)
        others = [
            MemberView(
                name,
                seen.heartbeat.hostname,
                Role.LEADER if leader is not None and leader[0] == name else _not_leading(seen.heartbeat.role),
                seen.status,
                seen.last_heartbeat,
                seen.status in {MemberStatus.HEALTHY, MemberStatus.SUSPECT}
                and seen.heartbeat.renewed_ms_ago < self._core.election.timing.lease_ms,
                seen.heartbeat.epoch,
                seen.heartbeat.version,
                seen.heartbeat.api_url,
                seen.heartbeat.boot_id,
                seen.heartbeat.loop_lag_ms,
            )
            for name, seen in self._core.detector.members(now).items()
        ]
        return tuple(sorted([own, *others], key=lambda member: member.node))

    def answered_ms_ago(self) -> int | None:
        """Milliseconds since the store last answered, or ``None`` when it never did."""
        answered = self._driver.store_view.answered_at
        return None if answered is None else (self._clock.now() - answered) // US_PER_MS


def _not_leading(role: Role) -> Role:
    return Role.STANDBY if role is Role.LEADER else role
