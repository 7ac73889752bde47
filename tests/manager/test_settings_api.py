"""Settings over HTTP: entity tags, history, rollback, roles, and the leader's fence, on a real database."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from rppam.access.sessions.policy import SESSIONS, SessionPolicy
from rppam.cluster.consensus.heartbeat import Role
from rppam.cluster.store.epoch_register import SqlEpochRegister
from rppam.http.errors import InvalidRequestError
from rppam.http.revisions import revisions_in
from tests.support.served import Served

pytestmark = pytest.mark.integration

PATH = "/api/v1/settings/security/sessions"
DEFAULT = {"idleMinutes": 30, "absoluteHours": 12}


@pytest.fixture
async def api(served: Served) -> AsyncIterator[Served]:
    await served.database.start()
    served.live.start()
    yield served
    await served.live.stop()


async def ask(api: Served, method: str, path: str = PATH, *roles: str, **more: Any) -> httpx.Response:
    headers = {**api.bearer(*roles), **more.pop("headers", {})}
    return await api.http.request(method, path, headers=headers, **more)


async def put(api: Served, value: object, match: str | None = None, *roles: str) -> httpx.Response:
    headers = {} if match is None else {"If-Match": match}
    return await ask(api, "PUT", PATH, *roles, json=value, headers=headers)


async def test_what_get_answers_can_be_changed_and_put_back(api: Served) -> None:
    first = await ask(api, "GET")
    assert (first.status_code, first.json(), first.headers["etag"]) == (200, DEFAULT, '"0"')
    changed = await put(api, {**first.json(), "idleMinutes": 15}, first.headers["etag"])
    assert (changed.status_code, changed.headers["etag"]) == (200, '"1"')
    assert changed.json() == {"idleMinutes": 15, "absoluteHours": 12}
    assert api.live.current(SESSIONS) == SessionPolicy(idle_minutes=15)
    again = await ask(api, "GET")
    assert (again.json(), again.headers["etag"]) == (changed.json(), '"1"')
    # What is left out has its default again.
    assert (await put(api, {"absoluteHours": 8})).json() == {"idleMinutes": 30, "absoluteHours": 8}


async def test_a_stale_if_match_changes_nothing(api: Served) -> None:
    assert (await put(api, {"idleMinutes": 15}, '"0"')).status_code == 200
    for match in ('"0"', 'W/"1"', '"01"', '"one"', '"2", "3"', '"99999999999999999999"'):
        stale = await put(api, {"idleMinutes": 20}, match)
        assert (stale.status_code, stale.json()["code"]) == (412, "RPPAM-6503"), match
        assert (stale.json()["revision"], stale.headers["etag"]) == (1, '"1"')
    assert (await ask(api, "GET")).headers["etag"] == '"1"'
    for match in ('"0", "1"', "*", '"x,y" , "3"'):
        etag = (await ask(api, "GET")).headers["etag"]
        assert (await put(api, {"idleMinutes": 20 + int(etag[1])}, match)).status_code == 200, match
    bad = await put(api, {}, "1")
    assert (bad.status_code, bad.json()["errors"][0]["field"]) == (400, "header.If-Match")


def test_the_forms_of_if_match() -> None:
    assert revisions_in([]) is None
    assert revisions_in([" * "]) is None
    assert revisions_in(['"1"', '"2" ,\t"3"']) == [1, 2, 3]
    assert revisions_in(['W/"1"', '"", "a,b"']) == []
    for text in ("", "1", '"1" "2"', '"1",', ',"1"', '"1', '*, "1"', '"\x7f"', "w/" + '"1"'):
        with pytest.raises(InvalidRequestError):
            revisions_in([text])


async def test_the_same_value_again_is_the_same_revision(api: Served) -> None:
    assert (await put(api, {"idleMinutes": 15})).headers["etag"] == '"1"'
    assert (await put(api, {"idleMinutes": 15, "absoluteHours": 12})).headers["etag"] == '"1"'


async def test_the_audit_names_who_made_a_revision_and_nobody_who_made_none(
    api: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "rppam.audit")

    async def put_as(subject: str, minutes: int) -> None:
        token = api.tokens.issue(subject, ("pam_admin",), 5).token.reveal()
        headers = {"Authorization": f"Bearer {token}"}
        answer = await api.http.put(PATH, headers=headers, json={"idleMinutes": minutes})
        assert answer.status_code == 200, answer.text

    for subject, minutes in (("anna", 15), ("bob", 15), ("carl", 20)):
        await put_as(subject, minutes)
    lines = [record.getMessage() for record in caplog.records if record.name == "rppam.audit"]
    assert [line.partition(" under ")[0] for line in lines] == [
        "Setting security/sessions: anna made revision 1",
        "Setting security/sessions: carl made revision 2",
    ]


async def test_everything_wrong_is_named_and_nothing_changes(api: Served) -> None:
    wrong = await put(api, {"idleMinuts": 5, "absoluteHours": "8"})
    assert (wrong.status_code, wrong.json()["code"]) == (400, "RPPAM-6501")
    assert [error["field"] for error in wrong.json()["errors"]] == ["idleMinuts", "absoluteHours"]
    assert "Did you mean 'idleMinutes'?" in wrong.json()["errors"][0]["message"]
    assert (await put(api, [1])).json()["code"] == "RPPAM-6010"
    assert (await put(api, None)).json()["code"] == "RPPAM-6010"
    assert (await ask(api, "GET")).headers["etag"] == '"0"'


async def test_history_says_who_changed_what_and_can_be_gone_back_to(api: Served) -> None:
    assert (await ask(api, "GET", PATH + "/history")).json()["revisions"] == []
    for minutes in (10, 20, 25):
        await put(api, {"idleMinutes": minutes})
    page = (await ask(api, "GET", PATH + "/history?limit=2")).json()
    assert [(one["revision"], one["changes"]) for one in page["revisions"]] == [
        (3, [{"field": "idleMinutes", "from": 20, "to": 25}]),
        (2, [{"field": "idleMinutes", "from": 10, "to": 20}]),
    ]
    assert page["revisions"][0]["author"] == "admin"
    assert (page["revisions"][0]["epoch"], page["revisions"][0]["node"]) == (7, "node1")
    rest = (await ask(api, "GET", f"{PATH}/history?before={page['nextBefore']}")).json()
    assert [one["changes"] for one in rest["revisions"]] == [[{"field": "idleMinutes", "from": 30, "to": 10}]]
    assert rest["nextBefore"] is None
    back = await ask(api, "POST", PATH + "/rollback", json={"revision": 1})
    assert (back.status_code, back.json()["idleMinutes"], back.headers["etag"]) == (200, 10, '"4"')
    stale = await ask(api, "POST", PATH + "/rollback", json={"revision": 2}, headers={"If-Match": '"3"'})
    assert stale.status_code == 412
    assert (await ask(api, "POST", PATH + "/rollback", json={"revision": 0})).json() == DEFAULT
    for revision, status in ((9, 404), (-1, 400), ("1", 400), (2**60, 400)):
        answer = await ask(api, "POST", PATH + "/rollback", json={"revision": revision})
        assert answer.status_code == status, revision


async def test_the_list_tells_what_holds_and_since_when(api: Served) -> None:
    await put(api, {"idleMinutes": 15})
    lines = {line["name"]: line for line in (await ask(api, "GET", "/api/v1/settings")).json()["settings"]}
    line = lines["security/sessions"]
    assert (line["revision"], line["revisionHere"], line["author"], line["node"]) == (1, 1, "admin", "node1")
    assert (line["value"]["idleMinutes"], line["default"]) == (15, DEFAULT)
    others = [other for name, other in lines.items() if name != "security/sessions"]
    assert all(other["revision"] == 0 and other["author"] is None for other in others)


async def test_who_may_read_and_who_may_change(api: Served) -> None:
    for role, reads, writes in (
        ("pam_admin", 200, 200),
        ("security_admin", 200, 200),
        ("pam_auditor", 200, 403),
        ("pam_approver", 403, 403),
        ("pam_user", 403, 403),
    ):
        for path in ("/api/v1/settings", PATH, PATH + "/history"):
            assert (await ask(api, "GET", path, role)).status_code == reads, (role, path)
        assert (await put(api, {}, None, role)).status_code == writes, role
        back = await ask(api, "POST", PATH + "/rollback", role, json={"revision": 0})
        assert back.status_code == writes, role
    assert (await api.http.get(PATH)).status_code == 401


async def test_a_setting_that_there_is_not(api: Served) -> None:
    for path in ("security/session", "Security/sessions", "security/%2e%2e", "security/" + "x" * 64):
        answer = await ask(api, "GET", f"/api/v1/settings/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "RPPAM-6502"), path
    assert "did you mean security/sessions" in (await ask(api, "GET", PATH[:-1])).json()["detail"]


async def test_where_no_leader_can_be_asked_the_answer_names_it(api: Served) -> None:
    api.node.permission = None
    api.node.set(role=Role.STANDBY, leader="node2")
    for answer in (
        await put(api, {"idleMinutes": 15}),
        await ask(api, "POST", PATH + "/rollback", json={"revision": 0}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (421, "RPPAM-6020")
        assert answer.json()["leaderUrl"] == "http://node2:7101"
    assert (await ask(api, "GET")).headers["etag"] == '"0"'


async def test_a_leader_that_was_overtaken_changes_nothing(api: Served) -> None:
    await put(api, {"idleMinutes": 15})
    await SqlEpochRegister(api.database).claim(8, "node2", "f" * 16, 2_000)
    late = await put(api, {"idleMinutes": 20})
    assert (late.status_code, late.json()["code"]) == (409, "RPPAM-6021")
    assert (await ask(api, "GET")).json()["idleMinutes"] == 15
    assert api.live.current(SESSIONS).idle_minutes == 15


async def test_without_the_database_the_last_value_stays_in_force(api: Served) -> None:
    await put(api, {"idleMinutes": 15})
    await api.database.stop()
    assert (await ask(api, "GET")).status_code == 503
    assert (await put(api, {"idleMinutes": 20})).status_code == 503
    api.cache.forget([])
    await asyncio.sleep(0)
    assert api.live.current(SESSIONS).idle_minutes == 15


async def test_a_setting_that_its_reader_has_is_not_sent_again(served: Served) -> None:
    path, admin = "/api/v1/settings/security/sessions", served.bearer()
    tag = (await served.http.get(path, headers=admin)).headers["etag"]
    same = await served.http.get(path, headers={**admin, "If-None-Match": tag})
    assert (same.status_code, same.content) == (304, b"")
    for other in ('"77"', "nonsense", ""):
        assert (await served.http.get(path, headers={**admin, "If-None-Match": other})).status_code == 200


async def test_the_public_keys_have_their_media_type(served: Served) -> None:
    answer = await served.http.get("/.well-known/jwks.json")
    assert answer.headers["content-type"].partition(";")[0] == "application/jwk-set+json"


@pytest.mark.parametrize(
    ("role", "name", "status"),
    [
        ("security_admin", "security/sessions", 200), ("security_admin", "recordings/store", 403),
        ("pam_auditor", "security/sessions", 403), ("pam_user", "recordings/store", 403),
    ],
)  # fmt: skip
async def test_who_may_not_change_a_setting_tries_no_value_of_it_either(
    api: Served, tmp_path: Path, role: str, name: str, status: int
) -> None:
    """Which folders the hosts have is nobody else's affair."""
    value = {"store": "dir", "folder": str(tmp_path)} if name == "recordings/store" else {}
    body = {"settings": {name: value}}
    answer = await api.http.post("/api/v1/settings/trial", json=body, headers=api.bearer(role))
    assert answer.status_code == status, answer.text
