"""Sessions that outlive their gateway, in the register: who has one, and who may take it up.

Taking one up raises its generation, by compare-and-set: of two gateways one gets it, and whatever the one before still
writes here is refused. Each step is recorded in the transaction that takes it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, case, exists, func, insert, or_, select, update

from rppam.access.accounts.tables import users
from rppam.db.engine import NowMs, now_ms
from rppam.db.store import SqlStore, reads, writes
from rppam.gateway.model import LOOK_MS, LOST_MS, ORDERED, WHY_CHARS, About, NewAccess
from rppam.gateway.store import about_of, check_room, columns_of
from rppam.gateway.tables import access_sessions, session_orders
from rppam.kernel.actor import Actor
from rppam.kernel.instant import WallMs
from rppam.ledger.model import Entity
from rppam.ledger.record import record

_A: Final = access_sessions.c
_O: Final = session_orders.c
DUE_ROWS: Final = 20
KEPT_MAX: Final = 16
"""So many kept sessions a user has at most."""
NOT_BEGUN: Final = "-"
"""In place of what opens the holder, while there is none."""


@dataclass(frozen=True, slots=True)
class Kept(About):
    """A session that a holder keeps."""

    generation: int
    holder: str
    """What opens the holder, sealed; see :data:`rppam.gateway.tables.access_sessions`."""
    recording: str
    """Empty: it is not recorded."""
    is_detached: bool
    away_ms: int
    """How long nobody has had it, or said so."""
    started: WallMs
    bytes_up: int
    bytes_down: int

    @property
    def place(self) -> str:
        """What its holder's secret is sealed for."""
        return f"the session {self.id}"

    @property
    def is_free(self) -> bool:
        """Whether it is known that no gateway has it."""
        return self.is_detached or self.away_ms > LOST_MS


