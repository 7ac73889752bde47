"""The one sealed format, and every key that is derived from a secret of the cluster.

    head   nonce, 12 bytes   AES-256-GCM of the text (NIST SP 800-38D), with its tag of 16 bytes

The head is a version byte, or what else may be read without the key. A seal is bound to its place: what the caller
binds it to is authenticated with it, so a value that was copied elsewhere, or made for another purpose, does not open.
Keys come from a secret by HKDF-SHA-256 (RFC 5869), each under a label of its own, so none tells of another.

What it does not promise: to hide how long a text is. One key seals far fewer than the 2**32 texts that random nonces
allow.
"""

import secrets
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from rppam.kernel.secret import Secret

VERSION: Final = b"\x01"
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16


class SealRefused(ValueError):
    """A sealed value that does not open; which of the reasons it was does not show."""

    def __init__(self) -> None:
        super().__init__("it was not sealed for this place by this cluster, or was changed")


class Label(NamedTuple):
    """What a derived key is for."""

    salt: bytes
    info: bytes


def derived(secret: Secret, label: Label, size: int = KEY_BYTES) -> bytes:
    """The key of ``size`` bytes for one purpose; ``secret`` is in hexadecimal digits."""
    return HKDF(hashes.SHA256(), size, *label).derive(bytes.fromhex(secret.reveal()))


def seal(key: bytes, text: bytes, bound: bytes, *, head: bytes = VERSION, nonce: bytes | None = None) -> bytes:
    """``text`` sealed and bound to ``bound``; ``nonce`` only where it has to be known before, and never twice."""
    nonce = secrets.token_bytes(NONCE_BYTES) if nonce is None else nonce
    return head + nonce + AESGCM(key).encrypt(nonce, text, bound)


def unseal(key: bytes, sealed: bytes, bound: bytes, *, head: bytes = VERSION) -> bytes:
    """The text. Raises :class:`SealRefused`."""
    start = len(head) + NONCE_BYTES
    if not sealed.startswith(head) or len(sealed) < start + TAG_BYTES:
        raise SealRefused
    try:
        return AESGCM(key).decrypt(sealed[len(head) : start], sealed[start:], bound)
    except InvalidTag:
        raise SealRefused from None


def framed(*words: bytes) -> bytes:
    """The words with their lengths before them, so that no two sequences of words are the same bytes."""
    return b"".join(len(word).to_bytes(4, "big") + word for word in words)
