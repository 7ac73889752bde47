"""The keys of a cluster while they are changed: up to three files each, of which one signs and all are believed.

Beside ``auth.clusterKeyPath`` may stand ``<that>.next``, the key that is to come, and ``<that>.previous``, the one that
was. A member shows a certificate made with the key itself and believes whoever holds any of them. So the members can be
changed one after the other: first all learn the next key, then each switches, then all forget the previous one. The
files are looked at every second. What cannot be used is told once, and the keys of before stay.

The **link key** (``auth.clusterKeyPath``) is what members know each other by, witnesses too. The **sealing key**
(``auth.sealingKeyPath``) seals what tells or changes people's rights, and is on the nodes alone. An installation of
before has only the first: until it has gone through the three steps with a sealing key, the cluster key seals, too.

What it does not promise: that a connection which stands is cut when its key is forgotten; the next one is refused.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, NamedTuple

from rppam.cluster.errors import ClusterKeyUnusable
from rppam.cluster.link.credentials import read_cluster_key, read_sealing_key
from rppam.kernel.file_stamp import FileStamp, file_stamp
from rppam.kernel.secret import Secret

log: Final = logging.getLogger("rppam.members")

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
    """All keys. Raises :class:`~rppam.cluster.errors.ClusterKeyUnusable`."""
    own = read_cluster_key(path)
    also = [read_cluster_key(other) for other in (next_of(path), previous_of(path)) if other.exists()]
    return ClusterKeys(own, tuple(key for key in also if key != own))


class SealingKeys(NamedTuple):
    """What seals on a node."""

    own: Secret
    """Everything new is sealed with it."""
    coming: tuple[Secret, ...]
    """Others seal with these already."""
    gone: tuple[Secret, ...]
    """Others seal with these still."""
    is_own: bool
    """Whether there is a sealing key: else the cluster key does its work, which every witness has, too."""

    @property
    def all(self) -> tuple[Secret, ...]:
        """Its own first: a node proves itself by them."""
        return (self.own, *self.believed.also)

    @property
    def believed(self) -> ClusterKeys:
        """All of them, as the cache and the counters use them."""
        return ClusterKeys(self.own, tuple(key for key in (*self.coming, *self.gone) if key != self.own))


def read_sealing_keys(
    sealing: Path, cluster: Path, left_out: Callable[[ClusterKeyUnusable], object] | None = None
) -> SealingKeys:
    """The keys that seal here. Raises :class:`~rppam.cluster.errors.ClusterKeyUnusable` or a subclass.

    ``left_out`` is told of a next key that cannot be used, and the others are used without it; unless given, that is
    raised, too. A node has to go on working while its next key is a badly copied file.
    """

    def coming_of(path: Path, read: Callable[[Path], Secret]) -> tuple[Secret, ...]:
        try:
            return _there(path, read)
        except ClusterKeyUnusable as error:
            if left_out is None:
                raise
            left_out(error)
            return ()

    coming = coming_of(next_of(sealing), read_sealing_key)
    if sealing.exists():
        return SealingKeys(read_sealing_key(sealing), coming, _there(previous_of(sealing), read_sealing_key), True)
    return SealingKeys(
        read_cluster_key(cluster),
        (*coming_of(next_of(cluster), read_cluster_key), *coming),
        _there(previous_of(cluster), read_cluster_key),
        False,
    )


class TellOnce:
    """Logs that a next key is left out, each reason once."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def __call__(self, error: ClusterKeyUnusable) -> None:
        """Tell it."""
        why = str(error)
        if why not in self._told:
            self._told.add(why)
            log.warning("the next key is left out, the others go on: %s", why)


tell_left_out: Final = TellOnce()
"""Shared by all that read the keys of this process."""


def sealing_key_traces(sealing: Path) -> tuple[Path, ...]:
    """Which files of a sealing key lie on this host: on a witness's there may be none."""
    return tuple(path for path in (sealing, next_of(sealing), previous_of(sealing)) if os.path.lexists(path))


def _there(path: Path, read: Callable[[Path], Secret]) -> tuple[Secret, ...]:
    return (read(path),) if path.exists() else ()


class ClusterKeyFiles:
    """The files of one member."""

    _named = "cluster"

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
        found = self._read()
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
                    log.warning("the changed %s key cannot be used, %s: %s", self._named, what_stays, told)
            else:
                told = ""

    def _read(self) -> ClusterKeys:
        return read_cluster_keys(self._path)

    def _look(self) -> tuple[FileStamp | None, ...]:
        return _stamps_of(self._path)


class SealingKeyFiles(ClusterKeyFiles):
    """The files of what seals on one node: of the sealing key, and of the cluster key that may do its work."""

    _named = "sealing"

    def __init__(self, sealing: Path, cluster: Path) -> None:
        self._sealing = sealing
        super().__init__(cluster)

    def _read(self) -> ClusterKeys:
        return read_sealing_keys(self._sealing, self._path).believed

    def _look(self) -> tuple[FileStamp | None, ...]:
        return (*_stamps_of(self._sealing), *_stamps_of(self._path))


def _stamps_of(path: Path) -> tuple[FileStamp | None, ...]:
    return tuple(file_stamp(one) for one in (path, next_of(path), previous_of(path)))
