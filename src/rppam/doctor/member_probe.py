"""Probe a member's port, to tell what stands in the way: for the doctor, which is no member and asks for nothing.

It goes as far as the greeting: TCP, TLS by the cluster key, the name in the certificate, the version of the protocol.
It comes for one exchange, so it takes no connection's place and requests no vote. At a port of this node itself it
stops at the certificate: a greeting in the node's own name would be taken for a duplicate. The judging is done in
:mod:`rppam.doctor.member_rules`.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Final

from rppam.cluster.link.codec import (
    PROTOCOL,
    Greeting,
    No,
    OtherVersion,
    Purpose,
    decode_greeting,
    encode_greeting,
)
from rppam.cluster.link.connection import FrameError, FrameReader, FrameWriter
from rppam.cluster.link.credentials import Credentials, PeerName, certificate_of, peer_name
from rppam.cluster.link.rejections import Refused
from rppam.config.endpoint import NotAnEndpointError, parse_endpoint
from rppam.doctor.member_rules import MemberProbe, ProbeOutcome
from rppam.kernel.entropy import Entropy
from rppam.kernel.network import connected
from rppam.kernel.secret import Secret

_NO_ROUTE: Final = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.ENETDOWN, errno.EHOSTDOWN}
_READ_BYTES: Final = 65_536
_OTHER_KEY: Final = "CERTIFICATE_VERIFY_FAILED"


class MemberProber:
    """Probes in the name of one node of one cluster."""

    def __init__(
        self,
        node_name: str,
        cluster_id: str,
        cluster_key: Secret,
        entropy: Entropy,
        also: tuple[Secret, ...] = (),
        sealing: tuple[Secret, ...] = (),
        must: Callable[[bytes | None, str], str] = lambda _certificate, _name: "",
    ) -> None:
        """Make a certificate, which takes some 10 ms.

        Holders of the keys ``also`` are believed, too. ``sealing``: the keys by which this node proves itself.
        ``must`` says what the certificate (DER) of a member lacks, if anything.
        """
        self._name, self._must = PeerName(cluster_id, node_name), must
        made = Credentials(cluster_key, cluster_id=cluster_id, node_name=node_name, also=also, sealing=sealing)
        self._context = made.client
        self._entropy = entropy

    async def probe(self, name: str, address: str, *, timeout_s: float) -> MemberProbe:
        """What answers at ``host:port`` where the member ``name`` should. Raises nothing."""
        return MemberProbe(name, address, *await self._outcome(name, address, timeout_s))

    async def _outcome(self, name: str, address: str, timeout_s: float) -> tuple[ProbeOutcome, str]:
        try:
            host, port = parse_endpoint(address)
        except NotAnEndpointError as error:
            return ProbeOutcome.NAME_UNKNOWN, f"{address!r} is no host:port: {error}"
        is_open = False
        try:
            async with asyncio.timeout(timeout_s):
                with await connected(host, port or 0) as plug:
                    is_open = True
                    # The transport gets a duplicate: ours is closed here, whatever it does with its.
                    reader, writer = await asyncio.open_connection(
                        sock=plug.dup(), ssl=self._context, server_hostname=name
                    )
                    try:
                        return await self._talk(name, reader, writer)
                    finally:
                        writer.transport.abort()
        except TimeoutError:
            if is_open:
                return ProbeOutcome.MUTE, f"the connection was taken, and nothing came within {timeout_s:g} s"
            return ProbeOutcome.SILENT, f"no answer within {timeout_s:g} s"
        except ConnectionRefusedError:
            return ProbeOutcome.REFUSED, "connection refused"
        except socket.gaierror as error:
            return ProbeOutcome.NAME_UNKNOWN, f"the host name {host!r} cannot be resolved ({error.strerror})"
        except (ssl.SSLError, OSError, FrameError) as error:
            return _failed(error, is_open=is_open)

    async def _talk(
        self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[ProbeOutcome, str]:
        certified = peer_name(writer.get_extra_info("peercert"))
        if certified is None:
            return ProbeOutcome.STRANGER, "its certificate names no member"
        if certified.cluster_id != self._name.cluster_id:
            found = f"cluster.clusterId {certified.cluster_id!r} there, {self._name.cluster_id!r} here"
            return ProbeOutcome.OTHER_CLUSTER, found
        if certified.node != name:
            return ProbeOutcome.OTHER_NODE, f"the node {certified.node!r} answers there"
        if name == self._name.node:
            return ProbeOutcome.ANSWERED, "this node answers there"
        lacks = self._must(certificate_of(writer.transport), name)
        if lacks:
            return ProbeOutcome.UNPROVEN, lacks
        words = Greeting(
            Purpose.ERRAND, self._name.cluster_id, self._name.node, self._entropy.nonce(), self._entropy.nonce(), ""
        )
        writer.write(FrameWriter().pack(encode_greeting(words)))
        return _answered(await _first_message(reader))


async def _first_message(reader: asyncio.StreamReader) -> bytes | None:
    """The first whole message; ``None`` when the other side hangs up before."""
    frames = FrameReader()
    while data := await reader.read(_READ_BYTES):
        messages = frames.feed(data)
        if messages:
            return messages[0]
    return None


def _answered(data: bytes | None) -> tuple[ProbeOutcome, str]:
    """What the answer to the greeting means."""
    if data is None:
        return ProbeOutcome.MUTE, "it hung up after the handshake"
    answer = decode_greeting(data)
    match answer:
        case Greeting():
            return ProbeOutcome.ANSWERED, "it answers the greeting"
        case OtherVersion(version) | No(Refused.VERSION, version):
            return ProbeOutcome.OTHER_VERSION, f"version {version} of the member protocol there, {PROTOCOL} here"
        case No(Refused.UNPROVEN, _):
            return ProbeOutcome.UNPROVEN, "it does not take this node for one: their sealing keys differ"
        case No(reason, _):
            return ProbeOutcome.TURNED_AWAY, f"it refuses this node: {reason}"
        case None:
            return ProbeOutcome.STRANGER, "its answer is no greeting of a member"


def _failed(error: Exception, *, is_open: bool) -> tuple[ProbeOutcome, str]:
    if isinstance(error, FrameError):
        return ProbeOutcome.STRANGER, f"what it says is no message of a member ({error.reason})"
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
        reason = error.reason or type(error).__name__
        if reason == _OTHER_KEY or "CERTIFICATE" in reason or "UNKNOWN_CA" in reason:
            return ProbeOutcome.OTHER_KEY, f"its certificate is not made with this node's cluster key ({reason})"
        return ProbeOutcome.STRANGER, f"what answers there speaks no TLS 1.3 ({reason})"
    if is_open:
        return ProbeOutcome.MUTE, f"it hung up during the handshake ({str(error) or type(error).__name__})"
    if isinstance(error, OSError) and error.errno in _NO_ROUTE:
        return ProbeOutcome.NO_ROUTE, f"no network path ({error.strerror})"
    return ProbeOutcome.NO_ROUTE, str(error) or type(error).__name__
