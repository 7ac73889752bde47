"""The way to a target: reach it, see that it is the right one, and log in with what the vault has.

Each thing that can go wrong has an error of its own, so that the user's one line names it; none of them takes longer
than :data:`ALL_S`. A host key that differs from the pinned ones is always refused.
"""

import asyncio
import socket
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import asyncssh

from rppam.gateway.errors import (
    CredentialMissing,
    CredentialRefused,
    HostKeyChanged,
    HostKeyUnknown,
    SourceAddressAbsent,
    TargetNameUnresolved,
    TargetProtocolError,
    TargetSilent,
    TargetUnreachable,
)
from rppam.gateway.model import PinnedKey
from rppam.gateway.ports import Credential, Route
from rppam.gateway.ssh.algorithms import FAST_CIPHERS, HOST_KEYS, LEGACY_KEYS, SIGNATURES, common, legacy
from rppam.gateway.ssh.wire import quicken

REACH_S: Final = 6.0
ALL_S: Final = 14.0
TOFU: Final = "tofu"


class Reached(NamedTuple):
    """A target that has let us in."""

    connection: asyncssh.SSHClientConnection
    new_key: PinnedKey | None
    """The key that it showed, where none was pinned before."""
    fingerprint: str
    via: tuple[str, ...] = ()
    """The targets that it was reached through, the first one first."""
    requests: tuple[str, ...] = ()
    """The requests for access by whose grants its secret was got."""
    took_before: bool = False
    """It refused what the vault has now, and took what the vault had before."""


class Through(NamedTuple):
    """A target that has let us in, and is gone through."""

    connection: asyncssh.SSHClientConnection
    target: str


def pinned_of(key: asyncssh.SSHKey) -> PinnedKey:
    """``key`` as it is pinned."""
    public = key.export_public_key().decode().split()
    return PinnedKey(public[0], " ".join(public[:2]), key.get_fingerprint())


class _Client(asyncssh.SSHClient):
    """Judges the host key."""

    def __init__(self, route: Route, pins: Sequence[PinnedKey]) -> None:
        self._route, self._pins = route, pins
        self.shown: PinnedKey | None = None

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        quicken(conn)

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        self.shown = pinned_of(key)
        if self._pins:
            return any(pin.public == self.shown.public for pin in self._pins)
        return self._route.trust == TOFU


async def reach(
    route: Route,
    credential: Credential,
    pins: Sequence[PinnedKey],
    sources: Sequence[str] = (),
    through: Through | None = None,
) -> Reached:
    """A connection that is logged in, from one of ``sources`` where there is one of the target's version of IP. Raises
    a leaf of :class:`~rppam.gateway.errors.TargetError`. ``through``: what it is reached through, whose connection
    ends with the new one; where there is none in the end, it stays as it was."""
    place = f"{route.target} ({route.host} port {route.port})"
    client = _Client(route, pins)
    try:
        async with asyncio.timeout(ALL_S):
            plug = None if through is not None else await _plug(route, place, sources)
            try:
                connection = await _log_in(plug, route, credential, pins, client, through)
            except BaseException:
                if plug is not None:
                    plug.close()
                raise
    except TimeoutError:
        raise TargetSilent(f"{place} did not finish the log-in within {ALL_S:g} s") from None
    except asyncssh.ChannelOpenError as error:
        there = f" through {through.target}" if through is not None else ""
        raise TargetUnreachable(f"{place} cannot be reached{there}: {error.reason.lower()}") from None
    except asyncssh.HostKeyNotVerifiable:
        raise _distrusted(client, pins, place) from None
    except asyncssh.PermissionDenied:
        own = "a certificate of this cluster, nor with " if credential.certify else ""
        said = f"{place} does not let {route.username} in with {own}what the vault has for {route.account}"
        raise CredentialRefused(said) from None
    except (asyncssh.Error, OSError) as error:
        reason = getattr(error, "reason", "") or str(error) or type(error).__name__
        raise TargetProtocolError(f"{place}: {reason}") from None
    assert client.shown is not None  # else no host key would have been accepted
    if through is not None:
        connection.set_tunnel(through.connection)
    new = None if pins else client.shown
    return Reached(connection, new, client.shown.fingerprint, requests=credential.requests)


