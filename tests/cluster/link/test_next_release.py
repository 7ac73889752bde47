"""A member of this release and one of the next: more fields, more types, a higher version with a common one."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from rppam.cluster.consensus.messages import Freeing, Invitation, VoteRequest
from rppam.cluster.link.codec import (
    PROTOCOL,
    Greeting,
    No,
    OtherVersion,
    Ping,
    Pong,
    Purpose,
    Unknown,
    decode,
    decode_greeting,
    encode,
    encode_greeting,
)
from rppam.kernel.protocol import MEMBER_LINK
from tests.cluster.link.links import (
    CLAIM,
    CLUSTER,
    Impostor,
    Stranger,
    eventually,
    make_node,
    running,
    stranger,
)

pytestmark = pytest.mark.integration

MORE = {"load": 0.5, "extra": {"deep": [None, "ü"]}}
NEWS = json.dumps({"type": "session-moved", "number": -1, **MORE}).encode()
Next = Callable[..., bytes]


def later(data: bytes, **changes: Any) -> bytes:
    """A message as a later release says it."""
    return json.dumps({**MORE, **json.loads(data), **changes}, ensure_ascii=False).encode()


def greeting(node: str, *, version: int = PROTOCOL + 1, oldest: int = PROTOCOL) -> bytes:
    """As a later release greets."""
    said = encode_greeting(Greeting(Purpose.LINK, CLUSTER, node, "41aa0b2c3d4e5f60", "0" * 16, ""))
    body = later(said.split(b" ", 2)[2], version=version, oldest=oldest)
    return b"rppam-member %d %b" % (version, body)


async def answer_of(guest: Stranger) -> object:
    return decode(await guest.hear() or b"")


async def test_a_member_of_the_next_release_asks_and_releases() -> None:
    one = make_node("node1")
    async with running(one), stranger(one, "node2", greeting=greeting("node2")) as guest:
        assert isinstance(decode_greeting(await guest.hear() or b""), Greeting)
        two = make_node("node2", boot_id=CLAIM.boot_id)
        for said in (NEWS, later(encode(two.vote_request())), NEWS, later(encode(Freeing(CLAIM)))):
            guest.say(said)
        guest.say(later(encode(Invitation(CLAIM))))
        vote = await answer_of(guest)
        assert vote == one.vote_for(one.vote_requests[0])._replace(now=vote.now)  # type: ignore[attr-defined]
        guest.say(later(encode(Ping(7))))
        assert await answer_of(guest) == Pong(7)
        assert (one.freeings, one.invitations) == ([Freeing(CLAIM)], [Invitation(CLAIM)])
        assert one.link.refused == {}


async def test_a_member_of_the_next_release_votes() -> None:
    one, two = make_node("node1"), make_node("node2")
    async with running(one), Impostor("node2").open(greets=greeting("node2")) as impostor:
        one.link.know({"node2": impostor.address})
        one.link.expect(["node2"])
        await eventually(lambda: one.link.peers["node2"].is_connected)
        request = one.ask("node2")
        caller = impostor.callers[-1]
        vote_request = decode(await caller.hear() or b"")
        assert isinstance(vote_request, VoteRequest)
        caller.say(NEWS)
        caller.say(later(encode(two.vote_for(vote_request))))
        await eventually(lambda: [vote.request for vote in one.votes] == [request])
        assert one.link.refused == {}


async def test_a_release_with_no_version_in_common_is_named_with_the_fix() -> None:
    one = make_node("node1")
    said = greeting("node2", version=PROTOCOL + 2, oldest=PROTOCOL + 1)
    async with running(one), stranger(one, "node2", greeting=said) as guest:
        assert decode_greeting(await guest.hear() or b"") == No("version", PROTOCOL)
        assert await guest.is_hung_up_on()
        told = f"version {PROTOCOL + 2} of the member protocol, a newer one than {PROTOCOL} here: update rppam on"
        await eventually(lambda: told in " ".join(one.link.complaints))
        assert one.link.refused == {"version": 1}


def test_of_what_is_known_no_field_may_have_another_form() -> None:
    assert decode(later(encode(Ping(7)), number="7")) is None
    assert decode(NEWS) == Unknown("session-moved")
    strange = greeting("node2").replace(b'"link"', b'"tour"')
    assert decode_greeting(strange) == OtherVersion(MEMBER_LINK.version + 1), "a word of its own: told with the fix"
