"""SIEM targets over REST: who may, what is refused, and the test event."""

import json

import pytest

from rppam.access.accounts.model import AccountRole
from tests.siem.receivers import http
from tests.support.served import Served

pytestmark = pytest.mark.integration
TARGETS = "/api/v1/siem/targets"


async def test_a_target_is_made_tested_changed_and_removed(served: Served) -> None:
    taken: list[object] = []

    async def handle(path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        taken.extend(json.loads(body))
        return 200, {}

    headers = served.bearer(AccountRole.SECURITY_ADMIN)
    async with http(handle) as url:
        new = {"name": "hook", "kind": "webhook", "url": url, "secret": "s3cret"}
        made = await served.http.post(TARGETS, json=new, headers=headers)
        assert made.status_code == 201, made.text
        ident = made.json()["id"]
        assert made.json()["hasSecret"] is True
        assert "s3cret" not in made.text
        tested = await served.http.post(f"{TARGETS}/{ident}/test", headers=headers)
        assert tested.status_code == 200, tested.text
        assert taken[0]["action"] == "siem.test"  # type: ignore[index]
    gone = await served.http.post(f"{TARGETS}/{ident}/test", headers=headers)
    assert (gone.status_code, gone.json()["code"]) == (502, "RPPAM-8110")
    changed = await served.http.put(
        f"{TARGETS}/{ident}", json={**new, "secret": None, "enabled": False}, headers=headers
    )
    assert (changed.status_code, changed.json()["enabled"]) == (200, False), changed.text
    listed = await served.http.get(TARGETS, headers=served.bearer(AccountRole.AUDITOR))
    assert [one["name"] for one in listed.json()["items"]] == ["hook"]
    assert (await served.http.post(TARGETS, json=new, headers=headers)).status_code == 409
    assert (await served.http.delete(f"{TARGETS}/{ident}", headers=headers)).status_code == 204
    assert (await served.http.get(f"{TARGETS}/{ident}", headers=headers)).status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://x"},
        {"kind": "pigeon"},
        {"secret": None},
        {"format": "cef"},
        {"name": ""},
        {"options": {"batchSize": 0}},
        {"more": 1},
    ],
)
async def test_what_cannot_work_is_refused(served: Served, wrong: dict[str, object]) -> None:
    body = {"name": "hook", "kind": "webhook", "url": "https://x.example/", "secret": "s3cret", **wrong}
    answer = await served.http.post(TARGETS, json=body, headers=served.bearer(AccountRole.SECURITY_ADMIN))
    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize("role", [AccountRole.USER, AccountRole.AUDITOR, AccountRole.APPROVER])
async def test_only_who_administers_security_changes_them(served: Served, role: str) -> None:
    body = {"name": "hook", "kind": "webhook", "url": "https://x.example/", "secret": "s3cret"}
    answer = await served.http.post(TARGETS, json=body, headers=served.bearer(role))
    assert answer.status_code == 403, answer.text
