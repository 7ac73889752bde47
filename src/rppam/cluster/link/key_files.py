"""The keys of a cluster while they are changed: up to three files each, of which one signs and all are believed.

Beside ``auth.clusterKeyPath`` may stand ``<that>.next``, the key that is to come, and ``<that>.previous``, the one that
was. A member shows a certificate made with the key itself and believes a holder of any of them. So the members can be
changed one after the other: first all learn the next key, then each switches, then all forget the previous one. The
files are looked at every second. What cannot be used is logged once, and the keys in use stay.

The **link key** (``auth.clusterKeyPath``) is what members know each other by, witnesses too. The **sealing key**
(``auth.sealingKeyPath``) seals what tells or changes people's rights, and is on the nodes alone. An old installation
has only the first: until it has gone through the three steps with a sealing key, the cluster key seals, too.

What it does not promise: that a connection which stands is cut when its key is forgotten; the next one is refused.
"""

import asyncio
import contextlib
import functools
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, NamedTuple

from rppam.cluster.errors import ClusterKeyUnusable
from rppam.cluster.link.credentials import Credentials, read_cluster_key, read_sealing_key
from rppam.config.host_secrets import create_key, read_key
from rppam.crypto.data_key_ports import ClusterSecrets
from rppam.crypto.errors import SealingKeyMissing
from rppam.kernel.errors import RppamError
from rppam.kernel.files import FileStamp, file_stamp
from rppam.kernel.secret import Secret

log: Final = logging.getLogger("rppam.members")

EVERY_S: Final = 1.0
LONE_KEY: Final = "data.key"
"""File of a lone node's own key: base64, as ``rppam config encrypt`` makes keys."""
SEALING_KEY: Final = "sealing.key"
"""The usual name of the sealing key, beside the cluster key."""


class ClusterKeys(NamedTuple):
    """The key that this node uses, and those by which others are believed as well."""

    own: Secret
    also: tuple[Secret, ...]


def next_of(path: Path) -> Path:
    """Where the key that is to come stands."""
    return path.with_name(path.name + ".next")


def previous_of(path: Path) -> Path:
    """Where the key that was stands."""
    return path.with_name(path.name + ".previous")


def read_cluster_keys(path: Path) -> ClusterKeys:
    """Raises ClusterKeyUnusable."""
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
    """Read the keys that seal here. Raises ClusterKeyUnusable or a subclass.

    ``left_out`` hears of a next key that cannot be used, and the others are used without it; unless given, that is
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


def _there(path: Path, read: Callable[[Path], Secret]) -> tuple[Secret, ...]:
    return (read(path),) if path.exists() else ()


def tell_left_out(error: ClusterKeyUnusable) -> None:
    """Log that a next key is left out, each reason once for all that read the keys of this process."""
    _log_left_out(str(error))


@functools.lru_cache
def _log_left_out(why: str) -> None:
    log.warning("the next key is left out, the others go on: %s", why)


def sealing_key_traces(sealing: Path) -> tuple[Path, ...]:
    """Return which files of a sealing key lie on this host: on a witness's there may be none."""
    return tuple(path for path in _all_of(sealing) if os.path.lexists(path))


def _all_of(path: Path) -> tuple[Path, ...]:
    return path, next_of(path), previous_of(path)


class KeyFiles:
    """The files of one key, which are read again when one of them changes."""

    def __init__(self, named: str, read: Callable[[], ClusterKeys], *paths: Path) -> None:
        self.named, self._read, self._paths = named, read, [part for path in paths for part in _all_of(path)]
        self._stamps = self._look()

    def changed(self) -> ClusterKeys | None:
        """Return the keys, when a file came, went or changed since they were read last. Raises as the reading does.

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

        What cannot be used is logged once, with ``what_stays`` as it was, and tried again with each look.
        """
        told = ""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                found = self.changed()
                if found is not None:
                    await use(found)
            except Exception as error:  # noqa: BLE001 - told; this must not end, or no change is ever seen again
                self._stamps = []
                if str(error) != told:
                    told = str(error)
                    log.warning("the changed %s key cannot be used, %s: %s", self.named, what_stays, told)
            else:
                told = ""

    def _look(self) -> list[FileStamp | None]:
        return [file_stamp(path) for path in self._paths]


