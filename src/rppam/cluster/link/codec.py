"""What members say, as text: one line of ASCII for each message, and exactly one way to write it.

::

    rppam-member 3 link cluster-001 node1 9f0c1d2e3a4b5c6d 5b1e90aa5b1e90aa 10.0.0.1:5201 https://10.0.0.1:7101
    no version 3                                                                        (a greeting is refused)
    ballot renew 17 node1 9f0c1d2e3a4b5c6d 1795478400123 81650002 rppam-electorate1 ...
    vote renew node2 41aa0b2c3d4e5f60 17 1795478400123 granted none 1795478400123 0.1 99120001 ready node1 -
    freeing node1 9f0c1d2e3a4b5c6d 1795478400123
    invitation node1 9f0c1d2e3a4b5c6d 1795478400123
    ping 5  /  pong 5
    order-open 5b1e90aa5b1e90aa
    order-ticket 5b1e90aa5b1e90aa 41aa0b2c3d4e5f60
    order 5b1e90aa5b1e90aa 41aa0b2c3d4e5f60 0f3a... {"order": "switch_over", ...}
    order-answer 5b1e90aa5b1e90aa 77c1... {"said": "..."}
    order-refused 5b1e90aa5b1e90aa busy

Decides what is a message and what is not: every field has its form and its range, so what comes out of :func:`decode`
is in itself sound. It does not decide who may say it; see :mod:`rppam.cluster.link.inbound` and ``call``.
"""

import re
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from rppam.cluster.consensus.membership import Electorate, Version, parse_electorate
from rppam.cluster.consensus.messages import Ballot, BallotKind, Claim, Freeing, Invitation, Refusal, Stance, Vote
from rppam.cluster.consensus.record import EPOCH_MAX
from rppam.kernel.instant import Instant

PROTOCOL: Final = 3
"""Version of everything here. Nodes of different versions do not talk."""
NUMBER_MAX: Final = EPOCH_MAX
"""Largest request number and epoch."""
INSTANT_MAX: Final = 10**18 - 1

_NAME: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HEX16: Final = r"[0-9a-f]{16}"
_NUMBER: Final = r"0|[1-9][0-9]{0,14}"
_INSTANT: Final = r"0|[1-9][0-9]{0,17}"
_CLAIM: Final = rf"({_NAME}) ({_HEX16}) ({_NUMBER})"
_KINDS: Final = "|".join(BallotKind)
_STANCES: Final = "|".join(Stance)
_REFUSALS: Final = {refusal: refusal.name.lower() for refusal in Refusal}
_REFUSALS_BY_WORD: Final = {word: refusal for refusal, word in _REFUSALS.items()}
_ADDRESS: Final = r"[A-Za-z0-9_.:%\[\]-]{3,300}"
_URL: Final = r"https?://[A-Za-z0-9_.:%\[\]-]{1,300}/?"
ORDER_CHARS_MAX: Final = 4 * 1024
ANSWER_CHARS_MAX: Final = 16 * 1024
"""Longest JSON of an order, and of the answer to one."""
_NOBODY: Final = "-"

_BALLOT: Final = re.compile(rf"ballot ({_KINDS}) ({_NUMBER}) {_CLAIM} ({_INSTANT}) (rppam-electorate1 [^\n]+)")
_VOTE: Final = re.compile(
    rf"vote ({_KINDS}) ({_NAME}) ({_HEX16}) ({_NUMBER}) ({_NUMBER}) (granted|refused) ({'|'.join(_REFUSALS_BY_WORD)}) "
    rf"({_NUMBER}) ({_NUMBER})\.({_NUMBER}) ({_INSTANT}) ({_STANCES}) ({_NAME}|-) (-|rppam-electorate1 [^\n]+)"
)
_WORD: Final = re.compile(rf"(freeing|invitation) {_CLAIM}")
_BEAT: Final = re.compile(rf"(ping|pong) ({_NUMBER})")
_GREETING: Final = re.compile(
    rf"rppam-member {PROTOCOL} (link|errand) ({_NAME}) ({_NAME}) ({_HEX16}) ({_HEX16}) ({_ADDRESS}|-) ({_URL}|-)"
)
_ANY_VERSION: Final = re.compile(r"rppam-member ([0-9]{1,9})(?: .*)?")
_NO: Final = re.compile(r"no ([a-z-]{1,30}) ([0-9]{1,9})")


class Purpose(StrEnum):
    """What a connection is for."""

    LINK = "link"
    """The one standing connection of an asker."""
    ERRAND = "errand"
    """A few words, then the end: by another process of the same node, in its name."""


