"""What a command does on this host, recorded in the ledger: afterwards, or before.

Such an act changes files or Redis. Most must be possible while the database is away: where they cannot be recorded
afterwards, a line on stderr says so and the command succeeds all the same. One that can wait is recorded before it is
done, and not done where that fails. Neither promises the one transaction that acts on the database have.
"""

import asyncio
from getpass import getuser
from typing import TYPE_CHECKING

from rppam.cli.errors import tell

if TYPE_CHECKING:
    from rppam.config.settings import Settings
    from rppam.ledger.acts import Act


def record_on_host(settings: "Settings", act: "Act") -> bool:
    """Record ``act`` in the name of who runs the command; where that fails say so. Whether it stands."""
    from rppam.kernel.errors import RppamError

    try:
        record_before(settings, act)
    except (RppamError, OSError) as error:
        tell(f"{act.action} is not recorded in the ledger: {error}")
        return False
    return True


def record_before(settings: "Settings", act: "Act") -> None:
    """As :func:`record_on_host`, and raises what keeps it from being recorded: RppamError or OSError.

    A database that is still to be made has no ledger, and keeps from nothing.
    """
    from rppam.cli.database import database_named
    from rppam.db.database import Database
    from rppam.db.url import is_not_made, parse_database_url
    from rppam.kernel.actor import Actor, ActorKind, acting
    from rppam.ledger.record import record

    url = parse_database_url(settings.database.url, None)
    if is_not_made(url):
        return

    async def run() -> None:
        database = Database(settings.database.url, settings.database.timeout_ms, node=settings.node.node_name)
        action, target, details = act
        try:
            await database.start(creates=False)
            await database.write(lambda connection: record(connection, action, target, details=details))
        finally:
            await database.stop()

    with acting(Actor(ActorKind.HOST, name=getuser())), database_named(settings):
        asyncio.run(run())
