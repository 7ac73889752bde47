"""What the routes answer, and what the OpenAPI document says that they answer: every status that happens is there."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest

from rppam.app.openapi import released_document
from tests.support.served import PASSWORD, Served

pytestmark = pytest.mark.integration

DOCUMENT: Final = released_document() or {}
"""That of the checkout: another test holds it against the routes, and each worker that collects this file needs it."""
OPERATIONS: Final = [(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods]
EVERYWHERE: Final = {405, 408, 431}
"""What has nothing to do with a path: the page of the API tells of these."""
ENDS: Final = {"/api/v1/auth/logout"}
"""Would end the session that the others need."""
IDS: Final = ("nobody", "00000000-0000-0000-0000-000000000000", "%00", "a" * 300, "0" * 64, "me", "%2e%2e", "ü", " ")
QUERIES: Final = (
    "",
    "?limit=x&before=0",
    "?page=0&pageSize=x&role=none&search=" + "x" * 500,
    "?after=!&userId=!&all=maybe",
    "?all=true&userId=x",
    "?username=%00&address=x",
)
BODIES: Final[tuple[tuple[bytes, str], ...]] = (
    (b"", "application/json"),
    (b"{}", "application/json"),
    (b"[]", "application/json"),
    (b"{", "application/json"),
    (b'{"a":1}', "application/json"),
    (b'{"name":"\\ud800","revision":-1,"text":5}', "application/json"),
    (b"x", "text/plain"),
    (b"[" * 40 + b"]" * 40, "application/json"),
)


def paths(template: str) -> list[str]:
    """The path with odd things in its places."""
    if "{" not in template:
        return [template]
    return [re.sub(r"\{[^}]+\}", one, template) for one in IDS]


def only_known(template: str, method: str, query: str) -> str:
    """What is left of a query without the parameters for which alone it would be refused."""
    parameters = DOCUMENT["paths"][template][method].get("parameters", ())
    known = {one["name"] for one in parameters if one["in"] == "query"}
    return "?" + "&".join(one for one in query[1:].split("&") if one.partition("=")[0] in known)


async def test_every_status_that_happens_is_documented(served: Served) -> None:
    surprises: dict[tuple[str, str, int], Any] = {}
    own: dict[str, str] = {}
    for template, method in OPERATIONS:
        if template in ENDS:
            continue
        if not own or (await served.http.get("/api/v1/users/me", headers=own)).status_code == 401:
            # Anew: some of these end sessions.
            account = await served.http.post("/api/v1/auth/login", json={"username": "admin", "password": PASSWORD})
            own = {"Authorization": f"Bearer {account.json()['accessToken']}"}
        known = {int(status) for status in DOCUMENT["paths"][template][method]["responses"]} | EVERYWHERE
        async with asyncio.TaskGroup() as at_once:
            for path, sent, body, kind in requests(template, method, own, served.bearer(), served.bearer("pam_user")):
                typed = {**sent, "Content-Type": kind} if body else sent
                at_once.create_task(ask(served, known, surprises, (method, template), path, body, typed))
    assert surprises == {}, "\n".join(f"{place}: {found}" for place, found in surprises.items())


async def ask(
    served: Served,
    known: set[int],
    surprises: dict[tuple[str, str, int], Any],
    operation: tuple[str, str],
    path: str,
    body: bytes,
    headers: dict[str, str],
) -> None:
    method, template = operation
    async with served.http.stream(method, path, content=body, headers=headers) as answer:
        if answer.status_code not in known:
            surprises.setdefault((method, template, answer.status_code), (path, body, await answer.aread()))


def requests(
    template: str, method: str, own: dict[str, str], *others: dict[str, str]
) -> Iterator[tuple[str, dict[str, str], bytes, str]]:
    """Callers with and without a right, and everything else wrong one after the other."""
    path, *odd = paths(template)
    for sent in ({}, {"Authorization": "Bearer x"}, own, *others):
        yield path, sent, *BODIES[0]
    for query in {*QUERIES, *(only_known(template, method, query) for query in QUERIES)}:
        yield path + query, own, *BODIES[0]
    if method != "get":
        for body in BODIES[1:]:
            yield path, own, *body
    for one in odd:
        yield one, own, *BODIES[0 if method == "get" else 1]


async def test_allow_lists_what_a_path_takes_and_nothing_else(served: Served) -> None:
    """Of every path: what the document has for it. Of what it does not take one method is tried, in turn."""
    for turn, (template, methods) in enumerate(DOCUMENT["paths"].items()):
        path = paths(template)[1 if "{" in template else 0].replace("{area}/{name}", "a/b")
        taken = {method.upper() for method in methods}
        taken |= {"HEAD"} if "GET" in taken else set()
        is_probe = "probes" in next(iter(methods.values()))["tags"]
        answer = await served.http.request("QUERY", path, headers=served.bearer())
        assert answer.status_code == 405, (template, answer.text)
        allowed = answer.headers["allow"].split(", ")
        assert sorted(allowed) == sorted(taken | ({"OPTIONS"} if is_probe else set())), template
        others = [one for one in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE") if one not in allowed]
        refused = await served.http.request(others[turn % len(others)], path, headers=served.bearer())
        assert (refused.status_code, refused.headers["allow"]) == (405, answer.headers["allow"]), template
