"""Sessions that begin only while somebody watches: which of them wait, and who watches. In SQL, so on any node.

Who watches says so every few seconds as long as the stream goes on; after :data:`SEEN_MS` without that, nobody does.
"""

from typing import Final

from sqlalchemy import Connection, delete, select

from rppam.db.engine import NowMs, insert_into, now_ms
from rppam.db.store import SqlStore, reads, writes
from rppam.recordings.tables import recording_watchers

_W: Final = recording_watchers.c
SEEN_MS: Final = 15_000
WAITS_MS: Final = 900_000
"""A session that says no more that it waits is taken to wait no longer than this."""
_SESSION: Final = ""


class SqlWatchers(SqlStore):
    """See the module."""

    @writes
    def wait(self, connection: Connection, recording: str) -> None:
        """Say that the session of a recording waits to be watched."""
        _seen(connection, recording, _SESSION, "")

    @writes
    def begun(self, connection: Connection, recording: str) -> None:
        """Say that it waits no more."""
        connection.execute(delete(recording_watchers).where((_W.recording == recording) & (_W.user_id == _SESSION)))

    @reads
    def waits(self, connection: Connection, recording: str) -> bool:
        """Whether its session waits to be watched."""
        mine = (_W.recording == recording) & (_W.user_id == _SESSION) & (_W.seen > NowMs() - WAITS_MS)
        return connection.execute(select(_W.recording).where(mine)).first() is not None

    @writes
    def watches(self, connection: Connection, recording: str, user_id: str, name: str) -> None:
        """Say that somebody watches now, who may have a session begin by that."""
        _seen(connection, recording, user_id, name)

    @writes
    def leaves(self, connection: Connection, recording: str, user_id: str) -> None:
        """Say that somebody watches no more."""
        connection.execute(delete(recording_watchers).where((_W.recording == recording) & (_W.user_id == user_id)))

    @reads
    def other(self, connection: Connection, recording: str, user_id: str) -> tuple[str, str]:
        """Id and name of somebody else than ``user_id`` who watches now; empty: nobody does."""
        mine = (_W.recording == recording) & _W.user_id.not_in([_SESSION, user_id]) & (_W.seen > NowMs() - SEEN_MS)
        row = connection.execute(select(_W.user_id, _W.user_name).where(mine)).first()
        return ("", "") if row is None else (row.user_id, row.user_name)


def _seen(connection: Connection, recording: str, user_id: str, name: str) -> None:
    now = now_ms(connection)
    made = insert_into(connection, recording_watchers).values(
        recording=recording, user_id=user_id, user_name=name[:64], seen=now
    )
    connection.execute(made.on_conflict_do_update(index_elements=["recording", "user_id"], set_={"seen": now}))
