"""Newcomers at one address are held off; who is connected, and who comes by another address, is not."""

import socket
import sys
import threading
import time
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from rppam.cluster.vip.listeners import Listeners
from tests.support.lab import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the filter is Linux's")


V4, V6 = socket.AF_INET, socket.AF_INET6


@pytest.fixture(params=["127.0.0.50", "::1", "127.0.0.50 dual", "::1 dual"])
def how(request: pytest.FixtureRequest) -> str:
    """The address; ``dual``: on a socket that takes both kinds."""
    return str(request.param)


@pytest.fixture
def address(how: str) -> str:
    return how.partition(" ")[0]


@pytest.fixture
def server(how: str) -> Iterator[socket.socket]:
    """Listens on every address, with one that accepts and echoes, and another thing that listens beside it."""
    is_dual = how.endswith("dual")
    with socket.create_server(("", 0), family=V6 if ":" in how or is_dual else V4, dualstack_ipv6=is_dual) as listening:
        listening.settimeout(0.05)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                try:
                    link, _ = listening.accept()
                except TimeoutError:
                    continue
                threading.Thread(target=echo, args=(link,), daemon=True).start()

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening
        over.set()
        thread.join()


def echo(link: socket.socket) -> None:
    with link:
        while data := link.recv(100):
            link.sendall(data)


def connected(server: socket.socket, address: str, timeout_s: float = 5.0) -> socket.socket:
    return socket.create_connection((address, server.getsockname()[1]), timeout=timeout_s)


def echoes(link: socket.socket) -> bool:
    link.sendall(b"hello")
    return link.recv(100) == b"hello"


def test_a_newcomer_waits_and_who_is_connected_goes_on(server: socket.socket, address: str) -> None:
    listeners = Listeners([server], ip_address(address))
    with connected(server, address) as early:
        assert listeners.is_used()
        listeners.hold_off()
        assert echoes(early)
        with pytest.raises(TimeoutError):
            connected(server, address, 0.3)
        assert echoes(early)
        listeners.let_in()
        with connected(server, address) as late:
            assert echoes(late)
        early.close()
        eventually(lambda: not listeners.is_used(), within_s=5, what="both ends are closed")


def test_whoever_was_held_off_comes_in_when_the_kernel_tries_again(server: socket.socket, address: str) -> None:
    listeners = Listeners([server], ip_address(address))
    listeners.hold_off()
    timer = threading.Timer(0.2, listeners.let_in)
    timer.start()
    begun = time.monotonic()
    with connected(server, address) as link:
        assert echoes(link)
    assert 0.5 < time.monotonic() - begun < 4, "by the first segment that was sent again"


def test_another_address_of_the_host_is_none_of_its_business() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        listeners = Listeners([server], ip_address("127.0.0.50"))
        listeners.hold_off()
        connected(server, "127.0.0.51").close()
        with pytest.raises(TimeoutError):
            connected(server, "127.0.0.50", 0.3)


def test_a_socket_that_takes_both_kinds_holds_off_one_address_of_one_kind() -> None:
    with socket.create_server(("::", 0), family=V6, dualstack_ipv6=True) as server:
        for held, others in (("127.0.0.50", ("127.0.0.51", "::1")), ("::1", ("127.0.0.50",))):
            listeners = Listeners([server], ip_address(held))
            listeners.hold_off()
            for other in others:
                connected(server, other).close()
            with pytest.raises(TimeoutError):
                connected(server, held, 0.3)
            listeners.let_in()


def test_what_a_former_life_left_is_taken_away(server: socket.socket, address: str) -> None:
    Listeners([server], ip_address(address)).hold_off()
    with pytest.raises(TimeoutError):
        connected(server, address, 0.3)
    Listeners([server], ip_address(address))
    connected(server, address).close()


def test_a_socket_of_the_other_family_is_left_alone(server: socket.socket, address: str) -> None:
    other = "10.0.1.50" if ":" in address else "fd00::50"
    listeners = Listeners([server], ip_address(other))
    listeners.hold_off()
    connected(server, address).close()
    assert not listeners.is_used()
