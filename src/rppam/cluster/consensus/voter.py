"""A member's own vote: to whom it is promised, and how the member keeps its word.

A promise is for one (candidate, boot id, epoch), for L from when it is given. What keeps it:

* Before anything is answered, the promise and the electorate are on disk. An answer that was decided while the disk is
  still busy waits for it; when the disk refuses, it is never sent, and the promise binds this member all the same.
* A candidate is granted only an epoch above every one that was granted before, or that same epoch again to exactly the
  same claim. A *leader* is granted its own, even if another candidate has tried a higher one here since and failed: an
  epoch that was merely tried must not cost a leader a vote for good.
* For one full L after a start nothing is granted to anybody, this node included: a former life may have promised. The
  one exception is to renew exactly what the file names. An empty file waits like any other, that of a cluster just
  founded included. Who learns only later that it is a member has the vote only from then on, and waits from then on:
  until that moment another may have been this member, on a host that is gone now.
* A promise ends by time, or when exactly its claim is given back. What was given back is not granted again.
* Only a *granted* ballot changes anything. A refused one, however high its epoch, binds nobody.
* Another list of members is taken over only from a member of the present one that may lead. Whoever is not on the
  present list may have joined since; so its list is taken over once a witness that is says the same. No version or
  epoch is believed that leaves the later ones no room.
* Whoever has the file of another host, or a copy, is not this member before an operator says so: it grants nothing and
  keeps nothing, so that the member whose file it is stays the only one.

Each answer also says whether its disk would keep a promise, as far as that was tried: who asks for a switchover shall
know before it is too late.

It does not promise to be heard, nor that the disk keeps what it confirmed.
"""

from typing import Any, NamedTuple

