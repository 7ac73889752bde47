"""What a node shows of the votes: nothing that it does not know, and everything that is missing, by name."""

import pytest
from msgspec import UnsetType

from rppam.cluster.consensus.admission import AdmissionState
from rppam.cluster.consensus.effects import Asked, ChangeMembership
from rppam.cluster.consensus.heartbeat import MemberStatus, Role
from rppam.cluster.consensus.membership import QuorumPolicy, VoterSet
from rppam.cluster.consensus.messages import VoteRequestKind
from rppam.cluster.consensus.record import EPOCH_MAX
from rppam.cluster.driver.strays import Strays, asks_to_join
from rppam.cluster.health.members_view import other_members
from rppam.cluster.health.model import SafetyLevel, VoterKind
from rppam.cluster.health.votes_view import GONE_MS, STORE_NAME, StoreSeen, Votes, why_no_leader
from rppam.cluster.link.local_peer import PeerState
from rppam.kernel.instant import Instant, WallMs
from tests.cluster.admin.test_service import LEASE, others, seated
from tests.cluster.consensus.parliament import TIMING
from tests.cluster.driver.government import Government

LAST, MAJORITY = QuorumPolicy.LAST_MAN_STANDING, QuorumPolicy.MAJORITY
UP, DOWN = StoreSeen(True, ""), StoreSeen(False, "Redis does not answer")


def peers(house: Government, name: str) -> dict[str, PeerState]:
    """As the member link would see the others."""
    return {
        other: PeerState("", True, "", 100, 500) if state.is_connected else PeerState("", False, "refused", None, None)
        for other, state in house.peers(name).items()
    }


def votes(house: Government, name: str, store: StoreSeen = UP) -> Votes:
    return Votes(house.core(name), house.membership(name), peers(house, name), store, Instant(house.now))


def why(house: Government, name: str, store: StoreSeen = UP) -> str:
    return why_no_leader(house.core(name), votes(house, name, store), Instant(house.now), store)


def test_the_leader_shows_who_promised_it_and_for_how_long() -> None:
    house, leader = seated("a", "b", "c")
    seen = votes(house, leader)
    assert [(line.voter, line.kind, line.votes) for line in seen.ledger] == [
        ("a", VoterKind.MEMBER, 1),
        ("b", VoterKind.MEMBER, 1),
        ("c", VoterKind.MEMBER, 1),
        (STORE_NAME, VoterKind.STORE, 2),
    ]
    for line in seen.ledger:
        assert line.promised_to == leader
        assert line.promised_ms is not None
        assert TIMING.promise_ms - TIMING.heartbeat_ms - 50 <= line.promised_ms <= TIMING.promise_ms
        assert (line.is_counted, line.is_reached, line.reason) == (True, True, "")
    assert (seen.quorum_met, seen.quorum_reason, seen.pending_change) == (True, "", "")


def test_a_standby_shows_its_own_promise_and_the_record_and_does_not_guess_the_rest() -> None:
    house, leader = seated("a", "b", "c")
    me, other = others(house, leader)
    lines = {line.voter: line for line in votes(house, me).ledger}
    assert lines[me].promised_to == leader
    assert lines[STORE_NAME].promised_to == leader
    for known in (me, STORE_NAME):
        assert 0 < (lines[known].promised_ms or 0) <= LEASE
    assert (lines[other].promised_to, lines[other].promised_ms) == (None, None)
    assert all(line.is_counted for line in lines.values())


def test_a_standby_that_has_just_stood_itself_does_not_take_an_old_answer_for_news() -> None:
    house = Government("a", "b", "c")
    for _ in range(2 * LEASE):
        house.run(1)
        for name in house.seats:
            for line in votes(house, name).ledger:
                if house.leader not in {None, name} and line.kind is VoterKind.MEMBER and line.voter != name:
                    assert (line.promised_to, line.promised_ms) != (None, 0), (house.now, name, line)


def test_what_is_missing_is_named_with_the_reason_and_the_arithmetic() -> None:
    house, leader = seated("a", "b", "c")
    dead = others(house, leader)[0]
    house.store_away()
    house.kill(dead)
    house.run(2 * LEASE)
    assert house.leader is None
    seen = votes(house, leader, DOWN)
    assert not seen.quorum_met
    assert seen.quorum_reason.startswith("2 of 5 votes can be won and 3 are needed (last-man-standing).")
    assert f"{dead}: refused" in seen.quorum_reason
    assert "Redis: Redis does not answer" in seen.quorum_reason
    assert "rppam cluster forget --force" in why(house, leader, DOWN)


