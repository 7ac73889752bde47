"""What is said between a gateway and the holder of a shell, and how the program gets to its target. Pure.

The program goes over the connection, not into the command line: there stands only what reads it, so nothing depends on
how the account's shell quotes, and the list of processes shows a short line that says what it is.
"""

import ast
import base64
import hashlib
import json
import secrets
import struct
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final, NamedTuple

RING: Final = 4 * 1024 * 1024
COMMAND: Final = "python3 -Iuc 'import sys;exec(eval(sys.stdin.buffer.readline()))' rppam-session-holder"
HELLO_BYTES: Final = 4096
TYPED_AHEAD: Final = 64 * 1024
"""So much that was typed is on its way at most."""
OFFSET_MAX: Final = 2**62
"""No offset is as high, so sums of them fit where they are kept."""
FRAME_MAX: Final = 1024 * 1024
_PART: Final = 32 * 1024
_STATUS: Final = struct.Struct(">i")
_STATUSES: Final = range(-64, 256)

CONTROL_CHARACTERS: Final = {
    1: "VINTR", 2: "VQUIT", 3: "VERASE", 4: "VKILL", 5: "VEOF", 6: "VEOL", 7: "VEOL2", 8: "VSTART", 9: "VSTOP",
    10: "VSUSP", 12: "VREPRINT", 13: "VWERASE", 14: "VLNEXT", 18: "VDISCARD",
}  # fmt: skip
"""Terminal modes of RFC 4254, section 8, by the names that they have in ``termios``."""
FLAGS: Final = {
    30: (0, "IGNPAR"), 31: (0, "PARMRK"), 32: (0, "INPCK"), 33: (0, "ISTRIP"), 34: (0, "INLCR"), 35: (0, "IGNCR"),
    36: (0, "ICRNL"), 38: (0, "IXON"), 39: (0, "IXANY"), 40: (0, "IXOFF"), 41: (0, "IMAXBEL"), 42: (0, "IUTF8"),
    50: (3, "ISIG"), 51: (3, "ICANON"), 53: (3, "ECHO"), 54: (3, "ECHOE"), 55: (3, "ECHOK"), 56: (3, "ECHONL"),
    57: (3, "NOFLSH"), 58: (3, "TOSTOP"), 59: (3, "IEXTEN"), 60: (3, "ECHOCTL"), 61: (3, "ECHOKE"),
    70: (1, "OPOST"), 72: (1, "ONLCR"), 73: (1, "OCRNL"), 74: (1, "ONOCR"), 75: (1, "ONLRET"),
}  # fmt: skip


class HolderError(ValueError):
    """The other side does not speak as a holder does."""


class _Bare(ast.NodeTransformer):
    """Takes out what only people and type checkers read."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Without docstring and types."""
        self.generic_visit(node)
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        node.returns = None
        for one in node.args.args:
            one.annotation = None
        if node.args.vararg:
            node.args.vararg.annotation = None
        if node.args.kwarg:
            node.args.kwarg.annotation = None
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Without docstring."""
        self.generic_visit(node)
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """Without types."""
        assert node.value is not None
        return ast.copy_location(ast.Assign([node.target], node.value), node)


@cache
def program() -> str:
    """The holder's program as it is sent: the module, without what only people read."""
    source = files("rppam.gateway.holder").joinpath("program.py").read_text(encoding="utf-8")
    tree = ast.parse(source)
    tree.body = [one for one in tree.body[1:] if not (isinstance(one, ast.ImportFrom) and one.module == "typing")]
    lines = ast.unparse(ast.fix_missing_locations(_Bare().visit(tree))).splitlines()
    return "\n".join(_tabbed(line) for line in lines if line.strip()) + "\n"


@cache
def _packed() -> bytes:
    body = base64.b64encode(zlib.compress(program().encode("ascii"), 9))
    return b"__import__('zlib').decompress(__import__('base64').b64decode(b'" + body + b"'))"


