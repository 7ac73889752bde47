"""The duty that has the address here while its node leads: against a host that is played."""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest

from rppam.cluster.vip import follower as module
from rppam.cluster.vip.errors import AddressForbidden, AddressRefused
from rppam.cluster.vip.follower import ANNOUNCE_TIMES, AddressTask
from rppam.cluster.vip.listeners import Listeners
from rppam.kernel.instant import US_PER_MS, Instant, after
from rppam.kernel.system_clock import SystemClock
from tests.support.late_threads import LateThreads

CLOCK = SystemClock()


class Host:
    """Has the address or not, and remembers what was asked."""

    def __init__(self) -> None:
        self.here = False
        self.lives: list[int] = []
        self.told = 0
        self.elsewhere = ""
        self.asked = 0
        self.refusal: Exception | None = None
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def take(self, life_s: int) -> bool:
        self.may_go_on.wait(10)
        if self.refusal:
            raise self.refusal
        was, self.here = self.here, True
        self.lives.append(life_s)
        return not was

    def drop(self) -> bool:
        if self.refusal:
            raise self.refusal
        was, self.here = self.here, False
        return was

    def claimed_by(self) -> str:
        self.asked += 1
        return self.elsewhere

    def announce(self) -> None:
        self.told += 1


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.002)


def duty(host: Host, left_ms: int = 3_400, **more: Any) -> AddressTask:
    def until() -> Instant:
        return after(CLOCK.now(), left_ms * US_PER_MS)

    return AddressTask(host, "10.0.1.50/24", until, CLOCK, 0.005, **more)


async def test_it_is_here_from_the_begin_of_leadership_to_its_end_and_told_several_times() -> None:
    host = Host()
    one = duty(host)
    one.start(7)
    await until(lambda: host.told >= ANNOUNCE_TIMES and len(host.lives) > ANNOUNCE_TIMES)
    assert one.is_held
    assert set(host.lives) == {3}, "whole seconds that are surely left"
    await one.stop()
    assert not host.here
    assert not one.is_held
    asked = len(host.lives)
    await asyncio.sleep(0.05)
    assert len(host.lives) == asked, "nobody takes it afterwards"


async def test_a_take_that_is_under_way_when_leadership_ends_leaves_nothing_behind() -> None:
    host = Host()
    one = duty(host)
    host.may_go_on.clear()
    one.start(7)
    await asyncio.sleep(0.05)
    stopping = asyncio.create_task(one.stop())
    await asyncio.sleep(0.05)
    host.may_go_on.set()
    await stopping
    assert not host.here


async def test_what_waited_for_its_turn_gets_no_longer_a_life_than_is_left_then() -> None:
    host = Host()
    one = duty(host)
    with one._one_at_a_time:  # as a drop that takes its time
        one.start(7)
        await asyncio.sleep(0.5)
    await until(lambda: bool(host.lives))
    assert host.lives[0] == 2
    await one.stop()


