"""Users over REST, on a real database."""

import json
import logging
import re
from typing import Any

import httpx
import pytest

from rppam.access.accounts.service import PASSWORD_ALPHABET
from tests.support.served import Served

pytestmark = pytest.mark.integration

USERS = "/api/v1/users"


@pytest.fixture
async def open_served(served: Served) -> Served:
    await served.database.start()
    return served


async def made(served: Served, username: str, *roles: str, **more: Any) -> dict[str, Any]:
    body = {"username": username, "roles": list(roles or ("pam_user",)), **more}
    answer = await served.http.post(USERS, headers=served.bearer(), json=body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"{USERS}/{found['id']}"
    return found


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_an_account_from_its_making_to_its_end(open_served: Served) -> None:
    served, admin = open_served, open_served.bearer()
    await made(served, "root", "pam_admin")
    anna = await made(served, "ANNA", "pam_user", displayName="  Anna Ωmega ")
    path = f"{USERS}/{anna['id']}"
    assert re.fullmatch(f"([{PASSWORD_ALPHABET}]{{6}}-){{3}}[{PASSWORD_ALPHABET}]{{6}}", anna.pop("password"))
    assert (anna["username"], anna["displayName"], anna["roles"]) == ("anna", "Anna Ωmega", ["pam_user"])
    assert (anna["disabled"], anna["deleted"], anna["mfaEnrolled"], anna["revision"]) == (False, False, False, 1)
    assert (await served.http.get(path, headers=admin)).json() == anna
    roles = await served.http.put(f"{path}/roles", headers=admin, json={"roles": ["pam_auditor", "pam_user"]})
    assert (roles.status_code, roles.json()) == (200, {"roles": ["pam_auditor", "pam_user"]})
    assert (await served.http.get(f"{path}/roles", headers=admin)).json() == roles.json()
    patched = await served.http.patch(path, headers=admin, json={"disabled": True})
    assert (patched.json()["disabled"], patched.json()["displayName"]) == (True, "Anna Ωmega")
    put = await served.http.put(path, headers=admin, json={"displayName": "Anna", "disabled": False})
    assert (put.json()["disabled"], put.json()["displayName"], put.json()["revision"]) == (False, "Anna", 4)
    reset = await served.http.post(f"{path}/password/reset", headers=admin, json={})
    assert len(reset.json()["password"]) == 27
    chosen = await served.http.post(f"{path}/password/reset", headers=admin, json={"password": "a good long one"})
    assert (chosen.status_code, chosen.json()) == (200, {"password": None})
    gone = await served.http.delete(path, headers=admin)
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await served.http.get(path, headers=admin)).json()["deleted"] is True
    listed = (await served.http.get(USERS, headers=admin)).json()
    assert ([user["username"] for user in listed["items"]], listed["total"]) == (["root"], 1)
    listed = (await served.http.get(USERS, params={"deleted": "true", "pageSize": 1}, headers=admin)).json()
    assert ([user["username"] for user in listed["items"]], listed["total"]) == (["anna"], 2)
    assert code(await served.http.delete(path, headers=admin)) == (404, "RPPAM-3107")
    assert code(await served.http.post(f"{path}/password/reset", headers=admin, json={})) == (404, "RPPAM-3107")


async def test_what_get_answered_is_put_back_with_something_changed(open_served: Served) -> None:
    served, admin = open_served, open_served.bearer()
    anna, bob = await made(served, "anna", displayName="Anna"), await made(served, "bob")
    path = f"{USERS}/{anna.pop('id')}"
    whole = (await served.http.get(path, headers=admin)).json()
    same = await served.http.put(path, headers=admin, json=whole)
    assert (same.status_code, same.json()) == (200, whole), "no change is no new revision"
    changed = await served.http.put(path, headers=admin, json=whole | {"roles": ["pam_auditor"]})
    assert (changed.status_code, changed.json()) == (200, whole | {"roles": ["pam_auditor"], "revision": 2})
    part = await served.http.put(path, headers=admin, json={"displayName": "A."})
    assert part.json() == whole | {"roles": ["pam_auditor"], "displayName": "A.", "revision": 3}
    for wrong, field in (({"username": "bob"}, "body.username"), ({"id": bob["id"]}, "body.id")):
        refused = await served.http.put(path, headers=admin, json=whole | wrong)
        assert code(refused) == (400, "RPPAM-6010")
        assert [flaw["field"] for flaw in refused.json()["errors"]] == [field]
    assert (await served.http.get(path, headers=admin)).json() == part.json()


