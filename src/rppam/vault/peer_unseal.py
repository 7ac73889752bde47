"""A sealed node gets the master key from one that is open, so that one ceremony opens a cluster and a restarted host
waits for nobody.

It asks over the member link, where each proves which node it is, by an order that a key signs which witnesses do not
have. The key comes sealed for a key pair that the asking node has made for this question alone, so whoever holds the
cluster key and stands between the two reads nothing. Other members have to agree
(:mod:`rppam.vault.peer_agreement`). A key that opens nothing of what lies in the vault is not taken, whoever gives it.
What it does not promise: protection against a node of the cluster whose host was taken; ``vault.peerUnseal`` turns it
off.

Before a vault is opened the ledger says so. Whether it says what is the case is looked at whenever that changes: where
it was closed while the database was away, or by a reboot, that is recorded as soon as it can be, before it opens again.
"""

import asyncio
import base64
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from sqlalchemy import Connection, select

from rppam.cluster.driver.node_tasks import NodeTask
from rppam.config.settings import Settings
from rppam.crypto.sealed import Label, SealRefused, derived, framed, seal, unseal
from rppam.db.database import Database
from rppam.db.errors import DatabaseError
from rppam.kernel.errors import RppamError
from rppam.kernel.logging import one_line
from rppam.kernel.secret import Secret
from rppam.ledger.model import Entity
from rppam.ledger.record import record
from rppam.ledger.tables import audit_events
from rppam.vault.errors import MasterKeyMissing, UnsealPlaceWrong
from rppam.vault.keys import fits, unsealed_key
from rppam.vault.peer_agreement import Peers, Questions, agreeing, takes_part
from rppam.vault.sealing import needed_in
from rppam.vault.unsealed import check, keep

ORDER: Final = "vault_unseal"
EVERY_S: Final = 2.0
DOUBTS: Final = 2
"""So many rounds the ledger has to say otherwise before it is put right."""
_UNSEAL, _SEAL = "vault.unseal", "vault.seal"
_FOUND_CLOSED: Final = "it was found closed: by a restart of the host, or by a command that could not record it"
_L: Final = audit_events.c
_LABEL: Final = Label(b"rppam-vault-unseal-1", b"the master key of the vault, for one node that asked")
log: Final = logging.getLogger("rppam.vault")


