"""The second factor, as far as signing in with a password needs it."""

from typing import Protocol

from rppam.domain.account import Account
from rppam.domain.secret import Secret


class SecondFactor(Protocol):
    """Asked after a password was right, before anything is given away."""

    async def begin(self, account: Account, client: str) -> Secret | None:
        """A token for the second step when ``account`` has to give a second factor; ``None`` when it need not.

        ``client`` is the caller's address. The token is good on every node of the cluster. Raises a
        :class:`~rppam.domain.errors.database.DatabaseError` when nobody can tell: then nobody is let in.
        """
        ...
