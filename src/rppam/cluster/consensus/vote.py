"""A member's own vote: to whom it is promised, and how the member keeps its word.

A promise is for one (candidate, boot id, epoch), for L from when it is given. What keeps it:

* Before anything is answered, the promise and the list of members are on disk. An answer that was decided while the
  disk is still busy waits for it; when the disk refuses, it is never sent, and the promise binds this member all the
  same.
* A candidate is granted only an epoch above every one that was granted before, or that same epoch again to exactly the
  same candidacy. A *leader* is granted its own, even if another candidate has tried a higher one here since and failed:
  an epoch that was merely tried must not cost a leader a vote for good.
* For one full L after a start nothing is granted to anybody, this node included: a former life may have promised. The
  one exception is to renew exactly what the file names. An empty file waits like any other, that of a cluster just
  founded included. A node that learns only later that it is a member has the vote only from then on, and waits from
  then on: until that moment another may have been this member, on a host that is gone now.
* A promise ends by time, or when exactly its candidacy is given back. This life does not grant that one again.
* Only a *granted* request binds. A refused one changes no promise and no epoch, though its list may be taken over.
* Another list of members is taken over only from a member of the present one that may lead, or where a node vouches for
  it: its maker may be gone, and only a witness have it. A sender that is not on the present list may have joined since;
  so its list is taken over once a witness that is says the same. No epoch is believed that leaves later ones no room.
* A node with the file of another host, or a copy, is not this member before an operator says so: it grants nothing and
  keeps nothing, so that the member whose file it is stays the only one.

Each answer also says whether its disk would keep a promise, as far as that was tried: who asks for a switchover shall
know. It does not promise to be heard, nor that the disk keeps what it confirmed.
"""

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rppam.cluster.consensus.effects import SaveKept, SendVote, Told
from rppam.cluster.consensus.lease import LEAP_MAX, SHOWN_MAX, Identity
from rppam.cluster.consensus.membership import NO_VERSION, RECORD_ALONE, Membership
from rppam.cluster.consensus.messages import (
    NO_CANDIDACY,
    Candidacy,
    Freeing,
    PersistedVote,
    Readiness,
    Refusal,
    Vote,
    VoteRequest,
    VoteRequestKind,
)
from rppam.cluster.consensus.record import EPOCH_MAX
from rppam.kernel.instant import US_PER_S, Instant, after

if TYPE_CHECKING:
    from rppam.cluster.consensus.rules import VoteRules

FREED_MAX: Final = 256
"""So many candidacies that were given back are remembered."""
OFFER_SHOWN_US: Final = 60 * US_PER_S
OFFERS_MAX: Final = 16
"""Of so many senders it is remembered that they have another list of members."""
NOT_TAKEN: Final = (
    "the list of members {version} is not taken over from {sender}, which is no member of the present list that may "
    "lead. If nobody has changed the members, find out what runs there: it holds this cluster's key. If all others "
    "were replaced while this member was away, stop it, remove its promise file and start it: it waits and learns anew"
)
VoterEffect = SaveKept | SendVote | Told


