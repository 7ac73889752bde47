"""A few last words to the members, in the name of a node whose control process is dead or frozen.

For the one process that outlives it: blocking calls and threads, no event loop. It decides nothing; a member takes
these words over a connection that stands beside the node's own, and believes them as far as it would believe the node.
Whatever hangs (a name server, a host, a handshake) costs its own thread, and never more than the time given.
"""

import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from rppam.adapters.members.codec import Greeting, Ping, Pong, Purpose, decode, decode_greeting, encode, encode_greeting
from rppam.adapters.members.credentials import Credentials, PeerName, peer_name
from rppam.adapters.members.frames import FrameError, FrameReader, FrameWriter
from rppam.adapters.members.party import MemberOptions
from rppam.config.endpoint import NotAnEndpointError, parse_endpoint
from rppam.domain.ballot import Freeing, Invitation
from rppam.domain.instant import US_PER_MS, US_PER_S, Instant
from rppam.ports.clock import Clock
from rppam.ports.entropy import Entropy

_READ_BYTES: Final = 65_536


class _UndeliveredError(Exception):
    """Why the words did not arrive, as far as is known."""


class Errand:
    """Says words to members, each confirmed, all at once, within a time."""

    def __init__(self, options: MemberOptions, *, clock: Clock, entropy: Entropy) -> None:
        """Makes a certificate of its own, which takes some 10 ms: do it before it is needed."""
        self._options = options
        self._clock = clock
        self._entropy = entropy
        self._context = Credentials(
            options.cluster_key, cluster_id=options.cluster_id, node_name=options.node_name
        ).client

    def say(
        self, addresses: Mapping[str, str], words: Sequence[Freeing | Invitation], *, timeout_ms: int
    ) -> Mapping[str, str]:
        """Say ``words``, in order, to every member in ``addresses`` (``host:port`` by name).

        By name: empty when the member confirmed that it took them, else why not. Returns after ``timeout_ms`` at the
        latest; raises nothing.
        """
        until = Instant(self._clock.now() + timeout_ms * US_PER_MS)
        outcomes = dict.fromkeys(addresses, f"no confirmation within {timeout_ms} ms")
        threads: list[threading.Thread] = []
        for name, address in addresses.items():
            thread = threading.Thread(
                target=self._deliver, args=(name, address, words, until, outcomes), name="rppam-errand", daemon=True
            )
            threads.append(thread)
            thread.start()
        for thread in threads:
            thread.join(self._left_s(until))
        return dict(outcomes)

    def _left_s(self, until: Instant) -> float:
        return max(0.001, (until - self._clock.now()) / US_PER_S)

    def _deliver(
        self,
        name: str,
        address: str,
        words: Sequence[Freeing | Invitation],
        until: Instant,
        outcomes: dict[str, str],
    ) -> None:
        try:
            host, port = parse_endpoint(address)
            with socket.create_connection((host, port or 0), timeout=self._left_s(until)) as plug:
                plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._context.wrap_socket(plug, server_hostname=name) as line:
                    self._talk(_Line(line, partial(self._left_s, until)), name, words)
        except (OSError, UnicodeError, FrameError, NotAnEndpointError, _UndeliveredError) as error:
            outcomes[name] = f"{name} at {address}: {str(error) or type(error).__name__}"
        else:
            outcomes[name] = ""

    def _talk(self, line: "_Line", name: str, words: Sequence[Freeing | Invitation]) -> None:
        options = self._options
        found = peer_name(line.plug.getpeercert())
        if found != PeerName(options.cluster_id, name):
            raise _UndeliveredError(f"another answers there: {found}")
        mine = Greeting(
            Purpose.ERRAND, options.cluster_id, options.node_name, options.boot_id, self._entropy.nonce(), ""
        )
        line.say(encode_greeting(mine))
        answer = decode_greeting(line.hear())
        if not isinstance(answer, Greeting):
            raise _UndeliveredError(f"it does not let this node in: {answer}")
        for word in words:
            line.say(encode(word))
        line.say(encode(Ping(1)))
        while decode(line.hear()) != Pong(1):
            pass  # nothing else comes, and the time ends it


class _Line:
    """One connection, read and written until a time."""

    def __init__(self, plug: ssl.SSLSocket, left_s: Callable[[], float]) -> None:
        self.plug = plug
        self._left_s = left_s
        self._writer = FrameWriter()
        self._reader = FrameReader()
        self._texts: list[str] = []

    def say(self, text: str) -> None:
        """Send ``text``."""
        self.plug.settimeout(self._left_s())
        self.plug.sendall(self._writer.pack(text))

    def hear(self) -> str:
        """The next text."""
        while not self._texts:
            self.plug.settimeout(self._left_s())
            data = self.plug.recv(_READ_BYTES)
            if not data:
                raise _UndeliveredError("it hung up")
            self._texts += self._reader.feed(data)
        return self._texts.pop(0)
