"""Every node's part: remembers the last checkpoint it has seen, and says when the next one does not follow from it.

Decides what a node believes of the ledger. It keeps origin, key, size and root in a file of its own, and takes a newer
checkpoint only with a valid signature of that key and a proof that the tree only grew. So a database that was put back,
replaced or signed by another key is noticed by each node that still has its file. What it does not promise: to notice
what nobody had seen signed.
"""

import asyncio
import base64
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, NamedTuple

from rppam.audit.keys import SigningKeys
from rppam.kernel.files import replace_durably
from rppam.ledger.checkpoint import Checkpoint, CheckpointRefused, read_checkpoint, verifier_of
from rppam.ledger.errors import EventUnknown, LedgerBroken, LedgerRolledBack, LedgerUnwatched
from rppam.ledger.merkle import is_consistent
from rppam.ledger.store import Signed, SqlLedger

log: Final = logging.getLogger("rppam.audit")

EVERY_S: Final = 2.0
FILE_NAME: Final = "ledger.json"
LATE_MS: Final = 30_000
"""Events that wait for longer are told: nobody integrates them."""


class Seen(NamedTuple):
    """What this node has seen signed."""

    key: str
    checkpoint: Checkpoint


class SeenFile:
    """The file that remembers it."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path

    def read(self) -> Seen | None:
        """What is remembered; ``None`` where there is no file. Raises :class:`LedgerUnwatched` for a damaged one."""
        try:
            found = json.loads(self.path.read_text("utf-8"))
            root = base64.b64decode(found["root"], validate=True)
            return Seen(found["key"], Checkpoint(found["origin"], int(found["size"]), root))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LedgerUnwatched(f"{self.path} cannot be read: {error}") from None

    def write(self, seen: Seen) -> None:
        """Remember ``seen``. Raises OSError."""
        origin, size, root = seen.checkpoint
        facts = {"origin": origin, "key": seen.key, "size": size, "root": base64.b64encode(root).decode()}
        replace_durably(self.path, lambda descriptor: self._owned(descriptor, json.dumps(facts).encode()))

    def _owned(self, descriptor: int, data: bytes) -> bytes:
        """Whoever runs a command as root leaves a file that the node can read: its owner is that of the folder."""
        if sys.platform != "win32" and os.geteuid() == 0:
            folder = self.path.parent.stat()
            os.fchown(descriptor, folder.st_uid, folder.st_gid)
        return data


async def adopted(ledger: SqlLedger, keys: SigningKeys, file: SeenFile, record: Callable[..., Awaitable[None]]) -> Seen:
    """Take the ledger that is in the database for the one that this node has seen, and record that.

    Raises :class:`LedgerBroken` where it is not signed by its own key, a ``DatabaseError``, OSError.
    """
    newest, verifier = await ledger.newest(), await keys.verifier()
    if newest is None or verifier is None:
        raise EventUnknown("the ledger has no signed checkpoint yet: there is nothing to take over")
    try:
        before = await asyncio.to_thread(file.read)
    except LedgerUnwatched:
        before = None
    try:
        seen = Seen(verifier.text(), read_checkpoint(newest.note, verifier))
    except CheckpointRefused as error:
        raise LedgerBroken(f"the checkpoint of {newest.size} events: {error}") from None
    await record(before.checkpoint.size if before else 0, seen.checkpoint.size)
    await asyncio.to_thread(file.write, seen)
    return seen


class LedgerWatch:
    """See the module."""

    name: Final = "the ledger"

    def __init__(self, ledger: SqlLedger, keys: SigningKeys, file: SeenFile) -> None:
        self._ledger, self._keys, self._file = ledger, keys, file

    async def check(self) -> str:
        """Compare the newest checkpoint with the last one; a warning for health, or nothing.

        Raises a ``LedgerError`` where the ledger is not what this node has seen, a ``DatabaseError``.
        """
        seen, newest = await asyncio.to_thread(self._file.read), await self._ledger.newest()
        if newest is None:
            if seen is not None:
                size = seen.checkpoint.size
                raise LedgerRolledBack(f"the ledger is empty; this node has seen {size} events of it signed")
            return ""
        key = seen.key if seen is not None else await self._key()
        try:
            checkpoint = read_checkpoint(newest.note, verifier_of(key))
        except CheckpointRefused as error:
            raise LedgerRolledBack(f"the checkpoint of {newest.size} events: {error}") from None
        if checkpoint.size != newest.size or checkpoint.root != newest.frontier.root():
            raise LedgerBroken(f"the checkpoint of {newest.size} events is not the one that its note signs")
        if seen is None or checkpoint != seen.checkpoint:
            if seen is not None:
                await self._follows(seen.checkpoint, newest, checkpoint)
            await self._remember(Seen(key, checkpoint))
        return await self._late()

    async def _remember(self, seen: Seen) -> None:
        try:
            await asyncio.to_thread(self._file.write, seen)
        except OSError as error:
            raise LedgerUnwatched(f"{self._file.path} cannot be written: {error.strerror}") from None

    async def _key(self) -> str:
        verifier = await self._keys.verifier()
        if verifier is None:
            raise LedgerBroken("there are checkpoints, and no key that has signed them")
        return verifier.text()

    async def _follows(self, before: Checkpoint, newest: Signed, checkpoint: Checkpoint) -> None:
        if checkpoint.origin != before.origin:
            raise LedgerRolledBack(f"expected the ledger {before.origin}, found {checkpoint.origin}")
        if checkpoint.size < before.size:
            raise LedgerRolledBack(
                f"the ledger has {checkpoint.size} events; this node has seen {before.size} of them signed"
            )
        proof = await self._ledger.consistency(before.size, newest.size)
        if not is_consistent(before.size, before.root, checkpoint.size, checkpoint.root, proof):
            raise LedgerRolledBack(
                f"the first {before.size} events of the ledger are not those that this node has seen signed"
            )

    async def _late(self) -> str:
        count, oldest, now = await self._ledger.waiting()
        if oldest is None or now - oldest < LATE_MS:
            return ""
        return (
            f"{count} events wait for their place in the ledger, the oldest for {(now - oldest) // 1000} s: no leader "
            "integrates them; they are recorded all the same"
        )
