"""Where a member is: host names to addresses, so that a name server that does not answer delays nobody else.

Each look-up has a thread of its own that nobody waits for at the end; there are never more than a few. The addresses
found last are kept, and used when the name server fails: members have to find each other just when other things break.
"""

import asyncio
import socket
import threading
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, Final

from rppam.config.endpoint import NotAnEndpointError, parse_endpoint

LOOKUPS_MAX: Final = 8
"""Look-ups at one time; name servers that hang must not cost threads without end."""
KEPT_MAX: Final = 256

Place = tuple[socket.AddressFamily, Any]
"""Family and socket address."""


class UnknownPlaceError(Exception):
    """An address that leads nowhere: why, and what to do."""


class Names:
    """Looks names up, and keeps what was found last."""

    def __init__(self, ask: Callable[[str, int, int], list[Place]] | None = None) -> None:
        """``ask`` (host, port, flags) is the host's own resolver unless given; it may hang, and raise OSError."""
        self._ask = ask or ask_host
        self._kept: dict[str, list[Place]] = {}
        self._running = 0

    async def places(self, address: str, *, timeout_s: float) -> list[Place]:
        """The places of ``host:port``, never empty. Raises :class:`UnknownPlaceError`."""
        try:
            host, port = parse_endpoint(address)
        except NotAnEndpointError as error:
            raise UnknownPlaceError(f"{address!r} is no host:port: {error}") from None
        if port is None:
            raise UnknownPlaceError(f"{address!r} has no port; set cluster.memberAddress there to host:port")
        if _is_number(host):
            return self._ask(host, port, socket.AI_NUMERICHOST)
        try:
            found = await self._look_up(host, port, timeout_s)
        except (OSError, UnicodeError) as error:  # TimeoutError and gaierror are OSErrors
            if address in self._kept:
                return self._kept[address]
            why = "no answer in time" if isinstance(error, TimeoutError) else str(error)
            raise UnknownPlaceError(
                f"the host name {host!r} cannot be resolved ({why}); check this host's name server, or set "
                "cluster.memberAddress of that member to an IP address and port"
            ) from None
        if address not in self._kept and len(self._kept) >= KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        self._kept[address] = found
        return found

    async def _look_up(self, host: str, port: int, timeout_s: float) -> list[Place]:
        if self._running >= LOOKUPS_MAX:
            raise TimeoutError
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Place]] = loop.create_future()

        def settle(found: list[Place], error: Exception | None) -> None:
            self._running -= 1
            if answer.done():
                return
            if error is None:
                answer.set_result(found)
            else:
                answer.set_exception(error)

        def work() -> None:
            found: list[Place] = []
            failure: Exception | None = None
            try:
                found = self._ask(host, port, 0)
            except (OSError, UnicodeError) as error:
                failure = error
            if not loop.is_closed():
                try:
                    loop.call_soon_threadsafe(settle, found, failure)
                except RuntimeError:
                    return  # it was closed meanwhile, and nobody waits any more

        self._running += 1
        threading.Thread(target=work, name="rppam-member-name", daemon=True).start()
        async with asyncio.timeout(timeout_s):
            return await answer


def _is_number(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def ask_host(host: str, port: int, flags: int) -> list[Place]:
    """The host's own resolver."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [(family, place) for family, _, _, _, place in found]
