"""Secrets of a config: plain, in a file, in the environment, or sealed by the AES-256-GCM key of this host.

An encrypted value is ``encrypted:`` (or ``ENC:``) and the base64 of what :mod:`rppam.crypto.sealed` makes. The key is
32 bytes, base64 in a file of its own that only its owner may read. No message shows a secret.

What it does not promise: protection against an attacker who can read both files, or the memory of the process. On
Windows access rights are not checked: there is no mode to read.
"""

import base64
import binascii
import os
import secrets
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from rppam.config.errors import SecretError
from rppam.config.keywords import ENCRYPTED
from rppam.config.kinds import ByPlace, Context, Kind, WrongValueError
from rppam.config.wording import type_of, unprintable
from rppam.crypto.sealed import KEY_BYTES, NONCE_BYTES, TAG_BYTES, VERSION, seal, unseal
from rppam.kernel.secret import Secret

SECRET_FILE_BYTES_MAX: Final = 64 * 1024
_BOUND: Final = b"rppam.config value v" + VERSION
_KEY_FILE_BYTES_MAX: Final = 1024
_REMAKE: Final = "Make it anew with `rppam config encrypt`."


class FileContent(NamedTuple):
    """A file as it was read."""

    data: bytes
    open_to: str = ""
    """Who else may read or change it: ``everyone``, ``its group``; empty when only its owner may."""


def read_file(path: Path, limit: int) -> FileContent:
    """At most ``limit`` + 1 bytes of a file. Raises :class:`OSError`."""
    with path.open("rb") as file:
        mode = 0 if sys.platform == "win32" else os.fstat(file.fileno()).st_mode
        group = "its group" if mode & (stat.S_IRGRP | stat.S_IWGRP) else ""
        return FileContent(file.read(limit + 1), "everyone" if mode & (stat.S_IROTH | stat.S_IWOTH) else group)


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
        content = read_file(path, _KEY_FILE_BYTES_MAX)
    except OSError as error:
        fix = (
            "Copy it from where the value was encrypted. Where it is lost, no value that it encrypted can be read any "
            "more: make a new key, and encrypt each value anew: rppam config encrypt --new-key --key-file FILE."
        )
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


def decrypt(token: str, key_file: Path, key: bytes | None = None) -> Secret:
    """The secret in an ``encrypted:`` or ``ENC:`` value. ``key``: else it is read from ``key_file``.

    Raises :class:`SecretError` with one problem, without a place: the caller knows it.
    """
    sealed = _unpacked(token)  # first: what is wrong with the value itself is wrong whatever the key
    try:
        return Secret(unseal(read_key(key_file) if key is None else key, sealed, _BOUND).decode())
    except ValueError:
        found = "one that this key does not open: it was made with another key, or it was changed"
        raise SecretError.of("", f"a value encrypted with the key file {key_file}", found, _REMAKE) from None


def _unpacked(token: str) -> bytes:
    expected = "an encrypted value"
    prefix = next((prefix for prefix in ENCRYPTED if token.startswith(prefix)), None)
    if prefix is None:
        raise SecretError.of("", expected, "a text without encrypted: or ENC: before it", _REMAKE)
    try:
        raw = base64.b64decode(token.removeprefix(prefix).strip(), validate=True)
    except ValueError:
        raise SecretError.of("", expected, "text that is not base64", _REMAKE) from None
    if len(raw) < 1 + NONCE_BYTES + TAG_BYTES:
        found = f"{len(raw)} bytes, too few: it is cut off"
        raise SecretError.of("", expected, found, "Copy the whole value, or " + _REMAKE[0].lower() + _REMAKE[1:])
    if raw[:1] != VERSION:
        raise SecretError.of("", f"{expected} of version {VERSION[0]}", f"version {raw[0]}", _REMAKE)
    return raw


class FileSecret(Secret):
    """A secret that was read from a file, which is read again when it changes."""

    __slots__ = ("file",)

    def __init__(self, text: str, file: Path) -> None:
        super().__init__(text)
        self.file = file


@dataclass(frozen=True, slots=True)
class SecretText(Kind):
    """A secret: plain, ``encrypted:``/``ENC:``, or an object that names a file or an environment variable."""

    def read(self, value: object) -> tuple[str, str]:
        """``plain``, ``encrypted``, ``file`` or ``env``, and its text."""
        if isinstance(value, dict):
            fix = 'Write {"file": PATH} or {"env": NAME}.'
            if len(value) != 1 or not value.keys() <= {"file", "env"}:
                raise WrongValueError("an object with other keys", fix)
            ((source, name),) = value.items()
            if not isinstance(name, str) or not name.strip() or unprintable(name) or (source == "env" and "=" in name):
                raise WrongValueError(f"{type_of(name)} for {source!r}", fix)
            return source, name
        if not isinstance(value, str):
            raise WrongValueError(type_of(value), 'Write a text, {"file": PATH} or {"env": NAME}.')
        if not value:
            raise WrongValueError("an empty text", "Write the secret, or take the key out.")
        return "encrypted" if value.startswith(ENCRYPTED) else "plain", value

    def within(self, value: object, context: Context, name: str) -> Secret:
        """The secret itself: decrypted, or read from where the file says."""
        if isinstance(value, ByPlace):
            return Secret(value.within(context))
        source, text = self.read(value)
        if source == "plain":
            return Secret(text)
        if source == "file":
            secret: Secret = _in_file(context.folder / text, context, name)
        elif source == "env":
            secret = _in_environment(text)
        else:
            try:
                secret = decrypt(text, context.key_file)
            except SecretError as error:
                (problem,) = error.problems
                raise WrongValueError(problem.found, problem.fix, problem.expected) from None
        if not secret:
            raise WrongValueError(f"an empty one ({source})", "Put the secret there.", "a secret")
        return secret


def _in_file(file: Path, context: Context, name: str) -> FileSecret:
    expected = f"a secret in the file {file}"
    try:
        content = read_file(file, SECRET_FILE_BYTES_MAX)
        if len(content.data) > SECRET_FILE_BYTES_MAX:
            found = f"more than {SECRET_FILE_BYTES_MAX} bytes"
            raise WrongValueError(found, "Name the file that holds the secret alone.", expected)
        text = content.data.decode("utf-8")
    except OSError as error:
        found = f"no readable file ({error.strerror})"
        raise WrongValueError(found, "Make it, readable by the account of the node.", expected) from None
    except UnicodeDecodeError:
        raise WrongValueError("bytes that are not UTF-8", "Save the file as UTF-8.", expected) from None
    if content.open_to == "everyone":
        context.warn(name, f"{file} is open to {content.open_to}; run: chmod 600 {file}")
    return FileSecret(text.removesuffix("\n").removesuffix("\r"), file)


def _in_environment(name: str) -> Secret:
    text = os.environ.get(name)
    expected = f"a secret in the environment variable {name}"
    if text is None:
        raise WrongValueError("no such variable", "Set it for the service.", expected)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # bytes of the environment that are no text come as half characters
        raise WrongValueError("bytes that are not UTF-8", "Set it to text in UTF-8.", expected) from None
    return Secret(text)
