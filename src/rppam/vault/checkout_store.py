"""Check-outs in SQL: a fenced lease on an entry, as parts of transactions.

A check-out holds from its row until it is ended or its time is over by the database's clock; nothing waits for a sweep,
and neither does the change of a secret that follows a use: :func:`standing_in` and ``STATE_NOW`` tell of it before.
Its generation is one more than that of any before, under a lock on the entry's row; and a partial unique index refuses
a second one of an exclusive entry whatever the code believes. Who comes with an older generation ends nothing.
"""

import uuid
from collections.abc import Collection
from functools import cache
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    Row,
    Select,
    bindparam,
    delete,
    exists,
    func,
    select,
    update,
)

from rppam.access.accounts.tables import users
from rppam.db.engine import NowMs, insert_into, insert_of, now_ms, rows_changed
from rppam.http.times import iso_utc
from rppam.kernel.instant import WallMs
from rppam.ledger.model import Entity, Word
from rppam.ledger.record import record
from rppam.vault.errors import CheckedOut, CheckoutUnknown, EntryBlocked, EntryUnknown
from rppam.vault.model import Checkout, Entry, EntryState, Holder
from rppam.vault.ports import Grant
from rppam.vault.store import STATE_NOW, entity_of
from rppam.vault.tables import checkout_waits, checkouts, vault_entries

_C: Final = checkouts.c
_W: Final = checkout_waits.c
_E: Final = vault_entries.c
WAIT_MS: Final = 15_000
"""Who waits asks again within this time, or waits no more."""
_ROWS: Final = 500
_HOLDS: Final = _C.ended_at.is_(None) & _C.exclusive & (_C.expires_at > NowMs())
"""An exclusive check-out that holds now."""
# Asked at each check-out, so it is put together once.
_STANDS: Final = select(
    NowMs().label("now"),
    exists().where(_W.entry_id == bindparam("entry")).label("is_waited_for"),
    exists().where(_C.entry_id == bindparam("entry"), _C.ended_at.is_(None)).label("is_open"),
)


def is_untouched(connection: Connection, entry_id: str) -> WallMs | None:
    """Whether nobody has an entry, has left a check-out of it to be ended, or waits for it: the database's time then.
    The entry's row is locked, so it stays so; and most check-outs need to ask no more."""
    row = connection.execute(_STANDS, {"entry": entry_id}).one()
    return None if row.is_waited_for or row.is_open else WallMs(row.now)


def holder_in(connection: Connection, entry_id: str) -> Checkout | None:
    """The exclusive check-out of an entry that holds now."""
    row = connection.execute(select(checkouts).where(_C.entry_id == entry_id, _HOLDS)).one_or_none()
    return None if row is None else checkout_of(row)


def holders_in(connection: Connection, entry_ids: Collection[str]) -> dict[str, Checkout]:
    """As :func:`holder_in`, of several entries: by the id of each that has one."""
    wanted = select(checkouts).where(_C.entry_id.in_(entry_ids), _HOLDS)
    return {row.entry_id: checkout_of(row) for row in connection.execute(wanted)}


def all_of(connection: Connection, entry_id: str) -> list[Checkout]:
    """The check-outs of an entry that nobody has ended, whoever has them."""
    rows = connection.execute(select(checkouts).where(_C.entry_id == entry_id, _C.ended_at.is_(None)))
    return [checkout_of(row) for row in rows]


class Standing(NamedTuple):
    """Who has an entry, and whether it can be had: all of one moment."""

    own: Checkout | None
    """The newest check-out of who asks."""
    exclusive: Checkout | None
    """The exclusive one, whoever has it."""
    state: EntryState


def standing_in(connection: Connection, entry_id: str, holder: Holder) -> Standing:
    """How an entry stands for ``holder`` now. Raises :class:`EntryUnknown`.

    One statement: between two of them a check-out could run out and be swept, and an entry that was read as available
    would have nobody who holds it.
    """
    asked = {"entry": entry_id, "user": holder.user_id, "name": holder.name}
    rows = connection.execute(_STANDING, asked).all()
    if not rows:
        raise EntryUnknown("no entry has this id")
    found = [checkout_of(row) for row in rows if row.id is not None]
    own = next((one for one in found if one.holder == holder), None)
    return Standing(own, next((one for one in found if one.exclusive), None), EntryState(rows[0].state_now))


def _standing() -> Select[Any]:
    mine = (_C.user_id == bindparam("user")) & (_C.user_name == bindparam("name"))
    holds = (_C.entry_id == _E.id) & _C.ended_at.is_(None) & (_C.expires_at > NowMs()) & (mine | _C.exclusive)
    joined = vault_entries.outerjoin(checkouts, holds)
    wanted = select(checkouts, STATE_NOW).select_from(joined).where(_E.id == bindparam("entry"))
    return wanted.order_by(_C.generation.desc())


_STANDING: Final = _standing()