async def answer(settings: Settings, link: Peers | None, through: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What an open node answers to one that asks. Raises ValueError for what is no question."""
    if not takes_part(settings):
        return {"said": "", "sealed": ""}
    try:
        key = unsealed_key(settings)
    except MasterKeyMissing:
        return {"said": "", "sealed": ""}
    theirs = base64.b64decode(str(arguments["key"]), validate=True)
    own = X25519PrivateKey.generate()
    public = own.public_key().public_bytes_raw()
    shared = own.exchange(X25519PublicKey.from_public_bytes(theirs))
    members, why = await agreeing(settings, link, through, theirs)
    if why:
        log.warning("The vault of %s is not opened with the key of this node: %s", through, why)
        return {"said": why, "sealed": ""}
    sealed = seal(_key(shared), key, _bound(theirs, public))
    log.warning("The vault of %s is opened with the key of this node; agreed: %s", through, ", ".join(members) or "-")
    return {"said": "", "sealed": _text(sealed), "key": _text(public), "agreed": members}


class PeerUnseal(NodeTask):
    """Opens the vault of this node, while it is sealed and another one is open; and has the ledger know how it is."""

    def __init__(self, settings: Settings, database: Database, link: Peers | None) -> None:
        super().__init__("the opening of the vault", EVERY_S, self.look)
        self._settings, self._database, self._link = settings, database, link
        self._agreed: bool | None = None
        """Whether it was open when the ledger last said the same."""
        self._doubts = 0
        self.questions: Final = Questions()
        self._withheld = ""
        """Why the last round brought no key from a node that has it."""

    async def look(self) -> str:
        """One round; a warning where an open node withholds the key. Raises a ``DatabaseError``, and
        :class:`UnsealPlaceWrong` where a key that is given cannot lie."""
        is_open, self._withheld = self._is_open(), ""
        if await self._is_told(is_open=is_open) and not is_open and self._link is not None:
            await self._ask(self._link)
        return self._withheld

    async def _is_told(self, *, is_open: bool) -> bool:
        """Whether the ledger says how it is; where it has not for two rounds, it does from now on."""
        if is_open is self._agreed:
            return True
        node = self._settings.node.node_name
        last = await self._database.read(lambda connection: last_said(connection, node))
        if (last == _UNSEAL) is not is_open:
            self._doubts += 1
            if self._doubts < DOUBTS:  # a command records first, and acts then
                return False
            action, why = (_UNSEAL, "it was found open") if is_open else (_SEAL, _FOUND_CLOSED)
            await self._database.write(lambda connection: _record(connection, action, node, reason=why))
        self._agreed, self._doubts = is_open, 0
        return True

    def _is_open(self) -> bool:
        try:
            unsealed_key(self._settings)
        except MasterKeyMissing:
            return False
        return True

    async def _ask(self, link: Peers) -> None:
        """Ask one node after another, until one gives the key. Raises as :meth:`look`, and nothing is open then."""
        if not self._settings.vault.peer_unseal:
            return
        for name in link.peers:
            if name in link.witnesses:
                continue
            try:
                key, agreed = await self._asked(link, name)
                if key and await self._is_right(key, name):
                    await self._open(key, name, agreed)
                    self._withheld = ""
                    return
            except (UnsealPlaceWrong, DatabaseError):
                raise  # whoever gives it, it cannot be opened here
            except (RppamError, SealRefused, ValueError, KeyError) as error:
                log.debug("%s has given no key of the vault: %s", name, error)

    async def _is_right(self, key: bytes, by: str) -> bool:
        needed = await self._database.read(needed_in)
        # Nodes that have a key by shares and another source besides may get either.
        if await asyncio.to_thread(fits, self._settings, key, needed):
            return True
        self._withheld = (
            f"the vault stays sealed here: the master key that {by} gave opens nothing of it (expected {needed}); find "
            "out where that node has it from"
        )
        return False

    async def _open(self, key: bytes, by: str, agreed: Sequence[str]) -> None:
        path, home = self._settings.vault.unsealed_path, self._settings.node
        check(path)
        self._agreed = None  # where the key cannot be kept after all, the ledger says too much
        await self._database.write(lambda connection: _record(connection, _UNSEAL, home.node_name, by, agreed))
        keep(path, key, home.data_dir)
        self._agreed = True
        log.warning("The vault is open: %s has given its master key", by)

    async def _asked(self, link: Peers, name: str) -> tuple[bytes, Sequence[str]]:
        """The key that ``name`` gives, and who has agreed; nothing where it gives none."""
        own = X25519PrivateKey.generate()
        public = own.public_key().public_bytes_raw()
        body = {"order": ORDER, "arguments": {"key": _text(public)}, "request": ""}
        self.questions.open.add(_text(public))
        try:
            found = json.loads(await link.order(name, json.dumps(body), None))
        finally:
            self.questions.open.discard(_text(public))
        if not isinstance(found, Mapping):
            raise ValueError("expected an object")  # noqa: TRY004 - what the other node said is wrong, not a type of ours
        if not found.get("sealed"):
            if why := one_line(str(found.get("said", ""))):
                self._withheld = f"the vault stays sealed here: {name} has its key, and {why}"
            return b"", ()
        theirs = base64.b64decode(str(found["key"]), validate=True)
        shared = own.exchange(X25519PublicKey.from_public_bytes(theirs))
        key = unseal(_key(shared), base64.b64decode(str(found["sealed"]), validate=True), _bound(public, theirs))
        return key, [str(one) for one in found.get("agreed") or ()]


def last_said(connection: Connection, node: str) -> str:
    """What the ledger has last of the vault on a node, of its opening and closing; empty for nothing."""
    mine = (_L.object_id == node) & _L.action.in_((_UNSEAL, _SEAL))
    wanted = select(_L.action).where(mine).order_by(_L.seq.desc()).limit(1)
    return connection.execute(wanted).scalar_one_or_none() or ""


def _record(
    connection: Connection, action: str, node: str, by: str = "", agreed: Sequence[str] = (), *, reason: str = ""
) -> None:
    facts: dict[str, Any] = {"by": by} | ({"agreed": list(agreed)} if agreed else {}) if by else {}
    record(connection, action, Entity("vault-key", node, node), details=facts, reason=reason)


def _key(shared: bytes) -> bytes:
    return derived(Secret(shared.hex()), _LABEL)


def _bound(asked: bytes, answered: bytes) -> bytes:
    return framed(b"rppam vault unseal 1", asked, answered)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
