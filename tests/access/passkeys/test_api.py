"""Passkeys over REST: added, signed in with, used for a reveal, and what does not count."""

import json
from typing import Any

import pytest
from sqlalchemy import text as sql

from tests.access.passkeys.soft_key import SoftKey, text
from tests.support.served import PASSWORD, Served
from tests.vault.people import Person, actions, host, person

pytestmark = pytest.mark.integration
AUTH = "/api/v1/auth/webauthn"


async def added(served: Served, who: Person, key: SoftKey, name: str = "blue key") -> dict[str, Any]:
    begun = (await who.post(f"{AUTH}/register")).json()
    return await who.made(AUTH, id=begun["id"], credential=key.create(begun["options"]), name=name)


async def login(served: Served, key: SoftKey, **instead: Any) -> tuple[int, dict[str, Any]]:
    begun = (await served.http.post(f"{AUTH}/login")).json()
    body = {"id": begun["id"], "credential": key.get(begun["options"], **instead)}
    answer = await served.http.post(f"{AUTH}/login/finish", json=body)
    return answer.status_code, answer.json()


async def test_a_passkey_signs_in_and_is_the_second_factor_of_a_reveal(served: Served) -> None:
    ursula = await person(served, "admin")
    key = SoftKey(served.url)
    made = await added(served, ursula, key)
    assert (made["name"], made["site"], made["usedAt"]) == ("blue key", "127.0.0.1", None)
    status, answer = await login(served, key)
    assert status == 200, answer
    me = Person(served, "admin", {"Authorization": f"Bearer {answer['accessToken']}"})
    [listed] = (await me.get(AUTH)).json()["items"]
    assert listed["usedAt"] is not None
    entry = await host(served).entry()
    asked = (await me.post(f"{AUTH}/prove")).json()
    assert [one["id"] for one in asked["options"]["allowCredentials"]] == [made["id"]]
    proof = {"id": asked["id"], "credential": key.get(asked["options"])}
    assert (await me.reveal(entry, passkey=proof)).status_code == 200
    again = await me.reveal(entry, passkey=proof)
    assert (again.status_code, again.json()["code"]) == (409, "RPPAM-8452")
    assert (await me.delete(f"{AUTH}/{made['id']}")).status_code == 204
    assert (await me.delete(f"{AUTH}/{made['id']}")).status_code == 404
    assert (await login(served, key))[0] == 403


async def test_what_a_passkey_does_not_prove(served: Served) -> None:
    admin = await person(served, "admin")
    key = SoftKey(served.url)
    await added(served, admin, key)
    for wrong in ({"rp_id": "evil.example"}, {"challenge": text(b"x" * 32)}):
        status, answer = await login(served, key, **wrong)
        assert (status, answer["code"]) == (403, "RPPAM-8451")
    key.origin = "https://evil.example"
    assert (await login(served, key))[0] == 403
    key.origin, key.count = served.url, 0
    assert (await login(served, key))[0] == 200
    key.count = 0
    assert (await login(served, key))[0] == 403, "a copy that counts from before"
    key.count, key.flags = 9, key.flags & ~0x04
    assert (await login(served, key))[0] == 403, "a log-in takes PIN, finger or face"


async def may_come_from(served: Served, networks: str) -> None:
    change = sql("UPDATE users SET allowed_from = :networks").bindparams(networks=networks)
    await served.database.write(lambda connection: connection.execute(change).close())


async def test_a_passkey_is_its_owners_alone(served: Served) -> None:
    admin, ursula = await person(served, "admin"), await person(served, "ursula")
    key = SoftKey(served.url)
    made = await added(served, admin, key)
    assert (await ursula.get(AUTH)).json()["items"] == []
    assert (await ursula.delete(f"{AUTH}/{made['id']}")).status_code == 404
    begun = (await ursula.post(f"{AUTH}/register")).json()
    taken = await ursula.post(AUTH, id=begun["id"], credential=key.create(begun["options"]), name="mine")
    assert (taken.status_code, taken.json()["code"]) == (409, "RPPAM-8454")
    # What was asked of one account is no answer of another's.
    asked = (await admin.post(f"{AUTH}/prove")).json()
    entry = await host(served).entry(exclusive=False)
    proof = {"id": asked["id"], "credential": key.get(asked["options"])}
    assert (await ursula.reveal(entry, passkey=proof)).status_code == 404
    for here, status in (("10.0.0.0/8", 403), ("10.0.0.0/8 127.0.0.0/8", 200)):
        await may_come_from(served, here)
        assert (await login(served, key))[0] == status
    await served.database.write(lambda connection: connection.execute(sql("UPDATE users SET disabled = 1")).close())
    assert (await login(served, key))[0] == 403


