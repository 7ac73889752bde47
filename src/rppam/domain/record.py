"""The leadership record: the one line in the store that says who leads.

It is text, so that an administrator can read it with ``GET rppam:leader``, and it is compared byte for byte, so that
"exactly the record I last read" needs no parser in the store::

    rppam1 held node1 9f0c1d2e3a4b5c6d 1795478400123 42 5b1e90aa

(format, state, holder, boot id, epoch, seq, nonce). What it does not promise: anything. A record gives permission only
through the rules in ``core/election.py``; it carries no secret.
"""

import re
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

FORMAT: Final = "rppam1"
EPOCH_MAX: Final = 10**15 - 1
"""Epochs stay exactly representable in the store's scripts (doubles), and in 15 digits."""

_RECORD: Final = re.compile(
    r"rppam1 (held|released|vacant) ([a-z0-9-]{1,63}) ([0-9a-f]{16}) (0|[1-9][0-9]{0,14}) (0|[1-9][0-9]{0,14}) "
    r"([0-9a-f]{8,32})"
)
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


def vacant(epoch: int, nonce: str) -> Record:
    """The mark left where no record was: the highest epoch its writer knows, and a fresh nonce."""
    return Record(RecordState.VACANT, NOBODY, NO_BOOT, epoch, 0, nonce)


@lru_cache(maxsize=64)
def parse_record(text: str) -> Record | None:
    """The record in ``text``, or ``None`` when it is not one."""
    match = _RECORD.fullmatch(text)
    if match is None:
        return None
    state, holder, boot_id, epoch, seq, nonce = match.groups()
    return Record(RecordState(state), holder, boot_id, int(epoch), int(seq), nonce)
