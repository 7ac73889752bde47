"""Facts about a Redis, collected from one host for the doctor: it never judges.

Every question is bounded by the caller's time. Nothing dangerous is executed: COMMAND INFO and ACL DRYRUN say whether a
command could be. To learn whether it can write, it writes three keys under our prefix that live for a second. A denied
question leaves its fact ``None``.
"""

import secrets
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final

from rppam.cluster.consensus.membership import MEMBERS_MAX
from rppam.config.endpoint import NotAnEndpointError, parse_endpoint
from rppam.doctor.diagnosis import code_of, second_look
from rppam.doctor.redis_facts import DANGEROUS, PrefixFacts, RedisFacts, SentinelFacts
from rppam.kernel.clock import Clock
from rppam.redis.connection import Connection, Script
from rppam.redis.errors import (
    StoreError,
    StoreFull,
    StoreNoPermission,
    StoreProtocol,
    StoreReplyError,
    StoreWrongType,
)
from rppam.redis.handshake import parse_info
from rppam.redis.options import Target
from rppam.redis.pipeline import Word

DOCTOR: Final = Script.load("doctor")
PINGS: Final = 20
PINGS_US_MAX: Final = 1_000_000
"""No further PING once all took longer than this: a few find out a slow server."""
SCAN_CALLS_MAX: Final = 20
SCAN_COUNT: Final = 1_000
_NEEDED: Final[tuple[tuple[Word, ...], ...]] = (("SCAN", "0", "COUNT", 1), ("EVALSHA", "0" * 40, 0))
_NEEDED_BEHIND_SENTINEL: Final[tuple[tuple[Word, ...], ...]] = (("WAIT", 0, 1),)
_NOT_A_REFUSAL: Final = ("NOSCRIPT", "ERR no such key")
"""Answers to an allowed question: no such script, or no key that a refused SET would have written."""
_US_PER_MS: Final = 1_000
_DIGITS_MAX: Final = 18