async def test_a_session_of_long_ago_adds_none_without_the_password(served: Served) -> None:
    admin = await person(served, "admin")
    old = sql("UPDATE sessions SET created_at = created_at - 3600000")
    await served.database.write(lambda connection: connection.execute(old).close())
    assert (await admin.post(f"{AUTH}/register")).status_code == 400
    assert (await admin.post(f"{AUTH}/register", currentPassword="wrong")).status_code in {401, 403}
    assert (await host(served).post(f"{AUTH}/register")).status_code == 403


async def test_a_session_of_long_ago_takes_none_away_without_the_password(served: Served) -> None:
    admin, key = await person(served, "admin"), SoftKey(served.url)
    made = await added(served, admin, key)
    _, answer = await login(served, key)
    headers = {"Authorization": f"Bearer {answer['accessToken']}"}
    old = sql("UPDATE sessions SET created_at = created_at - 3600000")
    await served.database.write(lambda connection: connection.execute(old).close())

    async def delete(**body: str) -> tuple[int, str]:
        answer = await served.http.request("DELETE", f"{AUTH}/{made['id']}", headers=headers, json=body)
        return answer.status_code, answer.text and answer.json()["code"]

    assert await delete() == (400, "RPPAM-6010")
    assert await delete(currentPassword="a guess") == (403, "RPPAM-3111")
    assert await actions(served, "passkey.remove") == []
    assert await delete(currentPassword=PASSWORD) == (204, "")


async def test_who_knows_the_password_alone_changes_no_way_of_signing_in(served: Served) -> None:
    admin, key = await person(served, "admin"), SoftKey(served.url)
    made = await added(served, admin, key)
    for answer in (
        await admin.post(f"{AUTH}/register", currentPassword=PASSWORD),
        await admin.delete(f"{AUTH}/{made['id']}"),
        await admin.post("/api/v1/auth/mfa/enroll", currentPassword=PASSWORD),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "RPPAM-3132"), answer.text
    _, shown = await login(served, key)
    me = Person(served, "admin", {"Authorization": f"Bearer {shown['accessToken']}"})
    assert (await me.post(f"{AUTH}/register")).status_code == 200


@pytest.mark.parametrize("ident", ["\ud800", "a\0b", "a b", "", "x" * 1_401, 7, None, ["x"]])
async def test_what_is_no_passkeys_id_is_refused_and_counted(served: Served, ident: Any) -> None:
    key = SoftKey(served.url)
    await added(served, await person(served, "admin"), key)
    begun = (await served.http.post(f"{AUTH}/login")).json()
    # By hand, as httpx does not write half a character.
    body = json.dumps({"id": begun["id"], "credential": key.get(begun["options"]) | {"id": ident}})
    answer = await served.http.post(f"{AUTH}/login/finish", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (403, "RPPAM-8451"), answer.text


async def test_somebody_elses_are_taken_away_by_who_may_and_the_ledger_says_so(served: Served) -> None:
    admin, ursula, key = await person(served, "admin"), await person(served, "ursula"), SoftKey(served.url)
    await added(served, ursula, key)
    me = (await ursula.get("/api/v1/users/me")).json()
    place = f"/api/v1/users/{me['id']}/passkeys"
    assert (await ursula.get(place)).status_code == (await ursula.delete(place)).status_code == 403
    assert [one["name"] for one in (await admin.get(place)).json()["items"]] == ["blue key"]
    assert (await admin.delete(place)).status_code == 204
    assert (await admin.get(place)).json()["items"] == []
    assert (await login(served, key))[0] == 403
    assert (await ursula.get("/api/v1/users/me")).status_code == 401, "its sessions end"
    assert (await (await person(served, "ursula")).get(AUTH)).json()["items"] == [], "the password works as before"
    [event] = await actions(served, "passkey.reset")
    assert (event["object"]["name"], event["details"]) == ("ursula", {"names": ["blue key"]})
    own = (await admin.get("/api/v1/users/me")).json()["id"]
    assert (await admin.delete(f"/api/v1/users/{own}/passkeys")).status_code == 403, "the own ones go one by one"
    assert (await admin.delete("/api/v1/users/00000000-0000-0000-0000-000000000000/passkeys")).status_code == 404
