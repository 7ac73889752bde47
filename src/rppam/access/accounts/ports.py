"""Where accounts are kept, and where the first password waits. Names given here are already normalised."""

from typing import Protocol

from rppam.access.accounts.model import Account, StoredAccount
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret


class FirstPassword(Protocol):
    """Where the password of the first administrator waits while the account is being made, so that a process that ends
    meanwhile loses none. Every call raises an RppamError when the place cannot be used."""

    def keep(self, password: Secret) -> None:
        """Have it there, durably, in place of an earlier one."""
        ...

    def kept(self) -> Secret | None:
        """What is there; ``None``: nothing."""
        ...

    def drop(self) -> None:
        """Have nothing there."""
        ...


class AccountStore(Protocol):
    """The accounts in the cluster's database.

    Every call raises a :class:`~rppam.db.errors.DatabaseError` when the database does not answer.
    """

    async def find(self, name: str) -> StoredAccount | None:
        """The account of this name with its hash, or ``None``."""
        ...

    async def is_empty(self) -> bool:
        """Whether no account was ever made, disabled ones included."""
        ...

    async def create_first(self, stored: StoredAccount) -> bool:
        """Make this account if none exists at all; whether it was this call that made it. Atomic between nodes."""
        ...

    async def create(self, stored: StoredAccount) -> None:
        """Make an account. Raises :class:`~rppam.access.accounts.errors.NameTaken`."""
        ...

    async def replace_hash(self, account_id: str, old: Secret, new: Secret) -> bool:
        """Store a better hash of the *same* password, unless the password was changed meanwhile."""
        ...

    async def set_password(self, name: str, new: Secret, changed_at: WallMs) -> bool:
        """Store the hash of a new password and end all sessions; false when no account has this name (any more)."""
        ...

    async def record_refusal(self, account: Account | None, why: str) -> None:
        """Record that a log-in was refused; ``None``: no account has the name."""
        ...

    async def all(self) -> tuple[Account, ...]:
        """Every account, by name."""
        ...