class OwnVote(NamedTuple):
    """All that a voter has decided. A value: each decision makes another one."""

    me: Identity
    promise: Candidacy
    """The last promise given, by this life or a former one."""
    highest: int
    """The highest epoch ever promised here."""
    membership: Membership | None
    """``None``: it belongs to no cluster yet."""
    abstains_until: Instant
    """Until then a promise of a former life may still run."""
    promised_until: Instant | None = None
    """When the promise of this life ends; ``None`` when there is none, or it was given back."""
    is_for_leader: bool = False
    """Whether the promise was renewed for somebody who led."""
    followed: int = 0
    """The highest epoch at which this life has supported a leader."""
    readiness: Readiness = Readiness.READY
    """What this node would do if it were invited, its own wait after a start left aside."""
    strange: str = ""
    """Why the file that was read is not this member's own; empty when it is."""
    problem: str = ""
    """Why the disk does not take what has to be kept; empty while it does."""
    disk_problem: str = ""
    """Why it would not, as tried without anything to keep; empty while it would."""
    is_kept: bool = True
    """Whether everything that was decided so far is on disk."""
    not_taken: str = ""
    """The latest list of members that was not taken over, in a sentence."""
    not_taken_at: Instant = Instant(0)

    @property
    def kept(self) -> PersistedVote:
        """What of it has to be on disk."""
        return PersistedVote(self.promise, self.membership, self.highest)

    @property
    def why_unable(self) -> str:
        """Why no promise of this member could be relied on now; empty when it could."""
        return self.strange or self.problem or self.disk_problem

    def free_at(self, candidate: str, boot_id: str) -> Instant:
        """From when on nothing that was promised stands in the way of this candidate, without further news."""
        until = self.abstains_until
        if self.promised_until is not None and self.promise[:2] != (candidate, boot_id):
            until = max(until, self.promised_until)
        return after(until, 1)

    def has_promised_another(self, candidacy: Candidacy, now: Instant) -> bool:
        """Return whether a promise to somebody else runs."""
        runs = self.promised_until is not None and now <= self.promised_until
        return runs and self.promise[:2] != candidacy[:2]

    def leader(self, now: Instant) -> Candidacy | None:
        """Who leads, as far as this member's own promise shows: a leader renewed it, and it runs."""
        runs = self.promised_until is not None and now <= self.promised_until
        return self.promise if self.is_for_leader and runs else None

    def holder(self, now: Instant) -> str:
        """Whom this member supports now; empty when nobody."""
        return self.promise.candidate if self.promised_until is not None and now <= self.promised_until else ""

    @property
    def known(self) -> int:
        """The highest epoch that it promised for, or whose leader made its list of members."""
        return max(self.highest, 0 if self.membership is None else self.membership.version.epoch)

    @property
    def plausible_max(self) -> int:
        """The highest epoch that it finds plausible, as a member."""
        if self.membership is RECORD_ALONE:
            return EPOCH_MAX
        return min(max(SHOWN_MAX, self.known) + LEAP_MAX, EPOCH_MAX)

    def is_plausible(self, epoch: int) -> bool:
        """Return whether an epoch leaves the later ones room: not far above the wall clock and all that is known."""
        return self.membership is None or epoch <= self.plausible_max

    def is_news(self, membership: Membership) -> bool:
        """Return whether the list is newer than its own. A node that is no member yet waits for a list with its own
        name: with another one it would ask nobody for a place."""
        mine = self.membership
        if self.strange:
            return False
        if mine is None:
            return self.me.node in membership.members
        return membership.lineage == mine.lineage and membership.version > mine.version

    def offered(self, now: Instant) -> str:
        """Whose list of members was not taken over within the last minute, in a sentence; else empty."""
        return self.not_taken if self.not_taken and now - self.not_taken_at <= OFFER_SHOWN_US else ""


class _Waiting(NamedTuple):
    ticket: int
    handle: Any
    vote: Vote


