"""Which error class an error reply of Redis becomes, or one that no Redis gives.

The first word of the reply decides, by table. Two kinds of text need a closer look: "ERR ..." that means something
definite, and errors that Redis before 7 wraps into "ERR Error running script". What a server quotes back from our own
command (it may be a password or a token) is cut off before anything is kept.
"""

import re
from typing import Any, Final

from rppam.redis.errors import StoreProtocol, StoreReplyError, StoreSilent
from rppam.redis.reply_errors import (
    StoreBusy,
    StoreCluster,
    StoreCommandUnknown,
    StoreFull,
    StoreLoading,
    StoreMasterDown,
    StoreMisconfigured,
    StoreNoAuth,
    StoreNoDatabase,
    StoreNoPermission,
    StoreNoReplicas,
    StoreNoScript,
    StoreOutOfMemory,
    StoreProtected,
    StoreReadOnly,
    StoreReplyUnforeseen,
    StoreWrongPassword,
    StoreWrongType,
)

BY_WORD: Final[dict[str, type[StoreReplyError]]] = {
    "ASK": StoreCluster,
    "BUSY": StoreBusy,
    "CLUSTERDOWN": StoreCluster,
    "CROSSSLOT": StoreCluster,
    "DENIED": StoreProtected,
    "LOADING": StoreLoading,
    "MASTERDOWN": StoreMasterDown,
    "MISCONF": StoreMisconfigured,
    "MOVED": StoreCluster,
    "NOAUTH": StoreNoAuth,
    "NOPERM": StoreNoPermission,
    "NOREPLICAS": StoreNoReplicas,
    "NOSCRIPT": StoreNoScript,
    "OOM": StoreOutOfMemory,
    "READONLY": StoreReadOnly,
    "TRYAGAIN": StoreCluster,
    "WRONGPASS": StoreWrongPassword,
    "WRONGTYPE": StoreWrongType,
}

# Redis 6.2 wraps what a call inside a script answered; from 7 on the inner word comes first.
_WRAPPED: Final = re.compile(r"^ERR Error running script\b.*?:\d+: (?:@user_script: ?\d+: )?-?(?P<inner>[A-Z]+ .*)$")
_QUOTED: Final = re.compile(r",? with args beginning with:.*$", re.DOTALL)
_LONGEST: Final = 500
"""Characters of a reply that are kept; the longest of Redis itself, MISCONF, has some 350."""
_CUT: Final = " ..."
_WHOLE_MAX: Final = 2**53
# A script may raise these words itself, after it has written: then nothing is proven.
_SCRIPT_TRACE: Final = re.compile(r"script: |@user_script")


def classify(text: str) -> StoreReplyError:
    """The error that the reply ``text`` (without the leading ``-``) stands for; never raises."""
    kept = _shortened(_QUOTED.sub("", text))
    wrapped = _WRAPPED.match(kept)
    said = wrapped["inner"] if wrapped else kept
    found = BY_WORD.get(said.partition(" ")[0])
    if found is None:
        found = _by_sentence(said)
    if found.surely_not_run and _SCRIPT_TRACE.search(kept):
        found = StoreReplyUnforeseen
    return found(f"Redis answered: {kept} ({found.row.remedy})", raw=kept)


def _shortened(text: str) -> str:
    """At most so much as is kept, cut between two words."""
    if len(text) <= _LONGEST:
        return text
    part = text[: _LONGEST - len(_CUT)]
    return (part.rpartition(" ")[0] or part) + _CUT


def _by_sentence(said: str) -> type[StoreReplyError]:
    """The class of an ``ERR`` reply, told by its sentence."""
    if said.startswith(("ERR unknown command", "ERR Unknown Redis command called from")):
        return StoreCommandUnknown
    if said.startswith("ERR max number of clients"):
        return StoreFull
    if said.startswith("ERR DB index is out of range"):
        return StoreNoDatabase
    if said.startswith("ERR AUTH <password> called without any password"):
        return StoreWrongPassword
    return StoreReplyUnforeseen


def whole(value: object, what: str) -> int:
    """``value``, which is ``what`` in an answer. Raises StoreProtocol where it is no whole number: RESP3 has doubles,
    infinity, truth values and numbers of any length, too."""
    if type(value) is int and abs(value) <= _WHOLE_MAX:
        return value
    raise StoreProtocol(f"Redis answered a {type(value).__name__} for {what}; expected a whole number up to 2**53")


def garbled(address: str, data: bytes, error: Exception) -> StoreProtocol:
    """What to tell when ``data`` from ``address`` is not what a Redis would say."""
    if data.startswith((b"HTTP/", b"<html", b"<!DOC")):
        return StoreProtocol(f"{address} speaks HTTP, not Redis; check host and port in redis.connectionString")
    if data.startswith((b"\x15\x03", b"\x16\x03")):
        return StoreProtocol(f"{address} speaks TLS; set ssl=true in redis.connectionString")
    if isinstance(error, IndexError) and not data.startswith(b">"):
        return StoreProtocol(f"Redis at {address} sent a reply that nobody asked for; the connection was dropped")
    return StoreProtocol(
        f"{address} does not speak the Redis protocol ({error}); the connection was dropped", raw=str(error)
    )


def named(address: str, error: StoreReplyError) -> StoreReplyError:
    """``error``, with who said so before it was asked anything: that it takes no more clients, or not this one."""
    return type(error)(f"Redis at {address} answered: {error.raw} ({error.row.remedy})", raw=error.raw)


def is_push(push: list[Any]) -> bool:
    """Whether somebody may be told of ``push``. Raises TypeError where it has not the shape that its name promises."""
    match push:
        case [b"message", bytes(), bytes()] | [b"invalidate", None]:
            return True
        case [b"message" | b"invalidate", *rest]:
            if (
                push[0] == b"invalidate"
                and len(rest) == 1
                and isinstance(rest[0], list)
                and all(map(_is_text, rest[0]))
            ):
                return True
            raise TypeError("a push of another shape than its name promises")
        case [bytes(), *_]:
            return True
    raise TypeError("a push without a name")


def _is_text(word: object) -> bool:
    return type(word) is bytes


def silent(address: str, nothing_s: float, unfinished_s: float) -> StoreSilent:
    """Of a connection that was given up: nothing came for ``nothing_s``, and no whole reply for ``unfinished_s``."""
    if unfinished_s > 2 * nothing_s:
        return StoreSilent(
            f"Redis at {address} sends bytes, and has not finished a reply for {round(unfinished_s * 1000)} ms: "
            f"{StoreSilent.row.remedy}"
        )
    return StoreSilent(
        f"Redis at {address} has not answered for {round(nothing_s * 1000)} ms: {StoreSilent.row.remedy}"
    )
