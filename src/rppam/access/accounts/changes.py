"""What is asked of the accounts as a list, and what an administrator may change of one."""

from typing import Final, NamedTuple

from rppam.access.accounts.model import Account, AccountRole
from rppam.cache.model import Copy

PAGE_SIZE: Final = 50
PAGE_SIZE_MAX: Final = 200
PAGE_MAX: Final = 1_000_000


class UserQuery(NamedTuple):
    """Which accounts, and which page of them."""

    page: int = 1
    """From 1."""
    page_size: int = PAGE_SIZE
    search: str = ""
    """Part of the name or of the display name, in any case."""
    role: AccountRole | None = None
    deleted: bool = False
    """The deleted ones as well."""


class UserPage(NamedTuple):
    """One page, by name, and how many there are on all pages."""

    users: tuple[Account, ...]
    total: int


class UserChange(NamedTuple):
    """What shall be different; ``None`` leaves a thing as it is."""

    display_name: str | None = None
    """Checked by :func:`~rppam.access.accounts.model.check_display_name` already."""
    disabled: bool | None = None
    roles: frozenset[AccountRole] | None = None


class Written(NamedTuple):
    """An account after a change, and its facts for the cache."""

    account: Account
    copy: Copy
    made: UserChange = UserChange()
    """Of a :class:`UserChange`: what was different before. Nothing: the account has its old revision."""
