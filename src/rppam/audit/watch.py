"""Every node's part: cosigns the newest checkpoint, or says that it does not follow from the last one it has seen.

Decides when health is warned; what a node believes of the ledger is decided in :mod:`rppam.ledger.cosigner`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from rppam.audit.cosigners import SqlCosigners, joined
from rppam.audit.keys import SigningKeys
from rppam.cluster.driver.node_tasks import step_of
from rppam.cluster.health.model import GaugeView
from rppam.ledger.checkpoint import CheckpointRefused, read_checkpoint, verifier_of
from rppam.ledger.cosigner import Cosigner, Offer, Seen, SeenFile, doubted
from rppam.ledger.errors import EventUnknown, LedgerBroken, LedgerRolledBack, LedgerUnwatched
from rppam.ledger.store import Signed, SqlLedger

EVERY_S: Final = 2.0
LATE_MS: Final = 30_000
"""Events that wait for longer are told: nobody integrates them."""
COSIGNED_MS: Final = 60_000
"""A member whose last cosignature is older, and not of the newest checkpoint, is missing."""


async def adopted(
    ledger: SqlLedger, keys: SigningKeys, file: SeenFile, record: Callable[..., Awaitable[None]]
) -> Seen | None:
    """Take the ledger that is in the database for the one that this node has seen, and record that.

    ``None``: it is an empty one. Raises :class:`LedgerBroken` where it is not signed by its own key,
    :class:`EventUnknown` where it is empty and this node has seen none, a ``DatabaseError``, :class:`LedgerUnwatched`.
    """
    newest, verifier = await ledger.newest(), await keys.verifier()
    try:
        before, is_known = await asyncio.to_thread(file.read), True
    except LedgerUnwatched:
        before, is_known = None, False
    size = before.checkpoint.size if before else 0
    if newest is None:
        if before is None and is_known:
            raise EventUnknown("the ledger has no signed checkpoint yet: there is nothing to take over")
        await record(size, 0)
        await asyncio.to_thread(file.forget)
        return None
    if verifier is None:
        raise LedgerBroken(_NO_KEY)
    try:
        life = before.life if before else ""
        seen = Seen(verifier.text(), read_checkpoint(newest.note, verifier), life)
    except CheckpointRefused as error:
        raise LedgerBroken(f"the checkpoint of {newest.size} events: {error}") from None
    await record(size, seen.checkpoint.size)
    await asyncio.to_thread(file.write, seen)
    return seen


async def require_followed(ledger: SqlLedger, keys: SigningKeys, seen: Seen, newest: Signed | None) -> None:
    """Let a ledger pass that follows from what was ``seen``, and goes on to be signed by the key of that.

    Raises :class:`LedgerRolledBack`, :class:`LedgerBroken` where the tree is not what is signed, a ``DatabaseError``.
    """
    size = seen.checkpoint.size
    if newest is None:
        raise LedgerRolledBack(f"the ledger is empty; this node has seen {size} events of it signed")
    proof = await ledger.consistency(size, newest.size) if size <= newest.size else []
    checkpoint, why = doubted(seen, Offer(seen.key, newest.note, size, tuple(proof)))
    if checkpoint is None:
        raise LedgerRolledBack(f"the ledger is not the one that this node has seen: {why}")
    if checkpoint.size != newest.size or checkpoint.root != newest.frontier.root():
        raise LedgerBroken(f"the checkpoint of {newest.size} events is not the one that its note signs")
    verifier = await keys.verifier()
    if verifier is None or verifier.text() != seen.key:
        raise LedgerRolledBack("the signing key in the database is not the one that this node has seen")


_NO_KEY: Final = "there are checkpoints, and no key that has signed them"


class LedgerWatch:
    """See the module."""

    name: Final = "the ledger"

    def __init__(self, ledger: SqlLedger, keys: SigningKeys, cosigner: Cosigner, cosigners: SqlCosigners) -> None:
        self._ledger, self._keys, self._cosigner, self._cosigners = ledger, keys, cosigner, cosigners
        self._noted = ""
        """The note of the last checkpoint that this process cosigned."""
        self.gauges: tuple[GaugeView, ...] = ()
        """How far the ledger is behind, for monitoring."""
        self._flaw = ""
        """Of an event that waits, as of the last look."""

    async def check(self) -> str:
        """Compare the newest checkpoint with the last one, and cosign it; a warning for health, or nothing.

        Raises a ``LedgerError`` where the ledger is not what this node has seen, a ``DatabaseError``.
        """
        try:
            # Read first, so that what the database has then is as new or newer.
            seen = await asyncio.to_thread(self._cosigner.file.read)
        finally:
            # Before anything is found wrong: monitoring needs the numbers most where something is.
            newest, late = await self._measured()
        if newest is None:
            if seen is not None:
                size = seen.checkpoint.size
                raise LedgerRolledBack(f"the ledger is empty; this node has seen {size} events of it signed")
            await self._waiting()
            return late
        key = seen.key if seen is not None else await self._key()
        try:
            checkpoint = read_checkpoint(newest.note, verifier_of(key))
        except CheckpointRefused as error:
            raise LedgerRolledBack(f"the checkpoint of {newest.size} events: {error}") from None
        if checkpoint.size != newest.size or checkpoint.root != newest.frontier.root():
            raise LedgerBroken(f"the checkpoint of {newest.size} events is not the one that its note signs")
        if seen is None or seen.checkpoint != checkpoint or newest.note != self._noted:
            await self._cosign(key, 0 if seen is None else seen.checkpoint.size, newest)
            late = await self._late(newest)  # this node is among those that cosign now
        await self._waiting()
        return joined(await self._cosigners.refusals(), late)

    async def _cosign(self, key: str, since: int, newest: Signed) -> None:
        proof = await self._ledger.consistency(since, newest.size) if since <= newest.size else []
        judged = await asyncio.to_thread(self._cosigner.judge, Offer(key, newest.note, since, tuple(proof)))
        if not judged.line:
            raise LedgerRolledBack(f"the ledger is not the one that this node has seen: {judged.why}")
        await self._cosigners.keep(self._cosigner.name, self._cosigner.key(), judged)
        self._noted = newest.note

    async def _waiting(self) -> None:
        """What keeps the leader from going on is seen by every node."""
        before, self._flaw = self._flaw, await self._ledger.flaw_waiting()
        if self._flaw and self._flaw == before:
            raise LedgerBroken(self._flaw)

    async def _key(self) -> str:
        verifier = await self._keys.verifier()
        if verifier is None:
            raise LedgerBroken(_NO_KEY)
        return verifier.text()

    async def _measured(self) -> tuple[Signed | None, str]:
        """The newest checkpoint, and what :meth:`_late` says. Raises :class:`LedgerBroken`, a ``DatabaseError``."""
        try:
            newest = await self._ledger.newest()
        except LedgerBroken:
            await self._late(None)
            raise
        return newest, await self._late(newest)

    async def _late(self, newest: Signed | None) -> str:
        """Take the numbers for monitoring; a warning where events wait for too long."""
        count, oldest, now = await self._ledger.waiting()
        waited_s = 0.0 if oldest is None else max(0, now - oldest) / 1000
        # Without a checkpoint nobody cosigns one, and nothing was signed for as long as the oldest event waits.
        cosigners = 0 if newest is None else await self._cosigners.current(newest.size, COSIGNED_MS)
        since_s = waited_s if newest is None else max(0, now - newest.made_at) / 1000
        self.gauges = (
            GaugeView("rppam_ledger_waiting_events", "Events that have no place in the signed tree yet.", count),
            GaugeView("rppam_ledger_waiting_seconds", "How long the oldest of them waits.", waited_s),
            GaugeView("rppam_ledger_checkpoint_age_seconds", "Seconds since the newest signed checkpoint.", since_s),
            GaugeView("rppam_ledger_cosigners", "Members that cosign what is signed, within a minute.", cosigners),
        )
        if oldest is None or now - oldest < LATE_MS:
            return ""
        return (
            f"events wait for their place in the ledger, the oldest for more than {step_of(now - oldest)}: no leader "
            "integrates them; they are recorded all the same"
        )
