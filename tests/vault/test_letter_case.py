"""Folders whose paths differ in case alone are two, also where the database's LIKE knows no case."""

import pytest

from rppam.access.accounts.model import AccountRole
from rppam.access.sessions.model import Identity, SessionKind
from rppam.kernel.instant import WallMs
from rppam.vault.list_store import entries_page
from rppam.vault.model import Right, Search
from rppam.vault.policy import Access
from rppam.vault.ports import Grant
from tests.support.served import Served
from tests.vault.people import ENTRIES, FOLDERS, host, let, person

pytestmark = pytest.mark.integration


async def paths(served: Served) -> list[str]:
    return [one["path"] for one in (await host(served).get(FOLDERS)).json()["items"]]


async def test_a_folder_that_moves_takes_no_other_along(open_vault: Served) -> None:
    admin = host(open_vault)
    made = {path: await admin.made(FOLDERS, path=path) for path in ("team", "team/a", "Team/b", "TEAM", "TEAM/c")}
    assert (await admin.put(f"{FOLDERS}/{made['team']['id']}", path="crew")).status_code == 200
    assert sorted(await paths(open_vault)) == ["TEAM", "TEAM/c", "Team/b", "crew", "crew/a"]


async def test_who_manages_one_brings_no_secret_of_the_other_to_where_it_is_seen(open_vault: Served) -> None:
    admin, ursula = host(open_vault), await person(open_vault, "ursula")
    own = (await admin.made(FOLDERS, path="a"))["id"]
    await admin.made(FOLDERS, path="seen")
    await let(open_vault, "a", "ursula", "manage")
    await let(open_vault, "seen", "ursula", "manage", "reveal")
    entry = await admin.entry(folder="A/secret", exclusive=False)
    assert (await ursula.put(f"{FOLDERS}/{own}", path="seen/x")).status_code == 200
    assert (await ursula.get(f"{ENTRIES}/{entry['id']}")).status_code == 404
    assert (await ursula.reveal(entry)).status_code == 404
    assert (await admin.get(f"{ENTRIES}/{entry['id']}")).json()["folder"] == "A/secret"


async def test_who_has_a_grant_besides_is_shown_and_counted_nothing_of_the_other(open_vault: Served) -> None:
    admin = host(open_vault)
    await admin.entry("mine", folder="team/x")
    await admin.entry("hidden", folder="Team/x")
    ursula = Identity("ursula", "id-ursula", frozenset({AccountRole.USER}), "s", SessionKind.LOGIN, mfa=True)
    elsewhere = Grant("g", frozenset({Right.USE}), WallMs(2**52), entry_id="another")
    access = Access(ursula, {"team": frozenset({Right.LIST})}, [elsewhere])
    found, total = await open_vault.database.read(lambda connection: entries_page(connection, access, Search(1, 50)))
    assert ([one.name for one in found], total) == (["mine"], 1)
