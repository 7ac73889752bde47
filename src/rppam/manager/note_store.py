"""The operator note in SQL, behind the same fence as the epochs."""

from typing import Final

from sqlalchemy import Connection, select

from rppam.db.database import Database, Use
from rppam.db.engine import NowMs, insert_into
from rppam.db.errors import DatabaseError
from rppam.db.fence import advance, stands
from rppam.kernel.fence import Claimed, Fenced, OnOutranked, Outranked, unheard
from rppam.kernel.instant import WallMs
from rppam.ledger.model import Entity
from rppam.ledger.record import record
from rppam.manager.note_model import Note, check_note
from rppam.manager.tables import cluster_note

OPERATOR: Final = "operator"


class SqlFencedNote:
    """See :class:`rppam.manager.note_model.FencedNote`."""

    def __init__(self, database: Database, outranked: OnOutranked = unheard) -> None:
        """``outranked`` is called for each write that the fence refuses."""
        self._database, self._outranked = database, outranked

    async def write(self, epoch: int, node: str, boot_id: str, text: str, author: str) -> Fenced:
        """Replace the note, if the fence allows."""
        check_note(text)

        def work(connection: Connection) -> Claimed | None:
            if not advance(connection, epoch, node, boot_id):
                return stands(connection)
            row = {"text": text, "author": author, "epoch": epoch, "node": node, "written_at": NowMs()}
            new = insert_into(connection, cluster_note).values(name=OPERATOR, **row)
            connection.execute(new.on_conflict_do_update(index_elements=[cluster_note.c.name], set_=row))
            record(connection, "note.write", Entity("note", OPERATOR), epoch=epoch, details={"text": text})
            return None

        try:
            refused_by = await self._database.write(work, use=Use.FENCE)
        except DatabaseError:
            return Fenced.UNKNOWN
        if refused_by is None:
            return Fenced.ACCEPTED
        self._outranked(Outranked(epoch, refused_by))
        return Fenced.REFUSED

    async def read(self) -> Note | None:
        """The note, if there is one."""

        def work(connection: Connection) -> Note | None:
            row = connection.execute(select(cluster_note).where(cluster_note.c.name == OPERATOR)).one_or_none()
            if row is None:
                return None
            return Note(row.text, row.author, row.epoch, row.node, WallMs(row.written_at))

        return await self._database.read(work)
