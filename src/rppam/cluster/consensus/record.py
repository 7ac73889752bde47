"""The leadership record: the one line in the store that says who leads.

It is text, so that an administrator can read it with ``GET rppam:leader``, and it is compared byte for byte, so that
"exactly the record I last read" needs no parser in the store::

    rppam1 held node1 9f0c1d2e3a4b5c6d 1795478400123 42 5b1e90aa...

(format, state, holder, boot id, epoch, seq, nonce). What it does not promise: anything. A record gives permission only
through the rules in ``cluster/consensus/election.py``; it carries no secret.

**The nonce.** That of a ``held`` record is a commitment: the SHA-256 of its writer's secret, cut to its length. The
``released`` record of the same leadership reveals that secret, so nobody but the holder can have written it. Where
members have a key, each of the two is 16 digits, and in the nonce 16 digits of a :class:`Seal` follow: a MAC on all the
rest. So the text has the same form with and without a key, and every release of the software can read it.
"""

import hashlib
import re
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

FORMAT: Final = "rppam1"
EPOCH_MAX: Final = 10**15 - 1
"""Epochs stay exactly representable in the store's scripts (doubles), and in 15 digits."""

_RECORD: Final = re.compile(
    r"rppam1 (held|released|vacant) ([a-z0-9-]{1,63}) ([0-9a-f]{16}) (0|[1-9][0-9]{0,14}) (0|[1-9][0-9]{0,14}) "
    r"([0-9a-f]{8,32})"
)
SEAL_DIGITS: Final = 16
"""Of a seal: 64 bits. Whoever guesses needs a reader for each try, so that is more than anybody can try."""
NONCE_DIGITS: Final = 32
"""Of a nonce that is a commitment, or a revealed secret, with the seal on it where there is one."""
NOBODY: Final = "-"
NO_BOOT: Final = "0" * 16


class RecordState(StrEnum):
    """What the record says of its holder."""

    HELD = "held"
    RELEASED = "released"
    """The holder gave it up on purpose."""
    VACANT = "vacant"
    """Somebody found no record and left this mark. It gives nobody anything."""


class Record(NamedTuple):
    """One value of the leadership record."""

    state: RecordState
    holder: str
    boot_id: str
    epoch: int
    seq: int
    """The holder's own counter of writes inside this epoch; it never repeats."""
    nonce: str

    def encode(self) -> str:
        """The text that stands in the store."""
        return f"{FORMAT} {self.state} {self.holder} {self.boot_id} {self.epoch} {self.seq} {self.nonce}"

    def is_of(self, holder: str, boot_id: str, epoch: int) -> bool:
        """Whether it names exactly this holder, in this life, at this epoch."""
        return self.epoch == epoch and self.boot_id == boot_id and self.holder == holder

    def is_of_same(self, other: "Record") -> bool:
        """Whether it is of the same leadership as ``other``."""
        return self.is_of(other.holder, other.boot_id, other.epoch)


class Seal(Protocol):
    """What shows that a holder of the cluster key wrote a record."""

    def of(self, text: str) -> str:
        """:data:`SEAL_DIGITS` hexadecimal digits for ``text``."""
        ...

    def is_genuine(self, text: str, digits: str) -> bool:
        """Whether a holder of a key that is believed made ``digits`` for exactly this ``text``."""
        ...


def commitment(secret: str) -> str:
    """The nonce of records whose release reveals ``secret``: as many hexadecimal digits as it has."""
    return hashlib.sha256(bytes.fromhex(secret)).hexdigest()[: len(secret)]


def reveals(released: Record, held: Record, seal: Seal | None) -> bool:
    """Whether ``released`` reveals what ``held`` committed its writer to. Seals are another question."""
    if not released.is_of_same(held) or len(released.nonce) != NONCE_DIGITS or len(held.nonce) != NONCE_DIGITS:
        return False
    digits = NONCE_DIGITS if seal is None else NONCE_DIGITS - SEAL_DIGITS
    return commitment(released.nonce[:digits]) == held.nonce[:digits]


def sealed(record: Record, seal: Seal | None) -> Record:
    """``record`` as it is written: with the seal on it, where there is one."""
    return record if seal is None else record._replace(nonce=record.nonce + seal.of(record.encode()))


def is_genuine(record: Record, seal: Seal) -> bool:
    """Whether its seal is right. A vacant mark has none."""
    if len(record.nonce) != NONCE_DIGITS:
        return False
    bare = record._replace(nonce=record.nonce[:-SEAL_DIGITS])
    return seal.is_genuine(bare.encode(), record.nonce[-SEAL_DIGITS:])


def vacant(epoch: int, nonce: str) -> Record:
    """The mark left where no record was: the highest epoch that its writer was shown, and a fresh nonce."""
    return Record(RecordState.VACANT, NOBODY, NO_BOOT, epoch, 0, nonce)


@lru_cache(maxsize=64)
def parse_record(text: str) -> Record | None:
    """The record in ``text``, or ``None`` when it is not one."""
    match = _RECORD.fullmatch(text)
    if match is None:
        return None
    state, holder, boot_id, epoch, seq, nonce = match.groups()
    return Record(RecordState(state), holder, boot_id, int(epoch), int(seq), nonce)
