"""Too many wrong passwords over REST: 401 until the limit, then 429 for everybody alike, until somebody unlocks."""

from typing import Any

import httpx
import pytest
from sqlalchemy import event

from rppam.access.lockouts import guard as login_guard
from tests.support.served import PASSWORD, Served

pytestmark = pytest.mark.integration

LOGIN, LOCKOUTS = "/api/v1/auth/login", "/api/v1/lockouts"


@pytest.fixture
async def open_served(served: Served) -> Served:
    await served.database.start()
    return served


async def sign_in(served: Served, name: str, password: str = PASSWORD) -> httpx.Response:
    return await served.http.post(LOGIN, json={"username": name, "password": password})


async def lock(served: Served, name: str) -> None:
    for _ in range(10):
        answer = await sign_in(served, name, "wrong")
        assert (answer.status_code, answer.json()["code"]) == (401, "RPPAM-3101")


@pytest.mark.parametrize("name", ["admin", "nobody-has-this-name"])
async def test_ten_wrong_passwords_and_then_not_even_the_right_one(open_served: Served, name: str) -> None:
    served = open_served
    await lock(served, name)
    for password in ("wrong", PASSWORD):
        answer = await sign_in(served, name.upper(), password)
        assert (answer.status_code, answer.json()["code"]) == (429, "RPPAM-6029")
        assert 800 < int(answer.headers["retry-after"]) <= 900
        assert answer.json()["retryAfterSeconds"] == int(answer.headers["retry-after"])
        assert answer.headers.get_list("ratelimit-policy") == ['"login-user";q=10;w=900']
        assert answer.headers.get_list("ratelimit") == [f'"login-user";r=0;t={answer.headers["retry-after"]}']
        assert name not in answer.json()["detail"]
    assert (await sign_in(served, "ursula")).status_code == 200, "nobody else is locked"


async def test_sixty_good_sign_ins_are_not_limited(open_served: Served) -> None:
    for _ in range(60):
        assert (await sign_in(open_served, "ursula")).status_code == 200


async def test_twenty_wrong_passwords_from_loopback_lock_it_for_all_names(open_served: Served) -> None:
    served = open_served
    codes = [(await sign_in(served, f"user{at}", "wrong")).status_code for at in range(22)]
    assert codes == [401] * 20 + [429] * 2
    refused = await sign_in(served, "admin")
    assert (refused.status_code, "from this address" in refused.json()["detail"]) == (429, True)
    assert refused.headers["ratelimit-policy"] == '"login-address";q=20;w=900'
    assert refused.headers["ratelimit"] == f'"login-address";r=0;t={refused.headers["retry-after"]}'
    [shown] = (await served.http.get(LOCKOUTS, headers=served.bearer())).json()["items"]
    assert (shown["kind"], shown["name"], shown["level"]) == ("address", "127.0.0.1", 1)
    ended = await served.http.delete(f"{LOCKOUTS}/{shown['id']}", headers=served.bearer("security_admin"))
    assert ended.status_code == 204
    assert (await sign_in(served, "admin")).status_code == 200


@pytest.mark.parametrize("path", ["challenge", "enroll"])
async def test_made_up_tokens_of_log_ins_lock_their_address_and_then_cost_no_look(
    open_served: Served, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login_guard, "KNOWN_MS", 60_000)  # the machine may be slow
    served = open_served
    looks: list[str] = []

    @event.listens_for(served.database._engine, "before_cursor_execute")
    def _looked(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        looks.extend([statement] if "pending_logins" in statement else [])

    async def made_up() -> httpx.Response:
        body = {"mfaToken": "made up", **({"code": "123456"} if path == "challenge" else {})}
        return await served.http.post(f"/api/v1/auth/mfa/{path}", json=body)

    answers = [await made_up() for _ in range(20)]
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(401, "RPPAM-3123")}
    assert len(looks) == 20
    refused = [await made_up() for _ in range(5)]
    assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {(429, "RPPAM-6029")}
    assert refused[0].headers["ratelimit-policy"] == '"login-address";q=20;w=900'
    assert len(looks) == 20, "refused from memory"
    assert (await sign_in(served, "ursula")).status_code == 429, "like any other log-in from there"


async def test_unlocking_a_user_by_those_who_may(open_served: Served) -> None:
    served = open_served
    assert (await sign_in(served, "ursula")).status_code == 200
    await lock(served, "ursula")
    users = (await served.http.get("/api/v1/users", headers=served.bearer())).json()["items"]
    [user_id] = [user["id"] for user in users if user["username"] == "ursula"]
    path = f"/api/v1/users/{user_id}/unlock"
    shown: dict[str, Any] = (await served.http.get(LOCKOUTS, headers=served.bearer("pam_auditor"))).json()
    assert [(one["kind"], one["name"]) for one in shown["items"]] == [("user", "ursula")]
    for role in ("pam_user", "pam_approver", "pam_auditor"):
        assert (await served.http.post(path, headers=served.bearer(role))).status_code == 403
        gone = await served.http.delete(f"{LOCKOUTS}/{shown['items'][0]['id']}", headers=served.bearer(role))
        assert gone.status_code == 403
    assert (await served.http.post(path)).status_code == 401
    assert (await sign_in(served, "ursula")).status_code == 429
    unlocked = await served.http.post(path, headers=served.bearer("security_admin"))
    assert (unlocked.status_code, unlocked.json()) == (200, {"wasLocked": True})
    assert (await sign_in(served, "ursula")).status_code == 200
    again = await served.http.post(path, headers=served.bearer())
    assert (again.status_code, again.json()) == (200, {"wasLocked": False})
    nobody = await served.http.post("/api/v1/users/nobody/unlock", headers=served.bearer())
    assert (nobody.status_code, nobody.json()["code"]) == (404, "RPPAM-3107")
