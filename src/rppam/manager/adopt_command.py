"""``rppam cluster adopt``: an operator says that the promise file on this host is this member's own.

A member with the file of another host, or a copy, does not vote: a clone beside the original makes two leaders in a
partition. Only a person can know that the other one is off for good. Done on the host itself, while the node or the
witness stands still; like after any start it has the vote a full lease after the next one.
"""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from rppam.cli.paths import CONFIG_FILE
from rppam.kernel.errors import Exit

if TYPE_CHECKING:
    from rppam.cluster.store.vote_file import FilePromises
    from rppam.config.settings import Settings

MEANING: Final = (
    "By adopting it you state that no other copy of this data directory is in use or ever will be: the host that had "
    "it is off for good, or its copy is deleted. Should both run, there can be two leaders"
)


@click.command(
    "adopt",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: sudo -u rppam rppam cluster adopt --config /etc/rppam/rppam.config",
)
@click.option("--config", type=CONFIG_FILE, help="The config file of the node or the witness; else RPPAM_CONFIG.")
@click.option("--yes", is_flag=True, help="Do not ask: you have made sure that the other copy is off for good.")
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
def command(config: Path | None, yes: bool, as_json: bool) -> int:
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
    file = settings.node.data_dir / FILE_NAME
    if not file.exists():
        click.echo(f"rppam cluster adopt: there is no {file}: this member has promised nothing yet", err=True)
        return Exit.ERRORS
    held = DataDir(settings.node.data_dir)
    try:
        return _adopt(settings, FilePromises(file), yes=yes, as_json=as_json)
    finally:
        held.close()


def _adopt(settings: "Settings", promises: "FilePromises", *, yes: bool, as_json: bool) -> int:
    """With the data directory held."""
    kept, name = promises.load(), settings.node.node_name
    was_strange = bool(promises.strange)
    if kept is None or not was_strange:
        return _say(f"{promises.path} is this host's own already; nothing was changed", name, False, as_json)
    click.echo(f"{promises.strange}\n{MEANING}.", err=True)
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("nobody is here to be asked; give --yes")
        if click.prompt(f"Type '{name}' to go on", default="", show_default=False, err=True) != name:
            return Exit.NO
    promises.adopt(kept)
    if sys.platform != "win32" and os.geteuid() == 0:
        owner = settings.node.data_dir.stat()
        os.chown(promises.path, owner.st_uid, owner.st_gid)
    told = f"{promises.path} belongs to this host now. Start the node: it votes after a full lease"
    return _say(told, name, True, as_json)


def _say(sentence: str, name: str, adopted: bool, as_json: bool) -> int:
    click.echo(json.dumps({"node": name, "adopted": adopted}) if as_json else sentence)
    return Exit.DONE
