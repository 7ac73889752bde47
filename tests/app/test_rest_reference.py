"""The description of the API and the API are the same thing."""

from functools import cache

import pytest
from sqlalchemy import and_, func, not_, select

from rppam.access.accounts.tables import users
from rppam.gateway.model import NewAccess
from rppam.gateway.revocations_api import REVOKED
from rppam.gateway.store import SqlAccess
from rppam.kernel.actor import NODE
from rppam.kernel.instant import WallMs
from rppam.ledger.tables import audit_events
from rppam.licence.model import Licence, Tier
from rppam.recordings.model import Facts
from rppam.recordings.service import Recordings
from tests.audit.actions import WALKED
from tests.support.documents import described
from tests.support.served import PASSWORD, Served
from tests.support.unnamed import acts, names_nobody, plant

pytestmark = pytest.mark.integration

USERS = "/api/v1/users"
_OF_ACCOUNTS = ("/api/v1/access-requests", "/api/v1/grants/{grantId}", "/api/v1/access/terminals")
_FAILOVER_TESTS = "/api/v1/admin/cluster/failover-tests/"
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKtPd3D8WBB2RJFAiBz1qMpmL3kbo3IVqUB/bwmp0fGj"
OTHER_HOST_KEY = HOST_KEY.removesuffix("j") + "k"


WITHOUT_EVENT = {
    "POST /api/v1/auth/refresh": "another token of the same session; its beginning is recorded, and its end",
    "POST /api/v1/admin/cluster/nodes": "asks whether a node may join; when it does, that is recorded",
    "POST /api/v1/settings/trial": "tries values on every node, and changes nothing",
    "POST /api/v1/vault/generate": "makes a password that is kept nowhere",
}
"""Routes that may change something and write no event, each with its reason."""
NOTHING_TO_DO = {
    "POST /api/v1/vault/entries/{entryId}/release",  # nothing waits
    "POST /api/v1/recordings/{recordingId}/release",  # nothing is held
    "DELETE /api/v1/lockouts/{lockoutId}",  # nobody is locked out
    "PUT /api/v1/admin/cluster/note",  # a stand-in keeps it
}
"""Routes that find nothing to do here; tests/audit/test_every_act.py gives them something."""


def is_walked(path: str) -> bool:
    """Whether the test below asks it."""
    return (
        not path.startswith(
            (f"{USERS}/me", "/api/v1/auth/mfa", "/api/v1/auth/webauthn")
        )  # a token made here belongs to no account
        and not path.endswith(("{targetId}/test", "{channelId}/test"))  # nothing listens there
        and not path.endswith("{checkoutId}/checkin")  # it is forced here
        and not path.endswith("{entryId}/rotate")  # it has no target; tests/rotation/test_on_targets.py asks
        and not path.startswith("/api/v1/access/ca/{number}")  # tests/gateway/test_certificates.py asks in order
        and not path.endswith("{holdId}/release")  # tests/audit/test_retention.py asks
        and not path.startswith(_FAILOVER_TESTS)  # tests/failover_test/test_api.py asks in the order of a test
        and not path.startswith(_OF_ACCOUNTS)  # tests/requests/test_api.py and tests/gateway/test_terminals.py ask
    )


async def events(served: Served) -> int:
    """How many were recorded."""
    hosts = and_(audit_events.c.action == "session.open", audit_events.c.body.contains('"kind":"host"'))
    wanted = select(func.count()).select_from(audit_events).where(not_(hosts))  # of the tokens that are used here
    return await served.database.read(lambda connection: int(connection.execute(wanted).scalar_one()))


