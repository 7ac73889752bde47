"""A sealed node gets the master key from one that is open, so that one ceremony opens a cluster and a restarted host
waits for nobody.

It asks over the member link, where each proves which node it is, by an order that a key signs which witnesses do not
have. The key comes sealed for a key pair that the asking node has made for this question alone, so whoever holds the
cluster key and stands between the two reads nothing. What it does not promise: protection against a node of the cluster
whose host was taken; ``vault.peerUnseal`` turns it off.
"""

import base64
import json
import logging
from collections.abc import Mapping
from typing import Any, Final, Protocol

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from sqlalchemy import Connection

from rppam.cluster.driver.node_tasks import NodeTask
from rppam.config.settings import Settings
from rppam.crypto.sealed import Label, SealRefused, derived, framed, seal, unseal
from rppam.db.database import Database
from rppam.kernel.errors import RppamError
from rppam.kernel.secret import Secret
from rppam.ledger.model import Entity
from rppam.ledger.record import record
from rppam.vault.errors import MasterKeyMissing, UnsealPlaceWrong
from rppam.vault.keys import unsealed_key
from rppam.vault.unsealed import keep

ORDER: Final = "vault_unseal"
EVERY_S: Final = 2.0
_LABEL: Final = Label(b"rppam-vault-unseal-1", b"the master key of the vault, for one node that asked")
log: Final = logging.getLogger("rppam.vault")


class Peers(Protocol):
    """The way to the other members."""

    @property
    def peers(self) -> Mapping[str, object]:
        """By name."""
        ...

    @property
    def witnesses(self) -> tuple[str, ...]:
        """Those that never lead."""
        ...

    async def order(self, to: str, body: str, url: str | None) -> str:
        """Give an order; its answer."""
        ...


async def answer(settings: Settings, through: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What an open node answers to one that asks. Raises ValueError for what is no question."""
    if settings.vault.key_source != "shares" or not settings.vault.peer_unseal:
        return {"said": "", "sealed": ""}
    try:
        key = unsealed_key(settings)
    except MasterKeyMissing:
        return {"said": "", "sealed": ""}
    theirs = base64.b64decode(str(arguments["key"]), validate=True)
    own = X25519PrivateKey.generate()
    public = own.public_key().public_bytes_raw()
    shared = own.exchange(X25519PublicKey.from_public_bytes(theirs))
    sealed = seal(_key(shared), key, _bound(theirs, public))
    log.warning("The vault of %s is opened with the key of this node", through)
    return {"said": "", "sealed": _text(sealed), "key": _text(public)}


class PeerUnseal(NodeTask):
    """Opens the vault of this node, while it is sealed and another one is open."""

    def __init__(self, settings: Settings, database: Database, link: Peers) -> None:
        super().__init__("the opening of the vault", EVERY_S, self.look)
        self._settings, self._database, self._link = settings, database, link
        self._was_open: bool | None = None

    async def look(self) -> str:
        """One round. Raises a ``DatabaseError``."""
        by = "" if self._is_open() else await self._ask()
        now = self._is_open()
        if now and self._was_open is False:
            await self._database.write(lambda connection: _recorded(connection, self._settings.node.node_name, by))
        self._was_open = now
        return ""

    def _is_open(self) -> bool:
        try:
            unsealed_key(self._settings)
        except MasterKeyMissing:
            return False
        return True

    async def _ask(self) -> str:
        """Ask one node after another; the one that has given the key."""
        if not self._settings.vault.peer_unseal:
            return ""
        for name in self._link.peers:
            if name in self._link.witnesses:
                continue
            try:
                key = await self._asked(name)
                if key:
                    keep(self._settings.vault.unsealed_path, key, self._settings.node.data_dir)
                    log.warning("The vault is open: %s has given its master key", name)
                    return name
            except UnsealPlaceWrong as error:
                log.error("The vault stays sealed: %s", error)  # noqa: TRY400 - the cause is in the sentence
                return ""
            except (RppamError, SealRefused, ValueError, KeyError) as error:
                log.debug("%s has given no key of the vault: %s", name, error)
        return ""

    async def _asked(self, name: str) -> bytes:
        own = X25519PrivateKey.generate()
        public = own.public_key().public_bytes_raw()
        body = {"order": ORDER, "arguments": {"key": _text(public)}, "request": ""}
        found = json.loads(await self._link.order(name, json.dumps(body), None))
        if not isinstance(found, Mapping):
            raise ValueError("expected an object")  # noqa: TRY004 - what the other node said is wrong, not a type of ours
        if not found.get("sealed"):
            return b""
        theirs = base64.b64decode(str(found["key"]), validate=True)
        shared = own.exchange(X25519PublicKey.from_public_bytes(theirs))
        return unseal(_key(shared), base64.b64decode(str(found["sealed"]), validate=True), _bound(public, theirs))


def _recorded(connection: Connection, node: str, by: str) -> None:
    record(connection, "vault.unseal", Entity("vault-key", node, node), details={"by": by or "shares"})


def _key(shared: bytes) -> bytes:
    return derived(Secret(shared.hex()), _LABEL)


def _bound(asked: bytes, answered: bytes) -> bytes:
    return framed(b"rppam vault unseal 1", asked, answered)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
