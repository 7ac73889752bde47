"""Two who change one thing at once: of all that can be changed one change is made, and the other one hears whose.

The list of what can be changed is the table of routes itself. A new route that changes something and takes no
``If-Match`` is named here, and so is one that takes it and has no row below.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import pytest

from rppam.app.api import bare_app
from rppam.http.bounds import ApiLimits
from rppam.http.revisions import CHANGES, takes_if_match
from rppam.http.route_index import Indexed
from tests.support.served import Served

ROUTES: Final[tuple[Indexed, ...]] = bare_app().state.route_index.routes
CONDITIONAL: Final = sorted(
    (method, one.route.path) for one in ROUTES for method in one.methods if takes_if_match(one.route)
)
Body = Mapping[str, Any]
HOOK: Final = {"kind": "webhook", "url": "http://127.0.0.1:1/", "secret": "s", "enabled": False}
NOTE: Final = {"type": "note", "fields": {"text": "x"}}


class Change(NamedTuple):
    """How a route is asked by two, who both have read what it changes."""

    make: Callable[[Served], Awaitable[Mapping[str, str]]]
    """Make what is changed; what stands in the path."""
    bodies: tuple[Body | None, Body | None]
    read: str = ""
    """Where its entity tag is read, if not at the path itself."""
    touch: tuple[str, str, Body] | None = None
    """For what deletes: what somebody changes first."""


async def made(served: Served, path: str, name: str, body: Body) -> dict[str, str]:
    answer = await served.http.post(f"/api/v1/{path}", json=dict(body), headers=served.bearer())
    assert answer.status_code == 201, answer.text
    return {name: answer.json()["id"]}


async def a_user(served: Served) -> Mapping[str, str]:
    return await made(served, "users", "userId", {"username": "anna"})


async def a_setting(served: Served) -> Mapping[str, str]:
    sessions = "/api/v1/settings/security/sessions"
    for minutes in (10, 20):
        await served.http.put(sessions, json={"idleMinutes": minutes}, headers=served.bearer())
    return {"area": "security", "name": "sessions"}


async def a_resource(served: Served) -> Mapping[str, str]:
    return await made(served, "resources", "resourceId", {"name": "web", "kind": "ssh", "address": "10.0.0.1"})


async def an_account(served: Served) -> Mapping[str, str]:
    web = {"name": "other", "kind": "ssh", "address": "10.0.0.2"}
    resource = await made(served, "resources", "resourceId", web)
    return await made(served, "accounts", "accountId", {"resourceId": resource["resourceId"], "name": "root"})


async def an_entry(served: Served) -> Mapping[str, str]:
    return {**await made(served, "vault/entries", "entryId", {"folder": "a", "name": "x", **NOTE}), "number": "1"}


async def a_folder(served: Served) -> Mapping[str, str]:
    return await made(served, "vault/folders", "folderId", {"path": "b"})


async def a_target(served: Served) -> Mapping[str, str]:
    return await made(served, "siem/targets", "targetId", {"name": "t", **HOOK})


async def a_channel(served: Served) -> Mapping[str, str]:
    return await made(served, "notifications/channels", "channelId", {"name": "c", **HOOK})


async def a_policy(served: Served) -> Mapping[str, str]:
    return await made(served, "approval-policies", "policyId", {"name": "p", "level": "default"})


async def a_group(served: Served) -> Mapping[str, str]:
    return await made(served, "user-groups", "groupId", {"name": "g"})


_USER, _SETTING = "/api/v1/users/{userId}", "/api/v1/settings/{area}/{name}"
_RESOURCE, _ACCOUNT = "/api/v1/resources/{resourceId}", "/api/v1/accounts/{accountId}"
_ENTRY, _FOLDER = "/api/v1/vault/entries/{entryId}", "/api/v1/vault/folders/{folderId}"
_TARGET, _CHANNEL = "/api/v1/siem/targets/{targetId}", "/api/v1/notifications/channels/{channelId}"
_POLICY, _GROUP = "/api/v1/approval-policies/{policyId}", "/api/v1/user-groups/{groupId}"
_DESCRIBED: Final = ({"description": "one"}, {"description": "two"})
_SHOWN: Final = ({"displayName": "One"}, {"displayName": "Two"})
_TARGETS: Final = ({"name": "one", **HOOK}, {"name": "two", **HOOK})
_LEVELS: Final = ({"name": "one", "level": "default"}, {"name": "two", "level": "default"})
_NAMES: Final = ({"name": "one"}, {"name": "two"})
_RIGHTS: Final = tuple({"items": [{"role": role, "rights": ["use"]}]} for role in ("pam_user", "pam_auditor"))
_NONE: Final = (None, None)
HOW: Final[dict[tuple[str, str], Change]] = {
    ("PUT", _USER): Change(a_user, _SHOWN),
    ("PATCH", _USER): Change(a_user, _SHOWN),
    ("DELETE", _USER): Change(a_user, _NONE, touch=("PATCH", _USER, _SHOWN[0])),
    ("PUT", f"{_USER}/roles"): Change(a_user, ({"roles": ["pam_approver"]}, {"roles": ["pam_auditor"]})),
    ("PUT", f"{_USER}/contact"): Change(a_user, ({"email": "a@b.example"}, {"email": "c@d.example"})),
    ("PUT", _SETTING): Change(a_setting, ({"idleMinutes": 30}, {"idleMinutes": 40})),
    ("POST", f"{_SETTING}/rollback"): Change(a_setting, ({"revision": 0}, {"revision": 1}), read=_SETTING),
    ("PUT", _RESOURCE): Change(a_resource, _DESCRIBED),
    ("DELETE", _RESOURCE): Change(a_resource, _NONE, touch=("PUT", _RESOURCE, _DESCRIBED[0])),
    ("PUT", _ACCOUNT): Change(an_account, _DESCRIBED),
    ("DELETE", _ACCOUNT): Change(an_account, _NONE, touch=("PUT", _ACCOUNT, _DESCRIBED[0])),
    ("PUT", _ENTRY): Change(an_entry, _DESCRIBED),
    ("DELETE", _ENTRY): Change(an_entry, _NONE, touch=("PUT", _ENTRY, {"fields": {"text": "y"}})),
    ("POST", f"{_ENTRY}/versions/{{number}}/restore"): Change(an_entry, _NONE, read=_ENTRY),
    ("PUT", f"{_ENTRY}/rotation"): Change(an_entry, ({"everyHours": 1}, {"everyHours": 2})),
    ("PUT", _FOLDER): Change(a_folder, _DESCRIBED),
    ("DELETE", _FOLDER): Change(a_folder, _NONE, touch=("PUT", _FOLDER, _DESCRIBED[0])),
    ("PUT", f"{_FOLDER}/rights"): Change(a_folder, (_RIGHTS[0], _RIGHTS[1])),
    ("PUT", _TARGET): Change(a_target, _TARGETS),
    ("DELETE", _TARGET): Change(a_target, _NONE, touch=("PUT", _TARGET, _TARGETS[0])),
    ("PUT", _CHANNEL): Change(a_channel, _TARGETS),
    ("DELETE", _CHANNEL): Change(a_channel, _NONE, touch=("PUT", _CHANNEL, _TARGETS[0])),
    ("PUT", _POLICY): Change(a_policy, _LEVELS),
    ("DELETE", _POLICY): Change(a_policy, _NONE, touch=("PUT", _POLICY, _LEVELS[0])),
    ("PUT", _GROUP): Change(a_group, _NAMES),
    ("DELETE", _GROUP): Change(a_group, _NONE, touch=("PUT", _GROUP, _NAMES[0])),
}


def test_whatever_changes_something_takes_if_match_or_says_why_not() -> None:
    """A route that is new meets this."""
    for one in ROUTES:
        for method in one.methods & CHANGES:
            where = f"{method} {one.route.path}"
            assert takes_if_match(one.route) or one.declared.unconditional, (
                f"{where} lets a change be lost: take `expected: Expected` (rppam.http.revisions) and hold it against "
                f"the revision in the transaction (rppam.ledger.precondition), or say in unconditional why none can be"
            )
            assert not (takes_if_match(one.route) and one.declared.unconditional), f"{where} says both"


def test_every_change_under_a_condition_is_tried_by_two() -> None:
    assert sorted(HOW) == CONDITIONAL


async def ask(
    served: Served, method: str, path: str, who: str, tag: str | None, body: Body | None = None
) -> httpx.Response:
    headers = served.bearer(subject=who) | ({} if tag is None else {"If-Match": tag})
    return await served.http.request(method, path, headers=headers, json=body if body is None else dict(body))


@pytest.mark.integration
@pytest.mark.parametrize(("method", "template"), CONDITIONAL, ids=[f"{one}-{path}" for one, path in CONDITIONAL])
async def test_of_two_changes_one_is_made_and_the_other_hears_whose(
    open_vault: Served, method: str, template: str
) -> None:
    await changed_by_two(open_vault, method, template)


@pytest.fixture
async def on_postgresql(tmp_path: Path, limits: ApiLimits, postgresql_url: str) -> AsyncIterator[Served]:
    one = Served(tmp_path / "keys", limits, more={"vault": {"revealFactor": "none"}}, database_url=postgresql_url)
    await one.start()
    yield one
    await one.stop()


AT_ONCE: Final = [one for one in CONDITIONAL if one in HOW and HOW[one].touch is None]
"""SQLite lets one write at a time; here both transactions have begun, and the second waits for the row."""


@pytest.mark.integration
@pytest.mark.server
@pytest.mark.parametrize(("method", "template"), AT_ONCE, ids=[f"{one}-{path}" for one, path in AT_ONCE])
async def test_so_it_is_where_both_write_at_once(on_postgresql: Served, method: str, template: str) -> None:
    await changed_by_two(on_postgresql, method, template)


async def changed_by_two(served: Served, method: str, template: str) -> None:
    """Let two who have read the same change it; what each of them has to hear."""
    how = HOW[method, template]
    await served.database.start()
    names = await how.make(served)
    path, read = (one.format(**names) for one in (template, how.read or template))
    before = await ask(served, "GET", read, "first", None)
    tag = before.headers["etag"]
    if how.touch is not None:
        verb, where, body = how.touch
        first = await ask(served, verb, where.format(**names), "first", tag, body)
        second = await ask(served, method, path, "second", tag)
        outcomes, people = [first, second], ["first", "second"]
    else:
        # Both at once: the one that comes second to the row has to see what the first one has made of it.
        people = ["first", "second"]
        outcomes = await asyncio.gather(
            *(ask(served, method, path, who, tag, body) for who, body in zip(people, how.bodies, strict=True))
        )
    lost = next(one for one in outcomes if one.status_code == 412)
    done = next(one for one in outcomes if one is not lost)
    assert done.is_success, done.text
    problem, winner = lost.json(), people[outcomes.index(done)]
    assert (problem["changedBy"], problem["fix"] != "") == (winner, True), problem
    assert problem["changedAt"].endswith("Z")
    after = await ask(served, "GET", read, "first", None)
    assert after.headers["etag"] == f'"{problem["revision"]}"' == lost.headers["etag"] != tag
    if done.status_code == 200 and not how.read:
        for name, value in done.json().items():
            assert after.json().get(name) == value, name
    nonsense = await ask(served, method, path, "second", "7", how.bodies[1])
    assert (nonsense.status_code, nonsense.json()["errors"][0]["field"]) == (400, "header.If-Match")
    again = await ask(served, method, path, "second", after.headers["etag"], how.bodies[1])
    assert again.is_success, again.text


@pytest.mark.integration
async def test_a_page_that_has_it_already_is_not_sent_it_again(open_vault: Served) -> None:
    """Wherever the document says 304."""
    served = open_vault
    await served.database.start()
    makers = {template: how.make for (_, template), how in HOW.items()}
    shown = [one.route.path for one in ROUTES if 304 in one.declared.answers]
    assert len(shown) >= 8
    named: dict[Any, Mapping[str, str]] = {}
    for template in shown:
        maker = makers[template]
        named[maker] = named[maker] if maker in named else await maker(served)
        path = template.format(**named[maker])
        found = await served.http.get(path, headers=served.bearer())
        had = await served.http.get(path, headers=served.bearer() | {"If-None-Match": found.headers["etag"]})
        assert (had.status_code, had.content, had.headers["etag"]) == (304, b"", found.headers["etag"]), template
        other = await served.http.get(path, headers=served.bearer() | {"If-None-Match": '"99"'})
        assert other.status_code == 200
