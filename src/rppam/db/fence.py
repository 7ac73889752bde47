"""The fence: one row that every guarded write checks and advances in its own transaction.

Accepted is a higher epoch, or the same epoch from the same life (boot id); nothing else. The check and the write are
one statement on one row, so two transactions cannot both pass it on an old reading: the second waits for the first's
row lock and is then judged by what the first has written.
"""

from typing import Final

from sqlalchemy import Connection, and_, delete, or_, select

from rppam.cluster.consensus.record import EPOCH_MAX
from rppam.db.engine import NowMs, insert_into, rows_changed
from rppam.db.tables import epochs, fence
from rppam.http.errors import FencedError
from rppam.kernel.fence import Claimed

HISTORY_MAX: Final = 1_000
"""Leaderships remembered by name."""


def stands(connection: Connection) -> Claimed:
    """The newest epoch that was accepted, and whose it is."""
    row = connection.execute(select(fence.c.epoch, fence.c.node, fence.c.boot_id)).one_or_none()
    return Claimed(0, "", "") if row is None else Claimed(row.epoch, row.node, row.boot_id)


def require_leadership(connection: Connection, epoch: int, node: str, boot_id: str) -> None:
    """As :func:`advance`. Raises :class:`~rppam.http.errors.FencedError` where it is refused."""
    if not advance(connection, epoch, node, boot_id):
        raise FencedError(f"{node} led at epoch {epoch}, but a newer leader has written since")


def advance(connection: Connection, epoch: int, node: str, boot_id: str) -> bool:
    """Check ``(epoch, boot_id)`` against the fence and raise it; false when it is refused, and nothing has changed."""
    if not 0 < epoch <= EPOCH_MAX:
        raise ValueError(f"epoch: expected 1 to {EPOCH_MAX}, found {epoch}")
    row = {"epoch": epoch, "node": node, "boot_id": boot_id, "claimed_at": NowMs()}
    new = insert_into(connection, fence).values(id=1, **row)
    passed = rows_changed(
        connection,
        new.on_conflict_do_update(
            index_elements=[fence.c.id],
            set_=row,
            where=or_(
                fence.c.epoch < new.excluded.epoch,
                and_(fence.c.epoch == new.excluded.epoch, fence.c.boot_id == new.excluded.boot_id),
            ),
        ),
    )
    if passed != 1:
        return False
    if rows_changed(connection, insert_into(connection, epochs).values(**row).on_conflict_do_nothing()) == 1:
        kept = select(epochs.c.epoch).order_by(epochs.c.epoch.desc()).limit(HISTORY_MAX)
        connection.execute(delete(epochs).where(epochs.c.epoch.not_in(kept)))
    return True
