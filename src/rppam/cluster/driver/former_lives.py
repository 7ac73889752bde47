"""The process lives of this data directory: which boot ids its own former processes had.

A heartbeat of one of them that comes late is no sign of another node of this name. It is a hint: a file that cannot be
read or written costs no node its start. A copy of the data directory on another host remembers the lives of the
original, too: so only those count that ran on this host, by its name.
"""

import json
import logging
import re
from pathlib import Path
from typing import Final

from rppam.cluster.consensus.heartbeat import Heartbeat

FILE_NAME: Final = "lives.json"
"""Its name in the data directory."""
LIVES_MAX: Final = 32
BYTES_MAX: Final = 64 * 1024
_BOOT_ID: Final = re.compile(r"[0-9a-f]{16}")
_log: Final = logging.getLogger("rppam.node")


class FormerLives:
    """Lives of the processes before this one."""

    def __init__(self, path: Path, hostname: str) -> None:
        self._path = path
        self._hostname = hostname
        self._lives: tuple[str, ...] = ()

    def begin(self, boot_id: str) -> None:
        """Read them, and remember this one for the processes to come. May block; raises nothing."""
        self._lives = tuple(life for life in _read(self._path) if life != boot_id)
        part = self._path.with_name(f".{self._path.name}.part")
        try:
            part.write_text(json.dumps([*self._lives, boot_id][-LIVES_MAX:]) + "\n", encoding="ascii")
            part.replace(self._path)
        except OSError as error:
            _log.warning(
                "%s: expected to note this process there, found: %s. Late heartbeats of this process may keep the next "
                "one waiting for some seconds; make room there, or let the account that runs rppam own it",
                self._path,
                error.strerror,
            )

    def has(self, heartbeat: Heartbeat) -> bool:
        """Whether ``heartbeat`` is of a former process on this data directory and host."""
        return heartbeat.boot_id in self._lives and heartbeat.hostname == self._hostname


def _read(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            lives = json.loads(file.read(BYTES_MAX))
    except (OSError, ValueError, RecursionError):
        return []
    if not isinstance(lives, list):
        return []
    return [life for life in lives[-LIVES_MAX:] if isinstance(life, str) and _BOOT_ID.fullmatch(life)]
