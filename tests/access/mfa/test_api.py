"""The second factor over REST, on two nodes with one database."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from rppam.access.sessions.service import Caller
from rppam.access.sessions.tables import sessions
from rppam.db.engine import NowMs
from rppam.http.bounds import ApiLimits
from tests.access.passkeys.soft_key import SoftKey
from tests.access.passkeys.test_api import added
from tests.support.authenticator import code
from tests.support.served import PASSWORD, Served
from tests.vault.people import person

pytestmark = pytest.mark.integration

AUTH = "/api/v1/auth"
ENROL, CHALLENGE = f"{AUTH}/mfa/enroll", f"{AUTH}/mfa/challenge"
USERS = "/api/v1/users"
MINE = {"currentPassword": PASSWORD}


@pytest.fixture
async def other(served: Served, tmp_path: Path, limits: ApiLimits) -> AsyncIterator[Served]:
    one = Served(tmp_path / "keys", limits)
    await one.start()
    yield one
    await one.stop()


async def login(node: Served, name: str = "admin") -> dict[str, Any]:
    answer = await node.http.post(f"{AUTH}/login", json={"username": name, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def bearer(answer: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {answer['accessToken']}"}


async def enrolled(node: Served, name: str = "admin") -> tuple[dict[str, str], str, list[str]]:
    """A session, the secret of the authenticator (its code of now is used), and the backup codes."""
    headers = bearer(await login(node, name))
    begun = (await node.http.post(ENROL, headers=headers, json=MINE)).json()
    done = await node.http.post(ENROL, headers=headers, json={"code": code(begun["secret"])})
    assert done.status_code == 200, done.text
    return headers, begun["secret"], done.json()["backupCodes"]


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def age(node: Served, ms: int) -> None:
    """All sessions began so long ago."""
    older = update(sessions).values(created_at=NowMs() - ms)
    await node.database.write(lambda connection: connection.execute(older).rowcount)


async def require(node: Served, requirement: str) -> None:
    path = "/api/v1/settings/security/mfa"
    answer = await node.http.put(path, headers=node.bearer(), json={"mfaRequirement": requirement})
    assert answer.status_code == 200, answer.text


async def test_password_here_and_code_there(served: Served, other: Served) -> None:
    assert "accessToken" in await login(served), "off by default"
    headers, secret, backup = await enrolled(served)
    assert len(backup) == 10
    assert (await served.http.get(f"{AUTH}/mfa", headers=headers)).json() == {
        "enrolled": True,
        "required": False,
        "backupCodesLeft": 10,
        "session": False,
    }
    first = await login(served)
    assert (first["mfaRequired"], first["mfaEnrolled"]) == (True, True)
    assert "accessToken" not in first
    token = first["mfaToken"]
    wrong = await other.http.post(CHALLENGE, json={"mfaToken": token, "code": "000000"})
    assert problem(wrong) == (401, "RPPAM-3121")
    await served.server.stop(drain_ms=0)  # where the password was taken nobody answers any more
    good = code(secret, 1)
    second = await other.http.post(CHALLENGE, json={"mfaToken": token, "code": good})
    assert second.status_code == 200, second.text
    mine = bearer(second.json())
    assert (await other.http.get(f"{AUTH}/mfa", headers=mine)).json()["session"] is True
    assert (await other.http.get(f"{USERS}/me", headers=mine)).json()["mfaEnrolled"] is True
    again = await other.http.post(CHALLENGE, json={"mfaToken": token, "code": backup[0]})
    assert problem(again) == (401, "RPPAM-3123")
    used = await other.http.post(CHALLENGE, json={"mfaToken": (await login(other))["mfaToken"], "code": good})
    assert problem(used) == (401, "RPPAM-3121")
    saved = await other.http.post(CHALLENGE, json={"mfaToken": (await login(other))["mfaToken"], "code": backup[0]})
    assert saved.status_code == 200


async def test_a_step_up_gives_another_token(served: Served, other: Served) -> None:
    headers, secret, backup = await enrolled(served)
    wrong = await other.http.post(f"{AUTH}/mfa/stepup", headers=headers, json={"code": "123"})
    assert problem(wrong) == (403, "RPPAM-3122")
    raised = await other.http.post(f"{AUTH}/mfa/stepup", headers=headers, json={"code": code(secret, 1)})
    assert raised.status_code == 200, raised.text
    mine = bearer(raised.json())
    assert (await served.http.get(f"{AUTH}/mfa", headers=mine)).json()["session"] is True
    assert (await served.http.get(f"{AUTH}/mfa", headers=headers)).status_code == 401, "the old token is worth nothing"
    fresh = await served.http.post(f"{AUTH}/mfa/backup-codes", headers=mine, json={"code": backup[0]})
    assert len(fresh.json()["backupCodes"]) == 10
    old = await other.http.post(f"{AUTH}/mfa/stepup", headers=mine, json={"code": backup[1]})
    assert problem(old) == (403, "RPPAM-3122")
    gone = await other.http.post(f"{AUTH}/mfa/disable", headers=mine, json={"code": fresh.json()["backupCodes"][0]})
    assert (gone.status_code, gone.content) == (204, b"")
    assert "accessToken" in await login(served)
    none = await served.http.post(f"{AUTH}/mfa/stepup", headers=mine, json={"code": "123456"})
    assert problem(none) == (409, "RPPAM-3126")


async def test_new_backup_codes_and_a_step_up_stand_in_the_audit(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    headers, secret, backup = await enrolled(served)
    [session] = (await served.http.get("/api/v1/sessions", headers=headers)).json()["items"]
    with caplog.at_level("INFO", "rppam.audit"):
        for path in ("stepup", "backup-codes"):
            wrong = await served.http.post(f"{AUTH}/mfa/{path}", headers=headers, json={"code": "000000"})
            assert problem(wrong) == (403, "RPPAM-3122")
        raised = await served.http.post(f"{AUTH}/mfa/stepup", headers=headers, json={"code": code(secret, 1)})
        made = await served.http.post(
            f"{AUTH}/mfa/backup-codes", headers=bearer(raised.json()), json={"code": backup[0]}
        )
        assert made.status_code == 200, made.text
    assert [record.getMessage() for record in caplog.records if record.name == "rppam.audit"] == [
        f"admin raised the session {session['id']} by a second factor from 127.0.0.1.",
        "admin made new backup codes from 127.0.0.1.",
    ]


async def test_who_knows_the_password_alone_enrols_none_beside_a_passkey(served: Served) -> None:
    await require(served, "required_for_admins")
    await added(served, await person(served, "ursula"), SoftKey(served.url))
    await require(served, "required_for_all")
    first = await login(served, "ursula")
    assert (first["mfaRequired"], first["mfaEnrolled"]) == (True, False)
    assert problem(await served.http.post(ENROL, json={"mfaToken": first["mfaToken"]})) == (403, "RPPAM-3132")


async def test_who_must_have_one_enrols_on_the_way_in(served: Served, other: Served) -> None:
    await require(served, "required_for_admins")
    assert "accessToken" in await login(other, "ursula")
    first = await login(other)
    assert (first["mfaRequired"], first["mfaEnrolled"]) == (True, False)
    token = first["mfaToken"]
    early = await other.http.post(CHALLENGE, json={"mfaToken": token, "code": "123456"})
    assert problem(early) == (409, "RPPAM-3126")
    begun = (await served.http.post(ENROL, json={"mfaToken": token})).json()
    assert begun["otpauthUri"].startswith("otpauth://totp/RP-PAM:admin?")
    done = await other.http.post(ENROL, json={"mfaToken": token, "code": code(begun["secret"])})
    assert done.status_code == 200, done.text
    mine = bearer(done.json()["login"])
    assert (await served.http.get(f"{AUTH}/mfa", headers=mine)).json()["session"] is True
    kept = await other.http.post(f"{AUTH}/mfa/disable", headers=mine, json={"code": done.json()["backupCodes"][0]})
    assert problem(kept) == (409, "RPPAM-3127")
    await require(served, "required_for_all")
    assert (await login(other, "ursula"))["mfaRequired"] is True
    await require(served, "disabled")
    assert "accessToken" in await login(other)
    refused = await other.http.post(ENROL, headers=bearer(await login(other, "ursula")), json=MINE)
    assert problem(refused) == (409, "RPPAM-3124")


async def test_a_lost_phone_is_reset_by_an_administrator(served: Served, other: Served) -> None:
    headers, _, _ = await enrolled(served, "ursula")
    path = f"{USERS}/id-ursula/mfa"
    assert problem(await other.http.delete(path, headers=headers)) == (403, "RPPAM-6002")
    assert problem(await other.http.delete(path, headers=bearer(await login(other, "audrey")))) == (403, "RPPAM-6002")
    simon = bearer(await login(other, "simon"))
    assert (await other.http.delete(path, headers=simon)).status_code == 204
    assert (await served.http.get(f"{AUTH}/mfa", headers=headers)).status_code == 401, "what was lost opens nothing"
    assert "accessToken" in await login(served, "ursula")
    assert problem(await other.http.delete(f"{USERS}/id-nobody/mfa", headers=simon)) == (404, "RPPAM-3107")
    await login(served)
    above = await other.http.delete(f"{USERS}/id-admin/mfa", headers=simon)
    assert problem(above) == (403, "RPPAM-6002"), "a security administrator does not open an administrator's account"


async def test_what_is_no_second_step(served: Served) -> None:
    for body in (
        {"mfaToken": "x", "code": "1"},
        {"mfaToken": "\u2603", "code": "\u2603"},
        {"mfaToken": "a" * 64, "code": "0" * 64},
    ):
        assert problem(await served.http.post(CHALLENGE, json=body)) == (401, "RPPAM-3123")
        assert problem(await served.http.post(ENROL, json=body)) == (401, "RPPAM-3123")
    for wrong in ({}, {"mfaToken": "x"}, {"mfaToken": "x" * 65, "code": "1"}, {"mfaToken": 1, "code": 123456}):
        assert problem(await served.http.post(CHALLENGE, json=wrong)) == (400, "RPPAM-6010")
    assert problem(await served.http.post(ENROL, json={})) == (401, "RPPAM-6001")
    assert problem(await served.http.post(ENROL, headers={"Authorization": "Bearer x"}, json={})) == (401, "RPPAM-6001")
    assert problem(await served.http.post(ENROL, headers=served.bearer(), json={})) == (403, "RPPAM-3112")
    large = await served.http.post(ENROL, json={"mfaToken": "x" * 20_000})
    assert large.status_code == 413, "without a token bodies are small"
    for path in ("", "/stepup", "/backup-codes", "/disable"):
        assert (await served.http.post(f"{AUTH}/mfa{path}", json={"code": "1"})).status_code == 401


async def test_guessing_codes_locks_like_guessing_passwords(served: Served, other: Served) -> None:
    headers, secret, backup = await enrolled(served)
    nodes = [served, other]
    statuses: list[int] = []
    for place in range(10):
        node = nodes[place % 2]
        token = (await login(node))["mfaToken"]
        answer = await node.http.post(CHALLENGE, json={"mfaToken": token, "code": f"wrong {place}"})
        statuses.append(answer.status_code)
    assert statuses == [401] * 10
    for node in nodes:
        refused = await node.http.post(f"{AUTH}/login", json={"username": "admin", "password": PASSWORD})
        assert problem(refused) == (429, "RPPAM-6029")
        raised = await node.http.post(f"{AUTH}/mfa/stepup", headers=headers, json={"code": code(secret, 1)})
        assert problem(raised) == (429, "RPPAM-6029")
    unlocked = await other.http.post(f"{USERS}/id-admin/unlock", headers=other.bearer())
    assert unlocked.status_code in {200, 204}, unlocked.text
    async with asyncio.timeout(30):  # the other node hears of it within seconds
        while True:
            raised = await served.http.post(f"{AUTH}/mfa/stepup", headers=headers, json={"code": backup[0]})
            if raised.status_code != 429:
                break
            await asyncio.sleep(0.1)
    assert raised.status_code == 200, raised.text


async def test_the_console_has_its_token_in_a_cookie(served: Served) -> None:
    _, secret, _ = await enrolled(served)
    body = {"mfaToken": (await login(served))["mfaToken"], "code": code(secret, 1), "cookie": True}
    assert problem(await served.http.post(CHALLENGE, json=body)) == (403, "RPPAM-6006")
    answer = await served.http.post(CHALLENGE, json=body, headers={"Sec-Fetch-Site": "same-origin"})
    assert (answer.json()["accessToken"], answer.json()["tokenType"]) == (None, "Cookie")
    assert "HttpOnly" in answer.headers["set-cookie"]


async def test_the_own_password_ends_every_session(served: Served, other: Served) -> None:
    made = await served.http.post(
        USERS, headers=served.bearer(), json={"username": "anna", "password": "the first one of all"}
    )
    account = await served.users.get(made.json()["id"])
    issued = [await node.sessions.open(account.account, Caller("here", ""), mfa=False) for node in (served, other)]
    mine, elsewhere = ({"Authorization": f"Bearer {one.token.reveal()}"} for one in issued)
    path = f"{USERS}/me/password"
    wrong = {"currentPassword": "the second one of all", "newPassword": "the third one of all"}
    assert problem(await served.http.put(path, headers=mine, json=wrong)) == (403, "RPPAM-3111")
    unfit = {"currentPassword": "the first one of all", "newPassword": "short"}
    assert problem(await served.http.put(path, headers=mine, json=unfit)) == (400, "RPPAM-3105")
    assert (await other.http.get(f"{USERS}/me", headers=elsewhere)).json()["username"] == "anna"
    good = {"currentPassword": "the first one of all", "newPassword": "the second one of all"}
    assert (await served.http.put(path, headers=mine, json=good)).status_code == 204
    for node, headers in ((served, mine), (other, elsewhere)):
        assert (await node.http.get(f"{USERS}/me", headers=headers)).status_code == 401


@pytest.mark.parametrize("is_over", [False, True])
async def test_an_enrolment_on_the_way_in_is_never_that_of_the_cookie_beside_it(served: Served, is_over: bool) -> None:
    """Somebody else's cookie may be left in the browser, and a page cannot take it away."""
    same_site = {"Sec-Fetch-Site": "same-origin"}
    body = {"username": "ursula", "password": PASSWORD, "cookie": True}
    left = await served.http.post(f"{AUTH}/login", json=body, headers=same_site)
    headers = same_site | {"Cookie": left.headers["set-cookie"].partition(";")[0]}
    served.http.cookies.clear()
    if is_over:
        await served.sessions.end_user("id-ursula", "over")
    await require(served, "required_for_admins")
    token = (await login(served))["mfaToken"]
    begun = await served.http.post(ENROL, json={"mfaToken": token}, headers=headers)
    assert "RP-PAM:admin?" in begun.json().get("otpauthUri", begun.text)
    body = {"mfaToken": token, "code": code(begun.json()["secret"])}
    done = await served.http.post(ENROL, json=body, headers=headers)
    assert done.status_code == 200, done.text
    me = await served.http.get(f"{USERS}/me", headers=bearer(done.json()["login"]))
    assert (me.json()["username"], me.json()["mfaEnrolled"]) == ("admin", True)
    mine = await served.http.post(ENROL, json=MINE, headers=headers)
    assert mine.status_code == (401 if is_over else 200), "without a log-in on its way it is the cookie's, if it holds"


