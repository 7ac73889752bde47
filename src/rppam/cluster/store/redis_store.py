"""The leadership record, the heartbeats and the word of a release, on one Redis connection of their own.

It decides nothing about leadership. Before the node takes part it checks that the prefix is this cluster's own.

Where Redis is replicated, a write of the record counts only when a replica has confirmed it: otherwise it ends in
StoreNotReplicated, which is *unknown* to leadership, as the write stands on the primary and a failover may undo it.

Keys, all under ``redis.keyPrefix``: ``leader`` (the record), ``heartbeat:NAME``, ``members`` and
``leavers`` (sets of names), ``cluster-id``; channel ``releases``.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from rppam.cluster.consensus.heartbeat import Heartbeat, Role
from rppam.cluster.consensus.record import SEAL_DIGITS, parse_record
from rppam.cluster.consensus.timing import HEARTBEAT_TTL_MS
from rppam.cluster.store.heartbeat_text import (
    foreign_format,
    heartbeat_to_text,
    is_name,
    judged_heartbeat,
)
from rppam.cluster.store.ports import ExchangeAnswer, ExchangeOrder, StoreListener
from rppam.cluster.store.prefix_claim import PrefixClaim, log_failure, log_foreign, text_of
from rppam.crypto.store_mac import StoreMac
from rppam.kernel.protocol import HEARTBEAT
from rppam.redis.connection import Connection, Script, whole
from rppam.redis.errors import StoreError, StoreNotReplicated, StoreProtocol
from rppam.redis.link import Link
from rppam.redis.pipeline import Word

log = logging.getLogger("rppam.store")

EXCHANGE: Final = Script.load("exchange")
RECORD_TTL_MS: Final = 7 * 24 * 3_600_000
"""Garbage collection of the record of a cluster that is gone. Never a permission."""
FOREIGN_MAX: Final = 256
"""Names whose heartbeats are of a format that is not understood: each is logged once."""
SEAL_KIND: Final = "record"


class RecordSeal:
    """The seal on leadership records: the first 64 bits of a tag, which is what the nonce has room for.

    So the record keeps its form, and members of a release that knows no seal go on reading and comparing it. 64 bits
    are enough here: each guess has to be shown to a member, which looks a few times a second.
    """

    def __init__(self, mac: StoreMac) -> None:
        self._mac = mac

    def of(self, text: str) -> str:
        return self._mac.tag(SEAL_KIND, text)[:SEAL_DIGITS]

    def is_genuine(self, text: str, digits: str) -> bool:
        return self._mac.is_genuine(SEAL_KIND, text, digits, SEAL_DIGITS)


class Heartbeats:
    """Signs this node's heartbeats, and decides which of those in the store are believed."""

    def __init__(self, node: str, ttl_ms: int, mac: StoreMac | None, orders_mac: StoreMac | None) -> None:
        """``mac``: ``None`` where there is no cluster key. ``orders_mac``, by the sealing key, is for what heartbeats
        say of orders; ``None`` of a witness, which heeds none."""
        self.node, self.ttl_ms = node, ttl_ms
        self._mac, self._orders_mac = mac, orders_mac
        self._store_ms = 0
        """The store's wall clock in its last answer."""
        self._logged: dict[str, int] = {}
        """Formats that are not understood, by whose heartbeat has them."""

    def text(self, heartbeat: Heartbeat | None) -> str:
        """Return what this node publishes; empty: nothing."""
        if heartbeat is None:
            return ""
        if self._mac is not None:  # untagged the time says nothing
            heartbeat = heartbeat._replace(store_ms=self._store_ms)
        return heartbeat_to_text(heartbeat, self._mac, self._orders_mac)

    def answer(self, reply: Any, members_key: str) -> ExchangeAnswer:
        """Read what the script said. Raises StoreProtocol for whatever else a server may say."""
        try:
            granted, was_absent, stands, moved_aside, own_before, members, store_wall_ms = reply
            if not isinstance(members, list) or {*map(type, (stands, moved_aside, own_before, *members))} != {bytes}:
                raise TypeError("expected texts, found something else")
            record = parse_record(stands.decode("ascii"))
            listed = [(text_of(name), text) for name, text in zip(members[::2], members[1::2], strict=True)]
            names = [(name, text) for name, text in listed if is_name(name)]
            if record is None:
                raise ValueError("the record is not one")  # one place tells all malformed answers
            store_ms = whole(store_wall_ms, "its time")
            impossible = f"{members_key} listed names that no node can have; they are passed over"
            forged: list[str] = []
            own = self._believed(own_before, self.node, store_ms, forged)
            beats = tuple((name, self._believed(text, name, store_ms, forged)) for name, text in names)
            answer = ExchangeAnswer(
                whole(granted, "whether it was written") == 1,
                whole(was_absent, "whether there was none") == 1,
                record,
                text_of(moved_aside) or (impossible if len(names) < len(listed) else ""),
                own,
                beats,
                store_ms,
                tuple(dict.fromkeys(forged)),
                tuple(
                    name for name, beat in beats if beat and beat.maintenance is None and beat.role is not Role.WITNESS
                ),
            )
        except (TypeError, ValueError, AttributeError) as error:
            raise StoreProtocol(f"the exchange script answered something that is not its answer: {error}") from error
        self._store_ms = store_ms
        return answer

    def _believed(self, text: bytes, name: str, store_ms: int, forged: list[str]) -> Heartbeat | None:
        """``forged`` gets the name where no holder of the cluster key wrote the text."""
        beat, is_forged = judged_heartbeat(text, name, self._mac, self._orders_mac)
        if is_forged:
            forged.append(name)
        if beat is None:
            self._log_format(text, name)
        elif self._mac is not None and abs(store_ms - beat.store_ms) > self.ttl_ms:
            return None  # it would have expired long ago: somebody put it back
        return beat

    def _log_format(self, text: bytes, node: str) -> None:
        found = foreign_format(text, self._mac)
        if found is not None and self._logged.get(node) != found and len(self._logged) < FOREIGN_MAX:
            self._logged[node] = found
            log.warning("%s", HEARTBEAT.refusal(f"{node} writes heartbeats of", found))


