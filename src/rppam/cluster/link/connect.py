"""Reach a member: TCP, TLS, and the sentence for whatever stands in the way."""

import asyncio
import contextlib
import errno
import socket
import ssl
from typing import Final

from rppam.cluster.link.connection import MemberConnection, prepare
from rppam.cluster.link.names import Names, UnknownPlaceError
from rppam.kernel.socket_errors import NO_FAMILY, USED_UP

_NO_ROUTE: Final = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.ENETDOWN, errno.EHOSTDOWN}


HANDSHAKE_PERIOD_S: Final = 0.003
"""A handshake costs this process 1 to 2 ms: one at a time leaves room for what is urgent."""
HANDSHAKE_PERIOD_MAX_S: Final = 1.0


class Pace:
    """Spreads handshakes when many members are reached at once. Whoever hangs in his holds nobody up.

    A loop that runs late has too much to do already, handshakes above all, on both sides; those that then run out of
    time are made again, for nothing. So the later it runs, the fewer are begun.
    """

    def __init__(self) -> None:
        self._turns = asyncio.Lock()
        self._free_s = 0.0

    async def turn(self) -> None:
        """Wait for the next free place in time."""
        loop = asyncio.get_running_loop()
        async with self._turns:
            wait_s, late_s = self._free_s - loop.time(), 0.0
            if wait_s > 0:
                await asyncio.sleep(wait_s)
                late_s = max(0.0, loop.time() - self._free_s)
            self._free_s = loop.time() + HANDSHAKE_PERIOD_S + min(2 * late_s, HANDSHAKE_PERIOD_MAX_S)


class NotReachedError(Exception):
    """Why there is no connection, and what to do."""

    def __init__(self, sentence: str, *, is_foreign: bool = False) -> None:
        self.is_foreign = is_foreign
        """Whether somebody answered who is not of this cluster."""
        super().__init__(sentence)


async def dial(
    name: str,
    address: str,
    channel: MemberConnection,
    context: ssl.SSLContext,
    names: Names,
    pace: Pace,
    *,
    timeout_s: float,
) -> None:
    """Give ``channel`` a TLS connection to ``address`` within ``timeout_s``. Raises :class:`NotReachedError`.

    The places of a name are tried in turn, each with its share of the time; one that this host has no socket for costs
    nothing but itself.
    """
    await pace.turn()
    loop = asyncio.get_running_loop()
    until = loop.time() + timeout_s
    try:
        places = await names.places(address, timeout_s=timeout_s)
    except UnknownPlaceError as error:
        raise NotReachedError(f"no way to {name}: {error}") from None
    failure: NotReachedError | None = None
    for index, (family, place) in enumerate(places):
        try:
            plug = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            failure = failure or _unreached(name, address, error)  # what another place says tells more
            continue
        with plug:
            share_s = (until - loop.time()) / (len(places) - index)
            try:
                async with asyncio.timeout(share_s):
                    prepare(plug)
                    await loop.sock_connect(plug, place)
            except OSError as error:  # TimeoutError is one
                failure = _unreached(name, address, error)
                continue
            await _encrypt(name, address, channel, plug, context, until)
            return
    raise failure or NotReachedError(
        f"no way to {name} at {address}: the name has no address; check it and this host's DNS"
    )


async def _encrypt(
    name: str, address: str, channel: MemberConnection, plug: socket.socket, context: ssl.SSLContext, until: float
) -> None:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout_at(until):
            # The transport gets a duplicate: ours stays a handle on the connection, whatever it does with its.
            await loop.create_connection(lambda: channel, sock=plug.dup(), ssl=context, server_hostname=name)
    except BaseException as error:
        channel.drop()
        with contextlib.suppress(OSError):  # it is gone already
            plug.shutdown(socket.SHUT_RDWR)
        if isinstance(error, OSError):
            raise _unencrypted(name, address, error) from None
        raise


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
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
        reason = getattr(error, "reason", None) or type(error).__name__
        return NotReachedError(
            f"{name} at {address} does not hold the key of this cluster ({reason}): copy auth.clusterKeyPath from one "
            "node to all others (rppam init --bundle) and restart them",
            is_foreign=True,
        )
    if isinstance(error, TimeoutError):
        why = "took the connection and did not answer the handshake in time: look whether it is stuck"
    else:
        why = "hung up during the handshake: it restarts, or its log says why"
    return NotReachedError(f"{name} at {address} {why}")
