"""Nothing that the ledger signs names anybody: planted addresses, programs and names, searched for in every event."""

import re
from typing import Final

import httpx
from sqlalchemy import select

from rppam.access.accounts.tables import users
from rppam.db.database import Database
from rppam.ledger.store import Query, SqlLedger
from rppam.ledger.tables import audit_events
from tests.support.served import Served

ADDRESS: Final = "127.83.46.19"
AGENT: Final = "Planted/83.46"


async def plant(served: Served) -> None:
    """Ask from an address and by a program that nothing else has."""
    await served.http.aclose()
    transport = httpx.AsyncHTTPTransport(local_address=ADDRESS)
    headers = {"User-Agent": AGENT}
    served.http = httpx.AsyncClient(
        base_url=served.url, timeout=10, trust_env=False, transport=transport, headers=headers
    )


async def acts(database: Database) -> set[str]:
    """The actions that were recorded."""
    wanted = select(audit_events.c.action).distinct()
    return set(await database.read(lambda connection: connection.execute(wanted).scalars().all()))


async def names_nobody(served: Served) -> None:
    """No signed text has the name of an account, the planted address or program; and who reads it is told them."""
    wanted = select(audit_events.c.action, audit_events.c.body)
    names = await served.database.read(lambda connection: connection.execute(select(users.c.name)).scalars().all())
    rows = await served.database.read(lambda connection: connection.execute(wanted).all())
    words = [*names, ADDRESS, AGENT]
    found = re.compile("|".join(rf"(?<![\w-]){re.escape(word)}(?![\w-])" for word in words), re.IGNORECASE)
    named = [(row.action, hit[0], row.body) for row in rows if (hit := found.search(row.body))]
    assert not named, "\n".join(map(str, named))
    if served.http.headers["User-Agent"] != AGENT:
        return
    told = [event.document() for event in await SqlLedger(served.database).events(Query(limit=10_000))]
    assert any(one["actor"]["address"] == ADDRESS for one in told), "the address was planted"