class Voter:
    """One member's vote. Drive it from one place; ``now`` never goes back."""

    def __init__(
        self, me: Identity, kept: PersistedVote, rules: "VoteRules", now: Instant, strange: str = "", problem: str = ""
    ) -> None:
        """``strange``: why the file is not this member's own. ``problem``: why the disk would keep no promise."""
        self.rules = rules
        known, waits_until = rules.recalls(kept), rules.abstains_until(kept, now)
        self.vote = OwnVote(
            me, known.candidacy, known.highest, known.membership, waits_until, strange=strange, disk_problem=problem
        )
        self._on_disk = known
        self._saving: list[SaveKept] = []
        self._tickets = 0
        self._waiting: list[_Waiting] = []
        self._released: dict[tuple[str, str], int] = {}
        self._offers: dict[str, Membership] = {}  # newer lists that were not taken over, by who has them
        self._told_offer_until = now

    def ask(self, request: VoteRequest, handle: object, now: Instant) -> list[VoterEffect]:
        """Somebody asks for the vote."""
        effects: list[VoterEffect] = []
        self._hear_of(request.candidacy.candidate, request.membership, now, effects)
        refusal = self._refusal(request, now)
        if refusal is Refusal.NONE and request.kind is not VoteRequestKind.PROBE:
            self._grant(request, now, effects)
        elif refusal is not Refusal.NONE and self.rules.refused_epoch_binds():
            seen = max(self.vote.highest, request.candidacy.epoch)
            promise = self.vote.promise if seen == self.vote.highest else self.vote.promise._replace(epoch=seen)
            self.vote = self.vote._replace(highest=seen, promise=promise)
        self._answer(request, refusal, handle, now, effects)
        if refusal is Refusal.NONE and request.kind is VoteRequestKind.PROBE and self.rules.prevote_binds():
            until = after(now, self.vote.me.timing.lease_us)
            self.vote = self.vote._replace(promise=request.candidacy, promised_until=until)
        return effects

    def freed(self, freeing: Freeing) -> None:
        """A promise is given back, or one that was not given yet shall never be."""
        candidacy, vote = freeing.candidacy, self.vote
        if self.rules.releases(vote, candidacy):
            candidacy = vote.promise
        life = candidacy.candidate, candidacy.boot_id
        self._released[life] = max(candidacy.epoch, self._released.pop(life, 0))
        if len(self._released) > FREED_MAX:
            del self._released[next(iter(self._released))]
        if candidacy == vote.promise:
            self.vote = vote._replace(promised_until=None, is_for_leader=False)

    def adopt(self, membership: Membership, now: Instant, told_by: str = "") -> list[VoterEffect]:
        """Take over a newer list, told by a member or, with ``told_by`` empty, made here; pass over any other."""
        effects: list[VoterEffect] = []
        if told_by:
            self._hear_of(told_by, membership, now, effects)
        elif self.vote.is_news(membership):
            self._adopt(membership, now, effects)
        return effects

    def saved(self, ticket: int, why_not: str = "") -> list[VoterEffect]:
        """The disk has taken what ``ticket`` named, or has not, and why."""
        effects: list[VoterEffect] = []
        done = [save for save in self._saving if save.ticket <= ticket]
        if not done:
            return effects
        self._saving = [save for save in self._saving if save.ticket > ticket]
        before = self.vote.problem
        if why_not:
            if why_not != before:
                effects.append(Told(f"this member cannot vote: {why_not}", is_warning=True))
        else:
            if before:
                effects.append(Told("this member can vote again"))
            self._on_disk = done[-1].kept
            effects.extend(SendVote(waits.handle, waits.vote) for waits in self._waiting if waits.ticket <= ticket)
        self._waiting = [waits for waits in self._waiting if waits.ticket > ticket]
        self.vote = self.vote._replace(problem=why_not, is_kept=self.vote.kept == self._on_disk)
        return effects

    def tried(self, why_not: str) -> list[VoterEffect]:
        """The disk was tried without anything to keep: it would take a promise, or would not, and why."""
        before = self.vote.disk_problem
        self.vote = self.vote._replace(disk_problem=why_not)
        if why_not == before or self.vote.strange:
            return []
        if why_not:
            return [Told(f"the disk takes no promise now: {why_not}", is_warning=True)]
        return [Told("the disk takes promises again")]

    def ready(self, readiness: Readiness) -> None:
        """What this node would do if it were invited."""
        if readiness is not self.vote.readiness:
            self.vote = self.vote._replace(readiness=readiness)

    def _refusal(self, request: VoteRequest, now: Instant) -> Refusal:
        vote, rules, candidacy = self.vote, self.rules, request.candidacy
        mine = vote.membership
        if vote.strange:
            return Refusal.STRANGE
        if mine is not None and mine.lineage != request.membership.lineage:
            return Refusal.FOREIGN
        if rules.is_outdated(vote, request.membership):
            return Refusal.OLD_ELECTORATE
        if not request.membership.may_stand(candidacy.candidate) or not vote.is_plausible(candidacy.epoch):
            return Refusal.NOT_A_CANDIDATE
        if mine is not None and vote.is_news(request.membership):  # it was not taken over: who is that?
            return Refusal.NOT_A_CANDIDATE
        if request.kind is not VoteRequestKind.PROBE:
            if candidacy.epoch <= self._released.get((candidacy.candidate, candidacy.boot_id), 0):
                return Refusal.RELEASED  # in whatever order the messages come
            if candidacy == vote.promise:
                return Refusal.NONE
            is_new = request.kind is VoteRequestKind.VOTE
            if rules.is_stale(vote, candidacy) or (is_new and not rules.is_higher(vote, candidacy)):
                return Refusal.OLD_EPOCH
        if rules.abstains(vote, request.kind, now):
            return Refusal.BOOT_WAIT
        return Refusal.PROMISED if rules.is_promised(vote, candidacy, now) else Refusal.NONE

    def _grant(self, request: VoteRequest, now: Instant, effects: list[VoterEffect]) -> None:
        vote, candidacy, leads = self.vote, request.candidacy, request.kind is VoteRequestKind.RENEW
        self.vote = OwnVote(
            vote.me,
            candidacy,
            max(vote.highest, candidacy.epoch),
            vote.membership,
            vote.abstains_until,
            after(now, vote.me.timing.lease_us),
            leads,
            max(vote.followed, candidacy.epoch) if leads else vote.followed,
            *vote[8:],
        )
        self._save(effects)

    def _hear_of(self, sender: str, offered: Membership, now: Instant, effects: list[VoterEffect]) -> None:
        """Somebody else has this list of members; it is taken over where that is to be believed."""
        if not self.vote.is_news(offered):
            return
        others = frozenset(name for name, offer in self._offers.items() if offer == offered)
        if self.rules.may_bring(self.vote, sender, offered, others):
            self._adopt(offered, now, effects)
            return
        of_others = [(name, offer) for name, offer in self._offers.items() if name != sender]
        self._offers = dict([*of_others, (sender, offered)][-OFFERS_MAX:])
        sentence = NOT_TAKEN.format(version=offered.version, sender=sender)
        self.vote = self.vote._replace(not_taken=sentence, not_taken_at=now)
        if now >= self._told_offer_until:  # in the log once a lease at most, however many say so
            self._told_offer_until = after(now, self.vote.me.timing.lease_us)
            effects.append(Told(sentence, is_warning=True))

    def _adopt(self, membership: Membership, now: Instant, effects: list[VoterEffect]) -> None:
        self._offers.clear()
        waits_until = self.vote.abstains_until
        if self.vote.membership is None:
            waits_until = max(waits_until, after(now, self.vote.me.timing.lease_us + 1))
        self.vote = self.vote._replace(membership=membership, not_taken="", abstains_until=waits_until)
        self._save(effects)

    def _save(self, effects: list[VoterEffect]) -> None:
        """Have the disk keep what is decided, unless it has it or is about to."""
        kept = self.vote.kept
        if kept == (self._saving[-1].kept if self._saving else self._on_disk):
            return
        self._tickets += 1
        save = SaveKept(self._tickets, kept)
        self._saving.append(save)
        self.vote = self.vote._replace(is_kept=False)
        effects.append(save)

    def _answer(
        self, request: VoteRequest, refusal: Refusal, handle: object, now: Instant, effects: list[VoterEffect]
    ) -> None:
        self._save(effects)  # again, if the disk has refused it: a vote tells what is on disk, also one that refuses
        own, mine = self.vote, self.vote.membership
        vote = Vote(
            request.kind,
            own.me.node,
            own.me.boot_id,
            request.request,
            request.candidacy.epoch,
            refusal is Refusal.NONE,
            refusal,
            own.highest,
            NO_VERSION if mine is None else mine.version,
            mine if refusal is Refusal.OLD_ELECTORATE else None,
            own.holder(now),
            now,
            self._told_readiness(now),
        )
        if self._saving and not self.rules.answers_before_kept():
            self._waiting.append(_Waiting(self._saving[-1].ticket, handle, vote))
        else:
            effects.append(SendVote(handle, vote))

    def _told_readiness(self, now: Instant) -> Readiness:
        own = self.vote
        if self.rules.tells_disk(own):
            return Readiness.UNABLE
        waits = own.readiness is Readiness.READY and now <= own.abstains_until
        return Readiness.WAITS if waits else own.readiness


class SoleVoter(Voter):
    """Where the record alone decides: nobody asks for this vote, and its own node always has it."""

    def __init__(self, me: Identity, rules: "VoteRules", now: Instant) -> None:
        super().__init__(me, PersistedVote(NO_CANDIDACY, RECORD_ALONE), rules, now)
