"""Every message survives the way there, and no other bytes are taken for one."""

import json

import pytest
from hypothesis import example, given, strategies as st

from rppam.cluster.consensus.membership import MEMBERS_MAX, Membership, QuorumPolicy, Version, VoterSet
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
    ANSWER_CHARS_MAX,
    INSTANT_MAX,
    NUMBER_MAX,
    ORDER_CHARS_MAX,
    PROTOCOL,
    CheckpointAnswer,
    CheckpointOffer,
    Greeting,
    Message,
    No,
    Order,
    OrderAnswer,
    OrderOpen,
    OrderRefusal,
    OrderRefused,
    OrderTicket,
    OtherVersion,
    Ping,
    Pong,
    Purpose,
    Unknown,
    decode,
    decode_greeting,
    encode,
    encode_greeting,
    encode_no,
    sayable_url,
)
from rppam.kernel.instant import Instant
from rppam.kernel.secret import Secret

names = st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
hex16 = st.from_regex(r"[0-9a-f]{16}", fullmatch=True)
numbers = st.integers(0, NUMBER_MAX)
instants = st.integers(0, INSTANT_MAX).map(Instant)
claims = st.builds(Candidacy, names, hex16, numbers)
versions = st.builds(Version, numbers, numbers)


@st.composite
def bodies(draw: st.DrawFn) -> VoterSet:
    members = draw(st.sets(names, min_size=1, max_size=8))
    witnesses = draw(st.sets(st.sampled_from(sorted(members)), max_size=len(members) - 1))
    return VoterSet.of(members, draw(st.sampled_from(QuorumPolicy)), tuple(witnesses))


tags = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
electorates = st.builds(Membership, hex16, versions, bodies(), st.none() | bodies(), st.just("") | tags)
vote_requests = st.builds(VoteRequest, st.sampled_from(VoteRequestKind), numbers, claims, electorates, instants)
votes = st.builds(
    Vote, st.sampled_from(VoteRequestKind), names, hex16, numbers, numbers, st.booleans(), st.sampled_from(Refusal),
    numbers, versions, st.none() | electorates, st.just("") | names, instants, st.sampled_from(Readiness),
).map(lambda vote: vote._replace(refusal=Refusal.NONE) if vote.is_granted else vote)  # fmt: skip
jsons = st.dictionaries(st.text(max_size=8), st.none() | st.text(max_size=30), max_size=4).map(json.dumps)
texts = st.text(max_size=80)
messages = st.one_of(
    vote_requests, votes, st.builds(Freeing, claims), st.builds(Invitation, claims), st.builds(Ping, numbers),
    st.builds(Pong, numbers), st.builds(OrderOpen, hex16), st.builds(OrderTicket, hex16, hex16),
    st.builds(Order, hex16, hex16, tags, jsons), st.builds(OrderAnswer, hex16, tags, jsons),
    st.builds(OrderRefused, hex16, st.sampled_from(OrderRefusal)),
    st.builds(CheckpointOffer, hex16, texts, texts, numbers, st.lists(tags, max_size=4).map(tuple)),
    st.builds(CheckpointAnswer, hex16, numbers, texts, texts, texts, hex16, texts, hex16, numbers),
)  # fmt: skip
greetings = st.builds(
    Greeting, st.sampled_from(Purpose), names, names, hex16, hex16,
    st.sampled_from(["", "10.0.0.1:5201", "[fe80::1%eth0]:5201", "node1.example.com:1"]),
    st.sampled_from(["", "http://10.0.0.1:7101", "https://[fe80::1]:7101", "https://node1.example.com:443/"]),
)  # fmt: skip


@given(messages)
def test_a_message_comes_out_as_it_went_in(message: Message) -> None:
    assert decode(encode(message)) == message


@given(greetings)
def test_a_greeting_comes_out_as_it_went_in(greeting: Greeting) -> None:
    assert decode_greeting(encode_greeting(greeting)) == greeting


@given(messages, st.data())
def test_a_message_with_a_byte_changed_is_another_sound_message_or_none(message: Message, data: st.DataObject) -> None:
    said = encode(message)
    place = data.draw(st.integers(0, len(said)))
    read = decode(said[:place] + data.draw(st.binary(max_size=2)) + said[place + 1 :])
    assert read is None or isinstance(read, Unknown) or decode(encode(read)) == read


