"""What certificates and keys count no more, and the list of them that sshd reads (``RevokedKeys``). Pure.

The list is OpenSSH's KRL, version 1: a serial number or key id counts for the keys of the cluster's authority alone,
one of the setting ``access/certificates`` for every authority; a fingerprint is one of a key, whether it is shown with
a certificate or without. A key of the authority that was retired stands in it itself, so a target that still trusts it
takes nothing that it has signed. What the list does not promise: that a target has read it.
"""

import base64
import binascii
import re
import struct
from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from rppam.gateway.certificates import AuthorityKey, State
from rppam.gateway.errors import CertificateInvalid
from rppam.kernel.instant import WallMs

_MAGIC: Final = 0x5353484B524C0A00
_FORMAT: Final = 1
_CERTIFICATES, _EXPLICIT_KEY, _FINGERPRINT_SHA256 = 1, 2, 5
_SERIAL_LIST, _KEY_ID = 0x20, 0x23
_PREFIX: Final = "SHA256:"
_DIGEST_BYTES: Final = 32
_SERIAL: Final = re.compile(r"[1-9][0-9]{0,19}")
_SERIAL_MAX: Final = 2**64 - 1
KEY_ID_CHARS: Final = 200


class RevokedKind(StrEnum):
    """By what a certificate is known that counts no more."""

    SERIAL = "serial"
    KEY_ID = "key-id"
    """All that bear it, those to come as well: none is signed with it any more."""
    KEY = "key"
    """The fingerprint of its key: whatever certificate that is in."""


class Revocation(NamedTuple):
    """What was revoked, by whom, when and why."""

    id: str
    kind: RevokedKind
    word: str
    reason: str
    by: str
    at: WallMs


def read_word(kind: RevokedKind, text: str) -> str:
    """What is revoked, as it is compared. Raises :class:`CertificateInvalid`."""
    word = text.strip()
    if kind is RevokedKind.SERIAL:
        if not _SERIAL.fullmatch(word) or int(word) > _SERIAL_MAX:
            raise CertificateInvalid("word: expected a serial number from 1 on, as `ssh-keygen -L` shows it")
        return word
    if kind is RevokedKind.KEY:
        if _digest(word) is None:
            raise CertificateInvalid("word: expected a fingerprint such as SHA256:..., as `ssh-keygen -l` shows it")
        return word.rstrip("=")
    if not word or len(word) > KEY_ID_CHARS or not word.isprintable():
        raise CertificateInvalid(f"word: expected a key id of 1 to {KEY_ID_CHARS} characters that can be shown")
    return word


def sorted_out(words: Iterable[str]) -> set[tuple[RevokedKind, str]]:
    """What entries of the setting, which have no kind, stand for: each for whatever it may be."""
    found = set()
    for word in words:
        found.add((RevokedKind.KEY_ID, word))
        if _SERIAL.fullmatch(word) and int(word) <= _SERIAL_MAX:
            found.add((RevokedKind.SERIAL, word))
        if _digest(word) is not None:
            found.add((RevokedKind.KEY, word.rstrip("=")))
    return found


def written(
    authority: Sequence[AuthorityKey],
    revoked: Collection[tuple[RevokedKind, str]],
    of_all: Collection[tuple[RevokedKind, str]],
    now_ms: int,
) -> bytes:
    """The list. ``of_all``: what counts for every authority. ``now_ms`` is its version, too: it only ever grows."""
    own = [one for one in authority if one.state is not State.RETIRED]
    keys = {_digest(word) for kind, word in {*revoked, *of_all} if kind is RevokedKind.KEY}
    body = struct.pack(">QIQQQ", _MAGIC, _FORMAT, now_ms, now_ms // 1000, 0) + _string(b"") + _string(b"RP-PAM")
    for ca in [blob_of(one.public) for one in own]:
        body += _certificates(ca, revoked)
    body += _certificates(b"", of_all)
    gone = sorted(blob_of(one.public) for one in authority if one.state is State.RETIRED)
    if gone:
        body += _section(_EXPLICIT_KEY, b"".join(_string(one) for one in gone))
    if digests := sorted(one for one in keys if one is not None):
        body += _section(_FINGERPRINT_SHA256, b"".join(_string(one) for one in digests))
    return body


def blob_of(line: str) -> bytes:
    """The bytes of a public key as OpenSSH writes it."""
    return base64.b64decode(line.split()[1])


def _certificates(ca: bytes, revoked: Collection[tuple[RevokedKind, str]]) -> bytes:
    """``ca``: whose they are; empty: of every authority. Empty where there are none."""
    serials = sorted(int(word) for kind, word in revoked if kind is RevokedKind.SERIAL)
    names = sorted(word for kind, word in revoked if kind is RevokedKind.KEY_ID)
    inner = b""
    if serials:
        inner += _section(_SERIAL_LIST, struct.pack(f">{len(serials)}Q", *serials))
    if names:
        inner += _section(_KEY_ID, b"".join(_string(name.encode()) for name in names))
    return _section(_CERTIFICATES, _string(ca) + _string(b"") + inner) if inner else b""


def _section(kind: int, data: bytes) -> bytes:
    return bytes([kind]) + _string(data)


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _digest(word: str) -> bytes | None:
    """The bytes of a fingerprint; ``None``: it is none."""
    if not word.startswith(_PREFIX):
        return None
    text = word.removeprefix(_PREFIX).rstrip("=")
    try:
        found = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return found if len(found) == _DIGEST_BYTES else None
