"""Who was taken in as a member, for the ledger: the leader compares the list of members with what is recorded.

Members decide among themselves, without the database, so the event cannot be in the transaction of the act. The leader
writes it once the list is in force, behind the fence, in one transaction with what is recorded so far: one that is
killed before leaves it to the next one. Who has left the list is taken off, so that coming back is recorded again; that
somebody ordered it is an event of its own.

What it does not promise: a member that came and went while the database was away. Where members do not vote there is no
list, and nothing is recorded.
"""

import hashlib
from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, delete, insert, select

from rppam.cluster.health.ports import Authority
from rppam.db.database import Database
from rppam.db.fence import require_leadership
from rppam.db.tables import cluster_settings
from rppam.ledger.model import Entity
from rppam.ledger.record import record

EVERY_S: Final = 1.0
_PREFIX: Final = "member."
_DIGITS: Final = 40
"""A node's name may be too long to stand in the name of a row."""
_EARLIER: Final = "it was a member before that began to be recorded"
_S: Final = cluster_settings.c


class Joined:
    """See the module."""

    def __init__(self, database: Database, members: Callable[[], frozenset[str]], node: str, boot_id: str) -> None:
        """``members``: those of the list that is in force; empty while it changes, and where there is none."""
        self._database, self._members, self._node, self._boot_id = database, members, node, boot_id
        self._told: tuple[int, frozenset[str]] = (0, frozenset())

    async def work(self, epoch: int) -> None:
        """One round. Raises a ``DatabaseError``, or that a newer leader has written."""
        members = self._members()
        if members and self._told != (epoch, members):
            authority = Authority(epoch, self._boot_id)
            await self._database.write(lambda connection: self._record(connection, authority, members))
            self._told = epoch, members

    def _record(self, connection: Connection, authority: Authority, members: frozenset[str]) -> None:
        require_leadership(connection, authority.epoch, self._node, authority.boot_id)
        known = set(connection.execute(select(_S.value).where(_S.name.startswith(_PREFIX))).scalars())
        for name in sorted(known - members):
            connection.execute(delete(cluster_settings).where(_S.name == _row(name)))
        is_first = not known and len(members) > 1
        for name in sorted(members - known):
            connection.execute(insert(cluster_settings).values(name=_row(name), value=name))
            why = _EARLIER if is_first else ""
            record(connection, "member.join", Entity("node", name, name), reason=why, epoch=authority.epoch)


def _row(name: str) -> str:
    return _PREFIX + hashlib.sha256(name.encode()).hexdigest()[:_DIGITS]
