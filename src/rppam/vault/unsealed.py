"""The master key of a vault that is opened by shares: where it lies while the vault is open, on this node.

In one file of a file system in memory (``vault.unsealedPath``), so that every process of the node reads it, a restart
of the service keeps it, and a reboot or ``rppam vault seal`` loses it. It is never written to a disk: a place that is
not in memory is refused. What it does not promise: protection against root, or on a host whose memory is swapped out.
"""

import base64
import os
import secrets
import sys
from pathlib import Path
from typing import Final

from rppam.vault.errors import UnsealPlaceWrong

IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
_MOUNTS: Final = Path("/proc/self/mountinfo")


def check(path: Path) -> None:
    """Raise :class:`UnsealPlaceWrong` where a key could not lie: what is asked before its opening is recorded."""
    try:
        is_new, made, handle = _new(path)
        os.close(handle)
        made.unlink()
        if is_new:  # so that it is new for who comes to stay
            path.parent.rmdir()
    except OSError as error:
        raise _wrong(path, error) from None


def keep(path: Path, key: bytes, home: Path) -> None:
    """Open the vault on this node, for the account that ``home`` belongs to. Raises :class:`UnsealPlaceWrong`."""
    try:
        is_new, made, handle = _new(path)
        with os.fdopen(handle, "wb") as file:
            file.write(base64.b64encode(key) + b"\n")
        if sys.platform != "win32" and os.getuid() == 0:  # typed by root, read by the account of the node
            owner = home.stat()
            for place in (made, *([path.parent] if is_new else [])):
                os.chown(place, owner.st_uid, owner.st_gid)
        made.replace(path)
    except OSError as error:
        raise _wrong(path, error) from None


def forget(path: Path) -> bool:
    """Seal the vault on this node; whether it was open. Raises :class:`UnsealPlaceWrong`."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UnsealPlaceWrong(f"{path}: expected to remove it, found: {error.strerror}") from None
    return True


def _new(path: Path) -> tuple[bool, Path, int]:
    """Whether its folder is new, an empty file beside ``path``, closed to others, and its handle. Raises OSError."""
    is_new = not path.parent.exists()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    kind = file_system_of(path.parent)
    if kind and kind not in IN_MEMORY:
        raise UnsealPlaceWrong(f"{path.parent}: expected a file system in memory (tmpfs), found {kind}")
    made = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    return is_new, made, os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _wrong(path: Path, error: OSError) -> UnsealPlaceWrong:
    return UnsealPlaceWrong(f"{path}: expected a place to write to, found: {error.strerror}")


def file_system_of(folder: Path) -> str:
    """The type of the file system that a folder lies in; empty where that cannot be told."""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    place, found, longest = folder.resolve(), "", -1
    for line in lines:
        before, _, after = line.partition(" - ")
        words, kinds = before.split(), after.split()
        point = Path(words[4].replace("\\040", " ")) if len(words) > 4 and kinds else None
        if point is not None and place.is_relative_to(point) and len(point.parts) >= longest:
            found, longest = kinds[0], len(point.parts)
    return found
