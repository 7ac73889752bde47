"""The clauses of the rule, one by one, and the pieces that the election is made of."""

from hypothesis import given, strategies as st

from rppam.cluster.consensus.effects import Purpose
from rppam.cluster.consensus.exchange import exchange
from rppam.cluster.consensus.lease import Identity, LeaseObserver
from rppam.cluster.consensus.membership import RECORD_ALONE
from rppam.cluster.consensus.promises import STORE, Promises
from rppam.cluster.consensus.record import Record, RecordState, vacant
from rppam.cluster.consensus.rules import LeadershipRules, LeaseRules
from rppam.cluster.consensus.timing import PROFILES
from rppam.kernel.instant import Instant
from tests.cluster.consensus.stage import ME, MY_LIFE, OTHER, TIMING, held, released

RULES, LEADING = LeaseRules(TIMING), LeadershipRules(TIMING)
LEASE_US = TIMING.lease_us


def at(leases: float) -> Instant:
    return Instant(int(leases * LEASE_US))


class Watch:
    """What is seen over time."""

    def __init__(self) -> None:
        self.lease = LeaseObserver(Identity(ME, MY_LIFE, TIMING))

    def connected(self, number: int, identity: str, now: Instant, extra_wait_us: int = 0) -> None:
        self.lease = self.lease.connected(RULES, number, identity, extra_wait_us, now)

    def disconnected(self) -> None:
        self.lease = self.lease.disconnected(RULES)

    def see(self, record: Record, was_absent: bool, now: Instant) -> None:
        self.lease = self.lease.see(RULES, record, now, now, was_absent=was_absent)

    def know(self, **epochs: int) -> None:
        self.lease = self.lease._replace(epochs=self.lease.epochs._replace(**epochs))


def watching(*readings: tuple[float, Record], connected_at: float = 0) -> Watch:
    watch = Watch()
    watch.connected(1, "run1", at(connected_at))
    for when, record in readings:
        watch.see(record, was_absent=False, now=at(when))
    return watch


def test_a_promise_runs_from_the_sending_whenever_the_reply_comes() -> None:
    assert LEADING.promised_until(at(1), at(1.2)) == LEADING.promised_until(at(1), at(1))
    assert LEADING.promised_until(at(1), at(1)) == at(1) + TIMING.promise_us


def test_the_promise_fits_into_the_lease_on_the_worst_pair_of_clocks_in_every_profile() -> None:
    for timing in PROFILES.values():
        rate = timing.rate_error_ppm / 1e6
        assert timing.lease_ms >= timing.promise_ms * (1 + rate) / (1 - rate) + timing.drop_ms


def test_permission_ends_at_the_deadline_itself_and_needs_one() -> None:
    assert LEADING.has_permission(at(1), Instant(at(1) - 1))
    assert not LEADING.has_permission(at(1), at(1))
    assert not LEADING.has_permission(None, at(0))


def test_a_write_confirmed_after_the_deadline_counts_for_nothing_whatever_it_was_for() -> None:
    for purpose in Purpose:
        assert LEADING.write_counts(purpose, at(1), at(0.9))
        assert not LEADING.write_counts(purpose, at(1), at(1))


def test_a_holder_rewrites_a_vacant_mark_and_a_lower_epoch_and_nothing_else() -> None:
    assert RULES.may_rewrite(vacant(99, "ab" * 8), 7)
    assert RULES.may_rewrite(held(epoch=6), 7)
    assert not RULES.may_rewrite(held(epoch=7), 7)
    assert not RULES.may_rewrite(released(epoch=8), 7)


def test_the_counter_is_the_holders_own_also_after_a_loss() -> None:
    assert RULES.next_seq(41, held(seq=3)) == 42
    assert RULES.seq_after_loss(41) == 41


def test_a_record_is_a_holders_own_only_with_name_life_and_epoch() -> None:
    mine = held(ME, MY_LIFE, 7)
    assert RULES.is_own(mine, ME, MY_LIFE, 7)
    for other in (mine._replace(holder=OTHER), mine._replace(boot_id="f" * 16), mine._replace(epoch=8)):
        assert not RULES.is_own(other, ME, MY_LIFE, 7)


def test_unknown_is_never_yes() -> None:
    assert not RULES.unknown_is_granted()


def test_nothing_is_taken_before_anything_was_read() -> None:
    watch = Watch()
    assert not RULES.may_take(watch.lease, at(9))
    assert RULES.take_at(watch.lease) is None
    assert watch.lease.silent_us(at(9)) == 0


def test_a_record_is_taken_after_more_than_a_lease_of_silence_counted_from_its_arrival() -> None:
    watch = watching((0.5, held()), (1.2, held()))
    assert not RULES.may_take(watch.lease, at(1.5))
    assert RULES.may_take(watch.lease, Instant(at(1.5) + 1))
    assert RULES.take_at(watch.lease) == at(1.5) + 1


