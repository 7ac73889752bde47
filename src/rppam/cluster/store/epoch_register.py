"""The highest epoch, in the cluster's database.

Leadership must go on when the database does not answer, so nothing here raises for that: it is *unknown*, and the
cause stands in ``Database.reason``.
"""

from sqlalchemy import Connection

from rppam.db.database import Database, Use
from rppam.db.errors import DatabaseError
from rppam.db.fence import advance, stands
from rppam.kernel.fence import Claimed, Fenced


class SqlEpochRegister:
    """Implements ``EpochRegister``; the table ``epochs`` remembers who led when."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest(self, timeout_ms: int) -> Claimed | None:
        try:
            return await self._database.read(stands, use=Use.FENCE, timeout_ms=timeout_ms)
        except DatabaseError:
            return None

    async def claim(self, epoch: int, node: str, boot_id: str, timeout_ms: int) -> Fenced:
        def work(connection: Connection) -> Fenced:
            return Fenced.ACCEPTED if advance(connection, epoch, node, boot_id) else Fenced.REFUSED

        try:
            return await self._database.write(work, use=Use.FENCE, timeout_ms=timeout_ms)
        except DatabaseError:
            return Fenced.UNKNOWN
