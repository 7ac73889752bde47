"""Where accounts are administered. Each change is one transaction, which raises the account's revision with it."""

from typing import Protocol

from rppam.access.accounts.changes import UserChange, UserPage, UserQuery, Written
from rppam.access.accounts.model import StoredAccount
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret


class UserStore(Protocol):
    """The accounts in the cluster's database, by id.

    Every call raises a :class:`~rppam.db.errors.DatabaseError` when the database does not answer, and all
    but :meth:`page` and :meth:`create` raise :class:`~rppam.access.accounts.errors.UserUnknown`. What changes an
    account takes a deleted one for unknown.
    """

    async def page(self, query: UserQuery) -> UserPage:
        """One page of accounts, by name."""
        ...

    async def get(self, user_id: str) -> StoredAccount:
        """One account with its password hash, deleted or not."""
        ...

    async def create(self, stored: StoredAccount) -> Written:
        """Make an account. Raises :class:`~rppam.access.accounts.errors.NameTaken` (a deleted account keeps its name)
        or ``NameLooksTaken``."""
        ...

    async def change(self, user_id: str, change: UserChange) -> Written:
        """Make ``change``; disabling ends all sessions. Raises :class:`~rppam.access.accounts.errors.LastAdmin`."""
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
