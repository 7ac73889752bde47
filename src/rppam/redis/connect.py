"""Open the TCP or TLS connection, and turn what the operating system says into a sentence with the fix."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final

from rppam.kernel.network import LOOKUPS, NO_FAMILY, USED_UP, is_this_host
from rppam.kernel.tls import ill_made
from rppam.redis.errors import (
    StoreClosed,
    StoreConnectTimeout,
    StoreError,
    StoreNameUnknown,
    StoreNoGreeting,
    StoreNoRoute,
    StoreNoSocket,
    StoreProtocol,
    StoreRefused,
    StoreTlsFailed,
)
from rppam.redis.options import Target

_NO_ROUTE: Final = {
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.EHOSTDOWN,
    errno.EADDRNOTAVAIL,
    errno.EACCES,
    errno.EPERM,
}
_LISTEN_S: Final = 2.0
"""How long a server that hung up has to give a reason; a busy host needs a moment for a handshake."""
_NOT_TLS: Final = {
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "UNKNOWN_PROTOCOL",
    "UNEXPECTED_MESSAGE",
    "RECORD_LAYER_FAILURE",
}
_UNTRUSTED: Final = (
    "set redis.tlsCaPath to the certificate of the authority that signed it (without that setting it must be "
    "signed by a trusted authority of this system)"
)
_OTHER_NAME: Final = "connect by a name or address that stands in it, or give the name it stands for as sslHost"
_CERTIFICATE_FIXES: Final = {
    9: "check the clocks of both hosts, and from when on it is valid",
    10: "renew it on the server; until then no node can connect",
    18: _UNTRUSTED,
    19: _UNTRUSTED,
    20: _UNTRUSTED,
    21: _UNTRUSTED,
    62: _OTHER_NAME,
    64: _OTHER_NAME,
}
"""By the number that OpenSSL gives a failed verification (X509_V_ERR_...)."""
_ANY_CERTIFICATE_FIX: Final = "check that it is valid, signed by an authority in redis.tlsCaPath and made for this host"


async def connect(target: Target, protocol: Callable[[], asyncio.Protocol]) -> None:
    """Connect ``protocol()`` to ``target`` within its connect timeout.

    A name's addresses are tried in turn, each with its share of the time; one that this host has no socket for costs
    nothing but itself. Raises a leaf of :class:`StoreUnreachable`.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + target.connect_timeout_ms / 1000
    try:
        async with asyncio.timeout_at(until):
            found = await LOOKUPS.places(target.host, target.port)
    except TimeoutError:
        raise StoreNameUnknown(
            f"no answer within {target.connect_timeout_ms} ms to what the address of '{target.host}' is; "
            "check this host's DNS"
        ) from None
    except (OSError, UnicodeError) as error:
        raise explain(target, error) from error
    failure: StoreError | None = None
    for index, (family, place) in enumerate(found):
        share_s = (until - loop.time()) / (len(found) - index)
        try:
            with socket.socket(family, socket.SOCK_STREAM) as plain:
                await _connect_one(target, protocol, plain, place, loop.time() + share_s)
        except OSError as error:  # this process has as many files as it may, or this host does without IPv6
            failure = failure or explain(target, error)
        except StoreError as error:
            # An answer from another address says more about Redis than silence, or than a missing socket here.
            unsaid = isinstance(failure, StoreConnectTimeout | StoreNoGreeting | StoreNoSocket)
            if failure is None or (unsaid and not isinstance(error, StoreNoSocket)):
                failure = error
        else:
            return
    raise failure or explain(target, socket.gaierror(socket.EAI_NONAME, "the name has no address"))


async def reason(target: Target, error: StoreError) -> StoreError:
    """Why a connection was lost before the greeting was over: ``error``, or what a second connection over TLS hears.

    The system's own words do not do: whether a server that hangs up seems to close or to reset the connection depends
    on how much of what we sent it had read by then, so the same fault would be reported in two ways, by chance.
    """
    if not isinstance(error, StoreClosed):
        return error
    at = target.address
    if target.ssl is None:
        why = "closed the connection before the greeting was over; Redis restarts, or demands TLS (then set ssl=true)"
        return StoreClosed(f"{at} {why}", raw=error.raw)
    heard = await _listen(target, min(_LISTEN_S, target.connect_timeout_ms / 1000))
    if heard is not None and not isinstance(heard, StoreClosed):
        return heard
    return StoreClosed(f"{at} hung up after the TLS handshake; Redis restarts, or its log says why")


async def _listen(target: Target, limit_s: float) -> StoreError | None:
    """Connect once more over TLS, send nothing, and return why the server hangs up; ``None`` when it does not.

    In TLS 1.3 a client is done before the server has looked at its certificate. A server that refuses it then closes
    with our first command unread, and the reset that follows can overtake the alert with the reason. With nothing
    unread there is no reset, and the alert arrives.
    """
    listener = _Listener()
    try:
        await connect(target, lambda: listener)
        async with asyncio.timeout(limit_s):
            await listener.ended.wait()
    except StoreError as error:
        return error
    except TimeoutError:
        return None
    finally:
        listener.hang_up()
    return None if listener.error is None else explain(target, listener.error)