def begin_checkout(
    connection: Connection,
    entry: Entry,
    holder: Holder,
    reason: str,
    minutes: int,
    grant: Grant | None,
    untouched: WallMs | None = None,
) -> Checkout:
    """Check an entry out, whose row is locked, and of which nothing is overdue; ``untouched``: what
    :func:`is_untouched` said in this transaction. Raises :class:`CheckedOut`."""
    now = now_ms(connection) if untouched is None else untouched
    until = now + minutes * 60_000
    row = {
        "id": str(uuid.uuid4()),
        "entry_id": entry.id,
        "entry_name": entry.name,
        "generation": entry.generation + 1,
        "user_id": holder.user_id,
        "user_name": holder.name[:256],
        "reason": reason,
        "exclusive": entry.policy.exclusive,
        "grant_id": "" if grant is None else grant.id,
        "started_at": now,
        "expires_at": until if grant is None else min(until, grant.until),
        "ended_why": "",
        "ended_by": "",
    }
    # What the unique indexes refuse is no row, and no error that would ask for a savepoint.
    made = connection.execute(_made_by(connection.dialect.name), row).one_or_none()
    if made is None:
        raise taken(connection, entry, None)
    connection.execute(_RAISE, {"entry": entry.id, "to": entry.generation + 1})
    if untouched is None:
        leave_queue(connection, entry.id, holder)
    found = checkout_of(made)
    facts = _facts(found) | {"until": iso_utc(found.expires_at), "grant": found.grant_id}
    record(connection, "checkout.begin", entity_of(entry), reason=reason, details=facts)
    return found


@cache
def _made_by(dialect: str) -> Executable:
    return insert_of(dialect, checkouts).on_conflict_do_nothing().returning(checkouts)


_RAISE: Final = update(vault_entries).where(_E.id == bindparam("entry")).values(generation=bindparam("to"))


def taken(connection: Connection, entry: Entry, position: int | None) -> CheckedOut:
    """What the caller hears where somebody else has it."""
    held = holder_in(connection, entry.id)
    if held is None:
        first = _first_waiting(connection, entry.id)
        name = "somebody" if first is None else first.user_name
        return CheckedOut(f"{name} waits before you", name, None, position)
    until = iso_utc(held.expires_at)
    place = "" if position is None else f"; you are number {position} in the queue"
    return CheckedOut(f"{held.holder.name} has it until {until}{place}", held.holder.name, until, position)


def blocked(entry: Entry, position: int | None = None) -> EntryBlocked:
    """What the caller hears where the secret has to be changed first."""
    place = "" if position is None else f"; you are number {position} in the queue"
    return EntryBlocked(f"{entry.name} was used and is not changed yet{place}")


_END: Final = (
    update(checkouts)
    .where(_C.id == bindparam("checkout"), _C.ended_at.is_(None))
    .values(ended_at=NowMs(), ended_why=bindparam("why"), ended_by=bindparam("by"))
)


def end_checkout(connection: Connection, checkout: Checkout, entry: Entry | None, why: str, by: str) -> bool:
    """End a check-out that stands; whether it was this call that did. ``entry``: ``None`` when it is deleted."""
    if rows_changed(connection, _END, {"checkout": checkout.id, "why": why, "by": by[:256]}) != 1:
        return False
    _after_use(connection, checkout, entry)
    target = Entity("secret", checkout.entry_id, checkout.entry_name) if entry is None else entity_of(entry)
    record(
        connection,
        "checkout.end",
        target,
        details=_facts(checkout) | {"why": why, "holder": Word(checkout.holder.name)},
    )
    return True


def end_overdue(connection: Connection, which: ColumnElement[bool], limit: int = _ROWS) -> int:
    """End check-outs whose time is over; how many. They held for nobody any more."""
    over = which & _C.ended_at.is_(None) & (_C.expires_at <= NowMs())
    return _end_all(connection, over, "expired", limit)


def end_overdue_of(connection: Connection, entry_id: str) -> int:
    """As :func:`end_overdue`, of one entry whose row is locked: before its state is changed, or a check-out begins."""
    return end_overdue(connection, _C.entry_id == entry_id)


def end_of_disabled(connection: Connection, limit: int = _ROWS) -> int:
    """End check-outs of users who are disabled or deleted; how many."""
    return _end_all(connection, _C.ended_at.is_(None) & _C.user_id.in_(_gone()), "user-disabled", limit)


def is_something_over(connection: Connection) -> bool:
    """Whether :func:`end_overdue` or :func:`end_of_disabled` would find one."""
    over = (_C.expires_at <= NowMs()) | _C.user_id.in_(_gone())
    return connection.execute(select(_C.id).where(_C.ended_at.is_(None) & over).limit(1)).first() is not None


def _gone() -> Select[Any]:
    return select(users.c.id).where(users.c.disabled | users.c.deleted_at.is_not(None))


def end_of_grant(connection: Connection, grant_id: str) -> int:
    """End check-outs that a grant made possible which has ended; how many."""
    return _end_all(connection, _C.ended_at.is_(None) & (_C.grant_id == grant_id), "grant-ended", _ROWS)


