"""The leadership record, the heartbeats and the word of a release, on one Redis connection of their own.

It decides nothing about leadership. It does look, before the node takes part, whether the prefix is this cluster's own:
another cluster id under the same prefix, or a cluster whose prefix contains ours or lies within ours, is refused.
A node that took part is not ended by what it finds there later: it says so in the log and goes on. Where the server has
lost its data (FLUSHALL), the node that notices claims the prefix anew, so that others are refused as before.

Where Redis is replicated, a write of the record counts only when a replica has confirmed it: otherwise it ends in
StoreNotReplicated, which is *unknown* to leadership, as the write stands on the primary and a failover may undo it.

Keys, all under ``redis.keyPrefix``: ``leader`` (the record), ``heartbeat:NAME``, ``members`` and
``leavers`` (sets of names), ``cluster-id``; channel ``releases``.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from rppam.catalogue.table import ROWS
from rppam.cluster.consensus.heartbeat import Heartbeat, Role
from rppam.cluster.consensus.record import parse_record
from rppam.cluster.consensus.timing import HEARTBEAT_TTL_MS
from rppam.cluster.store.heartbeat_text import (
    foreign_format,
    heartbeat_from_text,
    heartbeat_to_text,
    is_name,
    is_unauthenticated,
)
from rppam.cluster.store.ports import ExchangeAnswer, ExchangeOrder, StoreListener
from rppam.crypto.store_mac import StoreMac
from rppam.kernel.protocol import HEARTBEAT
from rppam.redis.connection import Connection, Word
from rppam.redis.errors import StoreError, StoreNotReplicated, StoreProtocol
from rppam.redis.link import Link
from rppam.redis.replies import whole
from rppam.redis.scripts import Script

log = logging.getLogger("rppam.store")

EXCHANGE: Final = Script.load("exchange")
RECORD_TTL_MS: Final = 7 * 24 * 3_600_000
"""Garbage collection of the record of a cluster that is gone. Never a permission."""
SCAN_CALLS_MAX: Final = 50
SCAN_COUNT: Final = 1_000
FOREIGN_MAX: Final = 256
"""Names whose heartbeats are of a format that is not understood: each is told once."""


class RedisLeadershipStore:
    """Implements :class:`rppam.cluster.store.ports.LeadershipStore`."""

    def __init__(
        self,
        link: Link,
        prefix: str,
        cluster_id: str,
        node: str,
        on_foreign: Callable[[str], None],
        *,
        check_timeout_ms: int = 2_000,
        replicas: int = 0,
        heartbeat_ttl_ms: int = HEARTBEAT_TTL_MS,
        mac: StoreMac | None = None,
        orders_mac: StoreMac | None = None,
    ) -> None:
        """``replicas``: how many must confirm a write of the record before it counts.

        ``mac`` signs heartbeats, and says which to believe; ``None`` where there is no cluster key. ``orders_mac``, by
        the sealing key, does so with what they say of orders; ``None`` of a witness, which heeds none.
        """
        self._link = link
        self._prefix = prefix
        self._cluster_id = cluster_id
        self._node = node
        self._on_foreign = on_foreign
        self._check_timeout_ms = check_timeout_ms
        self._replicas = replicas
        self._heartbeat_ttl_ms = heartbeat_ttl_ms
        self._mac = mac
        self._orders_mac = orders_mac
        self._store_ms = 0
        """The store's wall clock in its last answer."""
        self._told: dict[str, int] = {}
        """Formats that are not understood, by whose heartbeat has them."""
        self._listener: StoreListener | None = None
        self._greeting: asyncio.Task[None] | None = None
        self._claiming: asyncio.Task[None] | None = None
        self._is_claimed = True
        self._scanned = False
        self._number = 0

    async def start(self, listener: StoreListener) -> None:
        """Connect. Raises the store's error when ``abortConnect`` says so; else goes on in the background."""
        self._listener = listener
        self._link.on_up(self._up)
        self._link.on_down(self._down)
        await self._link.subscribe(f"{self._prefix}releases", self._released)
        await self._link.start()

    async def stop(self) -> None:
        """Hang up."""
        for task in (self._greeting, self._claiming):
            if task is not None:
                task.cancel()
        await self._link.stop()

    async def exchange(self, order: ExchangeOrder, timeout_ms: int) -> ExchangeAnswer:
        """One round trip. Raises :class:`StoreError`; every kind of it means *unknown* to leadership."""
        keys, words = self._script_words(order)
        confirmed = self._replicas
        if order.proposed is not None and self._replicas:
            reply, confirmed = await self._link.run_script_replicated(
                EXCHANGE, keys, words, replicas=self._replicas, timeout_ms=timeout_ms
            )
        else:
            reply = await self._link.run_script(EXCHANGE, keys, words, timeout_ms=timeout_ms)
        answer = self._answer(reply)
        self._store_ms = answer.store_wall_ms
        if answer.was_absent:
            self._is_claimed = False  # what is gone with the record may be the claim to the prefix
        if not self._is_claimed and (self._claiming is None or self._claiming.done()):
            self._claiming = asyncio.create_task(self._claim_again(), name="store claim")
            self._claiming.add_done_callback(_tell_failure)
        if answer.granted and confirmed < self._replicas:
            raise StoreNotReplicated(
                f"Redis wrote the leadership record, but {confirmed} of {self._replicas} replicas confirmed it in "
                f"time, so it does not count. {StoreNotReplicated.row.remedy}"
            )
        return answer

    async def unregister(self, nodes: Sequence[str], timeout_ms: int) -> None:
        """See the port. Raises :class:`StoreError`."""
        await self._link.command("SREM", f"{self._prefix}members", *nodes, timeout_ms=timeout_ms)

    def _answer(self, reply: Any) -> ExchangeAnswer:
        """What the script said, and which heartbeats of it are believed. Raises StoreProtocol."""
        return _answer(reply, self._node, f"{self._prefix}members", self._mac, self._heartbeat_ttl_ms, self._read)

    def _read(self, text: bytes, node: str) -> Heartbeat | None:
        beat = heartbeat_from_text(text, node, self._mac, self._orders_mac)
        found = foreign_format(text, self._mac) if beat is None else None
        if found is not None and self._told.get(node) != found and len(self._told) < FOREIGN_MAX:
            self._told[node] = found
            log.warning("%s", HEARTBEAT.refusal(f"{node} writes heartbeats of", found))
        return beat

    def _text(self, heartbeat: Heartbeat | None) -> str:
        """What this node publishes; empty: nothing."""
        if heartbeat is None:
            return ""
        stamped = (
            heartbeat if self._mac is None else heartbeat._replace(store_ms=self._store_ms)
        )  # untagged it says nothing
        return heartbeat_to_text(stamped, self._mac, self._orders_mac)

    def _script_words(self, order: ExchangeOrder) -> tuple[list[Word], list[Word]]:
        """Keys and arguments of the exchange script."""
        heartbeat = order.heartbeat
        keys: list[Word] = [
            f"{self._prefix}leader",
            f"{self._prefix}heartbeat:{self._node}",
            f"{self._prefix}members",
            f"{self._prefix}leavers",
        ]
        return keys, [
            order.expected.encode() if order.expected else "",
            order.proposed.encode() if order.proposed else "",
            order.mark.encode(),
            self._text(heartbeat),
            self._heartbeat_ttl_ms,
            heartbeat.node if heartbeat else "",
            "1" if heartbeat and heartbeat.leaving else "",
            f"{self._prefix}heartbeat:",
            f"{self._prefix}releases",
            RECORD_TTL_MS,
            " ".join((self._node, *order.first)),  # the last argument, whatever comes before it
        ]

    # ---- word of the connection -------------------------------------------------------------------------------------

    def _up(self, connection: Connection) -> None:
        if self._greeting is not None:
            self._greeting.cancel()
        self._greeting = asyncio.create_task(self._greet(connection), name="store greeting")
        self._greeting.add_done_callback(_tell_failure)

    async def _greet(self, connection: Connection) -> None:
        """Make sure that this is our place, then let the node take part."""
        try:
            foreign = await self._foreign()
        except StoreError as error:
            log.warning("could not read whose the prefix %s is: %s", self._prefix, error)
            foreign = None
        if foreign is not None and not self._number:
            self._on_foreign(foreign)
            return
        if foreign is not None:
            log.error("%s. This node took part before and goes on", foreign)
        if self._listener is not None and connection.lost is None:
            self._number = connection.number
            identity = connection.identity
            known = f"{identity.run_id}/{identity.replication_id}" if identity.is_known else ""
            self._listener.on_up(connection.number, known)

    def _down(self, error: StoreError) -> None:
        if self._greeting is not None:
            self._greeting.cancel()
        if self._listener is not None:
            self._listener.on_down(self._number, str(error))

    def _released(self, _message: bytes) -> None:
        if self._listener is not None:
            self._listener.on_release()

    # ---- whose prefix is this? --------------------------------------------------------------------------------------

    async def _foreign(self) -> str | None:
        """A sentence when the prefix is not, or not only, this cluster's.

        The prefix is claimed only when nothing speaks against it: a claim left by a node that was refused would refuse
        the rightful cluster's nodes at their next start.
        """
        timeout_ms = self._check_timeout_ms
        key = f"{self._prefix}cluster-id"
        owner = await self._owner(key)
        if owner is not None:
            return self._not_ours(owner) or await self._neighbour()
        refusal = await self._neighbour()
        if refusal is not None:
            return refusal
        claimed = await self._link.command("SET", key, self._cluster_id, "NX", timeout_ms=timeout_ms)
        self._scanned = False  # somebody may have claimed another prefix in the same moment
        owner = await self._owner(key)
        if owner is None:
            self._is_claimed = False  # somebody deletes keys; the next exchange claims again
        refusal = self._not_ours(owner) or await self._neighbour()
        if refusal is not None and claimed is not None:
            await self._link.command("PEXPIRE", key, 0, timeout_ms=timeout_ms)  # gone, and no further right needed
        return refusal

    async def _claim_again(self) -> None:
        """Make sure that the prefix is still claimed. Where that fails the next exchange tries again."""
        self._scanned = False
        self._is_claimed = True  # said first: an exchange that finds the record gone meanwhile has the last word
        try:
            foreign = await self._foreign()
        except StoreError as error:
            log.debug("could not see whether the prefix %s is still claimed: %s", self._prefix, error)
            self._is_claimed = False
            return
        if foreign is not None:
            log.error("%s. This node took part before and goes on", foreign)

    async def _owner(self, key: str) -> str | None:
        """The cluster that has claimed the prefix; ``None`` where nobody has, or the claim is gone again."""
        found = await self._link.command("GET", key, timeout_ms=self._check_timeout_ms)
        return None if found is None else _text(found)

    def _not_ours(self, owner: str | None) -> str | None:
        """A sentence when the prefix is another cluster's. A claim that is gone is nobody's."""
        if owner is not None and owner != self._cluster_id:
            return (
                f"redis.keyPrefix '{self._prefix}' is used by the cluster '{owner}' on this Redis, and this node "
                f"belongs to '{self._cluster_id}'. Give this cluster a prefix of its own, such as "
                f"'{self._prefix.rstrip(':')}-{self._cluster_id}:', on every node"
            )
        return None

    async def _neighbour(self) -> str | None:
        """A sentence when another cluster's prefix lies around or within ours."""
        timeout_ms = self._check_timeout_ms
        for outer in _outer_prefixes(self._prefix):
            other = await self._link.command("GET", f"{outer}cluster-id", timeout_ms=timeout_ms)
            if other is not None:
                return self._nested(outer, _text(other), "lies within")
        if not self._scanned:
            inner = await self._inner_prefix(timeout_ms)
            self._scanned = True
            if inner is not None:
                return self._nested(inner, "another cluster", "contains")
        return None

    async def _inner_prefix(self, timeout_ms: int) -> str | None:
        """A prefix of another cluster inside ours. Bounded: a very full Redis is not searched to its end."""
        cursor = b"0"
        for _ in range(SCAN_CALLS_MAX):
            pattern = f"{self._prefix}*:cluster-id"
            reply = await self._link.command(
                "SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT, timeout_ms=timeout_ms
            )
            cursor, keys = _page_of(reply)
            for key in keys:
                return _text(key).removesuffix("cluster-id")
            if cursor == b"0":
                return None
        row = ROWS["RD-503"]
        log.info("%s: %s %s (redis.keyPrefix is '%s')", row.code, row.what, row.fix.common, self._prefix)
        return None

    def _nested(self, other_prefix: str, owner: str, relation: str) -> str:
        return (
            f"redis.keyPrefix '{self._prefix}' {relation} '{other_prefix}', the prefix of {owner} on this Redis, so "
            "keys of one could be taken for keys of the other. Choose prefixes of which none begins with the other; "
            f"if nobody uses that one any more, delete its key {other_prefix}cluster-id"
        )


