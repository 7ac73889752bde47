"""A node's word for a list of members: made and checked by nodes, passed on by a witness, also after a restart."""

from pathlib import Path

import pytest

from rppam.cluster.consensus.membership import VOUCHED, Membership, QuorumPolicy, Version, VoterSet
from rppam.cluster.consensus.messages import Candidacy, VoteRequest, VoteRequestKind
from rppam.cluster.driver.vouching import NodeVouching, WitnessVouching
from rppam.cluster.link.codec import decode, encode
from rppam.cluster.store.hint_files import VouchNote
from rppam.crypto.store_mac import StoreMac
from rppam.kernel.instant import Instant
from rppam.kernel.secret import Secret

OF_NODES, ANOTHER = Secret("5e" * 32), Secret("ab" * 32)
BODY = VoterSet.of(("node1", "node2", "witness1"), QuorumPolicy.MAJORITY, ("witness1",))
MEMBERS = Membership("ab" * 8, Version(9, 2), BODY)


def over_the_link(membership: Membership) -> Membership:
    """As it comes out on the other side."""
    asked = VoteRequest(VoteRequestKind.PROBE, 1, Candidacy("node1", "a" * 16, 9), membership, Instant(5))
    heard = decode(encode(asked))
    assert isinstance(heard, VoteRequest)
    return heard.membership


def node(key: Secret = OF_NODES, *also: Secret) -> NodeVouching:
    return NodeVouching(StoreMac("cluster", key, also))


async def test_a_witness_passes_on_what_it_can_neither_make_nor_read(tmp_path: Path) -> None:
    note = VouchNote(tmp_path / "vouch.json")
    witness = WitnessVouching(note)
    assert over_the_link(witness.sent(MEMBERS)).vouch == "", "nobody has vouched for it"
    got = witness.heard(over_the_link(node().sent(MEMBERS)))
    assert got.vouch not in {"", VOUCHED}
    await witness.keep(got)
    assert node().heard(over_the_link(witness.sent(got))).vouch == VOUCHED
    # the file of promises has the list alone; the next process finds the word beside it
    again = WitnessVouching(VouchNote(tmp_path / "vouch.json"))
    assert node().heard(over_the_link(again.sent(MEMBERS))).vouch == VOUCHED
    other = MEMBERS._replace(version=Version(9, 3))
    assert over_the_link(again.sent(other)).vouch == "", "it was for another list"


@pytest.mark.parametrize("what", ["list", "key", "cluster", "word"])
def test_a_word_for_something_else_is_none(what: str) -> None:
    said = over_the_link(node().sent(MEMBERS))
    by = {"key": node(ANOTHER), "cluster": NodeVouching(StoreMac("other", OF_NODES))}.get(what, node())
    if what == "list":
        said = said._replace(body=VoterSet.of(("node2", "witness1"), QuorumPolicy.MAJORITY, ("witness1",)))
    if what == "word":
        said = said._replace(vouch=said.vouch[::-1])
    assert by.heard(said).vouch == ""


def test_a_word_by_the_key_of_before_counts_while_that_key_does() -> None:
    assert node(ANOTHER, OF_NODES).heard(node().sent(MEMBERS)).vouch == VOUCHED


def test_what_was_said_and_believed_ends_with_the_key() -> None:
    mac = StoreMac("cluster", OF_NODES)
    one = NodeVouching(mac)
    said = one.sent(MEMBERS)
    assert one.sent(MEMBERS) is said, "made once"
    assert one.heard(said).vouch == VOUCHED
    assert one.heard(said) is one.heard(said)
    mac.use(ANOTHER)
    assert one.heard(said).vouch == ""
    assert node(ANOTHER).heard(one.sent(MEMBERS)).vouch == VOUCHED


def test_nobody_says_over_the_link_that_something_was_checked() -> None:
    assert over_the_link(MEMBERS._replace(vouch=VOUCHED)).vouch == ""


@pytest.mark.parametrize("text", ["", "[]", '{"members": 5, "vouch": "00"}', '{"members": "x", "vouch": "zz"}', "\x00"])
def test_a_note_that_cannot_be_understood_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "vouch.json").write_text(text)
    assert WitnessVouching(VouchNote(tmp_path / "vouch.json")).sent(MEMBERS) == MEMBERS


async def test_a_disk_that_takes_no_note_costs_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    witness = WitnessVouching(VouchNote(tmp_path / "gone" / "vouch.json"))
    got = node().sent(MEMBERS)
    await witness.keep(got)
    assert "word for the list of members" in caplog.text
    assert witness.sent(got) == got
