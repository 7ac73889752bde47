"""The crash release: messages that the control process makes ready while it lives, to be sent after its death.

Each **last word** is one message to one address: the bytes to send and the reply that means that it was understood. The
control process puts those of this moment into memory that only it and the supervisor can read, before each renewal is
sent; when it dies, the supervisor sends them without knowing what they mean. They hold passwords, so they stand in this
memory only and are never logged.
"""

import marshal
import mmap
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
        # marshal: writer and reader are the same Python, and it imports nothing that the supervisor does without.
        plain = [(*word[:-1], word.tls and tuple(word.tls)) for word in words]
        return self._cell.write(marshal.dumps(plain) if words else b"")

    def read(self) -> tuple[LastWord, ...]:
        """The words as they were handed over last."""
        data = self._cell.read()
        words = marshal.loads(data) if data else ()  # noqa: S302 - the control process of this node wrote it
        return tuple(LastWord._make((*plain[:-1], plain[-1] and TlsWords._make(plain[-1]))) for plain in words)