def test_a_release_is_taken_at_once_after_a_lease_of_watching_if_no_higher_epoch_is_known() -> None:
    watch = watching((0.1, held(epoch=7)), (1.4, released(epoch=7)))
    assert RULES.may_take(watch.lease, at(1.4))
    assert RULES.take_at(watch.lease) == at(0.1) + LEASE_US + 1
    watch.know(fenced=8)
    assert RULES.may_take(watch.lease, at(1.4)), "a fence above it says nothing of who has the store's vote"
    assert watch.lease.epochs.known == 8
    watch.know(led=8)
    assert not RULES.may_take(watch.lease, at(1.4))
    assert RULES.take_at(watch.lease) == at(1.4) + LEASE_US + 1


def test_absence_a_lower_epoch_and_a_lower_seq_start_the_trust_anew() -> None:
    for odd in (
        vacant(7, "ab" * 8),
        held(epoch=6),
        held(epoch=7, seq=2),
        held(epoch=7, seq=3)._replace(nonce="0" * 16),
    ):
        watch = watching((0.5, held(epoch=7, seq=3)), (1.4, odd))
        assert watch.lease.trusted_since == at(1.4), odd
    watch = watching((0.5, held(epoch=7, seq=3)))
    watch.see(held(epoch=7, seq=9), was_absent=True, now=at(1.4))
    assert watch.lease.trusted_since == at(1.4)


def test_renewals_and_higher_epochs_keep_the_trust() -> None:
    watch = watching((0.5, held(seq=3)), (0.6, held(seq=4)), (0.7, held(epoch=9, seq=1)))
    assert watch.lease.trusted_since == at(0)
    assert watch.lease.epochs.led == 9


def test_a_connection_takes_everything_watched_with_it_but_the_highest_epoch() -> None:
    watch = watching((0.5, held(epoch=7)))
    watch.disconnected()
    assert (watch.lease.record, watch.lease.since, watch.lease.trusted_since, watch.lease.connection) == (
        None,
        None,
        None,
        None,
    )
    watch.connected(2, "run2", at(2))
    assert (watch.lease.record, watch.lease.trusted_since, watch.lease.epochs.led, watch.lease.identity) == (
        None,
        at(2),
        7,
        "run2",
    )


def test_more_than_half_of_all_votes_carry_a_leader_until_the_last_needed_promise_ends() -> None:
    promises = Promises({STORE: 1, "self": 1})
    promises.add(STORE, at(2))
    assert promises.deadline is None
    promises.add("self", at(1))
    assert promises.deadline == at(1)
    promises.add("self", at(0.5))  # a promise is never shortened
    promises.add("stranger", at(9))
    assert promises.held == {STORE: at(2), "self": at(1), "stranger": at(9)}
    assert promises.deadline == at(1)  # who has no vote carries nobody
    promises.withdraw(STORE)
    assert promises.deadline is None


def test_where_the_record_alone_decides_its_promise_is_the_majority() -> None:
    promises = Promises(*(voters.weights for voters in RECORD_ALONE.voter_sets))
    promises.add("stranger", at(9))
    assert promises.deadline is None
    promises.add(STORE, at(2))
    assert promises.deadline == at(2)


@given(
    st.dictionaries(st.sampled_from("abcde"), st.integers(1, 4), min_size=1),
    st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 9)), max_size=9),
)
def test_the_deadline_is_the_last_instant_with_a_majority(
    weights: dict[str, int], promises: list[tuple[str, int]]
) -> None:
    ledger = Promises(weights)
    until: dict[str, int] = {}
    for voter, end in promises:
        ledger.add(voter, Instant(end))
        if voter in weights:
            until[voter] = max(end, until.get(voter, 0))

    def carried(now: int) -> bool:
        return 2 * sum(weights[voter] for voter, end in until.items() if end > now) > sum(weights.values())

    moments = [now for now in range(-1, 10) if carried(now)]
    if ledger.deadline is None:
        assert not moments
    else:
        assert moments[-1] == ledger.deadline - 1


def test_the_script_swaps_exactly_and_marks_what_is_absent_or_no_record() -> None:
    mark, mine, other = vacant(7, "ab" * 8).encode(), held(ME, MY_LIFE).encode(), held().encode()
    assert exchange(None, None, mine, mark) == (mark, False, True, False)
    assert exchange("garbage", "garbage", mine, mark) == (mark, False, True, True)
    assert exchange(other, other, mine, mark) == (mine, True, False, False)
    assert exchange(other, mine, mine, mark) == (other, False, False, False)
    assert exchange(other, other, None, mark) == (other, False, False, False)
    assert RecordState.VACANT in mark


# ---- behind a failover -----------------------------------------------------------------------------------------------

