"""Logs who leads, whether the store answers, and how the other members fare, each time that changes.

Each node logs what it sees of the others, so that one node's log alone tells the story. What lasts less than a second
is no loss: a transfer has a gap, and a single answer may be late. Decides nothing.

**How long nobody led.** A leader that dies with its host says no farewell, and this node goes on seeing it for a lease.
So the time counts from the leader's last sign, where it had been silent when it was given up; from the farewell, where
it said one; from this node's start, where this node knew none before. A node that was itself cut off, or stood still,
cannot know better and counts that time as well.

**Members.** The core judges them by their heartbeats in the store. A store that loses keys, or that one member alone
does not reach, hides a living node: while the member link hears it, health shows it healthy, and so does the log.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Final

from rppam.cluster.consensus.failure_detector import MISSED, FailureDetector, MemberChanged
from rppam.cluster.consensus.heartbeat import MemberStatus
from rppam.cluster.consensus.status import Status
from rppam.cluster.consensus.timing import Timing
from rppam.cluster.health.members_view import is_heard
from rppam.cluster.history.recorder import HistoryEvent, noted
from rppam.cluster.link.local_peer import PeerState
from rppam.kernel.instant import US_PER_MS, US_PER_S, Instant

log: Final = logging.getLogger("rppam.node")

LASTS_US: Final = US_PER_S
"""How long nobody leads, or the store does not answer, before that is logged."""
_AWAY: Final = frozenset((MemberStatus.SUSPECT, MemberStatus.UNREACHABLE))


def last_sign(status: Status, now: Instant) -> Instant:
    """Return when the leader that this node sees last asked for its support, or changed the record."""
    leader, vote, lease = status.leader(now), status.vote, status.lease
    if leader is None or leader[0] == status.me.node:
        return now
    signs = []
    if vote.promised_until is not None and (vote.promise.candidate, vote.promise.epoch) == leader:
        signs.append(Instant(vote.promised_until - status.me.timing.lease_us))
    if lease.record is not None and lease.since is not None and (lease.record.holder, lease.record.epoch) == leader:
        signs.append(lease.since)
    return max(signs, default=now)


class LeadershipLog:
    """What one node has logged so far."""

    def __init__(self, node: str, timing: Timing, why_no_leader: Callable[[], str], now: Instant) -> None:
        """``why_no_leader``: why nobody leads, as far as this node knows; may be empty."""
        self._node = node
        self._silent_us = MISSED * timing.heartbeat_us
        self._why_no_leader = why_no_leader
        self._leader: tuple[str, int] | None = None
        """The leader logged last."""
        self._sign = now
        """When somebody was last known to lead."""
        self._unled_since: Instant | None = now
        """Since when nobody leads; earlier than this node saw that."""
        self._leaderless_since: Instant | None = now
        """Since when this node sees nobody lead."""
        self._told_leaderless = False
        self._store_away_since: Instant | None = None
        self._told_store_away = False

    def without_leader_ms(self, now: Instant) -> int:
        """Return for how long nobody has led, as far as this node knows: see the module."""
        return (now - self._nobody_since(now)) // US_PER_MS

    def _nobody_since(self, now: Instant) -> Instant:
        if self._unled_since is not None:
            return self._unled_since
        return self._sign if now - self._sign > self._silent_us else now

    def look(self, leader: tuple[str, int] | None, now: Instant, sign: Instant) -> None:
        """``leader``: name and epoch of the one that this node sees leading now; ``sign``: see ``last_sign``."""
        if leader is None:
            if self._leaderless_since is None:
                self._unled_since = self._nobody_since(now)
                self._leaderless_since = now
            if not self._told_leaderless and now - self._leaderless_since >= LASTS_US:
                self._told_leaderless = True
                why = self._why_no_leader()
                log.warning(
                    "this node sees no leader%s", f": {why}" if why else "", extra=noted(HistoryEvent.NO_LEADER)
                )
            return
        without_ms = self.without_leader_ms(now)
        self._sign = max(self._sign, sign)
        self._unled_since = self._leaderless_since = None
        was_told = self._told_leaderless
        self._told_leaderless = False
        if leader == self._leader and not was_told:
            return
        self._leader = leader
        if leader[0] != self._node:  # this node told it when it was elected
            name, epoch = leader
            told = noted(HistoryEvent.LEADER, leader=name, epoch=epoch, withoutLeaderMs=without_ms)
            log.info("this node sees that %s leads at epoch %d", name, epoch, extra=told)

    def look_at_store(self, *, answers: bool, reason: str, now: Instant) -> None:
        """``answers``: whether the store answers this node; ``reason``: why not."""
        if answers:
            if self._told_store_away and self._store_away_since is not None:
                away_ms = (now - self._store_away_since) // US_PER_MS
                told = noted(HistoryEvent.STORE_BACK, awayMs=away_ms)
                log.info("the store answers this node again, after %.1f s", away_ms / 1000, extra=told)
            self._store_away_since, self._told_store_away = None, False
            return
        if self._store_away_since is None:
            self._store_away_since = now
        if not self._told_store_away and now - self._store_away_since >= LASTS_US:
            self._told_store_away = True
            why = f": {reason}" if reason else ""
            log.warning("the store does not answer this node%s", why, extra=noted(HistoryEvent.STORE_LOST))


class MemberLog:
    """What one node has logged of the others so far."""

    def __init__(self, detector: FailureDetector, peers: Callable[[], Mapping[str, PeerState]]) -> None:
        """``peers``: every expected member as the link sees it; empty where there is no link."""
        self._detector = detector
        self._peers = peers
        self._away: dict[str, MemberChanged] = {}
        """Members whose heartbeats stay away, and what there is to log of it."""
        self._told: set[str] = set()
        """Those of which that was logged."""

    def changed(self, change: MemberChanged) -> None:
        """A member's heartbeats stay away, or come again, or it left."""
        name = change.node
        if change.status in _AWAY:
            self._away[name] = change
            if not _is_heard(name, self._peers()):
                self._told.add(name)
                _tell(change)
            return
        was_hidden = name in self._away and name not in self._told
        self._away.pop(name, None)
        self._told.discard(name)
        if not (was_hidden and change.status is MemberStatus.HEALTHY):  # of whom no ill was told
            _tell(change)

    def look(self, now: Instant) -> None:
        """Log of members whose heartbeats stay away what the link has changed."""
        if not self._away:
            return
        seen, peers = self._detector.members(now), self._peers()
        for name, change in list(self._away.items()):
            if name not in seen:  # neither listed nor a member any more
                del self._away[name]
                self._told.discard(name)
            elif _is_heard(name, peers):
                if name in self._told:
                    self._told.discard(name)
                    _tell(change._replace(status=MemberStatus.HEALTHY, sentence=f"node {name} is healthy again"))
            elif name not in self._told and seen[name].status is not MemberStatus.UNKNOWN:
                self._told.add(name)
                _tell(change)


def _is_heard(name: str, peers: Mapping[str, PeerState]) -> bool:
    peer = peers.get(name)
    return peer is not None and is_heard(peer)


def _tell(change: MemberChanged) -> None:
    level = logging.WARNING if change.status in _AWAY else logging.INFO
    facts = noted(HistoryEvent.MEMBER, epoch=change.epoch, member=change.node, status=str(change.status or "left"))
    log.log(level, change.sentence, extra=facts)
