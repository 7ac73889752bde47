"""From a request to a secret and back: what a grant lets its holder do with the vault, and what ends it."""

from typing import Any

import pytest

from tests.requests.people import Person, furnish, hire, person
from tests.requests.test_api import GRANTS, REQUESTS, ask, later, policy, said, sweep
from tests.support.served import Served
from tests.vault.people import CHECKOUTS, ENTRIES, SECRET, actions, host, let

pytestmark = pytest.mark.integration


@pytest.fixture
async def company(open_vault: Served) -> Served:
    await hire(open_vault.database)
    await furnish(open_vault.database)
    return open_vault


async def approved(node: Served, by: Person, *rights: str, **changes: Any) -> dict[str, Any]:
    made = await ask(by, rights=list(rights), **changes)
    anna = await person(node, "anna")
    done = await anna.post(f"{REQUESTS}/{made['id']}/approve")
    assert done.status_code == 200, done.text
    found: dict[str, Any] = done.json()
    return found


async def test_a_granted_account_is_checked_out_shown_and_taken_back(company: Served) -> None:
    entry = await host(company).entry(accountId="acc-1", exclusive=True)
    ursula, anna = await person(company, "ursula"), await person(company, "anna")
    wish = {"entryId": entry["id"], "reason": "INC-1", "minutes": 600}
    assert said(await ursula.post(CHECKOUTS, **wish)) == (404, "RPPAM-8401"), "nothing is granted yet"
    done = await approved(company, ursula, "checkout")
    assert done["expiresAt"] is None, "its time has not begun"
    out = await ursula.post(CHECKOUTS, **wish)
    assert out.status_code == 201, out.text
    running = (await ursula.get(f"{GRANTS}/{done['grantId']}")).json()
    assert running["state"] == "active"
    assert out.json()["expiresAt"][:16] == running["expiresAt"][:16], "no longer than the grant"
    shown = await ursula.post(f"{ENTRIES}/{entry['id']}/reveal", reason="INC-1")
    assert (shown.status_code, shown.json()["fields"]) == (200, {"password": SECRET})
    gone = await anna.post(f"{GRANTS}/{done['grantId']}/revoke", reason="enough")
    assert gone.json()["state"] == "revoked"
    assert said(await ursula.post(f"{ENTRIES}/{entry['id']}/reveal", reason="INC-1")) == (404, "RPPAM-8401")
    over = (await ursula.get(f"{CHECKOUTS}/{out.json()['id']}")).json()
    assert over["endedWhy"] == "grant-ended"
    assert said(await ursula.post(CHECKOUTS, **wish)) == (404, "RPPAM-8401")


async def test_what_was_granted_for_use_is_not_shown_and_ends_by_itself(company: Served) -> None:
    await policy(company, countsFrom="approval")
    entry = await host(company).entry(accountId="acc-1", exclusive=False)
    ursula = await person(company, "ursula")
    await approved(company, ursula, "use", minutes=10)
    assert said(await ursula.post(f"{ENTRIES}/{entry['id']}/reveal", reason="x")) == (403, "RPPAM-8407")
    assert (await ursula.get(f"{ENTRIES}/{entry['id']}")).status_code == 200
    await later(company, 10)
    assert said(await ursula.get(f"{ENTRIES}/{entry['id']}")) == (404, "RPPAM-8401"), "before any sweep"
    await sweep(company)


async def test_an_entry_is_asked_for_by_those_who_may_know_of_it(company: Served) -> None:
    entry = await host(company).entry(exclusive=False)
    ursula = await person(company, "ursula")
    hidden = await ursula.post(REQUESTS, entryId=entry["id"], reason="x")
    assert said(hidden) == (404, "RPPAM-8401")


async def test_what_is_shown_with_approval_is_shown_by_a_grant_to_see_it_and_by_nothing_else(company: Served) -> None:
    admin, ursula = host(company), await person(company, "ursula")
    entry = await admin.entry(accountId="acc-1", reveal="with-approval", exclusive=False)
    await let(company, "servers", "ursula", "reveal")
    path = f"{ENTRIES}/{entry['id']}/reveal"
    for who in (ursula, admin):
        refused = await who.post(path, reason="x")
        assert said(refused) == (403, "RPPAM-8407"), "no right is enough, not even an administrator's"
        assert "approved request" in refused.json()["detail"]
    used = await approved(company, ursula, "use")
    assert said(await ursula.post(path, reason="x")) == (403, "RPPAM-8407"), "to use it is not to see it"
    done = await approved(company, ursula, "reveal", minutes=10)
    assert used["grantId"] != done["grantId"]
    shown = await ursula.post(path, reason="INC-1")
    assert (shown.status_code, shown.json()["fields"]) == (200, {"password": SECRET})
    told = (await actions(company, "secret.reveal"))[-1]
    assert told["details"]["grant"] == done["grantId"], "by the grant, not by the right on the folder"
    assert (await ursula.get(f"{GRANTS}/{done['grantId']}")).json()["state"] == "active", "its time runs"
    assert said(await admin.post(path, reason="x")) == (403, "RPPAM-8407"), "somebody else's grant"
    await later(company, 11)
    assert said(await ursula.post(path, reason="x")) == (403, "RPPAM-8407"), "it is over"