def test_the_leader_names_the_one_that_does_not_confirm() -> None:
    house, leader = seated("a", "b", "c", policy=MAJORITY)
    dead = others(house, leader)[0]
    house.kill(dead)
    house.run(2 * LEASE)
    line = next(line for line in votes(house, leader).ledger if line.voter == dead)
    assert (line.is_counted, line.is_reached, line.reason) == (False, False, "refused")
    assert votes(house, leader).quorum_met, "two of three are enough"


def test_the_wait_before_the_store_is_asked_again_is_no_failure_to_confirm() -> None:
    house, leader = seated("a", "b", "c")
    house.store_away()
    house.run(LEASE)
    house.store_back(empty=False)
    seen: list[str] = []
    for ms in (*[1] * 20, *[10] * (2 * LEASE // 10)):
        house.run(ms)
        line = votes(house, leader).ledger[-1]
        assert line.voter == STORE_NAME
        if not seen or seen[-1] != line.reason:
            seen.append(line.reason)
    assert seen[-1] == "", "it is counted again"
    waits = seen[:-1]
    assert waits[0] == "its record is read first, as the connection is new"
    lasts = [int(one.split()[6]) for one in waits[1:-1]]
    assert lasts == sorted(lasts, reverse=True)
    assert LEASE - 100 <= lasts[0] <= LEASE + 1
    assert all("its record must first stand unchanged for a whole lease" in one for one in waits[1:])
    assert waits[-1].startswith(("its vote is asked for in 1 ms", "its vote is asked for with the next heartbeat"))


def test_a_store_that_was_asked_and_is_silent_did_not_confirm() -> None:
    house, leader = seated("a", "b", "c")
    house.store_up = False  # the connections stand, and nothing comes back
    house.run(LEASE + TIMING.heartbeat_ms + TIMING.request_timeout_ms + 100)
    assert votes(house, leader).ledger[-1].reason == "it did not confirm in time"


def _is_off(house: Government, by: str, name: str, percent: int) -> None:
    """A node has found the clock of another to be off."""
    rates = house.seats[by].state.peers.rates
    rates.off = {**rates.off, name: percent}


def test_a_disk_and_a_clock_that_fail_are_reasons() -> None:
    house, leader = seated("a", "b", "c", policy=MAJORITY)
    me, other = others(house, leader)
    voter = house.seats[me].state.voter
    voter.vote = voter.vote._replace(problem="disk full")
    _is_off(house, leader, other, 10)
    house.run(LEASE)
    mine = {line.voter: line for line in votes(house, me).ledger}
    assert (mine[me].is_counted, mine[me].reason) == (False, "disk full")
    theirs = {line.voter: line for line in votes(house, leader).ledger}
    assert not theirs[other].is_counted
    assert "10 % faster than this host's" in theirs[other].reason


def test_a_clock_found_wrong_by_a_former_leader_is_shown_only_while_it_asks_itself() -> None:
    house, leader = seated("a", "b", "c", policy=MAJORITY)
    me, other = others(house, leader)
    _is_off(house, me, other, 10)
    _is_off(house, me, leader, 10)
    seen = votes(house, me)
    assert (seen.quorum_met, seen.quorum_reason, seen.clock_warnings()) == (True, "", ())
    house.kill(leader)
    house.run(2 * LEASE)
    house.kill(other)
    house.run(3 * LEASE)
    assert house.leader is None
    alone = votes(house, me)
    assert "its clock runs 10 % faster" in alone.quorum_reason
    assert len(alone.clock_warnings()) == 2


def test_a_clock_that_is_off_is_said_by_followers_too_and_what_it_costs_where_redis_has_a_vote() -> None:
    house, leader = seated("a", "b", "c", policy=LAST)
    me, other = others(house, leader)
    _is_off(house, me, other, -10)
    assert [told.split(";")[0] for told in votes(house, me).clock_warnings()] == [
        f"the clock of {other} runs 10 % slower than this host's"
    ]
    _is_off(house, me, leader, -10)
    assert not house.core(me).status().others.clocks.store_counts
    own = votes(house, me).clock_warnings()[-1]
    assert own.startswith("this host's clock does not run at the rate of that of ")
    assert "Check the clock source" in own
    redis = votes(house, me).ledger[-1]
    assert (redis.is_counted, "its clock may be the wrong one" in redis.reason) == (False, True)


def _watched(house: Government, me: str, other: str, rate: float, until: int) -> None:
    """A minute of votes up to ``until`` that show the clock of ``other`` to run at ``rate``."""
    for beat in range(120):
        at = until - 60_000_000 + beat * 500_000
        house.seats[me].state.peers.rates.observe(
            other, "9" * 16, Instant(at), Instant(at + 1_000), Instant(int(rate * at))
        )


def test_a_clock_that_redis_s_vote_waits_for_is_named_with_what_to_do() -> None:
    house, leader = seated("a", "b", "c", policy=LAST)
    me, other = others(house, leader)
    house.run(60_000)
    house.kill(leader)
    house.kill(other)
    _watched(house, me, other, 0.0, house.now)
    house.run(2 * LEASE)
    assert house.leader is None
    redis = votes(house, me).ledger[-1]
    assert (redis.is_counted, redis.is_reached) == (False, True)
    assert redis.reason.startswith(f"it waits for the clock of {other}, which runs too slow or stands still")
    assert redis.reason in why(house, me), "as long as it may answer"
    assert "rppam cluster forget" in redis.reason
    house.run(7 * LEASE)
    assert house.leader is None
    house.run(3 * LEASE)
    assert house.leader == me, "it has gone, so the wait has an end"


def test_a_wait_for_a_slow_clock_says_how_long_it_is() -> None:
    house, leader = seated("a", "b", "c", policy=LAST)
    me, other = others(house, leader)
    house.run(60_000)
    house.kill(leader)
    house.kill(other)
    _watched(house, me, other, 0.25, house.now)
    house.run(LEASE + 1_000)
    assert house.leader is None
    told = why(house, me)
    assert told.startswith("the vote of Redis can be had in ")
    assert f"the clock of {other}, which runs too slow" in told
    house.run(4 * LEASE)
    assert house.leader == me


def test_an_epoch_that_nobody_would_follow_is_why_nobody_leads() -> None:
    house, leader = seated("a", "b", "c", policy=MAJORITY)
    me, _ = others(house, leader)
    house.fence = EPOCH_MAX
    house.run(4 * LEASE)
    assert house.leader is None
    assert why(house, me).startswith(f"the table 'fence' in the database names epoch {EPOCH_MAX}")
    assert why(house, leader) == why(house, me)
    house.fence = 1
    house.run(2 * LEASE)
    assert house.leader is not None


def test_after_a_start_the_own_vote_does_not_count_until_the_wait_is_over() -> None:
    house = Government("a", "b", "c", policy=MAJORITY)
    house.run(100)
    own = votes(house, "a").ledger[0]
    assert not own.is_counted
    assert "may have promised" in own.reason
    house.run(LEASE)
    assert votes(house, "a").ledger[0].is_counted


@pytest.mark.parametrize(
    ("names", "policy", "level"),
    [
        ("abc", MAJORITY, SafetyLevel.VOTED),
        ("ab", MAJORITY, SafetyLevel.REPLICATED),
        ("abcd", MAJORITY, SafetyLevel.REPLICATED),
        ("abc", LAST, SafetyLevel.REPLICATED),
    ],
)
def test_the_safety_level_is_voted_only_where_the_store_has_no_vote(
    names: str, policy: QuorumPolicy, level: SafetyLevel
) -> None:
    house, leader = seated(*names, policy=policy)
    assert votes(house, leader).safety_level(SafetyLevel.REPLICATED) is level
    assert (STORE_NAME in {line.voter for line in votes(house, leader).ledger}) == (level is not SafetyLevel.VOTED)
    warned = votes(house, leader).warning(SafetyLevel.REPLICATED)
    assert ("add a witness" in warned) == (level is not SafetyLevel.VOTED)
    assert votes(house, leader).warning(SafetyLevel.SINGLE) == "", "a single Redis does not fail over"


async def test_a_pending_change_says_whom_it_waits_for() -> None:
    house, leader = seated("a", "b", "c")
    dead, other = others(house, leader)
    house.kill(dead)
    body = VoterSet.of(tuple(sorted((leader, other))), LAST)
    house.tell(leader, ChangeMembership(body))
    house.run(3 * LEASE)
    told = votes(house, leader).pending_change
    assert (
        f"instead of a, b, c: 3 of the 3 former members must have it on disk; {dead} must still write it down" in told
    )
    line = next(line for line in votes(house, leader).ledger if line.voter == dead)
    assert line.votes == 0, "it has none in the new body"


async def test_why_there_is_no_leader_is_said_in_the_order_in_which_it_helps() -> None:
    house, leader = seated("a", "b", "c", policy=MAJORITY)
    me = others(house, leader)[0]
    await house.administration(me).pause(True, "eve")
    house.kill(leader)
    house.run(100)
    assert why(house, me) == "automatic failover is paused by eve, so nobody takes over: rppam cluster resume"
    await house.administration(me).pause(False, "eve")
    assert why(house, me).startswith("an election is due in ")
    house.run(LEASE)
    for name in others(house, leader):
        house.core(name).in_maintenance = frozenset(house.seats)
    assert why(house, me) == "all that could lead are in maintenance: rppam cluster maintenance a off"


async def test_with_all_others_in_maintenance_a_dead_leader_is_named_with_who_could_follow_and_how() -> None:
    house, leader = seated("a", "b", "c", policy=MAJORITY)
    resting = others(house, leader)
    for name in resting:
        await house.administration(name).set_maintenance(True, "eve")
    house.run(LEASE)
    house.kill(leader)
    house.run(3 * LEASE)
    assert house.leader is None
    for me in resting:
        assert why(house, me) == (
            f"nobody can lead: {', '.join(resting)} are in maintenance: rppam cluster maintenance {resting[0]} off. "
            f"Or bring back {leader}: refused"
        )
    await house.administration(resting[1]).set_maintenance(False, "eve")
    house.run(10)
    assert "nobody can lead" not in why(house, resting[1])


def test_where_all_that_could_lead_should_not_it_says_why_and_promises_no_election() -> None:
    house, leader = seated("a", "b", "c")
    house.kill(leader)
    house.run(2 * LEASE)
    one, other = others(house, leader)
    core, now = house.core(one), Instant(house.now)

    def told(**unfit: str) -> str:
        return why_no_leader(core, votes(house, one), now, UP, unfit=unfit)

    assert told() == told(**{one: "no key"}), "the other one may lead"
    said = told(**{one: "no key", other: "it says so"})
    assert said.startswith("nobody can lead: ")
    assert f"{one}: no key" in said
    assert f"{other}: it says so" in said
    assert f"{leader}: " in said


async def test_a_node_that_is_no_member_does_not_offer_to_forget_the_others() -> None:
    house, leader = seated("a", "b", "c", policy=MAJORITY)
    out, other = others(house, leader)
    await house.administration(out).set_maintenance(True, "eve")
    house.run(LEASE)
    await house.administration(leader).forget(out, is_off=False, by="eve")
    house.run(2 * LEASE)
    assert out in house.membership(out).members, "nobody asks it any more, so nobody told it how that ended"
    ((name, question),) = Strays(house.core(leader), Instant(house.now)).due(Instant(house.now))
    assert (name, question.kind) == (out, VoteRequestKind.PROBE)
    house.core(out).step(Asked(question, lambda _: None), Instant(house.now))
    assert out not in house.membership(out).members, "it has heard of it"
    assert not asks_to_join(house.core(out)), "whoever is in maintenance is being taken away"
    await house.administration(out).set_maintenance(False, "eve")
    assert asks_to_join(house.core(out))
    said = why(house, out)
    assert said.startswith("this node is no member, so nobody asks for its vote")
    assert ", ".join(sorted((leader, other))) in said


def test_members_are_said_to_be_lost_for_good_only_once_they_were_away_for_longer_than_a_start_takes() -> None:
    house, leader = seated("a", "b", "c")
    house.store_away()
    house.kill(others(house, leader)[0])
    house.run(2 * LEASE)
    core, now = house.core(leader), Instant(house.now)
    for up_ms, offered in ((GONE_MS - 1, False), (GONE_MS, True)):
        said = why_no_leader(core, votes(house, leader, DOWN), now, DOWN, up_ms)
        assert ("forget --force" in said) is offered, said


def test_members_on_the_link_are_healthy_while_nobody_can_read_heartbeats() -> None:
    house, leader = seated("a", "b", "c", "w", policy=MAJORITY, witnesses=("w",))
    house.store_away()
    house.kill("b" if leader != "b" else "c")
    house.run(3 * LEASE)
    wall = WallMs(2_000_000_000_000)
    seen = {
        view.node: view for view in other_members(house.core(leader), peers(house, leader), Instant(house.now), wall)
    }
    dead = "b" if leader != "b" else "c"
    assert seen[dead].status is MemberStatus.UNKNOWN
    alive = [view for name, view in seen.items() if name != dead]
    assert {view.status for view in alive} == {MemberStatus.HEALTHY}
    assert all(view.heartbeat_age_ms == 100 for view in alive)
    assert seen["w"].role is Role.WITNESS
    assert all(not view.redis_connected for view in alive)


def test_a_living_member_whose_heartbeats_are_lost_in_the_store_is_still_shown_with_redis() -> None:
    house, leader = seated("a", "b", "c", policy=MAJORITY)
    hidden = others(house, leader)[0]
    core, now = house.core(leader), Instant(house.now)
    for _ in range(20):  # the store answers, and shows nobody
        now = Instant(now + TIMING.heartbeat_us)
        core.detector.observed((), now, WallMs(1))

    def shown(*, on_link: bool, keys_vanish: bool) -> tuple[MemberStatus, bool | UnsetType]:
        states = peers(house, leader)
        if not on_link:
            states[hidden] = PeerState("", False, "refused", None, None)
        views = other_members(core, states, now, WallMs(1), keys_vanish=keys_vanish)
        return next((view.status, view.redis_connected) for view in views if view.node == hidden)

    assert shown(on_link=True, keys_vanish=True) == (MemberStatus.HEALTHY, True)
    assert shown(on_link=True, keys_vanish=False) == (MemberStatus.HEALTHY, False), "it alone does not reach the store"
    assert shown(on_link=False, keys_vanish=True) == (MemberStatus.UNREACHABLE, False)
    now = Instant(now + 10 * TIMING.heartbeat_us)  # nor does this node read the store now
    assert shown(on_link=True, keys_vanish=True) == (MemberStatus.HEALTHY, False)


async def test_a_member_in_maintenance_is_shown_as_such_and_a_dead_one_as_dead() -> None:
    house, leader = seated("a", "b", "c")
    aside = others(house, leader)[0]
    await house.administration(aside).set_maintenance(True, "eve")
    house.run(LEASE)

    def status() -> MemberStatus:
        views = other_members(house.core(leader), peers(house, leader), Instant(house.now), WallMs(1))
        return next(view.status for view in views if view.node == aside)

    assert status() is MemberStatus.MAINTENANCE
    house.kill(aside)
    house.run(3 * LEASE)
    assert status() is MemberStatus.UNREACHABLE


def test_a_member_that_was_stopped_on_purpose_is_not_listed_and_its_vote_is_missed() -> None:
    house, leader = seated("a", "b", "c")
    gone = others(house, leader)[0]
    house.kill(gone)
    house.registered.discard(gone)
    house.core(leader).detector.keep(house.registered)
    house.run(2 * LEASE)
    house.core(leader).detector.keep(house.registered)
    seen = other_members(house.core(leader), peers(house, leader), Instant(house.now), WallMs(1))
    assert gone not in {view.node for view in seen}
    assert not next(line for line in votes(house, leader).ledger if line.voter == gone).is_counted
    house.store_away()
    house.run(2 * LEASE)
    blind = other_members(house.core(leader), peers(house, leader), Instant(house.now), WallMs(1))
    assert {view.node: view.status for view in blind}[gone] is MemberStatus.UNKNOWN


async def test_a_member_that_is_connected_and_answers_no_ballot_is_named() -> None:
    """Its disk takes nothing: it renews what it has promised, and can promise nothing else."""
    house, leader = seated("a", "b", "w", policy=MAJORITY, witnesses=("w",), store=False)
    (alive,) = {"a", "b"} - {leader}
    house.full.add("w")
    house.kill(leader)
    house.run(5 * LEASE)
    assert house.leader is None
    seen = votes(house, alive)
    (line,) = [line for line in seen.ledger if line.voter == "w"]
    assert (line.is_reached, line.is_counted) == (True, False)
    assert "answers no ballot" in line.reason
    assert "w: it is connected and answers no ballot" in why(house, alive)
    house.full.clear()
    house.run(3 * LEASE)
    assert house.leader == alive
    assert all(line.voter == leader or not line.reason for line in votes(house, alive).ledger)


def test_a_node_that_follows_does_not_go_on_calling_a_member_a_stranger() -> None:
    house, leader = seated("a", "b", "c")
    me, other = others(house, leader)
    house.seats[me].state.peers.strangers |= {other}
    (line,) = [line for line in votes(house, me).ledger if line.voter == other]
    assert (line.is_counted, line.reason) == (True, "")


def test_a_node_that_is_not_let_in_says_so_instead_of_an_election_that_it_takes_no_part_in() -> None:
    house, leader = seated("a", "b", "c")
    (me, _) = others(house, leader)
    house.kill(leader)
    house.run(LEASE)
    core = house.core(me)
    core.admission.standing = AdmissionState.PROBATION
    house.seats[me].state.standing.electable = False
    assert "this node is not let in yet" in why(house, me)
