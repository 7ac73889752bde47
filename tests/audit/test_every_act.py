"""No act without its event: each route that changes something is asked, or stands here with a reason.

Most routes are asked by tests/app/test_rest_reference.py, which counts events. The others are asked here, by the tests
that know how; each call is watched. A route that is new fails until it is in one of these lists. Commands:
``test_every_command.py``.
"""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pytest
from sqlalchemy import update

from rppam.app.slices import ACTIONS
from rppam.db.database import Database
from rppam.gateway.browser_logins_store import SqlBrowserLogins
from rppam.ledger.store import Query, SqlLedger
from rppam.manager.note_store import SqlFencedNote
from rppam.vault.model import EntryState
from rppam.vault.tables import vault_entries
from tests.access.mfa import test_api as mfa
from tests.access.passkeys import test_api as passkeys
from tests.app import test_rest_reference as reference
from tests.audit import test_retention
from tests.audit.actions import ELSEWHERE, IN_SCENARIOS, ON_HOSTS, WALKED
from tests.failover_test import test_api as failover
from tests.gateway import test_recording_retention
from tests.requests import test_api as requests
from tests.requests.people import furnish, headers as signed_in_with_factor, hire
from tests.rotation.test_on_targets import target
from tests.siem import test_api as siem
from tests.support.authenticator import code
from tests.support.documents import described
from tests.support.served import PASSWORD, Served
from tests.support.unnamed import acts, names_nobody, plant
from tests.vault import test_checkouts as checkouts
from tests.vault.people import ENTRIES, host, person

AUTH: Final = "/api/v1/auth"
USERS: Final = "/api/v1/users"
ME: Final = f"{USERS}/me"
FAILOVER: Final = "/api/v1/admin/cluster/failover-tests"
AUTHORITY: Final = "/api/v1/access/ca"
ASKED: Final = "/api/v1/access-requests"

WITHOUT_EVENT: Final[Mapping[str, str]] = reference.WITHOUT_EVENT | {
    f"POST {AUTH}/webauthn/login": "asks for a challenge; nobody has shown anything",
    f"POST {AUTH}/webauthn/register": "asks for a challenge; what is added is recorded",
    f"POST {AUTH}/webauthn/prove": "asks for a challenge; what it is used for is recorded",
    f"PUT {FAILOVER}/{{testId}}/writes/{{number}}": "the test's own writes, by the thousand; its report is recorded",
    f"POST {FAILOVER}/{{testId}}/steps": "how far a test has come, said by itself; its report is recorded",
    "POST /api/v1/access/terminals": "keeps a place; access.start is recorded when it is opened, or access.refuse",
}


async def _challenged(served: Served) -> None:
    _, secret, _ = await mfa.enrolled(served)
    token = (await mfa.login(served))["mfaToken"]
    done = await served.http.post(f"{AUTH}/mfa/challenge", json={"mfaToken": token, "code": code(secret, 1)})
    assert done.status_code == 200, done.text


async def _own_things(served: Served) -> None:
    ursula = await person(served, "ursula")
    key = (await ursula.made(f"{ME}/ssh-keys", key=reference.HOST_KEY))["id"]
    assert (await ursula.delete(f"{ME}/ssh-keys/{key}")).status_code == 204
    new = {"currentPassword": PASSWORD, "newPassword": "another one for the nodes"}
    answer = await ursula.put(f"{ME}/password", **new)
    assert answer.status_code == 204, answer.text
    ident = (await (await person(served, "ursula")).get(ME)).json()["id"]
    assert (await host(served).delete(f"{USERS}/{ident}/ssh-keys")).status_code == 204


async def _one_time_tokens(served: Served) -> None:
    await target(host(served), "ssh", 22, "deploy")
    admin = await person(served, "admin")
    [listed] = (await admin.get("/api/v1/access/targets")).json()["items"]
    token = (await admin.made(f"{ME}/ssh-tokens", target=listed["target"]))["id"]
    assert (await admin.delete(f"{ME}/ssh-tokens/{token}")).status_code == 204


async def _browser_logins(served: Served) -> None:
    await person(served, "admin")
    account = (await served.users.get("id-admin")).account
    headers = await signed_in_with_factor(served, "admin", mfa=True)
    for what in ("approve", "refuse"):
        asked = await served.services.get(SqlBrowserLogins).ask(account, "web1", "", "10.0.0.1")
        assert asked is not None
        answer = await served.http.post(f"{ME}/ssh-logins/{asked.id}/{what}", headers=headers)
        assert answer.status_code == 204, answer.text


async def _rotated(served: Served) -> None:
    admin = host(served)
    entry = await target(admin, "ssh", 22, "deploy")
    answer = await admin.post(f"{ENTRIES}/{entry['id']}/rotate")
    assert answer.status_code == 202, answer.text


async def _let_go(served: Served) -> None:
    ident = await test_recording_retention.made(served, b"said\n")
    for what in ("hold", "release"):
        assert (await test_recording_retention.order(served, ident, what, reason="case 42")).status_code == 200


