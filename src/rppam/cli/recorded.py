"""What a command did on this host, recorded in the ledger afterwards.

Such an act changes files or Redis, and must be possible while the database is away: where it cannot be recorded, a line
on stderr says so and the command succeeds all the same. It does not promise the one transaction that acts on the
database have.
"""

import asyncio
from getpass import getuser
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rppam.config.settings import Settings
    from rppam.ledger.acts import Act


def record_on_host(settings: "Settings", act: "Act") -> None:
    """Record ``act`` in the name of who runs the command."""
    from rppam.db.database import Database
    from rppam.db.url import is_not_made, parse_database_url
    from rppam.kernel.actor import Actor, ActorKind, acting
    from rppam.kernel.errors import RppamError
    from rppam.ledger.record import record

    url = parse_database_url(settings.database.url, None)
    if is_not_made(url):
        return

    async def run() -> None:
        database = Database(settings.database.url, settings.database.timeout_ms, node=settings.node.node_name)
        action, target, details = act
        try:
            await database.start()
            await database.write(lambda connection: record(connection, action, target, details=details))
        finally:
            await database.stop()

    try:
        with acting(Actor(ActorKind.HOST, name=getuser())):
            asyncio.run(run())
    except (RppamError, OSError) as error:
        click.echo(f"{act.action} is not recorded in the ledger: {error}", err=True)
