"""Addresses of hosts: what is one, which count as one caller, and which of them a name has.

The event loop's own look-ups run in the threads that everything else that blocks runs in, and nobody can end one: a
name server that hangs takes them all, and the end of the loop waits for them. Look-ups here have a few threads of their
own that nothing waits for, and requests for a name that is being looked up already share its answer.

What it does not promise: an end. Callers set the limit, and may give up; the thread goes on by itself.
"""

import asyncio
import errno
import socket
import threading
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, Final

NO_FAMILY: Final = frozenset({errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})
"""This host does without that kind of address, IPv6 mostly."""
USED_UP: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""This process, or the host, has as many files or as much memory as it may."""
IPV6_PREFIX: Final = 64
UNKNOWN_ADDRESS: Final = "unknown"
LOOKUPS_MAX: Final = 8
"""Names looked up at one time; further ones wait."""
THREAD: Final = "rppam-name"

Place = tuple[socket.AddressFamily, Any]
"""Family and socket address."""
_Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[list[Place]]"]


def is_address(host: str) -> bool:
    """Return whether ``host`` is an IP address rather than a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_this_host(host: str) -> bool:
    """Return whether nobody but this host can be meant."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower().removesuffix(".") == "localhost"


def unmapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """An IPv4 address that came as one of IPv6 (RFC 4291, section 2.5.5.2), as it is; others as they are."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


@lru_cache(maxsize=4096)  # of the callers of now: parsing is dearer than looking up
def address_group(client: str) -> str:
    """The address, or the /64 that it lies in, which is its own group. All that is no address is one group."""
    try:
        address = unmapped(ip_address(client.partition("%")[0].removesuffix(f"/{IPV6_PREFIX}")))
    except ValueError:
        return UNKNOWN_ADDRESS
    if isinstance(address, IPv6Address):
        return "::1" if address.is_loopback else str(IPv6Network((int(address), IPV6_PREFIX), strict=False))
    return str(address)


class Lookups:
    """Looks up names, for any number of event loops."""

    def __init__(self, ask: Callable[[str, int, int], list[Place]] | None = None) -> None:
        """``ask`` (host, port, flags) is the host's own resolver unless given; it may hang, and raise OSError."""
        self._ask = ask or ask_host
        self._lock = threading.Lock()
        self._waiting: dict[tuple[str, int], list[_Waiter]] = {}
        """The waiters for each name that is looked up, or is to be."""
        self._due: deque[tuple[str, int]] = deque()
        self._threads = 0

    async def places(self, host: str, port: int) -> list[Place]:
        """The places of ``host``, maybe none; a number is one at once. Raises OSError (gaierror) and UnicodeError."""
        if is_address(host):
            return self._ask(host, port, socket.AI_NUMERICHOST)
        loop = asyncio.get_running_loop()
        waiter: _Waiter = loop, loop.create_future()
        self._join((host, port), waiter)
        try:
            return await waiter[1]
        finally:
            with self._lock:
                waiters = self._waiting.get((host, port), [])
                if waiter in waiters:
                    waiters.remove(waiter)

    def _join(self, name: tuple[str, int], waiter: _Waiter) -> None:
        with self._lock:
            if name in self._waiting:
                self._waiting[name].append(waiter)
                return
            if self._threads < LOOKUPS_MAX:
                try:
                    threading.Thread(target=self._work, name=THREAD, daemon=True).start()
                except RuntimeError as error:
                    raise OSError(errno.ENOMEM, str(error)) from None  # this account has as many as it may
                self._threads += 1
            self._waiting[name] = [waiter]
            self._due.append(name)

    def _work(self) -> None:
        """Look up what is due, and end."""
        while (name := self._next()) is not None:
            found: list[Place] = []
            failure: Exception | None = None
            try:
                found = self._ask(*name, 0)
            except Exception as error:  # noqa: BLE001  # whatever it was, the waiters are to know it
                failure = error
            with self._lock:
                waiters = self._waiting.pop(name)
            for loop, answer in waiters:
                try:
                    loop.call_soon_threadsafe(_settle, answer, found, failure)
                except RuntimeError:
                    continue  # that loop is closed, and nobody waits any more

    def _next(self) -> tuple[str, int] | None:
        """The next name that somebody still waits for; ``None``: this thread is not needed any more."""
        with self._lock:
            while self._due:
                name = self._due.popleft()
                if self._waiting[name]:
                    return name
                del self._waiting[name]
            self._threads -= 1
            return None


def _settle(answer: "asyncio.Future[list[Place]]", found: list[Place], failure: Exception | None) -> None:
    if answer.done():
        return  # the caller has given up
    if failure is None:
        answer.set_result(found)
    else:
        answer.set_exception(failure)


def ask_host(host: str, port: int, flags: int) -> list[Place]:
    """The host's own resolver."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [(family, place) for family, _, _, _, place in found]


LOOKUPS: Final = Lookups()
"""For callers without a reason for threads of their own."""


async def connected(host: str, port: int) -> socket.socket:
    """A connection to the first place of ``host`` that takes one. Raises OSError and UnicodeError; has no limit."""
    loop = asyncio.get_running_loop()
    last: OSError = OSError(errno.EADDRNOTAVAIL, "the name has no address")
    for family, place in await LOOKUPS.places(host, port):
        try:
            plug = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            last = error  # this host does without that family; another address may do
            continue
        plug.setblocking(False)
        try:
            await loop.sock_connect(plug, place)
        except OSError as error:
            plug.close()
            last = error
        except BaseException:
            plug.close()
            raise
        else:
            return plug
    raise last
