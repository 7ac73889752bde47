"""Taking connections: the socket is ours before anything is said on it, so that strangers cost little.

At most :data:`WAITING_MAX` connections may be unauthenticated at a time in one process, :data:`PER_ADDRESS_MAX` of them
from one address; the others are closed at once. Who has not logged in within the time is cut. Behind a trusted balancer
the address is the one that it names (:mod:`~rppam.kernel.proxy_protocol`).
"""

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from collections.abc import Sequence
from contextvars import ContextVar
from ipaddress import ip_address
from typing import Any, Final

import asyncssh

from rppam.gateway.ssh.algorithms import CIPHERS, LOGIN_S, SIGNATURES, common
from rppam.gateway.ssh.gate import Gate
from rppam.gateway.ssh.in_browser import LIMIT
from rppam.gateway.ssh.server import GatewayServer
from rppam.kernel.clock import Clock
from rppam.kernel.network import unmapped
from rppam.kernel.proxy_protocol import Balancers, ProxyHeaderError, client_of

log: Final = logging.getLogger("rppam.gateway")

WAITING_MAX: Final = 200
PER_ADDRESS_MAX: Final = 40
BACKLOG: Final = 256
_PAUSE_S: Final = 0.1
_client: Final = ContextVar("client", default="unknown")
"""Whose connection the task talks with: what makes a server for it is asked without a word."""


class Listener:
    """See the module."""

    def __init__(self, gate: Gate, clock: Clock, host_keys: Sequence[asyncssh.SSHKey], balancers: Balancers) -> None:
        self._gate, self._clock, self._balancers = gate, clock, balancers
        self._options = asyncssh.SSHServerConnectionOptions(
            server_factory=self._server,
            server_host_keys=list(host_keys),
            send_server_host_keys=True,
            encryption_algs=CIPHERS,
            signature_algs=SIGNATURES,
            encoding=None,
            line_editor=False,
            agent_forwarding=False,
            x11_forwarding=False,
            gss_host=None,
            allow_scp=False,
            login_timeout=LOGIN_S,
            server_version="RP-PAM",
            **common(),
        )
        self._waiting: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._open: set[asyncssh.SSHServerConnection] = set()

    def _server(self) -> GatewayServer:
        return GatewayServer(self._gate, self._clock.wall_ms, _client.get())

    async def serve(self, sockets: Sequence[socket.socket]) -> None:
        """Take connections on ``sockets``, which listen already. Never returns; cancelled, it closes them all."""
        try:
            await asyncio.gather(*(self._accept(plug) for plug in sockets))
        finally:
            for conn in self._open:
                conn.abort()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        listening.setblocking(False)
        while True:
            try:
                plug, address = await loop.sock_accept(listening)
            except OSError as error:  # no descriptor is left, for one; those that are open go on
                log.warning("no connection can be taken: %s", error.strerror or error)
                await asyncio.sleep(_PAUSE_S)
                continue
            peer = _bare(str(address[0]))
            is_balancer = self._balancers.has(peer)
            if self._is_too_much("" if is_balancer else peer):
                plug.close()
                continue
            self._waiting["" if is_balancer else peer] += 1
            task = loop.create_task(self._introduced(plug, peer) if is_balancer else self._talk(plug, peer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _is_too_much(self, client: str) -> bool:
        """``client``: empty where it is not known yet."""
        of_it = self._waiting[client] if client else 0
        return of_it >= PER_ADDRESS_MAX or self._waiting.total() >= WAITING_MAX

    async def _introduced(self, plug: socket.socket, balancer: str) -> None:
        """Talk with whom a balancer brings."""
        try:
            client = await client_of(plug, balancer)
        except (ProxyHeaderError, OSError) as error:
            log.warning(
                "a connection from %s is refused: 'access.trustedProxies' has this address, and it has to begin with "
                "the PROXY protocol, version 2 (send-proxy-v2): %s", balancer, error,
            )  # fmt: skip
            plug.close()
            return
        except BaseException:
            plug.close()
            raise
        finally:
            self._done_waiting("")
        if self._is_too_much(client):
            plug.close()
            return
        self._waiting[client] += 1
        await self._talk(plug, client)

    async def _talk(self, plug: socket.socket, client: str) -> None:
        _client.set(client)
        conn = await self._logged_in(plug, client)
        if conn is None:
            plug.close()
            return
        self._open.add(conn)
        try:
            await conn.wait_closed()
        finally:
            self._open.discard(conn)

    async def _logged_in(self, plug: socket.socket, client: str) -> asyncssh.SSHServerConnection | None:
        """The connection once somebody has logged in; ``None`` where nobody does."""
        try:
            with contextlib.suppress(OSError):
                plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(LOGIN_S + 5) as limit:
                LIMIT.set(limit)
                return await asyncssh.run_server(plug, config=None, options=self._options)
        except (asyncssh.Error, OSError, TimeoutError) as error:
            log.debug("a connection from %s came to nothing: %s", client, error)
        except Exception:
            log.exception("a connection from %s failed", client)
        except BaseException:
            plug.close()
            raise
        finally:
            self._done_waiting(client)
        return None

    def _done_waiting(self, client: str) -> None:
        self._waiting[client] -= 1
        if self._waiting[client] <= 0:
            del self._waiting[client]


def _bare(peer: str) -> str:
    """An address without its interface; of IPv4, where it came as one of IPv6, it is that of IPv4."""
    return str(unmapped(ip_address(peer.partition("%")[0])))
