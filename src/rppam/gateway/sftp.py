"""What SFTP carries, told from a copy of its bytes: which files went which way, how large, with which SHA-256. Pure.

Both directions are read as they pass, and nothing is held back or changed. A hash is over the file from its first byte
on, as it was read or written: what comes out of order waits, up to :data:`AHEAD_BYTES` of a file and
:data:`WAITING_BYTES` in all; what is written twice, leaves a hole or begins in the middle has none, and says why. What
is no SFTP ends the telling, and no transfer; so does what cannot be followed, such as a number that stands for two
requests at once, a handle that nobody saw being opened, or a request that is not known: the ledger has that there was
more.

It does not see what a program at the other end does with a file, nor what is carried by commands: ``scp -O``, rsync.
"""

import hashlib
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Final, NamedTuple

AHEAD_BYTES: Final = 16 * 1024 * 1024
WAITING_BYTES: Final = 64 * 1024 * 1024
"""Of all files of a channel together."""
PACKET_MAX: Final = 1024 * 1024
ASKED_MAX: Final = 16_384
HANDLES_MAX: Final = 4_096
PATH_CHARS: Final = 1_000
_U32: Final = struct.Struct(">I")
_U64: Final = struct.Struct(">Q")


class Type(IntEnum):
    """Kinds of packets of version 3."""

    INIT = 1
    VERSION = 2
    OPEN = 3
    CLOSE = 4
    READ = 5
    WRITE = 6
    LSTAT = 7
    FSTAT = 8
    SETSTAT = 9
    FSETSTAT = 10
    OPENDIR = 11
    READDIR = 12
    REMOVE = 13
    MKDIR = 14
    RMDIR = 15
    REALPATH = 16
    STAT = 17
    RENAME = 18
    READLINK = 19
    SYMLINK = 20
    STATUS = 101
    HANDLE = 102
    DATA = 103
    NAME = 104
    ATTRS = 105
    EXTENDED = 200
    EXTENDED_REPLY = 201


_ONE_PATH: Final = {Type.SETSTAT: "attributes", Type.REMOVE: "remove", Type.MKDIR: "mkdir", Type.RMDIR: "rmdir"}
_TWO_PATHS: Final = {Type.RENAME: "rename", Type.SYMLINK: "symlink"}
_EXTENDED: Final = {b"posix-rename@openssh.com": "rename", b"hardlink@openssh.com": "link"}
_SETS: Final = b"lsetstat@openssh.com"
_COPIES: Final = b"copy-data"
_READS: Final = frozenset({Type.LSTAT, Type.FSTAT, Type.OPENDIR, Type.READDIR, Type.REALPATH, Type.STAT, Type.READLINK})
_READS_TOO: Final = frozenset(
    {
        b"statvfs@openssh.com",
        b"fstatvfs@openssh.com",
        b"fsync@openssh.com",
        b"limits@openssh.com",
        b"expand-path@openssh.com",
        b"users-groups-by-id@openssh.com",
        b"home-directory",
        b"space-available",
        b"check-file",
        b"check-file-name",
        b"check-file-handle",
        b"md5-hash",
        b"md5-hash-handle",
        b"text-seek",
        b"vendor-id",
    }
)
"""Extensions that change nothing."""
_MAKES, _EMPTIES = 0x08, 0x10
"""In the flags of an opening: it makes the file where there is none, it empties it."""
_ANSWERS: Final = frozenset({Type.STATUS, Type.HANDLE, Type.DATA, Type.NAME, Type.ATTRS, Type.EXTENDED_REPLY})
_STATUS_OK: Final = 0
VERSION_MAX: Final = 3
_CHANGE_WORDS: Final = 2


class Transfer(NamedTuple):
    """A file that was read or written."""

    path: str
    direction: str
    """``up``: to the target; ``down``: from it."""
    bytes: int
    sha256: str
    """Empty where there is none."""
    why: str
    """Why there is none."""
    closed: bool
    """False: the channel ended before the file was closed."""


class Change(NamedTuple):
    """Something else that was done to a file, and whether the target did it."""

    what: str
    path: str
    to: str
    done: bool


class SftpError(ValueError):
    """What passes is no SFTP."""


class _Stream:
    """One direction of a file."""

    def __init__(self) -> None:
        self.bytes = self.ahead_bytes = 0
        self._at = 0
        self._ahead: dict[int, bytes] = {}
        self._sum = hashlib.sha256()
        self.why = ""

    def took(self, off: int, data: bytes, room: int) -> int:
        """Hear of a piece; by how many bytes more, or less, wait for others."""
        self.bytes += len(data)
        before = self.ahead_bytes
        if self.why or not data:
            return 0
        if off < self._at or off in self._ahead:
            self._give_up("a part of it was carried twice")
        elif off > self._at:
            self._ahead[off] = data
            self.ahead_bytes += len(data)
            if self.ahead_bytes > min(AHEAD_BYTES, room + before):
                late = "its parts came too far out of order"
                self._give_up(late if self._at else "its beginning was not carried, or came too late")
        else:
            self._hashed(data)
            while (following := self._ahead.pop(self._at, None)) is not None:
                self.ahead_bytes -= len(following)
                self._hashed(following)
        return self.ahead_bytes - before

    def refused(self) -> None:
        """Hear that the target did not take a piece."""
        self._give_up("the target did not take all of it")

    def copied(self) -> None:
        """Hear that the target wrote a part that was not carried."""
        self._give_up("the target copied a part of it from another file")

    def over(self) -> tuple[str, str]:
        """Its hash, or why there is none."""
        if self._ahead:
            self._give_up("a part of it is missing" if self._at else "its beginning was not carried")
        return ("", self.why) if self.why else (self._sum.hexdigest(), "")

    def _hashed(self, data: bytes) -> None:
        self._sum.update(data)
        self._at += len(data)

    def _give_up(self, why: str) -> None:
        self.why, self._ahead, self.ahead_bytes = why, {}, 0


