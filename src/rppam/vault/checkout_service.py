"""Check-outs: who has an exclusive entry, for how long, and how that ends. Each call is one transaction.

Any node grants, with Redis away and without a leader: what counts is one row in SQL and the database's clock.
"""

from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, true

from rppam.access.sessions.model import Identity
from rppam.db.engine import NowMs, now_ms
from rppam.vault.checkout_store import (
    begin_checkout,
    blocked,
    checkout_in,
    checkouts_page,
    end_checkout,
    end_of_disabled,
    end_overdue,
    end_overdue_of,
    holder_in,
    is_something_over,
    is_untouched,
    join_queue,
    queue_position,
    taken,
)
from rppam.vault.errors import CheckedOut, CheckoutOver, CheckoutUnknown, EntryBlocked, EntryUnknown, RightLacking
from rppam.vault.model import Checkout, Entry, EntryState, Right
from rppam.vault.policy import check, holder_of
from rppam.vault.service import Vault
from rppam.vault.store import entry_in
from rppam.vault.tables import checkouts

_C: Final = checkouts.c


class Wish(NamedTuple):
    """What somebody wants."""

    entry_id: str
    reason: str
    minutes: int
    wait: bool = False
    """Queue where somebody else has it, until one asks no more."""


class Checkouts:
    """See the module. Every call raises a ``DatabaseError`` when the database does not answer."""

    def __init__(self, vault: Vault, *, minutes_max: int) -> None:
        """``minutes_max``: a longer wish is cut to it."""
        self._vault, self._minutes_max = vault, minutes_max

    async def begin(self, caller: Identity, wish: Wish) -> Checkout:
        """Check an entry out.

        Raises :class:`EntryUnknown`, :class:`RightLacking`, :class:`~rppam.vault.errors.ReasonNeeded`,
        :class:`EntryBlocked` where its secret is to be changed first, and :class:`CheckedOut` where somebody else has
        it; with ``wait`` the caller is in the queue then and asks again.
        """
        why = self._vault.reason(wish.reason)
        refused: list[CheckedOut | EntryBlocked] = []

        def work(connection: Connection) -> Checkout | None:
            access = self._vault.access(connection, caller)
            self._vault.lock_grant(connection, access, wish.entry_id, Right.USE, Right.REVEAL)
            entry = entry_in(connection, wish.entry_id, lock=True)
            check(access, entry, Right.USE, Right.REVEAL)
            holder = holder_of(caller)
            untouched = is_untouched(connection, entry.id)
            if untouched is None and entry.policy.exclusive:
                position = queue_position(connection, entry.id, holder)
                if position > 1 or holder_in(connection, entry.id) is not None:
                    # The place in the queue is kept, so this transaction is no failure.
                    place = join_queue(connection, entry.id, holder) if wish.wait else None
                    refused.append(taken(connection, entry, place))
                    return None
            # What has run out holds for nobody since, also not between two looks; its end may ask for another secret.
            if untouched is None and end_overdue_of(connection, entry.id):
                entry = entry_in(connection, entry.id)
            if entry.state is EntryState.PENDING_ROTATION:
                # That a check-out has ended is kept, and so is the place of who waits for the next one.
                queues = wish.wait and entry.policy.exclusive
                place = join_queue(connection, entry.id, holder) if queues else None
                refused.append(blocked(entry, place))
                return None
            self._vault.keyring.check(connection)
            grant = access.needed_grant(entry, Right.USE, Right.REVEAL)
            self._vault.used(connection, grant)
            minutes = min(wish.minutes, self._minutes_max)
            return begin_checkout(connection, entry, holder, why, minutes, grant, untouched)

        made = await self._vault.database.write(work)
        if made is None:
            raise refused[-1]
        return made

    async def check_in(self, caller: Identity, ident: str, generation: int | None = None) -> None:
        """Give an entry back. Doing it twice is no failure, unless somebody has had the entry since.

        Raises :class:`CheckoutUnknown`, :class:`CheckoutOver`.
        """

        def work(connection: Connection) -> None:
            checkout, entry = self._locked(connection, ident)
            if checkout.holder != holder_of(caller):
                raise self._stranger(connection, caller, entry)
            self._check_newest(checkout, entry, generation)
            over = checkout.ended_at is not None or checkout.expires_at <= now_ms(connection)
            if over and checkout.ended_why != "checkin":
                why = checkout.ended_why or "expired"
                raise CheckoutOver(f"this check-out has ended already ({why})")
            end_checkout(connection, checkout, entry, "checkin", caller.subject)

        await self._vault.database.write(work)

    async def force(self, caller: Identity, ident: str, reason: str) -> Checkout:
        """End somebody's check-out, and tell them.

        Raises :class:`CheckoutUnknown`, :class:`CheckoutOver`, :class:`RightLacking`.
        """
        why = self._vault.reason(reason)

        def work(connection: Connection) -> Checkout:
            checkout, entry = self._locked(connection, ident)
            if entry is not None:
                check(self._vault.access(connection, caller), entry, Right.MANAGE)
            if not end_checkout(connection, checkout, entry, "forced", f"{caller.subject}: {why}"):
                raise CheckoutOver(f"this check-out has ended already ({checkout.ended_why})")
            if entry is not None:
                self._vault.tell_forced(connection, entry, checkout, caller.subject, why)
            return checkout_in(connection, ident)

        return await self._vault.database.write(work)

    async def get(self, caller: Identity, ident: str) -> Checkout:
        """One of them. Raises :class:`CheckoutUnknown`."""

        def work(connection: Connection) -> Checkout:
            checkout = checkout_in(connection, ident)
            if checkout.holder != holder_of(caller):
                entry = self._entry(connection, checkout)
                access = self._vault.access(connection, caller)
                seen = access.everywhere if entry is None else access.on(entry)
                if seen.isdisjoint({Right.MANAGE, Right.AUDIT}):
                    raise CheckoutUnknown("no check-out has this id")
            return checkout

        return await self._vault.database.read(work)

    async def page(
        self, caller: Identity, *, active: bool, entry_id: str | None, page: int, page_size: int
    ) -> tuple[list[Checkout], int]:
        """The caller's own, or all for those who see every history; the newest first."""

        def work(connection: Connection) -> tuple[list[Checkout], int]:
            access, holder = self._vault.access(connection, caller), holder_of(caller)
            own = (_C.user_id == holder.user_id) & (_C.user_name == holder.name)
            wanted: list[ColumnElement[bool]] = [true() if Right.AUDIT in access.everywhere else own]
            if active:
                wanted.append(_C.ended_at.is_(None) & (_C.expires_at > NowMs()))
            if entry_id is not None:
                wanted.append(_C.entry_id == entry_id)
            return checkouts_page(connection, and_(*wanted), page_size, (page - 1) * page_size)

        return await self._vault.database.read(work)

    async def sweep(self) -> None:
        """End what is over: by time, or because its holder was disabled. For the leader; it writes nothing while there
        is nothing."""

        if await self._vault.database.read(is_something_over):
            # Each takes entries in the order of their ids, as everybody does; both in one transaction would not.
            await self._vault.database.write(lambda connection: end_overdue(connection, true()))
            await self._vault.database.write(end_of_disabled)

    def _locked(self, connection: Connection, ident: str) -> tuple[Checkout, Entry | None]:
        """Entry first, then the check-out: in the order in which they are made."""
        found = checkout_in(connection, ident)
        entry = self._entry(connection, found, lock=True)
        return checkout_in(connection, ident, lock=True), entry

    @staticmethod
    def _entry(connection: Connection, checkout: Checkout, *, lock: bool = False) -> Entry | None:
        try:
            return entry_in(connection, checkout.entry_id, lock=lock)
        except EntryUnknown:
            return None

    @staticmethod
    def _check_newest(checkout: Checkout, entry: Entry | None, generation: int | None) -> None:
        if generation is not None and generation != checkout.generation:
            raise CheckoutOver(f"this check-out is generation {checkout.generation}, not {generation}")
        if checkout.exclusive and entry is not None and entry.generation > checkout.generation:
            raise CheckoutOver(f"this check-out is generation {checkout.generation}; {entry.generation} came after it")

    def _stranger(self, connection: Connection, caller: Identity, entry: Entry | None) -> Exception:
        held = self._vault.access(connection, caller)
        if entry is None or held.on(entry).isdisjoint({Right.MANAGE, Right.AUDIT}):
            return CheckoutUnknown("no check-out has this id")
        return RightLacking("it is somebody else's: force the check-in with a reason (POST .../force)")
