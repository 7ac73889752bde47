"""One member of a cluster: its election and its vote, wired together.

A node asks its own voter with the same ballots as everybody else's, and its own word is on disk before it counts, too.
What the election asks of the node itself is answered here; everything else goes out as an effect.
"""

from rppam.cluster.consensus.effects import (
    AdoptMembership,
    Ask,
    Effect,
    Event,
    Free,
    MembershipAdopted,
    ReleaseHeard,
    Voted,
)
from rppam.cluster.consensus.election import Election
from rppam.cluster.consensus.messages import Freeing, VoteRequest, VoteRequestKind
from rppam.cluster.consensus.voter import SaveKept, SendVote, Voter, VoterEffect
from rppam.kernel.instant import Instant

MemberEffect = Effect | SaveKept | SendVote

_OWN = object()
"""The handle of this node's own ballots."""


class Member:
    """An election, and the voter that belongs to it if members vote here."""

    def __init__(self, election: Election) -> None:
        self.election = election
        self.voter: Voter | None = election.voter

    def receive(self, event: Event, now: Instant) -> list[MemberEffect]:
        """Something happened that concerns the election."""
        return self._route(self.election.receive(event, now), now)

    def poll(self, now: Instant) -> list[MemberEffect]:
        """Time passed."""
        return self._route(self.election.poll(now), now)

    def deadline(self) -> Instant:
        """When to be polled next, at the latest."""
        return self.election.deadline()

    def asked(self, ballot: VoteRequest, handle: object, now: Instant) -> list[MemberEffect]:
        """Another member asks for this one's vote; the answer comes as :class:`SendVote` with the ``handle``."""
        if self.voter is None:
            return []
        effects = self._voted(self.voter.ask(ballot, handle, now), now)
        if self.voter.leader(now) == ballot.claim and ballot.kind is VoteRequestKind.RENEW:
            self.election.keep_step(now)
        return effects

    def freed(self, freeing: Freeing, now: Instant) -> list[MemberEffect]:
        """Another member gives a promise back."""
        if self.voter is None:
            return []
        self.voter.freed(freeing)
        return self.receive(ReleaseHeard(), now)

    def saved(self, ticket: int, why_not: str, now: Instant) -> list[MemberEffect]:
        """The disk has kept what :class:`SaveKept` named, or why not."""
        if self.voter is None:
            return []
        return self._voted(self.voter.saved(ticket, why_not), now)

    def tried(self, why_not: str, now: Instant) -> list[MemberEffect]:
        """The disk was tried without anything to keep, and would not for this reason; empty: it would."""
        return [] if self.voter is None else self._voted(self.voter.tried(why_not), now)

    def _route(self, effects: list[Effect], now: Instant) -> list[MemberEffect]:
        out: list[MemberEffect] = []
        for effect in effects:
            match effect:
                case Ask(to, ballot) if to == self.election.node and self.voter is not None:
                    out.extend(self._voted(self.voter.ask(ballot, _OWN, now), now))
                case Free(to, freeing) if to == self.election.node and self.voter is not None:
                    self.voter.freed(freeing)
                case AdoptMembership(electorate, told_by) if self.voter is not None:
                    out.extend(self._voted(self.voter.adopt(electorate, now, told_by), now))
                case _:
                    out.append(effect)
        return out

    def _voted(self, effects: list[VoterEffect], now: Instant) -> list[MemberEffect]:
        """Hand the own voter's answer to the own election, and tell it of another electorate first.

        What is to be kept goes out before that: the election may change the electorate again at once, and what is
        kept later must be what was decided later.
        """
        assert self.voter is not None
        out: list[MemberEffect] = [effect for effect in effects if not _is_own(effect)]
        electorate = self.voter.electorate
        if electorate is not None and electorate is not self.election.electorate:
            out.extend(self._route(self.election.receive(MembershipAdopted(electorate), now), now))
        for effect in effects:
            if isinstance(effect, SendVote) and _is_own(effect):
                out.extend(self._route(self.election.receive(Voted(effect.vote), now), now))
        return out


def _is_own(effect: VoterEffect) -> bool:
    return isinstance(effect, SendVote) and effect.handle is _OWN
