"""The ledger over REST: what is done over REST is in it, auditors read it, and nobody else does."""

import base64
from typing import Any

import pytest

from rppam.access.accounts.model import AccountRole
from rppam.audit.integrator import Integrator
from rppam.audit.keys import SigningKeys
from rppam.cluster.admin.errors import MemberUnknown
from rppam.crypto.data_key_ports import ClusterSecrets
from rppam.crypto.data_keys import DataKeys
from rppam.db.data_keys import SqlDataKeys
from rppam.kernel.secret import Secret
from rppam.ledger.checkpoint import origin_of, read_checkpoint, verifier_of
from rppam.ledger.merkle import is_consistent, root_from_inclusion
from tests.support.served import PASSWORD, Served

pytestmark = pytest.mark.integration
EVENTS = "/api/v1/audit/events"


async def integrate(served: Served, epoch: int = 7) -> None:
    data_keys = DataKeys(SqlDataKeys(served.database), lambda: ClusterSecrets(Secret("ab" * 32), (), ()))
    keys = SigningKeys(served.database, data_keys, origin_of(""))
    await Integrator(served.database, keys, "node1", "boot-a").work(epoch)


async def asked(served: Served, path: str, role: str = AccountRole.AUDITOR) -> Any:
    answer = await served.http.get(path, headers=served.bearer(role))
    assert answer.status_code == 200, answer.text
    return answer.json()


async def signed_in(served: Served, name: str = "admin") -> dict[str, str]:
    answer = await served.http.post("/api/v1/auth/login", json={"username": name, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['accessToken']}"}


async def test_what_an_administrator_does_is_recorded_with_who_and_from_where(served: Served) -> None:
    headers = await signed_in(served)
    new = {"username": "anna", "displayName": "Anna", "roles": ["pam_user"]}
    made = await served.http.post("/api/v1/users", json=new, headers=headers)
    assert made.status_code == 201, made.text
    (event,) = (await asked(served, f"{EVENTS}?action=user.create&object=anna"))["events"]
    assert event["actor"]["name"] == "admin"
    assert event["actor"]["kind"] == "user"
    assert event["actor"]["address"] == "127.0.0.1"
    assert event["request"] == made.headers["x-request-id"]
    assert event["index"] is None, "nobody has integrated it yet"
    opened = (await asked(served, f"{EVENTS}?action=session.open&actor=admin"))["events"]
    assert event["actor"]["session"] in {one["object"]["id"] for one in opened}
    await integrate(served)
    answer = await asked(served, f"{EVENTS}?all=true&limit=1000")
    placed = [one["index"] for one in answer["events"] if one["index"] is not None]
    assert placed == list(range(len(placed)))
    assert answer["next"] == placed[-1]
    rest = await asked(served, f"{EVENTS}?all=true&after={answer['next']}")
    assert {one["index"] for one in rest["events"]} == {None}, "sessions that were opened to ask this"
    assert rest["next"] == answer["next"]


async def test_a_role_that_is_given_and_taken_is_recorded(served: Served) -> None:
    headers = await signed_in(served)
    new = {"username": "anna", "displayName": "Anna", "roles": ["pam_user"]}
    ident = (await served.http.post("/api/v1/users", json=new, headers=headers)).json()["id"]
    changed = await served.http.patch(f"/api/v1/users/{ident}", json={"roles": ["pam_auditor"]}, headers=headers)
    assert changed.status_code == 200, changed.text
    events = (await asked(served, f"{EVENTS}?action=role."))["events"]
    assert [(one["action"], one["details"]) for one in events] == [
        ("role.grant", {"role": "pam_auditor"}),
        ("role.revoke", {"role": "pam_user"}),
    ]


async def test_events_are_proved_against_a_signed_checkpoint(served: Served) -> None:
    await signed_in(served)
    await integrate(served)
    before = (await asked(served, "/api/v1/audit/checkpoints"))["checkpoints"][0]
    await signed_in(served, "audrey")
    await integrate(served)
    found = await asked(served, "/api/v1/audit/checkpoints")
    newest, verifier = found["checkpoints"][0], verifier_of(found["key"])
    point = read_checkpoint(newest["note"], verifier)
    proof = await asked(served, "/api/v1/audit/proof?index=1")
    path = [base64.b64decode(one) for one in proof["proof"]]
    assert root_from_inclusion(base64.b64decode(proof["leaf"]), 1, proof["size"], path) == point.root
    grown = await asked(served, f"/api/v1/audit/proof?from={before['size']}")
    path, older = [base64.b64decode(one) for one in grown["proof"]], read_checkpoint(before["note"], verifier)
    assert is_consistent(older.size, older.root, point.size, point.root, path)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("proof", 400),
        ("proof?index=5", 404),
        ("proof?from=9", 404),
        ("proof?index=-1", 400),
        ("events?since=yesterday", 400),
        ("events?limit=0", 400),
        ("events?limit=1001", 400),
        ("events?after=x", 400),
    ],
)
async def test_what_cannot_be_answered_says_why(served: Served, query: str, status: int) -> None:
    answer = await served.http.get(f"/api/v1/audit/{query}", headers=served.bearer(AccountRole.AUDITOR))
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize("role", [AccountRole.USER, AccountRole.SECURITY_ADMIN, AccountRole.APPROVER])
@pytest.mark.parametrize("what", ["events", "checkpoints", "proof?index=0"])
async def test_only_auditors_and_administrators_read_it(served: Served, role: str, what: str) -> None:
    answer = await served.http.get(f"/api/v1/audit/{what}", headers=served.bearer(role))
    assert answer.status_code == 403, answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_nobody_changes_it(served: Served, method: str) -> None:
    answer = await served.http.request(method, EVENTS, headers=served.bearer(AccountRole.ADMIN))
    assert answer.status_code == 405, answer.text


async def test_orders_to_the_cluster_are_recorded_with_what_became_of_them(served: Served) -> None:
    headers = await signed_in(served)
    paused = await served.http.put("/api/v1/admin/cluster/pause", json={"paused": True}, headers=headers)
    assert paused.status_code == 200, paused.text
    served.orders.failure = MemberUnknown("node9")
    gone = await served.http.post("/api/v1/admin/cluster/forget", json={"members": ["node9"]}, headers=headers)
    assert gone.status_code == 404, gone.text
    (pause,) = (await asked(served, f"{EVENTS}?action=cluster.pause"))["events"]
    (forget,) = (await asked(served, f"{EVENTS}?action=member.remove"))["events"]
    assert (pause["outcome"], pause["actor"]["name"]) == ("success", "admin")
    assert forget["outcome"] == "failure"
    assert forget["reason"].startswith("RPPAM-")
    assert forget["details"]["members"] == ["node9"]
