"""Requests for access over REST, from asking to the end: who may do what, and what is refused."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from rppam.access.accounts.model import UserChange
from rppam.http.bounds import ApiLimits
from rppam.ledger.store import Query, SqlLedger
from rppam.requests.store import SqlRequests
from rppam.requests.tables import request_decisions
from rppam.requests.wiring import Sweep, find_object
from tests.access.passkeys.soft_key import SoftKey
from tests.requests.people import Person, furnish, hire, pass_time, person
from tests.support.served import Served

pytestmark = pytest.mark.integration
REQUESTS, GRANTS, POLICIES = "/api/v1/access-requests", "/api/v1/grants", "/api/v1/approval-policies"
PASSKEYS = "/api/v1/auth/webauthn"


@pytest.fixture
async def company(served: Served) -> Served:
    await hire(served.database)
    await furnish(served.database)
    return served


@pytest.fixture
async def second(company: Served, tmp_path: Path, limits: ApiLimits) -> AsyncIterator[Served]:
    """Another node on the same database."""
    one = Served(tmp_path / "keys", limits, node="node2")
    await one.start()
    yield one
    await one.stop()


async def ask(by: Person, **changes: Any) -> dict[str, Any]:
    answer = await by.post(REQUESTS, **{"accountId": "acc-1", "reason": "disk is full", "minutes": 30, **changes})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def policy(node: Served, **rules: Any) -> dict[str, Any]:
    body = {"name": "p", "level": "default", **rules}
    answer = await node.http.post(POLICIES, headers=node.bearer(), json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def said(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


async def later(node: Served, minutes: float) -> None:
    """As :func:`pass_time`, at a node."""
    await pass_time(node.database, minutes)


async def sweep(node: Served) -> int:
    return await Sweep(SqlRequests(node.database, find_object), "node1", "boot").run(7)


async def actions(node: Served) -> list[str]:
    events = await SqlLedger(node.database).events(Query(limit=500))
    return [event.body["action"] for event in events if event.body["action"].split(".")[0] in {"request", "grant"}]


async def test_asked_for_approved_by_another_used_and_revoked(company: Served) -> None:
    ursula, anna = await person(company, "ursula"), await person(company, "anna")
    made = await ask(ursula)
    assert (made["state"], made["requester"], made["objectName"]) == ("pending", "ursula", "deploy@web1")
    assert {one["username"] for one in made["approvers"]} == {"anna", "bert", "carl", "root"}
    queue = (await anna.get("/api/v1/approvals")).json()["items"]
    assert [one["id"] for one in queue] == [made["id"]]
    own = await ursula.post(f"{REQUESTS}/{made['id']}/approve")
    assert said(own) == (403, "RPPAM-8504"), own.text
    done = await anna.post(f"{REQUESTS}/{made['id']}/approve", note="go on", version=made["version"])
    assert done.status_code == 200, done.text
    assert (done.json()["state"], done.json()["approvals"]) == ("approved", 1)
    assert (await anna.get("/api/v1/approvals")).json()["items"] == []
    [grant] = (await ursula.get(GRANTS)).json()["items"]
    assert (grant["id"], grant["expiresAt"]) == (done.json()["grantId"], None)
    again = await (await person(company, "bert")).post(f"{REQUESTS}/{made['id']}/approve")
    assert said(again) == (409, "RPPAM-8503"), again.text
    taken = await anna.post(f"{GRANTS}/{grant['id']}/revoke", reason="not needed")
    assert (taken.status_code, taken.json()["state"], taken.json()["endedWhy"]) == (200, "revoked", "not needed")
    assert (await ursula.get(GRANTS)).json()["items"] == []
    past = (await ursula.get(f"{GRANTS}?live=false")).json()["items"]
    assert [one["state"] for one in past] == ["revoked"]
    tried = "request.approve"
    assert await actions(company) == ["request.create", tried, "request.approve", "grant.create", "grant.revoke"]
    [refused] = [
        one.body
        for one in await SqlLedger(company.database).events(Query(action=tried))
        if one.body["outcome"] == "failure"
    ]
    assert (refused["object"]["id"], refused["reason"].split(":")[0]) == (made["id"], "RPPAM-8504")


async def test_two_of_three_at_one_instant_on_two_nodes_grant_once(company: Served, second: Served) -> None:
    await policy(company, approvalMode="multi_approver", approvals=2, countsFrom="approval")
    made = await ask(await person(company, "ursula"))
    people = [await person(node, name) for node, name in ((company, "anna"), (second, "bert"), (second, "carl"))]
    path = f"{REQUESTS}/{made['id']}/approve"
    answers = await asyncio.gather(*(one.post(path) for one in people), *(one.post(path) for one in people))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 409, 409, 409, 409]
    found = (await people[0].get(f"{REQUESTS}/{made['id']}")).json()
    assert (found["state"], found["approvals"]) == ("active", 2)
    assert (await actions(company)).count("grant.create") == 1


async def test_an_approval_of_somebody_who_was_disabled_since_counts_no_more(company: Served) -> None:
    await policy(company, approvalMode="multi_approver", approvals=2)
    made = await ask(await person(company, "ursula"))
    anna, bert, carl = [await person(company, name) for name in ("anna", "bert", "carl")]
    path = f"{REQUESTS}/{made['id']}/approve"
    assert (await anna.post(path)).json()["state"] == "pending"
    await company.users.change("id-anna", UserChange(disabled=True))
    assert (await bert.post(path)).json()["state"] == "pending", "anna does not count any more"
    assert (await carl.post(path)).json()["state"] == "approved"


async def test_who_has_lost_the_role_decides_nothing(company: Served) -> None:
    made = await ask(await person(company, "ursula"))
    anna = await person(company, "anna")
    await company.users.change("id-anna", UserChange(roles=frozenset()))
    lost = await anna.post(f"{REQUESTS}/{made['id']}/approve")
    assert said(lost) == (403, "RPPAM-8504")
    assert "none any more" in lost.json()["detail"]
    uwe = await person(company, "uwe")
    assert said(await uwe.get(f"{REQUESTS}/{made['id']}")) == (404, "RPPAM-8501"), "it does not exist for others"
    assert said(await uwe.post(f"{REQUESTS}/{made['id']}/deny")) == (404, "RPPAM-8501")
    assert (await uwe.get(REQUESTS)).json()["items"] == []


async def test_more_than_the_policy_allows_is_cut_and_time_counts_from_approval(company: Served) -> None:
    await policy(company, maxMinutes=20, countsFrom="approval")
    ursula, anna = await person(company, "ursula"), await person(company, "anna")
    made = await ask(ursula, minutes=600)
    assert made["minutes"] == 20
    await later(company, 60)
    done = (await anna.post(f"{REQUESTS}/{made['id']}/approve")).json()
    assert done["state"] == "active"
    begun, ends = (datetime.fromisoformat(done[name]) for name in ("beginsAt", "expiresAt"))
    assert (ends - begun).total_seconds() == 20 * 60
    await later(company, 15.5)
    assert await sweep(company) == 1, "warned"
    await later(company, 5)
    assert (await ursula.get(GRANTS)).json()["items"] == [], "over before anybody has written it down"
    await sweep(company)
    found = (await ursula.get(f"{REQUESTS}/{made['id']}")).json()
    assert (found["state"], found["why"]) == ("ended", "its time has passed")
    assert await sweep(company) == 0


async def test_a_denial_a_cancel_and_the_end_of_the_time_to_decide(company: Served) -> None:
    ursula, anna = await person(company, "ursula"), await person(company, "anna")
    first = await ask(ursula)
    twice = await ursula.post(REQUESTS, accountId="acc-1", reason="again")
    assert said(twice) == (409, "RPPAM-8505")
    assert first["id"] in twice.json()["detail"]
    denied = (await anna.post(f"{REQUESTS}/{first['id']}/deny", note="not today")).json()
    assert (denied["state"], denied["why"]) == ("denied", "not today")
    assert said(await anna.post(f"{REQUESTS}/{first['id']}/approve")) == (409, "RPPAM-8503")
    other = await ask(ursula)
    assert said(await (await person(company, "uwe")).post(f"{REQUESTS}/{other['id']}/cancel")) == (404, "RPPAM-8501")
    assert (await ursula.post(f"{REQUESTS}/{other['id']}/cancel")).json()["state"] == "cancelled"
    third = await ask(ursula)
    await later(company, 24 * 60)
    assert said(await anna.post(f"{REQUESTS}/{third['id']}/approve")) == (409, "RPPAM-8503")
    await sweep(company)
    assert (await ursula.get(f"{REQUESTS}/{third['id']}")).json()["state"] == "expired"
    history = (await ursula.get(f"{REQUESTS}?mine=true")).json()["items"]
    assert [one["state"] for one in history] == ["expired", "cancelled", "denied"]


async def test_an_extension_is_approved_anew_and_lengthens_the_same_grant(company: Served) -> None:
    await policy(company, countsFrom="approval")
    ursula, anna = await person(company, "ursula"), await person(company, "anna")
    made = await ask(ursula)
    early = await ursula.post(f"{REQUESTS}/{made['id']}/extend", minutes=10, reason="more")
    assert said(early) == (409, "RPPAM-8503")
    before = (await anna.post(f"{REQUESTS}/{made['id']}/approve")).json()
    more = await ursula.post(f"{REQUESTS}/{made['id']}/extend", minutes=10, reason="more")
    assert more.status_code == 201, more.text
    assert (more.json()["extends"], more.json()["state"]) == (made["id"], "pending")
    assert said(await ursula.post(f"{REQUESTS}/{more.json()['id']}/approve")) == (403, "RPPAM-8504")
    assert (await anna.post(f"{REQUESTS}/{more.json()['id']}/approve")).json()["state"] == "approved"
    after = (await ursula.get(f"{GRANTS}/{before['grantId']}")).json()
    assert after["expiresAt"] > before["expiresAt"]
    assert len((await ursula.get(f"{GRANTS}?live=false")).json()["items"]) == 1
    twice = await ursula.post(f"{REQUESTS}/{made['id']}/extend", minutes=10, reason="more")
    assert said(twice) == (409, "RPPAM-8503")
    assert (await actions(company))[-2:] == ["request.approve", "grant.extend"]


async def test_an_emergency_is_granted_at_once_counted_and_reviewed_by_another(company: Served) -> None:
    await policy(company, emergenciesPerDay=1)
    ursula, anna = await person(company, "ursula"), await person(company, "anna")
    made = await ask(ursula, emergency=True, minutes=600)
    assert (made["state"], made["minutes"], made["reviewed"]) == ("active", 60, False)
    over = await ursula.post(REQUESTS, accountId="acc-1", reason="again", emergency=True)
    assert said(over) == (429, "RPPAM-8507")
    waiting = (await company.http.get(f"{REQUESTS}?toReview=true", headers=company.bearer())).json()["items"]
    assert [one["id"] for one in waiting] == [made["id"]]
    path = f"{REQUESTS}/{made['id']}/review"
    assert said(await ursula.post(path, note="fine")) == (403, "RPPAM-8504")
    await ursula.post(f"{REQUESTS}/{made['id']}/cancel")
    closed = await anna.post(path, note="looked at the recording")
    assert (closed.status_code, closed.json()["reviewed"]) == (200, True), closed.text
    assert said(await anna.post(path, note="again")) == (409, "RPPAM-8503")


async def test_the_users_policy_comes_before_the_groups_and_that_before_the_default(company: Served) -> None:
    bearer = company.bearer()
    body = {"name": "ops", "members": ["id-ursula", "id-uwe"]}
    group = (await company.http.post("/api/v1/user-groups", headers=bearer, json=body)).json()
    await policy(company, name="all", maxMinutes=10)
    await policy(company, name="ops", level="group", subject=group["id"], maxMinutes=20, approvalMode="auto_approve")
    await policy(company, name="her", level="user", subject="id-ursula", maxMinutes=30, approvalMode="manager_approval")
    bert = await person(company, "bert")
    assert (await ask(bert, minutes=600))["policy"] == "all"
    uwe = await ask(await person(company, "uwe"), minutes=600)
    assert (uwe["policy"], uwe["minutes"], uwe["state"]) == ("ops", 20, "approved")
    ursula = await person(company, "ursula")
    alone = await ursula.post(REQUESTS, accountId="acc-1", reason="x")
    assert said(alone) == (409, "RPPAM-8506"), "no manager"
    contact = "/api/v1/users/id-ursula/contact"
    mine = await company.http.put(contact, headers=bearer, json={"managerId": "id-uwe", "email": "u@corp.example"})
    assert mine.status_code == 200, mine.text
    hers = await ask(ursula, minutes=600)
    assert (hers["policy"], hers["minutes"]) == ("her", 30)
    assert [one["username"] for one in hers["approvers"]] == ["uwe"]
    assert (await (await person(company, "uwe")).post(f"{REQUESTS}/{hers['id']}/approve")).json()["state"] == "approved"
    needed = await company.http.delete(f"/api/v1/user-groups/{group['id']}", headers=bearer)
    assert said(needed) == (409, "RPPAM-8525")


async def test_a_disabled_requester_loses_everything_at_the_next_sweep(company: Served) -> None:
    await policy(company, countsFrom="approval")
    ursula, anna = await person(company, "ursula"), await person(company, "anna")
    made = await ask(ursula)
    await anna.post(f"{REQUESTS}/{made['id']}/approve")
    await company.users.change("id-ursula", UserChange(disabled=True))
    await sweep(company)
    found = (await anna.get(f"{REQUESTS}/{made['id']}")).json()
    assert (found["state"], found["why"]) == ("revoked", "the account was disabled")


async def test_a_decision_about_another_version_is_refused(company: Served) -> None:
    await policy(company, approvalMode="multi_approver", approvals=2)
    made = await ask(await person(company, "ursula"))
    anna, bert = await person(company, "anna"), await person(company, "bert")
    path = f"{REQUESTS}/{made['id']}/approve"
    assert (await anna.post(path, version=made["version"])).status_code == 200
    assert said(await bert.post(path, version=made["version"])) == (409, "RPPAM-8509")


async def test_a_policy_that_asks_for_a_factor_gets_one(company: Served) -> None:
    await policy(company, factor="required")
    made = await ask(await person(company, "ursula"))
    path = f"{REQUESTS}/{made['id']}/approve"
    assert said(await (await person(company, "anna")).post(path)) == (403, "RPPAM-8508")
    assert (await (await person(company, "anna", mfa=True)).post(path)).status_code == 200


async def test_a_passkey_is_that_factor_once_for_a_decision_and_for_an_emergency(company: Served) -> None:
    await policy(company, factor="required", emergencyMinutes=30)
    people = {name: (await person(company, name), SoftKey(company.url)) for name in ("anna", "carl", "uwe")}
    for name, (who, key) in people.items():
        begun = (await who.post(f"{PASSKEYS}/register")).json()
        body = {"id": begun["id"], "credential": key.create(begun["options"]), "name": name}
        assert (await who.post(PASSKEYS, **body)).status_code == 201

    async def proof(name: str, by: str = "") -> dict[str, Any]:
        asked = (await people[name][0].post(f"{PASSKEYS}/prove")).json()
        return {"id": asked["id"], "credential": people[by or name][1].get(asked["options"])}

    made = await ask(await person(company, "ursula"))
    anna, carl, uwe = (people[name][0] for name in ("anna", "carl", "uwe"))
    path = f"{REQUESTS}/{made['id']}/approve"
    assert said(await anna.post(path)) == (403, "RPPAM-8508")
    assert said(await anna.post(path, passkey=await proof("anna", by="carl"))) == (403, "RPPAM-8451")
    assert said(await anna.post(path, passkey=await proof("carl"))) == (409, "RPPAM-8452"), "it was asked of carl"
    shown = await proof("anna")
    assert (await anna.post(path, passkey=shown)).status_code == 200
    kept = select(request_decisions.c.approver, request_decisions.c.factor)
    rows = await company.database.read(lambda connection: connection.execute(kept).all())
    assert [tuple(row) for row in rows] == [("id-anna", "passkey")]
    again = await ask(await person(company, "ursula"), minutes=5)
    other = f"{REQUESTS}/{again['id']}/deny"
    assert said(await anna.post(other, passkey=shown)) == (409, "RPPAM-8452"), "an answer counts once"
    assert (await carl.post(other, passkey=await proof("carl"))).status_code == 200
    wish = {"accountId": "acc-1", "reason": "the house burns", "emergency": True}
    assert said(await uwe.post(REQUESTS, **wish)) == (403, "RPPAM-8508")
    assert (await uwe.post(REQUESTS, **wish, passkey=await proof("uwe"))).status_code == 201


async def test_two_who_change_a_policy_or_group_at_once_do_not_overwrite_each_other(company: Served) -> None:
    bearer = company.bearer()
    made = await policy(company)
    body = {"name": "p", "level": "default", "revision": made["revision"]}
    one = await company.http.put(f"{POLICIES}/{made['id']}", headers=bearer, json={**body, "maxMinutes": 1})
    two = await company.http.put(f"{POLICIES}/{made['id']}", headers=bearer, json={**body, "maxMinutes": 2})
    assert (one.status_code, one.json()["revision"]) == (200, 2)
    assert said(two) == (409, "RPPAM-8509")
    again = await company.http.post(POLICIES, headers=bearer, json={"name": "other", "level": "default"})
    assert said(again) == (409, "RPPAM-8523")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"accountId": "none"}, (404, "RPPAM-8304")),
        ({"accountId": None}, (400, "RPPAM-8502")),
        ({"entryId": "x"}, (400, "RPPAM-8502")),
        ({"accountId": None, "entryId": "x"}, (404, "RPPAM-8401")),
        ({"reason": " "}, (400, "RPPAM-8502")),
        ({"minutes": 0}, (400, "RPPAM-6010")),
        ({"rights": []}, (400, "RPPAM-6010")),
        ({"rights": ["fly"]}, (400, "RPPAM-6010")),
        ({"reason": "a\x00b"}, (400, "RPPAM-6010")),
        ({"startsAt": "2026-01-01T00:00:00"}, (400, "RPPAM-6010")),
        ({"startsAt": "2999-01-01T00:00:00Z"}, (400, "RPPAM-8502")),
    ],
)
async def test_what_cannot_be_granted_is_refused(
    company: Served, body: dict[str, Any], expected: tuple[int, str]
) -> None:
    ursula = await person(company, "ursula")
    answer = await ursula.post(REQUESTS, **{"accountId": "acc-1", "reason": "x", **body})
    assert said(answer) == expected, answer.text


@pytest.mark.parametrize(
    "wrong",
    [
        {"approvalMode": "multi_approver", "approvals": 1},
        {"approvalMode": "time_based_auto"},
        {"approvalMode": "time_based_auto", "windows": [{"days": [1], "begins": "8", "ends": "17:00"}]},
        {"level": "user"},
        {"subject": "id-ursula"},
        {"level": "user", "subject": "nobody"},
        {"level": "group", "subject": "nobody"},
        {"timeZone": "Mars/Olympus"},
        {"reasonPattern": "("},
        {"approverGroup": "nobody"},
    ],
)
async def test_a_policy_that_cannot_work_is_refused(company: Served, wrong: dict[str, Any]) -> None:
    body = {"name": "p", "level": "default", **wrong}
    answer = await company.http.post(POLICIES, headers=company.bearer(), json=body)
    assert answer.status_code in {400, 404}, answer.text


async def test_a_token_of_a_host_neither_asks_nor_approves_but_revokes(company: Served) -> None:
    body = {"accountId": "acc-1", "reason": "x"}
    none = await company.http.post(REQUESTS, headers=company.bearer(), json=body)
    assert none.status_code == 403
    await policy(company, approvalMode="auto_approve")
    made = await ask(await person(company, "ursula"))
    path = f"{GRANTS}/{made['grantId']}/revoke"
    audit = await company.http.post(path, headers=company.bearer("pam_auditor"), json={"reason": "x"})
    assert said(audit) == (403, "RPPAM-6002")
    gone = await company.http.post(path, headers=company.bearer(), json={"reason": "x"})
    assert (gone.status_code, gone.json()["state"]) == (200, "revoked")
