"""Sends the crash release of a dead control process: all messages at once, each within its time.

Each message has a thread, which is waited for at most :data:`BOUND_MS`; one that hangs in the system is left behind. It
understands nothing of what it sends. What it does not promise: that a message is heard. Leadership then ends by itself,
when the lease does.
"""

import os
import re
import socket
import sys
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from rppam.kernel.system_clock import host_us
from rppam.process.crash_release import LastWord, TlsWords

if TYPE_CHECKING:
    import ssl

BOUND_MS: Final = 300
AGAIN_MS: Final = 15
"""Pause before sending again where there was nothing to release."""
TRIES: Final = 3
_ERROR: Final = re.compile(rb"^-([A-Z]{1,30})\b", re.MULTILINE)
_REPLY_BYTES_MAX: Final = 64 * 1024
_MS_US: Final = 1_000


class Outcome(NamedTuple):
    """What became of one message."""

    word: LastWord
    heard: bool
    said: str
    """For the log, without any secret."""
    took_ms: float


class _Stream(Protocol):
    def settimeout(self, value: float | None, /) -> None: ...
    def sendall(self, data: bytes, /) -> None: ...
    def recv(self, size: int, /) -> bytes: ...


def deliver(words: Sequence[LastWord], bound_ms: int = BOUND_MS) -> list[Outcome]:
    """Send all ``words``; returns within ``bound_ms`` and a little."""
    started = host_us()
    until = started + bound_ms * _MS_US
    outcomes: list[Outcome | None] = [None] * len(words)

    def say(place: int, word: LastWord) -> None:
        heard, said = _say(word, until)
        outcomes[place] = Outcome(word, heard, said, (host_us() - started) / _MS_US)

    threads = []
    for place, word in enumerate(words):
        thread = threading.Thread(target=say, args=(place, word), daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the host gives no further thread; the other words may still leave
            outcomes[place] = Outcome(word, heard=False, said=str(error), took_ms=0.0)
        else:
            threads.append(thread)
    for thread in threads:
        thread.join(max(0.0, (until + 20 * _MS_US - host_us()) / 1e6))
    late = f"no answer within {bound_ms} ms"
    return [
        outcome or Outcome(word, heard=False, said=late, took_ms=bound_ms)
        for outcome, word in zip(outcomes, words, strict=True)
    ]


def _say(word: LastWord, until_us: int) -> tuple[bool, str]:
    """Return whether it was heard, and what was answered."""
    said = ""
    for attempt in range(TRIES):
        try:
            heard, said, again = _ask(word, until_us)
        except TimeoutError:
            return False, said or "no answer in time"
        except (OSError, ValueError) as error:
            return False, str(error) or type(error).__name__
        if heard or not again or attempt == TRIES - 1:
            return heard, said
        time.sleep(AGAIN_MS / 1000)
    return False, said


def _ask(word: LastWord, until_us: int) -> tuple[bool, str, bool]:
    """Heard, what was answered, whether sending again is worth it."""
    with socket.create_connection((word.host, word.port), timeout=_left_s(until_us)) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if word.tls is None:
            return _exchange(plain, word, until_us)
        plain.settimeout(_left_s(until_us))
        with _context(word.tls).wrap_socket(plain, server_hostname=word.tls.server_name) as secured:
            return _exchange(secured, word, until_us)


def _exchange(stream: _Stream, word: LastWord, until_us: int) -> tuple[bool, str, bool]:
    stream.settimeout(_left_s(until_us))
    stream.sendall(word.send)
    reply = b""
    while True:
        if word.ending and reply.endswith(word.ending):
            return True, "released", False
        if not word.ending and reply.startswith(word.expect):
            return True, "released", False
        if word.declined and reply.startswith(word.declined):
            return False, "there was nothing of this node to release", True
        if not word.ending and not any(option.startswith(reply) for option in (word.expect, word.declined)):
            return False, f"it answered: {_shown(reply)}", False
        stream.settimeout(_left_s(until_us))
        more = stream.recv(4096)
        if not more or len(reply) > _REPLY_BYTES_MAX:
            return False, "it hung up" if not more else "it says more than was asked", False
        reply += more


def _left_s(until_us: int) -> float:
    left_us = until_us - host_us()
    if left_us <= 0:
        raise TimeoutError
    return left_us / 1e6


def _shown(reply: bytes) -> str:
    """The kind of the first error in it and no more: a server may quote what it was sent, the password with it."""
    found = _ERROR.search(reply)
    return found[1].decode("ascii") if found is not None else f"{len(reply)} bytes of something else"


def _context(tls: TlsWords) -> "ssl.SSLContext":
    from rppam.kernel.tls import trusting  # noqa: PLC0415  # two megabytes that a node without TLS does without

    context = trusting(tls.ca_path, also=tls.ca_pem or None)
    if tls.client_pem and sys.platform == "linux":
        handle = os.memfd_create("rppam-certificate", os.MFD_CLOEXEC)
        try:
            os.write(handle, tls.client_pem)
            context.load_cert_chain(f"/proc/self/fd/{handle}", password=tls.client_password)
        finally:
            os.close(handle)
    return context
