"""Who manages a folder sees none of its secrets, and comes to none by a move, another account or another policy."""

from typing import Any

import httpx
import pytest

from tests.requests.people import furnish
from tests.support.served import Served
from tests.vault.people import ENTRIES, FOLDERS, SECRET, Person, actions, host, let, person

pytestmark = pytest.mark.integration
WIDENS = (403, "RPPAM-8416")


def said(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


async def folders(served: Served, **who_may: tuple[str, ...]) -> dict[str, str]:
    """Folders by path; ``a="manage"``: what ursula may in the folder ``a``."""
    admin = host(served)
    found = {}
    for path, rights in who_may.items():
        found[path] = (await admin.made(FOLDERS, path=path))["id"]
        if rights:
            await let(served, path, "ursula", *rights)
    return found


async def test_a_manager_moves_no_entry_to_where_somebody_sees_it(open_vault: Served) -> None:
    admin, ursula = host(open_vault), await person(open_vault, "ursula")
    both = ("manage", "reveal")
    made = await folders(open_vault, a=("manage",), b=both, c=("manage",), d=both)
    rights = f"{FOLDERS}/{made['c']}/rights"
    items = [*(await admin.get(rights)).json()["items"], {"role": "pam_admin", "rights": ["reveal"]}]
    assert (await admin.put(rights, items=items)).status_code == 200
    entry = await admin.entry(folder="a", exclusive=False)
    path = f"{ENTRIES}/{entry['id']}"
    refused = await ursula.put(path, folder="b")
    assert said(refused) == WIDENS, refused.text
    assert "pam_admin" in refused.text
    assert (await ursula.get(path)).json()["folder"] == "a"
    below = await ursula.put(path, folder="b/new")
    assert said(below) == WIDENS, "rights hold below"
    assert said(await ursula.reveal(entry)) == (403, "RPPAM-8407")
    assert (await ursula.put(path, folder="c")).status_code == 200, (
        "nobody has more there: administrators see everything anyway"
    )
    assert (await admin.put(path, folder="b")).status_code == 200
    assert (await ursula.reveal(entry)).json()["fields"] == {"password": SECRET}
    assert (await ursula.put(path, folder="d")).status_code == 200, "she sees it already"


async def test_nor_to_where_somebody_else_sees_or_uses_it(open_vault: Served) -> None:
    admin, ursula = host(open_vault), await person(open_vault, "ursula")
    await person(open_vault, "audrey")
    await folders(
        open_vault, a=("manage",), seen=("manage",), used=("manage",), same=("manage",), held=("manage", "use")
    )
    await let(open_vault, "a", "audrey", "use")
    await let(open_vault, "seen", "audrey", "reveal")
    await let(open_vault, "same", "audrey", "use")
    items = [{"role": "pam_approver", "rights": ["use"]}]
    [used] = [one for one in (await admin.get(FOLDERS)).json()["items"] if one["path"] == "used"]
    there = (await admin.get(f"{FOLDERS}/{used['id']}/rights")).json()["items"]
    assert (await admin.put(f"{FOLDERS}/{used['id']}/rights", items=there + items)).status_code == 200
    entry = await admin.entry(folder="a")
    path = f"{ENTRIES}/{entry['id']}"
    for folder in ("seen", "used", "held"):
        assert said(await ursula.put(path, folder=folder)) == WIDENS, folder
    assert (await ursula.put(path, folder="same")).status_code == 200
    assert (await admin.put(path, folder="held")).status_code == 200
    assert (await ursula.put(path, folder="used")).status_code == 200, "what she may use others may use by her"


async def test_what_a_role_has_its_users_have_before_a_move(open_vault: Served) -> None:
    admin, ursula = host(open_vault), await person(open_vault, "ursula")
    await person(open_vault, "audrey")
    made = await folders(open_vault, a=("manage",), b=("manage",))
    entry = await admin.entry(folder="a")
    await let(open_vault, "b", "audrey", "use")
    path = f"{ENTRIES}/{entry['id']}"
    assert said(await ursula.put(path, folder="b")) == WIDENS
    there = (await admin.get(f"{FOLDERS}/{made['a']}/rights")).json()["items"]
    items = [*there, {"role": "pam_auditor", "rights": ["use"]}]
    assert (await admin.put(f"{FOLDERS}/{made['a']}/rights", items=items)).status_code == 200
    assert (await ursula.put(path, folder="b")).status_code == 200, "audrey could use it before"


async def test_a_manager_moves_no_folder_to_where_somebody_sees_it(open_vault: Served) -> None:
    admin, ursula = host(open_vault), await person(open_vault, "ursula")
    made = await folders(open_vault, a=("manage",), b=("manage", "reveal"), c=("manage",))
    entry = await admin.entry(folder="a/deep", exclusive=False)
    refused = await ursula.put(f"{FOLDERS}/{made['a']}", path="b/a")
    assert said(refused) == WIDENS, refused.text
    assert said(await ursula.reveal(entry)) == (403, "RPPAM-8407")
    assert (await ursula.put(f"{FOLDERS}/{made['a']}", path="c/a")).status_code == 200
    assert (await admin.get(f"{ENTRIES}/{entry['id']}")).json()["folder"] == "c/a/deep"
    assert (await admin.put(f"{FOLDERS}/{made['a']}", path="b/a")).status_code == 200
    assert (await ursula.reveal(entry)).json()["fields"] == {"password": SECRET}


async def test_the_rights_on_a_folder_do_not_come_over_what_lies_below_another_place(open_vault: Served) -> None:
    admin, ursula = host(open_vault), await person(open_vault, "ursula")
    made = await folders(open_vault, servers=("manage",), mine=("manage", "reveal"))
    entry = await admin.entry(folder="servers/linux/prod", exclusive=False)
    # Nobody has made servers/linux: her own folder, with her rights on it, would stand above the entry.
    refused = await ursula.put(f"{FOLDERS}/{made['mine']}", path="servers/linux")
    assert said(refused) == WIDENS, refused.text
    assert said(await ursula.reveal(entry)) == (403, "RPPAM-8407")
    assert (await ursula.put(f"{FOLDERS}/{made['mine']}", path="servers/windows")).status_code == 200
    own = await ursula.put(f"{FOLDERS}/{made['servers']}/rights", items=[{"userId": "id-ursula", "rights": ["reveal"]}])
    assert said(own) == (403, "RPPAM-8407")


async def grant(served: Served, ursula: Person) -> None:
    """What she has asked for and got: to see what the account ``acc-1`` has."""
    body = {"name": "p", "level": "default", "approvalMode": "auto_approve"}
    assert (await host(served).post("/api/v1/approval-policies", **body)).status_code == 201
    asked = await ursula.made("/api/v1/access-requests", accountId="acc-1", reason="x", rights=["reveal"], minutes=30)
    assert asked["state"] == "approved"


async def test_a_manager_points_no_entry_at_an_account_that_somebody_has_a_grant_for(open_vault: Served) -> None:
    admin, ursula = host(open_vault), await person(open_vault, "ursula")
    account = await furnish(open_vault.database)
    await folders(open_vault, a=("manage",), b=("manage", "reveal"))
    entry = await admin.entry(folder="a", exclusive=False)
    path = f"{ENTRIES}/{entry['id']}"
    await grant(open_vault, ursula)
    for body in ({"accountId": account}, {"accountId": account, "fields": {"password": "new"}}):
        refused = await ursula.put(path, **body)
        assert said(refused) == WIDENS, refused.text
    assert said(await ursula.reveal(entry)) == (403, "RPPAM-8407")
    assert (await admin.put(path, accountId=account)).status_code == 200
    assert (await ursula.put(path, accountId=account, description="as it is")).status_code == 200
    assert (await ursula.put(path, accountId="")).status_code == 200, "of no account it is for fewer"
    # Where another account rotates it, it would change that one's password, and she would see it.
    known = await admin.entry(folder="b")
    assert said(await ursula.put(f"{ENTRIES}/{known['id']}", accountId=account)) == WIDENS, "though she sees it"


async def test_a_grant_is_no_reason_to_keep_what_it_shows_for_a_while(open_vault: Served) -> None:
    admin, ursula = host(open_vault), await person(open_vault, "ursula")
    account = await furnish(open_vault.database)
    await folders(open_vault, a=("manage",), b=("manage", "reveal"))
    entry = await admin.entry(folder="a", exclusive=False, accountId=account)
    await grant(open_vault, ursula)
    assert (await ursula.reveal(entry)).status_code == 200
    assert said(await ursula.put(f"{ENTRIES}/{entry['id']}", folder="b")) == WIDENS


@pytest.mark.parametrize(
    ("was", "shall_be"), [("never", "with-reason"), ("never", "with-approval"), ("with-approval", "with-reason")]
)
async def test_only_an_administrator_has_an_entry_shown_more_easily(
    open_vault: Served, was: str, shall_be: str
) -> None:
    admin, ursula = host(open_vault), await person(open_vault, "ursula")
    await folders(open_vault, a=("manage", "reveal"), b=("manage", "reveal"))
    entry = await admin.entry(folder="a", exclusive=False, reveal=was)
    path = f"{ENTRIES}/{entry['id']}"
    changes: tuple[dict[str, Any], ...] = ({"reveal": shall_be}, {"reveal": shall_be, "folder": "b"})
    for body in changes:
        assert said(await ursula.put(path, **body)) == WIDENS
    assert (await admin.put(path, reveal=shall_be)).status_code == 200
    assert (await ursula.put(path, reveal=was)).status_code == 200, "whom fewer see"


async def test_who_is_refused_stands_in_the_ledger_and_has_changed_nothing(open_vault: Served) -> None:
    admin, ursula = host(open_vault), await person(open_vault, "ursula")
    made = await folders(open_vault, a=("manage",), b=("manage", "reveal"), c=("list",))
    entry = await admin.entry(folder="a", exclusive=False)
    for path, body in (
        (f"{ENTRIES}/{entry['id']}", {"folder": "b"}),
        (f"{ENTRIES}/{entry['id']}", {"folder": "c"}),
        (f"{FOLDERS}/{made['a']}", {"path": "b/a"}),
        (f"{FOLDERS}/{made['c']}", {"path": "d"}),
    ):
        assert (await ursula.put(path, **body)).status_code == 403
    unknown = await ursula.put(f"{ENTRIES}/{entry['id']}", folder="nowhere")
    assert unknown.status_code == 404
    invalid = await admin.put(f"{ENTRIES}/{entry['id']}", accountId="nobody")
    assert invalid.status_code == 400
    for action, ident in (("secret.change", entry["id"]), ("folder.change", made["a"]), ("folder.change", made["c"])):
        told = [one for one in await actions(open_vault, action) if one["object"]["id"] == ident]
        assert {(one["outcome"], one["actor"]["name"]) for one in told} == {("failure", "ursula")}, action
        codes = [one["reason"].partition(":")[0] for one in told]
        expected = {"secret.change": ["RPPAM-8407", "RPPAM-8416"]}.get(action)
        assert sorted(codes) == (expected or [{made["a"]: "RPPAM-8416", made["c"]: "RPPAM-8407"}[ident]])
    # Who changed it last is whoever did, not who tried.
    path = f"{ENTRIES}/{entry['id']}"
    assert (await admin.put(path, description="as it is")).status_code == 200
    assert (await ursula.put(path, folder="b")).status_code == 403
    stale = {**ursula.headers, "If-Match": '"1"'}
    answer = await open_vault.http.put(path, json={"description": "x"}, headers=stale)
    assert (answer.status_code, answer.json()["changedBy"]) == (412, "admin"), answer.text
