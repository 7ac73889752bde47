"""People of a small company, with accounts in the database and log-ins at a node."""

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Connection, update

from rppam.access.accounts.model import Account, AccountRole, StoredAccount
from rppam.access.accounts.store import SqlAccounts
from rppam.access.sessions.service import Caller
from rppam.db.database import Database
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.requests.machine import MINUTE_MS
from rppam.requests.tables import access_grants, access_requests, request_approvers
from rppam.targets.model import Resource, ResourceKind, TargetAccount
from rppam.targets.store import SqlResources, SqlTargetAccounts
from tests.support.served import Served

USER, APPROVER, ADMIN = AccountRole.USER, AccountRole.APPROVER, AccountRole.ADMIN
_MOMENTS: Final = (
    (access_requests, ("created_at", "decide_by", "starts_at", "use_by", "begins_at", "until", "due_at")),
    (access_grants, ("created_at", "begins_at", "until", "use_by")),
)
ROLES = {"ursula": USER, "uwe": USER, "anna": APPROVER, "bert": APPROVER, "carl": APPROVER, "root": ADMIN}


async def hire(database: Database, names: Iterable[str] = tuple(ROLES)) -> None:
    """An account of each; its id is ``id-NAME``."""
    for name in names:
        account = Account(f"id-{name}", name, name, frozenset({ROLES[name]}), False, WallMs(1), WallMs(1))
        await SqlAccounts(database).create(StoredAccount(account, Secret("no hash")))


async def furnish(database: Database) -> str:
    """A resource with one privileged account; the account's id."""
    resource = Resource("res-1", "web1", ResourceKind.SSH, "10.0.0.1", 22)
    await SqlResources(database).create(resource)
    await SqlTargetAccounts(database).create(TargetAccount("acc-1", "res-1", "web1", "deploy"))
    return "acc-1"


async def pass_time(database: Database, minutes: float) -> None:
    """As if so much time had passed for everything that was asked for."""
    by = int(minutes * MINUTE_MS)

    def work(connection: Connection) -> None:
        for table, names in _MOMENTS:
            connection.execute(update(table).values(**{name: table.c[name] - by for name in names}))
        since = request_approvers.c.since
        connection.execute(update(request_approvers).where(since > 0).values(since=since - by))

    await database.write(work)


async def headers(node: Served, name: str, *, mfa: bool = False) -> dict[str, str]:
    """A log-in of somebody."""
    account = (await SqlAccounts(node.database).get(f"id-{name}")).account
    issued = await node.sessions.open(account, Caller("127.0.0.1", "test"), mfa=mfa)
    return {"Authorization": f"Bearer {issued.token.reveal()}"}


class Person:
    """Somebody at a node."""

    def __init__(self, node: Served, name: str, auth: dict[str, str]) -> None:
        self.node, self.name, self.auth = node, name, auth

    async def get(self, path: str) -> Any:
        return await self.node.http.get(path, headers=self.auth)

    async def post(self, path: str, **body: Any) -> Any:
        return await self.node.http.post(path, headers=self.auth, json=body)


async def person(node: Served, name: str, *, mfa: bool = False) -> Person:
    """Somebody who has logged in."""
    return Person(node, name, await headers(node, name, mfa=mfa))