async def test_the_served_document_is_the_generated_one(served: Served) -> None:
    answer = await served.http.get("/openapi.json")
    document = answer.json()
    assert document == described()
    assert document["openapi"].startswith("3.1")
    again = await served.http.get("/openapi.json", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    plain = await served.http.get("/openapi.json", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.json() == document


async def test_every_documented_operation_answers_as_documented(open_vault: Served) -> None:
    served = open_vault
    await plant(served)
    made = await served.http.post(USERS, headers=served.bearer(), json={"username": "anna"})
    hook = {"name": "hook", "kind": "webhook", "url": "http://127.0.0.1:1/", "secret": "s3cret", "enabled": False}
    target = await served.http.post("/api/v1/siem/targets", headers=served.bearer(), json=hook)
    places = await _places(served) | {
        "accessId": await _access(served, made.json()["id"]),
        "recordingId": await _recording(served),
    }
    lost: dict[str, object] = {"kind": "serial", "word": "7", "reason": "lost"}
    revoked = await served.http.post(REVOKED, headers=served.bearer(), json={**lost, "word": "8"})
    places["revocationId"] = revoked.json()["id"]
    bodies: dict[str, dict[str, object]] = {
        "/api/v1/access/sessions/{accessId}/kill": {"reason": "lunch"},
        REVOKED: lost,
        f"{REVOKED}/{{revocationId}}/lift": {"reason": "found"},
        **_target_bodies(places),
        "/api/v1/siem/targets": {**hook, "name": "another"},
        "/api/v1/siem/targets/{targetId}": hook,
        "/api/v1/settings/trial": {"settings": {"recordings/store": {"store": "sql"}}},
        "/api/v1/settings/{area}/{name}": {"idleMinutes": 15},
        "/api/v1/settings/{area}/{name}/rollback": {"revision": 0},
        USERS: {"username": "bert"},
        f"{USERS}/{{userId}}": {"displayName": "Anna", "disabled": False},
        f"{USERS}/{{userId}}/roles": {"roles": ["pam_user", "pam_auditor"]},
        f"{USERS}/{{userId}}/password/reset": {},
        "/api/v1/auth/login": {"username": "admin", "password": PASSWORD},
        "/api/v1/admin/cluster/note": {"text": "x"},
        "/api/v1/admin/cluster/nodes": {"nodeName": "node9"},
        "/api/v1/admin/cluster/switchover": {"target": "node2"},
        _FAILOVER_TESTS.rstrip("/"): {"method": "switchover"},
        "/api/v1/admin/cluster/pause": {"paused": True},
        "/api/v1/admin/cluster/forget": {"members": ["node3"], "off": True},
        "/api/v1/admin/nodes/{nodeName}/maintenance": {"maintenance": True},
    }
    now = served.clock.wall_ms()
    served.licence = Licence("L1", "Example", Tier.MSP, 9, None, None, (), now, WallMs(now + 90 * 86_400_000), "key")
    seen, silent = 0, set()
    operations = [
        (method, path, operation)
        for path, methods in described()["paths"].items()
        for method, operation in methods.items()
        if is_walked(path)
    ]
    for method, path, operation in sorted(operations, key=lambda one: (one[0] == "delete", -len(one[1]))):
        body = bodies.get(path) if method not in {"get", "delete"} else None
        body = {"displayName": "Anna B."} if method == "patch" else body  # a change
        where = path.replace("{nodeName}", "node1").replace("{userId}", made.json()["id"])
        where, headers = where.replace("{area}/{name}", "security/sessions"), served.bearer()
        for name, ident in places.items():
            where = where.replace(f"{{{name}}}", ident)
        where = where.replace("{lockoutId}", "0" * 64).replace("{targetId}", target.json()["id"])
        if method == "delete" and path.endswith("/sessions"):
            where += f"?userId={made.json()['id']}"
        elif path.endswith("/proof"):
            where += "?from=0"
        elif path.endswith("/tries"):
            where += "?username=anna"
        elif path.endswith(("{sessionId}", "/refresh", "/logout")):
            login = {"username": "admin", "password": PASSWORD}
            token = (await served.http.post("/api/v1/auth/login", json=login)).json()["accessToken"]
            headers = {"Authorization": f"Bearer {token}"}
            [session] = (await served.sessions.page("id-admin", None, 1))[0]
            where = where.replace("{sessionId}", session.id)
        before = await events(served)
        async with served.http.stream(method, where, headers=headers, json=body) as answer:
            if not answer.headers.get("content-type", "").startswith("text/event-stream"):
                await answer.aread()
        done = str(answer.status_code)
        assert done in {"200", "201", "204"} & set(operation["responses"]), (method, path, answer.text)
        if done != "204" and "application/json" in answer.headers["content-type"]:
            [schema] = [content["schema"] for content in operation["responses"][done]["content"].values()]
            assert set(_required(schema)) <= set(answer.json()), path
        if method != "get" and await events(served) == before:
            silent.add(f"{method.upper()} {path}")
        bare = await served.http.request(method, where, json=body)
        assert (bare.status_code == 401) is ("security" in operation), path
        assert "422" not in operation["responses"]
        seen += 1
    assert seen >= 10
    assert silent == WITHOUT_EVENT.keys() | NOTHING_TO_DO, "no act without its event"
    assert await acts(served.database) >= WALKED
    await names_nobody(served)


async def _access(served: Served, user_id: str) -> str:
    """A session of this user with a target."""
    wanted = select(users.c.auth_epoch).where(users.c.id == user_id)
    epoch = await served.database.read(lambda connection: connection.execute(wanted).scalar_one())
    new = NewAccess("a1", user_id, "anna", epoch, "t1", "web1", "c1", "root", "ssh", "127.0.0.1", "node1", "boot")
    await served.services.get(SqlAccess).begin(new, NODE, {})
    return new.id


async def _recording(served: Served) -> str:
    """A recording that was begun and ended."""
    facts = Facts("a1", "web1", "root", "admin", "shell", "", "xterm", 80, 24, "node1")
    service = served.services.get(Recordings)
    recorder = await service.record(facts, "id-admin", NODE, lambda _: None, strict=False, may_lose=False)
    await recorder.close("0")
    return (await service.page(None, None, None, 1))[0][0].id


async def _places(served: Served) -> dict[str, str]:
    """Ids for the parameters of paths, of things that were made for it."""
    web = {"name": "web1", "kind": "ssh", "address": "10.0.0.1"}
    resource = (await served.http.post("/api/v1/resources", headers=served.bearer(), json=web)).json()["id"]
    other = (await served.http.post("/api/v1/resources", headers=served.bearer(), json=web | {"name": "x"})).json()[
        "id"
    ]
    root = {"resourceId": other, "name": "root"}
    account = (await served.http.post("/api/v1/accounts", headers=served.bearer(), json=root)).json()["id"]
    keys = f"/api/v1/resources/{resource}/host-keys"
    key = (await served.http.post(keys, headers=served.bearer(), json={"key": HOST_KEY})).json()["id"]
    found = {"resourceId": resource, "otherId": other, "accountId": account, "keyId": key}
    return found | await _vault_places(served) | await _policy_places(served)


async def _policy_places(served: Served) -> dict[str, str]:
    groups, policies = "/api/v1/user-groups", "/api/v1/approval-policies"
    group = (await served.http.post(groups, headers=served.bearer(), json={"name": "ops"})).json()["id"]
    spare = (await served.http.post(groups, headers=served.bearer(), json={"name": "spare"})).json()["id"]
    everybody = {"name": "p", "level": "default"}
    policy = (await served.http.post(policies, headers=served.bearer(), json=everybody)).json()["id"]
    channels, hook = (
        "/api/v1/notifications/channels",
        {"name": "c", "kind": "webhook", "url": "http://x/", "secret": "s"},
    )
    channel = (await served.http.post(channels, headers=served.bearer(), json=hook)).json()["id"]
    return {"groupId": group, "spareId": spare, "policyId": policy, "channelId": channel}


async def _vault_places(served: Served) -> dict[str, str]:
    async def made(path: str, body: dict[str, object]) -> str:
        answer = await served.http.post(f"/api/v1/vault/{path}", headers=served.bearer(), json=body)
        return str(answer.json()["id"])

    entry = await made("entries", {"folder": "a", "name": "x", "type": "note", "fields": {"text": "x"}})
    held = await made("entries", {"folder": "a", "name": "y", "type": "note", "fields": {"text": "y"}})
    checkout = await made("checkouts", {"entryId": held, "reason": "x"})
    folder = await made("folders", {"path": "b"})
    return {"entryId": entry, "checkoutId": checkout, "folderId": folder, "number": "1"}


def _target_bodies(places: dict[str, str]) -> dict[str, dict[str, object]]:
    return {
        "/api/v1/resources": {"name": "web2", "kind": "ssh", "address": "10.0.0.1"},
        "/api/v1/resources/{resourceId}": {"port": 2222},
        "/api/v1/resources/{resourceId}/host-keys": {"key": OTHER_HOST_KEY},
        "/api/v1/accounts": {"resourceId": places["otherId"], "name": "admin"},
        "/api/v1/accounts/{accountId}": {"description": "x"},
        "/api/v1/vault/entries": {"folder": "a", "name": "z", "type": "note", "fields": {"text": "z"}},
        "/api/v1/vault/entries/{entryId}": {"description": "x"},
        "/api/v1/vault/entries/{entryId}/reveal": {"reason": "x"},
        "/api/v1/vault/entries/{entryId}/rotation": {"everyHours": 1},
        "/api/v1/audit/holds": {"name": "z", "reason": "x"},
        "/api/v1/recordings/{recordingId}/hold": {"reason": "x"},
        "/api/v1/recordings/{recordingId}/release": {"reason": "x"},
        "/api/v1/recordings/search": {"text": "x"},
        "/api/v1/audit/erasures": {"name": "nobody", "reason": "x"},
        "/api/v1/vault/generate": {"length": 30},
        "/api/v1/vault/checkouts": {"entryId": places["entryId"], "reason": "x"},
        "/api/v1/vault/checkouts/{checkoutId}/force": {"reason": "x"},
        "/api/v1/vault/folders": {"path": "c"},
        "/api/v1/vault/folders/{folderId}": {"description": "x"},
        "/api/v1/vault/folders/{folderId}/rights": {"items": []},
        "/api/v1/user-groups": {"name": "dev"},
        "/api/v1/notifications/channels": {"name": "d", "kind": "webhook", "url": "http://x/", "secret": "s"},
        "/api/v1/notifications/channels/{channelId}": {"name": "e", "kind": "webhook", "url": "http://x/"},
        "/api/v1/user-groups/{groupId}": {"name": "ops"},
        "/api/v1/approval-policies": {"name": "dev", "level": "group", "subject": places["spareId"]},
        "/api/v1/approval-policies/{policyId}": {"name": "p", "level": "default"},
        "/api/v1/users/{userId}/contact": {"email": "anna@corp.example"},
    }


@cache
def _schemas() -> dict[str, dict[str, object]]:
    """Made once: it takes seconds, and there are a hundred operations."""
    found: dict[str, dict[str, object]] = described()["components"]["schemas"]
    return found


def _required(schema: dict[str, object]) -> list[str]:
    reference = schema.get("$ref")
    if isinstance(reference, str):
        schema = _schemas()[reference.rsplit("/", 1)[1]]
    choices = schema.get("anyOf")
    if isinstance(choices, list):
        return _required(choices[0])
    required = schema.get("required", [])
    assert isinstance(required, list)
    return required


def test_every_error_answer_is_a_problem_document() -> None:
    for methods in described()["paths"].values():
        for operation in methods.values():
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    assert list(answer["content"]) == ["application/problem+json"]
