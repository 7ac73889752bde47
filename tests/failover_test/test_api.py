"""Failover tests over REST: who may, what is refused, what is kept and recorded."""

import json
from typing import Any

import pytest
from sqlalchemy import select, update

from rppam.access.accounts.model import AccountRole
from rppam.failover_test.model import BY_ITSELF, Method
from rppam.failover_test.policy import ALLOWED, AllowedMethods
from rppam.failover_test.report import digest_of
from rppam.failover_test.store import SqlFailoverTests
from rppam.failover_test.tables import failover_tests
from rppam.ledger.tables import audit_events
from tests.support.served import Served

pytestmark = pytest.mark.integration

TESTS = "/api/v1/admin/cluster/failover-tests"
VERDICTS = [{"promise": number, "title": f"promise {number}", "held": True, "why": "seen"} for number in range(1, 6)]


async def begun(served: Served, method: str = "switchover") -> str:
    made = await served.http.post(TESTS, json={"method": method}, headers=served.bearer(AccountRole.ADMIN))
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


async def recorded(served: Served, action: str) -> list[dict[str, Any]]:
    wanted = select(audit_events.c.body).where(audit_events.c.action == action)
    rows = await served.database.read(lambda connection: list(connection.scalars(wanted)))
    return [json.loads(row) for row in rows]


async def test_a_test_is_begun_writes_and_is_kept_with_its_digest_in_the_ledger(served: Served) -> None:
    headers = served.bearer(AccountRole.ADMIN)
    ident = await begun(served)
    for number in (1, 2, 2, 4):
        put = await served.http.put(f"{TESTS}/{ident}/writes/{number}", headers=headers)
        assert (put.status_code, put.json()["number"]) == (200, number), put.text
    read = (await served.http.get(f"{TESTS}/{ident}/writes", headers=headers)).json()
    assert (read["ranges"], read["count"], read["node"]) == ([[1, 2], [4, 4]], 3, "node1")
    taken = await served.http.post(f"{TESTS}/{ident}/fault", headers=headers)
    assert (taken.status_code, taken.json()["seconds"]) == (200, 0), taken.text
    assert served.orders.asked == [("switch_over", None, "admin")]
    report = {"format": 1, "method": "switchover", "verdicts": VERDICTS}
    ended = await served.http.put(
        f"{TESTS}/{ident}/report", json={"verdicts": VERDICTS, "report": report}, headers=headers
    )
    assert (ended.status_code, ended.json()["passed"], ended.json()["digest"]) == (200, True, digest_of(report))
    (event,) = await recorded(served, "failover.test")
    assert event["details"] == {"digest": digest_of(report), "verdicts": {str(one): True for one in range(1, 6)}}
    assert event["id"] == ended.json()["event"]
    assert [one["details"] for one in await recorded(served, "failover.fault")] == [
        {"test": ident, "method": "switchover"}
    ]
    shown = await served.http.get(f"{TESTS}/{ident}", headers=served.bearer(AccountRole.AUDITOR))
    assert shown.json()["report"] == report
    listed = (await served.http.get(TESTS, headers=headers)).json()["items"]
    assert [(one["id"], one["state"]) for one in listed] == [(ident, "finished")]
    late = await served.http.put(f"{TESTS}/{ident}/writes/5", headers=headers)
    assert (late.status_code, late.json()["code"]) == (409, "RPPAM-7204")


