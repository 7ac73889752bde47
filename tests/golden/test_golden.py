"""The bytes of each format as they are now: a change of them without a new version breaks nodes of two releases.

A new field is added to the files here; a changed line of a version that was released is a mistake.
"""

from pathlib import Path

import pytest

from rppam.cluster.consensus.heartbeat import Heartbeat, Role
from rppam.cluster.consensus.membership import QuorumPolicy, Version, VoterSet, founding
from rppam.cluster.consensus.messages import (
    Candidacy,
    Freeing,
    Invitation,
    Readiness,
    Refusal,
    Vote,
    VoteRequest,
    VoteRequestKind,
)
from rppam.cluster.link.codec import (
    CheckpointAnswer,
    CheckpointOffer,
    Greeting,
    No,
    Order,
    OrderAnswer,
    OrderOpen,
    OrderRefusal,
    OrderRefused,
    OrderTicket,
    Ping,
    Pong,
    Purpose,
    decode,
    decode_greeting,
    encode,
    encode_greeting,
    encode_no,
)
from rppam.cluster.store.heartbeat_text import heartbeat_from_text, heartbeat_to_text
from rppam.crypto.store_mac import StoreMac
from rppam.kernel.instant import Instant
from rppam.kernel.protocol import HEARTBEAT, MEMBER_LINK
from rppam.kernel.secret import Secret

HERE = Path(__file__).parent
LINK = HERE / f"member-link-{MEMBER_LINK.version}.txt"
BEATS = HERE / f"heartbeat-{HEARTBEAT.version}.txt"

ONE, TWO = "9f0c1d2e3a4b5c6d", "41aa0b2c3d4e5f60"
CLAIM = Candidacy("node1", ONE, 1_795_478_400_123)
BODY = VoterSet.of(("node1", "node2", "witness1"), QuorumPolicy.MAJORITY, ("witness1",))
LIST = founding("0123456789abcdef", BODY)
BALLOT = VoteRequest(VoteRequestKind.RENEW, 17, CLAIM, LIST, Instant(81_650_002))
VOTE = Vote(
    VoteRequestKind.RENEW, "node2", TWO, 17, CLAIM.epoch, True, Refusal.NONE, CLAIM.epoch, Version(0, 1), None, "node1",
    Instant(99_120_001), Readiness.READY,
)  # fmt: skip
REFUSAL = VOTE._replace(is_granted=False, refusal=Refusal.OLD_ELECTORATE, membership=LIST, promised_to="")
MESSAGES = (
    BALLOT, VOTE, REFUSAL, Freeing(CLAIM), Invitation(CLAIM), Ping(5), Pong(5), OrderOpen(ONE), OrderTicket(ONE, TWO),
    Order(ONE, TWO, "0f" * 32, '{"order": "pause"}'), OrderAnswer(ONE, "0f" * 32, '{"said": "done"}'),
    OrderRefused(ONE, OrderRefusal.BUSY),
    CheckpointOffer(ONE, "rppam/cluster-001+0f0f0f0f+AQ==", "rppam/cluster-001\n9\nAA==\n\n", 5, ("0f" * 32,)),
    CheckpointAnswer(ONE, 9, "rppam/cluster-001/witness1+0f0f0f0f+BA==", "\u2014 rppam/cluster-001/witness1 AA==\n"),
    CheckpointAnswer(ONE, 9, "rppam/cluster-001/witness1+0f0f0f0f+BA==", why="its first 9 events are not those"),
    CheckpointAnswer(ONE, 9, "", "\u2014 AA==\n", "", TWO, "put back on purpose", "root", 12),
)  # fmt: skip
GREETINGS = (
    Greeting(Purpose.LINK, "cluster-001", "node1", ONE, TWO, "10.0.0.1:5201", "https://10.0.0.1:7101"),
    Greeting(Purpose.ERRAND, "cluster-001", "witness1", ONE, TWO, ""),
)
BEAT = Heartbeat(
    "node1", ONE, 5, Role.LEADER, CLAIM.epoch, "1.0.0", "höst", "https://10.0.0.1:7101", 1_795_000_000_000, 1, 200,
    member_address="10.0.0.1:5201", settings_revision=4, store_ms=1_795_000_000_001,
)  # fmt: skip
MAC, ORDERS = StoreMac("cluster-001", Secret("1" * 64)), StoreMac("cluster-001", Secret("5" * 64))


def test_the_member_link_says_what_it_said() -> None:
    said = [
        *map(encode_greeting, GREETINGS),
        encode_no(No("version", MEMBER_LINK.version)),
        *(encode(one) for one in MESSAGES),
    ]
    assert said == LINK.read_bytes().splitlines()


def test_what_the_member_link_said_is_read() -> None:
    greetings, rest = LINK.read_bytes().splitlines()[:2], LINK.read_bytes().splitlines()[3:]
    assert tuple(map(decode_greeting, greetings)) == GREETINGS
    assert tuple(map(decode, rest)) == MESSAGES


def test_a_cosignature_of_the_release_before_is_read() -> None:
    said = b'{"type":"checkpoint-answer","number":"%s","size":9,"key":"k","line":"l","why":""}' % ONE.encode()
    assert decode(said) == CheckpointAnswer(ONE, 9, "k", "l")


def test_a_heartbeat_is_what_it_was() -> None:
    texts = [heartbeat_to_text(BEAT), heartbeat_to_text(BEAT, MAC), heartbeat_to_text(BEAT, MAC, ORDERS)]
    assert texts == BEATS.read_text("utf-8").splitlines()


@pytest.mark.parametrize("version", range(HEARTBEAT.oldest, HEARTBEAT.version + 1))
def test_heartbeats_of_every_version_that_is_understood_are_read(version: int) -> None:
    plain, signed, ordering = (HERE / f"heartbeat-{version}.txt").read_bytes().splitlines()
    assert heartbeat_from_text(plain, "node1") == BEAT._replace(store_ms=0 if version == 1 else BEAT.store_ms)
    assert heartbeat_from_text(ordering, "node1", MAC, ORDERS) == BEAT
    assert heartbeat_from_text(signed, "node1", MAC) == BEAT
    assert heartbeat_from_text(signed.replace(b'"beat":5', b'"beat":6'), "node1", MAC) is None
