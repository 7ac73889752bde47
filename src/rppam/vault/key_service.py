"""The keys of the vault: how far they are, a new one, and the leader's work behind it.

A new KEK seals from the moment it is made; data keys follow 500 at a time, in any order, and each is readable at every
moment. So the work may be broken off anywhere and is done when no data key needs an older KEK.
"""

import logging
from functools import partial
from typing import Final, NamedTuple

from sqlalchemy import Connection

from rppam.db.database import Database
from rppam.vault.errors import VaultKeyError
from rppam.vault.sealing import Keyring, Standing

log: Final = logging.getLogger("rppam.vault")


class KeyStatus(NamedTuple):
    """How this node stands."""

    fingerprint: str
    """Of its master key; empty: it has none."""
    problem: str
    """Why it refuses vault work; empty where it does not."""
    standing: Standing


class VaultKeys:
    """See the module. Every call raises a ``DatabaseError`` when the database does not answer."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database, self._keyring = database, keyring

    async def status(self) -> KeyStatus:
        """As of now, on this node."""

        def work(connection: Connection) -> KeyStatus:
            fingerprint = problem = ""
            try:
                fingerprint = self._keyring.fingerprint
                self._keyring.check(connection)
            except VaultKeyError as error:
                problem = f"{error.row.code}: {error}"
            return KeyStatus(fingerprint, problem, Standing(connection))

        return await self._database.read(work)

    async def rotate(self) -> int:
        """Make a new KEK; its version. Raises a :class:`VaultKeyError` where this node opens none of the old one."""
        return await self._database.write(self._keyring.rotate)

    async def follow(self) -> None:
        """Wrap anew what is wrapped with a key that goes, to the end. For the leader; it writes nothing while there is
        nothing."""
        if not await self._database.read(self._keyring.is_behind):
            return
        await self._database.write(self._keyring.rewrap_keks)
        after = ""
        while True:
            after = await self._database.write(partial(self._keyring.rewrap, after=after))
            if not after:
                break
        await self._database.write(self._keyring.retire)
