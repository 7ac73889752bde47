"""A query parameter that a route does not know is refused, and nothing is done; so is one value that comes twice."""

import re
from pathlib import Path
from typing import Annotated, Any, Final

import pytest
from fastapi import APIRouter, Depends, Query
from fastapi.routing import APIRoute
from pydantic import BaseModel
from sqlalchemy import func, select

from rppam.app.api import bare_app
from rppam.http.errors import InvalidRequestError
from rppam.http.query import STRICT_PREFIX, Parameters, parameters_of
from rppam.ledger.tables import audit_events
from tests.support.documents import described
from tests.support.served import PASSWORD, Served

SESSIONS: Final = "/api/v1/sessions"
LOGIN: Final = "/api/v1/auth/login"
CONSOLE: Final = Path(__file__).parents[2] / "console" / "src"
_CALL: Final = re.compile(r'api\.(get|post|put|patch|del)\("([^"]+)", \{.*?\bquery: \{([^}]*)\}')


def operations() -> list[tuple[str, str, dict[str, str]]]:
    """Method and path of all that is documented below ``/api/``, and the query parameters with their types."""
    return [
        (
            method.upper(),
            path,
            {
                one["name"]: one["schema"].get("type", "")
                for one in operation.get("parameters", ())
                if one["in"] == "query"
            },
        )
        for path, methods in described()["paths"].items()
        for method, operation in methods.items()
        if path.startswith(STRICT_PREFIX)
    ]


def filled(path: str) -> str:
    return re.sub(r"\{[^}]+\}", "x", path.replace("{area}/{name}", "security/sessions"))


async def signed_in(served: Served) -> dict[str, str]:
    answer = await served.http.post(LOGIN, json={"username": "admin", "password": PASSWORD})
    return {"Authorization": f"Bearer {answer.json()['accessToken']}"}


async def recorded(served: Served) -> int:
    wanted = select(func.count()).select_from(audit_events)
    return await served.database.read(lambda connection: int(connection.execute(wanted).scalar_one()))


@pytest.mark.integration
async def test_every_route_refuses_what_it_does_not_know_and_does_nothing(served: Served) -> None:
    headers = await signed_in(served)
    before, walked = await recorded(served), operations()
    assert len(walked) > 150
    for method, path, known in walked:
        query = dict.fromkeys(known, "x") | {"nosuch": "1"}
        answer = await served.http.request(method, filled(path), params=query, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "RPPAM-6010"), (method, path, answer.text)
        [flaw] = answer.json()["errors"]
        assert (flaw["field"], flaw["kind"]) == ("query.nosuch", "extra_forbidden"), (method, path)
        assert all(name in flaw["message"] for name in known), (method, path, flaw)
        assert "400" in described()["paths"][path][method.lower()]["responses"], (method, path)
    assert (await served.http.get("/api/v1/users/me", headers=headers)).status_code == 200, "the session goes on"
    assert await recorded(served) == before, "nothing was done"
    assert served.orders.asked == []


@pytest.mark.integration
async def test_one_value_comes_once_and_a_list_as_often_as_wished(served: Served) -> None:
    headers, lists = served.bearer(), set()
    for method, path, known in operations():
        for name, kind in known.items():
            answer = await served.http.request(method, f"{filled(path)}?{name}=1&{name}=1", headers=headers)
            flaws = [one for one in answer.json().get("errors", ()) if one["kind"] == "repeated"]
            if kind == "array":
                assert flaws == [], (path, name)
                lists.add(name)
                continue
            assert answer.status_code == 400, (method, path, name)
            assert [one["field"] for one in flaws] == [f"query.{name}"], (method, path, name)
            assert flaws[0]["message"] == "expected once, found 2 times"
    assert lists >= {"tag", "state"}


@pytest.mark.integration
async def test_a_misspelt_filter_ends_nobodys_session(served: Served) -> None:
    headers = await signed_in(served)
    wrong = await served.http.delete(f"{SESSIONS}?all=true&user=alice", headers=headers)
    assert wrong.status_code == 400
    said = "query.user: no such parameter: expected userId, all; did you mean userId?"
    assert wrong.json()["detail"] == said
    listed = await served.http.get(f"{SESSIONS}?user=alice", headers=headers)
    assert (listed.status_code, listed.json()["code"]) == (400, "RPPAM-6010")
    assert (await served.http.get(SESSIONS, headers=headers)).status_code == 200, "it was not ended"
    right = await served.http.delete(f"{SESSIONS}?all=true", headers=headers)
    assert right.status_code == 200
    assert (await served.http.get(SESSIONS, headers=headers)).status_code == 401, "now it was"


