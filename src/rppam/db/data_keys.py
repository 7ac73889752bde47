"""The wrapped data keys in SQL (:class:`rppam.crypto.data_key_ports.DataKeyStore`)."""

from sqlalchemy import Connection, insert, select, update

from rppam.crypto.data_key_ports import WrappedKey
from rppam.db.database import Database
from rppam.db.engine import NowMs
from rppam.db.tables import data_keys


class SqlDataKeys:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> tuple[WrappedKey, ...]:
        """Every key, the newest first."""
        wanted = select(data_keys.c.kid, data_keys.c.wrapped, data_keys.c.wrapped_by).order_by(
            data_keys.c.created_at.desc(), data_keys.c.kid
        )
        return await self._database.read(
            lambda connection: tuple(WrappedKey(*row) for row in connection.execute(wanted))
        )

    async def add(self, key: WrappedKey) -> None:
        """Keep a new key."""

        def work(connection: Connection) -> None:
            connection.execute(insert(data_keys).values(**key._asdict(), created_at=NowMs()))

        await self._database.write(work)

    async def replace(self, old: WrappedKey, new: WrappedKey) -> None:
        """The same key, wrapped anew; nothing when somebody else did it meanwhile."""
        same = (data_keys.c.kid == old.kid) & (data_keys.c.wrapped == old.wrapped)
        change = update(data_keys).where(same).values(wrapped=new.wrapped, wrapped_by=new.wrapped_by)

        def work(connection: Connection) -> None:
            connection.execute(change)

        await self._database.write(work)
