"""Tags and owners of entries: kept, changed, searched for, recorded; and no right comes from either."""

from typing import Any

import pytest
from sqlalchemy import insert, update

from rppam.access.accounts.tables import users
from rppam.vault.tables import vault_entries, vault_entry_tags
from tests.support.served import Served
from tests.vault.people import ENTRIES, FOLDERS, Person, actions, host, let, person
from tests.vault.test_command import run, said

pytestmark = pytest.mark.integration


async def names(who: Person, query: str) -> list[str]:
    answer = await who.get(f"{ENTRIES}?{query}")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["total"] == len(found["items"])
    return [one["name"] for one in found["items"]]


async def test_entries_are_found_by_all_their_tags_and_by_their_owner(open_vault: Served) -> None:
    admin = host(open_vault)
    await person(open_vault, "ursula")
    made = await admin.entry("one", tags=["Prod", " linux ", "prod", ""], ownerId="id-ursula")
    assert (made["tags"], made["ownerId"], made["ownerName"]) == (["linux", "prod"], "id-ursula", "ursula")
    await admin.entry("two", tags=["prod"])
    await admin.entry("three", ownerId="id-ursula", folder="other")
    assert await names(admin, "tag=prod") == ["one", "two"]
    assert await names(admin, "tag=PROD&tag=linux") == ["one"]
    assert await names(admin, "tag=pro") == []
    assert await names(admin, "ownerId=id-ursula") == ["three", "one"]
    assert await names(admin, "ownerId=id-ursula&tag=prod&search=on&folder=servers") == ["one"]
    assert await names(admin, "search=o&tag=prod") == ["one", "two"]
    assert (await admin.get(f"{ENTRIES}?tag=a%20b")).json()["code"] == "RPPAM-8402"


async def test_what_is_left_out_of_a_change_stays_and_each_change_is_recorded(open_vault: Served) -> None:
    admin = host(open_vault)
    await person(open_vault, "ursula")
    entry = await admin.entry(tags=["prod"], ownerId="id-ursula")
    path = f"{ENTRIES}/{entry['id']}"
    same = (await admin.put(path, tags=["prod"], ownerId="id-ursula")).json()
    assert same["revision"] == entry["revision"], "nothing changed"
    described = (await admin.put(path, description="the first")).json()
    assert (described["tags"], described["ownerName"]) == (["prod"], "ursula")
    tagged = (await admin.put(path, tags=["db", "prod"])).json()
    assert (tagged["tags"], tagged["ownerId"]) == (["db", "prod"], "id-ursula")
    bare = (await admin.put(path, tags=[], ownerId="")).json()
    assert (bare["tags"], bare["ownerId"], bare["ownerName"]) == ([], None, None)
    assert bare["revision"] == entry["revision"] + 3
    told = [one["details"] for one in await actions(open_vault, "secret.change")]
    assert told == [{"description": "the first"}, {"tags": ["db", "prod"]}, {"tags": [], "owner_id": ""}]
    [first] = [one["details"] for one in await actions(open_vault, "secret.create")]
    assert (first["tags"], first["owner_id"]) == (["prod"], "id-ursula")


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"tags": ["two words"]}, "tags"),
        ({"tags": [f"t{number}" for number in range(33)]}, "tags"),
        ({"ownerId": "nobody"}, "ownerId"),
    ],
)
async def test_what_is_no_tag_or_owner_is_refused_and_nothing_is_changed(
    open_vault: Served, wrong: dict[str, Any], word: str
) -> None:
    admin = host(open_vault)
    entry = await admin.entry(tags=["prod"])
    for answer in (
        await admin.post(ENTRIES, **{"name": "x", "type": "note", "fields": {"text": "x"}, **wrong}),
        await admin.put(f"{ENTRIES}/{entry['id']}", **wrong),
    ):
        assert answer.status_code == 400, answer.text
        assert word in answer.text
    assert await names(admin, "") == ["root"]
    assert await names(admin, "tag=prod") == ["root"]


async def test_an_owner_who_has_gone_stays_and_may_be_kept(open_vault: Served) -> None:
    admin = host(open_vault)
    await person(open_vault, "ursula")
    entry = await admin.entry(ownerId="id-ursula")
    gone = update(users).where(users.c.id == "id-ursula").values(deleted_at=1)
    await open_vault.database.write(lambda connection: connection.execute(gone).close())
    path = f"{ENTRIES}/{entry['id']}"
    shown = (await admin.get(path)).json()
    assert (shown["ownerId"], shown["ownerName"]) == ("id-ursula", None)
    assert (await admin.put(path, **shown | {"description": "x"})).status_code == 200
    assert (await admin.put(f"{ENTRIES}/{(await admin.entry('two'))['id']}", ownerId="id-ursula")).status_code == 400


async def test_an_owner_has_no_right_by_it_and_sees_no_others_by_a_tag(open_vault: Served) -> None:
    admin, ursula = host(open_vault), await person(open_vault, "ursula")
    entry = await admin.entry(tags=["prod"], ownerId="id-ursula", folder="a")
    await admin.entry("seen", tags=["prod"], folder="b")
    assert (await ursula.get(f"{ENTRIES}/{entry['id']}")).status_code == 404
    assert await names(ursula, "tag=prod") == []
    await let(open_vault, "b", "ursula", "list")
    assert await names(ursula, "tag=prod") == ["seen"]
    assert [one["path"] for one in (await ursula.get(FOLDERS)).json()["items"]] == ["b"]


async def test_tags_go_with_their_entry(open_vault: Served) -> None:
    admin = host(open_vault)
    entry = await admin.entry(tags=["prod"])
    assert (await admin.delete(f"{ENTRIES}/{entry['id']}")).status_code == 204
    left = await open_vault.database.read(lambda connection: connection.execute(vault_entry_tags.select()).all())
    assert left == []


async def test_an_entry_of_a_node_of_the_release_before_has_none(open_vault: Served) -> None:
    """Which writes a row without the column."""
    admin = host(open_vault)
    await admin.entry()

    def older(connection: Any) -> None:
        row = dict(connection.execute(vault_entries.select()).one()._mapping) | {"id": "older", "name": "older"}
        del row["owner_id"]
        connection.execute(insert(vault_entries).values(**row)).close()

    await open_vault.database.write(older)
    shown = (await admin.get(f"{ENTRIES}/older")).json()
    assert (shown["tags"], shown["ownerId"]) == ([], None)


async def test_the_command_sets_tags_and_owner_and_lists_by_them(open_vault: Served) -> None:
    await person(open_vault, "ursula")
    words = ("vault", "put", "servers/root", "--generate", "--tag", "prod", "--tag", "linux", "--owner", "ursula")
    made = await said(open_vault, *words)
    assert (made["tags"], made["ownerName"]) == (["linux", "prod"], "ursula")
    await said(open_vault, "vault", "put", "servers/other", "--generate", "--tag", "prod")
    listed = (await run(open_vault, "vault", "ls", "--tag", "prod", "--owner", "ursula")).stdout
    assert "linux,prod" in listed
    assert "other" not in listed
    bare = await said(open_vault, "vault", "put", "servers/root", "--tag", "")
    assert (bare["tags"], bare["version"], bare["ownerName"]) == ([], 1, "ursula")
    nobody = await run(open_vault, "vault", "ls", "--owner", "nobody", code=1)
    assert "nobody" in nobody.stderr