async def test_right_after_the_log_in_an_enrolment_needs_no_password(served: Served, other: Served) -> None:
    headers = bearer(await login(served))
    begun = await other.http.post(ENROL, headers=headers)
    assert (begun.status_code, begun.json()["enrolled"]) == (200, False), begun.text
    await age(served, 9 * 60_000)
    assert (await served.http.post(ENROL, headers=headers, json={})).status_code == 200
    newer = bearer((await served.http.post(f"{AUTH}/refresh", headers=headers)).json())
    await age(served, 10 * 60_000 + 1)
    for late in (headers, newer):
        missing = await other.http.post(ENROL, headers=late)
        assert problem(missing) == (400, "RPPAM-6010"), "a newer token is no newer log-in"
        assert [flaw["field"] for flaw in missing.json()["errors"]] == ["body.currentPassword"]
    assert (await other.http.post(ENROL, headers=newer, json=MINE)).status_code == 200
    done = await other.http.post(ENROL, headers=newer, json={"code": "1"})
    assert problem(done)[0] == 403, "the enrolment goes on as before"


async def test_a_session_that_was_taken_enrols_no_phone_and_changes_no_password(served: Served, other: Served) -> None:
    headers = bearer(await login(served))
    await age(served, 11 * 60_000)
    own, wrong = f"{USERS}/id-admin/password/reset", {"currentPassword": "a guess"}
    for path in (ENROL, own):
        missing = await served.http.post(path, headers=headers, json={})
        assert problem(missing) == (400, "RPPAM-6010")
        assert [flaw["field"] for flaw in missing.json()["errors"]] == ["body.currentPassword"]
        assert problem(await served.http.post(path, headers=headers, json=wrong)) == (403, "RPPAM-3111")
    assert problem(await served.http.post(ENROL, headers=headers, json={"code": "123456"})) == (409, "RPPAM-3126")
    for place in range(8):
        guess = await (served, other)[place % 2].http.post((ENROL, own)[place % 2], headers=headers, json=wrong)
        assert problem(guess) == (403, "RPPAM-3111")
    for node in (served, other):
        for path in (ENROL, own):
            assert problem(await node.http.post(path, headers=headers, json=MINE)) == (429, "RPPAM-6029")
    assert (await served.http.get(f"{AUTH}/mfa", headers=headers)).json()["enrolled"] is False
    assert (await served.http.post(f"{USERS}/id-admin/unlock", headers=served.bearer())).status_code == 200
    begun = await served.http.post(ENROL, headers=headers, json=MINE)
    assert begun.status_code == 200, begun.text
    reset = await served.http.post(own, headers=headers, json=MINE | {"password": "another good one"})
    assert (reset.status_code, reset.json()) == (200, {"password": None})
    assert (await served.http.get(f"{AUTH}/mfa", headers=headers)).status_code == 401, "it ends all sessions"
    others = await served.http.post(own, headers=served.bearer(), json={})
    assert len(others.json()["password"]) == 27, "somebody else who may resets it without"