class RedisLeadershipStore:
    """Implements ``LeadershipStore``."""

    def __init__(
        self,
        link: Link,
        prefix: str,
        cluster_id: str,
        node: str,
        on_foreign: Callable[[str], None],
        *,
        replicas: int = 0,
        heartbeat_ttl_ms: int = HEARTBEAT_TTL_MS,
        mac: StoreMac | None = None,
        orders_mac: StoreMac | None = None,
    ) -> None:
        """``replicas``: how many must confirm a write of the record before it counts; the macs: see ``Heartbeats``."""
        self._link = link
        self._prefix = prefix
        self._on_foreign = on_foreign
        self._replicas = replicas
        self._heartbeats = Heartbeats(node, heartbeat_ttl_ms, mac, orders_mac)
        self._claim = PrefixClaim(link, prefix, cluster_id)
        self._listener: StoreListener | None = None
        self._greeting: asyncio.Task[None] | None = None
        self._number = 0

    async def start(self, listener: StoreListener) -> None:
        """Connect. Raises the store's error when ``abortConnect`` says so; else goes on in the background."""
        self._listener = listener
        self._link.on_up(self._up)
        self._link.on_down(self._down)
        await self._link.subscribe(f"{self._prefix}releases", self._released)
        await self._link.start()

    async def stop(self) -> None:
        if self._greeting is not None:
            self._greeting.cancel()
        self._claim.stop()
        await self._link.stop()

    async def exchange(self, order: ExchangeOrder, timeout_ms: int) -> ExchangeAnswer:
        """Make one round trip. Raises StoreError; every kind of it means *unknown* to leadership."""
        keys, words = self._script_words(order)
        confirmed = self._replicas
        if order.proposed is not None and self._replicas:
            reply, confirmed = await self._link.run_script_replicated(
                EXCHANGE, keys, words, replicas=self._replicas, timeout_ms=timeout_ms
            )
        else:
            reply = await self._link.run_script(EXCHANGE, keys, words, timeout_ms=timeout_ms)
        answer = self._heartbeats.answer(reply, f"{self._prefix}members")
        self._claim.exchanged(was_absent=answer.was_absent)
        if answer.granted and confirmed < self._replicas:
            raise StoreNotReplicated(
                f"Redis wrote the leadership record, but {confirmed} of {self._replicas} replicas confirmed it in "
                f"time, so it does not count. {StoreNotReplicated.row.remedy}"
            )
        return answer

    async def unregister(self, nodes: Sequence[str], timeout_ms: int) -> None:
        """Raises StoreError."""
        await self._link.command("SREM", f"{self._prefix}members", *nodes, timeout_ms=timeout_ms)

    def _script_words(self, order: ExchangeOrder) -> tuple[list[Word], list[Word]]:
        """Return keys and arguments of the exchange script."""
        heartbeat, node = order.heartbeat, self._heartbeats.node
        keys: list[Word] = [
            f"{self._prefix}leader",
            f"{self._prefix}heartbeat:{node}",
            f"{self._prefix}members",
            f"{self._prefix}leavers",
        ]
        return keys, [
            order.expected.encode() if order.expected else "",
            order.proposed.encode() if order.proposed else "",
            order.mark.encode(),
            self._heartbeats.text(heartbeat),
            self._heartbeats.ttl_ms,
            heartbeat.node if heartbeat else "",
            "1" if heartbeat and heartbeat.leaving else "",
            f"{self._prefix}heartbeat:",
            f"{self._prefix}releases",
            RECORD_TTL_MS,
            " ".join((node, *order.first)),  # the last argument, whatever comes before it
        ]

    # ---- word of the connection -------------------------------------------------------------------------------------

    def _up(self, connection: Connection) -> None:
        if self._greeting is not None:
            self._greeting.cancel()
        self._greeting = asyncio.create_task(self._greet(connection), name="store greeting")
        self._greeting.add_done_callback(log_failure)

    async def _greet(self, connection: Connection) -> None:
        """Make sure that this is our place, then let the node take part."""
        try:
            foreign = await self._claim.refusal()
        except StoreError as error:
            log.warning("could not read whose the prefix %s is: %s", self._prefix, error)
            foreign = None
        if foreign is not None and not self._number:
            self._on_foreign(foreign)
            return
        if foreign is not None:
            log_foreign(foreign)
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
