"""The secrets of this host that wrap data keys (``ClusterSecrets``), read anew at each use.

In a cluster that is the sealing key, with the next and the previous one while it is changed; in an installation of
before, which has none yet, the cluster key. A node that is alone and never got either makes a key of its own beside the
signing keys, once; should another key come later, what the own key wrapped is wrapped anew.

A next key that cannot be read is left out and told once; any other key that cannot be read is fatal.
"""

import contextlib
from pathlib import Path
from typing import Final

from rppam.cluster.link.key_files import read_sealing_keys, tell_left_out
from rppam.config.host_secrets import create_key, read_key
from rppam.crypto.data_key_ports import ClusterSecrets
from rppam.crypto.errors import SealingKeyMissing
from rppam.kernel.errors import RppamError
from rppam.kernel.secret import Secret

ALONE: Final = "data.key"
"""File of a lone node's own key: base64, as ``rppam config encrypt`` makes keys."""
SEALING_KEY: Final = "sealing.key"
"""The usual name of the sealing key, beside the cluster key."""


class SealingSecrets:
    """See the module."""

    def __init__(self, cluster_key: Path, keys_dir: Path, *, alone: bool, sealing_key: Path | None = None) -> None:
        """``alone``: no other node can have written what this one has to read. ``sealing_key``: at its usual place
        unless told."""
        self._cluster_key, self._own, self._alone = cluster_key, keys_dir / ALONE, alone
        self._sealing_key = sealing_key or cluster_key.with_name(SEALING_KEY)

    def __call__(self) -> ClusterSecrets:
        """The secrets now. Raises :class:`SealingKeyMissing`."""
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
