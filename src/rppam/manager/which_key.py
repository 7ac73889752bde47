"""Which of a cluster's two keys ``rppam cluster key`` changes, and what the commands of each are for.

Decides what the other members must have shown before this host goes on. The link key shows in TLS itself; of the
sealing key a node shows in its certificate which ones it knows, and which one it seals with.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click

from rppam.cluster.consensus.heartbeat import Role
from rppam.cluster.link.credentials import proves, read_cluster_key, read_sealing_key, shows
from rppam.cluster.link.key_files import next_of, previous_of, read_cluster_keys, read_sealing_keys
from rppam.config.settings import AuthSettings, Settings
from rppam.doctor.member_probe import MemberProber
from rppam.kernel.secret import Secret
from rppam.kernel.system_entropy import SystemEntropy


class Changed(NamedTuple):
    """The key that is changed."""

    path: Path
    cluster: Path
    """Of the cluster key."""
    is_sealing: bool

    @property
    def option(self) -> str:
        """What the next command needs."""
        return " --sealing" if self.is_sealing else ""

    @property
    def whom(self) -> str:
        """Which members have this key."""
        return "node, and to no witness" if self.is_sealing else "member, witnesses too"

    @property
    def end(self) -> str:
        """What has come of it once the previous key is gone."""
        if self.is_sealing:
            return "what was sealed by the previous key opens no more"
        return "a holder of the previous key alone is kept out from the next connection on"

    def present(self) -> Path:
        """The file of the key in use. Raises ``ClusterKeyUnusable`` where there is none."""
        path = self.path if self.path.exists() or not self.is_sealing else self.cluster
        self.read(path)
        return path

    def read(self, path: Path) -> Secret:
        """The key in one of its files. Raises ``ClusterKeyUnusable``."""
        return read_sealing_key(path) if self.is_sealing and path != self.cluster else read_cluster_key(path)

    def concerns(self, role: Role) -> bool:
        """Whether a member of that role has this key."""
        return not self.is_sealing or role is not Role.WITNESS

    def prober_before_switch(self, settings: Settings, new: Secret, before: Secret) -> MemberProber:
        """Finds members that do not know the next key yet."""
        if not self.is_sealing:
            return _prober(settings, new, (before,))
        lacking = f"it does not show that it knows {next_of(self.path).name}"
        return self._sealing_prober(settings, proves, (new,), lacking)

    def prober_before_finish(self, settings: Settings, new: Secret) -> MemberProber:
        """Finds members that still use the previous key."""
        if not self.is_sealing:
            return _prober(settings, new, ())
        return self._sealing_prober(settings, shows, new, "it does not seal with the new key yet")

    def _sealing_prober(
        self, settings: Settings, holds: Callable[[bytes | None, str, str, Any], bool], key: Any, lacking: str
    ) -> MemberProber:
        def lacks(certificate: bytes | None, name: str) -> str:
            return "" if holds(certificate, settings.cluster.cluster_id, name, key) else lacking

        keys = read_cluster_keys(self.cluster)
        return _prober(settings, keys.own, keys.also, lacks)


def changed_key(auth: AuthSettings, *, sealing: bool, begins: bool = False) -> Changed:
    """The key that is changed; ``begins``: from now on.

    Raises :class:`click.ClickException` for a change that would begin while the other key's is under way. A change that
    has begun continues in any case: else neither of two changes could ever be ended.
    """
    keys = {True: auth.sealing_key_path, False: auth.cluster_key_path}
    other = keys[not sealing]
    under_way = [path for path in (next_of(other), previous_of(other)) if os.path.lexists(path)]
    if begins and under_way:
        due = "switch" if next_of(other) in under_way else "finish"
        raise click.ClickException(
            f"there is {', '.join(path.name for path in under_way)}: the {'cluster' if sealing else 'sealing'} key is "
            f"being changed. End that first, on every {'member' if sealing else 'node'}; due here is: rppam cluster "
            f"key {due}{'' if sealing else ' --sealing'}"
        )
    return Changed(keys[sealing], auth.cluster_key_path, sealing)


def _prober(
    settings: Settings,
    own: Secret,
    also: tuple[Secret, ...],
    lacks: Callable[[bytes | None, str], str] = lambda _certificate, _name: "",
) -> MemberProber:
    auth = settings.auth
    sealing = read_sealing_keys(auth.sealing_key_path, auth.cluster_key_path).all
    name, cluster = settings.node.node_name, settings.cluster.cluster_id
    return MemberProber(name, cluster, own, SystemEntropy(), also=also, sealing=sealing, must=lacks)
