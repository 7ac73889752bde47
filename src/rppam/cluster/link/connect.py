"""Reach a member: its name, TCP, TLS, and the sentence for whatever stands in the way.

A name server that does not answer delays nobody else. The addresses found last are kept and used when it fails: members
have to find each other just when other things break.
"""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Final

from rppam.cluster.link.connection import MemberConnection, prepare
from rppam.cluster.link.credentials import Credentials
from rppam.config.endpoint import NotAnEndpointError, parse_endpoint
from rppam.kernel.network import NO_FAMILY, USED_UP, Lookups, Place

_NO_ROUTE: Final = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.ENETDOWN, errno.EHOSTDOWN}

NAMES_KEPT_MAX: Final = 256
HANDSHAKE_PERIOD_S: Final = 0.003
"""A handshake costs this process 1 to 2 ms: one at a time leaves room for what is urgent."""
HANDSHAKE_PERIOD_MAX_S: Final = 1.0


class UnknownPlaceError(Exception):
    """An address that leads nowhere: why, and what to do."""


class NotReachedError(Exception):
    """Why there is no connection, and what to do."""

    def __init__(self, sentence: str, *, is_foreign: bool = False) -> None:
        self.is_foreign = is_foreign
        """Whether the peer that answered is not of this cluster."""
        super().__init__(sentence)


class Names:
    """Looks host names up, and keeps what was found last."""

    def __init__(self, ask: Callable[[str, int, int], list[Place]] | None = None) -> None:
        """``ask`` as in ``Lookups``, whose threads are these names' own."""
        self._lookups = Lookups(ask)
        self._kept: dict[str, list[Place]] = {}

    async def places(self, address: str, *, timeout_s: float) -> list[Place]:
        """Return the places of ``host:port``, never empty. Raises UnknownPlaceError."""
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
        if address not in self._kept and len(self._kept) >= NAMES_KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        self._kept[address] = found
        return found


class Pace:
    """Spreads handshakes when many members are reached at once; one that hangs holds up no other.

    A loop that runs late has too much to do already, handshakes above all, on both sides; those that then run out of
    time are made again, for nothing. So the later it runs, the fewer are begun.
    """

    def __init__(self) -> None:
        self._turns = asyncio.Lock()
        self._free_s = 0.0

    async def turn(self) -> None:
        loop = asyncio.get_running_loop()
        async with self._turns:
            wait_s, late_s = self._free_s - loop.time(), 0.0
            if wait_s > 0:
                await asyncio.sleep(wait_s)
                late_s = max(0.0, loop.time() - self._free_s)
            self._free_s = loop.time() + HANDSHAKE_PERIOD_S + min(2 * late_s, HANDSHAKE_PERIOD_MAX_S)


class Dialer:
    """Makes the connections of one node."""

    def __init__(self, credentials: Credentials, names: Names | None = None) -> None:
        self._credentials, self._names, self._pace = credentials, names or Names(), Pace()

    async def dial(self, name: str, address: str, channel: MemberConnection, *, timeout_s: float) -> None:
        """Give ``channel`` a TLS connection to ``address`` within ``timeout_s``. Raises NotReachedError.

        The places of a name are tried in turn, each with its share of the time; one that this host has no socket for
        costs nothing but itself.
        """
        await self._pace.turn()
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        try:
            places = await self._names.places(address, timeout_s=timeout_s)
        except UnknownPlaceError as error:
            raise NotReachedError(f"no way to {name}: {error}") from None
        failure: NotReachedError | None = None
        for index, (family, place) in enumerate(places):
            try:
                sock = socket.socket(family, socket.SOCK_STREAM)
            except OSError as error:
                failure = failure or _unreached(name, address, error)  # what another place says tells more
                continue
            with sock:
                share_s = (until - loop.time()) / (len(places) - index)
                try:
                    async with asyncio.timeout(share_s):
                        prepare(sock)
                        await loop.sock_connect(sock, place)
                except OSError as error:  # TimeoutError is one
                    failure = _unreached(name, address, error)
                    continue
                await self._encrypt(name, address, channel, sock, until)
                return
        raise failure or NotReachedError(
            f"no way to {name} at {address}: the name has no address; check it and this host's DNS"
        )

    async def _encrypt(
        self, name: str, address: str, channel: MemberConnection, sock: socket.socket, until: float
    ) -> None:
        loop, context = asyncio.get_running_loop(), self._credentials.client
        try:
            async with asyncio.timeout_at(until):
                # The transport gets a duplicate: ours stays a handle on the connection, whatever it does with its.
                await loop.create_connection(lambda: channel, sock=sock.dup(), ssl=context, server_hostname=name)
        except BaseException as error:
            channel.drop()
            with contextlib.suppress(OSError):  # it is gone already
                sock.shutdown(socket.SHUT_RDWR)
            if isinstance(error, OSError):
                raise _unencrypted(name, address, error) from None
            raise


def is_stranger(error: OSError) -> bool:
    """Return whether TLS failed, other than by a broken connection (as a port scan or a restart leaves)."""
    return isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError)


def tls_reason(error: OSError) -> str:
    return getattr(error, "reason", None) or type(error).__name__


def _unreached(name: str, address: str, error: OSError) -> NotReachedError:
    if isinstance(error, TimeoutError):
        why = "no answer: look whether that host runs and whether the firewall allows the member port between all nodes"
    elif isinstance(error, ConnectionRefusedError):
        why = "connection refused: look whether rppam runs there and whether cluster.memberPort is the same"
    elif error.errno in _NO_ROUTE:
        why = f"no network path ({error.strerror}): check the address, the routes and the firewall"
    elif error.errno in NO_FAMILY:
        why = f"this host does without that kind of address ({error.strerror}): advertise one of the other kind"
    elif error.errno in USED_UP:
        why = f"the system gives this node nothing more ({error.strerror}): raise LimitNOFILE of the service"
    else:
        why = f"{error.strerror or error}"
    return NotReachedError(f"no connection to {name} at {address}: {why}")


def _unencrypted(name: str, address: str, error: OSError) -> NotReachedError:
    if is_stranger(error):
        return NotReachedError(
            f"{name} at {address} does not hold the key of this cluster ({tls_reason(error)}): copy "
            "auth.clusterKeyPath from one node to all others (rppam init --bundle) and restart them",
            is_foreign=True,
        )
    if isinstance(error, TimeoutError):
        why = "took the connection and did not answer the handshake in time: look whether it is stuck"
    else:
        why = "hung up during the handshake: it restarts, or its log says why"
    return NotReachedError(f"{name} at {address} {why}")
