"""What members say, as JSON: one tagged object for each message.

::

    rppam-member 4 {"version":4,"oldest":4,"purpose":"link","cluster_id":"cluster-001","node":"node1", ...}
    no version 4                                                                        (a greeting is refused)
    {"type":"ballot","candidate":"node1","boot_id":"9f0c1d2e3a4b5c6d","epoch":1795478400123,"kind":"renew", ...}
    {"type":"ping","number":5}

Decides what is a message and what is not. Every known field has its form and its range, so what ``decode`` returns is
in itself sound; fields and types that a newer release added are passed over. The beginning of a greeting and the whole
of ``no`` are the same in all versions, past and future, as are ``ping`` and ``pong``, which the supervisor compares
byte for byte. Nothing outside of the signed body of an order may ever be believed as an order. ``inbound`` and
``outbound`` decide who may say what.
"""

import re
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Final, NamedTuple, get_args

import msgspec
from msgspec import Meta, Struct

from rppam.cluster.consensus.membership import TEXT_MAX, VOUCHED, Membership, Version, parse_membership
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
from rppam.cluster.consensus.record import EPOCH_MAX
from rppam.kernel.instant import Instant
from rppam.kernel.protocol import MEMBER_LINK

PROTOCOL: Final = MEMBER_LINK.version
NUMBER_MAX: Final = EPOCH_MAX
"""Largest request number and epoch."""
INSTANT_MAX: Final = 10**18 - 1
ORDER_CHARS_MAX: Final = 4 * 1024
ANSWER_CHARS_MAX: Final = 16 * 1024
"""Longest JSON of an order, and of the answer to one."""

_NAME: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_URL: Final = r"https?://[A-Za-z0-9_.:%\[\]-]{1,300}/?"
_REFUSALS: Final = {refusal: refusal.name.lower() for refusal in Refusal}
_REFUSALS_BY_WORD: Final = {word: refusal for refusal, word in _REFUSALS.items()}

Name = Annotated[str, Meta(pattern=rf"\A{_NAME}\Z")]
NameOrNobody = Annotated[str, Meta(pattern=rf"\A(?:{_NAME})?\Z")]
Hex16 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{16}\Z")]
Tag = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Number = Annotated[int, Meta(ge=0, le=NUMBER_MAX)]
InstantNumber = Annotated[int, Meta(ge=0, le=INSTANT_MAX)]
MembershipText = Annotated[str, Meta(max_length=TEXT_MAX)]
Vouch = Annotated[str, Meta(pattern=r"\A(?:[0-9a-f]{16,64})?\Z")]
Address = Annotated[str, Meta(pattern=r"\A(?:[A-Za-z0-9_.:%\[\]-]{3,300})?\Z")]
Url = Annotated[str, Meta(pattern=rf"\A(?:{_URL})?\Z")]
OrderBody = Annotated[str, Meta(pattern=r"\A\{[ -~]+\Z", max_length=ORDER_CHARS_MAX)]
AnswerBody = Annotated[str, Meta(pattern=r"\A\{[ -~]+\Z", max_length=ANSWER_CHARS_MAX)]


class Purpose(StrEnum):
    """What a connection is for."""

    LINK = "link"
    """The one standing connection of a member that asks."""
    ERRAND = "errand"
    """A few messages, then the end: by another process of the same node, in its name."""


class Greeting(Struct, frozen=True):
    """The first message each way."""

    purpose: Purpose
    cluster_id: Name
    node: Name
    boot_id: Hex16
    nonce: Hex16
    """Names the connection in the logs of both sides."""
    address: Address
    """Where the speaker can be reached, ``host:port``; empty when it does not say."""
    url: Url = ""
    """Where its REST API answers, as it says itself; empty of a witness, which has none."""
    version: int = MEMBER_LINK.version
    oldest: int = MEMBER_LINK.oldest


class OtherVersion(NamedTuple):
    """A greeting in a version of this protocol with which there is none in common."""

    version: int


class No(NamedTuple):
    """A greeting is refused."""

    reason: str
    version: int
    """The protocol's, on the side that refuses."""


class Unknown(NamedTuple):
    """A message of a type that a newer release added."""

    type: str


class _Word(Struct, frozen=True, tag_field="type"):
    pass


class Ping(_Word, frozen=True, tag="ping"):
    number: Number


class Pong(_Word, frozen=True, tag="pong"):
    number: Number


class OrderRefusal(StrEnum):
    """Why an order was not even looked at. It comes unsigned, so people see it and it decides nothing."""

    BUSY = "busy"
    """More orders are under way than there is room for."""
    SIGNATURE = "signature"
    """It is not signed by a key that nodes have."""
    TICKET = "ticket"
    """The leave to give it is over, was used, or is another's."""
    NO_NODE = "no-node"
    """Its sender is no member that may lead: a witness, or no member at all."""
    UNABLE = "unable"
    """Nothing here takes orders: it is a witness, or has no key to check them with."""


