"""``rppam cluster found``: an operator makes this node a cluster of its own, by hand, on its host.

``rppam init`` does it for a first node; this is for a node that was set up in another way, or has to begin anew. It
refuses where it would make a second cluster beside the first: when this node is a member already, when it runs, or when
Redis shows members that could take it in. What it cannot see, members that are all switched off, the operator has to
know; that is why it asks.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from rppam.cli.paths import CONFIG_FILE
from rppam.cluster.errors import FoundedAlready
from rppam.kernel.errors import Exit

if TYPE_CHECKING:
    from rppam.cluster.consensus.membership import Membership
    from rppam.config.settings import Settings
    from rppam.doctor import Shown

_WHEN: Final = (
    "Founding anew is right only when this cluster is gone for good or its policy shall change: stop every node and "
    "the witness, remove the promise file on each host, and found it on one"
)


@click.command(
    "found",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: sudo -u rppam rppam cluster found --config /etc/rppam/rppam.config",
)
@click.option("--config", type=CONFIG_FILE, help="The config file; else RPPAM_CONFIG.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
def command(config: Path | None, yes: bool, as_json: bool) -> int:
    """Make this node, which has to stand still, a cluster of its own.

    Once in the life of a cluster, on its first node; 'rppam init' has done it already for a node that it made. Every
    other node and the witness are taken in by the leader when they start. The policy is cluster.quorumPolicy.

    Exit code 0: done; 1: not confirmed; 2: this node is a member already, or another cluster is there; 73: the node
    runs; 78: the configuration is wrong.
    """
    from rppam.config.load import load_settings
    from rppam.config.places import config_path

    path = config_path(config)
    settings = load_settings(path)
    _check(settings, path)
    policy = settings.cluster.quorum_policy
    name = settings.node.node_name
    question = f"Found a cluster of {name} alone, policy {policy}? There must be no other member of it anywhere"
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("nobody is here to be asked; give --yes")
        if not click.confirm(question, err=True):
            return Exit.NO
    electorate = _found(settings)
    file = settings.node.data_dir / _file_name()
    if as_json:
        told = {"node": name, "policy": str(policy), "lineage": electorate.lineage, "file": str(file)}
        click.echo(json.dumps(told))
        return Exit.DONE
    click.echo(f"{name} is a cluster of its own, policy {policy}: {file}")
    click.echo("Start it; every further node, and the witness, is taken in when it starts (rppam init --bundle).")
    return Exit.DONE


def _file_name() -> str:
    from rppam.cluster.store.vote_file import FILE_NAME

    return FILE_NAME


def _check(settings: "Settings", path: Path) -> None:
    """Whether a cluster can be founded here at all."""
    from rppam.cluster.link.credentials import read_cluster_key
    from rppam.cluster.store.vote_file import FilePromises
    from rppam.config.errors import ConfigValueError
    from rppam.doctor import is_witness

    if not settings.cluster.enabled:
        fix = "Set it, with redis.enabled; a node without Redis is alone and needs no cluster."
        raise ConfigValueError.of("cluster.enabled", "true", "false", fix)
    read_cluster_key(settings.auth.cluster_key_path)
    if is_witness(settings, path.name):
        raise click.UsageError(f"{path} is a witness's config; a witness never leads. Found the cluster on a node")
    file = settings.node.data_dir / _file_name()
    kept = FilePromises(file).load()
    if kept is not None and kept.electorate is not None:
        members = ", ".join(kept.electorate.members)
        raise FoundedAlready(
            f"{file}: {settings.node.node_name} belongs to a cluster already, of {members}, policy "
            f"{kept.electorate.body.policy}. {_WHEN}"
        )
    shown = asyncio.run(seen_in_redis(settings))
    if shown is None:
        click.echo("Redis cannot be asked now, so only you know that no cluster lives there.", err=True)
    members = ", ".join(
        name
        for name, one in sorted((shown or {}).items())
        if one.is_fresh and not one.heartbeat.joins and name != _me(settings)
    )
    if members:
        raise FoundedAlready(
            f"Redis shows a cluster under {settings.redis.key_prefix!r}, of {members}: start this node, and its leader "
            "takes it in. For another cluster, give this one a redis.keyPrefix of its own"
        )


def _me(settings: "Settings") -> str:
    return settings.node.node_name


async def seen_in_redis(settings: "Settings") -> "dict[str, Shown] | None":
    """Who is seen in Redis; ``None`` when it cannot be asked, which stops nobody: Redis may come later."""
    from rppam.doctor import Report, StoreCheck
    from rppam.kernel.system_clock import SystemClock

    store = StoreCheck(settings, Report(), SystemClock())
    try:
        await store.reach()
        return await store.shown()
    finally:
        await store.close()


def _found(settings: "Settings") -> "Membership":
    """Write the list, while nobody else can run on the data directory. The owner of the folder owns the file."""
    from rppam.cluster.driver.datadir import LOCK_NAME, DataDir
    from rppam.cluster.store.vote_file import found
    from rppam.kernel.system_entropy import SystemEntropy

    home = settings.node.data_dir
    held = DataDir(home)
    try:
        electorate = found({settings.node.node_name: home}, settings.cluster.quorum_policy, SystemEntropy())
        if sys.platform != "win32" and os.geteuid() == 0:
            owner = home.stat()
            for name in (_file_name(), LOCK_NAME):
                os.chown(home / name, owner.st_uid, owner.st_gid)
    finally:
        held.close()
    return electorate