class _File:
    """A file that is open."""

    def __init__(self, path: str, flags: int) -> None:
        self.path = path
        self._opening = "truncate" if flags & _EMPTIES else "create" if flags & _MAKES else ""
        """What opening it may have done to it by itself."""
        self.is_closing = False
        """It is asked to be closed: whatever uses its handle from then on may mean another file that has it next."""
        self.up, self.down = _Stream(), _Stream()

    def transfers(self, *, closed: bool) -> Iterator[Transfer | Change]:
        """What was carried, or what was done to it where nothing was."""
        for direction, stream in (("up", self.up), ("down", self.down)):
            if stream.bytes:
                yield Transfer(self.path, direction, stream.bytes, *stream.over(), closed)
        if self._opening and not self.up.bytes:
            yield Change(self._opening, self.path, "", done=True)


class _Packets:
    """Cuts bytes into packets."""

    def __init__(self) -> None:
        self._part = bytearray()

    def take(self, data: bytes) -> Iterator[memoryview]:
        """Whole packets. Raises :class:`SftpError`."""
        self._part += data
        place, found = 0, bytes(self._part)
        while len(found) - place >= 4:
            (size,) = _U32.unpack_from(found, place)
            if not 1 <= size <= PACKET_MAX:
                raise SftpError("a packet of this size is none")
            if len(found) - place < 4 + size:
                break
            yield memoryview(found)[place + 4 : place + 4 + size]
            place += 4 + size
        del self._part[:place]


