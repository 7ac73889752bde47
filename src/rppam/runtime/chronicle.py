"""Tells who leads and whether the store answers, each time that changes, in the log and in the history.

Each node tells what it sees of the others, so that one node's log alone tells the story. What lasts less than a second
is not told as a loss: a hand-over has a gap, and a single answer may be late. Decides nothing.
"""

import logging
from collections.abc import Callable
from typing import Final

from rppam.domain.history import HistoryEvent
from rppam.domain.instant import US_PER_MS, US_PER_S, Instant
from rppam.runtime.history import noted

log: Final = logging.getLogger("rppam.node")

LASTS_US: Final = US_PER_S
"""So long nobody leads, or the store does not answer, before that is told."""


class Chronicle:
    """What one node has told so far."""

    def __init__(self, node: str, why_no_leader: Callable[[], str], now: Instant) -> None:
        """``why_no_leader``: why nobody leads, as far as this node knows; may be empty."""
        self._node = node
        self._why_no_leader = why_no_leader
        self._leader: tuple[str, int] | None = None
        """Who was last told to lead."""
        self._leaderless_since: Instant | None = now
        self._told_leaderless = False
        self._store_away_since: Instant | None = None
        self._told_store_away = False

    def without_leader_ms(self, now: Instant) -> int:
        """For how long this node has seen no leader."""
        return 0 if self._leaderless_since is None else (now - self._leaderless_since) // US_PER_MS

    def look(self, leader: tuple[str, int] | None, now: Instant) -> None:
        """``leader``: name and epoch of whom this node sees leading now."""
        if leader is None:
            if self._leaderless_since is None:
                self._leaderless_since = now
            if not self._told_leaderless and now - self._leaderless_since >= LASTS_US:
                self._told_leaderless = True
                why = self._why_no_leader()
                log.warning(
                    "this node sees no leader%s", f": {why}" if why else "", extra=noted(HistoryEvent.NO_LEADER)
                )
            return
        without_ms = self.without_leader_ms(now)
        self._leaderless_since, was_told = None, self._told_leaderless
        self._told_leaderless = False
        if leader == self._leader and not was_told:
            return
        self._leader = leader
        if leader[0] != self._node:  # this node told it when it was elected
            name, epoch = leader
            told = noted(HistoryEvent.LEADER, leader=name, epoch=epoch, withoutLeaderMs=without_ms)
            log.info("this node sees that %s leads at epoch %d", name, epoch, extra=told)

    def look_at_store(self, *, answers: bool, reason: str, now: Instant) -> None:
        """Whether the store answers this node; ``reason``: why not."""
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
