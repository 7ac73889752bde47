"""Where a member is: host names to addresses, so that a name server that does not answer delays nobody else.

The addresses found last are kept, and used when the name server fails: members have to find each other just when other
things break.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from rppam.config.endpoint import NotAnEndpointError, parse_endpoint
from rppam.kernel.lookups import Lookups, Place

KEPT_MAX: Final = 256


class UnknownPlaceError(Exception):
    """An address that leads nowhere: why, and what to do."""


class Names:
    """Looks names up, and keeps what was found last."""

    def __init__(self, ask: Callable[[str, int, int], list[Place]] | None = None) -> None:
        """``ask`` as in :class:`~rppam.kernel.lookups.Lookups`, whose threads are these names' own."""
        self._lookups = Lookups(ask)
        self._kept: dict[str, list[Place]] = {}

    async def places(self, address: str, *, timeout_s: float) -> list[Place]:
        """The places of ``host:port``, never empty. Raises :class:`UnknownPlaceError`."""
        try:
            host, port = parse_endpoint(address)
        except NotAnEndpointError as error:
            raise UnknownPlaceError(f"{address!r} is no host:port: {error}") from None
        if port is None:
            raise UnknownPlaceError(f"{address!r} has no port; set cluster.memberAddress there to host:port")
        try:
            async with asyncio.timeout(timeout_s):
                found = await self._lookups.places(host, port)
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
