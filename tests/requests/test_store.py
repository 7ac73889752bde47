"""Requests on both databases: what is decided at one instant, and a leader of the past."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, update

from rppam.access.accounts.model import UserChange
from rppam.access.accounts.store import SqlAccounts
from rppam.cluster.health.ports import Authority
from rppam.db.database import Database
from rppam.http.errors import FencedError
from rppam.kernel.errors import RppamError
from rppam.requests.errors import QuotaUsed, RequestError
from rppam.requests.machine import CountsFrom, State, Verdict
from rppam.requests.model import Level, Mode, ObjectKind, Policy, Record, Right, Rules, Wanted
from rppam.requests.policies_store import SqlPolicies
from rppam.requests.store import SqlRequests
from rppam.requests.tables import access_grants
from rppam.requests.vault_grants import VaultGrants
from rppam.requests.wiring import find_object
from rppam.targets.model import Resource, ResourceKind, TargetAccount
from rppam.targets.store import SqlResources, SqlTargetAccounts
from rppam.vault.model import Right as VaultRight
from tests.requests.people import furnish, hire

pytestmark = [pytest.mark.integration, pytest.mark.server]
WANTED = Wanted(ObjectKind.ACCOUNT, "acc-1", "", (Right.USE,), 30, "disk is full")
APPROVERS = ("id-anna", "id-bert", "id-carl", "id-root")


async def ready(database: Database, **rules: Any) -> SqlRequests:
    await hire(database)
    await furnish(database)
    policy = Policy("p", "p", Level.DEFAULT, "", 0, Rules(**rules), 1)
    await SqlPolicies(database).create(policy)
    return SqlRequests(database, find_object)


async def outcome(work: Any) -> object:
    try:
        return await work
    except RppamError as error:
        return error


async def grants(database: Database) -> int:
    count: int = await database.read(lambda c: c.execute(select(func.count()).select_from(access_grants)).scalar_one())
    return count


async def test_many_decisions_at_one_instant_make_one_grant(url: str, open_database: Callable[..., Any]) -> None:
    nodes = [await open_database(url, 20_000) for _ in range(3)]
    first = await ready(nodes[0], mode=Mode.MULTI, approvals=2, counts_from=CountsFrom.APPROVAL)
    stores = [first, *(SqlRequests(node, find_object) for node in nodes[1:])]
    for round_ in range(4):
        made = await first.create("id-ursula", WANTED)
        acts = [outcome(store.decide(made.request.id, by, Verdict.APPROVE)) for store in stores for by in APPROVERS] + [
            outcome(store.decide(made.request.id, "id-ursula", Verdict.APPROVE)) for store in stores
        ]
        found = await asyncio.gather(*acts)
        assert sum(isinstance(one, Record) for one in found) == 2, found
        assert all(isinstance(one, Record | RequestError) for one in found), found
        after = await first.get(made.request.id)
        assert (after.request.state, len(after.request.decisions)) == (State.ACTIVE, 2)
        assert await grants(nodes[0]) == round_ + 1
        await asyncio.gather(*(outcome(store.cancel(made.request.id, "id-ursula")) for store in stores))
        assert (await first.get(made.request.id)).request.state is State.ENDED


async def test_disabling_and_approving_at_once_come_one_after_the_other(database: Database) -> None:
    store, accounts = await ready(database), SqlAccounts(database)
    for _ in range(5):
        made = await store.create("id-ursula", WANTED)
        await asyncio.gather(
            outcome(store.decide(made.request.id, "id-anna", Verdict.APPROVE)),
            outcome(accounts.change("id-anna", UserChange(disabled=True))),
        )
        after = await store.get(made.request.id)
        assert after.request.state in {State.APPROVED, State.PENDING}
        refused = await outcome(store.decide(made.request.id, "id-anna", Verdict.APPROVE))
        assert isinstance(refused, RequestError)
        await accounts.change("id-anna", UserChange(disabled=False))
        await store.cancel(made.request.id, "id-ursula")


async def test_emergencies_at_one_instant_do_not_pass_the_quota(database: Database) -> None:
    store = await ready(database, emergencies_per_day=2)
    urgent = WANTED._replace(emergency=True)
    found = await asyncio.gather(*(outcome(store.create("id-ursula", urgent)) for _ in range(5)))
    assert sum(isinstance(one, Record) for one in found) == 2
    assert sum(isinstance(one, QuotaUsed) for one in found) == 3


async def test_the_first_use_begins_the_time_once(database: Database) -> None:
    store, grants_ = await ready(database, mode=Mode.AUTO), VaultGrants()
    made = await store.create("id-ursula", WANTED)
    [standing] = await database.read(lambda connection: grants_.standing(connection, "id-ursula"))
    assert (standing.account_id, standing.rights) == ("acc-1", frozenset({VaultRight.USE}))
    assert not await database.read(lambda connection: grants_.standing(connection, "id-uwe"))

    def use(connection: Connection) -> None:
        grants_.used(connection, standing.id)

    await asyncio.gather(*(database.write(use) for _ in range(4)))
    running = await store.get(made.request.id)
    assert running.request.state is State.ACTIVE
    assert running.version == made.version + 1
    await store.cancel(made.request.id, "id-ursula")
    assert not await database.read(lambda connection: grants_.standing(connection, "id-ursula"))
    with pytest.raises(RequestError):
        await database.write(use)


async def test_a_leader_of_the_past_expires_nothing(database: Database) -> None:
    store = await ready(database)
    made = await store.create("id-ursula", WANTED)
    await store.tick(Authority(7, "boot-a"), "node1", made.request.id)
    with pytest.raises(FencedError):
        await store.tick(Authority(6, "old"), "node2", made.request.id)


async def test_grants_are_paged_each_once_the_newest_first(database: Database) -> None:
    store = await ready(database, mode=Mode.AUTO)
    await SqlResources(database).create(Resource("res-2", "web2", ResourceKind.SSH, "10.0.0.2", 22))
    for number in range(7):
        account = TargetAccount(f"acc-2{number}", "res-2", "web2", f"user{number}")
        await SqlTargetAccounts(database).create(account)
        who = "id-uwe" if number % 2 else "id-ursula"
        await store.create(who, WANTED._replace(object_id=account.id))

    def one_instant(connection: Connection) -> None:
        """The middle ones are granted in the same millisecond; the id decides between them."""
        for number in range(7):
            at = 1_000_000 + (3 if 2 <= number <= 4 else number)
            named = access_grants.c.object_id == f"acc-2{number}"
            connection.execute(update(access_grants).where(named).values(created_at=at))

    await database.write(one_instant)

    async def walk(user_id: str | None, *, live: bool, size: int) -> list[str]:
        seen: list[str] = []
        after = None
        while True:
            found, after = await store.grants(user_id, live=live, after=after, size=size)
            assert len(found) == size or after is None
            seen += [one.object_id for one in found]
            if after is None:
                return seen

    everything = await walk(None, live=True, size=100)
    assert sorted(everything) == [f"acc-2{number}" for number in range(7)]
    assert [everything[place] for place in (0, 1, 5, 6)] == ["acc-26", "acc-25", "acc-21", "acc-20"]
    for size in (1, 2, 3, 7):
        assert await walk(None, live=True, size=size) == everything, size
    assert await walk("id-uwe", live=True, size=2) == [one for one in everything if int(one[-1]) % 2]
    [newest], _ = await store.grants("id-ursula", live=True, after=None, size=1)
    await store.cancel(newest.request_id, "id-ursula")
    assert "acc-26" not in await walk(None, live=True, size=2)
    assert await walk(None, live=False, size=2) == everything
    assert await store.grants(None, live=True, after="of-no-grant", size=2) == ([], None)
