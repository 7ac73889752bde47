"""Grants as the vault asks for them, in the vault's own transactions.

A grant whose time is counted from its use holds until as long as it would if it were used now; with the first use its
time begins. Using one locks its request, so what was revoked before gives nothing any more.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, or_, select

from rppam.db.engine import NowMs, now_ms
from rppam.kernel.instant import WallMs
from rppam.requests.errors import NotPossible
from rppam.requests.machine import RefusedError, Use, allows, step
from rppam.requests.model import ObjectKind, Right
from rppam.requests.rows_store import locked, rights_of, stored_of
from rppam.requests.settling_store import settle
from rppam.requests.tables import access_grants, access_requests
from rppam.vault.model import Right as VaultRight
from rppam.vault.ports import Grant

_G, _R = access_grants.c, access_requests.c
_RIGHTS: Final = {
    Right.USE: VaultRight.USE,
    Right.USE_SHELL: VaultRight.USE_SHELL,
    Right.USE_FILES: VaultRight.USE_FILES,
    Right.REVEAL: VaultRight.REVEAL,
    # To check out is to see it for as long as one has it; the vault has one right for both.
    Right.CHECKOUT: VaultRight.REVEAL,
}


_STANDING: Final = (
    select(access_requests, _G.id.label("grant_id"), NowMs().label("now"))
    .join(access_grants, _G.request_id == _R.id)
    .where(_G.user_id == bindparam("user"), _G.ended_at.is_(None), or_(_G.until.is_(None), _G.until > NowMs()))
    .order_by(_G.created_at)
)


class VaultGrants:
    """See the module."""

    def standing(self, connection: Connection, user_id: str) -> Sequence[Grant]:
        """Every grant that holds for the user at this moment of the database's clock."""
        rows = connection.execute(_STANDING, {"user": user_id}).all()
        if not rows:
            return ()  # as of most people, at every act with the vault
        now, found = rows[0].now, []
        for row, one in zip(rows, stored_of(connection, rows), strict=True):
            request = one.request
            if not allows(request, now):
                continue
            named = {"account_id" if row.object_kind == ObjectKind.ACCOUNT else "entry_id": row.object_id}
            until = now + request.terms.minutes_ms if request.until is None else request.until
            rights = frozenset(_RIGHTS[right] for right in rights_of(row.rights))
            found.append(Grant(row.grant_id, rights, WallMs(until), request_id=row.id, **named))
        return found

    def lock(self, connection: Connection, grant_id: str) -> None:
        """Lock the request that it came from, as :meth:`used` does."""
        locked(connection, _request_of(connection, grant_id))

    def used(self, connection: Connection, grant_id: str) -> None:
        """Its time begins to run, if that has not begun. Raises :class:`NotPossible` where it has ended meanwhile."""
        found = locked(connection, _request_of(connection, grant_id))
        now = now_ms(connection)
        try:
            outcome = step(found.request, Use(), now)
        except RefusedError:
            raise NotPossible("the grant has ended") from None
        settle(connection, found, outcome, Use(), now, "")


def _request_of(connection: Connection, grant_id: str) -> str:
    found: str = connection.execute(select(_G.request_id).where(_G.id == grant_id)).scalar_one()
    return found
