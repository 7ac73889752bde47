"""Where other members connect: listens, and does the handshakes, each within three seconds.

Decides which connection gets as far as its greeting. Handshakes are bounded in number, and a newcomer costs the host
that has the most of them its oldest: one that connects without end and says nothing keeps nobody out. What it does not
promise: to stand a flood from many hosts; the firewall keeps strangers from this port.
"""

import asyncio
import contextlib
import logging
import socket
import sys
from collections import Counter
from typing import Final

from rppam.cluster.errors import MemberPortInUse
from rppam.cluster.link.connect import is_stranger, tls_reason
from rppam.cluster.link.connection import prepare
from rppam.cluster.link.inbound import InboundPeer, InboundPeers
from rppam.cluster.link.local_peer import LocalPeer
from rppam.cluster.link.rejections import Refused

_log: Final = logging.getLogger("rppam.members")

HANDSHAKE_S: Final = 3.0
HANDSHAKES_MAX: Final = 160
"""More than a cluster has members, which may all come at once."""
_BACKLOG: Final = 256
_AGAIN_S: Final = 0.1
_AGAIN_UNFORESEEN_S: Final = 1.0
"""Longer, so that a fault that stays fills no log."""


class Acceptor:
    """The listening side of a link."""

    def __init__(self, local: LocalPeer, inbound: InboundPeers) -> None:
        self._local = local
        self._inbound = inbound
        self._servers: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._handshakes: dict[asyncio.Task[None], str] = {}
        """By which host; the oldest first."""

    @property
    def port(self) -> int:
        port: int = self._servers[0].getsockname()[1]
        return port

    def open(self) -> None:
        """Listen. Raises MemberPortInUse."""
        options = self._local.options
        self._servers = listen(options.host, options.port)
        loop = asyncio.get_running_loop()
        self._accepting = [loop.create_task(self._accept(server)) for server in self._servers]

    async def close(self) -> None:
        """Let nobody in any more. Those that are in stay."""
        tasks = [*self._accepting, *self._handshakes]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for server in self._servers:
            server.close()

    async def _accept(self, server: socket.socket) -> None:
        while True:
            try:
                await self._accept_one(server)
            except OSError as error:  # out of descriptors, or the peer is gone already
                self._refuse("somebody", Refused.TOO_MANY, f"could not be let in: {error.strerror}")
                await asyncio.sleep(_AGAIN_S)
            except Exception:  # noqa: BLE001 - logged whole; this task must not end, or nobody is let in any more
                _log.exception("A connection to the member port was not accepted, for a fault of this node.")
                await asyncio.sleep(_AGAIN_UNFORESEEN_S)
            await asyncio.sleep(0)  # one at a time: what is urgent goes in between

    async def _accept_one(self, server: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        if sys.platform == "win32":  # the loop there has no add_reader
            sock, place = await loop.sock_accept(server)
        else:
            await _wait_for_client(server)
            try:
                sock, place = server.accept()
            except BlockingIOError:
                return  # gone again
            sock.setblocking(False)
        try:
            if len(self._handshakes) >= HANDSHAKES_MAX:
                self._make_room()
            host = str(place[0]).removeprefix("::ffff:")
            if self._local.is_held:
                sock.close()
                return
            task = loop.create_task(self._admit(sock, host))
        except Exception:
            sock.close()
            raise
        self._handshakes[task] = host
        task.add_done_callback(lambda done: self._admitted(done, sock))

    def _make_room(self) -> None:
        """Take the oldest handshake of the host that has the most: one host alone keeps no other out."""
        (greediest, _), *_ = Counter(self._handshakes.values()).most_common(1)
        oldest = next(task for task, host in self._handshakes.items() if host == greediest)
        del self._handshakes[oldest]
        oldest.cancel()

    def _admitted(self, task: asyncio.Task[None], sock: socket.socket) -> None:
        sock.close()  # one that was cancelled before it began has not
        self._handshakes.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a member's handshake failed in a way that nobody foresaw", exc_info=error)

    async def _admit(self, sock: socket.socket, host: str) -> None:
        """Handshake and greeting, or the end of the connection."""
        peer = InboundPeer(self._local, self._inbound, host)
        loop = asyncio.get_running_loop()
        with sock:
            try:
                prepare(sock)
                async with asyncio.timeout(HANDSHAKE_S):
                    # The transport gets a duplicate: ours stays a handle on the connection, whatever it does with its.
                    await loop.connect_accepted_socket(
                        lambda: peer.channel, sock.dup(), ssl=self._local.credentials.server
                    )
                    await peer.greeted
            except TimeoutError:
                self._give_up(peer, sock)
                self._refuse(host, Refused.SLOW, "did not finish its handshake and greeting in time")
            except asyncio.CancelledError:
                self._give_up(peer, sock)
                self._refuse(host, Refused.TOO_MANY, "lost its place among the unfinished handshakes to a newcomer")
                raise
            except OSError as error:
                self._give_up(peer, sock)
                if is_stranger(error):
                    found = f"does not hold the key of this cluster ({tls_reason(error)})"
                    fix = "If it is a member, copy auth.clusterKeyPath to it from another node"
                    self._refuse(host, Refused.FOREIGN, f"{found}. {fix}")

    def _give_up(self, peer: InboundPeer, sock: socket.socket) -> None:
        peer.channel.drop()
        with contextlib.suppress(OSError):  # it is gone already
            sock.shutdown(socket.SHUT_RDWR)

    def _refuse(self, host: str, reason: Refused, sentence: str) -> None:
        self._local.refusals.refuse(host, reason, f"{host} connected to the member port and {sentence}")


async def _wait_for_client(server: socket.socket) -> None:
    """Wait without accepting: a connection accepted while this ends would be lost with its socket."""
    loop = asyncio.get_running_loop()
    came = asyncio.Event()
    loop.add_reader(server.fileno(), came.set)
    try:
        await came.wait()
    finally:
        loop.remove_reader(server.fileno())


def listen(host: str | None, port: int) -> list[socket.socket]:
    """Open a listening socket for every address of ``host``. Raises MemberPortInUse."""
    shown = f"{host or '*'}:{port}"
    servers: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, number, _, place in found:
            try:
                server = socket.socket(family, kind, number)
            except OSError:
                continue  # this host does without that family
            servers.append(server)
            # One free port for both families, where any will do.
            _bind(server, (str(place[0]), servers[0].getsockname()[1] if port == 0 and len(servers) > 1 else port))
    except OSError as error:
        for server in servers:
            server.close()
        raise MemberPortInUse(
            f"cluster.memberHost and cluster.memberPort: expected an address of this host and a free port, found "
            f"{shown}: {error.strerror or error}. Stop the process that has it ('ss -ltnp' shows it), or change them"
        ) from None
    if not servers:
        raise MemberPortInUse(f"cluster.memberHost: expected an address of this host, found {shown}, which has none")
    return servers


def _bind(server: socket.socket, place: tuple[str, int]) -> None:
    if sys.platform != "win32":  # there it would let a second process have the port
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if server.family == socket.AF_INET6:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    server.bind(place)
    server.listen(_BACKLOG)
    server.setblocking(False)
