"""Planted bugs: the production core, with exactly one clause of the rule replaced by the tempting shortcut.

They show that the simulation has teeth, and that each clause is needed. Each stands beside the clause that it breaks in
docs/leadership.md. A plant is never reachable from a node.
"""

from typing import Final, NamedTuple

from rppam.cluster.consensus.election import TABLE, Election, Table
from rppam.cluster.consensus.lease import Identity
from rppam.cluster.consensus.messages import PersistedVote
from rppam.cluster.consensus.rules import LeadershipRules, LeaseRules, MembershipRules, Rules, VoteRules
from rppam.cluster.consensus.timing import Timing
from rppam.cluster.consensus.vote import Voter
from rppam.kernel.entropy import Entropy
from rppam.kernel.fence import admits
from rppam.kernel.instant import Instant
from rppam_sim import shortcuts
from rppam_sim.host import Host, QuestionsOfBefore, SimSeal
from rppam_sim.member_faults import KINDS
from rppam_sim.places import Admits
from rppam_sim.setting import Scenario
from rppam_sim.store import SimStore


class Mutant(NamedTuple):
    """The production core with one clause replaced, or what the table of the election has for an event."""

    name: str
    sentence: str
    where: Scenario = Scenario()
    """In which it shows."""
    leadership: type[LeadershipRules] = LeadershipRules
    lease: type[LeaseRules] = LeaseRules
    vote: type[VoteRules] = VoteRules
    membership: type[MembershipRules] = MembershipRules
    table: Table = TABLE
    store: type[SimStore] = SimStore
    host: type[Host] = Host
    admits: Admits = admits
    waits_for_replicas: bool = True
    waits_for_identity: bool = True

    def elect(
        self,
        host: Host,
        boot_id: str,
        timing: Timing,
        entropy: Entropy,
        now: Instant,
        kept: PersistedVote | None,
    ) -> Election:
        """A node's election, with the bug in it; ``kept`` is what its disk has, where members vote."""
        me, leadership = Identity(host.name, boot_id, timing), _with_questions_of_before(self.leadership)(timing)
        leadership.asked_before = lambda: host.asked_before
        rules = Rules(leadership, self.lease(timing), self.vote(timing), self.membership())
        voter = None if kept is None else Voter(me, kept, rules.vote, now)
        return Election(
            me,
            entropy,
            now=now,
            rules=rules,
            voter=voter,
            seal=None if kept is None else SimSeal(),
            electable=not host.is_witness,
            table=self.table,
        )


_OF_MUTANTS: Final[dict[str, type[QuestionsOfBefore]]] = {}


def _with_questions_of_before(rules: type[LeadershipRules]) -> type[QuestionsOfBefore]:
    if rules is LeadershipRules:
        return QuestionsOfBefore
    made = _OF_MUTANTS.get(rules.__name__)
    if made is None:
        made = _OF_MUTANTS[rules.__name__] = type(rules.__name__, (QuestionsOfBefore, rules), {})
    return made


CORRECT = Mutant("", "")