async def test_what_somebody_removed_is_put_back_and_told_anew(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    host = Host()
    one = duty(host)
    one.start(7)
    await until(lambda: host.told >= ANNOUNCE_TIMES)
    host.here = False
    await until(lambda: host.here and host.told >= 2 * ANNOUNCE_TIMES)
    assert caplog.text.count("the virtual address 10.0.1.50/24 is here") == 2
    await one.stop()


async def test_what_is_here_without_right_goes() -> None:
    host = Host()
    host.here = True
    watching = asyncio.create_task(duty(host).watch())
    await until(lambda: not host.here)
    watching.cancel()


@pytest.mark.parametrize(("rounds_up", "renewed"), [(False, False), (True, True)])
async def test_less_than_a_second_is_counted_as_one_only_where_leases_are_that_short(
    rounds_up: bool, renewed: bool
) -> None:
    host = Host()
    one = duty(host, 700, rounds_up=rounds_up)
    one.start(7)
    await until(lambda: host.told >= 2)
    assert (len(host.lives) > 1) is renewed
    await one.stop()


async def test_a_host_that_refuses_is_told_once_and_the_node_leads_on(caplog: pytest.LogCaptureFixture) -> None:
    host = Host()
    host.refusal = AddressForbidden("10.0.1.50/24: not allowed here")
    one = duty(host)
    one.start(7)
    await until(lambda: bool(one.problem))
    await asyncio.sleep(0.05)
    assert one.problem == "10.0.1.50/24: not allowed here"
    assert caplog.text.count("not allowed here") == 1
    assert not one.is_held
    host.refusal = None
    await until(lambda: one.is_held)
    assert one.problem == ""
    await one.stop()


async def test_it_has_not_stopped_while_the_address_may_still_be_here() -> None:
    host = Host()
    one = duty(host)
    one.start(7)
    await until(lambda: one.is_held)
    host.refusal = AddressRefused("10.0.1.50/24: the system refused (no answer in time)")
    with pytest.raises(AddressRefused, match="no answer in time"):
        await one.stop()
    host.refusal = None
    await one.stop()
    assert not host.here


async def test_who_never_had_the_address_has_stopped_whatever_the_host_says() -> None:
    host = Host()
    host.refusal = AddressForbidden("10.0.1.50/24: not allowed here")
    one = duty(host)
    one.start(7)
    await until(lambda: bool(one.problem))
    await one.stop()


async def test_a_renewal_that_fails_unforeseen_is_told_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    host = Host()
    one = duty(host)
    one.start(7)
    await until(lambda: one.is_held)
    host.refusal = RuntimeError("can't start new thread")
    await until(lambda: not one.is_held)
    await asyncio.sleep(0.05)
    assert "10.0.1.50/24: expected to renew it on this host, found: RuntimeError" in one.problem
    assert caplog.text.count("can't start new thread") == 1
    host.refusal = None
    await until(lambda: one.is_held)
    assert one.problem == ""
    await one.stop()


async def test_a_host_that_starts_no_thread_ends_no_watch_over_the_address(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.005)
    threads = LateThreads(refuses=10**6)
    asyncio.get_running_loop().set_default_executor(threads)
    host = Host()
    host.here = True
    one = duty(host)
    watching = asyncio.create_task(one.watch())
    await until(lambda: bool(one.problem) or watching.done())
    await asyncio.sleep(0.05)
    assert "10.0.1.50/24: expected to have it no more on this host, found: RuntimeError" in one.problem
    assert caplog.text.count("can't start new thread") == 1, "told once"
    threads.refuses = 0
    await until(lambda: not host.here)
    await until(lambda: one.problem == "")
    watching.cancel()


async def test_it_has_not_stopped_where_no_thread_can_look() -> None:
    threads = LateThreads(refuses=0)
    asyncio.get_running_loop().set_default_executor(threads)
    host = Host()
    one = duty(host)
    one.start(7)
    await until(lambda: one.is_held)
    threads.refuses = 1
    with pytest.raises(AddressRefused, match=r"expected to drop it on this host, found: RuntimeError.*TasksMax"):
        await one.stop()
    await one.stop()
    assert not host.here
    assert one.problem == ""


async def test_an_address_that_another_host_has_is_not_claimed_until_it_is_free(
    caplog: pytest.LogCaptureFixture,
) -> None:
    host = Host()
    host.elsewhere = "02:00:00:00:00:09"
    one = duty(host)
    one.start(7)
    await until(lambda: host.asked > 5)
    assert not host.here
    assert not one.is_held
    assert one.problem.startswith("10.0.1.50/24: the host 02:00:00:00:00:09 has it.")
    assert caplog.text.count("02:00:00:00:00:09") == 1, "told once"
    host.elsewhere = ""
    await until(lambda: one.is_held)
    assert one.problem == ""
    asked = host.asked
    host.elsewhere = "02:00:00:00:00:09"
    await asyncio.sleep(0.05)
    assert one.is_held, "what is here is renewed without asking"
    assert host.asked == asked
    await one.stop()


class Doors:
    """Listening sockets that are played: in use until they are not, and whoever asks is remembered."""

    def __init__(self, host: Host, looks: int = 3) -> None:
        self.host, self.looks = host, looks
        self.done: list[str] = []

    def hold_off(self) -> None:
        self.done.append("held off" if self.host.here else "held off late")

    def let_in(self) -> None:
        self.done.append("let in early" if self.host.here else "let in")

    def is_awaited(self) -> bool:
        assert self.host.here, "it goes only when nobody uses it, or time is up"
        self.looks -= 1
        return self.looks > 0


def with_doors(doors: Doors, left_ms: int = 3_400, quiet_s: float = 5.0) -> AddressTask:
    return duty(doors.host, left_ms, listeners=cast("Listeners", doors), quiet_s=quiet_s)


async def test_what_runs_through_it_may_end_where_it_is_given_away() -> None:
    doors = Doors(Host())
    one = with_doors(doors)
    one.start(7)
    await until(lambda: one.is_held)
    await one.stop()
    assert doors.done == ["let in", "held off", "let in"]
    assert doors.looks == 0


async def test_it_waits_for_nobody_longer_than_it_may() -> None:
    doors = Doors(Host(), looks=1_000_000)
    one = with_doors(doors, quiet_s=0.05)
    one.start(7)
    await until(lambda: one.is_held)
    async with asyncio.timeout(3):
        await one.stop()
    assert not doors.host.here
    assert doors.done[-1] == "let in"


async def test_an_order_lets_what_runs_end_while_leadership_goes_on() -> None:
    doors = Doors(Host())
    one = with_doors(doors, quiet_s=0.0)
    one.start(7)
    await until(lambda: one.is_held)
    await one.quieten(5.0)
    assert (doors.looks, doors.host.here) == (0, True)
    await one.stop()
    assert doors.done == ["let in", "held off", "held off", "let in"], "held off until it has gone"


async def test_newcomers_come_in_again_where_leadership_was_not_given_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GIVEN_AWAY_WITHIN_S", 0.05)
    doors = Doors(Host(), looks=1_000_000)
    one = with_doors(doors)
    one.start(7)
    await until(lambda: one.is_held)
    async with asyncio.timeout(3):
        await one.quieten(0.05)
    await until(lambda: doors.done == ["let in", "held off", "let in early"])
    await one.stop()


async def test_a_second_order_is_not_cut_short_by_the_end_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GIVEN_AWAY_WITHIN_S", 0.2)
    doors = Doors(Host(), looks=1_000_000)
    one = with_doors(doors)
    one.start(7)
    await until(lambda: one.is_held)
    async with asyncio.timeout(5):
        await one.quieten(0.01)
        await one.quieten(0.5)
    assert doors.done == ["let in", "held off", "held off"]
    await until(lambda: doors.done == ["let in", "held off", "held off", "let in early"])
    await one.stop()


async def test_a_lease_that_is_over_leaves_no_time_for_anybody() -> None:
    doors = Doors(Host(), looks=1_000_000)
    one = with_doors(doors, left_ms=150)
    one._rounds_up = True
    one.start(7)
    await until(lambda: one.is_held)
    one._permitted_until = lambda: None  # leadership is lost
    await asyncio.sleep(0.2)
    looked = doors.looks
    await one.stop()
    assert (doors.done, doors.looks) == (["let in"], looked)


async def test_a_filter_that_the_system_refuses_keeps_no_address_here(caplog: pytest.LogCaptureFixture) -> None:
    doors = Doors(Host())
    doors.hold_off = lambda: (_ for _ in ()).throw(PermissionError("no"))  # type: ignore[method-assign]
    one = with_doors(doors)
    one.start(7)
    await until(lambda: one.is_held)
    await one.stop()
    assert not doors.host.here
    assert "has no time to end: PermissionError('no')" in caplog.text
