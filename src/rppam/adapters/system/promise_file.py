"""What a member promised, in one small file that is always the old one or the new one.

::

    rppam-promise1
    claim node1 9f0c1d2e3a4b5c6d 1795478400123
    highest 1795478400123
    electorate rppam-electorate1 5b1e90aa5b1e90aa 0 1 majority:node1,node2,node3
    sha256 51b2...

A new file is written beside it, synced, renamed over it, and the directory is synced: whoever saw ``save`` return may
answer. The checksum tells a torn or an edited file from a good one. What it does not promise: protection against
somebody who can write the directory and knows how to make a checksum, nor against a disk that lies about syncing.
"""

import hashlib
import os
import re
from pathlib import Path
from typing import Final

from rppam.adapters.system.datadir import sync_directory
from rppam.domain.ballot import NO_CLAIM, Claim, Kept
from rppam.domain.electorate import parse_electorate
from rppam.domain.errors.cluster import PromiseFileBroken, PromiseFileUnwritable

FILE_NAME: Final = "promise"
"""Its name in the data directory."""
FORMAT: Final = "rppam-promise1"
BYTES_MAX: Final = 64 * 1024
_NONE: Final = "-"
_ANEW: Final = (
    "While the other members run, stop this node, remove the file and start the node again: it waits for one lease and "
    "takes the list of members from the others"
)
_FILE: Final = re.compile(
    rf"(?P<signed>{FORMAT}\n"
    r"claim (?P<claim>-|[a-z0-9][a-z0-9-]{0,62} [0-9a-f]{16} (?:0|[1-9][0-9]{0,14}))\n"
    r"highest (?P<highest>0|[1-9][0-9]{0,14})\n"
    r"electorate (?P<electorate>[^\n]+)\n)"
    r"sha256 (?P<sum>[0-9a-f]{64})\n"
)


class FilePromises:
    """The real :class:`rppam.ports.members.PromiseFile`."""

    def __init__(self, path: Path) -> None:
        """``path`` is the file; its directory exists and belongs to this process alone."""
        self.path = path

    def load(self) -> Kept | None:
        """What was kept; ``None`` when there is no file.

        Raises :class:`PromiseFileBroken` for one that cannot be read or understood.
        """
        try:
            with self.path.open("rb") as file:
                data = file.read(BYTES_MAX + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            why = f"a file that cannot be read ({error.strerror}). Let the account that runs rppam own it"
            raise self._broken(why) from None
        kept, found = _parse(data)
        if kept is None:
            raise self._broken(f"{found}. Check the disk")
        return kept

    def _broken(self, found: str) -> PromiseFileBroken:
        return PromiseFileBroken(f"{self.path}: expected what this member promised, found {found}. {_ANEW}")

    def save(self, kept: Kept) -> None:
        """Replace the file; returns when the disk has it. Raises :class:`PromiseFileUnwritable`."""
        part = self.path.with_name(f".{self.path.name}.part")
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0), 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(encode(kept))
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.path)
            sync_directory(self.path.parent)
        except OSError as error:
            raise PromiseFileUnwritable(
                f"{self.path}: expected to keep a promise on disk, found: {error.strerror}. Until this is put right "
                "this member does not vote: make room there, or let the account that runs rppam own the directory"
            ) from None


def encode(kept: Kept) -> bytes:
    """The content of the file."""
    claim, electorate, highest = kept
    who = _NONE if claim == NO_CLAIM else f"{claim.candidate} {claim.boot_id} {claim.epoch}"
    body = _NONE if electorate is None else electorate.encode()
    signed = f"{FORMAT}\nclaim {who}\nhighest {highest}\nelectorate {body}\n"
    return f"{signed}sha256 {hashlib.sha256(signed.encode()).hexdigest()}\n".encode()


def _parse(data: bytes) -> tuple[Kept | None, str]:
    """What is kept, or ``None`` and what was found instead."""
    if len(data) > BYTES_MAX:
        return None, f"more than {BYTES_MAX} bytes"
    text = data.decode("ascii", "replace")
    if not text:
        return None, "an empty file"
    first = text.partition("\n")[0]
    if first != FORMAT and re.fullmatch(r"rppam-promise[0-9]+", first):
        return None, f"format {first!r} of another version of rppam, where this one knows {FORMAT!r}"
    match = _FILE.fullmatch(text)
    if match is None:
        return None, f"{len(data)} bytes that are not a whole file of format {FORMAT!r}"
    if hashlib.sha256(match["signed"].encode()).hexdigest() != match["sum"]:
        return None, "a checksum that does not match what stands above it"
    electorate = None if match["electorate"] == _NONE else parse_electorate(match["electorate"])
    if electorate is None and match["electorate"] != _NONE:
        return None, "a list of members that cannot be understood"
    if match["claim"] == _NONE:
        return Kept(NO_CLAIM, electorate, int(match["highest"])), ""
    candidate, boot_id, epoch = match["claim"].split(" ")
    return Kept(Claim(candidate, boot_id, int(epoch)), electorate, int(match["highest"])), ""
