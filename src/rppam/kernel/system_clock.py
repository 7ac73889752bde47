"""This host's clocks: the only module that reads one.

``now()`` is the boot-time clock, which never goes back, ignores every setting of the wall clock, and counts on while
the host is suspended; a permission that ran out during a suspend has run out. To it a random offset is added, drawn
once per clock object: an instant of one clock compared with a raw reading, or with another process's instant, is
absurd at once instead of plausible for months. Values that go to another process of the same host cross as
``as_host_us`` and come back as ``from_host_us``.

What it does not promise: anything about the *rate* of the clock (that is the margin in
:mod:`rppam.cluster.consensus.timing`), nor about a hypervisor that pauses a guest and its clock with it.
"""

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from rppam.kernel.instant import US_PER_MS, US_PER_S, Instant, WallMs

_OFFSET_US_MIN: Final = 1_000 * 365 * 86_400 * US_PER_S
"""A thousand years: further than any raw reading."""
_OFFSET_US_SPAN: Final = _OFFSET_US_MIN


def _random_offset_us() -> int:
    return _OFFSET_US_MIN + int.from_bytes(os.urandom(8)) % _OFFSET_US_SPAN


if sys.platform == "win32":
    import ctypes

    _HUNDRED_NS_PER_US: Final = 10

    def host_us() -> int:
        """Microseconds since boot, suspend included. Type-checked for Windows, not run there.

        QueryInterruptTimePrecise (Windows 10 and later) counts 100 ns steps; its "unbiased" sister stops during
        suspend and will not do. GetTickCount64 serves older systems, in steps of 10 to 16 ms.
        """
        try:
            precise = ctypes.WinDLL("api-ms-win-core-realtime-l1-1-1").QueryInterruptTimePrecise
        except (OSError, AttributeError):
            ticks = ctypes.WinDLL("kernel32").GetTickCount64
            ticks.restype = ctypes.c_uint64
            return int(ticks()) * US_PER_MS
        reading = ctypes.c_uint64()
        precise.restype = None
        precise(ctypes.byref(reading))
        return reading.value // _HUNDRED_NS_PER_US

elif sys.platform == "linux":

    def host_us() -> int:
        """Microseconds on CLOCK_BOOTTIME (clock_gettime(2)), the same in every process of this host."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000

else:

    def host_us() -> int:
        """Microseconds on CLOCK_MONOTONIC: for developing on other systems; it may stop during suspend."""
        return time.monotonic_ns() // 1_000


if sys.platform == "linux":
    boot_ns: Final[Callable[[], int]] = partial(time.clock_gettime_ns, time.CLOCK_BOOTTIME)
    """Nanoseconds since boot, suspend included, for what is asked at every request: no call of ours lies between."""
else:

    def boot_ns() -> int:
        """Nanoseconds since boot, as :func:`host_us` has them."""
        return host_us() * 1_000


class SystemClock:
    """The real :class:`rppam.kernel.clock.Clock`."""

    def __init__(self, offset_us: int | None = None) -> None:
        """``offset_us`` is added to every instant; random unless given."""
        self._offset_us = _random_offset_us() if offset_us is None else offset_us

    def now(self) -> Instant:
        """Microseconds on the boot-time clock, plus this object's offset."""
        return Instant(host_us() + self._offset_us)

    def wall_ms(self) -> WallMs:
        """Milliseconds since 1970, as this host believes."""
        return WallMs(time.time_ns() // 1_000_000)

    def as_host_us(self, instant: Instant) -> int:
        """``instant`` without the offset: a number that other processes of this host understand."""
        return instant - self._offset_us

    def from_host_us(self, host_us: int) -> Instant:
        """The instant that another process of this host wrote with :meth:`as_host_us`."""
        return Instant(host_us + self._offset_us)