async def test_what_somebody_asked_for_is_begun_once_and_tells_how_far_it_is(served: Served) -> None:
    headers = served.bearer(AccountRole.ADMIN)
    asked = await served.http.post(f"{TESTS}/asked", json={"method": "switchover"}, headers=headers)
    assert (asked.status_code, asked.json()["state"], asked.json()["by"]) == (202, "asked", "admin"), asked.text
    ident = asked.json()["id"]
    for place in (TESTS, f"{TESTS}/asked"):
        second = await served.http.post(place, json={"method": "switchover"}, headers=headers)
        assert (second.status_code, second.json()["code"]) == (409, "RPPAM-7203"), second.text
        assert "admin asked for one 0 s ago" in second.json()["detail"]
    early = await served.http.post(f"{TESTS}/{ident}/steps", json={"said": "?"}, headers=headers)
    assert (early.status_code, early.json()["code"]) == (409, "RPPAM-7204"), "it has not begun"
    tests = SqlFailoverTests(served.database)
    assert [one.id for one in [await tests.asked()] if one] == [ident]
    itself = served.bearer(AccountRole.ADMIN, subject=BY_ITSELF)
    begins = {"method": "switchover", "asked": ident}
    assert (await served.http.post(TESTS, json=begins, headers=itself)).json()["state"] == "running"
    assert (await served.http.post(TESTS, json=begins, headers=itself)).json()["code"] == "RPPAM-7204", "once"
    assert await tests.asked() is None
    for said in ("two sessions are open", "node2 leads"):
        assert (
            await served.http.post(f"{TESTS}/{ident}/steps", json={"said": said}, headers=itself)
        ).status_code == 204
    shown = (await served.http.get(f"{TESTS}/{ident}", headers=headers)).json()
    assert [one["said"] for one in shown["steps"]] == ["two sessions are open", "node2 leads"]
    assert (shown["report"], shown["by"]) == (None, "admin")
    report = {"format": 1, "method": "switchover", "verdicts": VERDICTS}
    body = {"verdicts": VERDICTS, "report": report}
    ended = await served.http.put(f"{TESTS}/{ident}/report", json=body, headers=itself)
    assert (ended.status_code, ended.json()["passed"]) == (200, True), ended.text
    shown = (await served.http.get(f"{TESTS}/{ident}", headers=headers)).json()
    assert (shown["steps"], shown["report"]) == ([], report)
    assert [one["actor"]["name"] != "" for one in await recorded(served, "failover.ask")] == [True]


async def test_what_nobody_could_start_says_why(served: Served) -> None:
    headers, tests = served.bearer(AccountRole.ADMIN), SqlFailoverTests(served.database)
    refused = await tests.ask(Method.SWITCHOVER, "node1", "admin")
    body = {"verdicts": [], "why": "node2 is in maintenance"}
    over = await served.http.put(f"{TESTS}/{refused.id}/report", json=body, headers=headers)
    assert over.json()["state"] == "interrupted"
    late = await tests.ask(Method.SWITCHOVER, "node1", "admin")
    earlier = update(failover_tests).where(failover_tests.c.id == late.id).values(started_at=1)
    await served.database.write(lambda connection: connection.execute(earlier).close())
    assert await tests.asked() is None
    for ident, why in ((refused.id, "node2 is in maintenance"), (late.id, "no leader could start it within 60 s")):
        shown = (await served.http.get(f"{TESTS}/{ident}", headers=headers)).json()
        assert (shown["state"], shown["report"]) == ("interrupted", None)
        assert why in shown["steps"][-1]["said"]


async def test_one_test_at_a_time_until_it_is_over(served: Served) -> None:
    headers = served.bearer(AccountRole.ADMIN)
    ident = await begun(served)
    second = await served.http.post(TESTS, json={"method": "switchover"}, headers=headers)
    assert (second.status_code, second.json()["code"]) == (409, "RPPAM-7203")
    over = await served.http.put(
        f"{TESTS}/{ident}/report", json={"verdicts": [], "why": "interrupted"}, headers=headers
    )
    assert (over.json()["state"], over.json()["passed"]) == ("interrupted", None)
    again = await served.http.put(f"{TESTS}/{ident}/report", json={"verdicts": []}, headers=headers)
    assert again.status_code == 200, "said twice, it is as over"
    assert len(await recorded(served, "failover.test")) == 1
    await begun(served)


