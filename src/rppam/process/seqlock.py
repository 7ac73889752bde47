"""One value in shared memory with one writer: every reader gets a whole value, and neither side ever waits.

Two slots take turns. The writer fills the slot that is not current, with a number and a checksum, and only then makes
it the current one; killed at any instruction, it leaves the former value. A reader that was overtaken finds a wrong
number or checksum and reads again. So neither side has a lock that the other could die with.

What it does not promise: more than one writer at a time. A new writer starts only after the old one is known dead.
"""

import struct
import zlib
from typing import Final

_NUMBER: Final = struct.Struct("=Q")
_HEADER: Final = struct.Struct("@QII")
"""Number of the write, length, checksum over all three."""
_CURRENT_BYTES: Final = 16
_TRIES: Final = 50


def numbers(memory: memoryview) -> memoryview:
    """``memory`` as numbers of eight bytes, each written and read in one piece.

    ``struct.pack_into`` will not do: it fills the place with zeros first, which another process may see.
    """
    return memory.cast("Q")


def _aligned(size: int) -> int:
    return -(-size // 16) * 16


class SeqlockCell:
    """A value of at most ``capacity`` bytes at ``offset`` of ``memory``, all zero at first, which means: no value."""

    __slots__ = ("_capacity", "_memory", "_number", "_offset", "_slot_bytes")

    def __init__(self, memory: memoryview, offset: int, capacity: int) -> None:
        self._memory, self._offset, self._capacity = memory, offset, capacity
        self._number = numbers(memory[offset : offset + 8])
        """Of the current value."""
        self._slot_bytes = _aligned(_HEADER.size + capacity)

    @staticmethod
    def size(capacity: int) -> int:
        """Bytes that a cell takes in the memory."""
        return _CURRENT_BYTES + 2 * _aligned(_HEADER.size + capacity)

    def write(self, value: bytes) -> bool:
        """Make ``value`` the current one; false, and nothing changed, when it is too long."""
        if len(value) > self._capacity:
            return False
        number = self._number[0] + 1
        at = self._slot(number)
        memory = self._memory
        memory[at + _HEADER.size : at + _HEADER.size + len(value)] = value
        _HEADER.pack_into(memory, at, number, len(value), _checksum(number, value))
        self._number[0] = number
        return True

    def read(self) -> bytes | None:
        """The current value; ``None`` when there is none."""
        return self.read_newer(-1)[1]

    def read_newer(self, known: int) -> tuple[int, bytes | None]:
        """The current value and its number, or ``(known, None)`` when that is the number that the caller knows."""
        for _ in range(_TRIES):
            number = self._number[0]
            if number in {0, known}:
                return number, None
            at = self._slot(number)
            stands, length, checksum = _HEADER.unpack_from(self._memory, at)
            if stands != number or length > self._capacity:
                continue
            value = bytes(self._memory[at + _HEADER.size : at + _HEADER.size + length])
            if _checksum(number, value) == checksum:
                return number, value
        return known, None

    def _slot(self, number: int) -> int:
        return self._offset + _CURRENT_BYTES + (number % 2) * self._slot_bytes


def _checksum(number: int, value: bytes) -> int:
    return zlib.crc32(value, zlib.crc32(_NUMBER.pack(number) + len(value).to_bytes(4, "little")))
