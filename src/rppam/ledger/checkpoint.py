"""Signed checkpoints of the ledger: C2SP ``tlog-checkpoint`` notes, and ``tlog-cosignature`` lines under them.

A note is three lines (origin, number of leaves, root), an empty line, and signatures, each of a named key. Pure: whose
key may sign what, and which checkpoint follows which, is decided elsewhere.
"""

import base64
import binascii
import hashlib
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_DASH: Final = "\u2014 "
_ED25519: Final = b"\x01"
COSIGNATURE: Final = b"\x04"
"""What a key is for, in its text: cosignatures."""
_KEY_ID_BYTES: Final = 4
_TIME_BYTES: Final = 8


class CheckpointRefused(ValueError):
    """A text that is no checkpoint, or that the key did not sign."""


class Checkpoint(NamedTuple):
    """What a checkpoint says."""

    origin: str
    """Which ledger: ``rppam/CLUSTER-ID``."""
    size: int
    root: bytes

    def body(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


class Signer(NamedTuple):
    """A private key and the name it signs under."""

    name: str
    key: Ed25519PrivateKey

    def verifier(self) -> "Verifier":
        """What checks its signatures."""
        return Verifier(self.name, self.key.public_key())


class Verifier(NamedTuple):
    """A public key and the name it signs under."""

    name: str
    key: Ed25519PublicKey

    def text(self, algorithm: bytes = _ED25519) -> str:
        """The key as one word, ``NAME+ID+KEY``, as the note format writes it."""
        public = self.key.public_bytes(Encoding.Raw, PublicFormat.Raw)
        key_id = _key_id(self.name, algorithm, public)
        return f"{self.name}+{key_id.hex()}+{base64.b64encode(algorithm + public).decode()}"


def origin_of(cluster_id: str) -> str:
    """The name of a cluster's ledger in its checkpoints."""
    return f"rppam/{cluster_id}"


def verifier_of(text: str) -> Verifier:
    """The key that :meth:`Verifier.text` wrote. Raises :class:`CheckpointRefused`."""
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    try:
        raw = base64.b64decode(encoded, validate=True)
        key = Ed25519PublicKey.from_public_bytes(raw[1:])
    except ValueError:
        raise CheckpointRefused("expected a key as NAME+ID+BASE64 of Ed25519") from None
    if not name or _key_id(name, raw[:1], raw[1:]).hex() != key_id:
        raise CheckpointRefused("the key's id is not that of its name and bytes")
    return Verifier(name, key)


def signed(checkpoint: Checkpoint, signer: Signer) -> str:
    """The note with the signature of the ledger's key."""
    body = checkpoint.body()
    return f"{body}\n{_line(signer, _ED25519, signer.key.sign(body.encode()))}"


def cosignature(body: str, signer: Signer, time_s: int) -> str:
    """One more line for a note with this ``body``: ``signer`` has seen that it follows from the last one it signed."""
    stamp = time_s.to_bytes(_TIME_BYTES, "big")
    return _line(signer, COSIGNATURE, stamp + signer.key.sign(_cosigned(body, time_s)))


def read_checkpoint(note: str, verifier: Verifier) -> Checkpoint:
    """The checkpoint of a note that ``verifier`` finds signed. Raises :class:`CheckpointRefused`."""
    checkpoint, body = parse_checkpoint(note)
    signature = _signature(note, verifier, _ED25519)
    try:
        verifier.key.verify(signature, body.encode())
    except InvalidSignature:
        raise CheckpointRefused(f"the signature of {verifier.name} does not match") from None
    return checkpoint


def cosigned_at(note: str, verifier: Verifier) -> int:
    """When ``verifier`` cosigned the note, in seconds since 1970. Raises :class:`CheckpointRefused`."""
    _, body = parse_checkpoint(note)
    raw = _signature(note, verifier, COSIGNATURE)
    time_s = int.from_bytes(raw[:_TIME_BYTES], "big")
    try:
        verifier.key.verify(raw[_TIME_BYTES:], _cosigned(body, time_s))
    except InvalidSignature:
        raise CheckpointRefused(f"the cosignature of {verifier.name} does not match") from None
    return time_s


def parse_checkpoint(note: str) -> tuple[Checkpoint, str]:
    """What a note says and the text that was signed; no signature is looked at. Raises :class:`CheckpointRefused`."""
    body, gap, _ = note.partition("\n\n")
    lines = body.split("\n")
    if not gap or len(lines) != 3:
        raise CheckpointRefused("expected three lines, an empty one and signatures")
    origin, size, root = lines
    try:
        checkpoint = Checkpoint(origin, int(size), base64.b64decode(root, validate=True))
    except (ValueError, binascii.Error):
        raise CheckpointRefused("expected the number of leaves, and the root in base64") from None
    if not origin or checkpoint.body() != f"{body}\n" or len(checkpoint.root) != hashlib.sha256().digest_size:
        raise CheckpointRefused("expected origin, size and root in their one form")
    return checkpoint, f"{body}\n"


def _key_id(name: str, algorithm: bytes, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + algorithm + public).digest()[:_KEY_ID_BYTES]


def _id_of(verifier: Verifier, algorithm: bytes) -> bytes:
    return _key_id(verifier.name, algorithm, verifier.key.public_bytes(Encoding.Raw, PublicFormat.Raw))


def _line(signer: Signer, algorithm: bytes, signature: bytes) -> str:
    encoded = base64.b64encode(_id_of(signer.verifier(), algorithm) + signature).decode()
    return f"{_DASH}{signer.name} {encoded}\n"


def _cosigned(body: str, time_s: int) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n{body}".encode()


def _signature(note: str, verifier: Verifier, algorithm: bytes) -> bytes:
    wanted = _id_of(verifier, algorithm)
    for line in note.partition("\n\n")[2].splitlines():
        name, _, encoded = line.removeprefix(_DASH).rpartition(" ")
        if not line.startswith(_DASH) or name != verifier.name:
            continue
        try:
            raw = base64.b64decode(encoded, validate=True)
        except (ValueError, binascii.Error):
            continue
        if raw[:_KEY_ID_BYTES] == wanted:
            return raw[_KEY_ID_BYTES:]
    raise CheckpointRefused(f"{verifier.name} has not signed it")