@pytest.mark.parametrize("method", ["stop", "kill", "isolate", "redis-failover"])
async def test_what_takes_a_node_away_is_for_those_who_allowed_it(served: Served, method: str) -> None:
    refused = await served.http.post(TESTS, json={"method": method}, headers=served.bearer(AccountRole.ADMIN))
    assert (refused.status_code, refused.json()["code"]) == (403, "RPPAM-7202")
    assert f"'{method}' is not allowed here" in refused.json()["detail"]


async def test_a_fault_goes_to_the_leader_with_its_end(served: Served) -> None:
    await allow(served, kill=True)
    ident = await begun(served, "kill")
    headers = served.bearer(AccountRole.ADMIN)
    for wrong in ({"seconds": 4}, {"seconds": 301}):
        answer = await served.http.post(f"{TESTS}/{ident}/fault", json=wrong, headers=headers)
        assert answer.status_code == 400, answer.text
    taken = await served.http.post(f"{TESTS}/{ident}/fault", json={"seconds": 7}, headers=headers)
    assert (taken.status_code, taken.json()["seconds"], taken.json()["beginsAfterMs"]) == (200, 7, 500), taken.text
    assert served.orders.asked == [("fail", "kill", 7, "admin")]
    again = await served.http.post(f"{TESTS}/{ident}/fault", headers=headers)
    assert (again.status_code, again.json()["code"]) == (409, "RPPAM-7204"), "once for a test"
    assert len(served.orders.asked) == 1
    assert len(await recorded(served, "failover.fault")) == 1


async def test_redis_without_sentinel_cannot_fail_over(served: Served) -> None:
    answer = await served.http.get(f"{TESTS}/redis", headers=served.bearer(AccountRole.ADMIN))
    assert (answer.status_code, answer.json()["code"]) == (409, "RPPAM-7205")
    await allow(served, redis_failover=True)
    ident = await begun(served, "redis-failover")
    for _ in range(2):  # one that was not made may be asked for again
        answer = await served.http.post(f"{TESTS}/{ident}/fault", headers=served.bearer(AccountRole.ADMIN))
        assert (answer.status_code, answer.json()["code"]) == (409, "RPPAM-7205")
    told = [one["outcome"] for one in await recorded(served, "failover.fault")]
    assert told == ["success", "failure"] * 2, "what is about to be done, and that it was not"


async def test_verdicts_are_those_of_all_five_promises(served: Served) -> None:
    ident, headers = await begun(served), served.bearer(AccountRole.ADMIN)
    for verdicts in (VERDICTS[:4], [*VERDICTS[:4], VERDICTS[0]]):
        answer = await served.http.put(f"{TESTS}/{ident}/report", json={"verdicts": verdicts}, headers=headers)
        assert answer.status_code == 400, answer.text


@pytest.mark.parametrize("role", [AccountRole.USER, AccountRole.AUDITOR, AccountRole.SECURITY_ADMIN])
async def test_only_pam_admin_begins_one(served: Served, role: str) -> None:
    answer = await served.http.post(TESTS, json={"method": "switchover"}, headers=served.bearer(role))
    assert answer.status_code == 403, answer.text


async def allow(served: Served, **methods: bool) -> None:
    body = ALLOWED.write(AllowedMethods(**methods))
    answer = await served.http.put(
        f"/api/v1/settings/{ALLOWED.name}", json=body, headers=served.bearer(AccountRole.ADMIN)
    )
    assert answer.status_code == 200, answer.text


async def test_a_test_that_nobody_asked_for_is_not_found_as_the_document_says(served: Served) -> None:
    begins = {"method": "switchover", "asked": "0" * 36}
    answer = await served.http.post(TESTS, json=begins, headers=served.bearer())
    assert (answer.status_code, answer.json()["code"]) == (404, "RPPAM-7201")
    document = (await served.http.get("/openapi.json")).json()
    assert "404" in document["paths"][TESTS]["post"]["responses"]
