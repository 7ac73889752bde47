"""The parser of HTTP/1.1 with the rules that it leaves out (RFC 9112), each a way to be read as two requests by two.

Refused: two lengths (6.1), lines that end in LF alone (2.2), blanks behind the size of a chunk (7.1), a Host that is
none (3.2), a target that is of no form (3.2), and versions whose grammar is another one (2.3), among them the opening
words of HTTP/2. Taken: empty lines before a request (2.2), the absolute form, whose host counts (3.2.2), and extensions
of chunks, which are dropped (7.1.1).
"""

import re
from typing import Final

import h11
from h11._receivebuffer import ReceiveBuffer

VERSION_HINT: Final = 505
_BLANK_LINE: Final = re.compile(rb"\n\r?\n")
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,16})([ \t]*;[^\r\n]*)?\r\n")
_HOST: Final = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(:[0-9]{0,5})?")
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://([^/?#]+)(/[^#]*|\?[^#]*)?")
_EMPTY_LINE: Final = b"\r\n"


class _Lines(ReceiveBuffer):
    """The lines of a message."""

    def maybe_extract_lines(self) -> list[bytearray] | None:
        """As the parser's own. Raises :class:`h11.RemoteProtocolError`."""
        blank = _BLANK_LINE.search(self._data, self._multiple_lines_search)
        head = self._data[: blank.end()] if blank else self._data[:1]
        if head.count(b"\n") != head.count(b"\r\n"):
            raise h11.RemoteProtocolError("a line ends in LF without CR")
        return super().maybe_extract_lines()

    def maybe_extract_next_line(self) -> bytearray | None:
        """The line with the size of a chunk, without its extensions. Raises :class:`h11.RemoteProtocolError`."""
        line: bytearray | None = super().maybe_extract_next_line()
        if line is None:
            return None
        size = _CHUNK.fullmatch(line)
        if size is None:
            raise h11.RemoteProtocolError("the size of a chunk is not one number in hexadecimal")
        return bytearray(size[1] + b"\r\n")

    def skip_empty_lines(self) -> None:
        """Forget those before a request."""
        while self._data.startswith(_EMPTY_LINE):
            del self._data[: len(_EMPTY_LINE)]
            self._next_line_search = self._multiple_lines_search = 0


class StrictConnection(h11.Connection):
    """See the module."""

    def __init__(self, our_role: type[h11.CLIENT] | type[h11.SERVER], max_incomplete_event_size: int) -> None:
        super().__init__(our_role, max_incomplete_event_size)
        self._lines = self._receive_buffer = _Lines()

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """As the parser's own. Raises :class:`h11.RemoteProtocolError`."""
        if self.their_state is h11.IDLE:
            self._lines.skip_empty_lines()
        event = super().next_event()
        return _judged(event) if isinstance(event, h11.Request) else event


def _judged(request: h11.Request) -> h11.Request:
    """The request with a target that is a path. Raises :class:`h11.RemoteProtocolError`."""
    if not request.http_version.startswith(b"1."):
        raise h11.RemoteProtocolError("another version than HTTP/1", error_status_hint=VERSION_HINT)
    names = {name for name, _ in request.headers}
    if b"transfer-encoding" in names and b"content-length" in names:
        raise h11.RemoteProtocolError("both Content-Length and Transfer-Encoding")
    if not all(_HOST.fullmatch(value) for name, value in request.headers if name == b"host"):
        raise h11.RemoteProtocolError("a Host that is none")
    target = request.target
    if target.startswith(b"/"):
        return request
    if target == b"*" and request.method == b"OPTIONS":
        return _with(request, b"/", None)
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or not _HOST.fullmatch(absolute[1]):
        raise h11.RemoteProtocolError("a target that is neither a path nor a URL of http")
    path = absolute[2] or b"/"
    return _with(request, path if path.startswith(b"/") else b"/" + path, absolute[1])


def _with(request: h11.Request, target: bytes, host: bytes | None) -> h11.Request:
    headers = [(name, host if host is not None and name == b"host" else value) for name, value in request.headers]
    return h11.Request(method=request.method, target=target, headers=headers, http_version=request.http_version)
