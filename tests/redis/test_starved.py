"""A host that gives no socket, and faults that nobody foresaw: the link tells of them, and comes back all the same."""

import asyncio
import contextlib
import errno
import logging
import resource
import socket
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy
from rppam.redis.connection import Connection
from rppam.redis.endpoint_provider import DirectEndpoints, Follower
from rppam.redis.errors import StoreDown, StoreNoSocket, StoreRefused, StoreReplyError
from rppam.redis.link import Link
from rppam.redis.options import LinkOptions, Target
from tests.redis.conftest import MakeLink, eventually
from tests.support.ports import free_port
from tests.support.redis_servers import PASSWORD, Server

pytestmark = pytest.mark.integration

NO_FAMILY = 99
"""No kind of address of any system: what AF_INET6 is to one that does without IPv6."""


@contextlib.contextmanager
def no_more_files() -> Iterator[None]:
    """This process gets no further file or socket; those that it has go on working."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_link_that_gets_no_socket_says_so_and_comes_back(redis: Server, make_link: MakeLink) -> None:
    link = make_link(redis.port)
    await link.start()
    with no_more_files():
        redis.kill()
        await eventually(lambda: isinstance(link.status.failure, StoreNoSocket), within_s=10)
        assert "Too many open files" in link.status.reason
        assert "LimitNOFILE" in link.status.reason
        assert f"127.0.0.1:{redis.port}" in link.status.reason
    redis.restart()
    assert await link.wait_up(10_000)
    assert await link.command("PING") == b"PONG"


async def test_a_start_without_a_socket_ends_with_the_reason(redis: Server, make_link: MakeLink) -> None:
    link = make_link(redis.port)
    with no_more_files(), pytest.raises(StoreNoSocket, match="Too many open files"):
        await link.start()


@pytest.fixture
def two_kinds_of_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each host has an address of a kind that this system does without, and then those that it has."""
    real = socket.getaddrinfo

    def both(host: Any, port: Any, *more: Any, **named: Any) -> list[Any]:
        unusable = (NO_FAMILY, socket.SOCK_STREAM, 0, "", (host, port))
        return [unusable, *real(host, port, *more, **named)]

    with pytest.raises(OSError, match=r"\[Errno \d+\]") as refused:
        socket.socket(NO_FAMILY, socket.SOCK_STREAM)
    assert refused.value.errno == errno.EAFNOSUPPORT
    monkeypatch.setattr(socket, "getaddrinfo", both)


def target(port: int) -> Target:
    return Target(host="localhost", port=port, password=Secret(PASSWORD))


@pytest.mark.usefixtures("two_kinds_of_address")
async def test_an_address_that_this_host_has_no_socket_for_hides_no_other(redis: Server) -> None:
    connection = await Connection.open(target(redis.port), clock=SystemClock())
    await connection.close()
    assert connection.identity.role == "master"


@pytest.mark.usefixtures("two_kinds_of_address")
async def test_the_reason_is_that_of_the_address_which_could_be_tried() -> None:
    with pytest.raises(StoreRefused):
        await Connection.open(target(free_port()), clock=SystemClock())


class Moody(DirectEndpoints):
    """Fails in a way that nobody foresaw, until it is told to work."""

    moved_words: ClassVar[tuple[type[StoreReplyError], ...]] = DirectEndpoints.moved_words
    works = False

    async def start(self, follower: Follower) -> None:
        """Nothing."""

    async def targets(self) -> tuple[Target, ...]:
        if not self.works:
            raise ZeroDivisionError("nobody foresaw this")
        return await super().targets()


def moody_link(port: int, *, abort_connect: bool) -> tuple[Link, Moody]:
    options = LinkOptions(
        endpoints=(("127.0.0.1", port),),
        password=Secret(PASSWORD),
        abort_connect=abort_connect,
        connect_retry=2,
        reconnect_cap_ms=50,
    )
    source = Moody(options)
    return Link(options, clock=SystemClock(), entropy=SystemEntropy(), source=source), source


async def test_a_fault_that_nobody_foresaw_is_logged_whole_and_once_and_the_link_comes_back(
    redis: Server, caplog: pytest.LogCaptureFixture
) -> None:
    link, source = moody_link(redis.port, abort_connect=False)
    try:
        await link.start()
        await asyncio.sleep(0.5)
        assert "a fault of this node" in link.status.reason
        with pytest.raises(StoreDown, match="nobody foresaw this"):
            await link.command("PING")
        faults = [
            record for record in caplog.records if record.exc_info and "nobody foresaw" in str(record.exc_info[1])
        ]
        assert len(faults) == 1
        assert faults[0].levelno == logging.ERROR
        source.works = True
        assert await link.wait_up(5_000)
        source.works = False
        redis.restart()
        await eventually(lambda: "nobody foresaw" in link.status.reason)
        source.works = True
        assert await link.wait_up(5_000)
    finally:
        await link.stop()


async def test_with_abort_connect_such_a_fault_ends_the_start(redis: Server) -> None:
    link, _ = moody_link(redis.port, abort_connect=True)
    with pytest.raises(ZeroDivisionError):
        await link.start()
    assert not link.is_connected
    await link.stop()
