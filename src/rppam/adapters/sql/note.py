"""The operator note, a guarded write (:class:`rppam.ports.note.FencedNote`)."""

from typing import Final

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from rppam.adapters.sql.database import Database, Use
from rppam.adapters.sql.engine import NowMs
from rppam.adapters.sql.fence import advance
from rppam.adapters.sql.tables import cluster_note
from rppam.domain.errors.database import DatabaseError
from rppam.domain.instant import WallMs
from rppam.domain.note import Note, check_note
from rppam.ports.register import Fenced

OPERATOR: Final = "operator"


class SqlFencedNote:
    """Keeps the note in SQL, behind the same fence as the epochs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, epoch: int, node: str, boot_id: str, text: str, author: str) -> Fenced:
        """Check and advance the fence and replace the note, in one transaction."""
        check_note(text)

        def work(connection: Connection) -> Fenced:
            if not advance(connection, epoch, node, boot_id):
                return Fenced.REFUSED
            insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
            row = {"text": text, "author": author, "epoch": epoch, "node": node, "written_at": NowMs()}
            new = insert(cluster_note).values(name=OPERATOR, **row)
            connection.execute(new.on_conflict_do_update(index_elements=[cluster_note.c.name], set_=row))
            return Fenced.ACCEPTED

        try:
            return await self._database.write(work, use=Use.FENCE)
        except DatabaseError:
            return Fenced.UNKNOWN

    async def read(self) -> Note | None:
        """The note, or ``None`` when none was ever written. Raises a ``DatabaseError``."""

        def work(connection: Connection) -> Note | None:
            row = connection.execute(select(cluster_note).where(cluster_note.c.name == OPERATOR)).one_or_none()
            if row is None:
                return None
            return Note(row.text, row.author, row.epoch, row.node, WallMs(row.written_at))

        return await self._database.read(work)