from rppam.cluster.consensus.effects import Told
from rppam.cluster.consensus.lease_observer import LEAP_MAX, SHOWN_MAX
from rppam.cluster.consensus.membership import Membership, Version
from rppam.cluster.consensus.messages import (
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
from rppam.cluster.consensus.timing import Timing
from rppam.kernel.instant import US_PER_S, Instant, after

FREED_MAX = 256
"""So many claims that were given back are remembered."""
OFFER_SHOWN_US = 60 * US_PER_S
OFFERS_MAX = 16
"""Of so many it is remembered that they have another electorate."""
STEP_MAX = 10**9
"""Far above every number of changes that one leader makes."""
NO_VERSION = Version(0, 0)
NOT_TAKEN = (
    "the list of members {version} is not taken over from {sender}, which is no member of the present list that may "
    "lead. If nobody has changed the members, find out what runs there: it holds this cluster's key. If all others "
    "were replaced while this member was away, stop it, remove its promise file and start it: it waits and learns anew"
)


class SaveKept(NamedTuple):
    """Put ``kept`` on disk, in the order of the tickets, then say :meth:`Voter.saved`."""

    ticket: int
    kept: PersistedVote


class SendVote(NamedTuple):
    """Answer a ballot. ``handle`` is what was given with it."""

    handle: Any
    vote: Vote


VoterEffect = SaveKept | SendVote | Told


class _Waiting(NamedTuple):
    ticket: int
    handle: Any
    vote: Vote


class Voter:
    """One member's vote. Drive it from one place; ``now`` never goes back."""

    def __init__(self, node: str, boot_id: str, timing: Timing, kept: PersistedVote, *, now: Instant) -> None:
        self.node = node
        self.boot_id = boot_id
        self.timing = timing
        self.claim = kept.claim
        """The last promise given, by this life or a former one."""
        self.highest = kept.highest
        """The highest epoch ever promised here."""
        self.electorate = kept.electorate
        self.promised_until: Instant | None = None
        """When the promise of this life ends; ``None`` when there is none, or it was given back."""
        self.problem = ""
        """Why the disk does not take what has to be kept; empty while it does."""
        self.disk_problem = ""
        """Why it would not, as tried without anything to keep; empty while it would."""
        self.strange = ""
        """Why the file that was read is not this member's own; empty when it is. Set once, before anything is asked."""
        self.followed = 0
        """The highest epoch at which this life has supported somebody who led."""
        self.stance = Readiness.READY
        """What this node would do if it were invited, its own wait after a start left aside."""
        self._leads = False
        self._on_disk = kept
        self._saving: list[SaveKept] = []
        self._tickets = 0
        self._waiting: list[_Waiting] = []
        self._freed: dict[tuple[str, str], int] = {}
        self._offers: dict[str, Membership] = {}
        """Newer electorates that were not taken over, by who has them."""
        self.not_taken = ""
        """The latest of them, in a sentence."""
        self._offered_at = self._offered_until = now
        self._boot_until = after(now, timing.lease_us + 1)

    # ---- questions --------------------------------------------------------------------------------------------------

    def free_at(self, candidate: str, boot_id: str) -> Instant:
        """From when on nothing that was promised stands in the way of this candidate, without further news."""
        until = self._boot_until
        if self.promised_until is not None and (self.claim.candidate, self.claim.boot_id) != (candidate, boot_id):
            until = max(until, self.promised_until)
        return after(until, 1)

    @property
    def why_unable(self) -> str:
        """Why no promise of this member could be relied on now; empty when it could."""
        return self.strange or self.problem or self.disk_problem

    def has_vote(self) -> bool:
        """Whether this is the member whose file it has."""
        return not self.strange

    def tells_disk(self) -> bool:
        """Whether an answer says that no promise could be kept."""
        return bool(self.why_unable)

    @property
    def is_kept(self) -> bool:
        """Whether everything that was decided so far is on disk."""
        return PersistedVote(self.claim, self.electorate, self.highest) == self._on_disk

    def leader(self, now: Instant) -> Candidacy | None:
        """Who leads, as far as this member's own promise shows: somebody renewed it as a leader, and it runs."""
        if self._leads and self.promised_until is not None and now <= self.promised_until:
            return self.claim
        return None

    def holder(self, now: Instant) -> str:
        """Whom this member supports now; empty when nobody."""
        return self.claim.candidate if self.promised_until is not None and now <= self.promised_until else ""

    # ---- what is heard ----------------------------------------------------------------------------------------------

    def ask(self, ballot: VoteRequest, handle: object, now: Instant) -> list[VoterEffect]:
        """Somebody asks for the vote."""
        effects: list[VoterEffect] = []
        self._hear_of(ballot.claim.candidate, ballot.electorate, now, effects)
        refusal = self._refusal(ballot, now)
        if refusal is Refusal.NONE and ballot.kind is not VoteRequestKind.PROBE:
            self._grant(ballot, now, effects)
        self._answer(ballot, refusal, handle, now, effects)
        return effects

    def freed(self, freeing: Freeing) -> None:
        """A promise is given back, or one that was not given yet shall never be."""
        claim = freeing.claim
        life = claim.candidate, claim.boot_id
        self._freed[life] = max(claim.epoch, self._freed.pop(life, 0))
        if len(self._freed) > FREED_MAX:
            del self._freed[next(iter(self._freed))]
        if claim == self.claim:
            self.promised_until = None
            self._leads = False

    def adopt(self, electorate: Membership, now: Instant, told_by: str = "") -> list[VoterEffect]:
        """Take over a newer membership, told by a member or, with ``told_by`` empty, made here; pass over any other."""
        effects: list[VoterEffect] = []
        if told_by:
            self._hear_of(told_by, electorate, now, effects)
        elif self._is_news(electorate):
            self._adopt(electorate, now, effects)
        return effects

    def saved(self, ticket: int, why_not: str = "") -> list[VoterEffect]:
        """The disk has taken what ``ticket`` named, or has not, and why."""
        effects: list[VoterEffect] = []
        done = [save for save in self._saving if save.ticket <= ticket]
        self._saving = [save for save in self._saving if save.ticket > ticket]
        if not done:
            return effects
        if why_not:
            if why_not != self.problem:
                effects.append(Told(f"this member cannot vote: {why_not}", is_warning=True))
            self._waiting = [waiting for waiting in self._waiting if waiting.ticket > ticket]
        else:
            if self.problem:
                effects.append(Told("this member can vote again"))
            self._on_disk = done[-1].kept
            effects.extend(
                SendVote(waiting.handle, waiting.vote) for waiting in self._waiting if waiting.ticket <= ticket
            )
            self._waiting = [waiting for waiting in self._waiting if waiting.ticket > ticket]
        self.problem = why_not
        return effects

    def tried(self, why_not: str) -> list[VoterEffect]:
        """The disk was tried without anything to keep: it would take a promise, or would not, and why."""
        before, self.disk_problem = self.disk_problem, why_not
        if why_not == before or self.strange:
            return []
        if why_not:
            return [Told(f"the disk takes no promise now: {why_not}", is_warning=True)]
        return [Told("the disk takes promises again")]

    # ---- the clauses ------------------------------------------------------------------------------------------------

    def _refusal(self, ballot: VoteRequest, now: Instant) -> Refusal:
        mine, claim = self.electorate, ballot.claim
        if not self.has_vote():
            return Refusal.STRANGE
        if mine is not None and mine.lineage != ballot.electorate.lineage:
            return Refusal.FOREIGN
        if self.is_outdated(ballot.electorate):
            return Refusal.OLD_ELECTORATE
        if not ballot.electorate.may_stand(claim.candidate) or not self.is_plausible(claim.epoch):
            return Refusal.NOT_A_CANDIDATE
        if mine is not None and self._is_news(ballot.electorate):  # it was not taken over: who is that?
            return Refusal.NOT_A_CANDIDATE
        if ballot.kind is not VoteRequestKind.PROBE:
            if self.was_freed(claim):
                return Refusal.RELEASED
            if claim == self.claim:
                return Refusal.NONE
            if self.is_stale(claim) or (ballot.kind is VoteRequestKind.VOTE and not self.is_higher(claim)):
                return Refusal.OLD_EPOCH
        if not self.boot_wait_is_over(now):
            return Refusal.BOOT_WAIT
        if self._promised_to_another(claim.candidate, claim.boot_id, now):
            return Refusal.PROMISED
        return Refusal.NONE

    def is_outdated(self, theirs: Membership) -> bool:
        """Whoever has an older list of members than this voter gets no vote."""
        return self.electorate is not None and theirs.version < self.electorate.version

    def was_freed(self, claim: Candidacy) -> bool:
        """An epoch that its candidate gave up is never granted again, in whatever order the messages come."""
        return claim.epoch <= self._freed.get((claim.candidate, claim.boot_id), 0)

    def is_stale(self, claim: Candidacy) -> bool:
        """A question of an earlier leadership of the same life comes late: freeing that one must not free this one."""
        same_life = (claim.candidate, claim.boot_id) == (self.claim.candidate, self.claim.boot_id)
        return same_life and claim.epoch < self.claim.epoch

    def is_higher(self, claim: Candidacy) -> bool:
        """A candidate needs an epoch above every one on disk."""
        return claim.epoch > self.highest

    def boot_wait_is_over(self, now: Instant) -> bool:
        """No promise of a former life can still run."""
        return now > self._boot_until

    def _promised_to_another(self, candidate: str, boot_id: str, now: Instant) -> bool:
        if self.promised_until is None or now > self.promised_until:
            return False
        return (self.claim.candidate, self.claim.boot_id) != (candidate, boot_id)

    # ---- what is kept -----------------------------------------------------------------------------------------------

    def _is_news(self, electorate: Membership) -> bool:
        """Who is no member yet waits for a list with its own name: with another one it would ask nobody for a place."""
        mine = self.electorate
        if not self.has_vote():
            return False
        if mine is None:
            return self.node in electorate.members
        return electorate.lineage == mine.lineage and electorate.version > mine.version

    def _hear_of(self, sender: str, electorate: Membership, now: Instant, effects: list[VoterEffect]) -> None:
        """Somebody else has this electorate; it is taken over where that is to be believed."""
        if not self._is_news(electorate):
            return
        if not self.may_bring(sender, electorate):
            self._offers.pop(sender, None)
            self._offers[sender] = electorate
            while len(self._offers) > OFFERS_MAX:
                del self._offers[next(iter(self._offers))]
            self._tell_offer(sender, electorate, now, effects)
            return
        self._adopt(electorate, now, effects)

    def _tell_offer(self, sender: str, electorate: Membership, now: Instant, effects: list[VoterEffect]) -> None:
        """In the log once a lease at most, however many say so; for health the latest."""
        is_news, self._offered_at = now >= self._offered_until, now
        self.not_taken = NOT_TAKEN.format(version=electorate.version, sender=sender)
        if is_news:
            self._offered_until = after(now, self.timing.lease_us)
            effects.append(Told(self.not_taken, is_warning=True))

    def offered(self, now: Instant) -> str:
        """Whose list of members was not taken over within the last minute, in a sentence; else empty."""
        return self.not_taken if self.not_taken and now - self._offered_at <= OFFER_SHOWN_US else ""

    def may_bring(self, sender: str, electorate: Membership) -> bool:
        """Whether a newer electorate is believed from ``sender``, whose name the link has proven.

        A member that may lead is believed. A witness cannot make one, and whoever is not on the present list may be
        anybody: their word is worth something only together, that of a witness which is on it, and that of somebody
        who may lead by the new one.
        """
        mine = self.electorate
        if mine is None:
            return electorate.may_stand(sender)
        if not self.is_plausible(electorate.version.epoch) or electorate.version.step > STEP_MAX:
            return False
        if any(body.may_stand(sender) for body in mine.bodies):
            return True
        both = {sender, *(name for name, offer in self._offers.items() if offer == electorate)}
        new = [name for name in both if name not in mine.members and electorate.may_stand(name)]
        return bool(new) and any(name in mine.members for name in both)

    def is_plausible(self, epoch: int) -> bool:
        """Whether an epoch leaves the later ones room: not far above the wall clock and everything known here."""
        return self.electorate is None or epoch <= self.plausible_max

    @property
    def plausible_max(self) -> int:
        """The highest epoch that it finds plausible, as a member."""
        return min(max(SHOWN_MAX, self.known) + LEAP_MAX, EPOCH_MAX)

    @property
    def known(self) -> int:
        """The highest epoch that it promised for, or whose leader made its list of members."""
        return max(self.highest, 0 if self.electorate is None else self.electorate.version.epoch)

    def _adopt(self, electorate: Membership, now: Instant, effects: list[VoterEffect]) -> None:
        self._offers.clear()
        self.not_taken = ""
        if self.electorate is None:
            self._boot_until = max(self._boot_until, after(now, self.timing.lease_us + 1))
        self.electorate = electorate
        self._save(effects)

    def _grant(self, ballot: VoteRequest, now: Instant, effects: list[VoterEffect]) -> None:
        self.claim = ballot.claim
        self.highest = max(self.highest, ballot.claim.epoch)
        self.promised_until = after(now, self.timing.lease_us)
        self._leads = ballot.kind is VoteRequestKind.RENEW
        if self._leads:
            self.followed = max(self.followed, ballot.claim.epoch)
        self._save(effects)

    def _save(self, effects: list[VoterEffect]) -> None:
        """Have the disk keep what is decided, unless it has it or is about to."""
        kept = PersistedVote(self.claim, self.electorate, self.highest)
        if kept == (self._saving[-1].kept if self._saving else self._on_disk):
            return
        self._tickets += 1
        save = SaveKept(self._tickets, kept)
        self._saving.append(save)
        effects.append(save)

    def _answer(
        self, ballot: VoteRequest, refusal: Refusal, handle: object, now: Instant, effects: list[VoterEffect]
    ) -> None:
        self._save(effects)  # again, if the disk has refused it: a vote tells what is on disk, also one that refuses
        mine = self.electorate
        vote = Vote(
            ballot.kind,
            self.node,
            self.boot_id,
            ballot.request,
            ballot.claim.epoch,
            refusal is Refusal.NONE,
            refusal,
            self.highest,
            NO_VERSION if mine is None else mine.version,
            mine if refusal is Refusal.OLD_ELECTORATE else None,
            self.holder(now),
            now,
            self._stance(now),
        )
        if self._saving:  # nothing is said before everything that was decided is on disk
            self._waiting.append(_Waiting(self._saving[-1].ticket, handle, vote))
        else:
            effects.append(SendVote(handle, vote))

    def _stance(self, now: Instant) -> Readiness:
        if self.tells_disk():
            return Readiness.UNABLE
        return self.stance if self.stance is not Readiness.READY or self.boot_wait_is_over(now) else Readiness.WAITS
