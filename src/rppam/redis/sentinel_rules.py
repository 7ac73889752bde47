"""What to believe of the sentinels' answers: pure functions over plain values.

A sentinel may be down, new, or stale: cut off for a while, it goes on naming the former primary. Sentinels number their
failovers (``config-epoch``), so a higher number is newer knowledge from any of them. One sentinel with a higher number
may also be wrong for good (it watches another installation that uses the same name), so the address that a majority of
all configured sentinels names is tried as well, after it. Each must still say itself that it is a primary.

What this cannot promise: that a primary which no reachable sentinel knows to be replaced is the right one. That is what
confirmed writes are for. Source: the Redis Sentinel guide for client implementers.
"""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

Address = tuple[str, int]
"""Host (name or address, as announced) and port."""

_PORT_MAX: Final = 65_535


class SentinelAnswer(NamedTuple):
    """What one sentinel said about the service."""

    sentinel: str
    """Its address, for people."""
    primary: Address | None
    """Where it says the primary is; ``None``: it does not know the service."""
    epoch: int = 0
    """Of the failover that made that primary; 0 when it did not say."""
    names: tuple[str, ...] = ()
    """The services it knows, where it does not know ours."""


class Switch(NamedTuple):
    """One failover as a message reports it: of which service, from where to where."""

    service: str
    before: Address
    now: Address


class Reaction(StrEnum):
    """What to do about a message."""

    IGNORE = "ignore"
    ASK = "ask"
    """It is not about the primary that is in use: ask all sentinels before anything is given up."""
    MOVE = "move"
    """Give the connection up and connect to the new address at once."""


def to_try(answers: Sequence[SentinelAnswer], asked: int) -> tuple[Address, ...]:
    """The addresses worth a connection, best first. ``asked``: how many sentinels there are, answering or not.

    Those with the highest epoch, by votes; then one of a lower epoch, if more than half of *all* sentinels name it.
    """
    named = [answer for answer in answers if answer.primary is not None]
    if not named:
        return ()
    votes = Counter(answer.primary for answer in named)
    epoch = max(answer.epoch for answer in named)
    best = {answer.primary: None for answer in named if answer.epoch == epoch}  # a dict: it keeps the order
    order = sorted(best, key=lambda address: -votes[address])
    order += [address for address in votes if address not in best and 2 * votes[address] > asked]
    return tuple(address for address in order if address is not None)


def react(switch: Switch, service: str, current: Address | None) -> Reaction:
    """What a message means to a link that is connected to ``current`` (``None``: to nothing).

    Messages may be old: a sentinel, or this process, may have stood still while the primary moved twice.
    """
    if switch.service != service or switch.now == current:
        return Reaction.IGNORE
    return Reaction.MOVE if current is None or switch.before == current else Reaction.ASK


def read_switch(payload: bytes) -> Switch | None:
    """``name old-host old-port new-host new-port``; ``None`` when the text is something else."""
    words = payload.decode("utf-8", "replace").split(" ")
    if len(words) != 5:
        return None
    before, now = _address(words[1:3]), _address(words[3:5])
    return Switch(words[0], before, now) if before is not None and now is not None else None


def read_failover(payload: bytes) -> Switch | None:
    """``slave name host port @ service host port``: the replica, then the primary; ``None`` for anything else.

    A sentinel sends it of the replica that its failover, which a majority voted for, is promoting.
    """
    words = payload.decode("utf-8", "replace").split(" ")
    if len(words) != 8 or words[4] != "@":
        return None
    before, now = _address(words[6:8]), _address(words[2:4])
    return Switch(words[5], before, now) if before is not None and now is not None else None


def newest(answers: Sequence[SentinelAnswer]) -> tuple[Address, ...]:
    """The addresses of the highest epoch alone, best first."""
    epoch = max((answer.epoch for answer in answers if answer.primary is not None), default=0)
    return to_try([answer for answer in answers if answer.epoch == epoch], len(answers))


def read_answer(sentinel: str, address: Any, master: Any) -> SentinelAnswer:
    """The answer from the replies to ``GET-MASTER-ADDR-BY-NAME`` and ``MASTER`` (not fields: denied or failed).

    While a failover is under way the first already names the promoted replica and the second still tells of the old
    primary; the promoted one is newer by at least one epoch.
    """
    primary = _address(address) if isinstance(address, list) else None
    told = fields(master)
    epoch = _number(told.get("config-epoch", ""))
    if told and primary is not None and (told.get("ip"), told.get("port")) != (primary[0], str(primary[1])):
        epoch += 1
    return SentinelAnswer(sentinel, primary, epoch)


def fields(reply: Any) -> dict[str, str]:
    """The fields of one instance: a map with RESP3, a flat list of names and values on older sentinels."""
    if isinstance(reply, list) and len(reply) % 2 == 0:
        reply = dict(zip(reply[::2], reply[1::2], strict=True)) if all(isinstance(n, bytes) for n in reply[::2]) else {}
    if not isinstance(reply, dict):
        return {}
    return {_text(name): _text(value) for name, value in reply.items()}


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def why_none(service: str, answers: Sequence[SentinelAnswer]) -> str:
    """The error text for sentinels that answer and do not know the service."""
    asked = ", ".join(answer.sentinel for answer in answers)
    known = sorted({name for answer in answers for name in answer.names})
    listed = f"they know: {', '.join(known)}" if known else "they watch no primary at all"
    return f"the sentinels at {asked} do not know '{service}'; {listed}. Correct serviceName in redis.connectionString"


def _address(words: Sequence[Any]) -> Address | None:
    if len(words) != 2:
        return None
    host, port = _text(words[0]), _number(_text(words[1]))
    return (host, port) if host and 0 < port <= _PORT_MAX else None


def _number(digits: str) -> int:
    return int(digits) if digits.isdecimal() and digits.isascii() and len(digits) <= 18 else 0
