"""The clauses of the rule, one method each.

They stand apart from the machine so that each can be read, cited and broken on its own: the simulation plants a bug by
replacing one of them, or an entry of the phase table, and must then find a violation. See docs/leadership.md for why
each is there.
"""

from collections.abc import Collection
from typing import Final, NamedTuple

from rppam.cluster.consensus.clock_rates import Rates
from rppam.cluster.consensus.effects import Found, Granted, Purpose, Swap, Unknown
from rppam.cluster.consensus.lease import SHOWN_MAX, LeaseObserver, LeaseWriter, Sent
from rppam.cluster.consensus.membership import STEP_MAX, VOUCHED, Membership, VoterSet
from rppam.cluster.consensus.messages import Candidacy, PersistedVote, VoteRequestKind
from rppam.cluster.consensus.promises import STORE, Promises, Weights, is_majority
from rppam.cluster.consensus.record import Record, RecordState
from rppam.cluster.consensus.timing import Timing
from rppam.cluster.consensus.vote import OwnVote
from rppam.kernel.instant import Instant, after

SLOWEST: Final = 0.1
"""A clock that may run slower than this, to 1 of this host's, is waited for as if it stood still: while it answers for
ever, and once it has gone like one that runs at this rate."""
FOR_EVER_US: Final = 10**15


