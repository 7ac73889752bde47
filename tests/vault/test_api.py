"""The vault over REST: secrets in and out, who may, what nobody hears of, versions, and two at once."""

import pytest

from tests.support.served import Served
from tests.vault.people import CHECKOUTS, ENTRIES, FOLDERS, SECRET, actions, host, let, person

pytestmark = pytest.mark.integration


async def test_a_secret_is_kept_shown_with_a_reason_and_recorded_before_it_is_answered(open_vault: Served) -> None:
    admin = host(open_vault)
    web = await admin.made("/api/v1/resources", name="web1", kind="ssh", address="10.0.0.1", port=22)
    root = await admin.made("/api/v1/accounts", resourceId=web["id"], name="root")
    entry = await admin.entry(accountId=root["id"], exclusive=True)
    assert (entry["folder"], entry["version"], entry["resourceId"]) == ("servers", 1, web["id"])
    assert SECRET not in (await admin.get(f"{ENTRIES}/{entry['id']}")).text
    shown = await admin.reveal(entry, reason="CHG123")
    assert (shown.status_code, shown.json()["fields"]) == (200, {"password": SECRET})
    assert shown.headers["cache-control"] == "no-store"
    [event] = await actions(open_vault, "secret.reveal")
    assert (event["reason"], event["details"]["fields"]) == ("CHG123", ["password"])
    assert (await admin.reveal(entry, reason=" ")).status_code == 400
    assert (await admin.reveal(entry, code="")).status_code == 200, "no code is needed here, and none was given"
    kept = await admin.delete(f"/api/v1/accounts/{root['id']}")
    assert (kept.status_code, kept.json()["code"]) == (409, "RPPAM-8306")


async def test_the_vault_says_nothing_of_what_somebody_has_no_right_on(open_vault: Served) -> None:
    admin = host(open_vault)
    ursula = await person(open_vault, "ursula")
    entry = await admin.entry()
    path = f"{ENTRIES}/{entry['id']}"
    for answer in (
        await ursula.get(path),
        await ursula.reveal(entry),
        await ursula.check_out(entry),
        await ursula.put(path, name="x"),
        await ursula.delete(path),
        await ursula.get(f"{path}/versions"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "RPPAM-8401"), answer.text
    assert (await ursula.get(ENTRIES)).json()["total"] == 0
    assert (await ursula.get(FOLDERS)).json()["items"] == []
    into = await ursula.post(ENTRIES, folder="servers", name="mine", type="note", fields={"text": "x"})
    assert (into.status_code, into.json()["code"]) == (404, "RPPAM-8405")


async def test_who_may_know_of_an_entry_hears_in_the_list_who_has_it_and_what_is_allowed(open_vault: Served) -> None:
    admin, ursula = host(open_vault), await person(open_vault, "ursula")
    entry = await admin.entry(exclusive=True)
    other = await admin.entry("other", exclusive=False)
    await let(open_vault, "servers", "ursula", "use")
    held = (await admin.check_out(entry)).json()
    assert (await admin.check_out(other)).status_code == 201, "which several may have"
    found = {one["name"]: one for one in (await ursula.get(ENTRIES)).json()["items"]}
    about = found["root"]
    assert (about["heldBy"], about["heldUntil"], about["rights"]) == (
        held["userName"],
        held["expiresAt"],
        ["list", "use"],
    )
    assert (found["other"]["heldBy"], found["other"]["heldUntil"]) == (None, None)
    one = (await ursula.get(f"{ENTRIES}/{entry['id']}")).json()
    assert one == about, "the same of one as of many"
    assert {"manage", "reveal"} <= set((await admin.get(f"{ENTRIES}/{entry['id']}")).json()["rights"])
    assert (await admin.post(f"{CHECKOUTS}/{held['id']}/checkin")).status_code == 204
    assert {one["heldBy"] for one in (await ursula.get(ENTRIES)).json()["items"]} == {None}


async def test_rights_of_folders_hold_below_and_each_lets_no_more_than_itself(open_vault: Served) -> None:
    admin, ursula = host(open_vault), await person(open_vault, "ursula")
    entry = await admin.entry(folder="servers/linux", exclusive=False)
    await admin.made(FOLDERS, path="servers")
    await let(open_vault, "servers", "ursula", "list")
    assert (await ursula.get(f"{ENTRIES}/{entry['id']}")).status_code == 200
    refused = await ursula.reveal(entry)
    assert (refused.status_code, refused.json()["code"]) == (403, "RPPAM-8407")
    assert [one["outcome"] for one in await actions(open_vault, "secret.reveal")] == ["failure"]
    await let(open_vault, "servers", "ursula", "use")
    assert (await ursula.reveal(entry)).status_code == 403
    await let(open_vault, "servers", "ursula", "reveal")
    assert (await ursula.reveal(entry)).status_code == 200
    assert (await ursula.put(f"{ENTRIES}/{entry['id']}", name="x")).status_code == 403
    await let(open_vault, "servers", "ursula", "manage")
    assert (await ursula.put(f"{ENTRIES}/{entry['id']}", name="x")).status_code == 200
    [folder] = [one for one in (await ursula.get(FOLDERS)).json()["items"] if one["path"] == "servers"]
    own = await ursula.put(f"{FOLDERS}/{folder['id']}/rights", items=[])
    assert (own.status_code, own.json()["code"]) == (403, "RPPAM-8407")


async def test_an_auditor_sees_the_history_and_no_secret(open_vault: Served) -> None:
    admin, audrey = host(open_vault), await person(open_vault, "audrey")
    entry = await admin.entry()
    assert (await audrey.get(f"{ENTRIES}/{entry['id']}/versions")).status_code == 200
    assert (await audrey.reveal(entry)).status_code == 403
    assert (await audrey.check_out(entry)).status_code == 403
    assert (await audrey.get(CHECKOUTS)).json()["total"] == 0


async def test_versions_are_kept_and_restored(open_vault: Served) -> None:
    admin = host(open_vault)
    entry = await admin.entry()
    path = f"{ENTRIES}/{entry['id']}"
    changed = await admin.put(path, fields={"password": "second", "username": "root"})
    assert (changed.status_code, changed.json()["version"]) == (200, 2), changed.text
    made_up = await admin.put(path, generate={"length": 40})
    assert made_up.json()["version"] == 3
    fields = (await admin.reveal(entry)).json()["fields"]
    assert (len(fields["password"]), fields["username"]) == (40, "root")
    restored = await admin.post(f"{path}/versions/1/restore")
    assert restored.json()["version"] == 4
    assert (await admin.reveal(entry)).json()["fields"] == {"password": SECRET}
    assert (await admin.reveal(entry, version=2)).json()["fields"]["password"] == "second"
    listed = (await admin.get(f"{path}/versions")).json()["items"]
    assert [(one["version"], one["state"]) for one in listed] == [
        (4, "current"),
        (3, "previous"),
        (2, "previous"),
        (1, "previous"),
    ]
    missing = await admin.post(f"{path}/versions/9/restore")
    assert (missing.status_code, missing.json()["code"]) == (404, "RPPAM-8414")


async def test_of_two_who_change_one_entry_the_second_hears_of_it(open_vault: Served) -> None:
    admin = host(open_vault)
    entry = await admin.entry()
    path = f"{ENTRIES}/{entry['id']}"
    read = (await admin.get(path)).json()
    assert (await admin.put(path, **read | {"description": "one"})).status_code == 200
    second = await admin.put(path, **read | {"description": "two"}, fields={"password": "lost"})
    assert (second.status_code, second.json()["code"]) == (409, "RPPAM-8404")
    assert (await admin.reveal(entry)).json()["fields"] == {"password": SECRET}
    folder = (await admin.get(FOLDERS)).json()["items"][0]
    del folder["rights"]
    assert (await admin.put(f"{FOLDERS}/{folder['id']}", **folder | {"description": "one"})).status_code == 200
    assert (await admin.put(f"{FOLDERS}/{folder['id']}", **folder | {"description": "two"})).status_code == 409
    assert (await admin.put(f"{FOLDERS}/{folder['id']}/rights", items=[], revision=1)).status_code == 409


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "pigeon"},
        {"fields": {}},
        {"fields": {"username": "root"}},
        {"fields": {"a b": "x", "password": "x"}},
        {"fields": {"password": 5}},
        {"folder": "a/../b"},
        {"name": "a/b"},
        {"accountId": "none"},
        {"reveal": "always"},
        {"generate": {"length": 2}},
    ],
)
async def test_what_cannot_be_an_entry_is_refused_and_never_repeated(
    open_vault: Served, wrong: dict[str, object]
) -> None:
    body = {"folder": "servers", "name": "root", "type": "password", "fields": {"password": "HUSH"}, **wrong}
    answer = await host(open_vault).post(ENTRIES, **body)
    assert answer.status_code == 400, answer.text
    assert "HUSH" not in answer.text