async def show_key(route: Route) -> PinnedKey:
    """The host key that a target shows now; nothing is proved by it. Raises as :func:`reach`."""
    place = f"{route.target} ({route.host} port {route.port})"
    try:
        async with asyncio.timeout(ALL_S):
            plug = await _plug(route, place)
            try:
                key = await asyncssh.get_server_host_key(
                    sock=plug, config=None, **(legacy() if route.legacy else {"kex_algs": common()["kex_algs"]}),
                    server_host_key_algs=[*HOST_KEYS, *(LEGACY_KEYS if route.legacy else ())],
                )  # fmt: skip
            finally:
                plug.close()
    except TimeoutError:
        raise TargetSilent(f"{place} did not answer within {ALL_S:g} s") from None
    except (asyncssh.Error, OSError) as error:
        reason = getattr(error, "reason", "") or str(error) or type(error).__name__
        raise TargetProtocolError(f"{place}: {reason}") from None
    if key is None:
        raise TargetProtocolError(f"{place} showed no host key")
    return pinned_of(key)


async def _plug(route: Route, place: str, sources: Sequence[str] = ()) -> socket.socket:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(route.host, route.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "it is no host name"
        raise TargetNameUnresolved(f"{place}: the name cannot be resolved: {why}") from None
    problem = "nothing answers"
    for family, kind, protocol, _, address in found:
        plug = socket.socket(family, kind, protocol)
        plug.setblocking(False)
        try:
            _bind(plug, sources, place)
            async with asyncio.timeout(REACH_S):
                await loop.sock_connect(plug, address)
        except (TimeoutError, OSError) as error:
            plug.close()
            problem = getattr(error, "strerror", None) or f"no answer within {REACH_S:g} s"
        except BaseException:
            plug.close()
            raise
        else:
            plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return plug
    raise TargetUnreachable(f"{place} cannot be reached: {problem.lower()}")


def _bind(plug: socket.socket, sources: Sequence[str], place: str) -> None:
    """Have ``plug`` go out from the one of ``sources`` that is of its version of IP."""
    is_v6 = plug.family == socket.AF_INET6
    for source in sources:
        if (":" in source) == is_v6:
            try:
                plug.bind((source, 0))
            except OSError as error:
                why = f"{place} is to be reached from {source}, and this host cannot: {error.strerror}"
                raise SourceAddressAbsent(why) from None


async def _log_in(
    plug: socket.socket | None,
    route: Route,
    credential: Credential,
    pins: Sequence[PinnedKey],
    client: _Client,
    through: Through | None,
) -> asyncssh.SSHClientConnection:
    password = credential.password.reveal() if credential.password else None
    keys: list[asyncssh.SSHKey | tuple[asyncssh.SSHKey, asyncssh.SSHCertificate]] = []
    if credential.certify is not None:
        # Of a target behind others nobody here knows from which address it sees us.
        made = await credential.certify("" if plug is None else plug.getsockname()[0])
        assert made.private_key is not None
        own = asyncssh.import_private_key(made.private_key.reveal())
        keys.append((own, asyncssh.import_certificate(made.line)))
    if credential.private_key:
        phrase = credential.passphrase.reveal() if credential.passphrase else None
        try:
            keys.append(asyncssh.import_private_key(credential.private_key.reveal(), phrase))
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError):
            said = f"the private key of {route.account} at {route.target} in the vault cannot be read"
            raise CredentialMissing(said) from None
    elif password is None and not keys:
        raise CredentialMissing(f"the vault has neither password nor key of {route.account} at {route.target}")
    options: dict[str, Any] = {
        **common(),
        "encryption_algs": FAST_CIPHERS,
        "signature_algs": SIGNATURES,
        "server_host_key_algs": _preferred(pins),
        "known_hosts": b"",
        "username": route.username,
        "password": password,
        "client_keys": keys or None,
        "agent_path": None,
        "config": None,
        "gss_auth": False,
        "host_based_auth": False,
        "client_version": "RP-PAM",
        "connect_timeout": ALL_S,
        "login_timeout": ALL_S,
    }
    if route.legacy:
        options |= {**legacy(), "server_host_key_algs": [*options["server_host_key_algs"], *LEGACY_KEYS]}
    way: dict[str, Any] = {"sock": plug} if through is None else {"tunnel": through.connection}
    return await asyncssh.connect(route.host, route.port, client_factory=lambda: client, **way, **options)


def _preferred(pins: Sequence[PinnedKey]) -> list[str]:
    """Algorithms of the pinned keys first: a target with several keys then shows one that can be compared."""
    known = {pin.algorithm for pin in pins}
    wanted = [one for one in HOST_KEYS if one in known or (one.startswith("rsa") and "ssh-rsa" in known)]
    return [*wanted, *(one for one in HOST_KEYS if one not in wanted)]


def _distrusted(client: _Client, pins: Sequence[PinnedKey], place: str) -> Exception:
    shown = client.shown.fingerprint if client.shown else "no key"
    if pins:
        known = ", ".join(pin.fingerprint for pin in pins)
        return HostKeyChanged(f"{place} shows the host key {shown}; pinned: {known}")
    return HostKeyUnknown(f"{place} shows the host key {shown}, which nobody has confirmed")
