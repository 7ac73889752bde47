"""Orders in which things come to one member: what it keeps, and what it is told."""

from rppam.cluster.consensus.effects import (
    Asked,
    ChangeMembership,
    ClaimEpoch,
    Effect,
    EpochClaimed,
    EpochLearned,
    Freed,
    Invited,
    LearnEpoch,
    Phase,
    Saved,
    SaveKept,
    Tick,
)
from rppam.cluster.consensus.election import Election
from rppam.cluster.consensus.lease import Identity
from rppam.cluster.consensus.membership import QuorumPolicy, VoterSet, founding
from rppam.cluster.consensus.messages import (
    NO_CANDIDACY,
    Candidacy,
    Freeing,
    PersistedVote,
    VoteRequest,
    VoteRequestKind,
)
from rppam.cluster.consensus.rules import VoteRules
from rppam.cluster.consensus.timing import PROFILES
from rppam.cluster.consensus.vote import Voter
from rppam.kernel.fence import Fenced
from rppam.kernel.instant import Instant, WallMs
from rppam_sim.host import SeededEntropy

TIMING = PROFILES["default"]


class Alone:
    """A cluster of one, whose disk confirms at once."""

    def __init__(self) -> None:
        body = VoterSet.of(("a",), QuorumPolicy.MAJORITY)
        kept = PersistedVote(NO_CANDIDACY, founding("ab" * 8, body))
        me = Identity("a", "a" * 16, TIMING)
        voter = Voter(me, kept, VoteRules(TIMING), Instant(0))
        self.election = Election(me, SeededEntropy("a"), now=Instant(0), voter=voter)
        self.now = Instant(0)
        self.disk = kept
        self.turns: list[list[int]] = []
        """The tickets that each turn of the core handed over."""

    def perform(self, effects: list[Effect]) -> None:
        tickets = [effect.ticket for effect in effects if isinstance(effect, SaveKept)]
        self.turns.append(tickets)
        for effect in effects:
            if isinstance(effect, LearnEpoch):
                self.perform(self.election.step(EpochLearned(effect.attempt, 0, WallMs(1)), self.now))
            elif isinstance(effect, ClaimEpoch):
                self.perform(self.election.step(EpochClaimed(effect.attempt, Fenced.ACCEPTED), self.now))
            elif isinstance(effect, SaveKept):
                self.disk = effect.kept
                self.perform(self.election.step(Saved(effect.ticket, ""), self.now))

    def run(self, ms: int) -> None:
        until = self.now + ms * 1000
        while self.election.deadline() <= until:
            self.now = max(self.now, self.election.deadline())
            self.perform(self.election.step(Tick(), self.now))


def test_two_changes_in_one_turn_are_kept_in_their_order() -> None:
    one = Alone()
    one.run(TIMING.lease_ms + 1_500)
    assert one.election.status().permission(one.now) is not None
    for policy in (QuorumPolicy.LAST_MAN_STANDING, QuorumPolicy.MAJORITY):
        one.perform(one.election.step(ChangeMembership(VoterSet.of(("a",), policy)), one.now))
        one.run(TIMING.heartbeat_ms)
    one.run(4 * TIMING.heartbeat_ms)
    assert any(len(tickets) > 1 for tickets in one.turns), "one change ended and the next began in one turn"
    assert all(tickets == sorted(tickets) for tickets in one.turns)
    assert one.disk.membership == one.election.status().membership


def test_an_invitation_that_comes_before_the_release_is_not_forgotten_at_the_release() -> None:
    kept = PersistedVote(NO_CANDIDACY, founding("ab" * 8, VoterSet.of(("a", "b", "c"), QuorumPolicy.MAJORITY)))
    now = Instant(TIMING.lease_us + 2)
    voter = Voter(Identity("a", "a" * 16, TIMING), kept, VoteRules(TIMING), Instant(0))
    election = Election(Identity("a", "a" * 16, TIMING), SeededEntropy("a"), now=Instant(0), voter=voter)
    candidacy = Candidacy("b", "b" * 16, 7)
    assert kept.membership is not None
    election.step(Asked(VoteRequest(VoteRequestKind.VOTE, 1, candidacy, kept.membership, now), None), now)
    election.step(Invited(), now)
    assert election.status().phase is Phase.STANDBY, "it has promised b"
    election.step(Freed(Freeing(candidacy)), now)
    assert election.status().phase is Phase.PREVOTE
