"""The cluster key while it is changed: up to three files, of which one signs and all are believed.

Beside ``auth.clusterKeyPath`` may stand ``<that>.next``, the key that is to come, and ``<that>.previous``, the one that
was. A member shows a certificate made with the key itself and believes whoever holds any of them. So the members can be
changed one after the other: first all learn the next key, then each switches, then all forget the previous one. The
files are looked at every second. What cannot be used is told once, and the keys of before stay.

What it does not promise: that a connection which stands is cut when its key is forgotten; the next one is refused.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, NamedTuple

from rppam.adapters.members.credentials import read_cluster_key
from rppam.adapters.system.file_stamp import FileStamp, file_stamp
from rppam.domain.secret import Secret

EVERY_S: Final = 1.0


class ClusterKeys(NamedTuple):
    """What a member knows the others by."""

    own: Secret
    """Its own certificate is made with it."""
    also: tuple[Secret, ...]
    """Others are believed with these, too."""


def next_of(path: Path) -> Path:
    """Where the key that is to come stands."""
    return path.with_name(path.name + ".next")


def previous_of(path: Path) -> Path:
    """Where the key that was stands."""
    return path.with_name(path.name + ".previous")


def read_cluster_keys(path: Path) -> ClusterKeys:
    """All keys. Raises :class:`~rppam.domain.errors.cluster.ClusterKeyUnusable`."""
    own = read_cluster_key(path)
    also = [read_cluster_key(other) for other in (next_of(path), previous_of(path)) if other.exists()]
    return ClusterKeys(own, tuple(key for key in also if key != own))


class ClusterKeyFiles:
    """The files of one member."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamps: tuple[FileStamp | None, ...] = self._look()

    def changed(self) -> ClusterKeys | None:
        """The keys, when a file came, went or changed since they were read last. Raises as :func:`read_cluster_keys`.

        What could not be read is read again with the next call: the reason may be gone while the file is the same.
        """
        stamps = self._look()
        if stamps == self._stamps:
            return None
        found = read_cluster_keys(self._path)
        self._stamps = stamps
        return found

    async def follow(
        self, use: Callable[[ClusterKeys], Awaitable[object]], log: logging.Logger, what_stays: str
    ) -> None:
        """Look every second, and have what changed used; never returns.

        What cannot be used is told to ``log`` once, with ``what_stays`` as it was, and tried again with each look.
        """
        told = ""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                found = self.changed()
                if found is not None:
                    await use(found)
            except Exception as error:  # noqa: BLE001 - told; this must not end, or no change is ever seen again
                self._stamps = ()
                if str(error) != told:
                    told = str(error)
                    log.warning("the changed cluster key cannot be used, %s: %s", what_stays, told)
            else:
                told = ""

    def _look(self) -> tuple[FileStamp | None, ...]:
        return tuple(file_stamp(path) for path in (self._path, next_of(self._path), previous_of(self._path)))
