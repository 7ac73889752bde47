"""``rppam cluster adopt`` and ``found``: what an operator states about a member, on its own host while it stands still.

``adopt``: the promise file here is this member's own. A member with the file of another host, or a copy, does not vote:
a clone beside the original makes two leaders in a partition. Only a person can know that the other one is off for good.
After the next start it votes once a full lease has passed, like after any start.

``found``: this node is a cluster of its own. ``rppam init`` does it for a first node; this is for a node that was set
up in another way, or has to start over. It refuses where it would make a second cluster beside the first: when this
node is a member already, when it runs, or when Redis shows members that could take it in. Members that are all switched
off cannot be seen; that is why it asks.
"""

import asyncio
import json
import os
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from rppam.cli.errors import tell
from rppam.cli.files import own_as
from rppam.cli.paths import CONFIG_FILE
from rppam.cluster.errors import FoundedAlready
from rppam.kernel.errors import Exit

if TYPE_CHECKING:
    from rppam.cluster.consensus.membership import Membership
    from rppam.config.settings import Settings
    from rppam.doctor.member_rules import Shown

_HELP: Final = {"help_option_names": ["-h", "--help"]}
_JSON: Final = click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
_MEANING: Final = (
    "By adopting it you state that no other copy of this data directory is in use or ever will be: the host that had "
    "it is off for good, or its copy is deleted. Should both run, there can be two leaders"
)
_WHEN: Final = (
    "Founding again is right only when this cluster is gone for good or its policy shall change: stop every node and "
    "the witness, remove the promise file on each host, and found it on one"
)


@click.command(
    "adopt",
    context_settings=_HELP,
    epilog="Example: sudo -u rppam rppam cluster adopt --config /etc/rppam/rppam.config",
)
@click.option("--config", type=CONFIG_FILE, help="The config file of the node or the witness; else RPPAM_CONFIG.")
@click.option("--yes", is_flag=True, help="Do not ask: you have made sure that the other copy is off for good.")
@_JSON
def adopt(config: Path | None, yes: bool, as_json: bool) -> int:
    """Let this node, which has to stand still, vote with a data directory that was copied, moved or restored.

    Needed after a restore from a backup, a move to another disk or host, or a change of the machine id or of all
    network cards; 'rppam doctor' (RD-618), health and the log say when. The other copy must be off for good.

    Exit code 0: done, or the file was this host's own already; 1: not confirmed; 2: there is nothing to adopt, or it
    cannot be written; 73: the node runs; 78: the configuration is wrong.
    """
    from rppam.cluster.driver.datadir import DataDir
    from rppam.cluster.store.vote_file import FILE_NAME, FilePromises
    from rppam.config.load import load_settings

    settings = load_settings(config)
    home, name = settings.node.data_dir, settings.node.node_name
    file = home / FILE_NAME
    if not file.exists():
        tell(f"there is no {file}: this member has promised nothing yet")
        return Exit.ERRORS
    with closing(DataDir(home)):
        promises = FilePromises(file)
        kept = promises.load()
        was_strange = kept is not None and bool(promises.strange)
        if kept is not None and was_strange:
            tell(f"{promises.strange}\n{_MEANING}.")
            if not yes:
                _check_terminal()
                if click.prompt(f"Type '{name}' to go on", default="", show_default=False, err=True) != name:
                    return Exit.NO
            promises.adopt(kept)
            _give_to_owner(home, file)
            _record(settings, "member.adopt")
    if as_json:
        click.echo(json.dumps({"node": name, "adopted": was_strange}))
    elif was_strange:
        click.echo(f"{file} belongs to this host now. Start the node: it votes after a full lease")
    else:
        click.echo(f"{file} is this host's own already; nothing was changed")
    return Exit.DONE