class SqlHeld(SqlStore):
    """See the module."""

    @writes
    def open(
        self,
        connection: Connection,
        new: NewAccess,
        holder: str,
        keep_ms: int,
        actor: Actor,
        details: Mapping[str, Any],
        most: int = 0,
    ) -> None:
        """Register a session that no gateway has begun yet, and record that it was opened. Raises as
        :meth:`~rppam.gateway.store.SqlAccess.begin`."""
        check_room(connection, new.user_id, most)
        now = now_ms(connection)
        columns = {
            **columns_of(new, now), "generation": 0, "holder": holder, "detached": now, "keep_ms": keep_ms,
        }  # fmt: skip
        connection.execute(insert(access_sessions).values(**columns))
        record(connection, "access.start", _entity(new.id, new.target), details=details, actor=actor)

    @writes
    def hold(
        self, connection: Connection, ident: str, generation: int, holder: str, recording: str, keep_ms: int
    ) -> bool:
        """Say that a holder keeps a session, or with an empty ``holder`` that none does; false: it is another's."""
        values = {"holder": holder, "recording": recording, "keep_ms": keep_ms}
        return _changed(connection, ident, generation, values)

    @writes
    def detach(
        self, connection: Connection, ident: str, generation: int, why: str, up: int, down: int, actor: Actor
    ) -> bool:
        """Say that a session is kept and nobody has it; false, and nothing is recorded, where it is another's."""
        values = {"detached": NowMs(), "seen": NowMs(), "bytes_up": up, "bytes_down": down}
        if not _changed(connection, ident, generation, values):
            return False
        target = connection.execute(select(_A.target).where(_A.id == ident)).scalar_one()
        facts = {"why": why[:WHY_CHARS], "bytesUp": up, "bytesDown": down}
        record(connection, "access.detach", _entity(ident, target), details=facts, actor=actor)
        return True

    @writes
    def take(
        self,
        connection: Connection,
        kept: Kept,
        node: str,
        boot_id: str,
        client: str,
        actor: Actor,
        reached: Mapping[str, Any] | None = None,
    ) -> bool:
        """Take a session up with the next generation; false where somebody else has, or it is over.

        ``reached``: how the target of one that nobody has begun was reached, for the ledger.
        """
        values = {
            "generation": kept.generation + 1, "detached": None, "seen": NowMs(), "node": node, "boot_id": boot_id,
            "client": client,
        }  # fmt: skip
        if not _changed(connection, kept.id, kept.generation, values):
            return False
        if kept.generation:
            facts = {"node": node, "generation": kept.generation + 1, "milliseconds": kept.away_ms}
            record(connection, "access.reattach", _entity(kept.id, kept.target), details=facts, actor=actor)
        elif reached is not None:
            record(connection, "access.reach", _entity(kept.id, kept.target), details=reached, actor=actor)
        return True

    @reads
    def of(self, connection: Connection, user_id: str, target_id: str, account_id: str) -> list[Kept]:
        """The sessions of a user with an account that may be gone on with, the newest first."""
        mine = (_A.user_id == user_id) & (_A.target_id == target_id) & (_A.account_id == account_id)
        wanted = _held().where(mine & (_A.kind == "ssh")).order_by(_A.id.desc()).limit(DUE_ROWS)
        return [_kept(row) for row in connection.execute(wanted)]

    @reads
    def find(self, connection: Connection, ident: str) -> Kept | None:
        """One session that is not over."""
        row = connection.execute(_held().where(_A.id == ident)).one_or_none()
        return None if row is None else _kept(row)

    @reads
    def due(self, connection: Connection, but: Collection[str] = ()) -> list[tuple[Kept, str]]:
        """Sessions that nobody has and that are to end, with the reason: some, none of ``but``, those that somebody
        ordered to end first."""
        ordered = exists().where((_O.session == _A.id) & _O.done_at.is_(None))
        late = _A.detached + _A.keep_ms < NowMs()
        gone = exists().where(
            (users.c.id == _A.user_id)
            & or_(users.c.disabled, users.c.deleted_at.is_not(None), users.c.auth_epoch != _A.auth_epoch)
        )
        wanted = _held().add_columns(late.label("late"), ordered.label("ordered"))
        wanted = wanted.where(_A.detached.is_not(None) & or_(late, ordered, gone) & _A.id.not_in(but))
        rows = connection.execute(wanted.order_by(case((ordered, 0), else_=1), _A.detached).limit(DUE_ROWS))
        return [(_kept(row), _why_due(row)) for row in rows]

    @reads
    def waiting(self, connection: Connection, after: str) -> list[Kept]:
        """Sessions that wait for their users to come back, by id: some that follow ``after``."""
        mine = _A.detached.is_not(None) & (_A.holder != NOT_BEGUN) & (_A.id > after)
        return [_kept(row) for row in connection.execute(_held().where(mine).order_by(_A.id).limit(DUE_ROWS))]

    @reads
    def to_look(self, connection: Connection) -> list[Kept]:
        """Some of those that wait, whose shells may have ended since somebody has looked."""
        wanted = _held().where((_A.holder != NOT_BEGUN) & _unseen()).order_by(_A.seen).limit(DUE_ROWS)
        return [_kept(row) for row in connection.execute(wanted)]

    @writes
    def looked(self, connection: Connection, kept: Kept) -> bool:
        """Say that somebody looks now; false: somebody else does."""
        mine = (_A.id == kept.id) & (_A.generation == kept.generation) & _A.active & _unseen()
        return bool(connection.execute(update(access_sessions).where(mine).values(seen=NowMs())).rowcount)

    @reads
    def count(self, connection: Connection, user_id: str, but: str = "") -> int:
        """How many sessions of a user are kept, or are to be, without ``but``."""
        mine = _A.active & (_A.holder != "") & (_A.user_id == user_id) & (_A.id != but)
        return connection.execute(select(func.count()).select_from(access_sessions).where(mine)).scalar_one()


def _why_due(row: Any) -> str:
    if row.ordered:
        return f"{ORDERED} while nobody was attached"
    return "nobody came back to it" if row.late else "the user may not go on"


def _unseen() -> Any:
    """Left, and not looked at for as long as it was left by then, nor for :data:`~rppam.gateway.model.LOOK_MS`."""
    waited = NowMs() - _A.seen
    return _A.detached.is_not(None) & (waited >= LOOK_MS) & (waited >= _A.seen - _A.detached)


def _held() -> Any:
    return select(access_sessions, NowMs().label("now")).where(_A.active & (_A.holder != ""))


def _changed(connection: Connection, ident: str, generation: int, values: Mapping[str, Any]) -> bool:
    mine = (_A.id == ident) & (_A.generation == generation) & _A.active
    return bool(connection.execute(update(access_sessions).where(mine).values(**values)).rowcount)


def _entity(ident: str, target: str) -> Entity:
    return Entity("access-session", ident, target)


def _kept(row: Row[Any]) -> Kept:
    since = row.seen if row.detached is None else row.detached
    return Kept(
        **about_of(row),
        generation=row.generation,
        holder=row.holder,
        recording=row.recording,
        is_detached=row.detached is not None,
        away_ms=max(0, row.now - since),
        started=WallMs(row.started),
        bytes_up=row.bytes_up,
        bytes_down=row.bytes_down,
    )
