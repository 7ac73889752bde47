"""The default factor of a policy, ``enrolled``: whoever has a factor of any kind is asked for it, a passkey as well."""

from typing import Any

import pytest
from sqlalchemy import select

from rppam.requests.tables import request_decisions
from tests.access.passkeys.soft_key import SoftKey
from tests.access.passkeys.test_api import login
from tests.requests.people import Person, furnish, hire, person
from tests.requests.test_api import GRANTS, PASSKEYS, REQUESTS, ask, policy, said
from tests.support.served import Served

pytestmark = pytest.mark.integration
ASKED = (403, "RPPAM-8508")


@pytest.fixture
async def company(served: Served) -> Served:
    await hire(served.database)
    await furnish(served.database)
    return served


class WithPasskey:
    """Somebody whose only factor is a passkey."""

    def __init__(self, who: Person, key: SoftKey) -> None:
        self.who, self.key, self.ident = who, key, ""

    async def proof(self) -> dict[str, Any]:
        asked = (await self.who.post(f"{PASSKEYS}/prove")).json()
        return {"id": asked["id"], "credential": self.key.get(asked["options"])}


async def with_passkey(node: Served, name: str) -> WithPasskey:
    made = WithPasskey(await person(node, name), SoftKey(node.url))
    begun = (await made.who.post(f"{PASSKEYS}/register")).json()
    body = {"id": begun["id"], "credential": made.key.create(begun["options"]), "name": name}
    answer = await made.who.post(PASSKEYS, **body)
    assert answer.status_code == 201, answer.text
    made.ident = answer.json()["id"]
    return made


@pytest.mark.parametrize("verdict", ["approve", "deny"])
async def test_an_approver_whose_only_factor_is_a_passkey_is_asked_for_it(company: Served, verdict: str) -> None:
    made = await ask(await person(company, "ursula"))
    anna = await with_passkey(company, "anna")
    path = f"{REQUESTS}/{made['id']}/{verdict}"
    assert said(await anna.who.post(path)) == ASKED
    assert (await anna.who.get(f"{REQUESTS}/{made['id']}")).json()["state"] == "pending"
    assert (await anna.who.post(path, passkey=await anna.proof())).status_code == 200
    kept = select(request_decisions.c.factor)
    assert await company.database.read(lambda connection: list(connection.execute(kept).scalars())) == ["passkey"]


async def test_who_has_no_factor_or_has_it_no_more_is_not_asked(company: Served) -> None:
    await policy(company, approvalMode="multi_approver", approvals=2)
    made = await ask(await person(company, "ursula"))
    anna, bert = await with_passkey(company, "anna"), await person(company, "bert")
    path = f"{REQUESTS}/{made['id']}/approve"
    assert (await bert.post(path)).status_code == 200, "somebody else's passkey is no factor of bert's"
    assert said(await anna.who.post(path)) == ASKED
    status, answer = await login(company, anna.key)
    assert status == 200, answer
    shown = {"Authorization": f"Bearer {answer['accessToken']}"}
    gone = await company.http.delete(f"{PASSKEYS}/{anna.ident}", headers=shown)
    assert gone.status_code == 204, gone.text
    assert (await anna.who.post(path)).json()["state"] == "approved"


async def test_an_emergency_asks_for_the_passkey_of_who_takes_it(company: Served) -> None:
    uwe = await with_passkey(company, "uwe")
    wish = {"accountId": "acc-1", "reason": "the house burns", "emergency": True}
    assert said(await uwe.who.post(REQUESTS, **wish)) == ASKED
    assert (await uwe.who.get(GRANTS)).json()["items"] == []
    assert (await uwe.who.post(REQUESTS, **wish, passkey=await uwe.proof())).status_code == 201
    assert (await (await person(company, "ursula")).post(REQUESTS, **wish)).status_code == 201, "who has none"


async def test_an_extension_is_decided_with_the_passkey_too(company: Served) -> None:
    await policy(company, countsFrom="approval")
    ursula, anna = await person(company, "ursula"), await with_passkey(company, "anna")
    made = await ask(ursula)
    path = f"{REQUESTS}/{made['id']}"
    assert (await anna.who.post(f"{path}/approve", passkey=await anna.proof())).status_code == 200
    more = (await ursula.post(f"{path}/extend", minutes=10, reason="more")).json()
    longer = f"{REQUESTS}/{more['id']}/approve"
    assert said(await anna.who.post(longer)) == ASKED
    assert (await anna.who.post(longer, passkey=await anna.proof())).json()["state"] == "approved"
