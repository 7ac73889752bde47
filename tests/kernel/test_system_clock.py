"""The real clock agrees with the kernel, and mixing two clocks is absurd at once."""

import time

from rppam.kernel.instant import US_PER_S, Instant
from rppam.kernel.system_clock import SystemClock, host_us

CENTURY_US = 100 * 365 * 86_400 * US_PER_S


def test_now_is_boottime_plus_the_offset() -> None:
    clock = SystemClock(offset_us=5_000)
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000
    read = clock.now()
    after = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000
    assert before + 5_000 <= read <= after + 5_000


def test_now_never_goes_back() -> None:
    clock = SystemClock()
    readings = [clock.now() for _ in range(10_000)]
    assert readings == sorted(readings)


def test_two_clocks_are_centuries_apart_from_each_other_and_from_the_host() -> None:
    clocks = [SystemClock() for _ in range(5)]
    assert len({clock.now() // US_PER_S for clock in clocks}) == 5
    assert all(clock.now() - host_us() > CENTURY_US for clock in clocks)


def test_an_instant_crosses_to_another_process_by_way_of_the_host() -> None:
    here, there = SystemClock(), SystemClock()
    deadline = Instant(here.now() + 4 * US_PER_S)
    crossed = there.from_host_us(here.as_host_us(deadline))
    left_us = crossed - there.now()
    assert 3 * US_PER_S < left_us <= 4 * US_PER_S
    assert here.from_host_us(there.as_host_us(crossed)) == deadline


def test_wall_time_is_the_hosts() -> None:
    assert abs(SystemClock().wall_ms() - time.time() * 1_000) < 1_000
