"""What a hostile Redis says: each lie with its name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

Answer = Callable[[list[bytes]], bytes | None]
CRLF: Final = b"\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lie:
    """How it is told."""

    answer: Answer | None = None
    """Of the words of a request; ``None``: the real server answers."""
    on: frozenset[bytes] = frozenset()
    """To these commands only; to all that come after the greeting otherwise."""
    flood: bytes = b""
    """Said unasked, again and again."""
    rewrite: Callable[[bytes], bytes] | None = None
    """What becomes of the real server's words."""
    at_once: bytes = b""
    """Said to whoever connects, who is then hung up on."""
    byte_s: float = 0.0
    """Seconds between two bytes."""
    hangs_up: bool = False
    """After the answer."""
    is_deaf: bool = False
    """It reads no more."""


def always(said: bytes, *on: bytes, byte_s: float = 0.0, hangs_up: bool = False, is_deaf: bool = False) -> Lie:
    """The same to every request, or to those ``on``."""
    return Lie(answer=lambda _: said, on=frozenset(on), byte_s=byte_s, hangs_up=hangs_up, is_deaf=is_deaf)


def flooding(said: bytes) -> Lie:
    """Said unasked, in pieces of some 64 KiB."""
    return Lie(flood=said * max(1, 65_536 // len(said)))


def bulk(text: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text)


def listed(*parts: bytes) -> bytes:
    return b"*%d\r\n" % len(parts) + b"".join(parts)


RECORD: Final = b"rppam1 held intruder 5555555555555555 9000000 1 0123456789abcdef"
SCRIPTS: Final = (b"EVALSHA", b"EVAL")
EXCHANGE: Final = listed(b":1\r\n", b":0\r\n", bulk(RECORD), bulk(b""), bulk(b""), b"*0\r\n", b":1790000000000\r\n")
PAIR: Final = b"%1\r\n+a\r\n:1\r\n"

LIES: Final[dict[str, Lie]] = {
    # aggregates
    "an-array-of-2147483647": always(b"*2147483647\r\n"),
    "an-array-of-4294967295": always(b"*4294967295\r\n"),
    "a-push-of-1000000000": always(b">1000000000\r\n"),
    "a-map-of-2147483647": always(b"%2147483647\r\n"),
    "a-set-of-1000000000": always(b"~1000000000\r\n"),
    "attributes-of-1000000000": always(b"|1000000000\r\n"),
    "an-attribute-before-each-reply": Lie(rewrite=lambda data: b"|1\r\n+ttl\r\n:1\r\n" + data),
    "arrays-of-999-within-each-other": always(b"*999\r\n" * 1_000),
    "nested-1000-deep": always(b"*1\r\n" * 1_000 + b":1\r\n"),
    "nested-without-end": flooding(b"*9\r\n"),
    "a-negative-array": always(b"*-7\r\n"),
    "a-streamed-array": always(b"*?\r\n:1\r\n.\r\n"),
    "an-array-that-never-ends": always(b"*16000\r\n" + bulk(b"x" * 100) * 15_000),
    "arrays-of-nothing": always(b"*0\r\n"),
    "a-map-with-odd-keys": always(b"%1\r\n*1\r\n:1\r\n:2\r\n"),
    "a-set-of-maps": always(b"~1\r\n%1\r\n+a\r\n+b\r\n"),
    "a-map-for-every-answer": always(PAIR),
    # bulks and lines
    "a-text-of-2000000000": always(b"$2000000000\r\n"),
    "texts-below-the-limit-that-never-end": always(b"*15000\r\n" + bulk(b"x" * 60_000) * 60),
    "a-negative-text": always(b"$-5\r\n"),
    "a-streamed-text": always(b"$?\r\n;4\r\nabcd\r\n;0\r\n"),
    "a-text-longer-than-it-says": always(b"$3\r\n" + b"x" * 100 + CRLF),
    "a-text-shorter-than-it-says": always(b"$1000\r\nabc\r\n"),
    "a-verbatim-text-of-2000000000": always(b"=2000000000\r\ntxt:"),
    "a-verbatim-text-of-one-byte": always(b"=1\r\nx\r\n"),
    "an-endless-line": flooding(b"x" * 65_536),
    "an-endless-number": always(b":" + b"9" * 200_000),
    # numbers
    "a-big-number": always(b"(" + b"9" * 4_000 + CRLF),
    "not-a-number": always(b",nan\r\n"),
    "infinity": always(b",-inf\r\n"),
    "truth-values": always(b"#t\r\n"),
    "nulls": always(b"_\r\n"),
    "numbers-for-all": always(b":1\r\n"),
    "texts-for-all": always(bulk(b"text")),
    # errors
    "a-flood-of-errors": flooding(b"-ERR no\r\n"),
    "an-error-of-60000-bytes": always(b"-ERR " + b"x, with args beginning with: " * 2_000 + CRLF),
    "moved": always(b"-MOVED 3999 127.0.0.1:6381\r\n"),
    "ask": always(b"-ASK 3999 127.0.0.1:6381\r\n"),
    "loading": always(b"-LOADING Redis is loading the dataset in memory\r\n"),
    "read-only": always(b"-READONLY You can't write against a read only replica.\r\n"),
    "no-auth": always(b"-NOAUTH Authentication required.\r\n"),
    "busy": always(b"-BUSY Redis is busy running a script.\r\n"),
    "no-script-for-ever": always(b"-NOSCRIPT No matching script.\r\n", *SCRIPTS),
    # who is there
    "hello-with-a-list": always(b"*2\r\n+server\r\n+redis\r\n", b"HELLO"),
    "hello-with-an-array-of-2147483647": always(b"*2147483647\r\n", b"HELLO"),
    "hello-that-is-a-sentinel": always(b"%1\r\n+mode\r\n+sentinel\r\n", b"HELLO"),
    "info-of-200000000": always(b"$200000000\r\n" + b"x" * 10_000, b"INFO"),
    "role-of-a-replica": always(
        listed(bulk(b"slave"), bulk(b"127.0.0.1"), b":1\r\n", bulk(b"connected"), b":0\r\n"), b"ROLE"
    ),
    "no-more-clients": Lie(at_once=b"-ERR max number of clients reached\r\n"),
    "a-web-server": Lie(at_once=b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "tls": Lie(at_once=b"\x15\x03\x01\x00\x02\x02\x28"),
    "garbage": always(bytes(range(256)) * 40),
    # order and time
    "each-reply-twice": Lie(rewrite=lambda data: data + data),
    "half-of-each-reply": Lie(rewrite=lambda data: data[: len(data) // 2]),
    "replies-to-nobody": flooding(b"+OK\r\n"),
    "one-byte-a-second": always(bulk(b"x" * 100), byte_s=1.0),
    "silence": always(b""),
    "it-reads-no-more": always(b"", is_deaf=True),
    "it-hangs-up-in-the-middle": always(b"*7\r\n:1\r\n", hangs_up=True),
    "a-cursor-that-never-ends": always(listed(bulk(b"17"), b"*0\r\n"), b"SCAN"),
    # scripts
    "an-exchange-of-an-intruder": always(EXCHANGE, *SCRIPTS),
    "a-time-beyond-all": always(EXCHANGE.replace(b":1790000000000", b":9007199254740993"), *SCRIPTS),
    "a-time-that-has-not-begun": always(EXCHANGE.replace(b":1790000000000", b":-9007199254740991"), *SCRIPTS),
    "members-of-any-kind": always(EXCHANGE.replace(b"*0\r\n", listed(b":1\r\n", PAIR)), *SCRIPTS),
    "decisions-of-any-kind": always(listed(*[b":-9007199254740991\r\n"] * 5), *SCRIPTS),
    # pushes
    "a-flood-of-releases": flooding(
        listed(bulk(b"message"), bulk(b"rppam:releases"), bulk(RECORD)).replace(b"*", b">", 1)
    ),
    "a-flood-of-invalidations": flooding(b">2\r\n" + bulk(b"invalidate") + listed(*[bulk(b"rppam:cache:x")] * 50)),
    "a-flood-of-flushes": flooding(b">2\r\n" + bulk(b"invalidate") + b"_\r\n"),
    "pushes-without-a-name": flooding(b">1\r\n:1\r\n"),
    "pushes-of-nothing": flooding(b">0\r\n"),
    "pushes-of-another-shape": flooding(b">2\r\n" + bulk(b"message") + b":1\r\n"),
    "pushes-of-large-texts": flooding(b">3\r\n" + bulk(b"message") + bulk(b"x") + bulk(b"x" * 60_000)),
    "confirmations-of-nothing": flooding(b">3\r\n" + bulk(b"subscribe") + bulk(b"x") + b":1\r\n"),
}