def _tabbed(line: str) -> str:
    inner = line.lstrip(" ")
    return " " * ((len(line) - len(inner)) // 4) + inner


class Ask(NamedTuple):
    """What an attachment asks for."""

    id: str
    token: str
    generation: int
    is_new: bool
    off: int
    """Output before this is kept; negative: what the holder knows to be acknowledged."""
    back: int
    """How much of that is to be shown again."""
    ttl_s: int
    columns: int
    rows: int
    term: str
    modes: tuple[tuple[int, str, int], ...]
    look: bool = False
    """Ask only whether somebody is attached."""
    ring: int = RING
    """How much output waits for its acknowledgement before the shell waits."""

    def lines(self) -> bytes:
        """What is sent first: the program, and what it is to do."""
        asked = {
            "id": self.id, "token": self.token, "hash": hashlib.sha256(self.token.encode()).hexdigest(),
            "gen": self.generation, "new": self.is_new, "off": self.off, "back": self.back, "ttl": self.ttl_s,
            "size": [self.rows, self.columns, 0, 0], "term": self.term, "modes": self.modes, "look": self.look,
            "ring": self.ring,
        }  # fmt: skip
        return _packed() + b"\n" + json.dumps(asked).encode("ascii") + b"\n"


class Hello(NamedTuple):
    """What an attachment begins with."""

    start: int
    """Offset of the first byte of output that is shown."""
    off: int
    """From here on it is new."""
    typed: int
    """Offset up to which typing was taken."""
    end: int
    """Offset behind all output so far."""


def new_token() -> str:
    """What opens a holder; the holder itself knows only its hash."""
    return secrets.token_hex(32)


def modes_of(modes: Mapping[int, int]) -> tuple[tuple[int, str, int], ...]:
    """A terminal's modes, by name."""
    found = [(6, CONTROL_CHARACTERS[key], min(255, value)) for key, value in modes.items() if key in CONTROL_CHARACTERS]
    found += [(*FLAGS[key], int(bool(value))) for key, value in modes.items() if key in FLAGS]
    return tuple(found)


def read_answer(line: bytes) -> Mapping[str, Any]:
    """The holder's first line. Raises :class:`HolderError`."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise HolderError("the answer is no JSON") from None
    if not isinstance(found, dict):
        raise HolderError("the answer is no object")
    return found


def hello_of(found: Mapping[str, Any], ask: Ask, again: int) -> Hello:
    """What an attachment begins with, where the gateway itself shows ``again`` bytes before the holder's first.

    The holder belongs to the user, who may have put anything in its place: what it calls old is believed only as far as
    it was asked for. All the rest is new, and so recorded before or as it is shown. Raises :class:`HolderError`.
    """
    start, off, typed, end = (_offset(found.get(name)) for name in ("from", "off", "in", "end"))
    if not max(0, ask.off - ask.back) <= start <= off <= end:
        raise HolderError("its offsets do not follow from what it was asked for")
    if ask.is_new and (off or typed):
        raise HolderError("a shell that has just begun has said and heard nothing")
    return Hello(max(0, start - again), min(off, start + ask.back), typed, end)


def status_of(body: bytes) -> int:
    """How a shell ended: its status, or the negative number of a signal. Raises :class:`HolderError`."""
    if len(body) != _STATUS.size:
        raise HolderError("no status")
    status: int = _STATUS.unpack(body)[0]
    if status not in _STATUSES:
        raise HolderError("no shell ends so")
    return status


def _offset(value: Any) -> int:
    if type(value) is not int or not 0 <= value < OFFSET_MAX:
        raise HolderError("an offset is none")
    return value


def typed(off: int, data: bytes) -> Iterator[bytes]:
    """Frames of what was typed at ``off``."""
    for start in range(0, len(data), _PART):
        part = data[start : start + _PART]
        yield b"d" + struct.pack(">IQ", 8 + len(part), off + start) + part


class Typing:
    """What was typed, from an offset on. No more of it is on its way than the holder has room for, which reads all that
    comes: an order to end the shell is behind nothing that waits for it."""

    def __init__(self, off: int = 0) -> None:
        self.at = self._sent = self._taken = off
        self._waiting = bytearray()

    @property
    def is_full(self) -> bool:
        """Whether something waits here."""
        return bool(self._waiting)

    def put(self, data: bytes) -> bytes:
        """Type; the frames to be sent now."""
        self._waiting += data
        self.at += len(data)
        return self._next()

    def took(self, off: int) -> bytes:
        """Hear that the holder has all before ``off``; the frames to be sent now."""
        self._taken = max(self._taken, min(off, self._sent))
        return self._next()

    def _next(self) -> bytes:
        part = bytes(self._waiting[: max(0, self._taken + TYPED_AHEAD - self._sent)])
        del self._waiting[: len(part)]
        frames = b"".join(typed(self._sent, part))
        self._sent += len(part)
        return frames


def acknowledged(off: int) -> bytes:
    """Output before ``off`` is kept."""
    return b"a" + struct.pack(">IQ", 8, off)


def sized(columns: int, rows: int) -> bytes:
    """The terminal has this size."""
    return b"w" + struct.pack(">I4H", 8, min(rows, 65535), min(columns, 65535), 0, 0)


def signalled(number: int) -> bytes:
    """Send a signal to what runs in the foreground."""
    return b"s" + struct.pack(">IB", 1, number)


def said(data: bytes) -> bytes:
    """The holder's frame of output."""
    return b"o" + struct.pack(">I", len(data)) + data if data else b""


END: Final = b"k\0\0\0\0"
HEARD: Final = b"q\0\0\0\0"
NOTHING: Final = b"n\0\0\0\0"


class Frames:
    """Reads frames of a holder."""

    def __init__(self, part: bytes = b"") -> None:
        """``part``: what has come before."""
        self._part = part

    def take(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Kinds and bodies. Raises :class:`HolderError`."""
        self._part += data
        place = 0
        try:
            while len(self._part) - place >= 5:
                kind = self._part[place : place + 1]
                (size,) = struct.unpack(">I", self._part[place + 1 : place + 5])
                if size > FRAME_MAX or kind not in {b"o", b"i", b"x"}:
                    raise HolderError("no frame of a holder")
                if len(self._part) - place < 5 + size:
                    break
                body = self._part[place + 5 : place + 5 + size]
                place += 5 + size
                yield kind, body
        finally:
            self._part = self._part[place:]