@pytest.mark.parametrize("name", ["simon", "admin"])
async def test_a_session_that_was_taken_gets_round_neither_the_codes_nor_the_lockout(served: Served, name: str) -> None:
    headers, secret, _ = await enrolled(served, name)
    mine = f"{USERS}/id-{name}"
    assert problem(await served.http.delete(f"{mine}/mfa", headers=headers)) == (403, "RPPAM-6002")
    for _ in range(10):
        assert (await served.http.post(f"{AUTH}/mfa/stepup", headers=headers, json={"code": "0"})).status_code == 403
    [locked] = (await served.http.get("/api/v1/lockouts", headers=headers)).json()["items"]
    assert problem(await served.http.post(f"{mine}/unlock", headers=headers)) == (403, "RPPAM-6002")
    gone = await served.http.delete(f"/api/v1/lockouts/{locked['id']}", headers=headers)
    assert problem(gone) == (403, "RPPAM-6002")
    body = {"code": code(secret, 1)}
    assert problem(await served.http.post(f"{AUTH}/mfa/stepup", headers=headers, json=body)) == (429, "RPPAM-6029")
    assert (await served.http.post(f"{mine}/unlock", headers=served.bearer())).status_code == 200, "others may"
    assert (await served.http.post(f"{AUTH}/mfa/stepup", headers=headers, json=body)).status_code == 200
