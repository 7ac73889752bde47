"""Planted bugs: the production core, with exactly one clause of the rule replaced by the tempting shortcut.

They show that the simulation has teeth, and that each clause is needed. Each stands beside the clause that it breaks in
docs/leadership.md. A plant is never reachable from a node.
"""

from typing import Final, NamedTuple

from rppam.cluster.consensus.election import Election
from rppam.cluster.consensus.lease_observer import Watch
from rppam.cluster.consensus.member import Member
from rppam.cluster.consensus.membership_change import Changes
from rppam.cluster.consensus.messages import Kept
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
from rppam_sim.setting import Setting
from rppam_sim.store import SimStore


class Plant(NamedTuple):
    """The production core with one clause replaced."""

    name: str
    sentence: str
    where: Setting = Setting()
    """In which it shows."""
    rules: type[Rules] = Rules
    watch: type[Watch] = Watch
    election: type[Election] = Election
    store: type[SimStore] = SimStore
    host: type[Host] = Host
    admits: Admits = admits
    voter: type[Voter] = Voter
    changes: type[Changes] = Changes
    member: type[Member] = Member
    waits_for_replicas: bool = True
    waits_for_identity: bool = True

    def elect(
        self, host: Host, boot_id: str, timing: Timing, entropy: Entropy, now: Instant, kept: Kept | None
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


CORRECT = Plant("", "")

_LATE_ANSWERS = Setting(
    policy="last-man-standing",
    faults=("message-delay", "member-delay", "member-loss", "disk-slow", "switchover", "pause"),
)
_ROWS: Final = (
    Plant(
        "deadline-from-reply",
        "A promise runs from the reply, not from before the request.",
        Setting(faults=("message-delay", "stuck-request", "pause")),
        rules=shortcuts.FromReply,
    ),
    Plant(
        "no-rate-margin",
        "The promise leaves no room for the rates of two clocks: L = D (1 + r).",
        rules=shortcuts.NoRateMargin,
    ),
    Plant("wall-clock-lease", "Deadlines and waits are read from the wall clock.", host=shortcuts.WallClockHost),
    Plant(
        "never-expires-by-itself", "A leader goes on until somebody tells it otherwise.", rules=shortcuts.NeverExpires
    ),
    Plant(
        "late-renewal-counts",
        "A renewal confirmed after the deadline brings permission back.",
        rules=shortcuts.LateRenewal,
    ),
    Plant(
        "late-recreation-counts",
        "A re-creation confirmed after the deadline brings permission back.",
        rules=shortcuts.LateRecreation,
    ),
    Plant(
        "own-name-is-permission",
        "Reading its own name in the record prolongs a leader's promise.",
        election=shortcuts.OwnNamePermits,
    ),
    Plant(
        "own-record-needs-no-wait",
        "A record with its own name may be taken over at once.",
        rules=shortcuts.OwnNameNeedsNoWait,
        election=shortcuts.KnowsItsName,
    ),
    Plant("unknown-counts-as-granted", "An error reply is taken for a yes.", rules=shortcuts.UnknownIsGranted),
    Plant(
        "old-reply-counts",
        "A late yes to an attempt that is over counts for the present one.",
        election=shortcuts.OldReplyCounts,
    ),
    Plant(
        "releases-before-stopping",
        "The record is released before everything that acts has stopped.",
        election=shortcuts.ReleasesFirst,
    ),
    Plant(
        "lower-epoch-stops-leader",
        "A leader gives way to an older record that a failover brought back.",
        rules=shortcuts.LowerEpochStops,
    ),
    Plant(
        "seen-epoch-stops-leader",
        "A leader gives way to a vacant mark with a higher epoch, which was only tried.",
        rules=shortcuts.SeenEpochStops,
    ),
    Plant(
        "seq-restarts-after-recreation",
        "The holder's counter starts anew when the record was lost.",
        rules=shortcuts.SeqRestarts,
    ),
    Plant(
        "seq-stored-plus-one", "The counter is what stands in the store, plus one.", rules=shortcuts.SeqStoredPlusOne
    ),
    Plant("absence-as-permission", "A vacant record may be taken at once.", rules=shortcuts.AbsencePermits),
    Plant(
        "absence-keeps-waiting",
        "The wait goes on although the record was gone in between.",
        watch=shortcuts.AbsenceWaitsOn,
    ),
    Plant(
        "no-boot-wait",
        "The first record seen after a start is believed as if it had been watched.",
        watch=shortcuts.NoBootWait,
    ),
    Plant(
        "released-believed-on-new-identity",
        "A release is believed on a connection that is new.",
        rules=shortcuts.NewIdentityBelieved,
    ),
    Plant(
        "release-needs-no-proof",
        "A release is believed whoever wrote it.",
        rules=shortcuts.ReleaseNeedsNoProof,
    ),
    Plant(
        "fresh-commitment-believed",
        "A release is believed of a leadership that was only just seen.",
        Setting(faults=("forged-record", "message-delay", "pause")),
        rules=shortcuts.FreshCommitmentBelieved,
    ),
    Plant(
        "wait-survives-reconnect",
        "The wait goes on over another connection.",
        watch=shortcuts.SurvivesReconnect,
    ),
    Plant(
        "lower-epoch-keeps-waiting",
        "A record with a lower epoch does not start the wait anew.",
        watch=shortcuts.LowerEpochWaitsOn,
    ),
    Plant("wait-ignores-seq", "A renewal does not start the wait anew.", watch=shortcuts.IgnoresSeq),
    Plant(
        "wait-from-the-asking",
        "The wait is counted from asking for the record, not from its arrival.",
        election=shortcuts.WaitsFromAsking,
    ),
    Plant("epoch-from-store-only", "The next epoch is the record's, plus one.", rules=shortcuts.EpochFromStore),
    Plant("reuses-released-epoch", "A released epoch is led again.", rules=shortcuts.ReusesEpoch),
    Plant("absent-record-not-marked", "Nothing is left where no record is.", store=shortcuts.Unmarked),
    Plant(
        "mark-repeats", "A request carried out twice leaves the same vacant mark twice.", store=shortcuts.MarkRepeats
    ),
    Plant("release-creates-record", "A release writes where no record is.", store=shortcuts.ReleaseCreates),
    Plant(
        "release-names-only-node", "A release frees whatever record has the node's name.", store=shortcuts.ReleaseByName
    ),
    Plant("renew-without-compare", "A renewal overwrites whatever stands.", store=shortcuts.BlindRenewal),
    Plant("takeover-without-compare", "A takeover overwrites whatever stands.", store=shortcuts.BlindTakeover),
    Plant(
        "late-takeover-counts",
        "What the store says to an attempt that is over counts for the present one.",
        _LATE_ANSWERS,
        rules=shortcuts.LateTakeoverCounts,
    ),
    Plant(
        "claims-without-majority",
        "An epoch is written to the database although the promises for it have run out.",
        rules=shortcuts.ClaimsWithoutMajority,
    ),
    Plant(
        "refused-fence-goes-on",
        "A leader whose guarded writes are refused goes on leading.",
        election=shortcuts.HeedsNoFence,
    ),
    Plant(
        "fence-not-looked-at",
        "A leader hears of a fence above it only when somebody makes a guarded write.",
        election=shortcuts.NeverLooksAtTheFence,
    ),
    Plant("fence-accepts-older", "The place written to does not compare epochs.", admits=shortcuts.accepts_all),
    Plant(
        "fence-ignores-boot-id",
        "The place written to accepts an equal epoch from another life.",
        Setting(faults=tuple(kind for kind in KINDS if kind not in {"fence-raised", "forged-record", "clock-off"})),
        admits=shortcuts.ignores_boot_id,
    ),
)
LAST, MOST = Setting(policy="last-man-standing"), Setting(policy="majority")
_FOUR = Setting(
    nodes=4, policy="majority", faults=("crash", "member-added", "member-removed", "member-cut", "member-loss")
)
_SPLIT = _FOUR._replace(faults=(*_FOUR.faults, "partition", "pause"))
_VOTES = _FOUR._replace(
    faults=("policy-change", "member-cut", "member-loss", "cut", "pause", "record-deletion", "store-outage")
)
_REPLICATED = Setting(nodes=2, policy="last-man-standing", store="sentinel", faults=("split-store", "clock-rate"))
_LATE = MOST._replace(faults=("member-delay", "member-repeat", "clock-rate", "pause", "crash", "stop"))
_ORDERS = MOST._replace(
    faults=("message-delay", "member-delay", "member-repeat", "member-cut", "pause", "stop", "crash", "switchover")
)
_DISKS = MOST._replace(faults=("crash", "member-added", "member-removed", "member-loss", "disk-slow", "disk-hang"))
_LOST = MOST._replace(faults=("disk-loss", "reboot", "member-cut", "cable"))
_CLOCKS = LAST._replace(nodes=2, faults=("clock-off", "cut", "pause", "cable", "member-cut"))
_FULL = Setting(nodes=2, policy="last-man-standing", faults=("disk-full", "switchover", "crash"))
_OF_MEMBERS: Final = (
    Plant(
        "wrong-clock-counts-store",
        "A clock is known to be off, and the store's vote is counted and taken by it all the same.",
        _CLOCKS,
        rules=shortcuts.WrongClockCountsStore,
    ),
    Plant("no-boot-abstention", "A member votes at once after its start.", MOST, voter=members.NoAbstention),
    Plant("empty-file-is-new", "A member with an empty file votes at once.", _LOST, voter=members.EmptyIsNew),
    Plant("member-forgets-its-epoch", "A member's epoch is not on its disk.", MOST, voter=members.ForgetsEpoch),
    Plant("votes-twice", "A member promises two at a time.", MOST, voter=members.VotesTwice),
    Plant(
        "freeing-names-only-node",
        "A member is freed by anything its candidate gave back.",
        MOST,
        voter=members.FreesByName,
    ),
    Plant(
        "late-question-counts",
        "A late question of an earlier leadership takes the place of the present.",
        _ORDERS,
        voter=members.LateQuestionCounts,
    ),
    Plant(
        "renews-anybody-after-start",
        "After a start a member renews whatever leader asks.",
        MOST,
        voter=members.RenewsAnybody,
    ),
    Plant(
        "seen-epoch-binds",
        "A refused question binds a member by its epoch.",
        MOST,
        voter=members.SeenEpochBinds,
    ),
    Plant(
        "forged-record-stops-leader",
        "A record is believed also where the store has no vote, whoever signed it.",
        MOST,
        rules=shortcuts.UnsignedCounts,
        election=members.BelievesAnyRecord,
    ),
    Plant(
        "unsigned-record-counts",
        "A record that no member signed deposes a leader where the store has a vote.",
        LAST,
        rules=shortcuts.UnsignedCounts,
    ),
    Plant("probe-binds", "A question without obligation binds a member.", MOST, voter=members.ProbeBinds),
    Plant("answer-before-disk", "A member answers before its disk has it.", _DISKS, voter=members.AnswersBeforeKept),
    Plant(
        "hands-over-to-nobody",
        "A leader goes although no disk of the others takes a promise.",
        _FULL,
        election=members.HandsOverToNobody,
    ),
    Plant("full-disk-untold", "A member does not say that its disk is full.", _FULL, voter=members.DiskUntold),
    Plant(
        "old-electorate-counts",
        "A member votes for who has an older list of members.",
        MOST,
        voter=members.OldElectorateCounts,
    ),
    Plant(
        "electorate-from-anybody",
        "Another list of members is taken over from anybody.",
        MOST,
        voter=members.BelievesAnyElectorate,
    ),
    Plant(
        "vote-counts-from-reply",
        "A member's promise is counted from its reply.",
        _LATE,
        rules=shortcuts.FromReply,
    ),
    Plant(
        "late-vote-counts",
        "A promise that comes after the deadline brings permission back.",
        MOST,
        rules=shortcuts.LateRenewal,
    ),
    Plant("epoch-after-grants", "The epoch is fixed after the votes.", MOST, election=members.EpochAfterGrants),
    Plant("hand-over-is-permission", "Who is invited leads at once.", LAST, election=members.InvitationPermits),
    Plant(
        "frees-before-stopping",
        "Promises are given back before everything that acts has stopped.",
        MOST,
        election=members.FreesFirst,
    ),
    Plant(
        "store-first",
        "The record is written before the members are asked.",
        Setting(nodes=4, policy="majority"),
        election=members.StoreFirst,
    ),
    Plant(
        "pending-needs-only-new",
        "While a change is pending, only the new votes are needed.",
        _SPLIT,
        election=members.OnlyTheNew,
    ),
    Plant(
        "in-force-after-too-few",
        "A change is in force with one member fewer than needed.",
        _FOUR,
        changes=members.TooFew,
    ),
    Plant(
        "change-shortens-permission",
        "A change of the votes may end what the leader was given sooner.",
        _VOTES,
        changes=members.Shortens,
    ),
    Plant(
        "dead-member-removed-by-majority", "A dead member is removed by a majority.", LAST, changes=members.ByMajority
    ),
    Plant(
        "unconfirmed-write-counts",
        "Behind Sentinel a write counts without a replica.",
        _REPLICATED,
        waits_for_replicas=False,
    ),
    Plant(
        "new-server-needs-no-wait",
        "Behind Sentinel another server needs no longer wait.",
        _REPLICATED,
        waits_for_identity=False,
    ),
    Plant(
        "lease-of-silence-is-enough",
        "Behind Sentinel a lease of silence permits a takeover.",
        _REPLICATED._replace(profile="lan", nodes=3),
        rules=shortcuts.LeaseOfSilenceIsEnough,
    ),
)
PLANTS: Final[dict[str, Plant]] = {plant.name: plant for plant in (*_ROWS, *_OF_MEMBERS)}
