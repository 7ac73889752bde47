"""Resources on both databases: who comes first pins a key, gets a name and changes a thing."""

import asyncio
import uuid

import pytest

from rppam.db.database import Database
from rppam.targets.errors import ResourceNameTaken, TargetChanged
from rppam.targets.model import Resource, ResourceKind, Search, TargetAccount, read_host_key
from rppam.targets.store import SqlResources, SqlTargetAccounts
from tests.targets.test_model import ED25519

pytestmark = pytest.mark.server


def web(name: str = "web1", **more: object) -> Resource:
    return Resource(str(uuid.uuid4()), name, ResourceKind.SSH, "10.0.0.1", 22)._replace(**more)  # type: ignore[arg-type]


async def test_of_many_at_once_one_gets_the_name_and_one_change_counts(database: Database) -> None:
    store = SqlResources(database)
    made = await asyncio.gather(*(store.create(web()) for _ in range(6)), return_exceptions=True)
    [first] = [one for one in made if isinstance(one, Resource)]
    assert sum(isinstance(one, ResourceNameTaken) for one in made) == 5
    changes = (store.change(first._replace(port=port), [1]) for port in range(1, 7))
    changed = await asyncio.gather(*changes, return_exceptions=True)
    [last] = [one for one in changed if isinstance(one, Resource)]
    assert sum(isinstance(one, TargetChanged) for one in changed) == 5
    assert await store.get(first.id) == last
    assert (last.revision, (await store.named("WEB1")).id) == (2, first.id)


async def test_the_first_contact_pins_one_key_of_a_type(database: Database) -> None:
    store = SqlResources(database)
    made = await store.create(web(tags=("a", "b")))
    key = read_host_key(ED25519)
    pinned = await asyncio.gather(*(store.pin(made.id, key, first=True) for _ in range(4)))
    assert len({one.id for one in pinned}) == 1
    assert (await store.page(Search(tags=("a", "b")))).total == 1
    assert (await store.page(Search(tags=("a", "c")))).total == 0


async def test_accounts_of_many_resources_are_listed_with_their_tags(database: Database) -> None:
    store, accounts = SqlResources(database), SqlTargetAccounts(database)
    made = [await store.create(web(f"web{number}")) for number in range(3)]
    for one in made:
        await accounts.create(TargetAccount(str(uuid.uuid4()), one.id, "", "root", tags=("db",)))
    page = await accounts.page(Search(page_size=2, tags=("db",)))
    assert ([one.resource_name for one in page.items], page.total) == (["web0", "web1"], 3)
    assert (await accounts.named(made[2].id, "root")).tags == ("db",)
