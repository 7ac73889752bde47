"""Who somebody is, asked of the accounts."""

from typing import Protocol

from rppam.access.accounts.model import Account
from rppam.kernel.secret import Secret


class Login(Protocol):
    """The accounts, as far as signing in needs them."""

    async def login(self, username: str, password: Secret, client: str) -> Account:
        """The account of ``username`` when ``password`` is its own; ``client`` is the caller's address, for the log.

        Raises :class:`~rppam.access.accounts.errors.InvalidCredentials` or ``Overloaded``, or a
        :class:`~rppam.db.errors.DatabaseError` when the database does not answer.
        """
        ...
