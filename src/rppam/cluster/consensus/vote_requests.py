"""Vote requests under way: which member was asked what, when, and whose answer still counts.

An answer counts for the one ballot it answers and from when that ballot was *sent*; a ballot that is older than the
request timeout is unknown, which is never yes and never no. One ballot a member is under way at most.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from rppam.cluster.consensus.effects import Ask
from rppam.cluster.consensus.membership import Membership
from rppam.cluster.consensus.messages import Candidacy, Vote, VoteRequest, VoteRequestKind
from rppam.cluster.consensus.timing import Timing
from rppam.kernel.instant import Instant, after

STRANGER: Final = (
    "{name} answers as a member of another cluster, founded on its own; neither counts the other's votes. On the one "
    "that is wrong: stop rppam, remove the file 'promise' in node.dataDir, start it; the leader then takes it in"
)


class Open(NamedTuple):
    """A ballot that waits for its answer."""

    request: int
    kind: VoteRequestKind
    epoch: int
    at: Instant
    """When it was sent."""


class VoteRequests:
    """What one candidate or leader has asked the members."""

    __slots__ = ("_in_vain", "_lease_us", "_requests", "_timeout_us", "open")

    def __init__(self, timing: Timing) -> None:
        self.open: dict[str, Open] = {}
        self._requests = 0
        self._timeout_us = timing.request_timeout_us
        self._lease_us = timing.lease_us
        self._in_vain: dict[str, tuple[Instant, Instant]] = {}
        """Who has been asked without an answer: the first time and the last."""

    def put(
        self, kind: VoteRequestKind, claim: Candidacy, electorate: Membership, to: Iterable[str], now: Instant
    ) -> list[Ask]:
        """Ask those who are not being asked already."""
        asks = []
        for member in to:
            if member not in self.open:
                self._requests += 1
                self.open[member] = Open(self._requests, kind, claim.epoch, now)
                first, last = self._in_vain.get(member, (now, now))
                self._in_vain[member] = (now if now - last > self._lease_us else first, now)
                asks.append(Ask(member, VoteRequest(kind, self._requests, claim, electorate, now)))
        return asks

    def take(self, vote: Vote) -> Open | None:
        """The ballot that this vote answers, which is then answered; ``None`` when nobody waits for it."""
        self._in_vain.pop(vote.voter, None)
        waiting = self.open.get(vote.voter)
        if waiting is None or (waiting.request, waiting.kind) != (vote.request, vote.kind):
            return None
        if waiting.epoch != vote.epoch:
            return None
        return self.open.pop(vote.voter)

    def lost(self, voter: str, request: int) -> None:
        """This ballot gets no answer."""
        waiting = self.open.get(voter)
        if waiting is not None and waiting.request == request:
            del self.open[voter]
            self._in_vain.pop(voter, None)  # it was never asked

    def expire(self, now: Instant) -> None:
        """Forget what waits for too long."""
        for member in [name for name, waiting in self.open.items() if now - waiting.at >= self._timeout_us]:
            del self.open[member]

    def in_vain_us(self, member: str, now: Instant) -> int:
        """For how long this node has been asking the member again and again without any answer, good or bad."""
        first, last = self._in_vain.get(member, (now, now))
        return 0 if now - last > self._lease_us else now - first

    def keep(self, members: Iterable[str]) -> None:
        """Of everybody else nothing need be remembered."""
        self._in_vain = {name: times for name, times in self._in_vain.items() if name in members}

    def clear(self) -> None:
        """Nothing that was asked counts any more."""
        self.open.clear()

    @property
    def expires_at(self) -> Instant | None:
        """When the oldest ballot is given up."""
        if not self.open:
            return None
        return min(after(waiting.at, self._timeout_us) for waiting in self.open.values())
