"""Admission: names and licence seats, told as stories of two processes."""

import pytest

from rppam.cluster.consensus.admission import ALTERNATIONS, LINK_WORD_US, Admission, AdmissionState, Right
from tests.cluster.consensus.beats import TIMING, at, heartbeat


def _admission(boot_id: str = "b" * 16, seats_allowed: int = 10) -> Admission:
    def seat_check(others: int) -> str | None:
        return None if others + 1 <= seats_allowed else f"only {seats_allowed} seats"

    return Admission("node1", boot_id, TIMING, seat_check)


def test_with_nobody_under_its_name_a_node_publishes_at_once_and_is_admitted_after_its_probation() -> None:
    admission = _admission()
    admission.observed(None, (), at(0))
    assert admission.standing is AdmissionState.PROBATION
    for i in range(1, 4):
        admission.observed(heartbeat("node1", i, "b" * 16), (), at(i))
        assert admission.standing is AdmissionState.PROBATION
    admission.observed(heartbeat("node1", 4, "b" * 16), (), at(4))
    assert admission.standing is AdmissionState.ADMITTED


def test_a_live_namesake_is_found_without_publishing_anything() -> None:
    admission = _admission()
    admission.observed(heartbeat("node1", 5), (("node1", heartbeat("node1", 5)),), at(0))
    assert admission.standing is AdmissionState.WATCHING
    assert not admission.standing.publishes
    for i in range(1, ALTERNATIONS + 1):
        assert not admission.standing.publishes
        admission.observed(heartbeat("node1", 5 + i), (("node1", heartbeat("node1", 5 + i)),), at(i))
    assert admission.standing is AdmissionState.NAME_TAKEN
    assert "'node1'" in admission.reason
    assert "node1.local" in admission.reason


def test_a_node_killed_and_restarted_at_once_is_not_its_own_namesake() -> None:
    admission = _admission()
    for i in range(8):
        before = heartbeat("node1", 5) if i < 5 else heartbeat("node1", i, "b" * 16)
        admission.observed(before, (("node1", before),), at(i))
    assert admission.standing is AdmissionState.PROBATION


def test_a_former_life_s_last_heartbeat_may_arrive_late() -> None:
    """Cut off, killed, started again: what the kernel still had to send comes when the network is whole again."""
    for late_at in range(1, 9):
        admission = _admission()
        for i in range(16):
            own = heartbeat("node1", i, "b" * 16) if admission.standing.publishes else heartbeat("node1", 5)
            if not admission.standing.publishes and i > late_at:
                own = heartbeat("node1", 6)
            before = heartbeat("node1", 6) if i == late_at else own
            admission.observed(before, (("node1", before),), at(i))
        assert admission.standing is AdmissionState.ADMITTED, f"late by {late_at}: {admission.reason}"


def test_of_two_that_start_together_exactly_one_gives_way() -> None:
    low, high = _admission("1" * 16), _admission("2" * 16)
    low.observed(None, (), at(0))
    high.observed(None, (), at(0))
    for i in range(1, 5):
        low.observed(heartbeat("node1", i, "2" * 16, admitted=False), (), at(i))
        high.observed(heartbeat("node1", i, "1" * 16, admitted=False), (), at(i))
    assert high.standing is AdmissionState.NAME_TAKEN
    assert low.standing is AdmissionState.ADMITTED


def test_an_admitted_node_does_not_give_way_to_a_newcomer() -> None:
    admission = _admission("f" * 16)
    admission.observed(None, (), at(0))
    admission.observed(None, (), at(5))
    assert admission.standing is AdmissionState.ADMITTED
    for i in range(6, 12):
        admission.observed(heartbeat("node1", i, "0" * 16, admitted=False), (), at(i))
    assert admission.standing is AdmissionState.ADMITTED


def test_a_second_node_without_a_seat_is_refused() -> None:
    admission = _admission(seats_allowed=1)
    admission.observed(None, (("node2", heartbeat("node2", 1)),), at(0))
    assert admission.standing is AdmissionState.NO_SEAT
    assert admission.reason == "only 1 seats"


