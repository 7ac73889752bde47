"""The highest epoch, in the cluster's database (:class:`rppam.cluster.store.register_port.EpochRegister`).

Leadership must go on when the database does not answer, so nothing here raises for that: it is *unknown*, and the
cause stands in :attr:`Database.reason`.
"""

from typing import NamedTuple

from sqlalchemy import Connection, select

from rppam.cluster.store.register_port import Fenced
from rppam.db.database import Database, Use
from rppam.db.errors import DatabaseError
from rppam.db.fence import advance, stands
from rppam.db.tables import epochs
from rppam.kernel.fence import Claimed
from rppam.kernel.instant import WallMs


class Leadership(NamedTuple):
    """One line of the history: who claimed which epoch, and when by the database's clock."""

    epoch: int
    node: str
    boot_id: str
    claimed_at: WallMs


class SqlEpochRegister:
    """Remembers the highest epoch in SQL, and who led when."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def highest(self, timeout_ms: int) -> int | None:
        """The highest epoch ever accepted here (0 when none), or ``None`` when there is no answer in time."""
        newest = await self.newest(timeout_ms)
        return None if newest is None else newest.epoch

    async def newest(self, timeout_ms: int) -> Claimed | None:
        """See the port."""
        try:
            return await self._database.read(stands, use=Use.FENCE, timeout_ms=timeout_ms)
        except DatabaseError:
            return None

    async def claim(self, epoch: int, node: str, boot_id: str, timeout_ms: int) -> Fenced:
        """Record that ``node`` leads at ``epoch``: accepts a higher epoch, or an equal one from the same boot id."""

        def work(connection: Connection) -> Fenced:
            return Fenced.ACCEPTED if advance(connection, epoch, node, boot_id) else Fenced.REFUSED

        try:
            return await self._database.write(work, use=Use.FENCE, timeout_ms=timeout_ms)
        except DatabaseError:
            return Fenced.UNKNOWN

    async def history(self, limit: int = 20) -> tuple[Leadership, ...]:
        """The newest leaderships, newest first. Raises a ``DatabaseError``."""

        def work(connection: Connection) -> tuple[Leadership, ...]:
            rows = connection.execute(select(epochs).order_by(epochs.c.epoch.desc()).limit(limit))
            return tuple(Leadership(row.epoch, row.node, row.boot_id, WallMs(row.claimed_at)) for row in rows)

        return await self._database.read(work)
