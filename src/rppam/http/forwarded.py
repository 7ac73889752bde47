"""Whose request it is behind a load balancer: the caller's address, from a header that only trusted proxies may set.

Decides ``scope["client"]`` before anything looks at it: the log, limits, lockouts and the list of sessions all speak of
the same address. The header is read from its end, where the nearest proxy wrote: each address that belongs to a trusted
proxy is passed over, the first other one is the caller. What stands before that anybody could have made up, so it is
not looked at. From a peer that is not trusted the header means nothing, and what cannot be read as an address ends the
reading at the last proxy that could be.
"""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from rppam.kernel.network import unmapped

FORWARDED: Final = "Forwarded"
X_FORWARDED_FOR: Final = "X-Forwarded-For"
HOPS_MAX: Final = 16
"""Entries looked at, from the end; no honest path is longer."""
_FOR: Final = re.compile(r"(?:^|;)\s*for=\s*(\"[^\"]*\"|[^;,\s]*)", re.IGNORECASE)

Address = IPv4Address | IPv6Address


class Forwarder:
    """See the module. Stands outermost."""

    def __init__(self, app: ASGIApp, *, trusted: Sequence[str], header: str) -> None:
        """``trusted``: networks of proxies; ``header``: :data:`X_FORWARDED_FOR` or :data:`FORWARDED`."""
        self._app = app
        self._trusted: tuple[IPv4Network | IPv6Network, ...] = tuple(ip_network(one) for one in trusted)
        self._header = header.lower().encode("ascii")
        self._of_entry = _forwarded if header == FORWARDED else _plain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope.get("client"):
            peer, port = scope["client"]
            found = self.caller(peer, [value for name, value in scope["headers"] if name == self._header])
            if found != peer:
                scope = {**scope, "client": (found, port)}
        await self._app(scope, receive, send)

    def caller(self, peer: str, values: Sequence[bytes]) -> str:
        """The address of the caller whose request came from ``peer`` with these lines of the header."""
        address = _address(peer)
        if address is None or not self._is_trusted(address):
            return peer
        last: Address = address
        entries = b",".join(values).decode("latin-1").split(",")
        for entry in reversed(entries[-HOPS_MAX:]):
            hop = _address(self._of_entry(entry.strip()))
            if hop is None:
                break
            last = hop
            if not self._is_trusted(hop):
                break
        return str(last)

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def _plain(entry: str) -> str:
    return entry


def _forwarded(entry: str) -> str:
    """RFC 7239, section 4."""
    found = _FOR.search(entry)
    return found[1].strip('"') if found else ""


def _address(text: str) -> Address | None:
    """The address, with or without a port. A name, ``unknown`` or ``_hidden`` is none."""
    host = text
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        return unmapped(ip_address(host))
    except ValueError:
        return None
