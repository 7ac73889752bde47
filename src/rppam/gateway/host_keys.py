"""The gateway's own host keys in SQL: the same on every node.

A key is made once, by whichever process needs it first, and lies sealed; so an address that moves to another node shows
the same key, and no client is warned. What it does not promise: that keys are changed by themselves.
"""

from typing import Final, NamedTuple

from sqlalchemy import Connection, select

from rppam.crypto.data_keys import DataKeys
from rppam.db.database import Database
from rppam.db.engine import insert_into, now_ms
from rppam.gateway.tables import gateway_host_keys
from rppam.kernel.secret import Secret
from rppam.ledger.model import Entity
from rppam.ledger.record import record

_PLACE: Final = "the host key of the gateway"


class OwnKey(NamedTuple):
    """One of the gateway's own."""

    algorithm: str
    public: str
    private: Secret


class SqlOwnKeys:
    """The gateway's own host keys."""

    def __init__(self, database: Database, data_keys: DataKeys) -> None:
        self._database, self._data_keys = database, data_keys

    async def all(self) -> list[OwnKey]:
        """Those in force, the preferred one first; empty where none was made yet."""
        wanted = select(gateway_host_keys).order_by(gateway_host_keys.c.id)
        rows = await self._database.read(lambda connection: connection.execute(wanted).all())
        return [
            OwnKey(row.algorithm, row.public, await self._data_keys.unseal(row.sealed, f"{_PLACE} {row.id}"))
            for row in rows
        ]

    async def add(self, number: int, new: OwnKey, fingerprint: str) -> None:
        """Keep ``new`` as key ``number``, unless another process was faster."""
        sealed = await self._data_keys.seal(new.private, f"{_PLACE} {number}")

        def work(connection: Connection) -> None:
            made = connection.execute(
                insert_into(connection, gateway_host_keys)
                .values(
                    id=number, algorithm=new.algorithm, public=new.public, sealed=sealed, made_at=now_ms(connection)
                )
                .on_conflict_do_nothing()
            )
            if made.rowcount:
                record(connection, "hostkey.make", Entity("gateway", fingerprint), details={"fingerprint": fingerprint})

        await self._database.write(work)
