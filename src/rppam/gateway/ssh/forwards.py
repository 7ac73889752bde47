"""Forwarded connections, where the policy allows them: ``-L``, ``-D``, ``-W`` and ``-R``, to ports and to sockets.

A forward goes through the target's own SSH server, so it reaches what the target reaches. One back to the target's own
SSH port is refused: it would be a way around the recording. An address counts however it is written, and a name for
what it means here, also that of a target behind others; what it does not promise is to know every name and address
that the target has for itself.
"""

import asyncio
import ipaddress
import re
import socket
from typing import TYPE_CHECKING, Any, Final, cast

import asyncssh

from rppam.gateway.errors import ChannelRefused, SecondPersonNeeded
from rppam.gateway.model import Kind
from rppam.gateway.ports import Route
from rppam.gateway.ssh.bridge import Half, pair
from rppam.gateway.ssh.live import LiveAccess
from rppam.gateway.ssh.second_person import needs_second
from rppam.kernel.errors import RppamError

if TYPE_CHECKING:
    from rppam.gateway.ssh.server import GatewayServer

RESOLVE_S: Final = 2.0
_LOOPBACK_NAME: Final = re.compile(r"(.+\.)?localhost|localhost(\.localdomain|[46](\.localdomain[46])?)|ip6-.*")


class Forwarding(asyncssh.SSHServer):
    """What a user's connection asks to be forwarded; the one that inherits it is the :class:`GatewayServer`."""

    _conn: asyncssh.SSHServerConnection

    async def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> Any:
        return await local(cast("GatewayServer", self), dest_host, dest_port, orig_host, orig_port)

    async def server_requested(self, listen_host: str, listen_port: int) -> Any:
        return await remote(cast("GatewayServer", self), self._conn, listen_host, listen_port)

    async def unix_connection_requested(self, dest_path: str) -> Any:
        return await local_path(cast("GatewayServer", self), dest_path)

    async def unix_server_requested(self, listen_path: str) -> Any:
        return await remote_path(cast("GatewayServer", self), self._conn, listen_path)


async def local(server: "GatewayServer", host: str, port: int, from_host: str, from_port: int) -> Half:
    """A connection that the target opens. Raises :class:`asyncssh.ChannelOpenError`."""
    access = await _access(server, Kind.LOCAL_FORWARD, host, port)
    front, back = pair(access.forwarded_up, access.received)
    began = asyncio.get_running_loop().time()
    await access.connection.create_connection(lambda: back, host, port, from_host, from_port, encoding=None)
    _note(access, Kind.LOCAL_FORWARD, f"{host[:200]} port {port}", began)
    return front


async def remote(server: "GatewayServer", conn: asyncssh.SSHServerConnection, host: str, port: int) -> Any:
    """A listener at the target whose connections come to the user; false where there may be none."""
    try:
        access = await _access(server, Kind.REMOTE_FORWARD, host, port)
    except asyncssh.ChannelOpenError:
        return False

    async def connected(from_host: str, from_port: int) -> Half:
        check_again(server, Kind.REMOTE_FORWARD)
        front, back = pair(access.forwarded_up, access.received)
        await conn.create_connection(lambda: front, host, listener.get_port(), from_host, from_port, encoding=None)
        return back

    began = asyncio.get_running_loop().time()
    listener = await access.connection.create_server(connected, host, port, encoding=None)
    _note(access, Kind.REMOTE_FORWARD, f"{host[:200]} port {listener.get_port()}", began)
    return listener


async def local_path(server: "GatewayServer", path: str) -> Half:
    """A connection that the target opens to a socket of its own. Raises :class:`asyncssh.ChannelOpenError`."""
    access = await _access(server, Kind.LOCAL_FORWARD)
    front, back = pair(access.forwarded_up, access.received)
    began = asyncio.get_running_loop().time()
    await access.connection.create_unix_connection(lambda: back, path, encoding=None)
    _note(access, Kind.LOCAL_FORWARD, path, began)
    return front


async def remote_path(server: "GatewayServer", conn: asyncssh.SSHServerConnection, path: str) -> Any:
    """A socket at the target whose connections come to the user; false where there may be none."""
    try:
        access = await _access(server, Kind.REMOTE_FORWARD)
    except asyncssh.ChannelOpenError:
        return False

    async def connected() -> Half:
        check_again(server, Kind.REMOTE_FORWARD)
        front, back = pair(access.forwarded_up, access.received)
        await conn.create_unix_connection(lambda: front, path, encoding=None)
        return back

    began = asyncio.get_running_loop().time()
    listener = await access.connection.create_unix_server(connected, path, encoding=None)
    _note(access, Kind.REMOTE_FORWARD, path, began)
    return listener


def check_again(server: "GatewayServer", kind: Kind) -> None:
    """Let nothing more through what stands where the policy has changed since.

    Raises :class:`asyncssh.ChannelOpenError`.
    """
    try:
        server.check(kind)
    except ChannelRefused as error:
        raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, str(error)) from None


async def _access(server: "GatewayServer", kind: Kind, host: str = "", port: int = 0) -> LiveAccess:
    try:
        server.check(kind)
        access = await server.access(None, kind)
        if needs_second(server.gate, server.route):
            raise SecondPersonNeeded("sessions with this target need a second person, and a forward cannot be watched")
        if kind is Kind.LOCAL_FORWARD and await _is_itself(host, port, access, server.route):
            raise ChannelRefused("a forward to the target's own SSH port would not be recorded")
    except RppamError as error:
        await server.refused(error, kind)
        raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, str(error)) from None
    return access


async def _is_itself(host: str, port: int, access: LiveAccess, route: Route | None) -> bool:
    peer = access.connection.get_extra_info("peername") or ("", 0)
    own = {22, peer[1]} | ({route.port} if route is not None else set())
    if port not in own:
        return False
    there = {str(peer[0])} | ({route.host.lower()} if route is not None else set())
    name = host.lower().strip("[]").rstrip(".")
    if name in {access.new.target.lower(), *there} or _LOOPBACK_NAME.fullmatch(name):
        return True
    if not peer[0] and route is not None:  # through a jump host nobody sees which address it has
        there |= {str(address) for address in await _addresses(route.host)}
    return any(_is_local(address) or str(address) in there for address in await _addresses(name))


async def _addresses(name: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """What the resolver makes of a name, or of a number such as ``127.1``; nothing where it is not known here."""
    try:
        async with asyncio.timeout(RESOLVE_S):
            found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, ValueError):
        return []
    return [_plain(ipaddress.ip_address(str(one[4][0]).partition("%")[0])) for one in found]


def _plain(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An IPv4 address also where it is written as one of IPv6."""
    return getattr(address, "ipv4_mapped", None) or address


def _is_local(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address.is_loopback or address.is_unspecified or (address.version == 4 and int(address) >> 24 == 0)


def _note(access: LiveAccess, kind: Kind, place: str, began: float) -> None:
    took = int((asyncio.get_running_loop().time() - began) * 1000)
    facts = {"kind": kind.value, "to": place[:220], "exit": "opened", "milliseconds": took}
    access.spawn(access.note("access.channel", facts))
