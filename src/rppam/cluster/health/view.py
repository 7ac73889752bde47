"""The node as others may see it: one snapshot, made from the machines at the moment of asking.

Read-only and without I/O, so that health answers while Redis is a black hole. ``may_lead`` is not part of the snapshot:
permission is computed at the moment of acting and grows stale at once.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from rppam.cluster.consensus.heartbeat import Heartbeat, MemberStatus, Role
from rppam.cluster.consensus.membership import QuorumPolicy
from rppam.cluster.consensus.node import NodeCore
from rppam.cluster.driver.driver import Driver
from rppam.cluster.driver.strays import asks_to_join
from rppam.cluster.health.agreement import LEADS, SERVES, Agreement, HeldKeys, says_no
from rppam.cluster.health.disk_room import unable_findings
from rppam.cluster.health.members_view import has_vote, heard_at, other_members
from rppam.cluster.health.model import (
    ALONE,
    CertificateView,
    ClusterSnapshot,
    DiskRoom,
    GaugeView,
    MemberView,
    NameView,
    SafetyLevel,
)
from rppam.cluster.health.ports import Authority
from rppam.cluster.health.voteless import Voteless
from rppam.cluster.health.votes_view import UNFIT, StoreSeen, Votes, why_no_leader
from rppam.cluster.link.link import TlsMemberLink
from rppam.cluster.link.local_peer import PeerState
from rppam.crypto.certificate_expiry import CertificateEnd, days_left
from rppam.db.condition import DatabaseState
from rppam.http.times import iso_utc
from rppam.kernel.clock import Clock
from rppam.kernel.finding import Finding
from rppam.kernel.instant import US_PER_MS, Instant, WallMs

ALIVE_WITHIN_US: Final = 10_000_000
"""A loop that has not turned for this long is stuck, whatever it waits for."""
NO_QUORUM: Final = "Redis does not answer this node, so its vote is missing"


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
    virtual_ip: str = ""
    """The address that follows leadership; empty where there is none."""
    shared_values: Mapping[str, str] = {}
    """What must be the same on all nodes, by the names that people know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeProbes:
    """What the view asks the other parts of the node."""

    warnings: Callable[[], tuple[str, ...]] = tuple
    findings: Callable[[], tuple[Finding, ...]] = tuple
    certificates: Callable[[], tuple[CertificateEnd, ...]] = tuple
    rooms: Callable[[], tuple[DiskRoom, ...]] = tuple
    password_since: Callable[[], WallMs | None] = lambda: None
    password_mark: Callable[[], str | None] = lambda: None
    store_reason: Callable[[], str] = str
    """Why there is no connection to the store now; empty while there is one."""
    settings_revision: Callable[[], int | None] = lambda: None
    """How many changes of hot configuration this node obeys; ``None``: not known."""
    has_address: Callable[[], bool] = bool
    """Whether the virtual address is on this host."""
    database: Callable[[], DatabaseState] = DatabaseState
    """How the processes of this node stand with the database."""
    gauges: Callable[[], tuple[GaugeView, ...]] = tuple
    """Numbers of features, for monitoring."""
    name_in_dns: Callable[[str | None], NameView | None] = lambda _: None
    """The name that follows the leader, of whom it is told; ``None`` where there is none."""
    master_keys: Callable[[], HeldKeys] = HeldKeys
    """Which master keys of the vault this node has."""
    unfit: Callable[[], str] = str
    """Why this node should not lead now; empty where it may."""
    keeps: Callable[[], Mapping[str, str]] = dict
    """What must be the same everywhere and may change while the node runs, by name."""
    says: Callable[[], Iterable[tuple[str, str]]] = tuple
    """What this node says of itself to others, beside what heartbeats have a place for."""
    acknowledge: Callable[[tuple[Finding, ...]], tuple[Finding, ...]] = tuple
    """The same findings, with who has acknowledged which."""


