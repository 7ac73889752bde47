"""Whether ``redis.keyPrefix`` is this cluster's own: no other cluster id under it, no other cluster's prefix around it.

A node that took part is not ended by what it finds there later: the log says so, and it goes on. Where the server has
lost its data (FLUSHALL), the node that notices claims the prefix again, so that others are refused as before.
"""

import asyncio
import logging
from typing import Any, Final

from rppam.catalogue.table import ROWS
from rppam.redis.errors import StoreError, StoreProtocol
from rppam.redis.link import Link

log = logging.getLogger("rppam.store")

SCAN_CALLS_MAX: Final = 50
SCAN_COUNT: Final = 1_000
TIMEOUT_MS: Final = 2_000


class PrefixClaim:
    """One node's look at the prefix, and its cluster's claim to it."""

    def __init__(self, link: Link, prefix: str, cluster_id: str) -> None:
        self._link, self._prefix, self._cluster_id = link, prefix, cluster_id
        self._key = f"{prefix}cluster-id"
        self._is_claimed = True
        self._is_scanned = False
        self._claiming: asyncio.Task[None] | None = None

    async def refusal(self) -> str | None:
        """Claim the prefix, or return a sentence when it is not, or not only, this cluster's.

        It is claimed only when nothing speaks against it: a claim left by a node that was refused would refuse the
        rightful cluster's nodes at their next start. Raises StoreError.
        """
        owner = await self._owner()
        if owner is not None:
            return self._not_ours(owner) or await self._neighbour()
        refusal = await self._neighbour()
        if refusal is not None:
            return refusal
        claimed = await self._link.command("SET", self._key, self._cluster_id, "NX", timeout_ms=TIMEOUT_MS)
        self._is_scanned = False  # somebody may have claimed another prefix in the same moment
        owner = await self._owner()
        if owner is None:
            self._is_claimed = False  # somebody deletes keys; the next exchange claims again
        refusal = self._not_ours(owner) or await self._neighbour()
        if refusal is not None and claimed is not None:
            await self._link.command("PEXPIRE", self._key, 0, timeout_ms=TIMEOUT_MS)  # gone; needs no further right
        return refusal

    def exchanged(self, *, was_absent: bool) -> None:
        """An exchange was answered: claim the prefix again where the claim may have gone with the record."""
        if was_absent:
            self._is_claimed = False
        if not self._is_claimed and (self._claiming is None or self._claiming.done()):
            self._claiming = asyncio.create_task(self._claim_again(), name="store claim")
            self._claiming.add_done_callback(log_failure)

    def stop(self) -> None:
        if self._claiming is not None:
            self._claiming.cancel()

    async def _claim_again(self) -> None:
        """Make sure that the prefix is still claimed. Where that fails the next exchange tries again."""
        self._is_scanned = False
        self._is_claimed = True  # said first: an exchange that finds the record gone meanwhile has the last word
        try:
            foreign = await self.refusal()
        except StoreError as error:
            log.debug("could not see whether the prefix %s is still claimed: %s", self._prefix, error)
            self._is_claimed = False
            return
        if foreign is not None:
            log_foreign(foreign)

    async def _owner(self) -> str | None:
        """Return the cluster that has claimed the prefix; ``None`` where none has, or the claim is gone again."""
        found = await self._link.command("GET", self._key, timeout_ms=TIMEOUT_MS)
        return None if found is None else text_of(found)

    def _not_ours(self, owner: str | None) -> str | None:
        if owner is None or owner == self._cluster_id:
            return None
        return (
            f"redis.keyPrefix '{self._prefix}' is used by the cluster '{owner}' on this Redis, and this node "
            f"belongs to '{self._cluster_id}'. Give this cluster a prefix of its own, such as "
            f"'{self._prefix.rstrip(':')}-{self._cluster_id}:', on every node"
        )

    async def _neighbour(self) -> str | None:
        """Return a sentence when another cluster's prefix lies around or within ours."""
        parts = self._prefix.split(":")[:-1]
        for count in range(1, len(parts)):
            outer = ":".join(parts[:count]) + ":"
            other = await self._link.command("GET", f"{outer}cluster-id", timeout_ms=TIMEOUT_MS)
            if other is not None:
                return self._nested(outer, text_of(other), "lies within")
        if not self._is_scanned:
            inner = await self._inner_prefix()
            self._is_scanned = True
            if inner is not None:
                return self._nested(inner, "another cluster", "contains")
        return None

    async def _inner_prefix(self) -> str | None:
        """Find a prefix of another cluster inside ours. Bounded: a very full Redis is not searched to its end."""
        cursor, pattern = b"0", f"{self._prefix}*:cluster-id"
        for _ in range(SCAN_CALLS_MAX):
            reply = await self._link.command(
                "SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT, timeout_ms=TIMEOUT_MS
            )
            cursor, keys = _page_of(reply)
            for key in keys:
                return text_of(key).removesuffix("cluster-id")
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


def log_foreign(sentence: str) -> None:
    log.error("%s. This node took part before and goes on", sentence)


def log_failure(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("the %s failed", task.get_name(), exc_info=error)


def text_of(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _page_of(reply: Any) -> tuple[bytes, list[bytes]]:
    """Return the next cursor and the keys of a reply to SCAN. Raises StoreProtocol."""
    if isinstance(reply, list) and len(reply) == 2 and isinstance(reply[0], bytes) and isinstance(reply[1], list):
        return reply[0], reply[1]
    raise StoreProtocol("Redis answered something that is no answer to SCAN; expected a cursor and a list of keys")
