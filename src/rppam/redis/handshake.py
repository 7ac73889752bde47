"""The first words on a connection: RESP3, who we are, who the server is.

Promises: the password is in no error, also when the server quotes our HELLO; INFO and ROLE may be denied by an ACL
(HELLO says the role as well); a replica is refused where a primary is needed, and a server that still loads its data is
not usable yet.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from rppam.redis.errors import (
    StoreCluster,
    StoreCommandDisabled,
    StoreCommandUnknown,
    StoreError,
    StoreLoading,
    StoreNoPermission,
    StoreProtocol,
    StoreReadOnly,
    StoreReplyError,
    StoreTooOld,
)
from rppam.redis.options import Target

_Words = tuple[bytes | str | int, ...]
_Ask = Callable[[_Words], Awaitable[Any]]


class ServerIdentity(NamedTuple):
    """What one server said about itself, read once per connection.

    A restart, a failover or a move behind an address shows as another ``run_id`` or ``replication_id``. An ACL may deny
    INFO: then both ids are ``None``, and nothing may be concluded from two identities being alike.
    """

    server: str
    """``redis`` or ``valkey``."""
    version: str
    """The product's own version, such as ``8.1.1``."""
    redis_version: str
    """The Redis version that it is compatible with; equals ``version`` for Redis."""
    role: str
    """``master`` or ``replica``."""
    mode: str
    """``standalone``, ``sentinel`` or ``cluster``."""
    run_id: str | None
    """Changes with every start of the server process; ``None`` when INFO is denied."""
    replication_id: str | None
    """Changes when the history of the data may have changed (promotion, full resync of an empty primary)."""

    @property
    def is_known(self) -> bool:
        """Whether two equal identities prove that it is the same server process with the same history."""
        return self.run_id is not None and self.replication_id is not None


def parse_info(text: bytes) -> dict[str, str]:
    """The fields of an INFO reply. Lines that are no fields are skipped."""
    pairs = (line.partition(":") for line in text.decode("utf-8", "replace").splitlines())
    return {name: value for name, colon, value in pairs if colon and not name.startswith("#")}


def identify(hello: dict[bytes, object], info: dict[str, str]) -> ServerIdentity:
    """Put together what HELLO and INFO (possibly empty, when denied) said."""

    def said(name: bytes) -> str:
        value = hello.get(name, b"")
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

    redis_version = info.get("redis_version") or said(b"version")
    role = info.get("role") or said(b"role") or "master"
    return ServerIdentity(
        server=info.get("server_name") or said(b"server") or "redis",
        version=info.get("valkey_version") or said(b"version") or redis_version,
        redis_version=redis_version,
        role="replica" if role == "slave" else role,
        mode=info.get("redis_mode") or said(b"mode") or "standalone",
        run_id=info.get("run_id") or None,
        replication_id=info.get("master_replid") or None,
    )


async def greet(ask: _Ask, target: Target) -> ServerIdentity:
    """Enter and ask who is there. Raises the StoreError that says why this connection cannot be used."""
    hello = await _hello(ask, target)
    asked: list[_Words] = [("PING",), ("INFO", "server"), ("INFO", "replication"), ("ROLE",)]
    if target.database:
        asked.append(("SELECT", target.database))
    answers = await asyncio.gather(*map(ask, asked), return_exceptions=True)
    info: dict[str, str] = {}
    for words, answer in zip(asked, answers, strict=True):
        if isinstance(answer, bytes) and words[0] == "INFO":
            info |= parse_info(answer)
        elif isinstance(answer, list) and words[0] == "ROLE":
            # Asked last, so it is the newest of all answers about the role.
            role = answer[0].decode("ascii", "replace") if answer and isinstance(answer[0], bytes) else ""
            info["role"] = role or info.get("role", "")
        elif isinstance(answer, BaseException) and not _may_be_denied(words, answer):
            raise answer
    identity = identify(hello, info)
    if target.require_primary:
        _refuse_unusable(identity, target)
    return identity


async def _hello(ask: _Ask, target: Target) -> dict[bytes, object]:
    words: list[bytes | str | int] = ["HELLO", 3]
    if target.password is not None:
        words += ["AUTH", target.user or "default", target.password.reveal()]
    if target.client_name:  # Redis accepts only printable ASCII without blanks as a client name
        words += ["SETNAME", "".join(letter if "!" <= letter <= "~" else "-" for letter in target.client_name)]
    try:
        hello = await ask(tuple(words))
    except StoreReplyError as error:
        raise _refusal(error, target) from None
    if not isinstance(hello, dict):
        raise StoreProtocol(
            f"{target.address} answered HELLO with something else than RESP3 says; check that it is a Redis"
        )
    return hello


def _may_be_denied(words: _Words, answer: BaseException) -> bool:
    """Return whether the connection is usable all the same: INFO, ROLE and PING may be forbidden or renamed."""
    return words[0] != "SELECT" and isinstance(answer, StoreNoPermission | StoreCommandUnknown | StoreCommandDisabled)


def _refuse_unusable(identity: ServerIdentity, target: Target) -> None:
    if identity.mode == "sentinel":
        raise StoreProtocol(
            f"{target.address} is a Redis Sentinel, not a Redis; add serviceName=NAME to redis.connectionString"
        )
    if identity.mode == "cluster":
        raise StoreCluster(
            f"Redis at {target.address} runs in cluster mode, where one script must not touch keys of several slots; "
            "point redis.connectionString at a Redis without cluster-enabled, or at Sentinels",
            raw="mode: cluster",
        )
    if identity.role == "replica":
        raise StoreReadOnly(
            f"Redis at {target.address} is a read-only replica; point redis.connectionString at the primary, "
            "or use Sentinel with serviceName"
        )


def _refusal(error: StoreReplyError, target: Target) -> StoreError:
    """The refusal of our HELLO with the address, and without the password that the server may have quoted."""
    raw = error.raw
    if target.password:
        raw = raw.replace(target.password.reveal(), str(target.password))
    if isinstance(error, StoreCommandUnknown) or raw.startswith("NOPROTO"):
        return StoreTooOld(
            f"{target.address} does not know HELLO 3 ({raw}); use Redis 6.2 or later without a protocol proxy, and do "
            "not rename HELLO there",
            raw=raw,
        )
    if isinstance(error, StoreLoading):
        return error
    return type(error)(f"Redis at {target.address} answered: {raw} ({error.row.remedy})", raw=raw)
