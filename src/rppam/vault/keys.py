"""The master key of the vault (MEK): where this node has it from, and what it wraps.

It never lies in the database. Sources (``vault.keySource``): ``sealing-key`` derives it from the key that seals on
every node anyway, so that a cluster works without a further step; ``file`` reads ``vault.keyPath``; ``systemd`` a
credential of the unit (``LoadCredentialEncrypted=rppam-vault-key:...``, which binds it to the host's TPM); ``env`` the
variable RPPAM_VAULT_KEY; ``shares`` what people have brought together (:mod:`rppam.vault.unsealed`); ``pkcs11`` is a
key that stays in a token (:mod:`rppam.vault.hsm`). While the source is changed ``vault.keySourceNext`` and ``Before``
are read, too. A file may have ``.next`` and ``.previous`` beside it, as the cluster's key has.

What it does not promise: protection against whoever is root on a node that is running.
"""

import base64
import binascii
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from rppam.cluster.link.data_keys import sealing_secrets_of
from rppam.config.host_secrets import read_key
from rppam.config.settings import Settings
from rppam.crypto.data_key_ports import ClusterSecrets
from rppam.crypto.sealed import KEY_BYTES, Label, derived, seal, unseal
from rppam.kernel.clock import Clock
from rppam.kernel.errors import RppamError
from rppam.kernel.instant import Instant
from rppam.kernel.secret import Secret
from rppam.vault.errors import MasterKeyMissing, MasterKeySealed, TokenAway

CREDENTIAL: Final = "rppam-vault-key"
VARIABLE: Final = "RPPAM_VAULT_KEY"
NO_PACKAGE: Final = "the Python package python-pkcs11 is not installed here; pip install 'rppam[hsm]' brings it"
FRESH_US: Final = 1_000_000
"""So long what was read counts as what is there."""
_LABEL: Final = Label(b"rppam-vault-1", b"vault master key, AES-256-GCM")
_FINGERPRINT_DIGITS: Final = 16


class Master(Protocol):
    """One master key, wherever it is."""

    @property
    def fingerprint(self) -> str:
        """Tells keys apart and says nothing about them."""
        ...

    def wrap(self, key: bytes, place: bytes) -> bytes:
        """A key of the vault, sealed and bound to its place. Raises a :class:`VaultKeyError`."""
        ...

    def unwrap(self, wrapped: bytes, place: bytes) -> bytes:
        """What :meth:`wrap` was given. Raises :class:`~rppam.crypto.sealed.SealRefused`, a :class:`VaultKeyError`."""
        ...


class PlainMaster(NamedTuple):
    """A master key in the memory of this process. Implements :class:`Master`."""

    fingerprint: str
    key: bytes

    def wrap(self, key: bytes, place: bytes) -> bytes:
        """See :class:`Master`."""
        return seal(self.key, key, place)

    def unwrap(self, wrapped: bytes, place: bytes) -> bytes:
        """See :class:`Master`."""
        return unseal(self.key, wrapped, place)


class Masters(NamedTuple):
    """The master keys of this node."""

    own: Master
    """New keys are wrapped with it."""
    coming: tuple[Master, ...] = ()
    """Other nodes wrap with it already: unwrapped with, never wrapped."""
    gone: tuple[Master, ...] = ()
    """What is wrapped with it is wrapped anew."""
    lacking: str = ""
    """Why the source that comes next gives nothing; empty where it does, or where none comes."""

    def find(self, fingerprint: str) -> Master | None:
        """The key of this fingerprint."""
        return next((one for one in (self.own, *self.coming, *self.gone) if one.fingerprint == fingerprint), None)


def master_of(secret: Secret) -> PlainMaster:
    """The master key that a secret of 64 hexadecimal digits gives."""
    key = derived(secret, _LABEL)
    digest = hashlib.sha256(b"fingerprint of " + key).hexdigest()
    return PlainMaster(digest[:_FINGERPRINT_DIGITS], key)


class MasterKeys:
    """Reads the master keys of this node; what is read counts for a second, or for ``fresh_us``."""

    def __init__(self, read: Callable[[], Masters], clock: Clock, fresh_us: int = FRESH_US) -> None:
        self._read, self._clock, self._fresh_us = read, clock, fresh_us
        self._known: Masters | None = None
        self._until = Instant(0)

    def __call__(self) -> Masters:
        """The keys. Raises :class:`MasterKeyMissing`."""
        now = self._clock.now()
        if self._known is None or now >= self._until:
            self._known = None
            self._known = self._read()
            self._until = Instant(now + self._fresh_us)
        return self._known