def test_of_two_newcomers_and_one_seat_exactly_one_stays() -> None:
    low, high = _admission("1" * 16, 1), _admission("2" * 16, 1)
    for i in range(6):
        low.observed(None, (("node2", heartbeat("node2", i, "2" * 16, admitted=False)),), at(i))
        if high.standing is not AdmissionState.NO_SEAT:
            high.observed(None, (("node2", heartbeat("node2", i, "1" * 16, admitted=False)),), at(i))
    assert low.standing is AdmissionState.ADMITTED
    assert high.standing is AdmissionState.NO_SEAT


def test_a_registered_member_comes_back_whatever_the_licence_says() -> None:
    admission = _admission(seats_allowed=0)
    members = (("node1", None), ("node2", heartbeat("node2", 1)))
    for i in range(6):
        admission.observed(None, members, at(i))
    assert admission.standing is AdmissionState.ADMITTED


def test_a_witness_takes_no_seat() -> None:
    admission = _admission(seats_allowed=1)
    admission.observed(None, (("w", heartbeat("w", 1, seats=0)),), at(0))
    assert admission.standing is AdmissionState.PROBATION


def test_who_left_has_given_its_seat_back_although_its_goodbye_is_still_shown() -> None:
    asked: list[int] = []

    def full(others: int) -> str:
        asked.append(others)
        return "no seat"

    admission = Admission("node1", "a" * 16, TIMING, full)
    goodbye = heartbeat("node1", 9, "b" * 16, leaving=True)
    admission.observed(goodbye, (("node1", goodbye), ("node2", heartbeat("node2", 1))), at(0))
    assert (admission.standing, asked) == (AdmissionState.NO_SEAT, [1])


LEADER, NAMESAKE = "f" * 16, "0" * 16


def _admitted(boot_id: str) -> Admission:
    admission = _admission(boot_id)
    admission.observed(None, (), at(0))
    admission.observed(None, (), at(5))
    assert admission.standing is AdmissionState.ADMITTED
    return admission


def test_who_takes_part_is_not_ended_by_what_the_store_shows() -> None:
    """Also of two that were let in while the other was cut off: boot ids keep them apart, and health tells of it."""
    leader, namesake = _admitted(LEADER), _admitted(NAMESAKE)
    for i in range(6, 40):
        leader.observed(heartbeat("node1", i, NAMESAKE), (), at(i), right=Right(LEADER))
        namesake.observed(heartbeat("node1", i, LEADER), (), at(i), right=Right(LEADER))
    assert (leader.standing, namesake.standing) == (AdmissionState.ADMITTED, AdmissionState.ADMITTED)


def test_late_words_of_two_former_lives_far_apart_are_no_namesake() -> None:
    admission = _admitted(LEADER)
    admission.observed(heartbeat("node1", 90, NAMESAKE), (), at(6))
    for i in range(7, 20):
        admission.observed(heartbeat("node1", i, LEADER), (), at(i))
    admission.observed(heartbeat("node1", 91, NAMESAKE), (), at(20))
    assert admission.standing is AdmissionState.ADMITTED


def _expired(node: str = "node1", boot_id: str = "a" * 16) -> Admission:
    """Under a licence that lets nobody new in."""
    return Admission(node, boot_id, TIMING, lambda _others: "the licence has expired")


def test_a_member_by_its_own_list_has_its_seat_also_when_the_store_came_back_empty() -> None:
    member, stranger = _expired(), _expired("node9")
    others = (("node2", heartbeat("node2", 1)),)
    for i in range(6):
        member.observed(None, others, at(i), Right(is_member=True))
        stranger.observed(None, others, at(i), Right(joins=True))
    assert (member.standing, stranger.standing) == (AdmissionState.ADMITTED, AdmissionState.NO_SEAT)


def test_who_leads_without_having_been_admitted_gives_no_namesake_its_name() -> None:
    leader = _admission(LEADER)
    for i in range(8):
        leader.observed(heartbeat("node1", i, NAMESAKE, admitted=False), (), at(i), Right(LEADER, is_member=True))
    assert leader.standing is AdmissionState.ADMITTED


