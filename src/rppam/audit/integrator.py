"""The leader's part: records that it leads, puts committed events into the signed tree, and tells there how far it is.

It goes on while events wait, so that a burst is worked off at once. Decides when a leader signs: as long as the ledger
in the database follows from what its own node has seen. Otherwise it records that it leads, as everybody goes on to
record, and signs nothing until an administrator has the node adopt that ledger: a leader that made a restored or forged
one longer would sign the fork that it is there to notice. A ledger that is broken stays as it is: the integration stops
and is logged. What is recorded meanwhile waits for its place.
"""

import asyncio
from typing import Final

from sqlalchemy import Connection

from rppam.audit.keys import SigningKeys
from rppam.audit.watch import require_followed
from rppam.cluster.health.ports import Authority
from rppam.db.database import Database
from rppam.db.fence import require_leadership
from rppam.ledger.checkpoint import Signer
from rppam.ledger.cosigner import SeenFile
from rppam.ledger.errors import LedgerRolledBack
from rppam.ledger.leading import Leading
from rppam.ledger.model import Entity
from rppam.ledger.record import record
from rppam.ledger.store import BATCH, SqlLedger

EVERY_S: Final = 0.5


class Integrator:
    """See the module."""

    def __init__(
        self, database: Database, keys: SigningKeys, node: str, boot_id: str, file: SeenFile | None = None
    ) -> None:
        """``file``: what this node has seen of the ledger; ``None``: it remembers nothing."""
        self._database, self._keys, self._node, self._boot_id = database, keys, node, boot_id
        self._file = file
        self._ledger = SqlLedger(database)
        self._announced = 0
        """The epoch of which it is recorded that this node leads."""
        self._signer: Signer | None = None
        self.leading: Final = Leading(node, keys.origin)

    async def work(self, epoch: int) -> None:
        """One round. Raises a ``LedgerError``, a ``DatabaseError``, or that a newer leader has written."""
        authority = Authority(epoch, self._boot_id)
        if self._announced != epoch:
            await self._database.write(lambda connection: self._announce(connection, authority))
            self._announced = epoch
            self.leading.begin()
        for _ in range(2):  # where the newest checkpoint was not its own, it looks again and goes on
            if self.leading.note is None:
                await self._look(authority)
            assert self._signer is not None  # of the round that looked
            place = self._node, self._keys.origin, self._signer
            while await self._ledger.integrate(authority, *place, self.leading) == BATCH:
                pass
            if self.leading.note is not None:
                return

    def _announce(self, connection: Connection, authority: Authority) -> None:
        require_leadership(connection, authority.epoch, self._node, authority.boot_id)
        record(connection, "leader.elect", Entity("node", self._node, self._node), epoch=authority.epoch)

    async def _look(self, authority: Authority) -> None:
        """Before anything is signed. Raises :class:`LedgerRolledBack` where the ledger is not what was seen."""
        # The file first: what is signed meanwhile is longer.
        seen = await asyncio.to_thread(self._file.read) if self._file is not None else None
        newest = await self._ledger.newest()
        if seen is not None:
            try:
                await require_followed(self._ledger, self._keys, seen, newest)
            except LedgerRolledBack as error:
                raise LedgerRolledBack(f"this node leads, and signs nothing until it is adopted: {error}") from None
        self._signer = await self._keys.signer(authority, self._node)
        self.leading.note = "" if newest is None else newest.note
