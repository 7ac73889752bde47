"""The second factor, as far as signing in with a password needs it."""

from typing import NamedTuple, Protocol

from rppam.access.accounts import Account
from rppam.kernel.secret import Secret


class SecondStep(NamedTuple):
    """The password was right; now the second factor."""

    token: Secret
    enrolled: bool
    """There is one; else it has to be enrolled in this very log-in."""


class SecondFactor(Protocol):
    """Asked after a password was right, before anything is given away."""

    async def begin(self, account: Account, client: str) -> SecondStep | None:
        """What the second step needs when ``account`` has to give a second factor; ``None`` when it need not.

        ``client`` is the caller's address. The step may be done on every node of the cluster. Raises a
        :class:`~rppam.db.errors.DatabaseError` when nobody can tell: then nobody is let in.
        """
        ...
