"""Limits on requests over REST: headers, refusals, what is not limited, and a policy that changes while it runs."""

from typing import Any

import httpx
import pytest

from tests.support.served import PASSWORD, Served

pytestmark = pytest.mark.integration

POLICY, HEALTH, STATUS = "/api/v1/settings/security/limits", "/system/health/cluster", "/api/v1/admin/cluster/status"
SESSIONS = "/api/v1/sessions"


@pytest.fixture
async def open_served(served: Served) -> Served:
    await served.database.start()
    return served


async def set_policy(served: Served, **policy: Any) -> None:
    answer = await served.http.put(POLICY, headers=served.bearer(), json=policy)
    assert answer.status_code == 200, answer.text


async def ask(served: Served, path: str, role: str = "pam_admin") -> httpx.Response:
    return await served.http.get(path, headers=served.bearer(role))


async def test_answers_tell_the_limit_and_what_is_left(open_served: Served) -> None:
    served = open_served
    await set_policy(served, perUser=50)
    answer = await ask(served, SESSIONS)
    assert answer.status_code == 200
    assert answer.headers["ratelimit-policy"] == '"api-user";q=50;w=60'
    name, left, reset = answer.headers["ratelimit"].split(";")
    assert (name, int(left.removeprefix("r=")) < 50, int(reset.removeprefix("t=")) <= 60) == ('"api-user"', True, True)


async def test_errors_tell_it_as_well(open_served: Served) -> None:
    served = open_served
    await set_policy(served, perUser=50, perAddress=40)
    for path, headers, status in (
        ("/api/v1/nothing", served.bearer(), 404),
        (SESSIONS, {}, 401),
        (POLICY, served.bearer("pam_user"), 403),
    ):
        answer = await served.http.get(path, headers=headers)
        assert (answer.status_code, answer.headers["ratelimit-policy"]) == (status, '"api-address";q=40;w=60'), path
        assert len(answer.headers.get_list("ratelimit")) == 1


async def test_too_many_are_429_and_health_is_answered_all_the_same(open_served: Served) -> None:
    served = open_served
    await set_policy(served, perUser=5, perAddress=1000)
    codes = [(await ask(served, SESSIONS)).status_code for _ in range(8)]
    assert codes == [200] * 5 + [429] * 3
    refused = await ask(served, SESSIONS)
    assert (refused.json()["code"], refused.json()["retryAfterSeconds"]) == (
        "RPPAM-6029",
        int(refused.headers["retry-after"]),
    )
    assert 0 < int(refused.headers["retry-after"]) <= 12
    assert refused.headers["ratelimit-policy"] == '"api-user";q=5;w=60'
    assert refused.headers["ratelimit"].startswith('"api-user";r=0;t=')
    for path in (HEALTH, STATUS, "/system/health/ping", "/system/health/live"):
        assert [(await ask(served, path)).status_code for _ in range(30)] == [200] * 30, path


async def test_an_address_is_limited_before_its_tokens_are_looked_at(open_served: Served) -> None:
    served = open_served
    await set_policy(served, perAddress=10)
    codes = [(await served.http.get(SESSIONS, headers={"Authorization": "Bearer x"})).status_code for _ in range(14)]
    assert codes == [401] * 10 + [429] * 4
    login = {"username": "admin", "password": PASSWORD}
    refused = await served.http.post("/api/v1/auth/login", json=login)
    assert (refused.status_code, "from this address" in refused.json()["detail"]) == (429, True)


async def test_an_endpoint_and_everything_in_all(open_served: Served) -> None:
    served = open_served
    await set_policy(served, perEndpoint=4, inAll=12)
    assert [(await ask(served, SESSIONS)).status_code for _ in range(6)] == [200] * 4 + [429] * 2
    assert [(await ask(served, "/api/v1/lockouts")).status_code for _ in range(4)] == [200] * 4
    assert [(await ask(served, POLICY)).status_code for _ in range(4)] == [200] * 2 + [429] * 2


@pytest.mark.parametrize(
    ("value", "field"), [({"perUser": -1}, "perUser"), ({"perAdress": 1}, "perAdress"), ({"inAll": "1"}, "inAll")]
)
async def test_a_policy_that_is_none_changes_nothing(open_served: Served, value: Any, field: str) -> None:
    answer = await open_served.http.put(POLICY, headers=open_served.bearer(), json=value)
    assert (answer.status_code, [flaw["field"] for flaw in answer.json()["errors"]]) == (400, [field])


async def test_no_limits_no_headers(open_served: Served) -> None:
    await set_policy(open_served, perAddress=0, perUser=0)
    answer = await ask(open_served, SESSIONS)
    assert (answer.status_code, "ratelimit" in answer.headers) == (200, False)


async def test_limits_that_let_nobody_in_can_be_raised_again(open_served: Served) -> None:
    served = open_served
    await set_policy(served, perAddress=1, perUser=1, perEndpoint=1, inAll=1)
    assert [(await ask(served, SESSIONS)).status_code for _ in range(3)] == [200, 429, 429]
    stranger = await served.http.put(POLICY, headers={"Authorization": "Bearer x"}, json={})
    helpless = await served.http.put(POLICY, headers=served.bearer("pam_user"), json={})
    assert (stranger.status_code, helpless.status_code) == (401, 403)
    await set_policy(served)
    assert (await ask(served, SESSIONS)).status_code == 200
