"""Who may pass: tokens good and bad, log-in, roles, and the guarded note."""

import logging
from typing import Any

import jwt
import pytest

from rppam.access.accounts.errors import Overloaded
from rppam.cluster.consensus.heartbeat import Role
from rppam.db.errors import DatabaseUnreachable
from rppam.kernel.fence import Fenced
from rppam.kernel.instant import WallMs
from rppam.licence.model import Licence, Tier
from tests.support.served import AUDIENCE, ISSUER, PASSWORD, Served

pytestmark = pytest.mark.integration

CLOSED = (
    "/docs",
    "/redoc",
    "/favicon.ico",
    "/system/health/cluster",
    "/system/health/cluster/",
    "/system/health/ping/",
    "//system/health/ping",
    "/system/health/PING",
    "/system/health/%70ing/..",
    "/system/health/ping/../cluster",
    "/system/health/ping;x=1",
    "/system/health/ping%2f",
    "/system/health/ping%00",
    "/api/v1/admin/cluster/status",
    "/api/v1/auth/login/",
    "/.well-known/../users",
    "/api/v1/users",
)


@pytest.mark.parametrize("path", CLOSED)
async def test_everything_else_is_401_without_a_token(served: Served, path: str) -> None:
    answer = await served.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"application/problem+json" in answer
    assert b'www-authenticate: bearer realm="rppam"' in answer.lower()


async def test_an_unknown_path_is_404_and_a_wrong_method_405_with_a_token(served: Served) -> None:
    missing = await served.http.get("/api/v1/nothing", headers=served.bearer())
    assert (missing.status_code, missing.json()["code"]) == (404, "RPPAM-6003")
    wrong = await served.http.delete("/system/health/cluster", headers=served.bearer())
    assert (wrong.status_code, wrong.json()["code"], wrong.headers["allow"]) == (405, "RPPAM-6004", "GET, HEAD")
    for path, allowed in (
        ("/api/v1/users", "GET, HEAD, POST"),
        ("/api/v1/users/anna", "DELETE, GET, HEAD, PATCH, PUT"),
        ("/api/v1/admin/cluster/note", "GET, HEAD, PUT"),
    ):
        several = await served.http.request("OPTIONS", path, headers=served.bearer())
        assert (several.status_code, several.headers["allow"]) == (405, allowed), "several routes share a path"
        assert several.json()["detail"].endswith(f"only {allowed}")
    slash = await served.http.get("/system/health/cluster/", headers=served.bearer())
    assert slash.status_code == 404, "no redirect built from the caller's Host"
    head = await served.http.head("/system/health/cluster", headers=served.bearer())
    assert (head.status_code, head.content) == (200, b"")


async def test_a_problem_names_the_code_the_place_and_the_fix(served: Served) -> None:
    answer = await served.http.get("/system/health/cluster?token=secret")
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["type"] == "urn:rppam:error:RPPAM-6001"
    assert (document["status"], document["code"]) == (401, "RPPAM-6001")
    assert document["instance"] == "/system/health/cluster"
    assert document["title"]
    assert document["detail"]
    assert "rppam token" in document["fix"]
    assert document["requestId"] == answer.headers["x-request-id"]


async def test_roles_decide_what_a_good_token_may_see(served: Served) -> None:
    plain = served.bearer("pam_user")
    assert (await served.http.get("/system/health/cluster", headers=plain)).status_code == 200
    for path in ("/api/v1/admin/cluster/status", "/api/v1/admin/cluster/note", "/api/v1/admin/nothing"):
        refused = await served.http.get(path, headers=plain)
        assert (refused.status_code, refused.json()["code"]) == (403, "RPPAM-6002"), path
    assert (await served.http.put("/api/v1/admin/cluster/note", headers=plain, content=b"{")).status_code == 403
    assert served.note.note is None


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        "Basic YWRtaW46YWRtaW4=",
        "Token {token}",
        "{token}",
        "Bearer {token} {token}",
        "Bearer {token},",
        "Bearer {token}=",
        "Bearer {token}.x",
        'Bearer "{token}"',
        "Bearer ..",
        "Bearer a.b.c",
        "Bearer " + "a" * 5000,
        "Bearer eyJhbGciOiJub25lIn0.e30.",
    ],
)
async def test_a_header_that_is_not_one_good_bearer_token_is_401(served: Served, value: str) -> None:
    token = served.bearer()["Authorization"].removeprefix("Bearer ")
    answer = await served.http.get("/system/health/cluster", headers={"Authorization": value.replace("{token}", token)})
    assert answer.status_code == 401
    assert answer.json()["detail"] == "a valid access token is needed"
    assert "invalid_token" in answer.headers["www-authenticate"]


async def test_the_scheme_is_case_insensitive_and_two_headers_are_refused(served: Served) -> None:
    good = served.bearer()["Authorization"]
    for spelled in (good.replace("Bearer", "bearer"), good.replace("Bearer ", "BEARER  ")):
        assert (await served.http.get("/system/health/cluster", headers={"Authorization": spelled})).status_code == 200
    twice = await served.http.get("/system/health/cluster", headers=[("Authorization", good), ("authorization", good)])
    assert twice.status_code == 401


