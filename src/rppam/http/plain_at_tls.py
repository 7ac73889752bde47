"""A port of HTTPS that answers a plain HTTP request with one line, instead of hanging up.

After a switch to HTTPS bookmarks, scripts and probes go on asking ``http://``. They get 400 and a sentence that names
the address to ask. There is no redirect: a client that follows one sends its token twice, the first time in the clear.
Nothing of the request is looked at but its ``Host``, and that only to name the address.

It looks at what comes before the handshake: TLS never begins with a capital letter, and a request always does. What is
neither is left to TLS, which refuses it. The connection then has the time of a handshake to read the answer and close.
"""

import re
import ssl
from typing import Any, Final

HEAD_BYTES_MAX: Final = 16_384
DRAINED_BYTES_MAX: Final = 1_048_576
"""What is thrown away after the answer, so that it is not lost to a client that is still sending."""
_METHOD: Final = re.compile(rb"[A-Z]{1,16}(?: |\Z)")
_HOST: Final = re.compile(rb"\r?\nhost:[ \t]*([A-Za-z0-9.:\[\]_-]{1,255})[ \t]*\r?\n", re.IGNORECASE)
_END: Final = re.compile(rb"\r?\n\r?\n")


class MaybePlain(ssl.SSLObject):
    """One connection. Made by :class:`TlsContext`, which says where its bytes are."""

    _incoming: ssl.MemoryBIO
    _outgoing: ssl.MemoryBIO
    _is_tls = False
    _begun = b""
    """What came before anybody knew what it is."""
    _drained = -1
    """After the answer: how much was thrown away."""

    def between(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> "MaybePlain":
        self._incoming, self._outgoing = incoming, outgoing
        return self

    def do_handshake(self) -> None:
        """As of TLS; a plain request is answered, and the rest of it waited for until the handshake's time is over."""
        if not self._is_tls:
            self._look()
        super().do_handshake()

    def _look(self) -> None:
        """Return once it is TLS, or nothing that is known; else raise that more has to come."""
        came = self._incoming.read()
        if self._drained >= 0:
            self._drained += len(came)
            if self._drained > DRAINED_BYTES_MAX:
                raise ssl.SSLError(ssl.SSL_ERROR_SSL, "a plain HTTP request goes on and on")
            raise _more()
        self._begun += came
        if not self._begun:
            raise _more()
        if _METHOD.match(self._begun) is None:
            self._is_tls = True
            self._incoming.write(self._begun)
            self._begun = b""
            return
        if _END.search(self._begun) or len(self._begun) > HEAD_BYTES_MAX:
            self._outgoing.write(plain_answer(self._begun))
            self._begun, self._drained = b"", 0
        raise _more()


class TlsContext(ssl.SSLContext):
    """A context for a server whose port says to plain HTTP that it is one of HTTPS."""

    sslobject_class = MaybePlain

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        made = super().wrap_bio(incoming, outgoing, *args, **kwargs)
        return made.between(incoming, outgoing) if isinstance(made, MaybePlain) else made


def plain_answer(request: bytes) -> bytes:
    """The answer to a plain request. Names the host that was asked for where it is one."""
    found = _HOST.search(request[:HEAD_BYTES_MAX])
    where = f"https://{found[1].decode()}/" if found else "https://"
    body = (
        f"This port speaks HTTPS alone: ask {where} instead of http://. Nothing was done; what this request carried "
        "came over the network unencrypted.\n"
    )
    head = (
        "HTTP/1.1 400 Bad Request",
        "content-type: text/plain; charset=utf-8",
        f"content-length: {len(body)}",
        "cache-control: no-store",
        "server: rppam",
        "connection: close",
    )
    is_head = request.startswith(b"HEAD ")
    return ("\r\n".join(head) + "\r\n\r\n" + ("" if is_head else body)).encode()


def _more() -> ssl.SSLWantReadError:
    return ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "more has to come")
