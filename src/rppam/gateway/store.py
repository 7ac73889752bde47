"""Sessions with targets in SQL: the register that every node reads, and the orders to those who hold them.

A session is begun and ended in the transaction that records it. Only the gateway that holds a session ends it; the
leader closes those whose gateway has gone (:meth:`SqlAccess.sweep`).
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, func, insert, literal, or_, select, tuple_, update

from rppam.access.accounts.tables import users
from rppam.cache.change_log import record_change
from rppam.cache.model import CacheKey, Change, Kind as Cached
from rppam.db.engine import NowMs, now_ms
from rppam.db.store import SqlStore, reads, writes
from rppam.gateway.errors import AccessUnknown, RouteUnknown, TooManySessions
from rppam.gateway.model import (
    FILE_ACTIONS,
    LATE_MS,
    LOST_MS,
    ORDERED,
    WHY_CHARS,
    About,
    Access,
    Alive,
    FileNote,
    NewAccess,
    Order,
    Tick,
)
from rppam.gateway.tables import access_sessions, session_orders
from rppam.kernel.actor import Actor
from rppam.kernel.instant import WallMs
from rppam.ledger.model import Entity, Outcome, Word
from rppam.ledger.record import record
from rppam.ledger.tables import audit_events
from rppam.vault.model import Checkout
from rppam.vault.tables import checkouts, vault_entries

_A: Final = access_sessions.c
_E: Final = vault_entries.c
_C: Final = checkouts.c
_O: Final = session_orders.c
_L: Final = audit_events.c
SWEEP_ROWS: Final = 500
SAID_ROWS: Final = 1_000
"""Of so many sessions one statement says that they live: SQLite takes 32,766 values."""
NAME_CHARS: Final = 64
_MOVED: Final = (
    update(access_sessions)
    .where(_A.id == bindparam("ident"), _A.generation == bindparam("mine"), _A.active)
    .values(bytes_up=bindparam("bytes_up"), bytes_down=bindparam("bytes_down"))
)


class SqlAccess(SqlStore):
    """See the module."""

    @writes
    def begin(
        self,
        connection: Connection,
        new: NewAccess,
        actor: Actor,
        details: Mapping[str, Any],
        most: int = 0,
        since: int | None = None,
    ) -> None:
        """Register a session, and record that it began. Raises :class:`TooManySessions` where its user has ``most``
        others; 0: as many as one likes. ``since``: a moment before its secret was asked for; raises
        :class:`RouteUnknown` where a check-out has ended from then on that would have ended the session."""
        check_room(connection, new.user_id, most)
        _check_still_in(connection, new)
        if since is not None:
            check_still_out(connection, new, since)
        now = now_ms(connection)
        connection.execute(insert(access_sessions).values(**columns_of(new, now), generation=1))
        record(connection, "access.start", _entity(new.id, new.target), details=details, actor=actor)

    @reads
    def moment(self, connection: Connection) -> int:
        """What time it is by the database's clock."""
        return now_ms(connection)

    @writes
    def end(
        self,
        connection: Connection,
        ident: str,
        why: str,
        up: int,
        down: int,
        actor: Actor,
        generation: int | None = None,
        *,
        claimed: bool = False,
    ) -> bool:
        """Close a session, and record that it ended; false when it was closed before, or is of another generation.

        ``claimed``: that its shell ended, the account on the target alone says.
        """
        row = connection.execute(select(access_sessions).where(_A.id == ident).with_for_update()).one_or_none()
        if row is None or not row.active or generation not in {None, row.generation}:
            return False
        now, by, shown = now_ms(connection), "", why
        if why.startswith(ORDERED):
            by, said = _ordered_by(connection, ident), why.removeprefix(ORDERED)
            shown = f"ended by {by}{said}" if by and said[:1] in {"", ":"} else why
        connection.execute(
            update(access_sessions)
            .where(_A.id == ident)
            .values(active=False, ended=now, seen=now, why=shown[:WHY_CHARS], bytes_up=up, bytes_down=down)
        )
        connection.execute(
            update(session_orders).where((_O.session == ident) & _O.done_at.is_(None)).values(done_at=now)
        )
        facts: dict[str, Any] = {
            "why": why[:WHY_CHARS], "bytesUp": up, "bytesDown": down, "milliseconds": now - row.started,
        }  # fmt: skip
        if claimed:
            facts["claimedBy"] = "target"
        if by:
            facts["by"] = Word(by)
        record(connection, "access.end", _entity(ident, row.target), details=facts, actor=actor)
        return True

    @writes
    def note(
        self,
        connection: Connection,
        action: str,
        target: Entity,
        actor: Actor,
        details: Mapping[str, Any],
        refused: str = "",
    ) -> None:
        """Record something of a session that changes no row; ``refused`` is why it was."""
        outcome = Outcome.FAILURE if refused else Outcome.SUCCESS
        record(connection, action, target, outcome=outcome, reason=refused, details=details, actor=actor)

    @writes
    def note_all(
        self, connection: Connection, target: Entity, actor: Actor, notes: Sequence[tuple[str, Mapping[str, Any]]]
    ) -> None:
        """Record several things of a session: actions and details."""
        for action, details in notes:
            record(connection, action, target, details=details, actor=actor)

    @reads
    def files(self, connection: Connection, ident: str, after: int, count: int) -> list[FileNote]:
        """What a session has carried by SFTP, in order, behind place ``after`` of the ledger."""
        mine = (_L.object_kind == "access-session") & (_L.object_id == ident) & _L.action.in_(FILE_ACTIONS)
        wanted = select(_L.seq, _L.time, _L.action, _L.body).where(mine & (_L.seq > after))
        rows = connection.execute(wanted.order_by(_L.seq).limit(count))
        return [FileNote(row.seq, WallMs(row.time), row.action, json.loads(row.body)["details"]) for row in rows]

    @writes
    def tick(self, connection: Connection, live: Mapping[str, Alive]) -> Tick:
        """Say that sessions live, with their bytes; what a gateway should know of them."""
        now = now_ms(connection)
        said = [(ident, one.generation) for ident, one in live.items()]
        for begin in range(0, len(said), SAID_ROWS):
            mine = tuple_(_A.id, _A.generation).in_(said[begin : begin + SAID_ROWS])
            connection.execute(update(access_sessions).where(mine, _A.active).values(seen=now))
        moved = [
            {"ident": ident, "mine": one.generation, "bytes_up": one.up, "bytes_down": one.down}
            for ident, one in live.items()
            if one.moved
        ]
        if moved:
            connection.execute(_MOVED, moved)
        return _told(connection, live)

    @reads
    def look(self, connection: Connection, live: Mapping[str, Alive]) -> Tick:
        """As :meth:`tick`, and says nothing."""
        return _told(connection, live) if live else Tick((), {}, frozenset())

    @writes
    def kill(self, connection: Connection, ident: str, reason: str, by: str) -> Change:
        """Order that a session ends; what the log of changes says. Raises :class:`AccessUnknown`."""
        row = connection.execute(select(access_sessions).where(_A.id == ident)).one_or_none()
        if row is None or not row.active:
            raise AccessUnknown("no session with a target has this id, or it is over")
        return order_end(connection, row, reason, by)

    @reads
    def page(
        self, connection: Connection, user_id: str | None, active: bool | None, after: str | None, count: int
    ) -> list[Access]:
        """The newest first: of one user or of all, live ones, past ones or both."""
        wanted = select(access_sessions).order_by(_A.id.desc()).limit(count)
        if user_id is not None:
            wanted = wanted.where(_A.user_id == user_id)
        if active is not None:
            wanted = wanted.where(_A.active == active)
        if after is not None:
            wanted = wanted.where(_A.id < after)
        return [_access(row) for row in connection.execute(wanted)]

    @reads
    def find(self, connection: Connection, ident: str) -> Access | None:
        """One session, live or past."""
        row = connection.execute(select(access_sessions).where(_A.id == ident)).one_or_none()
        return None if row is None else _access(row)

    @reads
    def over(self, connection: Connection, ids: Sequence[str]) -> list[str]:
        """Those of these sessions that are over."""
        wanted = select(_A.id).where(_A.id.in_(ids) & ~_A.active)
        return list(connection.execute(wanted).scalars())

    @writes
    def sweep(self, connection: Connection) -> int:
        """Close the sessions whose gateway has not been heard of, or that nobody came back to; how many. What a holder
        keeps is kept."""
        silent = _A.detached.is_(None) & (_A.seen < NowMs() - LOST_MS)
        late = _A.detached + _A.keep_ms + LATE_MS < NowMs()
        lost = connection.execute(select(access_sessions).where(_A.active & or_(silent, late)).limit(SWEEP_ROWS)).all()
        for row in lost:
            now = now_ms(connection)
            why = f"the gateway on {row.node} has gone" if row.detached is None else "nobody came back to it"
            kept = row.detached is None and row.holder
            values = {"detached": row.seen} if kept else {"active": False, "ended": now, "why": why}
            closed = connection.execute(
                update(access_sessions)
                .where((_A.id == row.id) & _A.active & (_A.seen == row.seen) & (_A.generation == row.generation))
                .values(**values)
            )
            if closed.rowcount and kept:
                facts = {"why": why, "bytesUp": row.bytes_up, "bytesDown": row.bytes_down}
                record(connection, "access.detach", _entity(row.id, row.target), details=facts)
            elif closed.rowcount:
                facts = {"why": why, "bytesUp": row.bytes_up, "bytesDown": row.bytes_down, "user": Word(row.user_name)}
                record(connection, "access.end", _entity(row.id, row.target), details=facts)
        return len(lost)


