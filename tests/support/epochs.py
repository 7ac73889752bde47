"""What a database remembers of leaderships."""

from typing import NamedTuple

from sqlalchemy import select

from rppam.cluster.store.epoch_register import SqlEpochRegister
from rppam.db.database import Database
from rppam.db.tables import epochs


class Leadership(NamedTuple):
    """Who claimed which epoch, and when by the database's clock."""

    epoch: int
    node: str
    boot_id: str
    claimed_at: int


async def highest(register: SqlEpochRegister, timeout_ms: int) -> int | None:
    newest = await register.newest(timeout_ms)
    return None if newest is None else newest.epoch


async def leaderships(database: Database) -> list[Leadership]:
    """The newest first."""
    query = select(epochs.c.epoch, epochs.c.node, epochs.c.boot_id, epochs.c.claimed_at).order_by(epochs.c.epoch.desc())
    return [Leadership(*row) for row in await database.read(lambda connection: connection.execute(query).all())]
