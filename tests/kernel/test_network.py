"""A name server that never answers: it holds up nobody who asks for something else, and no process that ends."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from rppam.doctor.diagnosis import probe_port
from rppam.doctor.member_probe import MemberProber
from rppam.doctor.member_rules import ProbeOutcome
from rppam.http.client import NoAnswerError, get_json
from rppam.kernel.network import LOOKUPS_MAX, THREAD, Lookups, Place
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy
from rppam.redis.errors import StoreNameUnknown
from rppam.redis.link import Link
from rppam.redis.options import LinkOptions, Target

GIVEN_UP_S = 60
"""A resolver that hangs ends after this, so that a fault of ours fails a test instead of hanging it."""
LOOPS_OWN = "asyncio_"
"""How the threads of a loop's default executor are named."""


class Hanging:
    """A name server that never answers."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answered: list[str] = []
        self.release = threading.Event()

    def __call__(self, host: str, port: int, *_more: Any, **_named: Any) -> list[Any]:
        self.asked.append(host)
        self.release.wait(GIVEN_UP_S)
        self.answered.append(host)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hanging]:
    server = Hanging()
    monkeypatch.setattr(socket, "getaddrinfo", server)
    yield server
    server.release.set()
    for thread in threading.enumerate():
        if thread.name == THREAD:
            thread.join()


async def by_link() -> None:
    """Ten attempts, each given up, as a node makes them."""
    options = LinkOptions(
        endpoints=(("redis.example", 6379),), connect_timeout_ms=20, abort_connect=False, reconnect_cap_ms=1
    )
    for _ in range(10):
        link = Link(options, clock=SystemClock(), entropy=SystemEntropy())
        await link.start()
        assert isinstance(link.status.failure, StoreNameUnknown)
        assert "no answer within 20 ms" in link.status.reason
        await link.stop()


async def by_member_probe() -> None:
    prober = MemberProber("node1", "prod", Secret("ab" * 32), SystemEntropy())
    probe = await prober.probe("node2", "node2.example:5201", timeout_s=0.05)
    assert probe.outcome is ProbeOutcome.SILENT


async def by_port_probe() -> None:
    seen = await probe_port(Target(host="redis.example", port=6379), timeout_s=0.05)
    assert not seen.is_open


async def by_rest() -> None:
    with pytest.raises(NoAnswerError, match=r"no answer within 0\.05 s"):
        await get_json("http://node2.example:7101/x", timeout_s=0.05)


@pytest.mark.parametrize("ask", [by_link, by_member_probe, by_port_probe, by_rest])
def test_a_name_server_that_hangs_takes_no_thread_of_the_loop_and_delays_no_end(
    ask: Callable[[], Awaitable[None]], hanging: Hanging
) -> None:
    async def work() -> None:
        await ask()
        assert not [thread.name for thread in threading.enumerate() if thread.name.startswith(LOOPS_OWN)]

    asyncio.run(work())
    assert len(hanging.asked) == 1, "who asks again waits for the same answer"
    assert hanging.answered == [], "and nobody waited for it at the end"


async def test_one_answer_serves_all_who_wait_for_it() -> None:
    server = Hanging()
    lookups = Lookups(server)
    asked = [asyncio.create_task(lookups.places("a.example", 1)) for _ in range(3)]
    await asyncio.sleep(0)
    asked[0].cancel()
    server.release.set()
    ended = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(one) for one in ended] == [asyncio.CancelledError, socket.gaierror, socket.gaierror]
    assert server.asked == ["a.example"]


async def test_more_names_than_threads_are_looked_up_in_turn() -> None:
    here: Place = (socket.AF_INET, ("127.0.0.1", 1))
    lookups = Lookups(lambda _host, _port, _flags: [here])
    names = [f"node{number}.example" for number in range(4 * LOOKUPS_MAX)]
    assert await asyncio.gather(*(lookups.places(name, 1) for name in names)) == [[here]] * len(names)


async def test_a_fault_of_the_resolver_reaches_who_asked() -> None:
    def broken(_host: str, _port: int, _flags: int) -> list[Place]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Lookups(broken).places("a.example", 1)