def cluster_key_files(path: Path) -> KeyFiles:
    return KeyFiles("cluster", lambda: read_cluster_keys(path), path)


def sealing_key_files(sealing: Path, cluster: Path) -> KeyFiles:
    """Files of the sealing key, and of the cluster key that may do its work."""
    return KeyFiles("sealing", lambda: read_sealing_keys(sealing, cluster).believed, sealing, cluster)


UseKeys = Callable[[Secret, tuple[Secret, ...]], object]


class LinkKeys:
    """The keys that a link uses; they follow their files from ``start`` on."""

    def __init__(self, credentials: Credentials, cluster: ClusterKeys, sealing: tuple[Secret, ...]) -> None:
        self._credentials, self._cluster, self._sealing = credentials, cluster, sealing
        self._followed: list[tuple[KeyFiles, Callable[[ClusterKeys], Awaitable[None]]]] = []
        self._renewing = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    def follow(self, files: KeyFiles, use: Callable[[ClusterKeys], Awaitable[None]], also: UseKeys) -> None:
        """Have what comes into ``files`` used by the link, and by ``also``."""

        async def both(keys: ClusterKeys) -> None:
            await use(keys)
            also(*keys)

        self._followed.append((files, both))

    def start(self) -> None:
        for files, use in self._followed:
            following = files.follow(use, log, "what was read before stays in use")
            self._tasks.append(asyncio.create_task(following, name=f"{files.named} key"))

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def use(self, keys: ClusterKeys) -> None:
        self._cluster = keys
        await self._renew()
        believed = len(keys.also) + 1
        log.info(
            "the files of the cluster key changed: %d key%s believed now", believed, "s are" if believed > 1 else " is"
        )

    async def use_sealing(self, keys: ClusterKeys) -> None:
        self._sealing = (keys.own, *keys.also)
        await self._renew()

    async def _renew(self) -> None:
        """Renew one at a time, and by what was read last: the files of both keys may change at once."""
        async with self._renewing:
            await asyncio.to_thread(self._credentials.use, *self._cluster, self._sealing)


class SealingSecrets:
    """The secrets of this host that wrap data keys (``ClusterSecrets``), read at each use.

    In a cluster that is the sealing key, with the next and the previous one while it is changed; in an old
    installation, which has none yet, the cluster key. A node that is alone and never got either makes a key of its own
    beside the signing keys, once; should another key come later, what the own key wrapped is wrapped again.

    A next key that cannot be read is left out and logged once; any other key that cannot be read is fatal.
    """

    def __init__(self, cluster_key: Path, keys_dir: Path, *, alone: bool, sealing_key: Path | None = None) -> None:
        """``alone``: no other node can have written what this one has to read. ``sealing_key``: by default, at its
        usual place."""
        self._cluster_key, self._own, self._alone = cluster_key, keys_dir / LONE_KEY, alone
        self._sealing_key = sealing_key or cluster_key.with_name(SEALING_KEY)

    def __call__(self) -> ClusterSecrets:
        """Read them. Raises SealingKeyMissing."""
        try:
            if self._sealing_key.exists() or self._cluster_key.exists():
                own_key = (self._lone(),) if self._own.exists() else ()
                keys = read_sealing_keys(self._sealing_key, self._cluster_key, tell_left_out)
                return ClusterSecrets(keys.own, keys.coming, (*keys.gone, *own_key))
            if self._alone:
                if not self._own.exists():
                    with contextlib.suppress(RppamError):  # another process was faster: reading tells
                        create_key(self._own)
                return ClusterSecrets(self._lone())
        except (RppamError, OSError) as error:
            raise SealingKeyMissing(f"{error}") from None
        raise SealingKeyMissing(
            f"auth.sealingKeyPath {self._sealing_key}: expected the sealing key, or the cluster key at "
            f"auth.clusterKeyPath {self._cluster_key}, found no file"
        )

    def _lone(self) -> Secret:
        return Secret(read_key(self._own).hex())
