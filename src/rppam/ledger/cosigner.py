"""A member's cosignature of the ledger: given for a checkpoint that follows from the last one it has seen.

Decides what a member believes of the ledger. It keeps origin, key, size and root of the last checkpoint in a file of
its own, and takes a newer one only with a valid signature of that key and a proof that the tree only grew. So a
database that was put back, replaced or signed by another key is noticed by each member that still has its file, a
witness among them, which has no database. The file is on disk before the signature is given. What it does not promise:
to notice what nobody had seen signed; the first key that a member is shown is the one it believes. So a file has a
``life``, by which others see that it is a new one.

A member without a database takes a restored ledger over by word of its own host alone (:class:`Adoption`): what the
leader could sign, whoever forges the ledger could sign as well.
"""

import base64
import json
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

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
from rppam.ledger.errors import EventUnknown, LedgerUnwatched
from rppam.ledger.merkle import is_consistent

SEEN_FILE: Final = "ledger.json"
KEY_FILE: Final = "cosigner.key"
ADOPT_WITHIN_MS: Final = 60 * 60 * 1000
"""An order to adopt that no leader has followed by then is void."""
_KEY_BYTES: Final = 32


class Adoption(NamedTuple):
    """That an administrator of this host has the member believe another ledger that the same key signs."""

    reason: str
    by: str
    before: int = 0
    """How many events it had seen of the one before."""
    until: int = 0
    """Until when, in milliseconds since 1970, the next checkpoint is believed; 0: that was done."""


class Seen(NamedTuple):
    """What this member has seen signed."""

    key: str
    checkpoint: Checkpoint
    life: str = ""
    """Of the file: another one when it began anew, or adopted another ledger; empty: made by an earlier release."""
    adoption: Adoption | None = None
    """The last one of this life, or one that waits for the next checkpoint."""


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
    life: str = ""
    adoption: Adoption | None = None
    """As in :class:`Seen`."""


class SeenFile:
    """The file that remembers it."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path

    def read(self) -> Seen | None:
        """What is remembered; ``None`` where there is no file. Raises :class:`LedgerUnwatched` for a damaged one."""
        try:
            found = json.loads(self.path.read_text("utf-8"))
            root = base64.b64decode(found["root"], validate=True)
            adoption = _adoption(found.get("adoption"))
            checkpoint = Checkpoint(found["origin"], int(found["size"]), root)
            return Seen(found["key"], checkpoint, found.get("life", ""), adoption)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LedgerUnwatched(f"{self.path} cannot be read: {error}") from None

    def write(self, seen: Seen) -> None:
        """Remember ``seen``. Raises :class:`LedgerUnwatched`."""
        origin, size, root = seen.checkpoint
        facts = {"origin": origin, "key": seen.key, "size": size, "root": base64.b64encode(root).decode()}
        facts |= {"life": seen.life, "adoption": seen.adoption and seen.adoption._asdict()}
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


def _adoption(found: Mapping[str, Any] | None) -> Adoption | None:
    if found is None:
        return None
    return Adoption(str(found["reason"]), str(found["by"]), int(found["before"]), int(found["until"]))


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
        seen, now_ms = self.file.read(), self._clock.wall_ms()
        adoption = seen.adoption if seen is not None else None
        is_open = adoption is not None and adoption.until > now_ms
        checkpoint, why = taken_over(seen, offer) if is_open and seen is not None else doubted(seen, offer)
        if checkpoint is None:
            return Judged(0 if seen is None else seen.checkpoint.size, why=why)
        signer = self._own()
        if seen is None:
            now = Seen(offer.key, checkpoint, secrets.token_hex(8))
        elif adoption is not None and is_open:
            done = adoption._replace(before=seen.checkpoint.size, until=0)
            now = Seen(seen.key, checkpoint, secrets.token_hex(8), done)
        else:
            # An order that is void is forgotten, and a file of an earlier release gets its life now.
            kept = None if adoption is not None and adoption.until else adoption
            now = Seen(seen.key, checkpoint, seen.life or secrets.token_hex(8), kept)
        if now != seen:
            self.file.write(now)
        _, body = parse_checkpoint(offer.note)
        line = cosignature(body, signer, now_ms // 1000)
        return Judged(checkpoint.size, line, life=now.life, adoption=now.adoption)

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


def taken_over(seen: Seen, offer: Offer) -> tuple[Checkpoint | None, str]:
    """The checkpoint of an offer, whatever was ``seen`` of that ledger, if the same key signs it; else why not."""
    try:
        checkpoint = read_checkpoint(offer.note, verifier_of(seen.key))
    except CheckpointRefused as error:
        return None, f"the checkpoint to adopt is not signed by the key that was seen first: {error}"
    if checkpoint.origin != seen.checkpoint.origin:
        return None, f"expected the ledger {seen.checkpoint.origin}, found {checkpoint.origin}"
    return checkpoint, ""


def adopt_next(file: SeenFile, reason: str, by: str, now_ms: int) -> Seen:
    """Have a member without a database believe the next checkpoint; what it has seen until now.

    Raises :class:`LedgerUnwatched`, and :class:`~rppam.ledger.errors.EventUnknown` where it has seen nothing.
    """
    seen = file.read()
    if seen is None:
        raise EventUnknown("this host has seen no ledger yet: it believes the first one that it is shown")
    file.write(seen._replace(adoption=Adoption(reason, by, seen.checkpoint.size, now_ms + ADOPT_WITHIN_MS)))
    return seen


def _put(path: Path, data: bytes) -> None:
    """Whoever runs a command as root leaves a file that the node can read: its owner is that of the folder."""

    def owned(descriptor: int) -> bytes:
        if sys.platform != "win32" and os.geteuid() == 0:
            folder = path.parent.stat()
            os.fchown(descriptor, folder.st_uid, folder.st_gid)
        return data

    replace_durably(path, owned)