class LeaseRules:
    """The clauses about the record, one method each. A planted bug replaces exactly one of them."""

    __slots__ = ("lease_us", "timing")

    def __init__(self, timing: Timing) -> None:
        self.timing = timing
        self.lease_us = timing.lease_us

    # ---- writing ----------------------------------------------------------------------------------------------------

    def may_rewrite(self, found: Record, epoch: int) -> bool:
        """Within its promise a holder re-creates over a vacant record, and overwrites an older one that came back.

        A vacant mark may name a higher epoch than the holder's: somebody tried that epoch, which stops nobody.
        """
        return found.state is RecordState.VACANT or found.epoch < epoch

    def next_seq(self, own: int, found: Record) -> int:  # noqa: ARG002  # what the rule ignores
        """The holder's own counter, never "what stands in the store, plus one": no value is ever written twice."""
        return own + 1

    def seq_after_loss(self, own: int) -> int:
        """The counter goes on after a re-creation; else a reader could take the new record for the old one."""
        return own

    def answers(self, reply: Granted | Found | Unknown, sent: Sent) -> bool:
        """A reply counts only for the request it answers."""
        return reply.request == sent.request

    def unknown_is_granted(self) -> bool:
        """No reply is never yes."""
        return False

    def is_of_attempt(self, swap: Swap, epoch: int) -> bool:
        """What the store says to a write counts only for the attempt, or the leadership, that sent it."""
        return swap.proposed.epoch == epoch

    def is_put_back(self, writer: LeaseWriter, found: Record, server: str) -> bool:
        """One server never forgets while it lives: what this node wrote over there comes back only if somebody puts it
        back. Others may then see silence where there is none, so what the store confirms is no promise any more."""
        return writer.wrote_over(found, server)

    def is_own(self, found: Record, holder: str, boot_id: str, epoch: int) -> bool:
        """A record is this holder's only if it names the node, this very life of it, and this epoch."""
        return found.is_of(holder, boot_id, epoch)

    # ---- watching ---------------------------------------------------------------------------------------------------

    def connection_begins_anew(self) -> bool:
        """A wait belongs to one connection."""
        return True

    def watched_from(self, before: LeaseObserver, asked_at: Instant, arrived: Instant) -> Instant:  # noqa: ARG002
        """A record is watched from when it arrived; what is seen first after a start was watched for no time at all."""
        return arrived

    def begins_anew(self, before: LeaseObserver, record: Record) -> bool:  # noqa: ARG002
        """Any other record starts the wait anew: another seq, a lower epoch, a vacant mark."""
        return True

    def trusts_all_the_same(self, before: LeaseObserver, record: Record) -> bool:  # noqa: ARG002
        """A connection that shows something odd, as an older record or none, is watched anew."""
        return False

    def is_unsigned(self, lease: LeaseObserver) -> bool:
        """Where members have a key, a record that none of them signed stops nobody, and its epoch binds nobody."""
        return lease.is_unsigned

    # ---- taking -----------------------------------------------------------------------------------------------------

    def may_take(self, lease: LeaseObserver, now: Instant) -> bool:
        """The store's vote may be asked for: the record was silent for a whole lease, or was released on purpose."""
        record = lease.record
        if record is None or not self.identity_is_settled(lease, now):
            return False
        return lease.silent_us(now) > self.silence_us(lease) or self.release_is_believed(lease, record, now)

    def take_at(self, lease: LeaseObserver) -> Instant | None:
        """The earliest instant at which :meth:`may_take` can become true without further news; ``None``: not so."""
        record = lease.record
        if record is None or lease.since is None or lease.trusted_since is None:
            return None
        take_at = after(lease.since, self.silence_us(lease) + 1)
        believed_at = self._believed_at(lease, record)
        take_at = take_at if believed_at is None else min(take_at, believed_at)
        settled_at = self._settled_at(lease)
        return take_at if settled_at is None else max(take_at, after(settled_at, 1))

    def silence_us(self, lease: LeaseObserver) -> int:
        """How long a record has to be silent: L; behind a failover longer, by as long as a replica that was not told of
        it may confirm what is written to the primary of before. Within its promise, so almost until L after the write
        that was seen, the holder may have gone on to the next. And longer, as its clock may run slower."""
        return self.lease_us + lease.extra_wait_us + lease.longer_us

    def release_is_believed(self, lease: LeaseObserver, record: Record, now: Instant) -> bool:
        """A release shortens the wait only on a connection watched for a lease, if no higher epoch is known, and if it
        is proven to be its holder's."""
        believed_at = self._believed_at(lease, record)
        return believed_at is not None and now >= believed_at

    def is_proven(self, lease: LeaseObserver, record: Record) -> bool:
        """A release proves that the holder wrote it: it reveals the secret that the holder's ``held`` records commit it
        to, and where there is a key, it is signed. Who signed it is known also where nobody saw it held."""
        if lease.seal is None:
            return lease.is_revealed(record)
        return not self.is_unsigned(lease) and (lease.is_revealed(record) or not lease.has_seen_held(record))

    def proven_since(self, lease: LeaseObserver, record: Record) -> Instant | None:
        """From when on nobody but the present holder can have led beside it. Without a key anybody who writes to the
        store may put up a ``held`` record with a secret of his own: so the commitment has to be a lease old itself, as
        long as the leader of before may not have noticed. What this process committed to is its own."""
        needs_no_age = lease.seal is not None or record.boot_id == lease.me.boot_id
        return lease.trusted_since if needs_no_age else lease.committed_since

    def _believed_at(self, lease: LeaseObserver, record: Record) -> Instant | None:
        if record.state is not RecordState.RELEASED or record.epoch < lease.epochs.led or lease.trusted_since is None:
            return None
        proven_since = self.proven_since(lease, record)
        if proven_since is None or not self.is_proven(lease, record):
            return None
        return after(max(lease.trusted_since, proven_since), self.lease_us + lease.longer_us + 1)

    def is_release_worth_it(self, lease: LeaseObserver, record: Record, now: Instant) -> bool:
        """A reader that does not believe a release waits for L from then on, and no longer from the write of before. So
        one that nobody would believe is written only where it costs no more than a heartbeat."""
        return record.epoch >= lease.epochs.led or lease.silent_us(now) <= self.timing.heartbeat_us

    def identity_is_settled(self, lease: LeaseObserver, now: Instant) -> bool:
        """Behind a failover the server of before may have confirmed the holder for a while longer: L after that.

        And as long again: in another failover the holder may go on from there to the server after this one, which gave
        way just then and is still confirmed, too.
        """
        settled_at = self._settled_at(lease)
        return settled_at is None or now > settled_at

    def _settled_at(self, lease: LeaseObserver) -> Instant | None:
        if lease.extra_wait_us == 0 or lease.identity_since is None:
            return None
        return after(lease.identity_since, self.lease_us + lease.longer_us + 2 * lease.extra_wait_us)

    def is_above(self, record: Record, epoch: int) -> bool:
        """The store's vote is asked for only at an epoch above its record's, as a member's is: since this epoch was
        fixed, somebody may have led at a higher one. A vacant mark is believed as far as it raised this epoch."""
        believed = min(record.epoch, SHOWN_MAX) if record.state is RecordState.VACANT else record.epoch
        return believed < epoch


