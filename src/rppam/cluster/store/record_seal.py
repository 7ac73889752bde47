"""The seal on leadership records: the first 64 bits of a :class:`StoreMac`'s tag, which is what the nonce has room for.

So the record keeps its form, and members of a release that knows no seal go on reading and comparing it. 64 bits are
enough here: whoever guesses has to show each guess to a member, which looks a few times a second.
"""

from typing import Final

from rppam.cluster.consensus.record import SEAL_DIGITS
from rppam.crypto.store_mac import StoreMac

KIND: Final = "record"


class RecordSeal:
    """The real :class:`rppam.cluster.consensus.record.Seal`."""

    def __init__(self, mac: StoreMac) -> None:
        self._mac = mac

    def of(self, text: str) -> str:
        """See the protocol."""
        return self._mac.tag(KIND, text)[:SEAL_DIGITS]

    def is_genuine(self, text: str, digits: str) -> bool:
        """See the protocol."""
        return self._mac.is_genuine(KIND, text, digits, SEAL_DIGITS)