async def test_refused_tokens_get_one_message_outside_and_the_reason_in_the_log(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "rppam.api")
    key = served.tokens.keys.signing(2**40)
    now = served.clock.wall_ms() // 1000
    base: dict[str, Any] = {
        "sub": "admin",
        "roles": ["pam_admin"],
        "sid": "s",
        "jti": "j",
        "iat": now,
        "nbf": now,
        "exp": now + 60,
        "iss": ISSUER,
        "aud": AUDIENCE,
        "node": "n",
        "kind": "host",
    }

    def made(**changes: object) -> str:
        return jwt.encode(
            base | changes, key.private, algorithm=key.algorithm, headers={"kid": key.kid, "typ": "at+jwt"}
        )

    bodies = set()
    for token, reason in (
        (made(exp=now - 1), "expired"),
        (made(aud="other"), "somebody else"),
        (made(iss="other"), "somebody else"),
        (made(nbf=now + 1000), "not valid yet"),
        (
            jwt.encode(
                {name: value for name, value in base.items() if name != "kind"},
                key.private,
                algorithm=key.algorithm,
                headers={"kid": key.kid, "typ": "at+jwt"},
            ),
            "older release",
        ),
    ):
        caplog.clear()
        answer = await served.http.get("/system/health/cluster", headers={"Authorization": f"Bearer {token}"})
        document = answer.json()
        document.pop("requestId")
        bodies.add((answer.status_code, answer.headers["www-authenticate"], str(document)))
        assert reason in caplog.text
        assert token not in caplog.text
    assert len(bodies) == 1
    assert (
        await served.http.get("/system/health/cluster", headers={"Authorization": f"Bearer {made()}"})
    ).status_code == 200


async def test_the_published_keys_verify_what_was_issued_and_hold_nothing_private(served: Served) -> None:
    answer = await served.http.get("/.well-known/jwks.json")
    assert answer.headers["cache-control"] == "public, max-age=300"
    keys = answer.json()["keys"]
    assert [set(key) for key in keys] == [{"kty", "crv", "x", "y", "kid", "alg", "use"}]
    token = served.bearer()["Authorization"].removeprefix("Bearer ")
    key = next(key for key in keys if key["kid"] == jwt.get_unverified_header(token)["kid"])
    claims = jwt.decode(token, jwt.PyJWK(key), algorithms=["ES256"], audience=AUDIENCE, issuer=ISSUER)
    assert (claims["sub"], claims["roles"]) == ("admin", ["pam_admin"])


async def test_log_in_gives_a_token_that_works_on_every_node_with_the_keys(served: Served) -> None:
    answer = await served.http.post("/api/v1/auth/login", json={"username": "admin", "password": PASSWORD})
    assert answer.status_code == 200
    document = answer.json()
    assert set(document) == {"accessToken", "tokenType", "expiresAt"}
    assert document["tokenType"] == "Bearer"
    assert document["expiresAt"].endswith("Z")
    assert answer.headers["cache-control"] == "no-store"
    headers = {"Authorization": f"Bearer {document['accessToken']}"}
    assert (await served.http.get("/api/v1/admin/cluster/status", headers=headers)).status_code == 200
    assert served.login.clients == ["127.0.0.1"]


async def test_the_clients_address_is_not_believed_from_a_forwarded_header(served: Served) -> None:
    await served.http.post(
        "/api/v1/auth/login",
        json={"username": "admin", "password": PASSWORD},
        headers={"X-Forwarded-For": "6.6.6.6", "Forwarded": "for=6.6.6.6"},
    )
    assert served.login.clients == ["127.0.0.1"]


async def test_a_wrong_name_and_a_wrong_password_look_the_same(served: Served) -> None:
    answers = []
    for body in ({"username": "admin", "password": "wrong"}, {"username": "nobody", "password": PASSWORD}):
        answer = await served.http.post("/api/v1/auth/login", json=body)
        document = answer.json()
        document.pop("requestId")
        answers.append((answer.status_code, document))
    assert answers[0] == answers[1]
    assert (answers[0][0], answers[0][1]["code"]) == (401, "RPPAM-3101")


async def test_a_log_in_that_cannot_be_checked_is_503_and_names_no_host(served: Served) -> None:
    served.login.failure = DatabaseUnreachable("postgres.corp.local:5432 refused the connection")
    answer = await served.http.post("/api/v1/auth/login", json={"username": "admin", "password": PASSWORD})
    assert (answer.status_code, answer.json()["code"]) == (503, "RPPAM-2902")
    assert "postgres" not in answer.text
    served.login.failure = Overloaded("12 log-ins wait")
    busy = await served.http.post("/api/v1/auth/login", json={"username": "admin", "password": PASSWORD})
    assert (busy.status_code, busy.json()["code"]) == (503, "RPPAM-3106")