class VoteRules:
    """The clauses of a member's vote, one method each. A planted bug replaces exactly one of them."""

    __slots__ = ("lease_us",)

    def __init__(self, timing: Timing) -> None:
        self.lease_us = timing.lease_us

    def recalls(self, kept: PersistedVote) -> PersistedVote:
        """What was promised in a former life is on disk."""
        return kept

    def abstains_until(self, kept: PersistedVote, now: Instant) -> Instant:  # noqa: ARG002  # what the rule ignores
        """For one L after a start nothing is granted, whatever the file says."""
        return after(now, self.lease_us + 1)

    def abstains(self, vote: OwnVote, kind: VoteRequestKind, now: Instant) -> bool:  # noqa: ARG002
        """A promise of a former life may still run. A leader that the file does not name waits, too."""
        return now <= vote.abstains_until

    def is_outdated(self, vote: OwnVote, theirs: Membership) -> bool:
        """A candidate with an older list of members than this voter's gets no vote."""
        return vote.membership is not None and theirs.version < vote.membership.version

    def is_stale(self, vote: OwnVote, candidacy: Candidacy) -> bool:
        """A request of an earlier leadership of the same life comes late: releasing that one must not release this."""
        return candidacy[:2] == vote.promise[:2] and candidacy.epoch < vote.promise.epoch

    def is_higher(self, vote: OwnVote, candidacy: Candidacy) -> bool:
        """A candidate needs an epoch above every one on disk."""
        return candidacy.epoch > vote.highest

    def is_promised(self, vote: OwnVote, candidacy: Candidacy, now: Instant) -> bool:
        """Nobody is promised anything while a promise to another runs."""
        return vote.has_promised_another(candidacy, now)

    def releases(self, vote: OwnVote, given_back: Candidacy) -> bool:
        """A promise is given back only by exactly its candidacy: node, life, epoch."""
        return given_back == vote.promise

    def prevote_binds(self) -> bool:
        """A question without obligation binds nobody."""
        return False

    def refused_epoch_binds(self) -> bool:
        """A request that is refused changes nothing, however high its epoch."""
        return False

    def answers_before_kept(self) -> bool:
        """Nothing is said before everything that was decided is on disk."""
        return False

    def tells_disk(self, vote: OwnVote) -> bool:
        """An answer says that no promise could be kept."""
        return bool(vote.why_unable)

    def may_bring(self, vote: OwnVote, sender: str, offered: Membership, others: frozenset[str]) -> bool:
        """Return whether a newer list is believed from ``sender``, whose name the link has proven.

        A member that may lead is believed, and so is whoever passes on what a node vouched for: the leader that made a
        list may be gone, and only a witness have it. A witness cannot make one, and a sender that is not on the present
        list may be anybody: without a vouch their word is worth something only together, that of a witness which is on
        it, and that of a node which may lead by the new one. ``others``: who offers the same list.
        """
        mine = vote.membership
        if mine is None:
            return offered.vouch == VOUCHED or offered.may_stand(sender)
        if not vote.is_plausible(offered.version.epoch) or offered.version.step > STEP_MAX:
            return False
        if offered.vouch == VOUCHED or any(voters.may_stand(sender) for voters in mine.voter_sets):
            return True
        both = {sender, *others}
        new = [name for name in both if name not in mine.members and offered.may_stand(name)]
        return bool(new) and any(name in mine.members for name in both)


class MembershipRules:
    """The clauses of votes and their change, one method each. A planted bug replaces exactly one of them."""

    def voter_sets(self, membership: Membership) -> tuple[VoterSet, ...]:
        """While a change is pending, the old votes are needed as well."""
        return membership.voter_sets

    def store_has_vote(self, *sets: Weights) -> bool:
        """Only where the store has a vote, its record alone says who leads."""
        return any(votes.get(STORE, 0) for votes in sets)

    def is_in_force(self, have: int, old: VoterSet) -> bool:
        """So many old members have the pending list on disk that nobody can win with the old one."""
        return have >= old.blocking

    def lasts(self, deadline: Instant, longest: Instant | None) -> bool:
        """No step shortens what the leader was given: whatever acts until then, as an address that was set for so long,
        is told nothing."""
        return longest is None or deadline >= longest


