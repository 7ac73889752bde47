"""What the vault asks other slices for: grants, which let somebody have a secret for a while, uses of secrets, and
the way to people."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from sqlalchemy import Connection

from rppam.kernel.instant import WallMs
from rppam.vault.model import Checkout, Entry, Right


class Grant(NamedTuple):
    """Something is granted to a user now. Of the three ids one or more say what; all of them have to fit."""

    id: str
    rights: frozenset[Right]
    until: WallMs
    """By the database's clock. A check-out does not last longer."""
    entry_id: str | None = None
    account_id: str | None = None
    resource_id: str | None = None
    request_id: str = ""
    """The request that it came from."""


class Grants(Protocol):
    """What is granted. Offered through services; a process without it has no grants."""

    def standing(self, connection: Connection, user_id: str) -> Sequence[Grant]:
        """Every grant that holds for the user at this moment of the database's clock.

        It is asked within the transaction that acts on the answer, so that a grant which was revoked before gives
        nothing any more.
        """
        ...

    def lock(self, connection: Connection, grant_id: str) -> None:
        """Have whoever ends the grant wait for this transaction. To be called before an entry is locked: who ends a
        grant locks it first, and then the entries that were checked out by it."""
        ...

    def used(self, connection: Connection, grant_id: str) -> None:
        """A grant is used, in this transaction: its time may begin with it. Raises where it has ended meanwhile."""
        ...


class Tells(Protocol):
    """The way to people. Offered through services; a process without it tells nobody."""

    def forced(self, connection: Connection, entry: Entry, checkout: Checkout, by: str, reason: str) -> None:
        """Tell the holder of a check-out that somebody has ended it, by this transaction."""
        ...


class Uses(Protocol):
    """What goes on with secrets. Offered through services; a process without it can end none of it."""

    def end(self, connection: Connection, account_id: str, checkout: Checkout, why: str, by: str) -> None:
        """Have what its holder has begun with a check-out of an account's secret ended, by this transaction.

        For a check-out whose entry goes with it: of others, those who hold a session find that they are over.
        """
        ...
