"""What members say, as text: one line of ASCII for each message, and exactly one way to write it.

::

    rppam-member 2 link cluster-001 node1 9f0c1d2e3a4b5c6d 5b1e90aa5b1e90aa 10.0.0.1:5201      (greeting)
    no version 2                                                                               (greeting refused)
    ballot renew 17 node1 9f0c1d2e3a4b5c6d 1795478400123 81650002 rppam-electorate1 ...
    vote renew node2 41aa0b2c3d4e5f60 17 1795478400123 granted none 1795478400123 0.1 99120001 ready node1 -
    freeing node1 9f0c1d2e3a4b5c6d 1795478400123
    invitation node1 9f0c1d2e3a4b5c6d 1795478400123
    ping 5  /  pong 5

Decides what is a message and what is not: every field has its form and its range, so what comes out of :func:`decode`
is in itself sound. It does not decide who may say it; see :mod:`rppam.adapters.members.incoming` and ``call``.
"""

import re
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from rppam.domain.ballot import Ballot, BallotKind, Claim, Freeing, Invitation, Refusal, Stance, Vote
from rppam.domain.electorate import Electorate, Version, parse_electorate
from rppam.domain.instant import Instant
from rppam.domain.record import EPOCH_MAX

PROTOCOL: Final = 2
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
_NOBODY: Final = "-"

_BALLOT: Final = re.compile(rf"ballot ({_KINDS}) ({_NUMBER}) {_CLAIM} ({_INSTANT}) (rppam-electorate1 [^\n]+)")
_VOTE: Final = re.compile(
    rf"vote ({_KINDS}) ({_NAME}) ({_HEX16}) ({_NUMBER}) ({_NUMBER}) (granted|refused) ({'|'.join(_REFUSALS_BY_WORD)}) "
    rf"({_NUMBER}) ({_NUMBER})\.({_NUMBER}) ({_INSTANT}) ({_STANCES}) ({_NAME}|-) (-|rppam-electorate1 [^\n]+)"
)
_WORD: Final = re.compile(rf"(freeing|invitation) {_CLAIM}")
_BEAT: Final = re.compile(rf"(ping|pong) ({_NUMBER})")
_GREETING: Final = re.compile(
    rf"rppam-member {PROTOCOL} (link|errand) ({_NAME}) ({_NAME}) ({_HEX16}) ({_HEX16}) ({_ADDRESS}|-)"
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


Message = Ballot | Vote | Freeing | Invitation | Ping | Pong


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
    return None


def encode_greeting(greeting: Greeting) -> str:
    """The first line of a connection."""
    purpose, cluster_id, node, boot_id, nonce, address = greeting
    return f"rppam-member {PROTOCOL} {purpose} {cluster_id} {node} {boot_id} {nonce} {address or _NOBODY}"


def encode_no(no: No) -> str:
    """The only line after a greeting that is refused."""
    return f"no {no.reason} {no.version}"


def decode_greeting(text: str) -> Greeting | OtherVersion | No | None:
    """What the other side begins with; ``None`` when it is nothing of the kind."""
    if (match := _GREETING.fullmatch(text)) is not None:
        purpose, cluster_id, node, boot_id, nonce, address = match.groups()
        return Greeting(Purpose(purpose), cluster_id, node, boot_id, nonce, "" if address == _NOBODY else address)
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
