"""Taking connections of the API where balancers say whose they are, by the PROXY protocol in front of all else.

The header comes before TLS does, so connections are taken here and not by the loop. From a trusted balancer it has to
come; from anybody else the same bytes are no HTTP. Those whose header or handshake is waited for are bounded in number,
and a newcomer costs the address that has the most of them its oldest: who connects without end and says nothing keeps
nobody else out. What it does not promise: a way around the bounds on connections; who is here counts under the address
that was named, as soon as it was (:mod:`rppam.http.protocol`).
"""

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from rppam.http.refusal_log import RefusalLog
from rppam.kernel.network import address_group
from rppam.kernel.proxy_protocol import Balancers, ProxyHeaderError, client_of

log: Final = logging.getLogger("rppam.api")

WAITING_MAX: Final = 500
"""Connections whose header or TLS handshake is waited for."""
PAUSE_S: Final = 0.1
Client = tuple[str, int]
Make = Callable[[Client | None], asyncio.Protocol]
"""Makes what speaks HTTP on a connection; with the caller that a balancer named, or ``None`` for the peer itself."""


class Introductions:
    """See the module. Takes the place of the loop's own server."""

    def __init__(
        self,
        plug: socket.socket,
        make: Make,
        balancers: Balancers,
        tls: ssl.SSLContext | None,
        handshake_s: float,
        refusals: RefusalLog,
    ) -> None:
        """``plug`` listens already."""
        self._plug, self._make, self._balancers = plug, make, balancers
        self._tls, self._handshake_s, self._refusals = tls, handshake_s, refusals
        self._tasks: dict[asyncio.Task[None], str] = {}
        """With the address that each counts for, IPv6 by the /64; the oldest first."""
        self._accepting = asyncio.get_running_loop().create_task(self._accept(), name="API connections")

    @property
    def sockets(self) -> Sequence[socket.socket]:
        """Where it listens."""
        return [self._plug]

    def close(self) -> None:
        """Take no more connections, and let go of those that said nothing yet."""
        for task in (self._accepting, *self._tasks):
            task.cancel()
        self._plug.close()

    async def wait_closed(self) -> None:
        """Until that is done."""
        await asyncio.gather(self._accepting, *self._tasks, return_exceptions=True)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        self._plug.setblocking(False)
        while True:
            try:
                plug, address = await loop.sock_accept(self._plug)
            except OSError as error:  # no descriptor is left, for one; those that are open go on
                log.warning("no connection can be taken: %s", error.strerror or error)
                await asyncio.sleep(PAUSE_S)
                continue
            if len(self._tasks) >= WAITING_MAX:
                self._make_room()
            peer = str(address[0])
            work = self._introduced(plug, peer) if self._balancers.has(peer) else self._served(plug, None)
            self._begin(work, plug, peer)

    def _begin(self, work: Coroutine[Any, Any, None], plug: socket.socket, peer: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name="API connection")
        self._tasks[task] = address_group(peer)
        task.add_done_callback(lambda done: self._begun(done, plug))

    def _begun(self, task: asyncio.Task[None], plug: socket.socket) -> None:
        self._tasks.pop(task, None)
        if task.cancelled():  # perhaps before it began
            plug.close()

    def _make_room(self) -> None:
        """Give up the oldest of the address that has the most."""
        (greediest, _), *_ = Counter(self._tasks.values()).most_common(1)
        oldest = next(task for task, address in self._tasks.items() if address == greediest)
        del self._tasks[oldest]
        oldest.cancel()

    async def _introduced(self, plug: socket.socket, balancer: str) -> None:
        try:
            named = await client_of(plug, balancer)
        except (ProxyHeaderError, OSError) as error:
            self._refusals.write(
                logging.WARNING,
                "PROXY",
                "a connection from %s is refused: 'api.trustedProxies' has this address, and with "
                "'api.forwardedHeader' PROXY it has to begin with the PROXY protocol, version 2 (send-proxy-v2): %s",
                balancer,
                error,
            )
            plug.close()
            return
        except BaseException:
            plug.close()
            raise
        task = asyncio.current_task()
        if task is not None and task in self._tasks:
            self._tasks[task] = address_group(named)
        await self._served(plug, named)

    async def _served(self, plug: socket.socket, named: str | None) -> None:
        """Have the connection be an HTTP connection; returns when it has begun."""
        client = None if named is None else (named, 0)
        try:
            plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self._make(client),
                plug,
                ssl=self._tls,
                ssl_handshake_timeout=None if self._tls is None else self._handshake_s,
            )
        except OSError as error:  # of TLS, too
            log.debug("a connection from %s came to nothing: %s", named or "a caller", error)
            plug.close()
        except BaseException:
            plug.close()
            raise