class NodeView:
    """Implements ``NodeStatus``."""

    def __init__(self, facts: NodeFacts, core: NodeCore, driver: Driver, clock: Clock, ask: NodeProbes) -> None:
        self._facts = facts
        self._core = core
        self._driver = driver
        self._clock = clock
        self._ask = ask
        self._begun = clock.now()
        self._voteless = Voteless(core)
        self._agreement = Agreement(
            facts.node,
            facts.shared_values,
            facts.virtual_ip,
            core.timing.heartbeat_ms,
            ask.master_keys,
            ask.keeps,
            ask.says,
        )
        self.draining = False
        self.serving = False
        """Set once the node has taken its place, or has waited long enough for a store that does not answer."""

    def may_lead(self) -> int | None:
        return self._core.status().permission(self._clock.now())

    def authority(self) -> Authority | None:
        epoch = self.may_lead()
        return None if epoch is None else Authority(epoch, self._core.boot_id)

    def permitted_until(self) -> Instant | None:
        """Return when the present permission ends; ``None`` without one."""
        return None if self.may_lead() is None else self._core.status().deadline

    def is_alive(self) -> bool:
        return self._clock.now() - self._driver.polled_at < ALIVE_WITHIN_US

    def role(self) -> Role:
        return Role.LEADER if self.may_lead() is not None else Role.STANDBY

    def heartbeat(self, beat: int, loop_lag_ms: int, renewed_ms_ago: int) -> Heartbeat:
        """Make what this node says of itself now."""
        facts, status = self._facts, self._core.status()
        epoch = self.may_lead()
        return Heartbeat(
            facts.node,
            facts.boot_id,
            beat,
            self.role(),
            epoch if epoch is not None else status.lease.epochs.led,
            facts.version,
            facts.hostname,
            facts.api_url,
            self._clock.wall_ms(),
            loop_lag_ms,
            renewed_ms_ago,
            admitted=self._driver.admitted.is_set(),
            member_address=facts.member_address,
            priority=facts.priority,
            joins=asks_to_join(self._core),
            maintenance=self._core.orders.maintenance,
            pause_stamp=self._core.orders.pause.stamp,
            paused=self._core.orders.pause.is_on,
            paused_by=self._core.orders.pause.by,
            settings_revision=self._ask.settings_revision(),
            database=self._ask.database().is_connected,
            address=self._ask.has_address() if facts.virtual_ip else None,
            config=self._agreement.text,
        )

    def snapshot(self) -> ClusterSnapshot:
        facts, status, now = self._facts, self._core.status(), self._clock.now()
        connected, orders = self._connected(), self._core.orders
        votes, found = self._votes(connected, now), status.leader(now)
        # Without votes only the record tells who leads, and a record that cannot be read tells nothing.
        leader = found if self._core.status().members_vote or connected or (found and found[0] == facts.node) else None
        policy = status.membership.body.policy
        wall_ms, password_since = self._clock.wall_ms(), self._ask.password_since()
        database, members = self._ask.database(), self._members(connected)
        refusals = self._driver.members.strays.refusals if self._driver.members is not None else {}
        return ClusterSnapshot(
            cluster_id=facts.cluster_id,
            node=facts.node,
            role=self.role(),
            leader=leader[0] if leader else None,
            epoch=found[1] if found else status.lease.epochs.led,
            members=members,
            redis_enabled=facts.redis_enabled,
            redis_connected=connected and facts.redis_enabled,
            redis_reason=self._why_not_connected(connected),
            quorum_met=votes.quorum_met if votes else self._record_is_enough(connected),
            quorum_reason=votes.quorum_reason if votes else "" if connected else NO_QUORUM,
            safety_level=votes.safety_level(facts.safety_level) if votes else facts.safety_level,
            ready=self.serving and not self.draining and not orders.maintenance,
            time=iso_utc(wall_ms),
            store_clock_offset_ms=self._driver.store.view.offset_ms if connected and facts.redis_enabled else None,
            warnings=self._all_warnings(votes),
            findings=self._ask.acknowledge(
                (
                    *database.findings,
                    *self._voteless.findings(members, refusals, now),
                    *self._agreement.findings(members, self._said(now), leader[0] if leader else None, now),
                    *self._ask.findings(),
                    *self._unable_findings(),
                )
            ),
            certificates=tuple(_certificate(one, wall_ms) for one in self._ask.certificates()),
            redis_password_since=None if password_since is None else iso_utc(password_since),
            redis_password_mark=self._ask.password_mark(),
            quorum_policy=policy if isinstance(policy, QuorumPolicy) and status.known_membership else None,
            votes=votes.ledger if votes else (),
            electorate_version=str(status.membership.version) if status.known_membership else "",
            pending_change=votes.pending_change if votes else "",
            paused=orders.pause.is_on,
            paused_by=orders.pause.by if orders.pause.is_on else "",
            paused_since=iso_utc(WallMs(orders.pause.stamp)) if orders.pause.is_on else None,
            no_leader_reason="" if leader else self._why_no_leader(votes, connected, now),
            refused=dict(sorted(self._link.refused.items())) if self._link else {},
            virtual_ip=facts.virtual_ip or None,
            virtual_ip_here=self._ask.has_address(),
            dns_name=self._ask.name_in_dns(leader[0] if leader else None),
            database_connected=database.is_connected,
            database_reason=database.reason,
            database_latency_ms=database.latency_ms,
            database_errors=database.errors,
            rooms=self._ask.rooms(),
            gauges=self._ask.gauges(),
            knows_vault_key=bool(self._ask.master_keys().held),
            keeps_promises=None if not self._core.status().members_vote else not self._core.status().vote.why_unable,
        )

    def _why_no_leader(self, votes: Votes | None, connected: bool, now: Instant) -> str:
        up_ms = (now - self._begun) // US_PER_MS
        said = self._said(now)
        unfit = {name: UNFIT for name, text in said.items() if says_no(text, LEADS)}
        if own := self._ask.unfit():
            unfit[self._facts.node] = own
        return why_no_leader(self._core, votes, now, self._store_seen(connected), up_ms, unfit)

    def others_serve(self) -> bool:
        """Whether another member could lead and answers requests, as far as this node knows."""
        known = self._core.status().known_membership
        return any(
            not says_no(text, SERVES) and not says_no(text, LEADS) and name != self._facts.node
            for name, text in self._said(self._clock.now()).items()
            if known is not None and known.may_stand(name)
        )

    def _said(self, now: Instant) -> dict[str, str]:
        """What living members say of what must be the same everywhere."""
        seen = self._core.detector.members(now)
        return {name: one.heartbeat.config for name, one in seen.items() if one.status is MemberStatus.HEALTHY}

    def _unable_findings(self) -> list[Finding]:
        vote = self._core.status().vote
        return unable_findings(vote.strange, vote.problem or vote.disk_problem)

    def _record_is_enough(self, connected: bool) -> bool:
        """Decide quorum where the record alone decides: it can be read, or this node holds it."""
        return self.may_lead() is not None or (connected and self._core.status().lease.record is not None)

    def _all_warnings(self, votes: Votes | None) -> tuple[str, ...]:
        pause, vote, now = self._core.orders.pause, self._core.status().vote, self._clock.now()
        told = [*self._ask.warnings(), *self._driver.store.warnings.warnings(now), vote.why_unable]
        if pause.is_on:
            told.append(
                f"automatic failover is paused by {pause.by}: nobody takes over by itself (rppam cluster resume)"
            )
        if votes:
            told += [votes.warning(self._facts.safety_level), *votes.clock_warnings()]
        told += [vote.offered(now), *(self._link.complaints if self._link else ())]
        return tuple(filter(None, told))

    def sentence(self) -> str:
        """Say this node's place in one line, for the service manager."""
        snapshot = self.snapshot()
        if snapshot.role is Role.LEADER:
            return f"leader at epoch {snapshot.epoch}"
        if snapshot.leader is not None:
            return f"{snapshot.role}; the leader is {snapshot.leader}"
        return f"{snapshot.role}; no leader is known: {snapshot.no_leader_reason}"

    def _connected(self) -> bool:
        """Return whether exchanges are answered: a socket that is merely open does not count."""
        store = self._driver.store.view
        if not store.connected or store.answered_at is None:
            return False
        timing = self._core.timing
        silent_us = self._clock.now() - store.answered_at
        return not store.reason and silent_us <= timing.heartbeat_us + 2 * timing.request_timeout_us

    def _why_not_connected(self, connected: bool) -> str:
        if not self._facts.redis_enabled:
            return ALONE
        if connected:
            return ""
        return self._ask.store_reason() or self._driver.store.view.reason or "Redis did not answer the last exchange"

    def _members(self, connected: bool) -> tuple[MemberView, ...]:
        facts, now, wall_ms = self._facts, self._clock.now(), self._clock.wall_ms()
        own = MemberView(
            facts.node,
            facts.hostname,
            self.role(),
            MemberStatus.MAINTENANCE if self._core.orders.maintenance else MemberStatus.HEALTHY,
            *heard_at(wall_ms, wall_ms),
            connected and facts.redis_enabled,
            self._core.status().epoch if self.may_lead() is not None else self._core.status().lease.epochs.led,
            facts.version,
            facts.api_url,
            self._driver.store.loop_lag_ms,
            self._ask.settings_revision(),
            is_at_url=bool(facts.api_url),
            database_connected=self._ask.database().is_connected,
            has_vote=has_vote(self._core, facts.node),
            has_virtual_ip=self._ask.has_address() if facts.virtual_ip else None,
            says_config=bool(facts.shared_values),
        )
        vanishing = self._driver.store.warnings.are_vanishing(now)
        others = other_members(self._core, self._peers(), now, wall_ms, keys_vanish=vanishing)
        return tuple(sorted([own, *others], key=lambda member: member.node))

    @property
    def _link(self) -> TlsMemberLink | None:
        return None if self._driver.members is None else self._driver.members.link

    def _peers(self) -> Mapping[str, PeerState]:
        return {} if self._link is None else self._link.peers

    def _votes(self, connected: bool, now: Instant) -> Votes | None:
        membership = self._core.status().known_membership
        if not self._core.status().members_vote or membership is None:
            return None
        return Votes(self._core, membership, self._peers(), self._store_seen(connected), now)

    def _store_seen(self, connected: bool) -> StoreSeen:
        return StoreSeen(connected, self._why_not_connected(connected))


def _certificate(end: CertificateEnd, now: WallMs) -> CertificateView:
    return CertificateView(end.certificate, iso_utc(end.not_after), days_left(end.not_after, now))