async def test_a_plain_user_signs_in_with_plain_rights(served: Served) -> None:
    answer = await served.http.post("/api/v1/auth/login", json={"username": "ursula", "password": PASSWORD})
    headers = {"Authorization": f"Bearer {answer.json()['accessToken']}"}
    assert (await served.http.get("/system/health/cluster", headers=headers)).status_code == 200
    assert (await served.http.get("/api/v1/admin/cluster/status", headers=headers)).status_code == 403


NOTE = "/api/v1/admin/cluster/note"


async def test_the_leader_writes_the_note_under_its_epoch_and_everybody_reads_it(served: Served) -> None:
    empty = await served.http.get(NOTE, headers=served.bearer())
    assert empty.json() == {"text": "", "author": None, "epoch": None, "node": None, "writtenAt": None}
    written = await served.http.put(NOTE, headers=served.bearer(), json={"text": "Disk swap at 22:00 ☕"})
    assert written.status_code == 200
    assert written.json() == {"text": "Disk swap at 22:00 ☕", "author": "admin", "epoch": 7, "node": "node1"}
    assert served.note.fence == (7, "0123456789abcdef")
    read = (await served.http.get(NOTE, headers=served.bearer())).json()
    assert (read["text"], read["writtenAt"]) == ("Disk swap at 22:00 ☕", "2026-03-01T12:00:00Z")
    health = (await served.http.get("/system/health/cluster", headers=served.bearer())).json()
    assert (health["note"]["text"], health["noteReason"]) == ("Disk swap at 22:00 ☕", "")
    await served.http.put(NOTE, headers=served.bearer(), json={"text": ""})
    health = (await served.http.get("/system/health/cluster", headers=served.bearer())).json()
    assert health["note"]["text"] == "", "what this node wrote shows at once"


async def test_a_standby_refuses_the_write_and_names_the_leader(served: Served) -> None:
    served.node.permission = None
    served.node.set(role=Role.STANDBY, leader="node2", epoch=8)
    answer = await served.http.put(NOTE, headers=served.bearer(), json={"text": "x"})
    document = answer.json()
    assert (answer.status_code, document["code"]) == (421, "RPPAM-6020")
    assert (document["leader"], document["leaderUrl"]) == ("node2", "http://node2:7101")
    served.node.set(leader=None)
    nobody = await served.http.put(NOTE, headers=served.bearer(), json={"text": "x"})
    assert (nobody.status_code, nobody.json()["leader"], nobody.headers["retry-after"]) == (421, None, "2")
    # The snapshot still names this node while its permission has lapsed: it does not send the caller to itself.
    served.node.set(leader="node1")
    assert (await served.http.put(NOTE, headers=served.bearer(), json={"text": "x"})).json()["leader"] is None
    assert served.note.note is None


async def test_the_fence_refuses_a_leader_that_was_overtaken(served: Served) -> None:
    served.note.fence = (8, "f" * 16)
    answer = await served.http.put(NOTE, headers=served.bearer(), json={"text": "late"})
    assert (answer.status_code, answer.json()["code"]) == (409, "RPPAM-6021")
    served.note.fence = (7, "f" * 16)
    answer = await served.http.put(NOTE, headers=served.bearer(), json={"text": "late"})
    assert answer.status_code == 409, "the same epoch from another life"
    served.note.outcome = Fenced.UNKNOWN
    answer = await served.http.put(NOTE, headers=served.bearer(), json={"text": "late"})
    assert (answer.status_code, answer.json()["code"]) == (503, "RPPAM-6022")
    assert served.note.note is None


NODES = "/api/v1/admin/cluster/nodes"


def _licence(served: Served, nodes: int) -> Licence:
    now = served.clock.wall_ms()
    ends = WallMs(now + 90 * 86_400_000)
    return Licence("L1", "Example", Tier.ENTERPRISE, nodes, None, None, (), now, ends, "key")


async def test_without_a_licence_for_a_cluster_a_second_node_is_403_with_the_reason(served: Served) -> None:
    answer = await served.http.post(NODES, headers=served.bearer(), json={"nodeName": "node9"})
    document = answer.json()
    assert (answer.status_code, document["code"]) == (403, "RPPAM-4101")
    assert "Standard, which runs one node" in document["detail"]
    assert document["fix"]


async def test_with_a_seat_the_answer_says_what_to_run_and_holds_no_secret(served: Served) -> None:
    members = len(served.node.snapshot().members)
    served.licence = _licence(served, members + 2)
    answer = await served.http.post(NODES, headers=served.bearer(), json={"nodeName": "node9"})
    assert answer.status_code == 200
    assert answer.json()["seatsFree"] == 1
    assert any("--join" in step and "node9" in step for step in answer.json()["next"])


async def test_a_name_in_use_is_409_and_a_name_that_cannot_be_is_400(served: Served) -> None:
    served.licence = _licence(served, 10)
    taken = await served.http.post(NODES, headers=served.bearer(), json={"nodeName": "node1"})
    assert (taken.status_code, taken.json()["code"]) == (409, "RPPAM-6023")
    for name in ("Node9", "-node", "", "a" * 64, "node9\n"):
        answer = await served.http.post(NODES, headers=served.bearer(), json={"nodeName": name})
        assert answer.status_code == 400, name
