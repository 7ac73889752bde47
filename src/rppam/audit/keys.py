"""The key that signs checkpoints: one for the cluster, sealed in the database, opened by the node that leads.

Decides when there is a new one: where there is none. Its public part is recorded in the ledger itself, and each node
remembers the one it has seen first (:mod:`rppam.audit.watch`), so another key in the database is noticed.
"""

import base64
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, insert, select

from rppam.cluster.health.ports import Authority
from rppam.crypto.data_keys import DataKeys
from rppam.db.database import Database
from rppam.db.engine import NowMs
from rppam.db.fence import require_leadership
from rppam.kernel.secret import Secret
from rppam.ledger.checkpoint import Signer, Verifier, verifier_of
from rppam.ledger.model import Entity
from rppam.ledger.record import record
from rppam.ledger.tables import audit_keys

_PLACE: Final = "the ledger's signing key"


async def public_key(database: Database) -> str | None:
    """The public key of today as one word; ``None`` before the first leader has made it."""
    row = await database.read(lambda connection: connection.execute(_NEWEST).one_or_none())
    return None if row is None else str(row.public)


class SigningKeys:
    """See the module."""

    def __init__(self, database: Database, data_keys: DataKeys, origin: str) -> None:
        self._database, self._data_keys, self.origin = database, data_keys, origin

    async def verifier(self) -> Verifier | None:
        """The public key of today; ``None`` before the first leader has made it."""
        public = await public_key(self._database)
        return None if public is None else verifier_of(public)

    async def signer(self, authority: Authority, node: str) -> Signer:
        """The key of today, for the leader; made where there is none.

        Raises :class:`~rppam.http.errors.FencedError`, what the sealing key raises, a ``DatabaseError``.
        """
        row = await self._database.read(lambda connection: connection.execute(_NEWEST).one_or_none())
        if row is None:
            return await self._make(authority, node)
        raw = await self._data_keys.unseal(row.sealed, _PLACE)
        return Signer(row.name, Ed25519PrivateKey.from_private_bytes(base64.b64decode(raw.reveal())))

    async def _make(self, authority: Authority, node: str) -> Signer:
        signer = Signer(self.origin, Ed25519PrivateKey.generate())
        raw = Secret(base64.b64encode(signer.key.private_bytes_raw()).decode())
        public = signer.verifier().text()
        sealed = await self._data_keys.seal(raw, _PLACE)

        def work(connection: Connection) -> None:
            require_leadership(connection, authority.epoch, node, authority.boot_id)
            row = {"name": signer.name, "public": public, "sealed": sealed, "made_at": NowMs()}
            connection.execute(insert(audit_keys).values(**row))
            target = Entity("ledger", self.origin)
            record(connection, "ledger.found", target, epoch=authority.epoch, details={"key": public})

        await self._database.write(work)
        return signer


_NEWEST: Final = select(audit_keys).order_by(audit_keys.c.made_at.desc(), audit_keys.c.name).limit(1)
