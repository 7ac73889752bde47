"""What all nodes of a cluster share and nobody edits: today the cluster's id."""

from typing import Final

from sqlalchemy import Connection, select

from rppam.db.database import Database
from rppam.db.engine import insert_into
from rppam.db.tables import cluster_settings

CLUSTER_ID: Final = "cluster_id"


class SqlClusterSettings:
    """The cluster's own settings, in SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def cluster_id(self, proposal: str) -> str:
        """The cluster's id; the first node to ask gives it ``proposal``. Raises a ``DatabaseError``."""

        def work(connection: Connection) -> str:
            connection.execute(
                insert_into(connection, cluster_settings)
                .values(name=CLUSTER_ID, value=proposal)
                .on_conflict_do_nothing()
            )
            value: str = connection.execute(
                select(cluster_settings.c.value).where(cluster_settings.c.name == CLUSTER_ID)
            ).scalar_one()
            return value

        return await self._database.write(work)
