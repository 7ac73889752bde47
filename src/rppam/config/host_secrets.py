"""Secrets on this host: files, environment, and the AES-256-GCM key behind ``encrypted:`` values.

An encrypted value is ``encrypted:`` (or ``ENC:``) and the base64 of what :mod:`rppam.crypto.sealed` makes. The key is
32 bytes, base64 in a file of its own that nobody but its owner may read.

What it does not promise: protection against whoever can read both files, or the memory of the process. On Windows
access rights are not checked: there is no mode to read.
"""

import base64
import binascii
import os
import secrets
import stat
import sys
from pathlib import Path
from typing import Final

from rppam.config.errors import SecretError
from rppam.config.keywords import ENCRYPTED
from rppam.config.outside import FileContent
from rppam.crypto.sealed import KEY_BYTES, NONCE_BYTES, TAG_BYTES, VERSION, seal, unseal
from rppam.kernel.secret import Secret

_BOUND: Final = b"rppam.config value v" + VERSION
_KEY_FILE_BYTES_MAX: Final = 1024
_REMAKE: Final = "Make it anew with `rppam config encrypt`."


class HostSecrets:
    """The :class:`~rppam.config.outside.Outside` of this host."""

    def read(self, path: Path, limit: int) -> FileContent:
        """At most ``limit`` + 1 bytes. Raises :class:`OSError`."""
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            return FileContent(file.read(limit + 1), _open_to(status))

    def environment(self, name: str) -> str | None:
        """An environment variable."""
        return os.environ.get(name)

    def decrypt(self, token: str, key_file: Path) -> Secret:
        """The text behind an encrypted value. Raises :class:`SecretError`."""
        sealed = unpack(token)  # first: what is wrong with the value itself is wrong whatever the key
        return decrypt(sealed, read_key(key_file), key_file)


def create_key(path: Path) -> None:
    """Write a new random key to ``path`` (mode 0600), which must not exist. Raises :class:`SecretError`."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        fix = "Use it as it is, or name another file; what it encrypted cannot be read without it."
        raise SecretError.of(str(path), "no such file yet", "a file", fix) from None
    except OSError as error:
        fix = "Run this as the account of the node, or name another file."
        raise SecretError.of(str(path), "a place to write a key file", f"{error.strerror}", fix) from None


def read_key(path: Path) -> bytes:
    """The 32 bytes of a key file. Raises :class:`SecretError` when it is missing, wrong, or open to others."""
    try:
        content = HostSecrets().read(path, _KEY_FILE_BYTES_MAX)
    except OSError as error:
        fix = "Copy it from where the value was encrypted, or make one: rppam config encrypt --new-key --key-file FILE."
        raise SecretError.of("", f"the key file {path}", f"none that is readable ({error.strerror})", fix) from None
    if content.open_to:
        fix = f"Run: chmod 600 {path}"
        raise SecretError.of("", f"the key file {path} closed to others", f"it is open to {content.open_to}", fix)
    try:
        key = base64.b64decode(content.data.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        fix = "Name the right file in auth.secretKeyPath."
        raise SecretError.of("", f"{KEY_BYTES} bytes in base64 in the key file {path}", "something else", fix)
    return key


def encrypt(secret: Secret, key: bytes) -> str:
    """The ``encrypted:`` value of a secret. ``key`` is 32 bytes."""
    return ENCRYPTED[0] + base64.b64encode(seal(key, secret.reveal().encode(), _BOUND)).decode("ascii")


def unpack(token: str) -> bytes:
    """What is sealed in an ``encrypted:`` or ``ENC:`` value. Raises :class:`SecretError`."""
    expected = "an encrypted value"
    prefix = next((prefix for prefix in ENCRYPTED if token.startswith(prefix)), None)
    if prefix is None:
        raise SecretError.of("", expected, "a text without encrypted: or ENC: before it", _REMAKE)
    try:
        raw = base64.b64decode(token.removeprefix(prefix).strip(), validate=True)
    except (binascii.Error, ValueError):
        raise SecretError.of("", expected, "text that is not base64", _REMAKE) from None
    if len(raw) < 1 + NONCE_BYTES + TAG_BYTES:
        found = f"{len(raw)} bytes, too few: it is cut off"
        raise SecretError.of("", expected, found, "Copy the whole value, or " + _REMAKE[0].lower() + _REMAKE[1:])
    if raw[:1] != VERSION:
        raise SecretError.of("", f"{expected} of version {VERSION[0]}", f"version {raw[0]}", _REMAKE)
    return raw


def decrypt(sealed: bytes, key: bytes, key_file: Path) -> Secret:
    """The secret in it. Raises :class:`SecretError`, which names ``key_file``."""
    try:
        return Secret(unseal(key, sealed, _BOUND).decode())
    except ValueError:
        found = "one that this key does not open: it was made with another key, or it was changed"
        raise SecretError.of("", f"a value encrypted with the key file {key_file}", found, _REMAKE) from None


def _open_to(status: os.stat_result) -> str:
    """Who else may read or write the file."""
    if sys.platform == "win32":
        return ""
    if status.st_mode & (stat.S_IROTH | stat.S_IWOTH):
        return "everyone"
    return "its group" if status.st_mode & (stat.S_IRGRP | stat.S_IWGRP) else ""