class SftpAudit:
    """Hears both directions of a channel, and tells of files as they are closed."""

    def __init__(self, tell: Callable[[Transfer | Change], None], lose: Callable[[str], None]) -> None:
        """``lose`` hears why nothing more is told."""
        self._tell, self._lose = tell, lose
        self._up, self._down = _Packets(), _Packets()
        self._asked: OrderedDict[int, tuple[str, tuple[str, ...], int]] = OrderedDict()
        """What waits for its answer, by number: what, its paths or its handle, an offset or flags."""
        self._open: dict[str, _File] = {}
        self._waiting = 0
        self._is_over = False

    def up(self, data: bytes) -> None:
        """What the user sends."""
        self._heard(self._up, data, self._request)

    def down(self, data: bytes) -> None:
        """What the target sends."""
        self._heard(self._down, data, self._answer)

    def close(self) -> None:
        """The channel is over: tell of what is still open, and that something may have been done of which no answer
        came."""
        open_ended = sum(_may_have_done(what, words, off) for what, words, off in self._asked.values())
        if open_ended and not self._is_over:
            self._is_over = True
            self._lose(f"{open_ended} requests had no answer when the channel ended")
        files, self._open = self._open, {}
        for file in files.values():
            for one in file.transfers(closed=False):
                self._tell(one)

    def _heard(self, packets: _Packets, data: bytes, each: Callable[[memoryview], None]) -> None:
        if self._is_over:
            return
        try:
            for packet in packets.take(data):
                each(packet)
        except (SftpError, struct.error, ValueError) as error:
            self._is_over = True
            self._lose(str(error) or "a packet cannot be read")

    def _request(self, packet: memoryview) -> None:
        kind = packet[0]
        if kind == Type.INIT:
            return
        (number,) = _U32.unpack_from(packet, 1)
        if kind == Type.OPEN:
            path, place = _text(packet, 5)
            self._ask(number, "open", (_path(path),), _U32.unpack_from(packet, place)[0])
        elif kind == Type.CLOSE:
            handle, _ = _handle(packet, 5)
            self._ask(number, "close", (handle,))
            if (file := self._open.get(handle)) is not None:
                file.is_closing = True
        elif kind == Type.READ:
            handle, place = _handle(packet, 5)
            if handle in self._open:  # of another one the answer says what is wrong
                self._used(handle)
            self._ask(number, "read", (handle,), _U64.unpack_from(packet, place)[0])
        elif kind == Type.WRITE:
            handle, place = _handle(packet, 5)
            data, _ = _text(packet, place + 8)
            self._ask(number, "write", (handle,))
            self._carried(handle, _U64.unpack_from(packet, place)[0], data, is_up=True)
        elif kind in _ONE_PATH:
            path, _ = _text(packet, 5)
            self._ask(number, _ONE_PATH[Type(kind)], (_path(path), ""))
        elif kind in _TWO_PATHS:
            self._ask_two(number, _TWO_PATHS[Type(kind)], packet, 5)
        elif kind == Type.FSETSTAT:
            handle, _ = _handle(packet, 5)
            self._ask(number, "attributes", (self._used(handle).path, ""))
        elif kind == Type.EXTENDED:
            self._extended(number, packet)
        elif kind in _READS:
            self._ask(number, "", ())  # for its number alone
        else:
            raise SftpError(f"a request of the kind {kind} is not known")

    def _extended(self, number: int, packet: memoryview) -> None:
        name, place = _text(packet, 5)
        if name in _EXTENDED:
            self._ask_two(number, _EXTENDED[name], packet, place)
        elif name == _SETS:
            path, _ = _text(packet, place)
            self._ask(number, "attributes", (_path(path), ""))
        elif name == _COPIES:
            source, place = _handle(packet, place)
            target, _ = _handle(packet, place + 16)  # behind where it begins, and how much
            copied, to = self._used(source), self._used(target)
            self._waiting -= to.up.ahead_bytes
            to.up.copied()
            self._ask(number, "copy", (copied.path, to.path))
        elif name in _READS_TOO:
            self._ask(number, "", ())
        else:
            raise SftpError(f"the extension {_path(name)[:60]} is not known")

    def _answer(self, packet: memoryview) -> None:
        kind = packet[0]
        if kind == Type.VERSION and _U32.unpack_from(packet, 1)[0] > VERSION_MAX:
            raise SftpError("this version of SFTP is not told of")
        if kind not in _ANSWERS:
            return
        (number,) = _U32.unpack_from(packet, 1)
        if number not in self._asked:
            raise SftpError("an answer came to nothing that was asked")
        what, words, off = self._asked.pop(number)
        if what == "open" and kind == Type.HANDLE:
            handle, _ = _handle(packet, 5)
            if len(self._open) >= HANDLES_MAX:
                raise SftpError("more files are open than are told of")
            if handle in self._open:
                raise SftpError("one handle stands for two files at once")
            self._open[handle] = _File(words[0], off)
        elif kind == Type.DATA:
            if what != "read":
                raise SftpError("data came that nobody asked for")
            data, _ = _text(packet, 5)
            self._carried(words[0], off, data, is_up=False)
        elif what == "close" and (file := self._open.pop(words[0], None)) is not None:
            self._waiting -= file.up.ahead_bytes + file.down.ahead_bytes
            for one in file.transfers(closed=True):
                self._tell(one)
        elif kind == Type.STATUS:
            self._said(what, words, is_done=_U32.unpack_from(packet, 5)[0] == _STATUS_OK)

    def _said(self, what: str, words: tuple[str, ...], *, is_done: bool) -> None:
        if what == "write" and not is_done and (file := self._open.get(words[0])) is not None:
            self._waiting -= file.up.ahead_bytes
            file.up.refused()
        elif len(words) == _CHANGE_WORDS:
            self._tell(Change(what, words[0], words[1], is_done))

    def _carried(self, handle: str, off: int, data: bytes, *, is_up: bool) -> None:
        file = (self._used if is_up else self._file)(handle)
        stream = file.up if is_up else file.down
        self._waiting += stream.took(off, data, WAITING_BYTES - self._waiting)

    def _file(self, handle: str) -> _File:
        file = self._open.get(handle)
        if file is None:
            raise SftpError("a file is used that nobody saw being opened")
        return file

    def _used(self, handle: str) -> _File:
        """As :meth:`_file`, of which something is asked now."""
        file = self._file(handle)
        if file.is_closing:
            raise SftpError("a handle is used after it was to be closed")
        return file

    def _ask(self, number: int, what: str, words: tuple[str, ...], off: int = 0) -> None:
        if number in self._asked:
            raise SftpError("a number stands for two requests at once")
        self._asked[number] = (what, words, off)
        if len(self._asked) > ASKED_MAX:
            raise SftpError("more is asked for than is answered")

    def _ask_two(self, number: int, what: str, packet: memoryview, place: int) -> None:
        one, place = _text(packet, place)
        other, _ = _text(packet, place)
        self._ask(number, what, (_path(one), _path(other)))


def _may_have_done(what: str, words: tuple[str, ...], flags: int) -> bool:
    """Whether what waits for its answer changes a file."""
    return len(words) == _CHANGE_WORDS or (what == "open" and bool(flags & (_MAKES | _EMPTIES)))


def _text(packet: memoryview, place: int) -> tuple[bytes, int]:
    (size,) = _U32.unpack_from(packet, place)
    if place + 4 + size > len(packet):
        raise SftpError("a packet ends before what it holds")
    return bytes(packet[place + 4 : place + 4 + size]), place + 4 + size


def _handle(packet: memoryview, place: int) -> tuple[str, int]:
    raw, place = _text(packet, place)
    return raw.hex(), place


def _path(raw: bytes) -> str:
    text = raw.decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)[:PATH_CHARS]