def master_keys_of(settings: Settings, clock: Clock, fresh_us: int = FRESH_US) -> MasterKeys:
    """The reader for a node's settings."""
    return MasterKeys(lambda: read_masters(settings), clock, fresh_us)


def read_masters(settings: Settings) -> Masters:
    """Read them. Raises :class:`MasterKeyMissing`."""
    found = _from(settings.vault.key_source, settings)
    coming, lacking = _besides(settings.vault.key_source_next, settings, found)
    found = found._replace(coming=(*found.coming, *coming), lacking=lacking)
    gone, _ = _besides(settings.vault.key_source_before, settings, found)
    return found._replace(gone=(*found.gone, *gone))


def fits(settings: Settings, key: bytes, needed: str) -> bool:
    """Whether a node that gets ``key`` from shares opens what is wrapped with the master key ``needed``; empty: nothing
    is wrapped with any yet."""
    found = Masters(master_of(Secret(key.hex())))
    coming, _ = _besides(settings.vault.key_source_next, settings, found)
    gone, _ = _besides(settings.vault.key_source_before, settings, found)
    return not needed or found._replace(coming=tuple(coming), gone=tuple(gone)).find(needed) is not None


def _besides(source: str, settings: Settings, found: Masters) -> tuple[list[Master], str]:
    """What another source has and ``found`` has not; why it has nothing, which is no failure: it comes, or has gone."""
    if source == "none":
        return [], ""
    try:
        other = _from(source, settings)
    except MasterKeyMissing as error:
        return [], f"{error.row.code}: {error}. {error.row.remedy}"
    return [one for one in (other.own, *other.coming, *other.gone) if found.find(one.fingerprint) is None], ""


def _from(source: str, settings: Settings) -> Masters:
    if source == "pkcs11":
        return Masters(_token(settings))
    try:
        secrets = _READERS[source](settings)
    except (RppamError, OSError) as error:
        if isinstance(error, MasterKeyMissing) and type(error) is not MasterKeyMissing:
            raise  # it says more
        raise MasterKeyMissing(f"vault.keySource {source}: {error}") from None
    own = master_of(secrets.own)
    gone = tuple(one for one in map(master_of, secrets.gone) if one != own)
    return Masters(own, tuple(map(master_of, secrets.coming)), gone)


def _token(settings: Settings) -> Master:
    try:
        from rppam.vault.hsm import token_master  # noqa: PLC0415 - a package that is there where a token is
    except ImportError:
        raise TokenAway(NO_PACKAGE) from None
    return token_master(settings)


def _sealing_key(settings: Settings) -> ClusterSecrets:
    return sealing_secrets_of(settings)()


def _file(settings: Settings) -> ClusterSecrets:
    path = settings.vault.key_path
    coming, gone = (
        tuple(Secret(read_key(one).hex()) for one in (path.with_name(path.name + suffix),) if one.exists())
        for suffix in (".next", ".previous")
    )
    return ClusterSecrets(Secret(read_key(path).hex()), coming, gone)


def _systemd(_settings: Settings) -> ClusterSecrets:
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    if not folder:
        raise MasterKeyMissing(f"there is no CREDENTIALS_DIRECTORY: the unit has no LoadCredential={CREDENTIAL}")
    file = Path(folder) / CREDENTIAL
    return ClusterSecrets(_key_in(file.read_text(encoding="utf-8", errors="replace"), f"the credential {file}"))


def _env(_settings: Settings) -> ClusterSecrets:
    return ClusterSecrets(_key_in(os.environ.get(VARIABLE, ""), f"the variable {VARIABLE}"))


def _shares(settings: Settings) -> ClusterSecrets:
    return ClusterSecrets(Secret(unsealed_key(settings).hex()))


def unsealed_key(settings: Settings) -> bytes:
    """The key that shares have given, while the vault is open here. Raises :class:`MasterKeyMissing`."""
    path = settings.vault.unsealed_path
    if not path.exists():
        raise MasterKeySealed("the vault is sealed here: nobody has brought its shares together since the host started")
    try:
        return read_key(path)
    except RppamError as error:
        raise MasterKeyMissing(f"vault.keySource shares: {error}") from None


_READERS: Final[dict[str, Callable[[Settings], ClusterSecrets]]] = {
    "sealing-key": _sealing_key,
    "file": _file,
    "systemd": _systemd,
    "env": _env,
    "shares": _shares,
}


def _key_in(text: str, place: str) -> Secret:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise MasterKeyMissing(f"{place}: expected {KEY_BYTES} bytes in base64 ('rppam vault key new' makes one)")
    return Secret(key.hex())
