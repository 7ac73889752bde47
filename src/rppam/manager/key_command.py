"""``rppam cluster key``: another cluster key, or sealing key, without an outage and without a restart.

Three steps, each done on every member before the next one begins: all learn the next key, all switch to it, all forget
the previous one. A running member reads its files every second. Before ``switch`` and ``finish`` the other members are
probed, and one that is down is reported, so that none is locked out. It works on this host's files alone.

With ``--sealing`` the nodes change the key that they seal with. An older installation, where the cluster key seals,
gets a sealing key that way; the cluster key then is the previous one. One key is changed at a time: ``begin`` refuses
while the other one's change is under way.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from rppam.cli.errors import tell
from rppam.cli.files import new_cluster_key, write_private
from rppam.cli.group import Group
from rppam.cli.paths import CONFIG_FILE
from rppam.cluster.errors import PromiseFileBroken
from rppam.kernel.errors import Exit, RppamError
from rppam.manager.on_host import seen_in_redis

if TYPE_CHECKING:
    from rppam.config.settings import Settings
    from rppam.doctor.member_probe import MemberProber
    from rppam.doctor.member_rules import Shown
    from rppam.manager.which_key import Changed

_HELP: Final = {"help_option_names": ["-h", "--help"]}
_CONFIG: Final = click.option("--config", type=CONFIG_FILE, help="The config file of this member; else RPPAM_CONFIG.")
_FORCE: Final = click.option("--force", is_flag=True, help="Also when another member is not ready or cannot be asked.")
_SEALING: Final = click.option(
    "--sealing", is_flag=True, help="The sealing key of the nodes, and not the key that members know each other by."
)
PROBE_S: Final = 5.0
_DOWN: Final = (
    "{name}: it is a member and shows no heartbeat in Redis, so its keys are not known: start it, or let it be "
    "forgotten (rppam cluster forget {name} --off)"
)


@click.group(
    "key", cls=Group, context_settings=_HELP, epilog="Example: rppam cluster key begin --config /etc/rppam/rppam.config"
)
def command() -> None:
    """Change the key that the members know each other by, or that the nodes seal with (--sealing): begin, copy, then
    switch on each, then finish on each.

    Exit code 1: another member is not ready, and nothing was changed.
    """


@command.command(context_settings=_HELP, epilog="Example: rppam cluster key begin")
@_CONFIG
@_SEALING
def begin(config: Path | None, *, sealing: bool) -> None:
    """Make the next key on this host. Members that have its file believe both."""
    from rppam.cluster.link.key_files import next_of
    from rppam.config.load import load_settings
    from rppam.manager.which_key import changed_key

    settings = load_settings(config)
    change = changed_key(settings.auth, sealing=sealing, begins=True)
    own, made = change.present(), next_of(change.path)
    if made.exists():
        change.read(made)
        click.echo(f"{made} is there already")
    else:
        write_private(made, new_cluster_key(), like=own)
        click.echo(f"wrote {made}")
        _record(settings, "begin", made, force=False)
    click.echo(f"next: copy it to the same place on every other {change.whom} (mode 0600, same owner as {own.name}); "
               f"then on each: rppam cluster key switch{change.option}")  # fmt: skip


@command.command(context_settings=_HELP, epilog="Example: rppam cluster key switch")
@_CONFIG
@_SEALING
@_FORCE
def switch(config: Path | None, *, sealing: bool, force: bool) -> int:
    """Show the next key from now on, and go on believing the previous one. Only once all members believe it."""
    from rppam.cluster.link.key_files import next_of, previous_of
    from rppam.config.load import load_settings
    from rppam.manager.which_key import changed_key

    settings = load_settings(config)
    change = changed_key(settings.auth, sealing=sealing)
    path, own = change.path, change.present()
    before, new = change.read(own), change.read(next_of(path))
    unready = _unready(settings, change, change.prober_before_switch(settings, new, before))
    if unready and not force:
        return _refuse(unready, f"copy {next_of(path).name} to them first")
    write_private(previous_of(path), before.reveal() + "\n", like=own)
    write_private(path, new.reveal() + "\n", like=own)
    next_of(path).unlink()
    _record(settings, "switch", path, force=force)
    click.echo(f"{path} is the new key, {previous_of(path).name} the one before")
    click.echo(f"when all have switched, run on each: rppam cluster key finish{change.option}")
    return Exit.DONE


@command.command(context_settings=_HELP, epilog="Example: rppam cluster key finish")
@_CONFIG
@_SEALING
@_FORCE
def finish(config: Path | None, *, sealing: bool, force: bool) -> int:
    """Stop believing the previous key. Only once all members show the new one.

    What the database holds sealed under the previous key is put under the new one first.
    """
    from rppam.cluster.link.key_files import previous_of
    from rppam.config.load import load_settings
    from rppam.manager.which_key import changed_key

    settings = load_settings(config)
    change = changed_key(settings.auth, sealing=sealing)
    before = previous_of(change.path)
    if not before.exists():
        raise click.ClickException(f"there is no {before}: nothing to finish on this host")
    unready = _unready(settings, change, change.prober_before_finish(settings, change.read(change.path)))
    if unready and not force:
        return _refuse(unready, "let them switch first")
    try:
        count = _wrap_data_keys(settings)
    except RppamError as error:
        if not force:
            return _refuse([f"the database: {error}"], "what it holds sealed may still need the previous key")
    else:
        if count:
            click.echo(f"{count} data key{'s' if count > 1 else ''} in the database wrapped with the present key")
    before.unlink()
    _record(settings, "finish", before, force=force)
    click.echo(f"removed {before}; {change.end}")
    return Exit.DONE


def _record(settings: "Settings", step: str, file: Path, *, force: bool) -> None:
    from rppam.cli.recorded import record_on_host
    from rppam.ledger.acts import Act
    from rppam.ledger.model import Entity

    name = settings.node.node_name
    facts = {"file": file.name, "force": force}
    record_on_host(settings, Act(f"cluster-key.{step}", Entity("node", name, name), facts))


def _wrap_data_keys(settings: "Settings") -> int:
    """Wrap what depends on the previous key in the database again; return how much did. A witness has no database."""
    from rppam.cli.database import database_named
    from rppam.cluster.link.data_keys import data_keys_of
    from rppam.db.database import Database
    from rppam.db.url import is_not_made, parse_database_url

    if is_not_made(parse_database_url(settings.database.url, None)):
        return 0

    async def run() -> int:
        database = Database(settings.database.url, settings.database.timeout_ms)
        try:
            await database.start(creates=False)
            return await data_keys_of(settings, database).rewrap()
        finally:
            await database.stop()

    with database_named(settings):
        return asyncio.run(run())


def _unready(settings: "Settings", change: "Changed", prober: "MemberProber") -> list[str]:
    """The other members that did not answer as they should, each with what was seen."""

    async def ask() -> list[str]:
        from rppam.cluster.consensus.heartbeat import Role
        from rppam.doctor.member_rules import ProbeOutcome

        shown: Mapping[str, Shown] | None = await seen_in_redis(settings)
        if shown is None:
            return ["Redis cannot be asked where the other members are"]
        try:
            listed = _listed(settings, with_witnesses=change.concerns(Role.WITNESS))
        except PromiseFileBroken as error:
            return [str(error)]
        where = {
            name: one.heartbeat.member_address
            for name, one in shown.items()
            if name != settings.node.node_name and one.heartbeat.member_address and not one.heartbeat.leaving
            if change.concerns(one.heartbeat.role)
        }
        probes = await asyncio.gather(*(prober.probe(name, at, timeout_s=PROBE_S) for name, at in where.items()))
        return [
            *(
                f"{one.name} at {one.address}: {one.evidence}"
                for one in probes
                if one.outcome is not ProbeOutcome.ANSWERED
            ),
            *(_DOWN.format(name=name) for name in listed if name not in where),
        ]

    return asyncio.run(ask())


def _listed(settings: "Settings", *, with_witnesses: bool) -> tuple[str, ...]:
    """The other members by the list on disk, also those that are down. Raises PromiseFileBroken."""
    from rppam.cluster.store.vote_file import FILE_NAME, FilePromises

    kept = FilePromises(settings.node.data_dir / FILE_NAME).load()
    if kept is None or kept.membership is None:
        return ()
    witnesses = () if with_witnesses else kept.membership.body.witnesses
    return tuple(name for name in kept.membership.members if name not in {settings.node.node_name, *witnesses})


def _refuse(unready: list[str], fix: str) -> int:
    for line in unready:
        click.echo(line)
    tell(f"nothing was changed: {fix} (--force for members that are gone)")
    return Exit.NO