class LeadershipRules:
    """The clauses of candidate and leader, one method each."""

    __slots__ = ("lease_us", "promise_us")

    def __init__(self, timing: Timing) -> None:
        self.lease_us = timing.lease_us
        self.promise_us = timing.promise_us

    # ---- the leader -------------------------------------------------------------------------------------------------

    def promised_until(self, sent: Instant, arrived: Instant) -> Instant:  # noqa: ARG002  # what the rule ignores
        """A promise runs from before the request was sent: the voter may have counted it at any moment since."""
        return after(sent, self.promise_us)

    def has_permission(self, deadline: Instant | None, now: Instant) -> bool:
        """Permission is a comparison made at the moment of acting. It ends without any input."""
        return deadline is not None and now < deadline

    def write_counts(self, purpose: Purpose, deadline: Instant | None, now: Instant) -> bool:  # noqa: ARG002
        """A write, whatever its purpose, that is confirmed after the holder's own deadline counts for nothing."""
        return self.has_permission(deadline, now)

    def reading_counts(self) -> bool:
        """Its own name in the record prolongs nothing: only a confirmed write does."""
        return False

    def store_still_promises(self, promises: Promises, now: Instant) -> bool:
        """Only while the store's promise runs may a leader write its record again without having watched it."""
        return promises.holds(STORE, now)

    def store_counts(self, rates: Rates, others: Collection[str], rivals: Collection[str]) -> bool:
        """A node whose clock is off neither counts the store's promise as a leader nor asks for it as a candidate."""
        return not rates.is_own_off(others, rivals)

    def releases_before_stopping(self) -> bool:
        """First everything that acts has stopped, then the record is released."""
        return False

    def frees_before_stopping(self) -> bool:
        """A promise is given back only after everything that acts has stopped."""
        return False

    def may_go(self, *, is_left_in_hands: bool) -> bool:
        """A leader stays where nobody else could win votes that are kept."""
        return is_left_in_hands

    def confirms_epoch(self) -> bool:
        """A leader has the database confirm its epoch every other heartbeat."""
        return True

    def fence_stops(self) -> bool:
        """A leader whose write is refused as too old stops at once."""
        return True

    # ---- the candidate ----------------------------------------------------------------------------------------------

    def longer_us(self, rates: Rates, rivals: Collection[str], now: Instant) -> int:
        """How much longer than L to wait, as the clock of a rival runs slower than this host's. A node that may not
        lead never holds the store's promise, so nobody waits for the clock of a witness."""
        slowest = min((self.worst_rate(rates, name, now) for name in rivals), default=1.0)
        return int(self.lease_us * (1 / slowest - 1)) if slowest >= SLOWEST else FOR_EVER_US

    def worst_rate(self, rates: Rates, rival: str, now: Instant) -> float:
        """How slow a rival's clock is taken for, at the worst.

        By one that stands still a promise never ends. A rival that has it and answers can be restarted, so it is waited
        for. Of one that has gone nobody may ever hear again. It is waited for no longer than a promise lasts by the
        slowest clock that is waited out: for so long it must not have answered, and then the record be silent for as
        long. That is a bound and no proof: a host that lives on, reaches nobody and is slower than that is the fence's
        business, as any whose clock stands still without a word. What was measured above the bound is obeyed in full.
        """
        has_gone = rates.silent_us(rival, now) > self.lease_us / SLOWEST
        return max(rates.slowest((rival,)), SLOWEST if has_gone else 0.0)

    def pick_epoch(self, lease: LeaseObserver, tried: int, database: int | None, wall_ms: int) -> int:
        """One more than the highest epoch anybody shows or this life tried, and not below the wall clock: as far as one
        can be right. The candidate goes above its own vote and its list of members as well.

        That no two lead by one epoch is the voters' work: two majorities share one; a member grants only above every
        epoch it granted, which is on its disk before it answers, and the store's vote is a compare-and-set above its
        record's. Where all of that was lost, two lives can share a number, and ``db/fence.py`` refuses the second.
        """
        return max(1 + max(lease.epochs.known, tried, database or 0), min(wall_ms, SHOWN_MAX))

    def epoch_to_lead(self, asked: int, tried: int, database: int | None, wall_ms: int) -> int:  # noqa: ARG002
        """The epoch is fixed before the votes are asked for."""
        return asked

    def asks_store(self, granted: Collection[str], *sets: Weights) -> bool:
        """Members are asked first, the store last: when its votes complete the majority."""
        return is_majority({*granted, STORE}, *sets)

    def may_claim(self, deadline: Instant | None, now: Instant) -> bool:
        """Nobody writes an epoch to the database without a majority at that moment: it shuts out every lower one."""
        return self.has_permission(deadline, now)


class Rules(NamedTuple):
    """All clauses that one node goes by."""

    leadership: LeadershipRules
    lease: LeaseRules
    vote: VoteRules
    membership: MembershipRules

    @classmethod
    def of(cls, timing: Timing) -> "Rules":
        """The clauses as they are."""
        return cls(LeadershipRules(timing), LeaseRules(timing), VoteRules(timing), MembershipRules())
