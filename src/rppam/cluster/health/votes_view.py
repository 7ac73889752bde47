"""The votes as one node sees them: which count, who has promised what to whom, and what is missing for a leader.

It decides nothing and knows only what this node knows: the leader has the promises themselves, a standby its own one
and which members it reaches. Nothing here is a permission.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from msgspec.structs import replace

from rppam.cluster.consensus.admission import AdmissionState
from rppam.cluster.consensus.heartbeat import MemberStatus, Role
from rppam.cluster.consensus.membership import Membership, VoterSet
from rppam.cluster.consensus.messages import Readiness, Refusal
from rppam.cluster.consensus.node import NodeCore
from rppam.cluster.consensus.promises import STORE, is_majority
from rppam.cluster.consensus.record import RecordState
from rppam.cluster.consensus.rules import FOR_EVER_US
from rppam.cluster.consensus.status import OWN_CLOCK, Status
from rppam.cluster.health.model import SafetyLevel, VoterKind, VoteView
from rppam.cluster.link.local_peer import PeerState
from rppam.kernel.instant import US_PER_MS, Instant

STORE_NAME: Final = "redis"
"""The store's name where people read it; a node may have it too, and is then told apart by its kind."""
_WAITS_TO_BE_LET_IN: Final = frozenset((AdmissionState.WATCHING, AdmissionState.PROBATION))
MUTE: Final = "it is connected and answers no ballot: look in its log for 'this member cannot vote', and at its disk"
UNABLE: Final = (
    "its disk takes no promise: see the warnings in its own health or log, and make room in its node.dataDir"
)
FORGET: Final = "one that is gone for good is forgotten: 'rppam cluster forget', without a leader with --force"
CLOCK_WAIT: Final = (
    "it waits for the clock of {names}, which runs too slow or stands still: what it holds of Redis may last longer. "
    f"Restart that host; {FORGET}"
)
NO_MEMBER: Final = (
    "this node is no member, so nobody asks for its vote and it cannot lead; the members are {members}: ask one of "
    "them why nobody leads (rppam status). Once one leads, it takes this node in by itself"
)
UNFIT: Final = "it says that it should not lead: its own health and log say why"
GONE_MS: Final = 60_000
"""A member that was not heard for this long does not just start."""
LOST_FOR_GOOD: Final = " If members are lost for good: rppam cluster forget --force"
UNCONNECTED: Final = PeerState(
    "", is_connected=False, reason="not connected yet", heard_ms_ago=None, round_trip_us=None
)


class StoreSeen(NamedTuple):
    """What this node sees of the store."""

    is_connected: bool
    reason: str


