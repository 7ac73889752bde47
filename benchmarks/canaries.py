"""Planted secrets: how each may be written somewhere, and where to look for them."""

import base64
import contextlib
import os
import threading
import urllib.parse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

MARK: Final = "zq7Canary4711ünseen/+"
"""Stands in every planted secret, so that one search finds all."""
CHUNK: Final = 1 << 24


def spellings(text: str) -> dict[str, bytes]:
    """The text as it may be written, by what that is called."""
    data = text.encode()
    found = {
        "raw": data,
        "hex": data.hex().encode(),
        "HEX": data.hex().upper().encode(),
        "URL": urllib.parse.quote(text, safe="").encode(),
        "URL but /": urllib.parse.quote(text).encode(),
        "form": urllib.parse.quote_plus(text).encode(),
        "UTF-16": text.encode("utf-16-le"),
        "UTF-16 BE": text.encode("utf-16-be"),
        "JSON": text.encode("ascii", "backslashreplace"),
        "Python": text.encode("unicode_escape"),
        "PostgreSQL": b"\\x" + data.hex().encode(),
    }
    for before in range(3):  # what is the same whatever stands around it
        for name, coded in (
            ("base64", base64.b64encode(b"x" * before + data)),
            ("base64url", base64.urlsafe_b64encode(b"x" * before + data)),
        ):
            found[f"{name} at {before}"] = coded[4 : len(coded) - 4]
    return found


class Leak(NamedTuple):
    """A secret where none may be."""

    place: str
    spelling: str


class Search:
    """Knows what to look for."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.needles: dict[bytes, str] = {}
        self._longest = 0
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """Look for this one, too."""
        for name, needle in spellings(text).items():
            self.needles.setdefault(needle, name)
        self._longest = max(map(len, self.needles))

    def data(self, place: str, data: bytes) -> set[Leak]:
        """What is in some bytes."""
        return {Leak(place, name) for needle, name in self.needles.items() if needle in data}

    def file(self, path: Path) -> set[Leak]:
        """What is in a file. One that has gone meanwhile has nothing."""
        found: set[Leak] = set()
        with contextlib.suppress(OSError), path.open("rb") as file:
            rest = b""
            while data := file.read(CHUNK):
                found |= self.data(str(path), rest + data)
                rest = data[-self._longest :]
        return found

    def folder(self, folder: Path, leave_out: Iterable[Path] = ()) -> tuple[set[Leak], int]:
        """What is in the files below a folder, and how many bytes those are."""
        found: set[Leak] = set()
        size = 0
        left_out = set(leave_out)
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and path not in left_out:
                size += path.stat().st_size
                found |= self.file(path)
        return found, size


class Processes:
    """Looks at the command lines and environments of all processes of this machine, again and again."""

    def __init__(self, search: Search, every_s: float = 0.1) -> None:
        self._search, self._every_s = search, every_s
        self.leaks: set[Leak] = set()
        self.looks = 0
        self.seen: set[int] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Processes":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def look(self) -> set[Leak]:
        """Once, now."""
        found: set[Leak] = set()
        for pid in self._pids():
            for name in ("cmdline", "environ"):
                with contextlib.suppress(OSError):
                    found |= self._search.data(f"/proc/{pid}/{name}", Path(f"/proc/{pid}/{name}").read_bytes())
        self.looks += 1
        return found

    def _run(self) -> None:
        while not self._over.wait(self._every_s):
            self.leaks |= self.look()

    def _pids(self) -> Iterator[int]:
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and int(entry.name) != os.getpid():
                self.seen.add(int(entry.name))
                yield int(entry.name)


def new_cores(folders: Iterable[Path], since: float) -> list[Path]:
    """Core dumps that were written since a moment."""
    found = []
    for folder in folders:
        with contextlib.suppress(OSError):
            for path in folder.iterdir():
                with contextlib.suppress(OSError):
                    if path.name.startswith("core") and path.is_file() and path.stat().st_mtime >= since - 1:
                        found.append(path)
    return found
