"""The first words on a connection: RESP3, who we are, who the server is.

Promises: the password is in no error, also when the server quotes our HELLO; INFO and ROLE may be denied by an ACL
(HELLO says the role as well); a replica is refused where a primary is needed, and a server that still loads its data is
not usable yet.
"""

import asyncio
from typing import Any, Protocol

from rppam.redis.errors import StoreCommandDisabled, StoreError, StoreProtocol, StoreReplyError, StoreTooOld
from rppam.redis.identity import ServerIdentity, identify, parse_info
from rppam.redis.options import Target
from rppam.redis.reply_errors import (
    StoreCommandUnknown,
    StoreLoading,
    StoreNoPermission,
    StoreReadOnly,
    StoreReplyUnforeseen,
)


class _Line(Protocol):
    """As much of a Connection as a greeting needs."""

    async def command(self, *args: bytes | str | int, timeout_ms: int) -> Any: ...


async def greet(line: _Line, target: Target) -> ServerIdentity:
    """Enter and ask who is there. Raises the StoreError that says why this connection cannot be used."""
    hello = await _hello(line, target)
    # Longer than the connect timeout, which bounds all of this from outside.
    patience_ms = 2 * target.connect_timeout_ms
    asked: list[tuple[bytes | str | int, ...]] = [("PING",), ("INFO", "server"), ("INFO", "replication"), ("ROLE",)]
    if target.database:
        asked.append(("SELECT", target.database))
    answers = await asyncio.gather(
        *(line.command(*args, timeout_ms=patience_ms) for args in asked), return_exceptions=True
    )
    info: dict[str, str] = {}
    for args, answer in zip(asked, answers, strict=True):
        if isinstance(answer, bytes) and args[0] == "INFO":
            info |= parse_info(answer)
        elif isinstance(answer, list) and args[0] == "ROLE":
            info["role"] = _role(answer) or info.get("role", "")
        elif isinstance(answer, BaseException) and not _may_be_denied(args, answer):
            raise answer
    identity = identify(hello, info)
    if target.require_primary:
        _refuse_unusable(identity, target)
    return identity


async def _hello(line: _Line, target: Target) -> dict[bytes, object]:
    words: list[bytes | str | int] = ["HELLO", 3]
    if target.password is not None:
        words += ["AUTH", target.user or "default", target.password.reveal()]
    if target.client_name:
        words += ["SETNAME", _printable(target.client_name)]
    try:
        hello = await line.command(*words, timeout_ms=2 * target.connect_timeout_ms)
    except StoreCommandUnknown as error:
        raise _too_old(target, error) from None
    except StoreReplyUnforeseen as error:
        if error.raw.startswith("NOPROTO"):
            raise _too_old(target, error) from None
        raise _scrubbed(error, target) from None
    except StoreReplyError as error:
        raise _scrubbed(error, target) from None
    if not isinstance(hello, dict):
        raise StoreProtocol(
            f"{target.address} answered HELLO with something else than RESP3 says; check that it is a Redis"
        )
    return hello


def _may_be_denied(args: tuple[bytes | str | int, ...], answer: BaseException) -> bool:
    """Whether the connection is usable although ``args`` failed: INFO, ROLE and PING may be forbidden or renamed."""
    return args[0] != "SELECT" and isinstance(answer, StoreNoPermission | StoreCommandUnknown | StoreCommandDisabled)


def _role(answer: list[object]) -> str:
    """The first word of ROLE, which was asked last, so it is the newest of all answers about the role."""
    return answer[0].decode("ascii", "replace") if answer and isinstance(answer[0], bytes) else ""


def _refuse_unusable(identity: ServerIdentity, target: Target) -> None:
    if identity.mode == "sentinel":
        raise StoreProtocol(
            f"{target.address} is a Redis Sentinel, not a Redis; add serviceName=NAME to redis.connectionString"
        )
    if identity.role == "replica":
        raise StoreReadOnly(
            f"Redis at {target.address} is a read-only replica; point redis.connectionString at the primary, "
            "or use Sentinel with serviceName"
        )


def _too_old(target: Target, error: StoreError) -> StoreTooOld:
    return StoreTooOld(
        f"{target.address} does not know HELLO 3 ({_clean(error.raw, target)}); use Redis 6.2 or later without a "
        "protocol proxy, and do not rename HELLO there",
        raw=_clean(error.raw, target),
    )


def _scrubbed(error: StoreReplyError, target: Target) -> StoreReplyError:
    """The same error without anything that the server quoted from our HELLO, and with the address."""
    raw = _clean(error.raw, target)
    if isinstance(error, StoreLoading):
        return error
    return type(error)(f"Redis at {target.address} answered: {raw} ({error.row.remedy})", raw=raw)


def _clean(text: str, target: Target) -> str:
    if target.password is not None and target.password:
        text = text.replace(target.password.reveal(), str(target.password))
    return text


def _printable(name: str) -> str:
    """Redis accepts only printable ASCII without blanks as a client name."""
    return "".join(letter if "!" <= letter <= "~" else "-" for letter in name)