class OrderOpen(_Word, frozen=True, tag="order-open"):
    """May this node give an order? The answer is a ticket, or a refusal."""

    number: Hex16
    """Chosen by the node that asks; tells orders on one connection apart."""


class OrderTicket(_Word, frozen=True, tag="order-ticket"):
    """It may, once, with this ticket, and soon."""

    number: Hex16
    ticket: Hex16


class Order(_Word, frozen=True, tag="order"):
    """An order, signed: see ``orders``."""

    number: Hex16
    ticket: Hex16
    tag: Tag
    body: OrderBody
    """JSON."""


class OrderAnswer(_Word, frozen=True, tag="order-answer"):
    """What became of it, signed."""

    number: Hex16
    tag: Tag
    body: AnswerBody
    """JSON."""


class OrderRefused(_Word, frozen=True, tag="order-refused"):
    """Nothing was done."""

    number: Hex16
    why: OrderRefusal


class CheckpointOffer(_Word, frozen=True, tag="checkpoint-offer"):
    """Will this member cosign a checkpoint of the ledger? Only a node asks; a witness of an older release passes it
    over."""

    number: Hex16
    key: Annotated[str, Meta(max_length=400)]
    """The ledger's public key, as one word."""
    note: Annotated[str, Meta(max_length=4_000)]
    since: Number
    """The size that the proof begins at."""
    proof: Annotated[tuple[Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")], ...], Meta(max_length=130)]
    """That the tree of ``since`` leaves is the beginning of the note's."""


class CheckpointAnswer(_Word, frozen=True, tag="checkpoint-answer"):
    """The cosignature, or why there is none."""

    number: Hex16
    size: Number
    """How many events it has seen signed."""
    key: Annotated[str, Meta(max_length=400)]
    """Its public key, as one word."""
    line: Annotated[str, Meta(max_length=600)] = ""
    """The cosignature as a line of the note; empty: declined."""
    why: Annotated[str, Meta(max_length=600)] = ""
    """A sentence where the ledger is not the one that it has seen; empty where only the proof began elsewhere."""
    life: Annotated[str, Meta(pattern=r"\A(?:[0-9a-f]{16})?\Z")] = ""
    """Of what it remembers: a new one when it began anew, or adopted another ledger; empty: an older release's."""
    adopted: Annotated[str, Meta(max_length=600)] = ""
    """Why an administrator of its host had it adopt the ledger in this life; empty: none had."""
    by: Annotated[str, Meta(max_length=64)] = ""
    """Who that was."""
    before: Number = 0
    """How many events it had seen of the ledger before."""


class _Claimed(_Word, frozen=True):
    candidate: Name
    boot_id: Hex16
    epoch: Number

    @property
    def candidacy(self) -> Candidacy:
        return Candidacy(self.candidate, self.boot_id, self.epoch)


class _VoteRequest(_Claimed, frozen=True, tag="ballot", omit_defaults=True):
    kind: VoteRequestKind
    request: Number
    now: InstantNumber
    electorate: MembershipText
    vouch: Vouch = ""


class _Freeing(_Claimed, frozen=True, tag="freeing"):
    pass


class _Invitation(_Claimed, frozen=True, tag="invitation"):
    pass


class _Vote(_Word, frozen=True, tag="vote", omit_defaults=True):
    kind: VoteRequestKind
    voter: Name
    boot_id: Hex16
    request: Number
    epoch: Number
    granted: bool
    refusal: str
    highest: Number
    version: tuple[Number, Number]
    electorate: MembershipText | None
    promised_to: NameOrNobody
    now: InstantNumber
    stance: Readiness
    vouch: Vouch = ""


class _Head(Struct):
    type: Annotated[str, Meta(pattern=r"\A[a-z-]{1,40}\Z")]


class _Range(Struct):
    version: int
    oldest: int


OrderMessage = OrderOpen | OrderTicket | Order | OrderAnswer | OrderRefused
CheckpointMessage = CheckpointOffer | CheckpointAnswer
Message = VoteRequest | Vote | Freeing | Invitation | Ping | Pong | OrderMessage | CheckpointMessage
_Wire = _VoteRequest | _Vote | _Freeing | _Invitation | Ping | Pong | OrderMessage | CheckpointMessage
_TYPES: Final = frozenset(str(word.__struct_config__.tag) for word in get_args(_Wire))

_GREETING: Final = re.compile(rb"rppam-member ([0-9]{1,9})(?: (.*))?", re.DOTALL)
_NO: Final = re.compile(rb"no ([a-z-]{1,30}) ([0-9]{1,9})(?: .*)?", re.DOTALL)
_encoder: Final = msgspec.json.Encoder()
_words: Final = msgspec.json.Decoder(_Wire)
_heads: Final = msgspec.json.Decoder(_Head)
_ranges: Final = msgspec.json.Decoder(_Range)
_greetings: Final = msgspec.json.Decoder(Greeting)


def encode(message: Message) -> bytes:
    return _encoder.encode(_wire(message))


def decode(data: bytes) -> Message | Unknown | None:
    """Return the message in ``data``, or ``None`` when it is not one."""
    try:
        return _message(_words.decode(data))
    except (ValueError, RecursionError):
        return _unknown(data)


def encode_greeting(greeting: Greeting) -> bytes:
    return b"rppam-member %d %b" % (greeting.version, _encoder.encode(greeting))


def decode_greeting(data: bytes) -> Greeting | OtherVersion | No | None:
    """Return what the other side begins with; ``None`` when it is nothing of the kind."""
    if (match := _NO.fullmatch(data)) is not None:
        return No(match[1].decode(), int(match[2]))
    match = _GREETING.fullmatch(data)
    if match is None:
        return None
    version, body = int(match[1]), match[2] or b""
    try:
        said = _ranges.decode(body)
        if version == said.version and MEMBER_LINK.common(version, said.oldest) is not None:
            return _greetings.decode(body)
    except (ValueError, RecursionError):
        pass
    else:
        return OtherVersion(version) if version == said.version else None
    return None if version == PROTOCOL else OtherVersion(version)


def sayable_url(url: str) -> str:
    """Return ``url`` where a greeting can carry it; else an empty text."""
    return url if re.fullmatch(_URL, url) else ""


def encode_no(no: No) -> bytes:
    """The only message after a greeting that is refused."""
    return f"no {no.reason} {no.version}".encode()


def _wire(message: Message) -> _Wire:
    match message:
        case VoteRequest(kind, request, candidacy, membership, now):
            return _VoteRequest(*candidacy, kind, request, now, *_membership_text(membership))
        case Vote():
            return _wire_vote(message)
        case Freeing(candidacy):
            return _Freeing(*candidacy)
        case Invitation(candidacy):
            return _Invitation(*candidacy)
        case _:
            return message


def _wire_vote(vote: Vote) -> _Vote:
    membership, vouch = (None, "") if vote.membership is None else _membership_text(vote.membership)
    return _Vote(
        vote.kind, vote.voter, vote.boot_id, vote.request, vote.epoch, vote.is_granted, _REFUSALS[vote.refusal],
        vote.highest, (vote.version.epoch, vote.version.step), membership, vote.promised_to, vote.now, vote.readiness,
        vouch,
    )  # fmt: skip


def _message(word: _Wire) -> Message:
    """Raises ValueError where the fields do not go together."""
    match word:
        case _VoteRequest():
            membership = _membership(word.electorate, word.vouch)
            return VoteRequest(word.kind, word.request, word.candidacy, membership, Instant(word.now))
        case _Vote():
            return _vote(word)
        case _Freeing():
            return Freeing(word.candidacy)
        case _Invitation():
            return Invitation(word.candidacy)
        case _:
            return word


def _vote(word: _Vote) -> Vote:
    refusal = _REFUSALS_BY_WORD.get(word.refusal)
    if refusal is None or (word.granted and refusal is not Refusal.NONE):
        raise ValueError(word.refusal)
    membership = None if word.electorate is None else _membership(word.electorate, word.vouch)
    return Vote(
        word.kind, word.voter, word.boot_id, word.request, word.epoch, word.granted, refusal, word.highest,
        Version(*word.version), membership, word.promised_to, Instant(word.now), word.stance,
    )  # fmt: skip


def _unknown(data: bytes) -> Unknown | None:
    """Return a message of a later release; ``None`` when it is none, or a wrong one of a known type."""
    try:
        head = _heads.decode(data)
    except (ValueError, RecursionError):
        return None
    return None if head.type in _TYPES else Unknown(head.type)


@lru_cache(maxsize=16)
def _membership_text(membership: Membership) -> tuple[str, str]:
    """The list, and the word for it. Every vote request carries the same one, so it is written once."""
    return membership.encode(), "" if membership.vouch == VOUCHED else membership.vouch


@lru_cache(maxsize=16)
def _membership(text: str, vouch: str) -> Membership:
    """Raises ValueError."""
    membership = parse_membership(text)
    if membership is None:
        raise ValueError(text)
    return membership._replace(vouch=vouch)