def test_of_one_name_the_member_stays_and_the_one_that_belongs_to_no_cluster_goes() -> None:
    member, second = _admitted(LEADER), _admitted(NAMESAKE)
    for i in range(6, 12):
        member.observed(heartbeat("node1", i, NAMESAKE, joins=True), (), at(i), Right(is_member=True))
        second.observed(heartbeat("node1", i, LEADER), (), at(i), Right(joins=True))
    assert (member.standing, second.standing) == (AdmissionState.ADMITTED, AdmissionState.NAME_TAKEN)
    waiting = _admission(LEADER)
    for i in range(8):
        waiting.observed(heartbeat("node1", i, NAMESAKE, joins=True), (), at(i), Right(is_member=True))
    assert waiting.standing is AdmissionState.ADMITTED


MET = "members refuse this process: another of its name is connected to them"


@pytest.mark.parametrize("right", [Right(is_member=True), Right("0" * 16, is_member=True)], ids=["bare", "record"])
@pytest.mark.parametrize("admitted", [True, False])
def test_a_member_never_gives_way_to_a_namesake_that_only_the_store_shows(right: Right, *, admitted: bool) -> None:
    working, starting = _admitted("f" * 16), _admission("f" * 16)
    for i in range(6, 60):
        for member in (working, starting):
            member.observed(heartbeat("node1", i, NAMESAKE, admitted=admitted), (), at(i), right)
    assert (working.standing, starting.standing) == (AdmissionState.ADMITTED, AdmissionState.ADMITTED)


def test_a_member_that_starts_waits_for_the_word_of_the_link_and_gives_way_to_that() -> None:
    member = _admission("f" * 16)
    for i in range(4):
        member.observed(heartbeat("node1", i, NAMESAKE), (), at(i), Right(is_member=True))
        assert member.standing is AdmissionState.WATCHING, "it publishes nothing, and does not stand"
    member.observed(heartbeat("node1", 4, NAMESAKE), (), at(4), Right(is_member=True, displaced=MET))
    assert (member.standing, member.reason) == (AdmissionState.NAME_TAKEN, MET)


def test_a_leader_does_not_give_way_to_what_the_link_says() -> None:
    leader = _admitted(LEADER)
    leader.observed(None, (), at(6), Right(LEADER, is_member=True, displaced=MET))
    assert leader.standing is AdmissionState.ADMITTED


def test_lives_that_the_own_data_directory_remembers_are_no_namesakes() -> None:
    former = "a" * 16
    admission = Admission("node1", "b" * 16, TIMING, lambda _: None, lambda beat: beat.boot_id == former)
    for i in range(20):
        admission.observed(heartbeat("node1", i, former), (), at(i))
    assert admission.standing is AdmissionState.ADMITTED


def test_two_late_heartbeats_of_a_former_life_end_nothing() -> None:
    admission = _admission()
    shown = [5, 6, 7, *[7] * 20]
    for i, beat in enumerate(shown):
        own = heartbeat("node1", i, "b" * 16) if admission.standing.publishes else heartbeat("node1", beat)
        admission.observed(own, (), at(i))
    assert admission.standing is AdmissionState.ADMITTED


def test_beats_that_go_back_and_forth_are_no_life() -> None:
    """Somebody puts back, again and again, what a node wrote before."""
    admission = _admission()
    for i in range(30):
        own = heartbeat("node1", i, "b" * 16) if admission.standing.publishes else heartbeat("node1", 5 + i % 2)
        admission.observed(own, (), at(i))
    assert admission.standing is AdmissionState.ADMITTED


def test_forged_heartbeats_do_not_keep_a_member_from_taking_part() -> None:
    member = _admission("f" * 16)
    beats = LINK_WORD_US // TIMING.heartbeat_us + 10
    for i in range(beats):
        member.observed(heartbeat("node1", i, NAMESAKE), (), at(i), Right(is_member=True))
    assert member.standing is AdmissionState.ADMITTED
