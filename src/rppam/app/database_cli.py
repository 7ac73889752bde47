"""``rppam database``: finish an update of the database, once no node of the release before runs any more."""

import asyncio
import json
from getpass import getuser
from pathlib import Path

import click

from rppam.cli.group import Group
from rppam.cli.paths import CONFIG_FILE


@click.group(
    "database",
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: rppam database contract --yes",
)
def command() -> None:
    """Finish an update of the database."""


@command.command("contract", epilog="Example: rppam database contract --yes")
@click.option("--config", type=CONFIG_FILE, help="The config file; else RPPAM_CONFIG.")
@click.option("--yes", is_flag=True, help="Every node of this cluster runs this release, and none will go back.")
@click.option("--json", "as_json", is_flag=True, help="The revision as JSON.")
def contract(config: Path | None, *, yes: bool, as_json: bool) -> None:
    """Run the steps that nodes of the release before do not survive."""
    from rppam.cli.database import database_named
    from rppam.config.load import load_settings
    from rppam.db.database import Database
    from rppam.kernel.actor import Actor, ActorKind, acting
    from rppam.ledger.model import Entity
    from rppam.ledger.record import record
    from rppam.settings.files import problems_of

    settings = load_settings(config, check_pushed=problems_of)
    if not yes:
        raise click.UsageError(
            "nodes of the release before stop working by it; expected --yes, once 'rppam status' shows one version"
        )

    async def run() -> str:
        database = Database(settings.database.url, settings.database.timeout_ms, node=settings.node.node_name)
        try:
            await database.start(creates=False)
            revision = await database.contract()
            target, facts = Entity("database"), {"revision": revision}
            await database.write(lambda connection: record(connection, "database.contract", target, details=facts))
            return revision
        finally:
            await database.stop()

    with acting(Actor(ActorKind.HOST, name=getuser())), database_named(settings):
        revision = asyncio.run(run())
    if as_json:
        click.echo(json.dumps({"revision": revision}))
    else:
        click.echo(f"The database's tables are at revision {revision}; nothing waits any more.")