async def test_a_changed_display_name_stands_in_the_audit(
    open_served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    served = open_served
    anna = await made(served, "anna", displayName="Anna")
    with caplog.at_level(logging.INFO, "rppam.audit"):
        for name in ("Anna B.", "Anna B."):
            answer = await served.http.patch(
                f"{USERS}/{anna['id']}", headers=served.bearer(), json={"displayName": name}
            )
            assert answer.status_code == 200
    told = [record.getMessage() for record in caplog.records if record.name == "rppam.audit"]
    assert told == ["admin changed the display name of the account anna."]


async def test_a_change_that_changes_nothing_raises_no_revision(
    open_served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    served, admin = open_served, open_served.bearer()
    anna = await made(served, "anna", displayName="Anna")
    path = f"{USERS}/{anna['id']}"
    caplog.clear()
    with caplog.at_level(logging.WARNING, "rppam.accounts"):
        for body in ({}, {"displayName": " Anna "}, {"disabled": False, "roles": ["pam_user"]}, {"roles": None}):
            answer = await served.http.patch(path, headers=admin, json=body)
            assert (answer.status_code, answer.json()["revision"]) == (200, 1), body
        assert (await served.http.put(f"{path}/roles", headers=admin, json={"roles": ["pam_user"]})).status_code == 200
    assert (await served.http.get(path, headers=admin)).json()["revision"] == 1
    assert caplog.text == ""


async def test_a_password_is_reset_without_a_body(open_served: Served) -> None:
    anna = await made(open_served, "anna")
    answer = await open_served.http.post(f"{USERS}/{anna['id']}/password/reset", headers=open_served.bearer())
    assert (answer.status_code, len(answer.json()["password"])) == (200, 27)


@pytest.mark.parametrize("role", ["pam_user", "pam_approver", "security_admin", "pam_auditor"])
async def test_only_an_administrator_changes_accounts(open_served: Served, role: str) -> None:
    served, caller = open_served, open_served.bearer(role)
    anna = await made(served, "anna")
    path = f"{USERS}/{anna['id']}"
    may_read = role in {"security_admin", "pam_auditor"}
    for asked in (USERS, path, f"{path}/roles", f"{USERS}/nobody"):
        answer = await served.http.get(asked, headers=caller)
        assert (answer.status_code != 403) is may_read, asked
    for method, asked, body in (
        ("POST", USERS, {"username": "evil", "roles": ["pam_admin"]}),
        ("PUT", path, {"displayName": "x", "disabled": True}),
        ("PATCH", path, {"roles": ["pam_admin"]}),
        ("PUT", f"{path}/roles", {"roles": ["pam_admin"]}),
        ("POST", f"{path}/password/reset", {}),
        ("DELETE", path, None),
    ):
        answer = await served.http.request(method, asked, headers=caller, json=body)
        assert code(answer) == (403, "RPPAM-6002"), (method, asked)
    anna.pop("password")
    assert (await served.http.get(path, headers=served.bearer())).json() == anna
    assert (await served.http.get(USERS, headers=served.bearer())).json()["total"] == 1


async def test_the_last_administrator_stays(open_served: Served) -> None:
    served, admin = open_served, open_served.bearer()
    path = f"{USERS}/{(await made(served, 'root', 'pam_admin'))['id']}"
    for refused in (
        await served.http.delete(path, headers=admin),
        await served.http.patch(path, headers=admin, json={"disabled": True}),
        await served.http.put(f"{path}/roles", headers=admin, json={"roles": ["pam_user"]}),
        await served.http.put(f"{path}/roles", headers=admin, json={"roles": []}),
    ):
        assert code(refused) == (409, "RPPAM-3108")
        assert "root is the last enabled account" in refused.json()["detail"]
    assert (await served.http.get(path, headers=admin)).json()["revision"] == 1


@pytest.mark.parametrize(
    ("username", "expected"),
    [
        ("admin", (409, "RPPAM-3103")),
        ("ＡＤＭＩＮ", (409, "RPPAM-3103")),
        ("m0dem", (409, "RPPAM-3109")),
        ("\u0430dmin", (400, "RPPAM-3104")),  # Cyrillic
        ("adm\u0131n", (400, "RPPAM-3104")),  # dotless
        ("ad\u200bmin", (400, "RPPAM-3104")),
        ("\ud800", (400, "RPPAM-6010")),
        ("../../etc", (400, "RPPAM-3104")),
        ("a b", (400, "RPPAM-3104")),
        ("x" * 65, (400, "RPPAM-3104")),
        ("x" * 257, (400, "RPPAM-6010")),
        ("", (400, "RPPAM-6010")),
    ],
)
async def test_names_that_are_taken_look_taken_or_are_none(
    open_served: Served, username: str, expected: tuple[int, str]
) -> None:
    served = open_served
    await made(served, "admin", "pam_admin")
    await made(served, "modem")
    answer = await served.http.post(
        USERS,
        headers={**served.bearer(), "Content-Type": "application/json"},
        content=json.dumps({"username": username}),
    )
    assert code(answer) == expected
    assert (await served.http.get(USERS, headers=served.bearer())).json()["total"] == 2


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"username":"bert","roles":["emperor"]}', "RPPAM-6010"),
        ('{"username":"bert","roles":"pam_admin"}', "RPPAM-6010"),
        ('{"username":"bert","admin":true}', "RPPAM-6010"),
        ('{"username":["bert"]}', "RPPAM-6010"),
        ('{"username":"bert","password":"short"}', "RPPAM-3105"),
        ('{"username":"bert","password":"with\\u0000nul"}', "RPPAM-3105"),
        ('{"username":"bert","password":"half \\ud800 pair"}', "RPPAM-3105"),
        ('{"username":"bert","displayName":"line\\nbreak"}', "RPPAM-3110"),
        ('{"username":"bert","displayName":"\\u202egnp.exe"}', "RPPAM-3110"),
        ('{"username":"bert","displayName":"\\ud800"}', "RPPAM-6010"),
        ('{"username":"bert","displayName":"nul\\u0000"}', "RPPAM-3110"),
    ],
)
async def test_bodies_that_make_no_account(open_served: Served, body: str, expected: str) -> None:
    served = open_served
    headers = {**served.bearer(), "Content-Type": "application/json"}
    answer = await served.http.post(USERS, headers=headers, content=body)
    assert code(answer) == (400, expected)
    assert (await served.http.get(USERS, headers=served.bearer())).json()["total"] == 0


