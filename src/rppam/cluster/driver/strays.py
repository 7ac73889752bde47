"""Nodes that show life and are on no list of members, though they believe that they are: forgotten, and started again.

Nobody asks such a node for its vote, so it hears of no newer list. So the leader tells it: with a question that binds
nobody (a prevote) comes the list in force, which it takes over where it may, by its own rules. It then sees that it is
no member any more and asks to become one, as a new node does. Decides nothing about votes: who is taken in, and when,
is the core's.
"""

from collections.abc import Mapping
from typing import Final

from rppam.cluster.consensus.heartbeat import MemberStatus, Role
from rppam.cluster.consensus.messages import Candidacy, Refusal, Vote, VoteRequest, VoteRequestKind
from rppam.cluster.consensus.node import NodeCore
from rppam.kernel.instant import US_PER_S, Instant, after

EVERY_US: Final = 2 * US_PER_S
STRAYS_MAX: Final = 16
"""So many at a time are told."""
REQUESTS_FROM: Final = 9 * 10**14
"""The numbers of the core's own questions stay below."""
_TOLD: Final = frozenset((Refusal.FOREIGN, Refusal.STRANGE))


class Strays:
    """See the module."""

    def __init__(self, core: NodeCore, now: Instant) -> None:
        self._core = core
        self._next = now
        self._requests = REQUESTS_FROM
        self._refusals: dict[str, Refusal] = {}

    def names(self, now: Instant) -> Mapping[str, bool]:
        """Who is one, as the leader sees it, and whether it is no witness; nobody elsewhere."""
        status = self._core.status()
        if status.permission(now) is None or not status.membership.members:
            return {}
        found = {
            name: one.heartbeat.role is not Role.WITNESS
            for name, one in sorted(self._core.detector.members(now).items())
            if one.status is MemberStatus.HEALTHY and one.heartbeat.member_address and name != self._core.node
            and not (one.heartbeat.joins or one.heartbeat.leaving) and name not in status.asked_members
        }  # fmt: skip
        self._refusals = {name: why for name, why in self._refusals.items() if name in found}
        return dict(list(found.items())[:STRAYS_MAX])

    def due(self, now: Instant) -> list[tuple[str, VoteRequest]]:
        """What is to be said now, and to whom."""
        if now < self._next:
            return []
        self._next = after(now, EVERY_US)
        status, said = self._core.status(), []
        for name in self.names(now):
            self._requests += 1
            candidacy = Candidacy(self._core.node, self._core.boot_id, status.epoch)
            said.append((name, VoteRequest(VoteRequestKind.PROBE, self._requests, candidacy, status.membership, now)))
        return said

    def heard(self, vote: Vote) -> None:
        """What one of them answered, where that says why it is none."""
        if vote.request >= REQUESTS_FROM and vote.refusal in _TOLD:
            self._refusals[vote.voter] = vote.refusal

    @property
    def refusals(self) -> Mapping[str, Refusal]:
        """Why a stray cannot take the list over, where it says so."""
        return self._refusals


def asks_to_join(core: NodeCore) -> bool:
    """Whether this node shall ask the leader to make it a member: it is on no list, and nothing speaks against it.

    A node in maintenance that was forgotten is being taken away; one with the file of another host must not vote.
    """
    status = core.status()
    if not status.members_vote:
        return False
    if status.known_membership is None:
        return True
    return core.node not in status.known_membership.members and not core.orders.maintenance and not status.vote.strange
