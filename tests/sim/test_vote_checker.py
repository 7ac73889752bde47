"""When two lists of members can elect a leader each: the judge tries all groups."""

import pytest

from rppam.cluster.consensus.membership import QuorumPolicy, VoterSet, founding
from rppam.cluster.consensus.promises import STORE
from rppam_sim.vote_checker import disjoint

pytestmark = [pytest.mark.integration, pytest.mark.beside]

LINEAGE = "ab" * 8
LAST, MAJORITY = QuorumPolicy.LAST_MAN_STANDING, QuorumPolicy.MAJORITY
THREE = founding(LINEAGE, VoterSet.of(("a", "b", "c"), MAJORITY))
FOUR = founding(LINEAGE, VoterSet.of(("a", "b", "c", "d"), MAJORITY))


def test_one_list_never_elects_two() -> None:
    for policy in (LAST, MAJORITY):
        for names in ("ab", "abc", "abcd", "abcde"):
            membership = founding(LINEAGE, VoterSet.of(tuple(names), policy))
            everybody = frozenset({*names, STORE})
            assert disjoint(membership, everybody, membership, everybody) is None


def test_a_list_that_grew_shares_a_voter_only_while_the_old_votes_are_needed_too() -> None:
    old, new = frozenset({"a", "b", "c", STORE}), frozenset({"a", "b", "c", "d", STORE})
    assert disjoint(THREE, old, FOUR, new) == ("a", "b"), "the others and the store are three of the five votes"
    assert disjoint(THREE, old, FOUR._replace(old=THREE.body), new) is None


def test_voters_that_have_the_newer_list_do_not_help_the_older() -> None:
    five = founding(LINEAGE, VoterSet.of(("a", "b", "c", "d", "e"), MAJORITY))
    assert disjoint(THREE, frozenset({"c", STORE}), five, frozenset("abcde")) is None


def test_a_dead_member_and_the_store_are_a_majority_for_the_last_man_standing() -> None:
    three = founding(LINEAGE, VoterSet.of(("a", "b", "c"), LAST))
    two = founding(LINEAGE, VoterSet.of(("a", "b"), LAST))
    apart = disjoint(three, frozenset({"c", STORE}), two, frozenset({"a", "b", STORE}))
    assert apart is not None
    assert set(apart) == {"c", STORE}