class _Listener(asyncio.Protocol):
    """Sends nothing, and keeps how the connection ended."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.error: Exception | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream transport, as create_connection promises

    def connection_lost(self, error: Exception | None) -> None:
        self.error = error
        self.ended.set()

    def hang_up(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def _connect_one(
    target: Target, protocol: Callable[[], asyncio.Protocol], plain: socket.socket, place: Any, until: float
) -> None:
    """TCP, then TLS where wanted: two steps, so that an error can say which of them gets no answer."""
    loop = asyncio.get_running_loop()
    plain.setblocking(False)
    try:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        async with asyncio.timeout_at(until):
            await loop.sock_connect(plain, place)
    except OSError as error:  # TimeoutError is one
        raise explain(target, error) from error
    name = (target.server_hostname or target.host) if target.ssl else None
    try:
        async with asyncio.timeout_at(until):
            # The transport gets a duplicate: our own socket is closed by its with block, whatever happens.
            await loop.create_connection(protocol, sock=plain.dup(), ssl=target.ssl, server_hostname=name)
    except TimeoutError as error:
        raise StoreNoGreeting(
            f"{target.address} took the connection but did not answer the TLS handshake within "
            f"{target.connect_timeout_ms} ms; check that this port speaks TLS, or set ssl=false"
        ) from error
    except (ConnectionError, ssl.SSLEOFError) as error:
        raise StoreClosed(
            f"{target.address} hung up during the TLS handshake; the port may not speak TLS (ssl=false), or Redis "
            "restarts",
            raw=str(error),
        ) from error
    except OSError as error:  # SSLError is one
        raise explain(target, error) from error


def explain(target: Target, error: Exception) -> StoreError:
    """The error of ours for what the system reported about the connection to ``target``."""
    at, raw = target.address, str(error)
    match error:
        case socket.gaierror() | UnicodeError():
            return StoreNameUnknown(
                f"the host name '{target.host}' of Redis cannot be resolved ({raw}); "
                "check it in redis.connectionString, and this host's DNS",
                raw=raw,
            )
        case ssl.SSLCertVerificationError():
            fix = _CERTIFICATE_FIXES.get(error.verify_code) or ill_made(error) or _ANY_CERTIFICATE_FIX
            said = error.verify_message.rstrip(".")  # some of these end with a full stop, most do not
            return StoreTlsFailed(f"the certificate of Redis at {at} is not accepted: {said}; {fix}", raw=raw)
        case ssl.SSLError():
            return _explain_tls(at, error)
        case ConnectionRefusedError():
            bind = " and, where that is another host, that 'bind' in redis.conf is 0.0.0.0 or that address"
            where = "" if is_this_host(target.host) else bind
            return StoreRefused(f"connection refused by {at}; check that Redis runs there{where}", raw=raw)
        case TimeoutError():
            return StoreConnectTimeout(
                f"no connection to Redis at {at} within {target.connect_timeout_ms} ms; check that Redis runs "
                "and that the firewall allows the port from all nodes",
                raw=raw,
            )
        case OSError() if error.errno in _NO_ROUTE:
            return StoreNoRoute(
                f"no network path to Redis at {at} ({raw}); check the address, the routes and the firewall", raw=raw
            )
        case OSError() if error.errno in NO_FAMILY:
            return StoreNoSocket(
                f"this host does without the kind of address (IPv4 or IPv6) that Redis at {at} has ({error.strerror}); "
                "connect to an address of the other kind, or turn this kind on here",
                raw=raw,
            )
        case OSError() if error.errno in USED_UP:
            return StoreNoSocket(
                f"this node cannot open a connection to Redis at {at}: its system gives it nothing more "
                f"({error.strerror}). {StoreNoSocket.row.remedy}",
                raw=raw,
            )
    hint = (
        "the port may not speak TLS (ssl=false), or Redis restarts" if target.ssl else "Redis restarts, or demands TLS"
    )
    return StoreClosed(f"the connection to Redis at {at} broke ({raw or type(error).__name__}); {hint}", raw=raw)


def _explain_tls(at: str, error: ssl.SSLError) -> StoreError:
    reason = getattr(error, "reason", None) or str(error)
    if isinstance(error, ssl.SSLEOFError) or "EOF" in reason:
        return StoreClosed(f"{at} hung up without a word of TLS; Redis restarts, or its log says why", raw=str(error))
    if reason in _NOT_TLS:
        return StoreProtocol(f"{at} does not speak TLS ({reason}); set ssl=false or use the TLS port", raw=str(error))
    if "CERTIFICATE_REQUIRED" in reason or "HANDSHAKE_FAILURE" in reason:
        fix = "Redis demands a client certificate: set tlsCertPath to a .pfx that it trusts"
    elif "UNKNOWN_CA" in reason or "BAD_CERTIFICATE" in reason or "CERTIFICATE_EXPIRED" in reason:
        fix = "Redis does not accept our client certificate: check tlsCertPath, its authority and its dates"
    elif "UNSUPPORTED_CERTIFICATE" in reason:
        fix = (
            "Redis does not take our client certificate for one: issue tlsCertPath again with extendedKeyUsage="
            "clientAuth, or with rppam tls issue --for node"
        )
    else:
        fix = "check ssl, sslProtocols and the certificates on both sides"
    return StoreTlsFailed(f"the TLS handshake with Redis at {at} failed ({reason}); {fix}", raw=str(error))


def too_slow(target: Target, partial_bytes: int) -> StoreNoGreeting:
    """The error for a server that accepts and does not greet. ``partial_bytes``: what came of a greeting."""
    if partial_bytes:
        return StoreNoGreeting(
            f"{target.address} answered {partial_bytes} bytes, not a whole greeting, within "
            f"{target.connect_timeout_ms} ms; check that neither Redis nor this node is frozen or short of processor "
            "time, and that nothing in between holds back what it says"
        )
    hint = "" if target.ssl else ", and whether the port demands TLS (ssl=true)"
    return StoreNoGreeting(
        f"{target.address} took the connection but said nothing within {target.connect_timeout_ms} ms; "
        f"check that Redis is not frozen, that it is a Redis that listens there{hint}"
    )