async def _released(served: Served) -> None:
    entry = await host(served).entry()
    waits = update(vault_entries).values(state=EntryState.PENDING_ROTATION.value)
    await served.database.write(lambda connection: connection.execute(waits).close())
    assert (await host(served).post(f"{ENTRIES}/{entry['id']}/release")).status_code == 200


async def _unlocked(served: Served) -> None:
    wrong = {"username": "ursula", "password": "not the password"}
    while not (found := (await host(served).get("/api/v1/lockouts")).json()["items"]):
        await served.http.post(f"{AUTH}/login", json=wrong)
    assert (await host(served).delete(f"/api/v1/lockouts/{found[0]['id']}")).status_code == 204


async def _authority(served: Served) -> None:
    admin, ursula = host(served), await person(served, "ursula")
    for _ in range(2):
        assert (await admin.post(AUTHORITY)).status_code == 201
    answer = await ursula.post(f"{ME}/ssh-certificates", key=reference.HOST_KEY)
    assert answer.status_code == 201, answer.text
    assert (await admin.post(f"{AUTHORITY}/2/activate")).status_code < 300
    assert (await admin.delete(f"{AUTHORITY}/1")).status_code < 300


async def _revoked(served: Served) -> None:
    admin = host(served)
    made = await admin.made(f"{AUTHORITY}/revocations", kind="serial", word="7", reason="lost")
    lifted = await admin.post(f"{AUTHORITY}/revocations/{made['id']}/lift", reason="found again")
    assert lifted.status_code == 204


async def _resumed(served: Served) -> None:
    for on in (True, False):
        paused = await host(served).put("/api/v1/admin/cluster/pause", paused=on)
        kept = await host(served).put("/api/v1/admin/nodes/node1/maintenance", maintenance=on)
        assert (paused.status_code, kept.status_code) == (200, 200), (paused.text, kept.text)


async def _channel_tested(served: Served) -> None:
    hook = {"name": "c", "kind": "webhook", "url": "http://127.0.0.1:1/", "secret": "s"}
    made = await host(served).made("/api/v1/notifications/channels", **hook)
    await host(served).post(f"/api/v1/notifications/channels/{made['id']}/test")


def _company(test: Callable[[Served], Awaitable[None]]) -> Callable[[Served], Awaitable[None]]:
    async def run(served: Served) -> None:
        await hire(served.database)
        await furnish(served.database)
        await test(served)

    return run


SCENARIOS: Final[Mapping[str, tuple[Callable[[Served], Awaitable[Any]], tuple[str, ...]]]] = MappingProxyType(
    {
        "second factor": (
            lambda served: mfa.test_a_step_up_gives_another_token(served, served),
            tuple(f"POST {AUTH}/mfa/{one}" for one in ("enroll", "stepup", "backup-codes", "disable")),
        ),
        "challenge": (_challenged, (f"POST {AUTH}/mfa/challenge",)),
        "own things": (
            _own_things,
            (
                f"PUT {ME}/password",
                f"POST {ME}/ssh-keys",
                f"DELETE {ME}/ssh-keys/{{sshKeyId}}",
                f"DELETE {USERS}/{{userId}}/ssh-keys",
            ),
        ),
        "tokens for one log-in": (
            _one_time_tokens,
            (f"POST {ME}/ssh-tokens", f"DELETE {ME}/ssh-tokens/{{sshTokenId}}"),
        ),
        "log-ins that are approved in the browser": (
            _browser_logins,
            tuple(f"POST {ME}/ssh-logins/{{sshLoginId}}/{one}" for one in ("approve", "refuse")),
        ),
        "passkeys": (
            passkeys.test_a_passkey_signs_in_and_is_the_second_factor_of_a_reveal,
            (f"POST {AUTH}/webauthn", f"POST {AUTH}/webauthn/login/finish", f"DELETE {AUTH}/webauthn/{{passkeyId}}"),
        ),
        "requests": (
            _company(requests.test_asked_for_approved_by_another_used_and_revoked),
            (f"POST {ASKED}", f"POST {ASKED}/{{requestId}}/approve", "POST /api/v1/grants/{grantId}/revoke"),
        ),
        "denials": (
            _company(requests.test_a_denial_a_cancel_and_the_end_of_the_time_to_decide),
            (f"POST {ASKED}/{{requestId}}/deny", f"POST {ASKED}/{{requestId}}/cancel"),
        ),
        "extensions": (
            _company(requests.test_an_extension_is_approved_anew_and_lengthens_the_same_grant),
            (f"POST {ASKED}/{{requestId}}/extend",),
        ),
        "reviews": (
            _company(requests.test_an_emergency_is_granted_at_once_counted_and_reviewed_by_another),
            (f"POST {ASKED}/{{requestId}}/review",),
        ),
        "checkouts": (
            checkouts.test_one_at_a_time_has_an_exclusive_entry,
            ("POST /api/v1/vault/checkouts/{checkoutId}/checkin",),
        ),
        "rotation": (_rotated, ("POST /api/v1/vault/entries/{entryId}/rotate",)),
        "holds": (
            test_retention.test_holds_and_erasure_over_rest,
            ("POST /api/v1/audit/holds/{holdId}/release",),
        ),
        "release": (_released, ("POST /api/v1/vault/entries/{entryId}/release",)),
        "recordings": (_let_go, ("POST /api/v1/recordings/{recordingId}/release",)),
        "lockouts": (_unlocked, ("DELETE /api/v1/lockouts/{lockoutId}",)),
        "authority": (
            _authority,
            (
                f"POST {AUTHORITY}/{{number}}/activate",
                f"DELETE {AUTHORITY}/{{number}}",
                f"POST {ME}/ssh-certificates",
            ),
        ),
        "revocations": (
            _revoked,
            (f"POST {AUTHORITY}/revocations", f"POST {AUTHORITY}/revocations/{{revocationId}}/lift"),
        ),
        "SIEM": (
            siem.test_a_target_is_made_tested_changed_and_removed,
            ("POST /api/v1/siem/targets/{targetId}/test",),
        ),
        "orders that are taken back": (_resumed, ("PUT /api/v1/admin/cluster/pause",)),
        "channels": (_channel_tested, ("POST /api/v1/notifications/channels/{channelId}/test",)),
        "failover tests that are asked for": (
            failover.test_what_somebody_asked_for_is_begun_once_and_tells_how_far_it_is,
            (f"POST {FAILOVER}/asked",),
        ),
        "failover tests": (
            failover.test_a_test_is_begun_writes_and_is_kept_with_its_digest_in_the_ledger,
            (f"POST {FAILOVER}/{{testId}}/fault", f"PUT {FAILOVER}/{{testId}}/report"),
        ),
    }
)


