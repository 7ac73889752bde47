"""What is to be said after the control process has died, made ready by itself while it lived.

A **last word** is one message to one address: the bytes to send and the reply that means that it was understood. The
control process puts the words of this moment into memory that only it and the supervisor can read, before each
renewal is sent; when it dies, the supervisor sends them without knowing what they mean. They hold passwords: they
stand in this memory only, and no word of them is ever logged.
"""

import json
import mmap
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Final, NamedTuple

from rppam.process.seqlock import SeqlockCell
from rppam.process.shared_state import make_memory

WORDS_BYTES_MAX: Final = 256 * 1024


class TlsWords(NamedTuple):
    """How to enter by TLS 1.2 or later."""

    server_name: str
    """What the server's certificate must be made for."""
    ca_path: str | None
    """PEM file of the authorities to trust; ``None``: the system's."""
    client_pem: bytes = b""
    """Certificate and encrypted key to show; empty: none."""
    client_password: str = ""
    """Of the key in ``client_pem``."""
    ca_pem: str = ""
    """The authorities themselves, in place of ``ca_path``."""


class LastWord(NamedTuple):
    """One message."""

    kind: str
    """To whom, for the log: ``store``, ``member``."""
    host: str
    """An address, not a name: nothing is looked up when it is sent."""
    port: int
    send: bytes
    expect: bytes
    """How the reply begins when it was understood."""
    declined: bytes = b""
    """How it begins when there was nothing to release: asked again a few times, as a last renewal may be on its way."""
    ending: bytes = b""
    """How the reply ends when it was understood, where its beginning cannot be known."""
    tls: TlsWords | None = None

    def __repr__(self) -> str:
        """Without the message, which holds a password."""
        return f"LastWord({self.kind!r}, {self.host!r}, {self.port})"


class LastWords:
    """The words of this moment, in shared memory with one writer."""

    def __init__(self, descriptor: int) -> None:
        """Map the memory that ``descriptor`` names; the descriptor stays the caller's."""
        self._cell = SeqlockCell(
            memoryview(mmap.mmap(descriptor, SeqlockCell.size(WORDS_BYTES_MAX))), 0, WORDS_BYTES_MAX
        )

    @staticmethod
    def make() -> int:
        """A descriptor of new memory for them."""
        return make_memory("rppam-last-words", SeqlockCell.size(WORDS_BYTES_MAX))

    def hand_over(self, words: Sequence[LastWord]) -> bool:
        """Replace the words; false when they are too long."""
        return self._cell.write(json.dumps([_plain(word) for word in words]).encode() if words else b"")

    def read(self) -> tuple[LastWord, ...]:
        """The words as they were handed over last."""
        text = self._cell.read()
        return tuple(_word(plain) for plain in json.loads(text)) if text else ()


def _plain(word: LastWord) -> list[object]:
    tls = None
    if word.tls is not None:
        tls = [word.tls.server_name, word.tls.ca_path, _text(word.tls.client_pem), word.tls.client_password]
        tls.append(word.tls.ca_pem)
    texts = [_text(part) for part in (word.send, word.expect, word.declined, word.ending)]
    return [word.kind, word.host, word.port, *texts, tls]


def _word(plain: list[object]) -> LastWord:
    kind, host, port, send, expect, declined, ending, tls = plain
    assert isinstance(kind, str)
    assert isinstance(host, str)
    assert isinstance(port, int)
    return LastWord(kind, host, port, _bytes(send), _bytes(expect), _bytes(declined), _bytes(ending), _tls(tls))


def _tls(plain: object) -> TlsWords | None:
    if not isinstance(plain, list):
        return None
    server_name, ca_path, client_pem, client_password, ca_pem = plain
    return TlsWords(server_name, ca_path, _bytes(client_pem), client_password, ca_pem)


def _text(value: bytes) -> str:
    return b64encode(value).decode("ascii")


def _bytes(text: object) -> bytes:
    assert isinstance(text, str)
    return b64decode(text)