async def test_half_a_character_in_a_secret_is_refused(open_vault: Served) -> None:
    headers = host(open_vault).headers | {"Content-Type": "application/json"}
    body = b'{"folder": "", "name": "x", "type": "note", "fields": {"text": "\\ud800"}}'
    answer = await open_vault.http.post(ENTRIES, content=body, headers=headers)
    assert answer.status_code == 400, answer.text


async def test_an_entry_is_only_used_where_its_policy_says_so(open_vault: Served) -> None:
    admin = host(open_vault)
    never = await admin.entry("never", reveal="never")
    asked = await admin.entry("asked", reveal="with-approval")
    for entry in (never, asked):
        answer = await admin.reveal(entry)
        assert (answer.status_code, answer.json()["code"]) == (403, "RPPAM-8407")


async def test_folders_move_with_what_lies_in_them(open_vault: Served) -> None:
    admin = host(open_vault)
    entry = await admin.entry(folder="a/b")
    top = await admin.made(FOLDERS, path="a")
    assert (await admin.post(FOLDERS, path="a")).status_code == 409
    assert (await admin.put(f"{FOLDERS}/{top['id']}", path="z")).status_code == 200
    assert (await admin.get(f"{ENTRIES}/{entry['id']}")).json()["folder"] == "z/b"
    assert (await admin.get(f"{ENTRIES}?folder=z")).json()["total"] == 1
    [below] = [one for one in (await admin.get(FOLDERS)).json()["items"] if one["path"] == "z/b"]
    kept = await admin.delete(f"{FOLDERS}/{below['id']}")
    assert (kept.status_code, kept.json()["code"]) == (409, "RPPAM-8406")
    assert (await admin.delete(f"{ENTRIES}/{entry['id']}")).status_code == 204
    assert (await admin.delete(f"{FOLDERS}/{below['id']}")).status_code == 204


async def test_showing_a_secret_takes_a_factor_unless_the_config_says_no(served: Served) -> None:
    entry = await host(served).entry()
    by_host = await host(served).reveal(entry)
    assert (by_host.status_code, by_host.json()["code"]) == (403, "RPPAM-8409")
    ada = await person(served, "admin")
    without = await ada.reveal(entry)
    assert (without.status_code, without.json()["code"]) == (403, "RPPAM-8409")
    wrong = await ada.reveal(entry, code="123456")
    assert wrong.status_code == 409, wrong.text
    assert await actions(served, "secret.reveal") == []