class Votes:
    """One look at the votes of a cluster whose members vote."""

    def __init__(
        self, core: NodeCore, membership: Membership, peers: Mapping[str, PeerState], store: StoreSeen, now: Instant
    ) -> None:
        self._status = core.status()
        self._membership = membership
        self._peers = peers
        self._store = store
        self._now = now
        self._leads = self._status.permission(now) is not None
        # A node that follows another asks nobody, so what it once found of clocks would never be put right.
        asks = self._leads or self._status.leader(now) is None
        self._asks = asks
        self._off = self._status.others.clocks.off if asks else {}
        self._strangers = self._status.others.strangers if asks else frozenset()
        self.ledger = tuple(self._line(name) for name in self._voters())

    # ---- what it comes to -------------------------------------------------------------------------------------------

    @property
    def quorum_met(self) -> bool:
        """The promises held, or else the votes within reach, are a majority."""
        return self._leads or is_majority(self._counted(), *(body.weights for body in self._membership.voter_sets))

    @property
    def quorum_reason(self) -> str:
        """Empty when met; else how many votes are missing, and whose."""
        if self.quorum_met:
            return ""
        for body in self._membership.voter_sets:
            have = sum(body.weights.get(name, 0) for name in self._counted())
            if have < body.needed:
                total = sum(body.weights.values())
                lack = [line for line in self.ledger if not line.is_counted and self._weight(line, body)]
                whose = "; ".join(f"{_titled(line)}: {line.reason}" for line in lack)
                return f"{have} of {total} votes can be won and {body.needed} are needed ({body.policy}). {whose}"
        return ""

    def is_somebody_gone(self, up_ms: int) -> bool:
        """Return whether a member whose vote is missing was away for longer than a start may take."""
        missing = [line.voter for line in self.ledger if line.kind is not VoterKind.STORE and not line.is_reached]
        heard = [self._peers.get(name, UNCONNECTED).heard_ms_ago for name in missing]
        return any((up_ms if ms is None else ms) >= GONE_MS for ms in heard)

    @property
    def pending_change(self) -> str:
        """What is under way and what it waits for, or empty."""
        old, body = self._membership.old, self._membership.body
        if old is None:
            wanted = self._status.wanted.voters
            return "" if wanted is None else f"the members shall become {', '.join(wanted.members)}; it has not begun"
        waits = [name for name in old.members if not self._status.has_on_disk(name, self._membership.version)]
        told = f"; {', '.join(waits)} must still write it down" if waits and self._leads else ""
        need = f"{old.blocking} of the {len(old.members)} former members must have it on disk"
        return f"the members become {', '.join(body.members)} instead of {', '.join(old.members)}: {need}{told}"

    def safety_level(self, by_store: SafetyLevel) -> SafetyLevel:
        """Return ``voted`` only where the store has no vote to give: it could lose one."""
        return by_store if self._membership.store_has_vote else SafetyLevel.VOTED

    def warning(self, by_store: SafetyLevel) -> str:
        """Warn, where the store has a vote behind Sentinel, that a failover may forget it; else return empty."""
        if by_store is not SafetyLevel.REPLICATED or self.safety_level(by_store) is SafetyLevel.VOTED:
            return ""
        return (
            f"Redis has a vote under {self._membership.body.policy} with {len(self._membership.body.members)} voters, "
            "and behind Sentinel a failover may forget it: use majority with an odd number of voters (add a witness)"
        )

    def clock_warnings(self) -> tuple[str, ...]:
        """Warn of clocks that run at another rate than this host's, and of what that costs this node.

        Where the store has no vote nobody compares clocks while another leads: there only while it asks itself.
        """
        off = self._status.others.clocks.off if self._membership.store_has_vote else self._off
        told = tuple(
            f"the clock of {name} runs {_how_wrong(off[name])}; its promises are not counted. "
            "Check the clock source of both hosts"
            for name in self._membership.members
            if name in off
        )
        if not self._membership.store_has_vote or self._status.others.clocks.store_counts:
            return told
        return (*told, OWN_CLOCK.format(names=", ".join(name for name in self._membership.members if name in off)))

    def clock_wait(self) -> str:
        """Say whose clock the vote of Redis waits for, where none can be won without it; else return empty."""
        take_at = self._status.take_at
        if not self._status.lease.longer_us or take_at is None or take_at <= self._now:
            return ""
        if self._leads or is_majority(self._counted() - {STORE}, *(b.weights for b in self._membership.voter_sets)):
            return ""
        names = ", ".join(self._status.others.clocks.awaited)
        return f"the vote of Redis can be had in {_ms(take_at - self._now)} ms: {CLOCK_WAIT.format(names=names)}"

    def next_vote_ms(self) -> int:
        """Return after how long this node's own vote is free, at the earliest."""
        me = self._status.me
        return max(0, self._status.vote.free_at(me.node, me.boot_id) - self._now) // US_PER_MS

    # ---- one voter --------------------------------------------------------------------------------------------------

    def _voters(self) -> list[str]:
        names = list(self._membership.members)
        return [*names, STORE] if self._membership.store_has_vote else names

    def _counted(self) -> set[str]:
        return {STORE if line.kind is VoterKind.STORE else line.voter for line in self.ledger if line.is_counted}

    def _weight(self, line: VoteView, body: VoterSet) -> int:
        return body.weights.get(STORE if line.kind is VoterKind.STORE else line.voter, 0)

    def _line(self, name: str) -> VoteView:
        body = self._membership.body
        kind = VoterKind.WITNESS if name in body.witnesses else VoterKind.MEMBER
        votes = body.weights.get(name, 0)
        reached, why_not = self._reach(name)
        if self._leads and self._status.holds(name, self._now):
            until = self._status.promises[name]
            line = VoteView(name, kind, votes, self._status.me.node, _ms(until - self._now), reached, True, "")
        else:
            promised_to, promised_ms = self._promise(name)
            if self._leads and not why_not:
                why_not = (self._why_waited_for() if name == STORE else "") or "it did not confirm in time"
            line = VoteView(name, kind, votes, promised_to, promised_ms, reached, not why_not, why_not)
        return replace(line, voter=STORE_NAME, kind=VoterKind.STORE) if name == STORE else line

    def _why_waited_for(self) -> str:
        """Say until when the leader does not ask for the store's vote, as it does not believe the record yet."""
        take_at, timing = self._status.take_at, self._status.me.timing
        if take_at is None:
            return "its record is read first, as the connection is new" if self._status.connected else ""
        if self._now - take_at > timing.heartbeat_us + timing.request_timeout_us:
            return ""  # it was asked
        when = f"in {_ms(take_at - self._now)} ms" if take_at > self._now else "with the next heartbeat"
        return f"its vote is asked for {when}: after a loss its record must first stand unchanged for a whole lease"

    def _promise(self, name: str) -> tuple[str | None, int | None]:
        """Return whom it supports and for how long, as far as this node knows."""
        status, now = self._status, self._now
        if name == status.me.node:
            holder, until = status.vote.holder(now), status.vote.promised_until
            return holder or None, _ms(until - now) if holder and until is not None else 0
        if name == STORE:
            record = status.lease.record
            left_us = status.me.timing.lease_us - status.lease.silent_us(now)
            if record is None:
                return None, None
            held = record.state is RecordState.HELD and left_us > 0 and not status.lease.is_unsigned
            return (record.holder, _ms(left_us)) if held else (None, 0)
        answer = status.answers.get(name)
        if answer is None or not status.is_heard(name, now):
            return None, None
        return answer.vote.promised_to or None, None  # a member that was free when asked may have promised since

    def _reach(self, name: str) -> tuple[bool, str]:
        """Return whether this node reaches the voter, and why its vote does not count; empty when it does."""
        vote = self._status.vote
        if name == STORE:
            return self._store.is_connected, self._why_not_store() if self._store.is_connected else self._store.reason
        if name == self._status.me.node:
            waits = self._now <= vote.abstains_until
            return True, vote.why_unable or (f"{Refusal.BOOT_WAIT}" if waits else "")
        peer = self._peers.get(name, UNCONNECTED)
        percent = self._off.get(name)
        if percent is not None:
            return peer.is_connected, f"its clock runs {_how_wrong(percent)}; check the clock source of both hosts"
        if name in self._strangers:
            return peer.is_connected, f"{Refusal.FOREIGN.replace('the asker', 'it')}"
        if peer.is_connected and (answer := self._status.answers.get(name)) is not None:
            if answer.vote.refusal is Refusal.STRANGE:
                return True, f"{Refusal.STRANGE}"
            if answer.vote.readiness is Readiness.UNABLE and not self._leads:
                return True, UNABLE
        if not self._leads and peer.is_connected and self._asked_in_vain(name):
            return True, MUTE
        return peer.is_connected, "" if peer.is_connected else peer.reason or UNCONNECTED.reason

    def _why_not_store(self) -> str:
        status = self._status
        if not status.others.clocks.store_counts:
            names = ", ".join(name for name in self._membership.members if name in status.others.clocks.off)
            return (
                f"its vote does not count for this node while its clock may be the wrong one. That of {names} runs "
                f"otherwise: restart the host that is wrong; {FORGET}"
            )
        if self._asks and status.lease.longer_us >= FOR_EVER_US:
            return CLOCK_WAIT.format(names=", ".join(self._status.others.clocks.awaited))
        return ""

    def _asked_in_vain(self, name: str) -> bool:
        """Return whether it has not answered for longer than one vote request is waited for."""
        return self._status.unanswered_us(name, self._now) > 2 * self._status.me.timing.request_timeout_us


