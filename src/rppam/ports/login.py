"""Who somebody is, asked of the accounts."""

from typing import Protocol

from rppam.domain.account import Account
from rppam.domain.secret import Secret


class Login(Protocol):
    """The accounts, as far as signing in needs them."""

    async def login(self, username: str, password: Secret, client: str) -> Account:
        """The account of ``username`` when ``password`` is its own; ``client`` is the caller's address, for the log.

        Raises :class:`~rppam.domain.errors.accounts.InvalidCredentials` or ``Overloaded``, or a
        :class:`~rppam.domain.errors.database.DatabaseError` when the database does not answer.
        """
        ...