def changing() -> Iterator[tuple[str, str]]:
    """Method and path of every route that may change something."""
    for path, methods in described()["paths"].items():
        for method in methods:
            if method != "get":
                yield method.upper(), path


def watch(served: Served) -> set[str]:
    """The routes that wrote an event when they were asked, as they are asked."""
    acted: set[str] = set()
    routes = [
        (method, path, re.compile(re.sub(r"\{\w+\}", "[^/]+", path))) for method, path in changing()
    ]  # the words of a path come before its parameters
    routes.sort(key=lambda one: one[1].count("{"))
    ask = served.http.request

    async def asked(method: str, url: Any, **given: Any) -> Any:
        before = await reference.events(served)
        answer = await ask(method, url, **given)
        where = str(url).partition("?")[0]
        name = next((path for known, path, shape in routes if known == method and shape.fullmatch(where)), "")
        counts = answer.status_code < 300 or name.endswith("/test")  # which has nobody to reach here
        if name and counts and await reference.events(served) > before:
            acted.add(f"{method} {name}")
        return answer

    served.http.request = asked  # type: ignore[method-assign]
    return acted


@pytest.mark.integration
@pytest.mark.parametrize("name", SCENARIOS)
async def test_what_is_not_in_the_walk_writes_its_event_too(open_vault: Served, served: Served, name: str) -> None:
    scenario, routes = SCENARIOS[name]
    used = open_vault if name in {"checkouts", "rotation", "release"} else served
    await plant(used)
    acted = watch(used)
    await scenario(used)
    assert set(routes) <= acted
    assert IN_SCENARIOS.get(name, set()) <= await acts(used.database)
    await names_nobody(used)


def test_every_route_that_changes_something_is_asked_or_excepted() -> None:
    known = {f"{method} {path}" for method, path in changing()}
    asked = [route for _, routes in SCENARIOS.values() for route in routes]
    walked = {f"{method} {path}" for method, path in changing() if reference.is_walked(path)}
    assert reference.NOTHING_TO_DO - set(asked) == {"PUT /api/v1/admin/cluster/note"}, "which has a test below"
    assert known - walked - set(asked) - WITHOUT_EVENT.keys() == set(), "an act that no test has an event of"
    assert (set(asked) | WITHOUT_EVENT.keys()) - known == set(), "no such routes"
    assert set(asked) & WITHOUT_EVENT.keys() == set()


def test_every_action_of_the_catalogue_is_recorded_by_a_test_or_excepted() -> None:
    for action, file in ELSEWHERE.items():
        assert f'"{action}"' in Path("tests", file).read_text(), f"{file} has nothing of {action}"
    assert IN_SCENARIOS.keys() <= SCENARIOS.keys()
    recorded = {*WALKED, *ON_HOSTS, *ELSEWHERE}.union(*IN_SCENARIOS.values())
    assert ACTIONS.keys() - recorded == set(), "an action that nothing records"
    assert recorded - ACTIONS.keys() == set(), "no such actions"


@pytest.mark.server
async def test_the_note_of_an_operator_is_recorded(database: Database) -> None:
    await SqlFencedNote(database).write(7, "node1", "boot-a", "patching tonight", "admin")
    (event,) = await SqlLedger(database).events(Query("note.write"))
    assert event.document()["details"] == {"text": "patching tonight"}
