"""The watch over this node's master key of the vault: what health and heartbeats say of it, and whether it may lead.

A node that cannot open what the vault's keys are wrapped with says so at once, and does not lead after a second look in
a row (unless ``vault.leadWithoutKey`` lets it): one look may fall between two files of somebody who copies keys. A node
that is merely sealed may lead, or a cluster that starts would wait for people. While the database does not answer, what
was seen last holds. What it does not promise: that the key of a vault without anything in it is the right one.
"""

from typing import Final

from sqlalchemy import Connection

from rppam.cluster.driver.node_tasks import NodeTask
from rppam.cluster.health.agreement import NO_KEY, HeldKeys
from rppam.db.database import Database
from rppam.vault.errors import MasterKeySealed, VaultClosed, VaultKeyError
from rppam.vault.sealing import Keyring

EVERY_S: Final = 0.5
FRESH_US: Final = 250_000
"""So each look reads the keys anew, and once. With what counts for a second, a key that has changed would be in a
heartbeat after 1.5 s, and named by the others after two heartbeats more."""
LOOKS: Final = 2


class KeyWatch(NodeTask):
    """See the module."""

    def __init__(self, database: Database, keyring: Keyring, *, leads_without: bool) -> None:
        super().__init__("the watch over the vault's keys", EVERY_S, self.look)
        self._database, self._keyring, self._leads_without = database, keyring, leads_without
        self._wrong = 0

    async def look(self) -> str:
        """Look once. Raises :class:`VaultClosed` where the vault is in use and this node cannot open it."""
        held, needed, lacking, problem = await self._database.read(self._seen)
        self.master_keys = HeldKeys(held, needed)
        self._wrong = self._wrong + 1 if problem is not None and needed else 0
        if self._wrong == 0 or self._leads_without or isinstance(problem, MasterKeySealed):
            self.unfit = ""
        elif self._wrong >= LOOKS:
            self.unfit = f"{problem} (vault.leadWithoutKey would let it)"
        if problem is None:
            return f"this node has nothing of vault.keySourceNext: {lacking}" if lacking else ""
        if not needed:
            return f"this node refuses vault work: {problem.row.code}: {problem}. {problem.row.remedy}"
        raise VaultClosed(f"this node refuses vault work: {problem.row.code}: {problem}")

    def _seen(self, connection: Connection) -> tuple[tuple[str, ...], str, str, VaultKeyError | None]:
        """Which master keys are here, which one the vault needs, what the next source lacks, and what keeps this node
        from vault work. On a thread, as a token may take its time."""
        needed = self._keyring.needed(connection)
        try:
            held, lacking = self._keyring.fingerprints, self._keyring.lacking
        except VaultKeyError as error:
            return (NO_KEY,), needed, "", error
        try:
            self._keyring.check(connection)
        except VaultKeyError as error:
            return held, needed, lacking, error
        return held, needed, lacking, None