class EndedUses:
    """Sessions that end with what they were opened with. Implements :class:`~rppam.vault.ports.Uses`."""

    def end(self, connection: Connection, account_id: str, checkout: Checkout, why: str, by: str) -> None:
        """Order that they end, as those who have them cannot find out any more."""
        holder = (_A.account_id == account_id) & (_A.user_id == checkout.holder.user_id)
        began = _A.active & (_A.started >= checkout.started_at)
        for row in connection.execute(select(access_sessions).where(holder, began)).all():
            order_end(connection, row, given_back(why), by)


def order_end(connection: Connection, row: Row[Any], reason: str, by: str) -> Change:
    """Order that the session in a row ends; what the log of changes says."""
    now = now_ms(connection)
    order = {"id": str(uuid.uuid4()), "session": row.id, "kind": "kill", "reason": reason, "by_name": by[:NAME_CHARS]}
    connection.execute(insert(session_orders).values(**order, at=now))
    change = Change(CacheKey(Cached.ACCESS, row.id), now)
    record_change(connection, change.key, change.revision)
    record(connection, "access.kill", _entity(row.id, row.target), reason=reason)
    return change


def given_back(why: str) -> str:
    """Why a session ends with the check-out of its secret."""
    return f"the check-out of its secret has ended ({why})"


