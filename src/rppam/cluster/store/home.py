"""To which host and which place on its disk a file belongs, so that a copy of it can be told from the file itself.

Three things are looked at, each where the account of the service can read it: the machine id, the hardware addresses of
the network cards, and when the file itself was made on this disk. A copied or restored file is a new one, so it does
not carry the time that stands in it; one that is moved within a file system does.

What is not known on both sides is not judged. In a container neither machine id nor cards say anything, as they come
from the image and the network of the moment: there the time alone counts. What it does not promise: to tell a clone of
a whole virtual machine that kept its machine id and its cards.
"""

import ctypes
import functools
import hashlib
import os
import re
import struct
import sys
from pathlib import Path
from typing import Final, NamedTuple

from rppam.kernel.files import mounted

CARDS_MAX: Final = 32
BORN_SLACK_NS: Final = 20_000_000
"""File systems keep the time to 10 ms at worst."""
TELL_BORN: Final = frozenset({"ext4", "xfs", "btrfs", "f2fs", "zfs", "bcachefs", "tmpfs", "overlay"})
"""File systems that keep when a file was made and never change it; others may show any time."""
_MACHINE_IDS: Final = ("etc/machine-id", "var/lib/dbus/machine-id")
_CONTAINER_MARKS: Final = (".dockerenv", "run/.containerenv", "run/systemd/container")
_ETHERNET: Final = "1"
_GIVEN_BY_MAKER: Final = "0"
_NO_CARD: Final = "00:00:00:00:00:00"
_STATX_BTIME: Final = 0x800
_AT_EMPTY_PATH: Final = 0x1000
_STATX_BYTES: Final = 256
_BTIME_AT: Final = 80


class Home(NamedTuple):
    """What tells this host from others."""

    machine: str = ""
    """A hash of the machine id; empty where there is none, or it says nothing."""
    cards: frozenset[str] = frozenset()
    """Hashes of the hardware addresses of the network cards; none where they say nothing."""


class Mark(NamedTuple):
    """To whom a file belongs, as it stands in it."""

    home: Home = Home()
    born_ns: int = 0
    """When the file was made, on the disk that it was written to; 0: not known."""
    starts: int = 0
    """How often a process has begun to use it."""


NO_MARK: Final = Mark()


def look_at_home(root: Path = Path("/")) -> Home:
    """``root`` is where /etc and /sys are."""
    if is_container(root):
        return Home()
    return Home(_hashed("machine", _machine_id(root)), _cards(root))


def is_container(root: Path = Path("/")) -> bool:
    """Return whether this process runs in a container, whose machine id and cards are not its own."""
    if any(os.path.lexists(root / mark) for mark in _CONTAINER_MARKS):
        return True
    return mounted(Path("/"), _text(root / "proc/self/mountinfo"))[1] == "overlay"


def why_strange(mark: Mark, here: Home, born_ns: int) -> str:
    """Return why a file with this mark is not this host's own, or is a copy; empty when nothing speaks for it.

    ``born_ns``: when the file that was read was made; 0 where that is not known.
    """
    home = mark.home
    if home.machine and here.machine and home.machine != here.machine:
        return f"it was written on another host: machine id {home.machine}, here {here.machine} (hashed)"
    if mark.born_ns and born_ns and abs(mark.born_ns - born_ns) > BORN_SLACK_NS:
        return "it is a copy: the file that was written here is another one than the one that stands here now"
    if home.cards and here.cards and home.cards.isdisjoint(here.cards):
        return "it was written on a host of the same machine id that has none of this host's network cards"
    return ""


def born_ns(descriptor: int, path: Path) -> int:
    """Return when the open file was made, in ns; 0 where its file system does not keep that. ``path`` is near it."""
    if sys.platform != "linux" or _file_system(path.parent) not in TELL_BORN:
        return 0
    statx = getattr(_libc(), "statx", None)
    if statx is None:
        return 0
    buffer = ctypes.create_string_buffer(_STATX_BYTES)
    if statx(descriptor, b"", _AT_EMPTY_PATH, ctypes.c_uint(_STATX_BTIME), buffer) != 0:
        return 0
    if not struct.unpack_from("=I", buffer)[0] & _STATX_BTIME:
        return 0
    seconds, nanoseconds = struct.unpack_from("=qI", buffer, _BTIME_AT)
    return max(0, int(seconds) * 1_000_000_000 + int(nanoseconds))


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _file_system(folder: Path) -> str:
    return mounted(folder, _text(Path("/proc/self/mountinfo")))[1]


def _machine_id(root: Path) -> str:
    if sys.platform == "win32":
        import winreg  # noqa: PLC0415  # there is none elsewhere

        try:
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SOFTWARE\Microsoft\Cryptography") as key:
                return str(winreg.QueryValueEx(key, "MachineGuid")[0])
        except OSError:
            return ""
    found = (_text(root / name).strip() for name in _MACHINE_IDS)
    return next((text for text in found if re.fullmatch(r"[0-9a-f]{32}", text) and text.strip("0")), "")


def _cards(root: Path) -> frozenset[str]:
    """Find Ethernet cards that are devices and have the address that their maker, or a hypervisor, gave them."""
    found = set()
    try:
        entries = sorted((root / "sys/class/net").iterdir())
    except OSError:
        return frozenset()
    for entry in entries:
        is_card = (entry / "device").exists() and _text(entry / "type").strip() == _ETHERNET
        address = _text(entry / "address").strip().lower()
        if is_card and address != _NO_CARD and _text(entry / "addr_assign_type").strip() == _GIVEN_BY_MAKER:
            found.add(_hashed("card", address))
    return frozenset(sorted(found - {""})[:CARDS_MAX])


def _hashed(kind: str, text: str) -> str:
    """Never the identity itself: other programs may rely on its being kept."""
    return hashlib.sha256(f"rppam {kind} {text}".encode()).hexdigest()[:16] if text else ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
