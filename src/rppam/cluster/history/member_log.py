"""Logs how the other members fare, also for the history, so that both say what health shows.

The core judges members by their heartbeats in the store. A store that loses keys, or that one member alone does not
reach, hides a living node: while the member link hears it, health shows it healthy, and nothing else is logged here.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Final

from rppam.cluster.consensus.failure_detector import FailureDetector, MemberChanged
from rppam.cluster.consensus.heartbeat import MemberStatus
from rppam.cluster.health.members_view import is_heard
from rppam.cluster.history.recorder import HistoryEvent, noted
from rppam.cluster.link.local_peer import PeerState
from rppam.kernel.instant import Instant

log: Final = logging.getLogger("rppam.node")

_AWAY: Final = frozenset((MemberStatus.SUSPECT, MemberStatus.UNREACHABLE))


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
