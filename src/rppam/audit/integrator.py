"""The leader's part: records that it leads, puts committed events into the signed tree, and tells there how far it is.

It goes on while events wait, so that a burst is worked off at once. A ledger that is broken stays as it is: the
integration stops and is logged; what is recorded meanwhile waits.
"""

from typing import Final

from sqlalchemy import Connection

from rppam.audit.keys import SigningKeys
from rppam.cluster.health.ports import Authority
from rppam.db.database import Database
from rppam.db.fence import require_leadership
from rppam.ledger.checkpoint import Signer
from rppam.ledger.leading import Leading
from rppam.ledger.model import Entity
from rppam.ledger.record import record
from rppam.ledger.store import BATCH, SqlLedger

EVERY_S: Final = 0.5


class Integrator:
    """See the module."""

    def __init__(self, database: Database, keys: SigningKeys, node: str, boot_id: str) -> None:
        self._database, self._keys, self._node, self._boot_id = database, keys, node, boot_id
        self._ledger = SqlLedger(database)
        self._announced = 0
        """The epoch of which it is recorded that this node leads."""
        self._signer: Signer | None = None
        self.leading: Final = Leading(node, keys.origin)

    async def work(self, epoch: int) -> None:
        """One round. Raises a ``LedgerError``, a ``DatabaseError``, or that a newer leader has written."""
        authority = Authority(epoch, self._boot_id)
        if self._announced != epoch:
            self._signer = await self._keys.signer(authority, self._node)
            await self._database.write(lambda connection: self._announce(connection, authority))
            self._announced = epoch
            self.leading.begin()
        assert self._signer is not None  # of the round that announced
        place = self._node, self._keys.origin, self._signer
        while await self._ledger.integrate(authority, *place, self.leading) == BATCH:
            pass

    def _announce(self, connection: Connection, authority: Authority) -> None:
        require_leadership(connection, authority.epoch, self._node, authority.boot_id)
        record(connection, "leader.elect", Entity("node", self._node, self._node), epoch=authority.epoch)
