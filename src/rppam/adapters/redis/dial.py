"""Open the TCP or TLS connection, and turn what the operating system says into a sentence with the fix."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Final

from rppam.adapters.redis.options import Target
from rppam.domain.errors.store import (
    StoreClosed,
    StoreConnectTimeout,
    StoreError,
    StoreNameUnknown,
    StoreNoRoute,
    StoreProtocol,
    StoreRefused,
    StoreTlsFailed,
)

_NO_ROUTE: Final = {
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.EHOSTDOWN,
    errno.EADDRNOTAVAIL,
    errno.EACCES,
    errno.EPERM,
}
_NOT_TLS: Final = {
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "UNKNOWN_PROTOCOL",
    "UNEXPECTED_MESSAGE",
    "RECORD_LAYER_FAILURE",
}


async def dial(target: Target, protocol: Callable[[], asyncio.Protocol]) -> None:
    """Connect ``protocol()`` to ``target``. A name's addresses are tried in turn, each with its share of the time.

    Raises a leaf of :class:`StoreUnreachable`. The caller bounds the whole.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise explain(target, error) from error
    until = loop.time() + target.connect_timeout_ms / 1000
    failure: OSError | None = None
    for index, (family, _, _, _, place) in enumerate(found):
        share = (until - loop.time()) / (len(found) - index)
        try:
            async with asyncio.timeout(share):
                await _dial_one(target, protocol, family, str(place[0]))
        except OSError as error:  # TimeoutError and SSLError are OSErrors
            failure = failure if isinstance(error, TimeoutError) and failure is not None else error
        else:
            return
    reason = failure or socket.gaierror(socket.EAI_NONAME, "the name has no address")
    raise explain(target, reason) from failure


async def _dial_one(target: Target, protocol: Callable[[], asyncio.Protocol], family: int, place: str) -> None:
    transport, _ = await asyncio.get_running_loop().create_connection(
        protocol,
        place,
        target.port,
        family=family,
        ssl=target.ssl,
        server_hostname=(target.server_hostname or target.host) if target.ssl else None,
    )
    link = transport.get_extra_info("socket")
    if link is not None:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


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
            return StoreTlsFailed(
                f"the certificate of Redis at {at} is not accepted: {error.verify_message}; "
                "check that it is valid, signed by a trusted authority and made for this host name (sslHost)",
                raw=raw,
            )
        case ssl.SSLError():
            return _explain_tls(at, error)
        case ConnectionRefusedError():
            return StoreRefused(
                f"connection refused by {at}; check that Redis runs there and that 'bind' in redis.conf "
                "is 0.0.0.0 or that address",
                raw=raw,
            )
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
    hint = (
        "the port may not speak TLS (ssl=false), or Redis restarts" if target.ssl else "Redis restarts, or demands TLS"
    )
    return StoreClosed(f"the connection to Redis at {at} broke ({raw or type(error).__name__}); {hint}", raw=raw)


def _explain_tls(at: str, error: ssl.SSLError) -> StoreError:
    reason = error.reason or str(error)
    if reason in _NOT_TLS:
        return StoreProtocol(f"{at} does not speak TLS ({reason}); set ssl=false or use the TLS port", raw=str(error))
    if "CERTIFICATE_REQUIRED" in reason or "HANDSHAKE_FAILURE" in reason:
        fix = "Redis demands a client certificate: set tlsCertPath to a .pfx that it trusts"
    elif "UNKNOWN_CA" in reason or "BAD_CERTIFICATE" in reason or "CERTIFICATE_EXPIRED" in reason:
        fix = "Redis does not accept our client certificate: check tlsCertPath, its authority and its dates"
    else:
        fix = "check ssl, sslProtocols and the certificates on both sides"
    return StoreTlsFailed(f"the TLS handshake with Redis at {at} failed ({reason}); {fix}", raw=str(error))