@pytest.mark.parametrize(
    "query",
    ["page=0", "pageSize=0", "pageSize=201", "page=x", "page=9999999999999999999", "role=x", "deleted=2", "search=%00"],
)
async def test_pages_that_are_none(open_served: Served, query: str) -> None:
    assert code(await open_served.http.get(f"{USERS}?{query}", headers=open_served.bearer())) == (400, "RPPAM-6010")


@pytest.mark.parametrize("user_id", ["x" * 37, "a'--", "a%00", "%F0%9F%92%A9", ".."])
async def test_ids_that_are_none(open_served: Served, user_id: str) -> None:
    answer = await open_served.http.get(f"{USERS}/{user_id}/roles", headers=open_served.bearer())
    assert answer.status_code in {400, 404}


async def test_a_token_of_a_host_has_no_account_of_its_own(open_served: Served) -> None:
    served = open_served
    assert code(await served.http.get(f"{USERS}/me", headers=served.bearer())) == (403, "RPPAM-3112")
    body = {"currentPassword": "x", "newPassword": "a good long one"}
    answer = await served.http.put(f"{USERS}/me/password", headers=served.bearer(), json=body)
    assert code(answer) == (403, "RPPAM-3112")


async def test_without_a_database_it_is_503_and_nothing_is_said_of_anybody(served: Served) -> None:
    await served.database.stop()
    assert code(await served.http.get(USERS, headers=served.bearer())) == (503, "RPPAM-6033")
    answer = await served.http.post(USERS, headers=served.bearer(), json={"username": "anna"})
    assert code(answer) == (503, "RPPAM-6033")


async def test_a_change_overwrites_none_that_its_author_has_not_seen(served: Served) -> None:
    admin = served.bearer()
    made = (await served.http.post(USERS, headers=admin, json={"username": "tagged"})).json()
    path = f"{USERS}/{made['id']}"
    read = await served.http.get(path, headers=admin)
    tag = read.headers["etag"]
    assert tag == f'"{read.json()["revision"]}"'
    same = await served.http.get(path, headers={**admin, "If-None-Match": f'"x", W/{tag}'})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    first = await served.http.patch(path, headers={**admin, "If-Match": tag}, json={"displayName": "One"})
    assert (first.status_code, first.headers["etag"] != tag) == (200, True)
    late = {**admin, "If-Match": tag}
    for method, place, body in (
        ("PATCH", path, {"displayName": "Two"}),
        ("PUT", path, {"displayName": "Two"}),
        ("PUT", f"{path}/roles", {"roles": ["pam_admin"]}),
    ):
        refused = await served.http.request(method, place, headers=late, json=body)
        assert (refused.status_code, refused.json()["code"]) == (412, "RPPAM-3113"), method
    assert (await served.http.get(path, headers=late)).json()["displayName"] == "One"
    assert (await served.http.get(path, headers={**admin, "If-None-Match": tag})).status_code == 200
