"""A change with an Idempotency-Key happens once, whatever becomes of its answer."""

import asyncio
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from rppam.access.accounts.model import AccountRole
from rppam.console.idempotency import SHOWN_ONCE
from rppam.console.store import WORKED_ON_MS
from rppam.console.tables import idempotency_keys
from rppam.console.wiring import ActKeys
from rppam.kernel.secret import Secret
from rppam.ledger.tables import audit_events
from tests.support.served import Served

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]
TARGETS = "/api/v1/siem/targets"
KEY = {"Idempotency-Key": "0123456789abcdef"}


def body(name: str = "hook") -> dict[str, Any]:
    return {"name": name, "kind": "webhook", "url": "https://x.example/", "secret": "s3cret"}


async def post(served: Served, headers: dict[str, str], **wanted: Any) -> httpx.Response:
    return await served.http.post(TARGETS, json=wanted or body(), headers=headers)


@pytest.fixture
def sue(served: Served) -> dict[str, str]:
    return {**served.bearer(AccountRole.SECURITY_ADMIN), **KEY}


async def recorded(served: Served, action: str = "siem.create") -> int:
    wanted = select(audit_events.c.seq).where(audit_events.c.action == action)
    return len(await served.database.read(lambda one: one.execute(wanted).all()))


async def until_kept(served: Served) -> None:
    """What was answered is kept after it was sent."""
    for _ in range(500):
        if await served.database.read(lambda one: one.execute(select(idempotency_keys.c.status)).scalar()):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("nothing was kept")


async def alter(served: Served, **values: Any) -> None:
    await served.database.write(lambda one: one.execute(update(idempotency_keys).values(**values)))


async def test_the_second_one_gets_the_first_ones_answer_and_nothing_happens(
    served: Served, sue: dict[str, str]
) -> None:
    first = await post(served, sue)
    await until_kept(served)
    again = await post(served, sue)
    assert (first.status_code, again.status_code) == (201, 201), again.text
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert await recorded(served) == 1
    # An answer may hold a password that was shown once: what is kept of it is sealed.
    kept = await served.database.read(lambda one: one.execute(select(idempotency_keys)).one())
    assert "hook" not in kept.answer


async def test_ten_at_once_happen_once(served: Served, sue: dict[str, str]) -> None:
    answers = await asyncio.gather(*(post(served, sue) for _ in range(10)))
    assert {one.status_code for one in answers} <= {201, 409}
    assert {one.json()["code"] for one in answers if one.status_code == 409} <= {"RPPAM-8802"}
    assert all(one.headers["retry-after"] == "2" for one in answers if one.status_code == 409)
    assert await recorded(served) == 1


async def test_a_key_is_for_one_request_of_one_person(served: Served, sue: dict[str, str]) -> None:
    await post(served, sue)
    await until_kept(served)
    other = await post(served, sue, **body("another"))
    assert (other.status_code, other.json()["code"]) == (409, "RPPAM-8801")
    somebody = await post(served, {**served.bearer(AccountRole.ADMIN), **KEY}, **body("theirs"))
    assert somebody.status_code == 201, somebody.text
    wrong = await post(served, {**sue, "Idempotency-Key": "short"})
    assert (wrong.status_code, wrong.json()["code"]) == (400, "RPPAM-8804")


async def test_who_reads_the_table_can_try_out_nothing_that_was_sent(served: Served, sue: dict[str, str]) -> None:
    await post(served, sue)
    await until_kept(served)
    kept = await served.database.read(lambda one: one.execute(select(idempotency_keys)).one())
    assert sue["Idempotency-Key"] not in str(kept)
    sent = b"POST " + TARGETS.encode() + b"?\0" + httpx.Request("POST", "http://x", json=body()).content
    assert older_row(sue, sent)["fingerprint"] == hashlib.sha256(sent).hexdigest() != kept.fingerprint
    assert kept.fingerprint == hmac.digest(sue["Idempotency-Key"].encode(), sent, "sha256").hex()


def older_row(headers: dict[str, str], sent: bytes) -> dict[str, Any]:
    """As the release before keeps it."""
    return {"key": headers["Idempotency-Key"], "fingerprint": hashlib.sha256(sent).hexdigest()}


