"""Every message survives the way there, and no other text is taken for one."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rppam.adapters.members.codec import (
    INSTANT_MAX,
    NUMBER_MAX,
    PROTOCOL,
    Greeting,
    Message,
    No,
    OtherVersion,
    Ping,
    Pong,
    Purpose,
    decode,
    decode_greeting,
    encode,
    encode_greeting,
    encode_no,
)
from rppam.domain.ballot import Ballot, BallotKind, Claim, Freeing, Invitation, Refusal, Vote
from rppam.domain.electorate import MEMBERS_MAX, Body, Electorate, QuorumPolicy, Version
from rppam.domain.instant import Instant
from rppam.domain.secret import Secret

names = st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
hex16 = st.from_regex(r"[0-9a-f]{16}", fullmatch=True)
numbers = st.integers(0, NUMBER_MAX)
instants = st.integers(0, INSTANT_MAX).map(Instant)
claims = st.builds(Claim, names, hex16, numbers)
versions = st.builds(Version, numbers, numbers)


@st.composite
def bodies(draw: st.DrawFn) -> Body:
    members = draw(st.sets(names, min_size=1, max_size=8))
    witnesses = draw(st.sets(st.sampled_from(sorted(members)), max_size=len(members) - 1))
    return Body.of(members, draw(st.sampled_from(QuorumPolicy)), tuple(witnesses))


electorates = st.builds(Electorate, hex16, versions, bodies(), st.none() | bodies())
ballots = st.builds(Ballot, st.sampled_from(BallotKind), numbers, claims, electorates, instants)
votes = st.builds(
    Vote, st.sampled_from(BallotKind), names, hex16, numbers, numbers, st.booleans(), st.sampled_from(Refusal), numbers,
    versions, st.none() | electorates, st.just("") | names, instants,
).map(lambda vote: vote._replace(refusal=Refusal.NONE) if vote.is_granted else vote)  # fmt: skip
messages = st.one_of(
    ballots, votes, st.builds(Freeing, claims), st.builds(Invitation, claims), st.builds(Ping, numbers),
    st.builds(Pong, numbers),
)  # fmt: skip
greetings = st.builds(
    Greeting, st.sampled_from(Purpose), names, names, hex16, hex16,
    st.sampled_from(["", "10.0.0.1:5201", "[fe80::1%eth0]:5201", "node1.example.com:1"]),
)  # fmt: skip


@given(messages)
def test_a_message_comes_out_as_it_went_in(message: Message) -> None:
    assert decode(encode(message)) == message


@given(greetings)
def test_a_greeting_comes_out_as_it_went_in(greeting: Greeting) -> None:
    assert decode_greeting(encode_greeting(greeting)) == greeting


@given(messages, st.data())
def test_a_message_with_one_character_changed_is_another_message_or_none(message: Message, data: st.DataObject) -> None:
    text = encode(message)
    place = data.draw(st.integers(0, len(text)))
    put = data.draw(st.text(st.characters(max_codepoint=0x2FF), max_size=2))
    changed = text[:place] + put + text[place + 1 :]
    read = decode(changed)
    # There is one way to write each message: what is read is written back exactly, or was not a message.
    assert read is None or encode(read) == changed
    assert (read == message) is (changed == text)


@given(st.text())
@example("ballot")
@example("vote  ")
@example("ping 01")
@example("ping ٣")
@example("pong 1\n")
@example("freeing node1 9f0c1d2e3a4b5c6d 1000000000000000")
def test_any_other_text_is_none_and_never_an_error(text: str) -> None:
    read = decode(text)
    assert read is None or encode(read) == text
    _ = decode_greeting(text)


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "ä", "a" * 64, "a b", "(store)", "a\n"])
def test_a_name_that_no_node_can_have_is_not_read(name: str) -> None:
    assert decode(f"freeing {name} 9f0c1d2e3a4b5c6d 5") is None


def test_a_granted_vote_with_a_reason_for_refusal_is_nonsense() -> None:
    text = "vote renew node2 41aa0b2c3d4e5f60 17 5 granted none 5 0.1 99 ready node1 -"
    assert decode(text) is not None
    assert decode(text.replace("none", "promised")) is None


def test_the_largest_electorate_in_change_fits_into_a_frame() -> None:
    every = tuple(f"{number:03d}" + "x" * 60 for number in range(MEMBERS_MAX))
    body = Body.of(every, QuorumPolicy.LAST_MAN_STANDING, every[1:])
    largest = Electorate("f" * 16, Version(NUMBER_MAX, NUMBER_MAX), body, body)
    claim = Claim(every[0], "f" * 16, NUMBER_MAX)
    text = encode(Ballot(BallotKind.PROBE, NUMBER_MAX, claim, largest, Instant(INSTANT_MAX)))
    assert len(text) < 20_000
    assert decode(text) is not None


def test_another_version_is_told_from_nonsense() -> None:
    assert decode_greeting(f"rppam-member {PROTOCOL + 1} something quite new") == OtherVersion(PROTOCOL + 1)
    assert decode_greeting("rppam-member 0") == OtherVersion(0)
    assert decode_greeting(f"rppam-member {PROTOCOL} something quite new") is None
    assert decode_greeting("GET / HTTP/1.1\r\n") is None
    assert decode_greeting(encode_no(No("version", 7))) == No("version", 7)


def test_no_message_has_a_field_for_a_secret() -> None:
    for kind in (Ballot, Vote, Freeing, Invitation, Greeting):
        assert Secret not in kind.__annotations__.values()
