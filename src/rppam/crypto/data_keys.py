"""Secrets in the database are sealed, so that a dump of it, a backup or a replica gives none away.

Each secret is sealed by a **data key** and bound to its place. Data keys lie in the database, too, each wrapped by a
key that is derived from the sealing key, which is on the nodes alone. When the sealing key is changed, only data keys
are wrapped anew, by the first node that meets one still wrapped by the key before.

What it does not promise: protection against whoever holds both the database and the sealing key, or a node's memory.
"""

import base64
import hashlib
import logging
import secrets
from collections.abc import Callable
from typing import Final, NamedTuple

from rppam.crypto.data_key_ports import ClusterSecrets, DataKeyStore, WrappedKey
from rppam.crypto.errors import SealBroken
from rppam.crypto.sealed import KEY_BYTES, VERSION, Label, derived, seal, unseal
from rppam.kernel.secret import Secret

log: Final = logging.getLogger("rppam.data_keys")

_LABEL: Final = Label(b"rppam-data-keys-1", b"wraps data keys, AES-256-GCM")
_WRAPS: Final = b"rppam data key "
_SEALS: Final = b"rppam data "


class Wrapping(NamedTuple):
    """A key that wraps data keys."""

    name: str
    """Tells keys apart and says nothing about them."""
    key: bytes


def wrapping_of(secret: Secret) -> Wrapping:
    """The wrapping key of a sealing key (64 hexadecimal digits)."""
    key = derived(secret, _LABEL)
    return Wrapping(hashlib.sha256(b"name of " + key).hexdigest()[:32], key)


class DataKeys:
    """See the module."""

    def __init__(self, store: DataKeyStore, cluster_secrets: Callable[[], ClusterSecrets]) -> None:
        """``cluster_secrets`` reads them from this host; it raises
        :class:`~rppam.crypto.errors.SealingKeyMissing`."""
        self._store, self._secrets = store, cluster_secrets
        self._open: dict[str, bytes] = {}
        """Data keys that were unwrapped before, by name."""

    async def seal(self, text: Secret, place: str) -> str:
        """``text`` sealed for ``place``, at most some 512 characters for 256 bytes.

        Raises :class:`~rppam.crypto.errors.SealingKeyMissing`, a ``DatabaseError``.
        """
        kid = await self._newest()
        return f"{kid}.{_sealed(self._open[kid], text.reveal().encode(), _bound(_SEALS, kid, place))}"

    async def unseal(self, sealed: str, place: str) -> Secret:
        """What :meth:`seal` was given. Raises :class:`SealBroken`, ``SealingKeyMissing``, a ``DatabaseError``."""
        kid, _, body = sealed.partition(".")
        if kid not in self._open:
            await self._unwrap(await self._store.all())
        key = self._open.get(kid)
        if key is None:
            raise SealBroken(f"a secret of {place} in the database is sealed by a data key that this host cannot open")
        text = _opened(key, body, _bound(_SEALS, kid, place))
        if text is None:
            raise SealBroken(f"a secret of {place} in the database does not open: it was changed, or it is another's")
        return Secret(text.decode())

    async def rewrap(self) -> int:
        """Wrap anew what is still wrapped by a key that is going, and say how many keys now depend on one no more.

        Raises :class:`SealBroken` when a data key opens with none of this host's keys.
        """
        before = await self._store.all()
        opened = await self._unwrap(before)
        for wrapped in before:
            if wrapped.kid not in opened:
                raise SealBroken(f"the data key {wrapped.kid!r} opens with no sealing key of this host")
        after = {key.kid: key for key in await self._store.all()}
        return sum(after[key.kid].wrapped_by != key.wrapped_by for key in before)

    async def _newest(self) -> str:
        there = await self._store.all()
        opened = await self._unwrap(there)
        if opened:
            return next(iter(opened))
        if there:
            raise SealBroken("no data key in the database opens with a sealing key of this host")
        return await self._make()

    async def _unwrap(self, there: tuple[WrappedKey, ...]) -> dict[str, bytes]:
        """Those of these keys that this host can open, in the same order."""
        own, others, gone = self._wrappings()
        found: dict[str, bytes] = {}
        for wrapped in there:
            by = next((one for one in (own, *others, *gone) if one.name == wrapped.wrapped_by), None)
            key = None if by is None else _opened(by.key, wrapped.wrapped, _bound(_WRAPS, wrapped.kid, ""))
            if by is None or key is None:
                log.error("The data key %s in the database opens with no sealing key of this host.", wrapped.kid)
                continue
            found[wrapped.kid] = key
            if by in gone:
                await self._store.replace(wrapped, _wrap(wrapped.kid, key, own))
                log.warning("The data key %s was wrapped anew with the sealing key of today.", wrapped.kid)
        self._open.update(found)
        return found

    async def _make(self) -> str:
        own, _, _ = self._wrappings()
        kid, key = secrets.token_hex(16), secrets.token_bytes(KEY_BYTES)
        await self._store.add(_wrap(kid, key, own))
        log.info("Made the data key %s.", kid)
        self._open[kid] = key
        return kid

    def _wrappings(self) -> tuple[Wrapping, list[Wrapping], list[Wrapping]]:
        own, coming, gone = self._secrets()
        return wrapping_of(own), [wrapping_of(one) for one in coming], [wrapping_of(one) for one in gone if one != own]


def _wrap(kid: str, key: bytes, by: Wrapping) -> WrappedKey:
    return WrappedKey(kid, _sealed(by.key, key, _bound(_WRAPS, kid, "")), by.name)


def _sealed(key: bytes, text: bytes, bound: bytes) -> str:
    return base64.b64encode(seal(key, text, bound)).decode("ascii")


def _opened(key: bytes, text: str, bound: bytes) -> bytes | None:
    try:
        return unseal(key, base64.b64decode(text, validate=True), bound)
    except ValueError:
        return None


def _bound(label: bytes, kid: str, place: str) -> bytes:
    """What is authenticated with a sealed value: what it is, by which key, and where it belongs."""
    return label + VERSION + b"\0" + kid.encode() + b"\0" + place.encode()
