"""The secrets of this host that wrap data keys (:class:`rppam.ports.data_keys.ClusterSecrets`), read anew at each use.

In a cluster that is the cluster key, with the next and the previous one while it is changed. A node that is alone and
never got one makes a key of its own beside the signing keys, once; should a cluster key come later, what the own key
wrapped is wrapped anew.
"""

import contextlib
from pathlib import Path
from typing import Final

from rppam.adapters.members.credentials import read_cluster_key
from rppam.adapters.members.key_files import next_of, previous_of
from rppam.adapters.system.secrets import create_key, read_key
from rppam.domain.errors import RppamError
from rppam.domain.errors.mfa import SealingKeyMissing
from rppam.domain.secret import Secret
from rppam.ports.data_keys import ClusterSecrets

ALONE: Final = "data.key"
"""File of a lone node's own key: base64, as ``rppam config encrypt`` makes keys."""


class SealingSecrets:
    """See the module."""

    def __init__(self, cluster_key: Path, keys_dir: Path, *, alone: bool) -> None:
        """``alone``: no other node can have written what this one has to read."""
        self._cluster_key, self._own, self._alone = cluster_key, keys_dir / ALONE, alone

    def __call__(self) -> ClusterSecrets:
        """The secrets now. Raises :class:`SealingKeyMissing`."""
        try:
            if self._cluster_key.exists():
                own_key = (self._lone(),) if self._own.exists() else ()
                return ClusterSecrets(
                    read_cluster_key(self._cluster_key),
                    self._read(next_of(self._cluster_key)),
                    (*self._read(previous_of(self._cluster_key)), *own_key),
                )
            if self._alone:
                if not self._own.exists():
                    with contextlib.suppress(RppamError):  # another process was faster: reading tells
                        create_key(self._own)
                return ClusterSecrets(self._lone())
        except (RppamError, OSError) as error:
            raise SealingKeyMissing(f"{error}") from None
        raise SealingKeyMissing(f"auth.clusterKeyPath {self._cluster_key}: expected the cluster key, found no file")

    @staticmethod
    def _read(path: Path) -> tuple[Secret, ...]:
        return (read_cluster_key(path),) if path.exists() else ()

    def _lone(self) -> Secret:
        return Secret(read_key(self._own).hex())
