"""Where accounts are administered. Each change is one transaction, which raises the account's revision with it."""

from typing import Protocol

from rppam.domain.account import StoredAccount
from rppam.domain.instant import WallMs
from rppam.domain.secret import Secret
from rppam.domain.users import UserChange, UserPage, UserQuery, Written


class UserStore(Protocol):
    """The accounts in the cluster's database, by id.

    Every call raises a :class:`~rppam.domain.errors.database.DatabaseError` when the database does not answer, and all
    but :meth:`page` and :meth:`create` raise :class:`~rppam.domain.errors.accounts.UserUnknown`. What changes an
    account takes a deleted one for unknown.
    """

    async def page(self, query: UserQuery) -> UserPage:
        """One page of accounts, by name."""
        ...

    async def get(self, user_id: str) -> StoredAccount:
        """One account with its password hash, deleted or not."""
        ...

    async def create(self, stored: StoredAccount) -> Written:
        """Make an account. Raises :class:`~rppam.domain.errors.accounts.NameTaken` (a deleted account keeps its name)
        or ``NameLooksTaken``."""
        ...

    async def change(self, user_id: str, change: UserChange) -> Written:
        """Make ``change``; disabling ends all sessions. Raises :class:`~rppam.domain.errors.accounts.LastAdmin`."""
        ...

    async def delete(self, user_id: str) -> Written:
        """Delete the account and end its sessions. Raises ``LastAdmin``."""
        ...

    async def set_password(
        self, user_id: str, new: Secret, changed_at: WallMs, *, instead_of: Secret | None = None
    ) -> Written | None:
        """Store the hash of a new password and end all sessions.

        ``instead_of``: only while this is the hash that is stored; ``None`` is returned when it is not any more.
        """
        ...