async def test_what_a_node_of_the_release_before_began_is_not_done_again(served: Served, sue: dict[str, str]) -> None:
    sent = b"POST " + TARGETS.encode() + b"?\0" + httpx.Request("POST", "http://x", json=body()).content
    assert (await post(served, sue)).status_code == 201
    await until_kept(served)
    owner = (await served.database.read(lambda one: one.execute(select(idempotency_keys)).one())).owner
    key = sue["Idempotency-Key"]
    keys = served.services.get(ActKeys).data_keys
    answer = await keys.seal(Secret('{"kept": "before"}'), f"idempotency/{owner}/{key}")
    await alter(served, **older_row(sue, sent), answer=answer)
    again = await post(served, sue)
    assert (again.status_code, again.json()) == (201, {"kept": "before"})
    other = await post(served, sue, **body("another"))
    assert (other.status_code, other.json()["code"]) == (409, "RPPAM-8801")
    # It died before its transaction: the act is begun again, and is kept as this release does.
    begun = idempotency_keys.c.begun_at - WORKED_ON_MS
    await alter(served, status=None, answer=None, request="a-request-that-did-nothing", begun_at=begun)
    [there] = (await served.http.get(TARGETS, headers=served.bearer())).json()["items"]
    await served.http.delete(f"{TARGETS}/{there['id']}", headers=served.bearer())
    assert (await post(served, sue)).status_code == 201
    await until_kept(served)
    kept = await served.database.read(lambda one: one.execute(select(idempotency_keys)).one())
    assert kept.key == hashlib.sha256(key.encode()).hexdigest()
    assert (await post(served, sue)).headers["idempotency-replayed"] == "true"


async def test_what_was_refused_may_be_tried_again(served: Served, sue: dict[str, str]) -> None:
    assert (await post(served, {**sue, "Idempotency-Key": "another-key"})).status_code == 201
    assert (await post(served, sue)).status_code == 409, "the name is taken"
    listed = await served.http.get(TARGETS, headers=served.bearer())
    await served.http.delete(f"{TARGETS}/{listed.json()['items'][0]['id']}", headers=served.bearer())
    assert (await post(served, sue)).status_code == 201


async def test_after_the_node_died_the_ledger_tells_whether_it_was_done(served: Served, sue: dict[str, str]) -> None:
    assert (await post(served, sue)).status_code == 201
    await until_kept(served)
    # The node died after its transaction and before its answer.
    await alter(served, status=None, answer=None)
    soon = await post(served, sue)
    assert (soon.status_code, soon.json()["code"]) == (409, "RPPAM-8802")
    await alter(served, begun_at=idempotency_keys.c.begun_at - WORKED_ON_MS)
    later = await post(served, sue)
    assert (later.status_code, later.json()["code"]) == (409, "RPPAM-8803")
    assert await recorded(served) == 1
    # It died before its transaction: no event has that request's id.
    await alter(served, request="a-request-that-did-nothing")
    await served.http.delete(
        f"{TARGETS}/{(await served.http.get(TARGETS, headers=served.bearer())).json()['items'][0]['id']}",
        headers=served.bearer(),
    )
    assert (await post(served, sue)).status_code == 201
    assert await recorded(served) == 2


async def test_the_reason_that_was_given_stands_in_the_record(served: Served) -> None:
    headers = {**served.bearer(AccountRole.SECURITY_ADMIN), "Rppam-Reason": "wegen%20%C3%9Cbung%0Aof+two"}
    assert (await post(served, headers)).status_code == 201
    events = await served.http.get("/api/v1/audit/events?action=siem.create", headers=served.bearer())
    assert [one["reason"] for one in events.json()["events"]] == ["wegen Übung of+two"]


async def test_a_password_that_is_shown_once_is_kept_nowhere(served: Served) -> None:
    headers = {**served.bearer(), **KEY}
    made = await served.http.post("/api/v1/users", json={"username": "newcomer"}, headers=headers)
    assert (made.status_code, bool(made.json()["password"])) == (201, True), made.text
    await until_kept(served)
    again = await served.http.post("/api/v1/users", json={"username": "newcomer"}, headers=headers)
    assert (again.status_code, again.json()["code"]) == (409, "RPPAM-8803")
    kept = await served.database.read(lambda one: one.execute(select(idempotency_keys)).one())
    assert kept.answer is None


def test_no_answer_with_a_secret_is_kept() -> None:
    """By the API's own description: what makes up or shows a secret is among what is kept nowhere."""
    document = json.loads((ROOT / "docs" / "reference" / "openapi.json").read_text(encoding="utf-8"))
    shapes = document["components"]["schemas"]
    secret = {"password", "secret", "token", "fields", "backupCodes"}
    told = {
        path
        for path, methods in document["paths"].items()
        for answer in (methods.get("post", {}).get("responses", {}).get(status, {}) for status in ("200", "201"))
        for name in [answer.get("content", {}).get("application/json", {}).get("schema", {}).get("$ref", "")]
        if secret & {*shapes.get(name.rpartition("/")[2], {}).get("properties", {})}
    }
    assert {"/api/v1/users", "/api/v1/users/me/ssh-tokens", "/api/v1/vault/generate"} <= told
    assert [one for one in sorted(told) if not one.startswith("/api/v1/auth/") and not SHOWN_ONCE.search(one)] == []