class Greeting(NamedTuple):
    """The first message each way."""

    purpose: Purpose
    cluster_id: str
    node: str
    boot_id: str
    nonce: str
    """Names the connection in the logs of both sides."""
    address: str
    """Where the speaker can be reached, ``host:port``; empty when it does not say."""
    url: str = ""
    """Where its REST API answers, as it says itself; empty of a witness, which has none."""


class OtherVersion(NamedTuple):
    """A greeting in another version of this protocol."""

    version: int


class No(NamedTuple):
    """A greeting is refused, and why."""

    reason: str
    version: int
    """Of the protocol, of who refuses."""


class Ping(NamedTuple):
    """Are you there?"""

    number: int


class Pong(NamedTuple):
    """Yes."""

    number: int


class OrderRefusal(StrEnum):
    """Why an order was not even looked at. Said unsigned, so it is told to people and decides nothing."""

    BUSY = "busy"
    """More orders are under way than there is room for."""
    SIGNATURE = "signature"
    """It is not signed by a key that nodes have."""
    TICKET = "ticket"
    """The leave to give it is over, was used, or is another's."""
    NO_NODE = "no-node"
    """Who gives it is no member that may lead: a witness, or no member at all."""
    UNABLE = "unable"
    """Nothing here takes orders: it is a witness, or has no key to check them with."""


class OrderOpen(NamedTuple):
    """May this node give an order? The answer is a ticket, or a refusal."""

    number: str
    """Chosen by who asks; tells orders on one connection apart."""


class OrderTicket(NamedTuple):
    """It may, once, with this ticket, and soon."""

    number: str
    ticket: str


class Order(NamedTuple):
    """An order, signed: see :mod:`rppam.cluster.link.order_keys`."""

    number: str
    ticket: str
    tag: str
    body: str
    """JSON."""


class OrderAnswer(NamedTuple):
    """What became of it, signed."""

    number: str
    tag: str
    body: str
    """JSON."""


class OrderRefused(NamedTuple):
    """Nothing was done."""

    number: str
    why: OrderRefusal


OrderMessage = OrderOpen | OrderTicket | Order | OrderAnswer | OrderRefused
Message = Ballot | Vote | Freeing | Invitation | Ping | Pong | OrderMessage

_TAG: Final = r"[0-9a-f]{64}"
_OPEN: Final = re.compile(rf"order-open ({_HEX16})")
_TICKET: Final = re.compile(rf"order-ticket ({_HEX16}) ({_HEX16})")
_ORDER: Final = re.compile(rf"order ({_HEX16}) ({_HEX16}) ({_TAG}) (\{{[ -~]{{1,{ORDER_CHARS_MAX - 1}}})")
_ORDER_ANSWER: Final = re.compile(rf"order-answer ({_HEX16}) ({_TAG}) (\{{[ -~]{{1,{ANSWER_CHARS_MAX - 1}}})")
_ORDER_REFUSED: Final = re.compile(rf"order-refused ({_HEX16}) ({'|'.join(OrderRefusal)})")


def encode(message: Message) -> str:
    """The one line for ``message``."""
    match message:
        case Ballot(kind, request, claim, electorate, now):
            return f"ballot {kind} {request} {_claim(claim)} {now} {_electorate_text(electorate)}"
        case Vote():
            return _encode_vote(message)
        case Freeing(claim):
            return f"freeing {_claim(claim)}"
        case Invitation(claim):
            return f"invitation {_claim(claim)}"
        case Ping(number):
            return f"ping {number}"
        case Pong(number):
            return f"pong {number}"
        case _:
            return _encode_order(message)


def decode(text: str) -> Message | None:
    """The message in ``text``, or ``None`` when it is not one."""
    match text.partition(" ")[0]:
        case "ballot":
            return _ballot(text)
        case "vote":
            return _vote(text)
        case "freeing" | "invitation":
            return _word(text)
        case "ping" | "pong":
            return _beat(text)
        case "order-open" | "order-ticket" | "order" | "order-answer" | "order-refused":
            return _order(text)
    return None


def encode_greeting(greeting: Greeting) -> str:
    """The first line of a connection."""
    purpose, cluster_id, node, boot_id, nonce, address, url = greeting
    places = f"{address or _NOBODY} {url or _NOBODY}"
    return f"rppam-member {PROTOCOL} {purpose} {cluster_id} {node} {boot_id} {nonce} {places}"


def sayable_url(url: str) -> str:
    """``url`` where a greeting can carry it; else empty: what is odd is not said."""
    return url if re.fullmatch(_URL, url) else ""