def _end_all(connection: Connection, which: ColumnElement[bool], why: str, limit: int) -> int:
    ended = 0
    wanted = select(checkouts).where(which).order_by(_C.entry_id, _C.generation.desc()).limit(limit)
    for row in connection.execute(wanted).all():
        # Entry first, then the check-out: whoever checks out or in takes them in this order, and would wait for ever.
        connection.execute(select(_E.id).where(_E.id == row.entry_id).with_for_update())
        ended += end_checkout(connection, checkout_of(row), None, why, "")
    return ended


def _after_use(connection: Connection, checkout: Checkout, entry: Entry | None) -> None:
    """What the end does to the entry: whoever knew the secret shall not know it any more."""
    newest = (_E.id == checkout.entry_id) & (_E.generation == checkout.generation) & _E.rotate_after_use
    if entry is None or entry.policy.rotate_after_use:
        state = EntryState.PENDING_ROTATION.value
        connection.execute(update(vault_entries).where(newest).values(state=state, revision=_E.revision + 1))


# ---- looking ---------------------------------------------------------------------------------------------------------


def checkout_in(connection: Connection, ident: str, *, lock: bool = False) -> Checkout:
    """Raises :class:`CheckoutUnknown`."""
    row = connection.execute(_LOCKED if lock else _ONE, {"checkout": ident}).one_or_none()
    if row is None:
        raise CheckoutUnknown("no check-out has this id")
    return checkout_of(row)


_ONE: Final = select(checkouts).where(_C.id == bindparam("checkout"))
_LOCKED: Final = _ONE.with_for_update()


def checkouts_page(
    connection: Connection, which: ColumnElement[bool], size: int, offset: int
) -> tuple[list[Checkout], int]:
    """The newest first, and how many there are in all."""
    total = connection.execute(select(func.count()).select_from(checkouts).where(which)).scalar_one()
    wanted = select(checkouts).where(which).order_by(_C.started_at.desc(), _C.id).limit(size).offset(offset)
    return [checkout_of(row) for row in connection.execute(wanted)], total


def checkout_of(row: Row[Any]) -> Checkout:
    """The check-out in a row."""
    return Checkout(
        id=row.id,
        entry_id=row.entry_id,
        entry_name=row.entry_name,
        generation=row.generation,
        holder=Holder(row.user_id, row.user_name),
        reason=row.reason,
        exclusive=row.exclusive,
        grant_id=row.grant_id,
        started_at=WallMs(row.started_at),
        expires_at=WallMs(row.expires_at),
        ended_at=None if row.ended_at is None else WallMs(row.ended_at),
        ended_why=row.ended_why,
        ended_by=row.ended_by,
    )


# ---- the queue -------------------------------------------------------------------------------------------------------


def queue_position(connection: Connection, entry_id: str, holder: Holder) -> int:
    """The caller's place, from 1, also for who does not wait. Who waits and has not asked for a while is left out."""
    connection.execute(delete(checkout_waits).where(_W.entry_id == entry_id, _W.asked_at < NowMs() - WAIT_MS))
    own = connection.execute(_own_wait(holder, select(_W.place).where(_W.entry_id == entry_id))).scalar_one_or_none()
    before = select(func.count()).select_from(checkout_waits).where(_W.entry_id == entry_id)
    if own is not None:
        before = before.where(_W.place < own)
    return int(connection.execute(before).scalar_one()) + 1


def join_queue(connection: Connection, entry_id: str, holder: Holder) -> int:
    """Wait, or say that one still does; the place. The entry's row is locked."""
    last = select(func.coalesce(func.max(_W.place), 0)).where(_W.entry_id == entry_id)
    place = int(connection.execute(last).scalar_one()) + 1
    row = {"entry_id": entry_id, "user_id": holder.user_id, "user_name": holder.name[:256]}
    new = insert_into(connection, checkout_waits).values(**row, place=place, since=NowMs(), asked_at=NowMs())
    connection.execute(
        new.on_conflict_do_update(index_elements=[_W.entry_id, _W.user_id, _W.user_name], set_={"asked_at": NowMs()})
    )
    return queue_position(connection, entry_id, holder)


def leave_queue(connection: Connection, entry_id: str, holder: Holder) -> None:
    """Wait no more."""
    connection.execute(_own_wait(holder, delete(checkout_waits).where(_W.entry_id == entry_id)))


def _own_wait(holder: Holder, statement: Any) -> Any:
    return statement.where(_W.user_id == holder.user_id, _W.user_name == holder.name[:256])


def _first_waiting(connection: Connection, entry_id: str) -> Row[Any] | None:
    wanted = select(checkout_waits).where(_W.entry_id == entry_id).order_by(_W.place).limit(1)
    return connection.execute(wanted).one_or_none()


def _facts(checkout: Checkout) -> dict[str, Any]:
    return {"checkout": checkout.id, "generation": checkout.generation}
