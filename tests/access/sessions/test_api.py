"""Sessions over HTTP, on two nodes that share nothing but a database: begun on one, checked and ended on the other."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from sqlalchemy import insert

from rppam.access.accounts.tables import users
from rppam.access.sessions.model import token_hash
from rppam.cache.model import CacheKey, Change, Copy, Kind
from rppam.cache.no_cache import NoCache
from rppam.http.bounds import ApiLimits
from tests.support.served import PASSWORD, Served

pytestmark = pytest.mark.integration

SESSIONS = "/api/v1/sessions"
HEALTH = "/system/health/cluster"
ME = "/api/v1/users/me"


class Pair(NamedTuple):
    a: Served
    b: Served


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    nodes = Pair(Served(tmp_path / "keys", ApiLimits()), Served(tmp_path / "keys", ApiLimits()))
    for node in nodes:
        await node.start()
    yield nodes
    for node in nodes:
        await node.stop()


async def signed_in(node: Served, username: str = "admin") -> dict[str, str]:
    answer = await node.http.post(
        "/api/v1/auth/login", json={"username": username, "password": PASSWORD}, headers={"User-Agent": "Test\t/1.0"}
    )
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['accessToken']}"}


async def listed(node: Served, headers: dict[str, str], **query: Any) -> list[dict[str, Any]]:
    answer = await node.http.get(SESSIONS, headers=headers, params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def outcome(node: Served, headers: dict[str, str], path: str = SESSIONS) -> tuple[int, str]:
    answer = await node.http.get(path, headers=headers)
    return answer.status_code, answer.json().get("code", "")


OVER = (401, "RPPAM-6005")
DOUBTFUL: list[dict[str, str]] = [
    {},
    *({"Sec-Fetch-Site": site} for site in ("cross-site", "same-site", "none")),
    *({"Origin": origin} for origin in ("http://evil.example", "null")),
]


async def test_a_session_begun_on_one_node_is_known_and_ended_on_the_other(pair: Pair) -> None:
    headers = await signed_in(pair.a)
    [line] = await listed(pair.b, headers)
    assert (line["user"], line["kind"], line["current"], line["client"]) == ("admin", "login", True, "127.0.0.1")
    assert (line["agent"], line["mfa"], line["node"]) == ("Test?/1.0", False, "node1")
    assert not {"token", "sid", "tokenHash"} & set(line)
    out = await pair.b.http.post("/api/v1/auth/logout", headers=headers)
    assert (out.status_code, out.content) == (204, b"")
    for node in pair:
        assert await outcome(node, headers) == OVER
        # Also where a genuine token would do if nobody could be asked.
        assert await outcome(node, headers, HEALTH) == OVER
    again = await pair.a.http.post("/api/v1/auth/logout", headers=headers)
    assert again.status_code == 401


class Told(NoCache):
    """Notes what it is told, and takes it or not."""

    def __init__(self, *, takes: bool) -> None:
        super().__init__()
        self.takes = takes
        self.told: list[tuple[CacheKey, bool]] = []
        self.known: set[CacheKey] = set()
        self.at_once = self.at_once_most = 0

    async def publish(self, key: CacheKey, copy: Copy, life_ms: int, *, confirm: bool = False) -> bool:
        self.told.append((key, confirm))
        self.at_once += 1
        self.at_once_most = max(self.at_once_most, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        return self.takes

    def forget(self, changes: Sequence[Change]) -> None:
        self.known |= {one.key for one in changes}


@pytest.mark.parametrize("takes", [True, False])
async def test_the_end_of_everybody_waits_for_one_replica_once_and_for_an_absent_redis_hardly(
    tmp_path: Path, takes: bool
) -> None:
    cache = Told(takes=takes)
    node = Served(tmp_path / "keys", ApiLimits(), cache=cache)
    await node.start()
    columns = {"display_name": "", "password_hash": "-", "disabled": False, "created_at": 1, "password_changed_at": 1}
    rows = [{"id": f"id-{at}", "name": f"u{at}", **columns} for at in range(500)]
    await node.database.write(lambda connection: connection.execute(insert(users), rows).close())
    cache.told.clear()
    answer = await node.http.delete(SESSIONS, params={"all": "true"}, headers=node.bearer())
    assert answer.status_code == 200, answer.text
    everybody = {CacheKey(Kind.USER, str(row["id"])) for row in rows}
    assert everybody <= cache.known, "nothing old is served here, whatever Redis does"
    assert cache.at_once_most <= 64
    assert [confirm for _, confirm in cache.told] == [False] * 500 + [True] if takes else [False] * 64
    if takes:
        assert everybody <= {key for key, _ in cache.told}
    await node.stop()


async def test_each_sign_in_has_a_session_of_its_own_and_refreshing_keeps_it(pair: Pair) -> None:
    first, second = await signed_in(pair.a), await signed_in(pair.a)
    assert first != second
    answer = await pair.b.http.post("/api/v1/auth/refresh", headers=first)
    newer = {"Authorization": f"Bearer {answer.json()['accessToken']}"}
    assert newer not in (first, second)
    assert len(await listed(pair.a, newer)) == 2
    await pair.a.http.post("/api/v1/auth/logout", headers=newer)
    assert await outcome(pair.b, first) == OVER, "all tokens of a session end with it"
    assert (await outcome(pair.b, second))[0] == 200
    assert (await pair.b.http.post("/api/v1/auth/refresh", headers=first)).status_code == 401


async def test_who_sees_and_ends_whose_sessions(pair: Pair) -> None:
    names = ("admin", "ursula", "audrey", "simon")
    headers = {name: await signed_in(pair.a, name) for name in names}
    ids = {line["user"]: line["id"] for line in await listed(pair.b, headers["admin"])}
    assert set(ids) == set(names)
    for name in ("admin", "audrey", "simon"):
        assert len(await listed(pair.b, headers[name])) == 4, name
    assert [line["user"] for line in await listed(pair.b, headers["ursula"])] == ["ursula"]
    assert [line["user"] for line in await listed(pair.b, headers["ursula"], userId="id-ursula")] == ["ursula"]
    assert await outcome(pair.b, headers["ursula"], f"{SESSIONS}?userId=id-admin") == (403, "RPPAM-6002")
    assert await outcome(pair.b, headers["ursula"], f"{SESSIONS}/{ids['admin']}") == (404, "RPPAM-6003")

    async def delete(who: str, where: str) -> int:
        return (await pair.b.http.delete(f"{SESSIONS}{where}", headers=headers[who])).status_code

    assert await delete("ursula", f"/{ids['admin']}") == 404, "somebody else's does not exist for her"
    assert await delete("audrey", f"/{ids['ursula']}") == 403, "an auditor sees it and may not end it"
    assert await delete("ursula", "?userId=id-admin") == 403
    assert await delete("audrey", "?all=true") == 403
    assert await delete("admin", "") == 400
    assert await delete("admin", "?all=true&userId=id-ursula") == 400
    assert await delete("admin", "?userId=nobody") == 404
    assert await delete("simon", f"/{ids['ursula']}") == 204
    assert await delete("simon", f"/{ids['ursula']}") == 404
    assert await outcome(pair.a, headers["ursula"]) == OVER
    assert await delete("simon", "?userId=id-simon") == 200, "one's own, all of them"
    assert await outcome(pair.a, headers["simon"]) == OVER
    assert (await outcome(pair.a, headers["admin"]))[0] == 200


async def test_all_sessions_end_with_one_request_and_signing_in_goes_on(pair: Pair) -> None:
    admin, ursula, host = await signed_in(pair.a), await signed_in(pair.a, "ursula"), pair.a.bearer()
    assert (await outcome(pair.b, host))[0] == 200
    ended = await pair.b.http.delete(SESSIONS, params={"all": "true"}, headers=admin)
    assert ended.json() == {"ended": 3}
    for headers in (admin, ursula, host):
        assert await outcome(pair.a, headers) == OVER
    assert (await outcome(pair.b, await signed_in(pair.a)))[0] == 200


async def test_lists_come_in_pages(pair: Pair) -> None:
    headers = [await signed_in(pair.a) for _ in range(5)][-1]
    seen, after = [], None
    while True:
        query = {"pageSize": "2"} | ({"after": after} if after else {})
        page = (await pair.b.http.get(SESSIONS, headers=headers, params=query)).json()
        seen += [line["id"] for line in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert len(seen) == len(set(seen)) == 5
    assert seen == sorted(seen, reverse=True), "the newest first"
    for query in ({"pageSize": "0"}, {"pageSize": "201"}, {"after": "x" * 37}):
        assert (await pair.b.http.get(SESSIONS, headers=headers, params=query)).status_code == 400


async def test_a_role_holds_at_once_and_a_disabled_account_is_out_at_once(pair: Pair) -> None:
    admin, ursula = await signed_in(pair.a), await signed_in(pair.a, "ursula")
    status = "/api/v1/admin/cluster/status"
    assert await outcome(pair.b, ursula, status) == (403, "RPPAM-6002")
    path = "/api/v1/users/id-ursula"
    given = await pair.a.http.put(f"{path}/roles", headers=admin, json={"roles": ["pam_admin"]})
    assert given.status_code == 200, given.text
    assert (await outcome(pair.b, ursula, status))[0] == 200, "the token still says pam_user"
    await pair.a.http.put(f"{path}/roles", headers=admin, json={"roles": ["pam_user"]})
    assert await outcome(pair.b, ursula, status) == (403, "RPPAM-6002")
    await pair.a.http.patch(path, headers=admin, json={"disabled": True})
    for node in pair:
        assert await outcome(node, ursula, ME) == OVER
    await pair.a.http.patch(path, headers=admin, json={"disabled": False})
    assert await outcome(pair.b, ursula, ME) == OVER, "enabling it again revives no session"
    assert (await outcome(pair.b, await signed_in(pair.a, "ursula"), ME))[0] == 200


async def test_a_new_password_ends_all_sessions_of_the_account(pair: Pair) -> None:
    admin = await signed_in(pair.a)
    sessions = [await signed_in(pair.a, "ursula"), await signed_in(pair.b, "ursula")]
    await pair.a.http.post("/api/v1/users/id-ursula/password/reset", headers=admin, json={})
    for headers in sessions:
        for node in pair:
            assert await outcome(node, headers, ME) == OVER
    assert len(await listed(pair.b, admin)) == 1


async def test_a_session_under_a_password_that_was_changed_meanwhile_never_counts(pair: Pair) -> None:
    admin = await signed_in(pair.a)
    account = await pair.a.login.login("ursula", pair.a.password, "test")
    await pair.a.http.post("/api/v1/users/id-ursula/password/reset", headers=admin, json={})
    issued = await pair.a.sessions.open(account, pair.a.somewhere, mfa=False)
    headers = {"Authorization": f"Bearer {issued.token.reveal()}"}
    assert await outcome(pair.a, headers, ME) == OVER


async def test_tokens_of_hosts_are_listed_once_seen_and_can_be_revoked(pair: Pair) -> None:
    host, admin = pair.a.bearer(), await signed_in(pair.a)
    assert len(await listed(pair.b, admin)) == 1
    assert len(await listed(pair.b, host)) == 2
    line = next(line for line in await listed(pair.a, admin) if line["kind"] == "host")
    assert (line["userId"], line["user"], line["agent"], line["client"]) == (None, "admin", "rppam token", "")
    refused = await pair.a.http.post("/api/v1/auth/refresh", headers=host)
    assert refused.status_code == 403
    assert "rppam token" in refused.json()["detail"]
    assert (await pair.b.http.delete(f"{SESSIONS}/{line['id']}", headers=admin)).status_code == 204
    for node in pair:
        assert await outcome(node, host) == OVER
    # One that nobody has seen before: whoever holds it ends it.
    unseen = pair.a.bearer()
    assert (await pair.b.http.post("/api/v1/auth/logout", headers=unseen)).status_code == 204
    assert await outcome(pair.a, unseen) == OVER


async def test_a_host_without_the_role_sees_its_own_session_alone(pair: Pair) -> None:
    plain = pair.a.bearer("pam_user")
    await signed_in(pair.a)
    assert [line["kind"] for line in await listed(pair.b, plain)] == ["host"]
    assert await outcome(pair.b, plain, f"{SESSIONS}?userId=id-admin") == (403, "RPPAM-6002")


async def test_the_secret_of_a_session_stands_nowhere_in_the_database(pair: Pair) -> None:
    headers = await signed_in(pair.a)
    token = headers["Authorization"].removeprefix("Bearer ")
    sid = pair.a.tokens.verify(token).session
    assert len(bytes.fromhex(sid)) * 8 == 256
    content = b"".join(file.read_bytes() for file in pair.a.place.glob("rppam.db*"))
    assert token_hash(sid).encode() in content
    assert sid.encode() not in content
    assert token.encode() not in content


async def test_without_the_database_nobody_is_let_in_and_nobody_is_signed_out(pair: Pair) -> None:
    headers, ended = await signed_in(pair.a), await signed_in(pair.a)
    await pair.a.http.post("/api/v1/auth/logout", headers=ended)
    assert await outcome(pair.a, ended) == OVER
    await pair.a.database.stop()
    for method, path in (
        ("GET", SESSIONS),
        ("GET", ME),
        ("POST", "/api/v1/auth/logout"),
        ("PUT", "/api/v1/admin/cluster/note"),
        ("POST", "/api/v1/admin/cluster/switchover"),
    ):
        answer = await pair.a.http.request(method, path, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (503, "RPPAM-6033"), path
        assert answer.headers["retry-after"] == "1"
    for path in (HEALTH, "/api/v1/admin/cluster/status", "/api/v1/admin/cluster/note"):
        assert (await outcome(pair.a, headers, path))[0] == 200, "who looks what is wrong is answered"
        assert (await outcome(pair.a, pair.a.bearer(), path))[0] == 200
        assert await outcome(pair.a, ended, path) == OVER, "what is known to be over stays over"
        assert await outcome(pair.a, {"Authorization": "Bearer a.b.c"}, path) == (401, "RPPAM-6001")
    assert await outcome(pair.a, pair.a.bearer("pam_user"), "/api/v1/admin/cluster/status") == (403, "RPPAM-6002")
    assert (await outcome(pair.b, headers))[0] == 200, "the other node, whose database answers, knows it"


async def test_the_console_gets_a_cookie_that_scripts_cannot_read(pair: Pair) -> None:
    body = {"username": "admin", "password": PASSWORD, "cookie": True}
    same = {"Sec-Fetch-Site": "same-origin"}
    answer = await pair.a.http.post("/api/v1/auth/login", json=body, headers=same)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["accessToken"], answer.json()["tokenType"]) == (None, "Cookie")
    kept = answer.headers["set-cookie"]
    name, _, rest = kept.partition("=")
    token, *attributes = rest.split("; ")
    assert (name, attributes) == ("rppam", ["Path=/", "Max-Age=3600", "HttpOnly", "SameSite=Strict"])
    cookie = {"Cookie": f"other=1; rppam={token}"}
    async with httpx.AsyncClient(base_url=pair.b.url, trust_env=False) as http:
        assert (await http.get(ME, headers=cookie)).json()["username"] == "admin"
        for doubtful in DOUBTFUL:
            refused = await http.post("/api/v1/auth/refresh", headers=cookie | doubtful)
            assert (refused.status_code, refused.json()["code"]) == (403, "RPPAM-6006"), doubtful
        newer = await http.post("/api/v1/auth/refresh", headers=cookie | {"Origin": pair.b.url})
        assert newer.status_code == 200
        assert newer.headers["set-cookie"].startswith("rppam=")
        twice = await http.get(ME, headers={"Cookie": f"rppam={token}; rppam={token}"})
        assert twice.status_code == 401
        assert (await http.get(ME, headers={"Cookie": "rppam="})).status_code == 401
        out = await http.post("/api/v1/auth/logout", headers=cookie | same)
        assert out.status_code == 204
        assert "Max-Age=0" in out.headers["set-cookie"]
        assert (await http.get(ME, headers=cookie)).status_code == 401
    foreign = await pair.a.http.post("/api/v1/auth/login", json=body, headers={"Origin": "http://evil.example"})
    assert (foreign.status_code, foreign.json()["code"]) == (403, "RPPAM-6006")


async def test_a_header_beats_the_cookie(pair: Pair) -> None:
    headers = await signed_in(pair.a)
    answer = await pair.a.http.post("/api/v1/auth/refresh", headers=headers | {"Cookie": "rppam=a.b.c"})
    assert answer.status_code == 200, "programs are not asked where they come from"
    assert "set-cookie" not in answer.headers
    bad = {"Authorization": "Bearer a.b.c", "Cookie": f"rppam={headers['Authorization'].removeprefix('Bearer ')}"}
    assert (await pair.a.http.get(ME, headers=bad)).status_code == 401


async def test_ten_megabytes_are_refused_before_anything_is_asked(pair: Pair) -> None:
    headers = await signed_in(pair.a)
    bearer = headers["Authorization"].encode()
    big = b"x" * 10_000_000
    for request in (
        b"GET /api/v1/sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + big + b"\r\n\r\n",
        b"GET /api/v1/sessions HTTP/1.1\r\nHost: x\r\nCookie: rppam=" + big + b"\r\n\r\n",
        b"GET /api/v1/sessions?after=" + big + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ):
        try:
            answer = await pair.a.raw(request)
        except ConnectionError:
            continue  # it has closed while we were still sending
        assert answer[:12] in {b"HTTP/1.1 431", b"HTTP/1.1 400", b""}, answer[:100]
    for path, secured in ((b"/api/v1/auth/logout", True), (b"/api/v1/auth/login", False)):
        head = (
            b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10000000\r\n"
        )
        head += b"Authorization: " + bearer + b"\r\n" if secured else b""
        try:
            answer = await pair.a.raw(head + b"\r\n" + big)
        except ConnectionError:
            continue
        assert answer.startswith(b"HTTP/1.1 413 "), answer[:100]
    assert (await outcome(pair.a, headers))[0] == 200, "the session is still there"


async def test_uses_are_written_down_beside_the_requests(pair: Pair) -> None:
    headers = await signed_in(pair.a)
    [line] = (await pair.a.sessions.page("id-admin", None, 2))[0]
    await outcome(pair.b, headers)

    async def seen() -> bool:
        return (await pair.a.sessions.page("id-admin", None, 2))[0][0].last_seen_at > line.last_seen_at

    async with asyncio.timeout(30):
        while not await seen():  # noqa: ASYNC110  # a row of a database tells nobody
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("path", ["/%00", "/a%00b", "?after=%00", "?userId=a%00", "/%F0%9F%92%A9", f"/{'x' * 37}"])
async def test_an_id_that_cannot_be_is_not_asked_of_the_database(pair: Pair, path: str) -> None:
    """PostgreSQL refuses NUL, so anybody who is signed in could make the node say that its database is lost."""
    headers = await signed_in(pair.a, "ursula")
    assert await outcome(pair.a, headers, SESSIONS + path) == (400, "RPPAM-6010")
    method = "DELETE" if "after" not in path else "GET"
    answer = await pair.a.http.request(method, SESSIONS + path, headers=headers)
    assert answer.status_code == 400
