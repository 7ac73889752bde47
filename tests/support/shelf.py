"""Accounts in memory and a clock that stands, for the tests of what is done with accounts."""

import asyncio
from collections.abc import Mapping

from rppam.access.accounts.model import Account, StoredAccount
from rppam.access.accounts.passwords import HashParameters
from rppam.access.accounts.store import NO_SETTINGS, SqlAccounts
from rppam.db.errors import DatabaseUnknown
from rppam.kernel.instant import Instant, WallMs
from rppam.kernel.secret import Secret

CHEAP = HashParameters(memory_kib=64, passes=1)


class Shelf(SqlAccounts):
    """Accounts in memory."""

    def __init__(self) -> None:
        self.by_name: dict[str, StoredAccount] = {}
        self.fails_on_rehash = False
        self.refusals: list[tuple[str, str]] = []

    async def find(self, name: str) -> StoredAccount | None:
        return self.by_name.get(name)

    async def is_empty(self) -> bool:
        return not self.by_name

    async def create_first(self, stored: StoredAccount, settings: Mapping[str, str] = NO_SETTINGS) -> bool:
        await asyncio.sleep(0)
        if self.by_name:
            return False
        self.by_name[stored.account.name] = stored
        return True

    async def replace_hash(self, account_id: str, old: Secret, new: Secret) -> bool:
        if self.fails_on_rehash:
            raise DatabaseUnknown("no answer")
        for name, stored in self.by_name.items():
            if stored.account.id == account_id and stored.password_hash == old:
                self.by_name[name] = stored._replace(password_hash=new)
                return True
        return False

    async def record_refusal(self, account: Account | None, why: str) -> None:
        self.refusals.append((account.name if account else "", why))

    async def set_password(
        self, user_id: str, new: Secret, changed_at: WallMs, *, instead_of: Secret | None = None
    ) -> Account | None:
        assert instead_of is None
        [name] = [name for name, stored in self.by_name.items() if stored.account.id == user_id]
        account = self.by_name[name].account._replace(password_changed_at=changed_at)
        self.by_name[name] = StoredAccount(account, new)
        return account

    async def all(self) -> tuple[Account, ...]:
        return tuple(stored.account for stored in self.by_name.values())


class Still:
    """A clock."""

    def __init__(self) -> None:
        self.wall = 1_000

    def now(self) -> Instant:
        return Instant(0)

    def wall_ms(self) -> WallMs:
        return WallMs(self.wall)
