"""The keys that sign access tokens, as files shared by all nodes of a cluster.

A directory of PEM private keys, each readable by its owner alone. The file name says from when on a key signs::

    jwt-20260301T120000Z-4f1c9a2b.pem      signs from 2026-03-01 12:00 UTC

Every key in the directory verifies; the one with the latest time that has come signs. So a key is changed without
refusing anybody: put a file dated tomorrow on every node, and remove the old file when the last token it signed has
expired (``rppam token keys``). Keys with another name (``jwt*.pem``, ``jwt*.key``) count as older than all dated ones;
everything else in the directory is left alone.

What it does not promise: protection against somebody who can read the directory as its owner.
"""

import hashlib
import os
import re
import stat
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from rppam.cli.files import own_as
from rppam.http.serving_errors import SigningKeyError
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret

FILE_BYTES_MAX: Final = 64 * 1024
FILES_MAX: Final = 32
_DATED: Final = re.compile(r"jwt-(\d{8}T\d{6}Z)-[0-9a-f]{8}\.pem")
_FORMAT: Final = "%Y%m%dT%H%M%SZ"
_NAME: Final = re.compile(r"jwt[^/]*\.(pem|key)")


class StoredKey(NamedTuple):
    name: str
    """File name, for messages."""
    pem: Secret
    """PKCS#8 PEM, not encrypted."""
    signs_from_s: int
    """Seconds since 1970 UTC from which on it may sign; before that it only verifies. 0 when not stated."""


def create_signing_key(directory: Path, *, now_ms: WallMs) -> Path:
    """Write one new P-256 key into ``directory`` (made with mode 0700 where missing) and return its file.

    ``now_ms`` is wall time: the key signs from then on. Raises :class:`SigningKeyError`.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    when = datetime.fromtimestamp(now_ms // 1000, UTC).strftime(_FORMAT)
    path = directory / f"jwt-{when}-{hashlib.sha256(public).hexdigest()[:8]}.pem"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_private(path, pem)
    except OSError as error:
        raise SigningKeyError(
            f"a signing key cannot be written to {directory}: {error.strerror}. "
            "Let the account that runs rppam own the directory, or set auth.jwtKeysDir"
        ) from error
    return path


def load_signing_keys(directory: Path) -> tuple[StoredKey, ...]:
    """All keys in ``directory``, oldest first.

    Raises :class:`SigningKeyError` when there is none, or when somebody but the owner could read or add one.
    """
    try:
        _check_directory(directory)
        paths = signing_key_files(directory)
    except FileNotFoundError:
        paths = []
    except OSError as error:
        raise SigningKeyError(
            f"the signing keys in {directory} cannot be read: {error.strerror}. "
            "Run this as the account that runs the node (or root)"
        ) from error
    if not paths:
        raise SigningKeyError(
            f"{directory} holds no signing key (jwt*.pem). On a new node run 'rppam init'; on a node of a cluster copy "
            "the directory from another node, since every node must accept what another one signed"
        )
    if len(paths) > FILES_MAX:
        raise SigningKeyError(f"{directory} holds {len(paths)} keys, at most {FILES_MAX} make sense; remove old ones")
    return tuple(sorted((_load(path) for path in paths), key=lambda key: (key.signs_from_s, key.name)))


def signing_key_files(directory: Path) -> list[Path]:
    """The files in ``directory`` that are keys by their names. Raises :class:`OSError`."""
    return sorted(path for path in directory.iterdir() if _NAME.fullmatch(path.name))


def ensure_signing_keys(directory: Path, *, now_ms: WallMs) -> tuple[StoredKey, ...]:
    """As :func:`load_signing_keys`, after making a first key where there is none. Only for a node that is alone:
    two nodes that each make their own would refuse each other's tokens."""
    if not directory.exists() or not any(_NAME.fullmatch(path.name) for path in directory.iterdir()):
        create_signing_key(directory, now_ms=now_ms)
    return load_signing_keys(directory)


def give_to_node(directory: Path, *paths: Path) -> None:
    """What root makes or finds has to be readable by the account that runs the node: the owner of ``directory``."""
    if sys.platform != "win32" and os.geteuid() == 0:
        own_as(directory, *paths)


def _load(path: Path) -> StoredKey:
    try:
        # One descriptor for check and read: what was checked is what is read.
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            content = file.read(FILE_BYTES_MAX + 1) if stat.S_ISREG(found.st_mode) else None
    except OSError as error:
        raise SigningKeyError(
            f"the signing key {path} cannot be read: {error.strerror}. Run this as the account that owns it (or root)"
        ) from error
    if content is None:
        raise SigningKeyError(f"{path} is not a file")
    if os.name == "posix" and stat.S_IMODE(found.st_mode) & 0o077:
        raise SigningKeyError(
            f"the signing key {path} has mode {stat.S_IMODE(found.st_mode):04o}, expected 0600: whoever reads it can "
            f"make admin tokens. Run: chmod 600 {path}"
        )
    if len(content) > FILE_BYTES_MAX:
        raise SigningKeyError(f"{path} is larger than any key ({FILE_BYTES_MAX} bytes at most)")
    try:
        text = content.decode("ascii")
    except UnicodeDecodeError as error:
        raise SigningKeyError(f"{path} is not a PEM file: it holds bytes that are not ASCII") from error
    return StoredKey(path.name, Secret(text), _signs_from_s(path))


def _signs_from_s(path: Path) -> int:
    match = _DATED.fullmatch(path.name)
    if match is None:
        return 0
    try:
        return int(datetime.strptime(match[1], _FORMAT).replace(tzinfo=UTC).timestamp())
    except ValueError as error:
        raise SigningKeyError(
            f"the name of {path} holds no time; expected jwt-YYYYMMDDTHHMMSSZ-xxxxxxxx.pem in UTC"
        ) from error


def _check_directory(directory: Path) -> None:
    mode = stat.S_IMODE(directory.stat().st_mode)
    if os.name == "posix" and mode & 0o022:
        raise SigningKeyError(
            f"{directory} has mode {mode:04o}: others could add a key and sign tokens with it. "
            f"Run: chmod 700 {directory}"
        )


def _write_private(path: Path, content: bytes) -> None:
    # A reader never sees half a key: written under another name (mode 0600 by mkstemp), synced, then renamed.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".jwt-")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        give_to_node(path.parent, temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