_LATE_ANSWERS = Scenario(
    policy="last-man-standing",
    faults=("message-delay", "member-delay", "member-loss", "disk-slow", "switchover", "pause"),
)
_ROWS: Final = (
    Mutant(
        "deadline-from-reply",
        "A promise runs from the reply, not from before the request.",
        Scenario(faults=("message-delay", "stuck-request", "pause")),
        leadership=shortcuts.FromReply,
    ),
    Mutant(
        "no-rate-margin",
        "The promise leaves no room for the rates of two clocks: L = D (1 + r).",
        leadership=shortcuts.NoRateMargin,
    ),
    Mutant("wall-clock-lease", "Deadlines and waits are read from the wall clock.", host=shortcuts.WallClockHost),
    Mutant(
        "never-expires-by-itself",
        "A leader goes on until somebody tells it otherwise.",
        leadership=shortcuts.NeverExpires,
    ),
    Mutant(
        "late-renewal-counts",
        "A renewal confirmed after the deadline brings permission back.",
        leadership=shortcuts.LateRenewal,
    ),
    Mutant(
        "late-recreation-counts",
        "A re-creation confirmed after the deadline brings permission back.",
        leadership=shortcuts.LateRecreation,
    ),
    Mutant(
        "own-name-is-permission",
        "Reading its own name in the record prolongs a leader's promise.",
        leadership=shortcuts.OwnNamePermits,
    ),
    Mutant(
        "own-record-needs-no-wait",
        "A record with its own name may be taken over at once.",
        lease=shortcuts.OwnNameNeedsNoWait,
    ),
    Mutant("unknown-counts-as-granted", "An error reply is taken for a yes.", lease=shortcuts.UnknownIsGranted),
    Mutant(
        "old-reply-counts",
        "A late yes to an attempt that is over counts for the present one.",
        lease=shortcuts.OldReplyCounts,
    ),
    Mutant(
        "releases-before-stopping",
        "The record is released before everything that acts has stopped.",
        leadership=shortcuts.ReleasesFirst,
    ),
    Mutant(
        "lower-epoch-stops-leader",
        "A leader gives way to an older record that a failover brought back.",
        lease=shortcuts.LowerEpochStops,
    ),
    Mutant(
        "seen-epoch-stops-leader",
        "A leader gives way to a vacant mark with a higher epoch, which was only tried.",
        lease=shortcuts.SeenEpochStops,
    ),
    Mutant(
        "seq-restarts-after-recreation",
        "The holder's counter starts anew when the record was lost.",
        lease=shortcuts.SeqRestarts,
    ),
    Mutant(
        "seq-stored-plus-one", "The counter is what stands in the store, plus one.", lease=shortcuts.SeqStoredPlusOne
    ),
    Mutant("absence-as-permission", "A vacant record may be taken at once.", lease=shortcuts.AbsencePermits),
    Mutant(
        "absence-keeps-waiting",
        "The wait goes on although the record was gone in between.",
        lease=shortcuts.AbsenceWaitsOn,
    ),
    Mutant(
        "no-boot-wait",
        "The first record seen after a start is believed as if it had been watched.",
        lease=shortcuts.NoBootWait,
    ),
    Mutant(
        "released-believed-on-new-identity",
        "A release is believed on a connection that is new.",
        lease=shortcuts.NewIdentityBelieved,
    ),
    Mutant(
        "release-needs-no-proof",
        "A release is believed whoever wrote it.",
        lease=shortcuts.ReleaseNeedsNoProof,
    ),
    Mutant(
        "fresh-commitment-believed",
        "A release is believed of a leadership that was only just seen.",
        Scenario(faults=("forged-record", "message-delay", "pause")),
        lease=shortcuts.FreshCommitmentBelieved,
    ),
    Mutant(
        "wait-survives-reconnect",
        "The wait goes on over another connection.",
        lease=shortcuts.SurvivesReconnect,
    ),
    Mutant(
        "lower-epoch-keeps-waiting",
        "A record with a lower epoch does not start the wait anew.",
        lease=shortcuts.LowerEpochWaitsOn,
    ),
    Mutant("wait-ignores-seq", "A renewal does not start the wait anew.", lease=shortcuts.IgnoresSeq),
    Mutant(
        "wait-from-the-asking",
        "The wait is counted from asking for the record, not from its arrival.",
        lease=shortcuts.WaitsFromAsking,
    ),
    Mutant("epoch-from-store-only", "The next epoch is the record's, plus one.", leadership=shortcuts.EpochFromStore),
    Mutant(
        "reuses-released-epoch",
        "A released epoch is led again.",
        leadership=shortcuts.ReusesEpoch,
        lease=shortcuts.SameEpochIsAbove,
    ),
    Mutant("absent-record-not-marked", "Nothing is left where no record is.", store=shortcuts.Unmarked),
    Mutant(
        "mark-repeats", "A request carried out twice leaves the same vacant mark twice.", store=shortcuts.MarkRepeats
    ),
    Mutant("release-creates-record", "A release writes where no record is.", store=shortcuts.ReleaseCreates),
    Mutant(
        "release-names-only-node", "A release frees whatever record has the node's name.", store=shortcuts.ReleaseByName
    ),
    Mutant("renew-without-compare", "A renewal overwrites whatever stands.", store=shortcuts.BlindRenewal),
    Mutant("takeover-without-compare", "A takeover overwrites whatever stands.", store=shortcuts.BlindTakeover),
    Mutant(
        "late-takeover-counts",
        "What the store says to an attempt that is over counts for the present one.",
        _LATE_ANSWERS,
        lease=shortcuts.LateTakeoverCounts,
    ),
    Mutant(
        "claims-without-majority",
        "An epoch is written to the database although the promises for it have run out.",
        leadership=shortcuts.ClaimsWithoutMajority,
    ),
    Mutant(
        "refused-fence-goes-on",
        "A leader whose guarded writes are refused goes on leading.",
        table=shortcuts.HEEDS_NO_FENCE,
    ),
    Mutant(
        "fence-not-looked-at",
        "A leader hears of a fence above it only when somebody makes a guarded write.",
        leadership=shortcuts.NeverLooksAtTheFence,
    ),
    Mutant("fence-accepts-older", "The place written to does not compare epochs.", admits=shortcuts.accepts_all),
    Mutant(
        "fence-ignores-boot-id",
        "The place written to accepts an equal epoch from another life.",
        Scenario(faults=tuple(kind for kind in KINDS if kind not in {"fence-raised", "forged-record", "clock-off"})),
        admits=shortcuts.ignores_boot_id,
    ),
)
LAST, MOST = Scenario(policy="last-man-standing"), Scenario(policy="majority")
_FOUR = Scenario(
    nodes=4, policy="majority", faults=("crash", "member-added", "member-removed", "member-cut", "member-loss")
)
_SPLIT = _FOUR._replace(faults=(*_FOUR.faults, "partition", "pause"))
_VOTES = _FOUR._replace(
    faults=("policy-change", "member-cut", "member-loss", "cut", "pause", "record-deletion", "store-outage")
)
_REPLICATED = Scenario(nodes=2, policy="last-man-standing", store="sentinel", faults=("split-store", "clock-rate"))
_LATE = MOST._replace(faults=("member-delay", "member-repeat", "clock-rate", "pause", "crash", "stop"))
_ORDERS = MOST._replace(
    faults=("message-delay", "member-delay", "member-repeat", "member-cut", "pause", "stop", "crash", "switchover")
)
_DISKS = MOST._replace(faults=("crash", "member-added", "member-removed", "member-loss", "disk-slow", "disk-hang"))
_LOST = MOST._replace(faults=("disk-loss", "reboot", "member-cut", "cable"))
_CLOCKS = LAST._replace(nodes=2, faults=("clock-off", "cut", "pause", "cable", "member-cut"))
_FULL = Scenario(nodes=2, policy="last-man-standing", faults=("disk-full", "switchover", "crash"))
_OF_MEMBERS: Final = (
    Mutant(
        "wrong-clock-counts-store",
        "A clock is known to be off, and the store's vote is counted and taken by it all the same.",
        _CLOCKS,
        leadership=shortcuts.WrongClockCountsStore,
    ),
    Mutant("no-boot-abstention", "A member votes at once after its start.", MOST, vote=shortcuts.NoAbstention),
    Mutant("empty-file-is-new", "A member with an empty file votes at once.", _LOST, vote=shortcuts.EmptyIsNew),
    Mutant("member-forgets-its-epoch", "A member's epoch is not on its disk.", MOST, vote=shortcuts.ForgetsEpoch),
    Mutant("votes-twice", "A member promises two at a time.", MOST, vote=shortcuts.VotesTwice),
    Mutant(
        "freeing-names-only-node",
        "A member is freed by anything its candidate gave back.",
        MOST,
        vote=shortcuts.FreesByName,
    ),
    Mutant(
        "late-question-counts",
        "A late question of an earlier leadership takes the place of the present.",
        _ORDERS,
        vote=shortcuts.LateQuestionCounts,
    ),
    Mutant(
        "renews-anybody-after-start",
        "After a start a member renews whatever leader asks.",
        MOST,
        vote=shortcuts.RenewsAnybody,
    ),
    Mutant(
        "seen-epoch-binds",
        "A refused question binds a member by its epoch.",
        MOST,
        vote=shortcuts.SeenEpochBinds,
    ),
    Mutant(
        "forged-record-stops-leader",
        "A record is believed also where the store has no vote, whoever signed it.",
        MOST,
        lease=shortcuts.UnsignedCounts,
        membership=shortcuts.BelievesAnyRecord,
    ),
    Mutant(
        "unsigned-record-counts",
        "A record that no member signed deposes a leader where the store has a vote.",
        LAST,
        lease=shortcuts.UnsignedCounts,
    ),
    Mutant("probe-binds", "A question without obligation binds a member.", MOST, vote=shortcuts.ProbeBinds),
    Mutant("answer-before-disk", "A member answers before its disk has it.", _DISKS, vote=shortcuts.AnswersBeforeKept),
    Mutant(
        "hands-over-to-nobody",
        "A leader goes although no disk of the others takes a promise.",
        _FULL,
        leadership=shortcuts.HandsOverToNobody,
    ),
    Mutant("full-disk-untold", "A member does not say that its disk is full.", _FULL, vote=shortcuts.DiskUntold),
    Mutant(
        "old-electorate-counts",
        "A member votes for who has an older list of members.",
        MOST,
        vote=shortcuts.OldMembershipCounts,
    ),
    Mutant(
        "electorate-from-anybody",
        "Another list of members is taken over from anybody.",
        MOST,
        vote=shortcuts.BelievesAnyMembership,
    ),
    Mutant(
        "vote-counts-from-reply",
        "A member's promise is counted from its reply.",
        _LATE,
        leadership=shortcuts.FromReply,
    ),
    Mutant(
        "late-vote-counts",
        "A promise that comes after the deadline brings permission back.",
        MOST,
        leadership=shortcuts.LateRenewal,
    ),
    Mutant("epoch-after-grants", "The epoch is fixed after the votes.", MOST, leadership=shortcuts.EpochAfterGrants),
    Mutant("hand-over-is-permission", "Who is invited leads at once.", LAST, table=shortcuts.INVITATION_PERMITS),
    Mutant(
        "frees-before-stopping",
        "Promises are given back before everything that acts has stopped.",
        MOST,
        leadership=shortcuts.FreesFirst,
    ),
    Mutant(
        "store-first",
        "The record is written before the members are asked.",
        Scenario(nodes=4, policy="majority"),
        leadership=shortcuts.StoreFirst,
    ),
    Mutant(
        "pending-needs-only-new",
        "While a change is pending, only the new votes are needed.",
        _SPLIT,
        membership=shortcuts.OnlyTheNew,
    ),
    Mutant(
        "in-force-after-too-few",
        "A change is in force with one member fewer than needed.",
        _FOUR,
        membership=shortcuts.TooFew,
    ),
    Mutant(
        "change-shortens-permission",
        "A change of the votes may end what the leader was given sooner.",
        _VOTES,
        membership=shortcuts.Shortens,
    ),
    Mutant(
        "dead-member-removed-by-majority",
        "A dead member is removed by a majority.",
        LAST,
        membership=shortcuts.ByMajority,
    ),
    Mutant(
        "unconfirmed-write-counts",
        "Behind Sentinel a write counts without a replica.",
        _REPLICATED,
        waits_for_replicas=False,
    ),
    Mutant(
        "new-server-needs-no-wait",
        "Behind Sentinel another server needs no longer wait.",
        _REPLICATED,
        waits_for_identity=False,
    ),
    Mutant(
        "lease-of-silence-is-enough",
        "Behind Sentinel a lease of silence permits a takeover.",
        _REPLICATED._replace(profile="lan", nodes=3),
        lease=shortcuts.LeaseOfSilenceIsEnough,
    ),
)
PLANTS: Final[dict[str, Mutant]] = {plant.name: plant for plant in (*_ROWS, *_OF_MEMBERS)}
