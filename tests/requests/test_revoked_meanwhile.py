"""A grant that is revoked at the moment at which it is used: one comes after the other, and neither is sent away."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, select, text

from rppam.access.accounts.model import AccountRole
from rppam.access.sessions.model import Identity, SessionKind
from rppam.db.database import Database
from rppam.kernel.secret import Secret
from rppam.requests.errors import NotPossible
from rppam.requests.machine import Verdict
from rppam.requests.model import Record, Right
from rppam.requests.rows_store import locked
from rppam.requests.store import SqlRequests
from rppam.requests.vault_grants import VaultGrants
from rppam.vault.checkout_service import Checkouts, Wish
from rppam.vault.checkout_store import end_of_grant
from rppam.vault.errors import EntryUnknown
from rppam.vault.model import Checkout, Entry, EntryPolicy, EntryType
from rppam.vault.service import Vault
from rppam.vault.tables import checkouts
from tests.requests.test_store import WANTED, ready
from tests.vault.test_sealing import new_master, ring

pytestmark = pytest.mark.server
ADMIN = Identity("root", "id-root", frozenset({AccountRole.ADMIN}), "s", SessionKind.LOGIN, mfa=True)
URSULA = Identity("ursula", "id-ursula", frozenset({AccountRole.USER}), "s", SessionKind.LOGIN, mfa=True)
STALLS_S, ROUNDS = 15.0, 15


def is_waited_for(connection: Connection) -> bool:
    """Whether somebody waits for a lock of this transaction."""
    asked = "SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))"
    return bool(connection.execute(text(asked)).scalar_one())


class Office:
    """Two nodes on PostgreSQL, and a secret that ursula may check out by request."""

    def __init__(self, requests: SqlRequests, here: Database, checkouts: Checkouts, entry: Entry) -> None:
        self.requests, self.here, self.checkouts, self.entry = requests, here, checkouts, entry

    async def granted(self) -> Record:
        made = await self.requests.create("id-ursula", WANTED._replace(rights=(Right.CHECKOUT,)))
        return await self.requests.decide(made.request.id, "id-anna", Verdict.APPROVE)

    async def check_out(self) -> Checkout:
        return await self.checkouts.begin(URSULA, Wish(self.entry.id, "INC-1", 10))


@pytest.fixture
async def office(postgresql_url: str, open_database: Callable[..., Any]) -> Office:
    here, there = [await open_database(postgresql_url, 20_000) for _ in range(2)]
    requests = await ready(here)
    vault = Vault(there, ring(new_master()), VaultGrants)
    new = Entry("", "", "servers", "root", EntryType.PASSWORD, "acc-1", None, policy=EntryPolicy(exclusive=False))
    entry = await vault.create(ADMIN, new, {"password": Secret("x")})
    return Office(requests, here, Checkouts(vault, minutes_max=60), entry)


async def test_who_checks_out_waits_for_a_revocation_without_keeping_it_from_the_entry(office: Office) -> None:
    granted = await office.granted()
    await office.check_out()
    is_locked = threading.Event()

    def revoke(connection: Connection) -> int:
        """As a revocation does it, which is slow between its two locks."""
        locked(connection, granted.request.id)
        is_locked.set()
        ends = time.monotonic() + STALLS_S
        while not is_waited_for(connection):
            assert time.monotonic() < ends
            time.sleep(0.01)
        return end_of_grant(connection, granted.grant_id)

    revoking = asyncio.create_task(office.here.write(revoke))
    await asyncio.to_thread(is_locked.wait, STALLS_S)
    second = asyncio.create_task(office.check_out())
    assert await revoking == 1, "the first check-out is ended"
    assert (await second).ended_at is None, "the grant stands: this revocation has only ended what was of it"


async def test_a_grant_is_revoked_while_it_is_used(office: Office) -> None:
    for _ in range(ROUNDS):
        granted = await office.granted()
        await office.check_out()
        revoked, used = await asyncio.gather(
            office.requests.revoke(granted.grant_id, "enough"), office.check_out(), return_exceptions=True
        )
        assert not isinstance(revoked, BaseException), revoked
        assert isinstance(used, Checkout | NotPossible | EntryUnknown), used
        left = select(checkouts.c.id).where(checkouts.c.ended_at.is_(None))
        assert await office.here.read(lambda connection: connection.execute(left).all()) == []  # noqa: B023
