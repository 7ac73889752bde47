"""Planted bugs: the production core, with exactly one clause of the rule replaced by the tempting shortcut.

They show that the simulation has teeth, and that each clause is needed. Each stands beside the clause that it breaks in
docs/leadership.md. A plant is never reachable from a node.
"""

from typing import Final, NamedTuple

from rppam.cluster.consensus.election import Election
from rppam.cluster.consensus.lease_observer import LeaseObserver
from rppam.cluster.consensus.member import Member
from rppam.cluster.consensus.membership_change import MembershipChange
from rppam.cluster.consensus.messages import PersistedVote
from rppam.cluster.consensus.rules import Rules
from rppam.cluster.consensus.timing import Timing
from rppam.cluster.consensus.voter import Voter
from rppam.kernel.entropy import Entropy
from rppam.kernel.fence import admits
from rppam.kernel.instant import Instant
from rppam_sim import member_shortcuts as members, shortcuts
from rppam_sim.host import Host, SimSeal
from rppam_sim.member_faults import KINDS
from rppam_sim.places import Admits
from rppam_sim.setting import Scenario
from rppam_sim.store import SimStore


class Mutant(NamedTuple):
    """The production core with one clause replaced."""

    name: str
    sentence: str
    where: Scenario = Scenario()
    """In which it shows."""
    rules: type[Rules] = Rules
    watch: type[LeaseObserver] = LeaseObserver
    election: type[Election] = Election
    store: type[SimStore] = SimStore
    host: type[Host] = Host
    admits: Admits = admits
    voter: type[Voter] = Voter
    changes: type[MembershipChange] = MembershipChange
    member: type[Member] = Member
    waits_for_replicas: bool = True
    waits_for_identity: bool = True

    def elect(
        self, host: Host, boot_id: str, timing: Timing, entropy: Entropy, now: Instant, kept: PersistedVote | None
    ) -> Election:
        """A node's election, with the bug in it; ``kept`` is what its disk has, where members vote."""
        voter = None if kept is None else self.voter(host.name, boot_id, timing, kept, now=now)
        rules, seal = self.rules(timing), None if kept is None else SimSeal()
        election = self.election(host.name, boot_id, timing, entropy, now=now, rules=rules, voter=voter, seal=seal)
        election.watch = self.watch()
        election.watch.seal, election.watch.life = seal, boot_id
        election.watch.believes = election.store_has_vote
        election.changes = self.changes()
        return election


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
        rules=shortcuts.FromReply,
    ),
    Mutant(
        "no-rate-margin",
        "The promise leaves no room for the rates of two clocks: L = D (1 + r).",
        rules=shortcuts.NoRateMargin,
    ),
    Mutant("wall-clock-lease", "Deadlines and waits are read from the wall clock.", host=shortcuts.WallClockHost),
    Mutant(
        "never-expires-by-itself", "A leader goes on until somebody tells it otherwise.", rules=shortcuts.NeverExpires
    ),
    Mutant(
        "late-renewal-counts",
        "A renewal confirmed after the deadline brings permission back.",
        rules=shortcuts.LateRenewal,
    ),
    Mutant(
        "late-recreation-counts",
        "A re-creation confirmed after the deadline brings permission back.",
        rules=shortcuts.LateRecreation,
    ),
    Mutant(
        "own-name-is-permission",
        "Reading its own name in the record prolongs a leader's promise.",
        election=shortcuts.OwnNamePermits,
    ),
    Mutant(
        "own-record-needs-no-wait",
        "A record with its own name may be taken over at once.",
        rules=shortcuts.OwnNameNeedsNoWait,
        election=shortcuts.KnowsItsName,
    ),
    Mutant("unknown-counts-as-granted", "An error reply is taken for a yes.", rules=shortcuts.UnknownIsGranted),
    Mutant(
        "old-reply-counts",
        "A late yes to an attempt that is over counts for the present one.",
        election=shortcuts.OldReplyCounts,
    ),
    Mutant(
        "releases-before-stopping",
        "The record is released before everything that acts has stopped.",
        election=shortcuts.ReleasesFirst,
    ),
    Mutant(
        "lower-epoch-stops-leader",
        "A leader gives way to an older record that a failover brought back.",
        rules=shortcuts.LowerEpochStops,
    ),
    Mutant(
        "seen-epoch-stops-leader",
        "A leader gives way to a vacant mark with a higher epoch, which was only tried.",
        rules=shortcuts.SeenEpochStops,
    ),
    Mutant(
        "seq-restarts-after-recreation",
        "The holder's counter starts anew when the record was lost.",
        rules=shortcuts.SeqRestarts,
    ),
    Mutant(
        "seq-stored-plus-one", "The counter is what stands in the store, plus one.", rules=shortcuts.SeqStoredPlusOne
    ),
    Mutant("absence-as-permission", "A vacant record may be taken at once.", rules=shortcuts.AbsencePermits),
    Mutant(
        "absence-keeps-waiting",
        "The wait goes on although the record was gone in between.",
        watch=shortcuts.AbsenceWaitsOn,
    ),
    Mutant(
        "no-boot-wait",
        "The first record seen after a start is believed as if it had been watched.",
        watch=shortcuts.NoBootWait,
    ),
    Mutant(
        "released-believed-on-new-identity",
        "A release is believed on a connection that is new.",
        rules=shortcuts.NewIdentityBelieved,
    ),
    Mutant(
        "release-needs-no-proof",
        "A release is believed whoever wrote it.",
        rules=shortcuts.ReleaseNeedsNoProof,
    ),
    Mutant(
        "fresh-commitment-believed",
        "A release is believed of a leadership that was only just seen.",
        Scenario(faults=("forged-record", "message-delay", "pause")),
        rules=shortcuts.FreshCommitmentBelieved,
    ),
    Mutant(
        "wait-survives-reconnect",
        "The wait goes on over another connection.",
        watch=shortcuts.SurvivesReconnect,
    ),
    Mutant(
        "lower-epoch-keeps-waiting",
        "A record with a lower epoch does not start the wait anew.",
        watch=shortcuts.LowerEpochWaitsOn,
    ),
    Mutant("wait-ignores-seq", "A renewal does not start the wait anew.", watch=shortcuts.IgnoresSeq),
    Mutant(
        "wait-from-the-asking",
        "The wait is counted from asking for the record, not from its arrival.",
        election=shortcuts.WaitsFromAsking,
    ),
    Mutant("epoch-from-store-only", "The next epoch is the record's, plus one.", rules=shortcuts.EpochFromStore),
    Mutant("reuses-released-epoch", "A released epoch is led again.", rules=shortcuts.ReusesEpoch),
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
        rules=shortcuts.LateTakeoverCounts,
    ),
    Mutant(
        "claims-without-majority",
        "An epoch is written to the database although the promises for it have run out.",
        rules=shortcuts.ClaimsWithoutMajority,
    ),
    Mutant(
        "refused-fence-goes-on",
        "A leader whose guarded writes are refused goes on leading.",
        election=shortcuts.HeedsNoFence,
    ),
    Mutant(
        "fence-not-looked-at",
        "A leader hears of a fence above it only when somebody makes a guarded write.",
        election=shortcuts.NeverLooksAtTheFence,
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
        rules=shortcuts.WrongClockCountsStore,
    ),
    Mutant("no-boot-abstention", "A member votes at once after its start.", MOST, voter=members.NoAbstention),
    Mutant("empty-file-is-new", "A member with an empty file votes at once.", _LOST, voter=members.EmptyIsNew),
    Mutant("member-forgets-its-epoch", "A member's epoch is not on its disk.", MOST, voter=members.ForgetsEpoch),
    Mutant("votes-twice", "A member promises two at a time.", MOST, voter=members.VotesTwice),
    Mutant(
        "freeing-names-only-node",
        "A member is freed by anything its candidate gave back.",
        MOST,
        voter=members.FreesByName,
    ),
    Mutant(
        "late-question-counts",
        "A late question of an earlier leadership takes the place of the present.",
        _ORDERS,
        voter=members.LateQuestionCounts,
    ),
    Mutant(
        "renews-anybody-after-start",
        "After a start a member renews whatever leader asks.",
        MOST,
        voter=members.RenewsAnybody,
    ),
    Mutant(
        "seen-epoch-binds",
        "A refused question binds a member by its epoch.",
        MOST,
        voter=members.SeenEpochBinds,
    ),
    Mutant(
        "forged-record-stops-leader",
        "A record is believed also where the store has no vote, whoever signed it.",
        MOST,
        rules=shortcuts.UnsignedCounts,
        election=members.BelievesAnyRecord,
    ),
    Mutant(
        "unsigned-record-counts",
        "A record that no member signed deposes a leader where the store has a vote.",
        LAST,
        rules=shortcuts.UnsignedCounts,
    ),
    Mutant("probe-binds", "A question without obligation binds a member.", MOST, voter=members.ProbeBinds),
    Mutant("answer-before-disk", "A member answers before its disk has it.", _DISKS, voter=members.AnswersBeforeKept),
    Mutant(
        "hands-over-to-nobody",
        "A leader goes although no disk of the others takes a promise.",
        _FULL,
        election=members.HandsOverToNobody,
    ),
    Mutant("full-disk-untold", "A member does not say that its disk is full.", _FULL, voter=members.DiskUntold),
    Mutant(
        "old-electorate-counts",
        "A member votes for who has an older list of members.",
        MOST,
        voter=members.OldMembershipCounts,
    ),
    Mutant(
        "electorate-from-anybody",
        "Another list of members is taken over from anybody.",
        MOST,
        voter=members.BelievesAnyMembership,
    ),
    Mutant(
        "vote-counts-from-reply",
        "A member's promise is counted from its reply.",
        _LATE,
        rules=shortcuts.FromReply,
    ),
    Mutant(
        "late-vote-counts",
        "A promise that comes after the deadline brings permission back.",
        MOST,
        rules=shortcuts.LateRenewal,
    ),
    Mutant("epoch-after-grants", "The epoch is fixed after the votes.", MOST, election=members.EpochAfterGrants),
    Mutant("hand-over-is-permission", "Who is invited leads at once.", LAST, election=members.InvitationPermits),
    Mutant(
        "frees-before-stopping",
        "Promises are given back before everything that acts has stopped.",
        MOST,
        election=members.FreesFirst,
    ),
    Mutant(
        "store-first",
        "The record is written before the members are asked.",
        Scenario(nodes=4, policy="majority"),
        election=members.StoreFirst,
    ),
    Mutant(
        "pending-needs-only-new",
        "While a change is pending, only the new votes are needed.",
        _SPLIT,
        election=members.OnlyTheNew,
    ),
    Mutant(
        "in-force-after-too-few",
        "A change is in force with one member fewer than needed.",
        _FOUR,
        changes=members.TooFew,
    ),
    Mutant(
        "change-shortens-permission",
        "A change of the votes may end what the leader was given sooner.",
        _VOTES,
        changes=members.Shortens,
    ),
    Mutant(
        "dead-member-removed-by-majority", "A dead member is removed by a majority.", LAST, changes=members.ByMajority
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
        rules=shortcuts.LeaseOfSilenceIsEnough,
    ),
)
PLANTS: Final[dict[str, Mutant]] = {plant.name: plant for plant in (*_ROWS, *_OF_MEMBERS)}