@pytest.mark.integration
async def test_who_may_not_ask_hears_that_first(served: Served) -> None:
    assert (await served.http.get(f"{SESSIONS}?nosuch=1")).status_code == 401
    user = served.bearer("pam_user")
    assert (await served.http.get("/api/v1/admin/cluster/status?nosuch=1", headers=user)).status_code == 403
    before = await served.http.post(f"{LOGIN}?nosuch=1", json={"username": "admin", "password": PASSWORD})
    assert before.status_code == 400, "a password is not looked at either"


@pytest.mark.integration
async def test_what_others_ask_with_parameters_of_their_own_answers_as_ever(served: Served) -> None:
    """Probes of balancers and monitoring systems, and the pages and files that browsers and caches ask for."""
    outside = {one.route.path for one in served.app.state.route_index.routes if one.parameters is None}
    documented = {path for path in described()["paths"] if not path.startswith(STRICT_PREFIX)}
    assert outside >= {"/console/", "/", "/api", "/openapi.json", "/.well-known/jwks.json", "/system/health/cluster"}
    assert documented >= {"/system/metrics", "/system/health/live", "/system/health/ready"}
    for path in sorted(outside | documented):
        plain = await served.http.get(path, headers=served.bearer())
        asked = await served.http.get(f"{path}?cachebust=1&node=a&node=b", headers=served.bearer())
        assert asked.status_code == plain.status_code < 400, (path, asked.text)


@pytest.mark.integration
@pytest.mark.parametrize("query", ["?", "?&", "?&&"])
async def test_an_empty_query_is_none(served: Served, query: str) -> None:
    assert (await served.http.get(f"{SESSIONS}{query}", headers=served.bearer())).status_code == 200


def test_names_of_all_that_a_handler_depends_on_are_known() -> None:
    class Page(BaseModel):
        size: int = 1
        marks: list[str] = []

    def deeper(below: Annotated[str, Query(alias="under")] = "") -> str:
        return below

    def deep(under: Annotated[str, Depends(deeper)], kinds: Annotated[list[str] | None, Query()] = None) -> str:
        return f"{under}{kinds}"

    router = APIRouter()

    @router.get("/api/v1/things/{ident}")
    async def handler(ident: str, deep: Annotated[str, Depends(deep)], page: Annotated[Page, Query()]) -> str:
        return f"{ident}{deep}{page}"

    [route] = router.routes
    assert isinstance(route, APIRoute)
    found = parameters_of(route)
    assert found is not None
    assert set(found.names) == {"size", "marks", "under", "kinds"}
    assert found.lists == {"marks", "kinds"}


def flaws(query: bytes, *names: str) -> list[Any]:
    with pytest.raises(InvalidRequestError) as refused:
        Parameters(names, frozenset()).check(query)
    return list(refused.value.flaws)


def test_what_may_be_a_secret_is_not_told_back() -> None:
    token = b"eyJhbGciOiJFUzI1NiJ9" * 10
    [long, odd, empty] = flaws(token + b"&p%40ss+word%0a=1&=2", "page")
    assert [long.field, odd.field, empty.field] == [
        "query.(a name of 200 characters)",
        "query.(a name of 10 characters)",
        "query.(a name of 0 characters)",
    ]
    assert "eyJ" not in str(InvalidRequestError([long]))


def test_many_wrong_names_are_told_up_to_a_number() -> None:
    assert len(flaws(b"&".join(b"n%d=1" % number for number in range(3_000)), "page")) == 20
    [none] = flaws(b"x=1")
    assert none.message == "no such parameter: nothing is asked here by a query"


def test_every_query_of_the_console_is_known() -> None:
    """Its types do not see all of them: some are cast."""
    index = {
        (method, one.route.path): one.parameters
        for one in bare_app().state.route_index.routes
        for method in one.methods
    }
    calls = [
        found
        for file in sorted(CONSOLE.rglob("*"))
        if file.suffix in {".ts", ".svelte"}
        for found in _CALL.findall(file.read_text("utf-8"))
    ]
    assert len(calls) > 20
    for method, path, query in calls:
        parameters = index["DELETE" if method == "del" else method.upper(), path]
        asked = {one.split(":")[0].strip() for one in query.split(",") if not one.strip().startswith("...")} - {""}
        assert asked <= set(parameters.names), (path, asked)