@given(st.binary() | st.text().map(str.encode) | st.recursive(st.none(), st.lists).map(json.dumps).map(str.encode))
@example(b'{"type":"vote"}')
@example(b'{"type":"ping","number":01}')
@example(b'{"type":"ping","number":1.0}')
@example(b'{"type":"ping","number":true}')
@example(b'{"type":"pong","number":"1"}')
@example(b'{"type":"ping","number":1}\xff')
@example(b'{"type":"ping","x":' + b"[" * 60_000)
@example(b"[" * 60_000)
@example(b'{"type":"freeing","candidate":"node1","boot_id":"9f0c1d2e3a4b5c6d","epoch":1000000000000000}')
def test_any_other_bytes_are_none_and_never_an_error(data: bytes) -> None:
    assert decode(data) is None
    assert decode_greeting(data) is None
    assert decode_greeting(b"rppam-member %d " % PROTOCOL + data) is None


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "ä", "a" * 64, "a b", "(store)", "a\n"])
def test_a_name_that_no_node_can_have_is_not_read(name: str) -> None:
    assert decode(encode(Freeing(Candidacy(name, "9f0c1d2e3a4b5c6d", 5)))) is None


def test_a_granted_vote_with_a_reason_for_refusal_is_nonsense() -> None:
    vote = Vote(
        VoteRequestKind.RENEW, "node2", "41aa0b2c3d4e5f60", 17, 5, True, Refusal.NONE, 5, Version(0, 1), None, "node1",
        Instant(99), Readiness.READY,
    )  # fmt: skip
    assert decode(encode(vote)) == vote
    assert decode(encode(vote._replace(refusal=Refusal.PROMISED))) is None
    assert decode(encode(vote).replace(b'"none"', b'"mood"')) is None


def test_the_largest_electorate_in_change_fits_into_a_frame() -> None:
    every = tuple(f"{number:03d}" + "x" * 60 for number in range(MEMBERS_MAX))
    body = VoterSet.of(every, QuorumPolicy.LAST_MAN_STANDING, every[1:])
    largest = Membership("f" * 16, Version(NUMBER_MAX, NUMBER_MAX), body, body)
    candidacy = Candidacy(every[0], "f" * 16, NUMBER_MAX)
    vote_request = VoteRequest(VoteRequestKind.PROBE, NUMBER_MAX, candidacy, largest, Instant(INSTANT_MAX))
    assert len(encode(vote_request)) < 20_500
    assert decode(encode(vote_request)) == vote_request


def test_another_version_is_told_from_nonsense() -> None:
    assert decode_greeting(b"rppam-member %d something quite new" % (PROTOCOL + 1)) == OtherVersion(PROTOCOL + 1)
    assert decode_greeting(b"rppam-member 0") == OtherVersion(0)
    before = b"rppam-member 3 link cluster-001 node1 9f0c1d2e3a4b5c6d 5b1e90aa5b1e90aa 10.0.0.1:5201 -"
    assert decode_greeting(before) == OtherVersion(3)
    assert decode_greeting(b"rppam-member %d something quite new" % PROTOCOL) is None
    assert decode_greeting(b"GET / HTTP/1.1\r\n") is None
    assert decode_greeting(encode_no(No("version", 7))) == No("version", 7)


def test_no_message_has_a_field_for_a_secret() -> None:
    for kind in (VoteRequest, Vote, Freeing, Invitation, Greeting):
        assert Secret not in kind.__annotations__.values()


@pytest.mark.parametrize(
    "url", ["ftp://a:1", "http://", "http://a b:1", "http://a:1/x", "javascript:1", "http://a@b:1"]
)
def test_an_address_that_a_greeting_cannot_carry_is_not_said(url: str) -> None:
    assert sayable_url(url) == ""
    assert decode_greeting(encode_greeting(Greeting(Purpose.LINK, "c", "n", "0" * 16, "0" * 16, "", url))) is None


def test_an_order_and_its_answer_have_a_greatest_length() -> None:
    number, tag = "0" * 16, "a" * 64
    for most, made in (
        (ORDER_CHARS_MAX, lambda body: Order(number, number, tag, body)),
        (ANSWER_CHARS_MAX, lambda body: OrderAnswer(number, tag, body)),
    ):
        fits = made("{" + "x" * (most - 1))
        assert decode(encode(fits)) == fits
        assert decode(encode(made("{" + "x" * most))) is None