def _tell_failure(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("the %s failed", task.get_name(), exc_info=error)


def _outer_prefixes(prefix: str) -> list[str]:
    parts = prefix.split(":")[:-1]
    return [":".join(parts[:count]) + ":" for count in range(1, len(parts))]


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _page_of(reply: Any) -> tuple[bytes, list[bytes]]:
    """The next cursor and the keys of a reply to SCAN. Raises StoreProtocol."""
    if isinstance(reply, list) and len(reply) == 2 and isinstance(reply[0], bytes) and isinstance(reply[1], list):
        return reply[0], reply[1]
    raise StoreProtocol("Redis answered something that is no answer to SCAN; expected a cursor and a list of keys")


def _answer(
    reply: Any,
    node: str,
    members_key: str,
    mac: StoreMac | None,
    ttl_ms: int,
    read: Callable[[bytes, str], Heartbeat | None],
) -> ExchangeAnswer:
    """What the script said. Raises StoreProtocol for whatever else a server may say: nothing of it ends the process."""
    try:
        granted, was_absent, stands, moved_aside, own_before, members, store_wall_ms = reply
        if not isinstance(members, list) or {*map(type, (stands, moved_aside, own_before, *members))} != {bytes}:
            raise TypeError("expected texts, found something else")
        record = parse_record(stands.decode("ascii"))
        listed = [(_text(name), text) for name, text in zip(members[::2], members[1::2], strict=True)]
        names = [(name, text) for name, text in listed if is_name(name)]
        if record is None:
            raise ValueError("the record is not one")  # one place tells all malformed answers
        store_ms = whole(store_wall_ms, "its time")

        def believed(name: str, text: bytes) -> Heartbeat | None:
            beat = read(text, name)
            is_old = mac is not None and beat is not None and abs(store_ms - beat.store_ms) > ttl_ms
            return None if is_old else beat  # it would have expired long ago: somebody put it back

        beats = tuple((name, believed(name, text)) for name, text in names)
        return ExchangeAnswer(
            whole(granted, "whether it was written") == 1,
            whole(was_absent, "whether there was none") == 1,
            record,
            _text(moved_aside) or _impossible(len(listed) - len(names), members_key),
            believed(node, own_before),
            beats,
            store_ms,
            tuple(dict.fromkeys(name for name, text in ((node, own_before), *names) if is_unauthenticated(text, mac))),
            tuple(name for name, beat in beats if beat and beat.maintenance is None and beat.role is not Role.WITNESS),
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise StoreProtocol(f"the exchange script answered something that is not its answer: {error}") from error


def _impossible(count: int, members_key: str) -> str:
    return f"{members_key} listed names that no node can have; they are passed over" if count else ""