class Probe:
    """Questions on one open connection. Raises :class:`StoreError` only when the connection itself is lost."""

    def __init__(self, connection: Connection, clock: Clock, *, timeout_ms: int) -> None:
        self._connection = connection
        self._clock = clock
        self._timeout_ms = timeout_ms
        self._command = partial(connection.command, timeout_ms=timeout_ms)

    async def server(self, *, prefix: str | None = None, is_behind_sentinel: bool = False) -> RedisFacts:
        """Everything about the server; with ``prefix`` also whether a node could work under it."""
        target, identity = self._connection.target, self._connection.identity
        facts = RedisFacts(
            address=target.address,
            server=identity.server,
            version=identity.version,
            redis_version=identity.redis_version,
            info=await self._info(),
            user=target.user or "default",
            password_chars=len(target.password) if target.password is not None else None,
            round_trips_us=await self._round_trips(),
        )
        facts = await self._with_clock(facts)
        facts = await self._with_commands(facts)
        if prefix is None:
            return facts
        needed = _NEEDED + (_NEEDED_BEHIND_SENTINEL if is_behind_sentinel else ())
        return await self._with_work(facts, prefix, needed)

    async def names(self) -> RedisFacts:
        """The commands that the server knows under their own names, and its INFO: all that is asked of a replica."""
        return await self._with_commands(RedisFacts(address=self._connection.target.address, info=await self._info()))

    async def prefix(self, prefix: str, cluster_id: str) -> PrefixFacts:
        """Whose ``prefix`` is, by the keys ``cluster-id`` at, above and below it."""
        foreign = ""
        try:
            found = await self._command("GET", f"{prefix}cluster-id")
        except StoreReplyError as error:
            found = None
            foreign = error.raw if isinstance(error, StoreWrongType) else ""
        parts = prefix.split(":")[:-1]
        outer: list[tuple[str, str]] = []
        for count in range(1, len(parts)):
            above = ":".join(parts[:count]) + ":"
            owner = await self._ask("GET", f"{above}cluster-id")
            if isinstance(owner, bytes):
                outer.append((above, _text(owner)))
        inner, searched_all, not_searched = await self._inner(prefix)
        return PrefixFacts(
            prefix=prefix,
            cluster_id=cluster_id,
            found_id=_text(found) if isinstance(found, bytes) else None,
            foreign=foreign,
            outer=tuple(outer),
            inner=inner,
            searched_all=searched_all,
            not_searched=not_searched,
        )

    async def heartbeat_of(self, prefix: str, node: str) -> tuple[str, int] | None:
        """The text of a node's heartbeat and its time to live in milliseconds; ``None`` when there is none."""
        key = f"{prefix}heartbeat:{node}"
        text = await self._ask("GET", key)
        left = await self._ask("PTTL", key)
        if not isinstance(text, bytes):
            return None
        return _text(text), left if isinstance(left, int) else 0

    async def listed(self, prefix: str) -> int:
        """How many names the set of registered nodes has; 0 when that cannot be asked."""
        count = await self._ask("SCARD", f"{prefix}members")
        return count if isinstance(count, int) else 0

    async def heartbeats(self, prefix: str) -> dict[str, tuple[str, int]] | None:
        """All registered nodes: text of the heartbeat and its time to live in milliseconds. ``None``: denied.

        Nodes that left and names without a heartbeat are left out.
        """
        names = await self._ask("SMEMBERS", f"{prefix}members")
        if not isinstance(names, list | set):
            return None
        found: dict[str, tuple[str, int]] = {}
        for name in sorted(_text(name) for name in names)[:MEMBERS_MAX]:
            beat = await self.heartbeat_of(prefix, name)
            if beat is not None:
                found[name] = beat
        return found

    # ---- the single questions ---------------------------------------------------------------------------------------

    async def _ask(self, *words: Word) -> Any:
        """The reply, or ``None`` when the server refuses the question."""
        with suppress(StoreReplyError):
            return await self._command(*words)
        return None

    async def _info(self) -> dict[str, str]:
        fields: dict[str, str] = {}
        for section in ("default", "errorstats", "commandstats"):
            text = await self._ask("INFO", section)
            if isinstance(text, bytes):
                fields |= parse_info(text)
        return fields

    async def _round_trips(self) -> tuple[int, ...]:
        took: list[int] = []
        for _ in range(PINGS):
            before = self._clock.now()
            if await self._ask("PING") is None:
                break
            took.append(self._clock.now() - before)
            if sum(took) > PINGS_US_MAX:
                break
        return tuple(took)

    async def _with_clock(self, facts: RedisFacts) -> RedisFacts:
        """Compare Redis' clock with ours, by the fastest of three questions (Cristian's method)."""
        best: tuple[int, int] | None = None
        for _ in range(3):
            before_us, before_wall_ms = self._clock.now(), self._clock.wall_ms()
            answer = await self._ask("TIME")
            if not isinstance(answer, list) or len(answer) != 2 or not all(map(_is_number, answer)):
                return facts
            took_ms = (self._clock.now() - before_us) // _US_PER_MS
            theirs_ms = int(answer[0]) * 1000 + int(answer[1]) // 1000
            difference = theirs_ms - (before_wall_ms + took_ms // 2)
            if best is None or took_ms < best[0]:
                best = took_ms, difference
        assert best is not None
        return replace(facts, clock_difference_ms=best[1], clock_error_ms=best[0] // 2 + 1)

    async def _with_commands(self, facts: RedisFacts) -> RedisFacts:
        told = await self._ask("COMMAND", "INFO", *DANGEROUS)
        commands = None
        if isinstance(told, list) and len(told) == len(DANGEROUS):
            commands = {name: isinstance(entry, list) for name, entry in zip(DANGEROUS, told, strict=True)}
        me = await self._ask("ACL", "WHOAMI")
        user = _text(me) if isinstance(me, bytes) else facts.user
        runnable = await self._runnable(user, commands)
        rules = _rules(await self._ask("ACL", "GETUSER", user)) if runnable is None else None
        return replace(facts, commands=commands, user=user, runnable=runnable, rules=rules)

    async def _runnable(self, user: str, commands: dict[str, bool] | None) -> dict[str, bool] | None:
        """By ACL DRYRUN (Redis 7 and later), which runs nothing; ``None`` where it may not be asked."""
        found: dict[str, bool] = {}
        for name in DANGEROUS:
            if commands is not None and not commands.get(name):
                continue
            answer = await self._ask("ACL", "DRYRUN", user, name, *_DRY_WORDS.get(name, ()))
            if answer is None:
                return None
            found[name] = answer == b"OK"
        return found

    async def _with_work(self, facts: RedisFacts, prefix: str, needed: tuple[tuple[Word, ...], ...]) -> RedisFacts:
        """Write as a node does, and see what is refused."""
        mark = f"{prefix}doctor:{secrets.token_hex(4)}"
        refused: list[tuple[str, str]] = []
        try:
            await self._command("SET", mark, "1", "PX", 1_000, "NX")
        except StoreNoPermission as error:
            refused.append(("SET", error.raw))
        except StoreReplyError as error:
            return replace(
                facts,
                write_refusal=error.raw,
                write_code=code_of(error, with_tls=self._connection.target.ssl is not None),
            )
        try:
            answer = await self._command("EVAL", DOCTOR.text, 3, *(f"{mark}:{letter}" for letter in "abcd"))
            refused += _pairs_of(answer, self._connection.target.address)
        except StoreReplyError as error:
            refused.append(("EVAL", error.raw))
        channel = f"{prefix}releases".encode()
        for words in needed:
            refused += await self._refusal(str(words[0]), self._command(*words))
        refused += await self._refusal("SUBSCRIBE", self._connection.subscribe(channel, timeout_ms=self._timeout_ms))
        told = tuple((name, words) for name, words in refused if not words.startswith(_NOT_A_REFUSAL))
        return replace(facts, refused=told)

    async def _refusal(self, name: str, asked: Any) -> list[tuple[str, str]]:
        try:
            await asked
        except StoreReplyError as error:
            return [(name, error.raw)]
        return []

    async def _inner(self, prefix: str) -> tuple[tuple[str, ...], bool, str]:
        """Prefixes of clusters inside ours, whether all were searched, and why none could be.

        Bounded: a very full Redis is not searched to its end.
        """
        cursor: Any = b"0"
        found: set[str] = set()
        for _ in range(SCAN_CALLS_MAX):
            words = ("SCAN", cursor, "MATCH", f"{prefix}*:cluster-id", "COUNT", SCAN_COUNT)
            try:
                answer = await self._command(*words)
            except StoreReplyError as error:
                return (), False, error.raw
            if not isinstance(answer, list) or len(answer) != 2 or not isinstance(answer[1], list):
                return (), False, "something that is no answer to it"
            cursor = answer[0]
            found |= {_text(key).removesuffix("cluster-id") for key in answer[1]}
            if cursor == b"0":
                return tuple(sorted(found)), True, ""
        return tuple(sorted(found)), False, ""


_DRY_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "CONFIG": ("GET", "maxmemory"),
    "DEBUG": ("SLEEP", "0"),
    "KEYS": ("x",),
    "REPLICAOF": ("NO", "ONE"),
    "ACL": ("SETUSER", "x"),
}
"""Words that make each dangerous command whole, for DRYRUN."""


def _rules(account: Any) -> str | None:
    """The command rules in an ACL GETUSER answer."""
    if isinstance(account, list):
        account = dict(zip(account[::2], account[1::2], strict=False))
    rules = account.get(b"commands") if isinstance(account, dict) else None
    return _text(rules) if isinstance(rules, bytes) else None


async def lets_strangers_in(target: Target, clock: Clock) -> bool | None:
    """Return whether a client without a password is let in; ``None`` when that cannot be seen."""
    stranger = replace(target, user=None, password=None, require_primary=False, client_name=None)
    try:
        connection = await Connection.open(stranger, clock=clock)
    except StoreFull:
        return None
    except StoreReplyError:
        return False
    except StoreError:
        return None
    await connection.close()
    return True


async def ask_sentinel(target: Target, service: str, clock: Clock, *, timeout_ms: int) -> SentinelFacts:
    """What one sentinel knows about ``service``."""
    connection: Connection | None = None
    try:
        connection = await Connection.open(replace(target, require_primary=False, database=0), clock=clock)
        return await _sentinel(connection, service, timeout_ms)
    except StoreError as error:
        code = code_of(error, with_tls=target.ssl is not None, seen=await second_look(target, error))
        return SentinelFacts(address=target.address, failure=str(error), failure_code=code)
    finally:
        if connection is not None:
            await connection.close()


async def _sentinel(connection: Connection, service: str, timeout_ms: int) -> SentinelFacts:
    address = connection.target.address
    if connection.identity.mode != "sentinel":
        raise StoreProtocol(f"{address} is a Redis, not a sentinel (usually port 26379)")
    ask = partial(connection.command, timeout_ms=timeout_ms)
    named = await ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)
    if named is None:
        masters = await ask("SENTINEL", "MASTERS")
        services = (_pairs(master).get("name", "") for master in (masters if isinstance(masters, list) else ()))
        return SentinelFacts(address=address, known_services=tuple(filter(None, services)))
    primary = _endpoint(named)
    if primary is None:
        failure = f"{address} names something as the primary that is no address"
        return SentinelFacts(address=address, failure=failure)
    told = _pairs(await ask("SENTINEL", "MASTER", service))
    try:
        check = _text(await ask("SENTINEL", "CKQUORUM", service))
    except StoreReplyError as error:
        check = error.raw
    facts = SentinelFacts(
        address=address,
        primary=primary,
        replicas=_number(told.get("num-slaves")),
        other_sentinels=_number(told.get("num-other-sentinels")),
        flags=told.get("flags", ""),
        quorum_check=check,
    )
    if not facts.is_busy:
        return facts
    try:
        known = await ask("SENTINEL", "SLAVES", service)
    except StoreReplyError:  # a user of the sentinels that may not ask
        return facts
    replicas = [_pairs(one) for one in known] if isinstance(known, list) else []
    places = (_endpoint([one.get("ip", ""), one.get("port", "")]) for one in replicas)
    return replace(facts, replica_addresses=tuple(filter(None, places)))


def _pairs_of(answer: Any, address: str) -> list[tuple[str, str]]:
    """What the doctor's script returns. Raises StoreProtocol for anything else."""
    if isinstance(answer, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in answer):
        return [(_text(name), _text(words)) for name, words in answer]
    raise StoreProtocol(f"{address} answered a script with something that it does not return; check that it is a Redis")


def _endpoint(named: Any) -> str | None:
    """The address that a sentinel names, as ``host:port``; ``None`` when it is none."""
    if not isinstance(named, list) or len(named) != 2:
        return None
    host, port = map(_text, named)
    text = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        parse_endpoint(text)
    except NotAnEndpointError:
        return None
    return text


def _is_number(word: Any) -> bool:
    return isinstance(word, bytes) and word.isdigit() and len(word) <= _DIGITS_MAX


def _pairs(answer: Any) -> dict[str, str]:
    if isinstance(answer, dict):
        return {_text(name): _text(value) for name, value in answer.items()}
    if isinstance(answer, list):
        return {_text(name): _text(value) for name, value in zip(answer[::2], answer[1::2], strict=False)}
    return {}


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() and len(text) <= _DIGITS_MAX else None


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