@click.command(
    "found",
    context_settings=_HELP,
    epilog="Example: sudo -u rppam rppam cluster found --config /etc/rppam/rppam.config",
)
@click.option("--config", type=CONFIG_FILE, help="The config file; else RPPAM_CONFIG.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_JSON
def found(config: Path | None, yes: bool, as_json: bool) -> int:
    """Make this node, which has to stand still, a cluster of its own.

    Once in the life of a cluster, on its first node; 'rppam init' has done it already for a node that it made. Every
    other node and the witness are taken in by the leader when they start. The policy is cluster.quorumPolicy.

    Exit code 0: done; 1: not confirmed; 2: this node is a member already, or another cluster is there; 73: the node
    runs; 78: the configuration is wrong.
    """
    from rppam.cluster.store.vote_file import FILE_NAME
    from rppam.config.load import load_settings
    from rppam.config.places import config_path

    path = config_path(config)
    settings = load_settings(path)
    file, name, policy = settings.node.data_dir / FILE_NAME, settings.node.node_name, settings.cluster.quorum_policy
    _check_can_be_founded(settings, path, file)
    question = f"Found a cluster of {name} alone, policy {policy}? There must be no other member of it anywhere"
    if not yes:
        _check_terminal()
        if not click.confirm(question, err=True):
            return Exit.NO
    membership = _found(settings, file)
    _record(settings, "cluster.found", policy=str(policy))
    if as_json:
        told = {"node": name, "policy": str(policy), "lineage": membership.lineage, "file": str(file)}
        click.echo(json.dumps(told))
        return Exit.DONE
    click.echo(f"{name} is a cluster of its own, policy {policy}: {file}")
    click.echo("Start it; every further node, and the witness, is taken in when it starts (rppam init --bundle).")
    return Exit.DONE


async def seen_in_redis(settings: "Settings") -> "dict[str, Shown] | None":
    """The members seen in Redis; ``None`` when it cannot be asked."""
    from rppam.doctor.check_redis import StoreCheck
    from rppam.doctor.report import Report
    from rppam.kernel.system_clock import SystemClock

    store = StoreCheck(settings, Report(), SystemClock())
    try:
        await store.reach()
        return await store.shown()
    finally:
        await store.close()


def _record(settings: "Settings", action: str, **details: str) -> None:
    from rppam.cli.recorded import record_on_host
    from rppam.ledger.acts import Act
    from rppam.ledger.model import Entity

    name = settings.node.node_name
    record_on_host(settings, Act(action, Entity("node", name, name), details))


def _check_terminal() -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask on; give --yes")


def _give_to_owner(home: Path, *files: Path) -> None:
    if sys.platform != "win32" and os.geteuid() == 0:
        own_as(home, *files)


def _check_can_be_founded(settings: "Settings", path: Path, file: Path) -> None:
    """Refuse where a cluster cannot be founded, or would be a second one."""
    from rppam.cluster.link.credentials import read_cluster_key
    from rppam.cluster.store.vote_file import FilePromises
    from rppam.config.errors import ConfigValueError
    from rppam.doctor.check_members import is_witness

    name = settings.node.node_name
    if not settings.cluster.enabled:
        fix = "Set it, with redis.enabled; a node without Redis is alone and needs no cluster."
        raise ConfigValueError.of("cluster.enabled", "true", "false", fix)
    read_cluster_key(settings.auth.cluster_key_path)
    if is_witness(settings, path.name):
        raise click.UsageError(f"{path} is a witness's config; a witness never leads. Found the cluster on a node")
    kept = FilePromises(file).load()
    if kept is not None and kept.membership is not None:
        members = ", ".join(kept.membership.members)
        policy = kept.membership.body.policy
        raise FoundedAlready(f"{file}: {name} belongs to a cluster already, of {members}, policy {policy}. {_WHEN}")
    shown = asyncio.run(seen_in_redis(settings))
    if shown is None:  # no reason to refuse: Redis may come later
        tell("Redis cannot be asked now, so only you know that no cluster lives there.")
    others = {other: one for other, one in (shown or {}).items() if other != name}
    members = ", ".join(sorted(other for other, one in others.items() if one.is_fresh and not one.heartbeat.joins))
    if members:
        raise FoundedAlready(
            f"Redis shows a cluster under {settings.redis.key_prefix!r}, of {members}: start this node, and its leader "
            "takes it in. For another cluster, give this one a redis.keyPrefix of its own"
        )


def _found(settings: "Settings", file: Path) -> "Membership":
    """Write the list, while no other process can use the data directory, whose owner then owns the file."""
    from rppam.cluster.driver.datadir import LOCK_NAME, DataDir
    from rppam.cluster.store.vote_file import found as found_cluster
    from rppam.kernel.system_entropy import SystemEntropy

    home = settings.node.data_dir
    with closing(DataDir(home)):
        made = found_cluster({settings.node.node_name: home}, settings.cluster.quorum_policy, SystemEntropy())
        _give_to_owner(home, file, home / LOCK_NAME)
    return made