def encode_no(no: No) -> str:
    """The only line after a greeting that is refused."""
    return f"no {no.reason} {no.version}"


def decode_greeting(text: str) -> Greeting | OtherVersion | No | None:
    """What the other side begins with; ``None`` when it is nothing of the kind."""
    if (match := _GREETING.fullmatch(text)) is not None:
        purpose, cluster_id, node, boot_id, nonce, *places = match.groups()
        address, url = ("" if place == _NOBODY else place for place in places)
        return Greeting(Purpose(purpose), cluster_id, node, boot_id, nonce, address, url)
    if (match := _NO.fullmatch(text)) is not None:
        return No(match[1], int(match[2]))
    match = _ANY_VERSION.fullmatch(text)
    return None if match is None or int(match[1]) == PROTOCOL else OtherVersion(int(match[1]))


def _claim(claim: Claim) -> str:
    return f"{claim.candidate} {claim.boot_id} {claim.epoch}"


@lru_cache(maxsize=16)
def _electorate_text(electorate: Electorate) -> str:
    """Every ballot carries the same one, so it is written once."""
    return electorate.encode()


@lru_cache(maxsize=16)
def _electorate(text: str) -> Electorate | None:
    """And read once."""
    return parse_electorate(text)


def _encode_vote(vote: Vote) -> str:
    word = "granted" if vote.is_granted else "refused"
    electorate = _NOBODY if vote.electorate is None else _electorate_text(vote.electorate)
    return (
        f"vote {vote.kind} {vote.voter} {vote.boot_id} {vote.request} {vote.epoch} {word} {_REFUSALS[vote.refusal]} "
        f"{vote.highest} {vote.version} {vote.now} {vote.stance} {vote.promised_to or _NOBODY} {electorate}"
    )


def _ballot(text: str) -> Ballot | None:
    match = _BALLOT.fullmatch(text)
    if match is None:
        return None
    kind, request, candidate, boot_id, epoch, now, rest = match.groups()
    electorate = _electorate(rest)
    if electorate is None:
        return None
    claim = Claim(candidate, boot_id, int(epoch))
    return Ballot(BallotKind(kind), int(request), claim, electorate, Instant(int(now)))


def _vote(text: str) -> Vote | None:
    match = _VOTE.fullmatch(text)
    if match is None:
        return None
    kind, voter, boot_id, request, epoch, word, why, highest, of, step, now, stance, promised_to, rest = match.groups()
    electorate = None if rest == _NOBODY else _electorate(rest)
    is_granted, refusal = word == "granted", _REFUSALS_BY_WORD[why]
    if (electorate is None and rest != _NOBODY) or (is_granted and refusal is not Refusal.NONE):
        return None
    return Vote(
        BallotKind(kind),
        voter,
        boot_id,
        int(request),
        int(epoch),
        is_granted,
        refusal,
        int(highest),
        Version(int(of), int(step)),
        electorate,
        "" if promised_to == _NOBODY else promised_to,
        Instant(int(now)),
        Stance(stance),
    )


def _word(text: str) -> Freeing | Invitation | None:
    match = _WORD.fullmatch(text)
    if match is None:
        return None
    claim = Claim(match[2], match[3], int(match[4]))
    return Freeing(claim) if match[1] == "freeing" else Invitation(claim)


def _beat(text: str) -> Ping | Pong | None:
    match = _BEAT.fullmatch(text)
    if match is None:
        return None
    return Ping(int(match[2])) if match[1] == "ping" else Pong(int(match[2]))


def _encode_order(message: OrderMessage) -> str:
    match message:
        case OrderOpen(number):
            return f"order-open {number}"
        case OrderTicket(number, ticket):
            return f"order-ticket {number} {ticket}"
        case Order(number, ticket, tag, body):
            return f"order {number} {ticket} {tag} {body}"
        case OrderAnswer(number, tag, body):
            return f"order-answer {number} {tag} {body}"
        case OrderRefused(number, why):
            return f"order-refused {number} {why}"


def _order(text: str) -> OrderMessage | None:
    if (match := _OPEN.fullmatch(text)) is not None:
        return OrderOpen(match[1])
    if (match := _TICKET.fullmatch(text)) is not None:
        return OrderTicket(match[1], match[2])
    if (match := _ORDER.fullmatch(text)) is not None:
        return Order(match[1], match[2], match[3], match[4])
    if (match := _ORDER_ANSWER.fullmatch(text)) is not None:
        return OrderAnswer(match[1], match[2], match[3])
    if (match := _ORDER_REFUSED.fullmatch(text)) is not None:
        return OrderRefused(match[1], OrderRefusal(match[2]))
    return None
