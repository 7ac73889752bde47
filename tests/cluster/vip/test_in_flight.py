"""Who waits for an answer through an address, asked of the real kernel."""

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address

import pytest

from rppam.cluster.vip.in_flight import FRESH_MS, is_awaited
from tests.support.lab import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sock_diag is Linux's")

OLD_S = FRESH_MS / 1000 + 0.1


class Pair:
    """Both ends of a connection through the address."""

    def __init__(self, server: socket.socket, address: str) -> None:
        self.address, self.port = ip_address(address), server.getsockname()[1]
        self.client = socket.create_connection((address, self.port), timeout=5)
        self.server, _ = server.accept()

    def is_awaited(self) -> bool:
        return is_awaited(self.address, {self.port})

    def ask(self) -> None:
        self.client.sendall(b"question")
        assert self.server.recv(100) == b"question"

    def answer(self) -> None:
        self.server.sendall(b"answer")
        assert self.client.recv(100) == b"answer"


@pytest.fixture(params=["127.0.0.50", "::1", "both"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """By IPv4, by IPv6, and by IPv4 at a socket that takes both."""
    family = socket.AF_INET if request.param == "127.0.0.50" else socket.AF_INET6
    with socket.create_server(("", 0), family=family, dualstack_ipv6=request.param == "both") as server:
        one = Pair(server, "127.0.0.50" if request.param == "both" else request.param)
        with one.client, one.server:
            yield one


def test_a_question_is_awaited_however_long_until_it_is_answered(pair: Pair) -> None:
    pair.ask()
    time.sleep(OLD_S)
    assert pair.is_awaited()
    pair.answer()
    eventually(lambda: not pair.is_awaited(), within_s=5, what="it was answered")
    pair.ask()
    assert pair.is_awaited(), "the next one, by the same connection"


def test_whoever_connects_and_says_nothing_is_waited_for_a_moment(pair: Pair) -> None:
    eventually(lambda: not pair.is_awaited(), within_s=5, what="nothing was asked")


def test_events_that_nobody_asked_for_again_keep_nobody_waiting(pair: Pair) -> None:
    pair.ask()
    for _ in range(3):
        time.sleep(0.05)
        pair.answer()
    eventually(lambda: not pair.is_awaited(), within_s=5, what="each event has arrived")


def test_what_nobody_has_read_yet_and_what_nobody_has_taken_yet_is_awaited(pair: Pair) -> None:
    pair.client.sendall(b"question")
    time.sleep(OLD_S)
    assert pair.is_awaited(), "unread"
    assert pair.server.recv(100)
    pair.server.setblocking(False)
    with suppress(BlockingIOError):
        while pair.server.send(b"a long answer" * 10_000):
            pass
    time.sleep(OLD_S)
    assert pair.is_awaited(), "the client takes its time"


def test_other_addresses_and_other_ports_are_nobodys_business(pair: Pair) -> None:
    pair.ask()
    assert not is_awaited(ip_address("127.0.0.51"), {pair.port})
    assert not is_awaited(pair.address, {1})
    assert pair.is_awaited()
