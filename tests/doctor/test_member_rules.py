"""What is said about a member's vote, from made-up facts."""

from dataclasses import replace

import pytest

from rppam.cluster.consensus.heartbeat import Heartbeat, Role
from rppam.cluster.consensus.membership import Membership, QuorumPolicy, Version, VoterSet, founding
from rppam.doctor.member_rules import (
    GroundFacts,
    MemberProbe,
    ProbeOutcome,
    Shown,
    VoteFacts,
    ground_findings,
    probe_finding,
    vote_findings,
)
from rppam.kernel.finding import Finding, Severity

LAST, MAJORITY = QuorumPolicy.LAST_MAN_STANDING, QuorumPolicy.MAJORITY
THREE = founding("0123456789abcdef", VoterSet.of(("node1", "node2", "node3"), MAJORITY))


def shown(
    name: str, *, is_fresh: bool = True, joins: bool = False, address: str = "10.0.0.1:5201", leaving: bool = False
) -> Shown:
    beat = Heartbeat(
        name, "0" * 16, 1, Role.STANDBY, 1, "1", f"host-of-{name}", "", 0, 0, 0,
        joins=joins, member_address=address, leaving=leaving,
    )  # fmt: skip
    return Shown(beat, is_fresh)


def others(*entries: Shown) -> dict[str, Shown]:
    return {entry.heartbeat.node: entry for entry in entries}


GOOD = VoteFacts(
    node="node1", runs=True, membership=THREE, policy=MAJORITY, is_policy_given=True, is_behind_sentinel=False,
    others=others(shown("node2"), shown("node3")),
)  # fmt: skip


def by_code(facts: VoteFacts) -> dict[str, Finding]:
    return {one.code: one for one in vote_findings(facts)}


def test_a_member_among_its_own_has_nothing_said_about_it() -> None:
    assert by_code(GOOD) == {}
    assert by_code(replace(GOOD, others=None)) == {}, "what could not be seen is no finding"


def test_a_newcomer_is_told_who_can_take_it_in_and_a_founder_how_to_found() -> None:
    newcomer = replace(GOOD, membership=None)
    waiting = by_code(newcomer)["RD-902"]
    assert (waiting.severity, "node2, node3 can take it in" in waiting.evidence) == (Severity.WARNING, True)
    assert by_code(replace(newcomer, runs=False))["RD-902"].severity is Severity.NOTE
    alone = by_code(replace(newcomer, others=others(shown("node2", joins=True))))["RD-902"]
    assert (alone.severity, "cluster found" in alone.fix) == (Severity.ERROR, True)
    witness = by_code(replace(newcomer, is_witness=True))["RD-902"]
    assert witness.what.startswith("This witness")


def test_who_was_taken_off_the_list_is_told_so() -> None:
    body = VoterSet.of(("node2", "node3"), MAJORITY)
    gone = by_code(replace(GOOD, membership=THREE._replace(version=Version(7, 2), body=body)))["RD-902"]
    assert "node2, node3, version 7.2, and not 'node1'" in gone.evidence


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (shown("node4"), "node4 belongs to a cluster and is not on it"),
        (shown("node2", joins=True), "node2 is on it and says that it belongs to no cluster"),
    ],
)
def test_lists_that_differ(other: Shown, words: str) -> None:
    facts = replace(GOOD, others={**others(shown("node2"), shown("node3")), **others(other)})
    told = by_code(facts)["RD-903"]
    assert words in told.evidence
    assert told.severity is Severity.WARNING
    assert by_code(replace(facts, runs=False))["RD-903"].severity is Severity.NOTE, "it catches up when it starts"


@pytest.mark.parametrize(
    "other", [shown("node4", is_fresh=False), shown("node4", leaving=True), shown("node4", joins=True)]
)
def test_who_is_gone_going_or_coming_makes_no_other_list(other: Shown) -> None:
    assert by_code(replace(GOOD, others={**others(shown("node2"), shown("node3")), **others(other)})) == {}


def test_who_does_not_vote_and_who_is_not_seen() -> None:
    facts = replace(GOOD, others=others(shown("node2", address="")))
    told = by_code(facts)
    assert "node2 on host host-of-node2" in told["RD-906"].evidence
    assert told["RD-907"].evidence == "no heartbeat in Redis of node3"
    assert "RD-907" not in by_code(replace(facts, probed=frozenset({"node3"}))), "what comes of asking it says more"


def test_a_pending_change_is_shown_as_one() -> None:
    pending = Membership(THREE.lineage, Version(5, 1), VoterSet.of(("node1", "node2"), MAJORITY), THREE.body)
    told = by_code(replace(GOOD, membership=pending, others=others(shown("node2"), shown("node3"), shown("node4"))))
    assert "node1, node2, node3 (becoming node1, node2)" in told["RD-903"].evidence


def test_a_default_policy_that_differs_is_told_as_a_default() -> None:
    told = by_code(replace(GOOD, policy=LAST, is_policy_given=False))["RD-934"]
    assert "is not set, which means last-man-standing here; the members' list on disk says majority" in told.evidence


def test_each_outcome_of_a_knock_but_an_answer_has_a_code_of_its_own() -> None:
    codes = []
    for outcome in ProbeOutcome:
        found = probe_finding(MemberProbe("node2", "h:1", outcome, "words"), is_fresh=True)
        if outcome is ProbeOutcome.ANSWERED:
            assert found is None
            continue
        assert found is not None
        assert (found.severity, found.evidence) == (Severity.ERROR, "node2 at h:1: words")
        codes.append(found.code)
    assert len(set(codes)) == len(ProbeOutcome) - 1


def test_a_silent_member_with_an_old_heartbeat_is_a_warning_and_a_wrong_key_is_an_error_all_the_same() -> None:
    down = probe_finding(MemberProbe("node2", "h:1", ProbeOutcome.SILENT, "no answer"), is_fresh=False)
    assert down is not None
    assert (down.severity, "may be down" in down.evidence) == (Severity.WARNING, True)
    wrong = probe_finding(MemberProbe("node2", "h:1", ProbeOutcome.OTHER_KEY, "x"), is_fresh=False)
    assert wrong is not None
    assert wrong.severity is Severity.ERROR


def test_a_clock_that_may_stop() -> None:
    (told,) = ground_findings(GroundFacts(is_boot_time=False))
    assert "no CLOCK_BOOTTIME" in told.evidence
    assert ground_findings(GroundFacts()) == []