def _how_wrong(percent: int) -> str:
    return f"{abs(percent)} % {'faster' if percent > 0 else 'slower'} than this host's"


def _titled(line: VoteView) -> str:
    return "Redis" if line.kind is VoterKind.STORE else line.voter


def _ms(us: int) -> int:
    return max(0, us) // US_PER_MS


def why_no_leader(
    core: NodeCore,
    votes: Votes | None,
    now: Instant,
    store: StoreSeen,
    up_ms: int = GONE_MS,
    unfit: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Say in one sentence why nobody leads, as far as this node knows, and what to do.

    ``up_ms``: for how long this node has run; whoever was not heard in that time may just be starting, too.
    ``unfit``: who should not lead now, and why.
    """
    status, pause = core.status(), core.orders.pause
    if votes is None and core.status().members_vote:
        return "this node belongs to no cluster yet and waits to be made a member by a leader"
    if status.known_membership is not None and core.node not in status.known_membership.members:
        members = ", ".join(status.known_membership.members)
        return NO_MEMBER.format(members=members)
    short = votes.quorum_reason if votes is not None else ("" if store.is_connected else store.reason)
    if short:
        lost = LOST_FOR_GOOD if votes is not None and votes.is_somebody_gone(up_ms) else ""
        return f"{short}. Bring back what is missing.{lost}"
    if core.status().members_vote and core.status().vote.strange:
        return core.status().vote.strange
    if pause.is_on:
        return f"automatic failover is paused by {pause.by}, so nobody takes over: rppam cluster resume"
    if not status.electable and not core.orders.maintenance and core.admission.standing in _WAITS_TO_BE_LET_IN:
        return (
            "this node is not let in yet: it makes sure that nobody else has its name, by Redis or, as a member, after "
            f"{2 * core.timing.lease_ms // 1000} s without an answer of Redis"
        )
    if status.no_epoch:
        return status.no_epoch
    if kept := _kept_from_leading(core, votes, now, unfit):
        return kept
    if votes is not None and (awaited := votes.clock_wait()):
        return awaited
    wait_ms = votes.next_vote_ms() if votes is not None else _silence_left_ms(status, now)
    return f"an election is due in {wait_ms} ms, when earlier promises have ended" if wait_ms else "an election is on"


def _kept_from_leading(core: NodeCore, votes: Votes | None, now: Instant, unfit: Mapping[str, str]) -> str:
    """Say of each that could lead what keeps it from it; empty where somebody can, as far as this node knows."""
    aside = {*core.in_maintenance, *((core.node,) if core.orders.maintenance else ())}
    whys: dict[str, str] = {}
    membership = core.status().known_membership
    if membership is not None and votes is not None:
        lines = {line.voter: line for line in votes.ledger if line.kind is VoterKind.MEMBER}
        able = [name for name in membership.members if membership.may_stand(name)]
        whys = {name: lines[name].reason for name in able if name in lines and lines[name].reason}
    elif membership is None and not core.status().members_vote:
        seen = core.detector.members(now)
        able = sorted({core.node, *(name for name, one in seen.items() if one.heartbeat.role is not Role.WITNESS)})
        whys = {name: f"{one.status}" for name, one in seen.items() if one.status is MemberStatus.UNREACHABLE}
    else:
        return ""
    whys = {**unfit, **{name: why for name, why in whys.items() if why}}
    resting = [name for name in able if name in aside]
    if any(name not in aside and not whys.get(name) for name in able) or not (resting or unfit):
        return ""
    if not resting:
        return f"nobody can lead: {'; '.join(f'{name}: {whys[name]}' for name in able)}"
    back = f"rppam cluster maintenance {resting[0]} off"
    if len(resting) == len(able):
        return f"all that could lead are in maintenance: {back}"
    lost = "; ".join(f"{name}: {whys[name]}" for name in able if name not in aside)
    also = f"{', '.join(resting)} {'is' if len(resting) == 1 else 'are'} in maintenance"
    return f"nobody can lead: {also}: {back}. Or bring back {lost}"


def _silence_left_ms(status: Status, now: Instant) -> int:
    take_at = status.take_at
    return 0 if take_at is None else _ms(take_at - now)