def _told(connection: Connection, live: Mapping[str, Alive]) -> Tick:
    ids = list(live)
    orders = connection.execute(select(session_orders).where(_O.session.in_(ids) & _O.done_at.is_(None))).all()
    rows = connection.execute(
        select(
            _A.id,
            _A.active,
            _A.generation,
            _A.auth_epoch,
            users.c.disabled,
            users.c.deleted_at,
            users.c.auth_epoch.label("epoch"),
        )
        .select_from(access_sessions.outerjoin(users, users.c.id == _A.user_id))
        .where(_A.id.in_(ids))
    ).all()
    gone = _given_back(connection, ids) | {row.id: why for row in rows if (why := _why_gone(row))}
    return Tick(
        tuple(Order(row.id, row.session, row.kind, row.reason, row.by_name) for row in orders),
        gone,
        frozenset(row.id for row in rows if not row.active),
        frozenset(row.id for row in rows if row.active and row.generation != live[row.id].generation),
    )


def _ordered_by(connection: Connection, ident: str) -> str:
    wanted = select(_O.by_name).where((_O.session == ident) & (_O.kind == "kill")).order_by(_O.at).limit(1)
    return connection.execute(wanted).scalar_one_or_none() or ""


def _given_back(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    """Sessions whose secret their user has given back, or lost, since they began, where the entry says that this ends
    them (``killOnCheckin``)."""
    if not ids:
        return {}
    joined = access_sessions.join(vault_entries, _E.account_id == _A.account_id).join(
        checkouts, (_C.entry_id == _E.id) & (_C.user_id == _A.user_id)
    )
    over_at = func.coalesce(_C.ended_at, _C.expires_at)
    ended = (_C.started_at <= _A.started) & (over_at >= _A.started) & (over_at <= NowMs())
    wanted = select(_A.id, _C.ended_why).select_from(joined).where(_A.id.in_(ids), _E.kill_on_checkin, ended)
    return {row.id: given_back(row.ended_why or "expired") for row in connection.execute(wanted)}


def _why_gone(row: Any) -> str:
    if row.disabled is None or row.deleted_at is not None:
        return "the user was deleted"
    if row.disabled:
        return "the user was disabled"
    return "" if row.epoch == row.auth_epoch else "all sessions of the user were ended"


def _check_still_in(connection: Connection, new: NewAccess) -> None:
    """Raise :class:`RouteUnknown` where the user's log-ins were ended while the target was reached."""
    epoch = users.c.auth_epoch.label("epoch")
    columns = (users.c.disabled, users.c.deleted_at, epoch, literal(new.auth_epoch).label("auth_epoch"))
    row = connection.execute(select(*columns).where(users.c.id == new.user_id).with_for_update(read=True)).one_or_none()
    if why := "the user was deleted" if row is None else _why_gone(row):
        raise RouteUnknown(f"{why} meanwhile")


def check_room(connection: Connection, user_id: str, most: int) -> None:
    """Raise :class:`TooManySessions` where a user has ``most`` sessions or more; 0: nothing is too many.

    Two that begin at one instant wait for one another at the row of their user.
    """
    if not most:
        return
    connection.execute(select(users.c.id).where(users.c.id == user_id).with_for_update()).all()
    mine = select(func.count()).select_from(access_sessions).where(_A.user_id == user_id, _A.active)
    found = connection.execute(mine).scalar_one()
    if found >= most:
        raise TooManySessions(f"this user has {found} sessions with targets, and {most} are allowed at a time")


def check_still_out(connection: Connection, new: NewAccess, since: int) -> None:
    """Raise :class:`RouteUnknown` where a check-out of the user's has ended since then that ends its sessions.

    Of those that end later the session is known, so it is found. Who ends one has the entry's row: it is waited for.
    """
    of_account = (_E.account_id == new.account_id) & _E.kill_on_checkin
    connection.execute(select(_E.id).where(of_account).order_by(_E.id).with_for_update(read=True)).all()
    over_at = func.coalesce(_C.ended_at, _C.expires_at)
    over = (_C.user_id == new.user_id) & (over_at >= since) & (over_at <= NowMs())
    joined = checkouts.outerjoin(vault_entries, _E.id == _C.entry_id)
    # A deleted entry does not tell any more what it was for: who had it out begins once more.
    wanted = select(_C.id).select_from(joined).where(over, or_(of_account, _E.id.is_(None))).limit(1)
    if connection.execute(wanted).first() is not None:
        raise RouteUnknown("the check-out of its secret has ended meanwhile")


def columns_of(new: NewAccess, now: int) -> dict[str, Any]:
    """The row that ``new`` begins with."""
    columns = asdict(new)
    columns["user_name"] = columns.pop("user")
    return {**columns, "active": True, "started": now, "seen": now, "why": "", "bytes_up": 0, "bytes_down": 0}


def about_of(row: Row[Any]) -> dict[str, Any]:
    """The fields of :class:`About` that a row has."""
    names = (field.name for field in fields(About))
    return {name: getattr(row, "user_name" if name == "user" else name) for name in names}


def _entity(ident: str, target: str) -> Entity:
    return Entity("access-session", ident, target)


def _access(row: Row[Any]) -> Access:
    return Access(
        **about_of(row),
        client=row.client,
        node=row.node,
        boot_id=row.boot_id,
        active=row.active,
        started=WallMs(row.started),
        ended=None if row.ended is None else WallMs(row.ended),
        why=row.why,
        bytes_up=row.bytes_up,
        bytes_down=row.bytes_down,
        is_kept=bool(row.holder),
        detached=None if row.detached is None else WallMs(row.detached),
    )