EXTRA_US = LEASE_US // 2


def behind_failover(*connections: tuple[float, str], record_at: float, released_at: float | None = None) -> Watch:
    """A watch that made these connections, and saw one record soon after the last."""
    watch = Watch()
    for number, (when, identity) in enumerate(connections, 1):
        watch.connected(number, identity, at(when), EXTRA_US)
    watch.see(held(), was_absent=False, now=at(record_at))
    if released_at is not None:
        watch.see(released(), was_absent=False, now=at(released_at))
    return watch


def test_another_identity_makes_the_wait_longer_by_twice_what_an_old_primary_may_go_on_for() -> None:
    watch = behind_failover((0, "a"), (5, "b"), record_at=5.1)
    assert not RULES.may_take(watch.lease, at(6.7))
    assert not RULES.may_take(watch.lease, at(7))
    assert RULES.may_take(watch.lease, Instant(at(7) + 1))
    assert RULES.take_at(watch.lease) == at(7) + 1


def test_the_first_identity_of_a_life_counts_as_another_one() -> None:
    watch = behind_failover((5, "a"), record_at=5)
    assert RULES.take_at(watch.lease) == at(7) + 1


def test_a_new_connection_to_the_same_server_waits_for_silence_and_not_longer() -> None:
    watch = behind_failover((0, "a"), (5, "a"), record_at=5.1)
    assert RULES.take_at(watch.lease) == at(6.6) + 1
    assert RULES.may_take(watch.lease, Instant(at(6.6) + 1))


def test_a_reconnect_soon_after_a_failover_does_not_shorten_the_longer_wait() -> None:
    watch = behind_failover((0, "a"), (5, "b"), (5.2, "b"), record_at=5.3)
    assert RULES.take_at(watch.lease) == at(7) + 1
    assert not RULES.may_take(watch.lease, at(6.9))


def test_there_and_back_is_another_identity_twice() -> None:
    watch = behind_failover((0, "a"), (5, "b"), (6, "a"), record_at=6)
    assert RULES.take_at(watch.lease) == at(8) + 1


def test_an_identity_that_is_not_known_is_never_the_same() -> None:
    watch = behind_failover((0, ""), (5, ""), record_at=5)
    assert RULES.take_at(watch.lease) == at(7) + 1


def test_a_release_does_not_shorten_the_longer_wait() -> None:
    watch = behind_failover((0, "a"), (5, "b"), record_at=5.1, released_at=6.2)
    assert not RULES.may_take(watch.lease, at(6.9))
    assert RULES.may_take(watch.lease, Instant(at(7) + 1))


def test_on_one_server_another_identity_changes_nothing() -> None:
    watch = Watch()
    watch.connected(1, "a", at(0))
    watch.connected(2, "b", at(5))
    watch.see(held(), was_absent=False, now=at(5.1))
    assert RULES.take_at(watch.lease) == at(6.1) + 1
    assert RULES.may_take(watch.lease, Instant(at(6.1) + 1))


def failed_over(at_us: int) -> Watch:
    """Behind Sentinel, on a server that was promoted then and shows a record since."""
    watch = Watch()
    watch.connected(1, "run2", Instant(at_us), EXTRA_US)
    watch.see(held(), was_absent=False, now=Instant(at_us))
    return watch


def test_behind_a_failover_the_server_must_be_the_same_for_a_lease_and_for_what_two_failovers_confirm() -> None:
    """The holder was confirmed by the first server for 2 s after this one took over, and then went on to a third, while
    this one was still confirmed, for 2 s more. Until then it must not give its vote."""
    watch = failed_over(0)
    last_confirmed = EXTRA_US
    goes_on = last_confirmed + TIMING.promise_us - 1
    this_one_is_confirmed_until = goes_on + EXTRA_US
    assert not RULES.may_take(watch.lease, Instant(this_one_is_confirmed_until))
    assert RULES.take_at(watch.lease) == LEASE_US + 2 * EXTRA_US + 1
    assert RULES.may_take(watch.lease, Instant(LEASE_US + 2 * EXTRA_US + 1))


def test_behind_a_failover_a_record_must_be_silent_for_as_long_as_its_holder_may_go_on_elsewhere() -> None:
    """It wrote here last, moved to the next server at the end of its promise, and this one is still confirmed."""
    watch = failed_over(0)
    written = 100 * LEASE_US
    watch.see(held(seq=2), was_absent=False, now=Instant(written))
    goes_on = written + TIMING.promise_us - 1
    assert not RULES.may_take(watch.lease, Instant(goes_on + EXTRA_US))
    assert RULES.take_at(watch.lease) == written + LEASE_US + EXTRA_US + 1
    assert RULES.may_take(watch.lease, Instant(written + LEASE_US + EXTRA_US + 1))
