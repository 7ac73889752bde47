"""A member's cosignature of the ledger: given for a checkpoint that follows from the last one it has seen.

Decides what a member believes of the ledger. It keeps origin, key, size and root of the last checkpoint in a file of
its own, and takes a newer one only with a valid signature of that key and a proof that the tree only grew. So a
database that was put back, replaced or signed by another key is noticed by each member that still has its file, a
witness among them, which has no database. The file is on disk before the signature is given. What it does not promise:
to notice what nobody had seen signed; the first key that a member is shown is the one it believes.
"""

import base64
import json
import os
import sys
from pathlib import Path
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rppam.kernel.clock import Clock
from rppam.kernel.files import replace_durably
from rppam.ledger.checkpoint import (
    COSIGNATURE,
    Checkpoint,
    CheckpointRefused,
    Signer,
    cosignature,
    parse_checkpoint,
    read_checkpoint,
    verifier_of,
)
from rppam.ledger.errors import LedgerUnwatched
from rppam.ledger.merkle import is_consistent

SEEN_FILE: Final = "ledger.json"
KEY_FILE: Final = "cosigner.key"
_KEY_BYTES: Final = 32


class Seen(NamedTuple):
    """What this member has seen signed."""

    key: str
    checkpoint: Checkpoint


class Offer(NamedTuple):
    """A checkpoint that is to be cosigned."""

    key: str
    """The ledger's public key, as one word."""
    note: str
    since: int
    """The size that the proof begins at."""
    proof: tuple[bytes, ...]
    """That the tree of ``since`` events is the beginning of the note's."""


class Judged(NamedTuple):
    """What became of an offer."""

    size: int
    """How many events this member has seen signed."""
    line: str = ""
    """The cosignature, a line of the note; empty: there is none."""
    why: str = ""
    """Why the ledger is not the one it has seen; empty where only the proof began elsewhere than at ``size``."""


class SeenFile:
    """The file that remembers it."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path

    def read(self) -> Seen | None:
        """What is remembered; ``None`` where there is no file. Raises :class:`LedgerUnwatched` for a damaged one."""
        try:
            found = json.loads(self.path.read_text("utf-8"))
            root = base64.b64decode(found["root"], validate=True)
            return Seen(found["key"], Checkpoint(found["origin"], int(found["size"]), root))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LedgerUnwatched(f"{self.path} cannot be read: {error}") from None

    def write(self, seen: Seen) -> None:
        """Remember ``seen``. Raises :class:`LedgerUnwatched`."""
        origin, size, root = seen.checkpoint
        facts = {"origin": origin, "key": seen.key, "size": size, "root": base64.b64encode(root).decode()}
        try:
            _put(self.path, json.dumps(facts).encode())
        except OSError as error:
            raise LedgerUnwatched(f"{self.path} cannot be written: {error.strerror}") from None

    def forget(self) -> None:
        """Remember nothing. Raises :class:`LedgerUnwatched`."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise LedgerUnwatched(f"{self.path} cannot be removed: {error.strerror}") from None


class Cosigner:
    """See the module. One for each member."""

    def __init__(self, folder: Path, name: str, clock: Clock) -> None:
        """``folder``: the member's data directory; ``name``: what it signs as, ``rppam/CLUSTER-ID/NODE``."""
        self.file: Final = SeenFile(folder / SEEN_FILE)
        self.name: Final = name
        self._path, self._clock = folder / KEY_FILE, clock
        self._signer: Signer | None = None

    def key(self) -> str:
        """This member's public key as one word; made where there is none. Raises :class:`LedgerUnwatched`."""
        return self._own().verifier().text(COSIGNATURE)

    def judge(self, offer: Offer) -> Judged:
        """Cosign, or say why not. Blocks for as long as a disk takes. Raises :class:`LedgerUnwatched`."""
        seen = self.file.read()
        checkpoint, why = doubted(seen, offer)
        if checkpoint is None:
            return Judged(0 if seen is None else seen.checkpoint.size, why=why)
        signer = self._own()
        if seen is None or checkpoint != seen.checkpoint:
            self.file.write(Seen(offer.key if seen is None else seen.key, checkpoint))
        _, body = parse_checkpoint(offer.note)
        return Judged(checkpoint.size, cosignature(body, signer, self._clock.wall_ms() // 1000))

    def _own(self) -> Signer:
        if self._signer is None:
            try:
                raw = base64.b64decode(self._path.read_bytes(), validate=True) if self._path.exists() else self._make()
            except (OSError, ValueError) as error:
                raise LedgerUnwatched(f"{self._path} cannot be read or made: {error}") from None
            if len(raw) != _KEY_BYTES:
                raise LedgerUnwatched(f"{self._path}: expected a key of {_KEY_BYTES} bytes in base64")
            self._signer = Signer(self.name, Ed25519PrivateKey.from_private_bytes(raw))
        return self._signer

    def _make(self) -> bytes:
        raw = Ed25519PrivateKey.generate().private_bytes_raw()
        _put(self._path, base64.b64encode(raw))
        return raw


def doubted(seen: Seen | None, offer: Offer) -> tuple[Checkpoint | None, str]:
    """The checkpoint of an offer that follows from what was ``seen``; else nothing, and why it does not.

    Neither: the proof only begins elsewhere.
    """
    try:
        checkpoint = read_checkpoint(offer.note, verifier_of(offer.key if seen is None else seen.key))
    except CheckpointRefused as error:
        return None, f"the checkpoint is not signed by the key that was seen first: {error}"
    if seen is None or checkpoint == seen.checkpoint:
        return checkpoint, ""
    origin, size, root = seen.checkpoint
    if checkpoint.origin != origin:
        return None, f"expected the ledger {origin}, found {checkpoint.origin}"
    if checkpoint.size < size:
        return None, f"it has {checkpoint.size} events, of which {size} were seen signed"
    if offer.since != size:
        return None, ""
    if not is_consistent(size, root, checkpoint.size, checkpoint.root, offer.proof):
        return None, f"its first {size} events are not those that were seen signed"
    return checkpoint, ""


def _put(path: Path, data: bytes) -> None:
    """Whoever runs a command as root leaves a file that the node can read: its owner is that of the folder."""

    def owned(descriptor: int) -> bytes:
        if sys.platform != "win32" and os.geteuid() == 0:
            folder = path.parent.stat()
            os.fchown(descriptor, folder.st_uid, folder.st_gid)
        return data

    replace_durably(path, owned)
