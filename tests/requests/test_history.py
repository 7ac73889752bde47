"""The history of who had access outlives the person, the account and the entry that it was about."""

import pytest

from tests.requests.people import furnish, hire, person
from tests.requests.test_api import GRANTS, REQUESTS, actions, ask, sweep
from tests.support.served import Served
from tests.vault.people import ENTRIES, FOLDERS, host

pytestmark = pytest.mark.integration


async def test_history_is_there_after_its_person_account_and_entry_are_deleted(open_vault: Served) -> None:
    await hire(open_vault.database)
    await furnish(open_vault.database)
    admin = host(open_vault)
    entry = await admin.entry(accountId="acc-1")
    [folder] = (await admin.get(FOLDERS)).json()["items"]
    listed = {"items": [{"role": "pam_user", "rights": ["list"]}]}
    assert (await admin.put(f"{FOLDERS}/{folder['id']}/rights", **listed)).status_code == 200
    ursula, anna = await person(open_vault, "ursula"), await person(open_vault, "anna")
    wishes = ({"reason": "of the account"}, {"accountId": None, "entryId": entry["id"], "reason": "of the entry"})
    made = [await ask(ursula, **wish) for wish in wishes]
    for one in made:
        done = await anna.post(f"{REQUESTS}/{one['id']}/approve", note="go on")
        assert done.status_code == 200, done.text
    for path in (
        f"{ENTRIES}/{entry['id']}",
        "/api/v1/accounts/acc-1",
        "/api/v1/users/id-ursula",
        "/api/v1/users/id-anna",
    ):
        gone = await admin.delete(path)
        assert gone.status_code == 204, (path, gone.text)
    await sweep(open_vault)
    for one, name in zip(made, ("deploy@web1", "root"), strict=True):
        found = (await admin.get(f"{REQUESTS}/{one['id']}")).json()
        assert (found["requester"], found["objectName"], found["state"]) == ("ursula", name, "revoked"), found
        assert (found["reason"], found["why"]) == (one["reason"], "the account was disabled")
        [decided] = [who for who in found["approvers"] if who["verdict"]]
        assert (decided["username"], decided["verdict"], decided["note"]) == ("anna", "approve", "go on")
        grant = (await admin.get(f"{GRANTS}/{found['grantId']}")).json()
        assert (grant["state"], grant["endedWhy"]) == ("revoked", "the account was disabled")
    listed_now = (await admin.get(REQUESTS)).json()["items"]
    assert {one["id"] for one in listed_now} == {one["id"] for one in made}
    assert len((await admin.get(f"{GRANTS}?live=false")).json()["items"]) == 2
    told = await actions(open_vault)
    assert (told.count("grant.create"), told.count("grant.revoke")) == (2, 2)
