"""No act without its event: each route and command that changes something is asked, or stands here with a reason.

Most routes are asked by tests/app/test_rest_reference.py, which counts events. The others are asked here, by the tests
that know how; each call is watched. A route or a command that is new fails until it is in one of these lists.
"""

import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import click
import pytest
from click.testing import CliRunner
from sqlalchemy import update

from rppam.access.tokens.key_files import create_signing_key
from rppam.app.slices import ACTIONS, commands
from rppam.cli.files import new_cluster_key, write_private
from rppam.db.database import Database
from rppam.gateway.browser_logins_store import SqlBrowserLogins
from rppam.kernel.instant import WallMs
from rppam.kernel.slice import load
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
ME: Final = "/api/v1/users/me"
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
            (f"PUT {ME}/password", f"POST {ME}/ssh-keys", f"DELETE {ME}/ssh-keys/{{sshKeyId}}"),
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


# Of commands: which action they record, "REST" where a route does it, or why there is none.
_READS: Final = "reads"
_REST: Final = "REST"
_FILES: Final = "writes files of the one who runs it; the cluster has nothing of it"
COMMANDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "account add": _REST,
        "account ls": _READS,
        "account rm": _REST,
        "audit adopt": "ledger.adopt",
        "audit archive": "ledger.archive",
        "audit archives": _READS,
        "audit erase": _REST,
        "audit export": _READS,
        "audit hold": _REST,
        "audit holds": _READS,
        "audit list": _READS,
        "audit release": _REST,
        "audit tail": _READS,
        "audit verify": _READS,
        "ca activate": _REST,
        "ca create": _REST,
        "ca krl": _READS,
        "ca restore": _REST,
        "ca retire": _REST,
        "ca revocations": _READS,
        "ca revoke": _REST,
        "ca show": _READS,
        "ca sign": _REST,
        "cluster adopt": "member.adopt",
        "cluster forget": _REST,
        "cluster found": "cluster.found",
        "cluster history": _READS,
        "cluster key begin": "cluster-key.begin",
        "cluster key finish": "cluster-key.finish",
        "cluster key switch": "cluster-key.switch",
        "cluster maintenance": _REST,
        "cluster pause": _REST,
        "cluster resume": _REST,
        "cluster switchover": _REST,
        "config check": _READS,
        "config encrypt": _READS,
        "config parse-connection": _READS,
        "config push": _REST,
        "config show": _READS,
        "database contract": "database.contract",
        "demo": "runs a cluster of its own",
        "doctor": _READS,
        "failover-report": _READS,
        "failover-test": _REST,
        "init": "makes a node, before there is a ledger",
        "lb haproxy": _FILES,
        "lb keepalived": _FILES,
        "lb nginx": _FILES,
        "license issue": _FILES,
        "license new-key": _FILES,
        "license show": _READS,
        "license verify": _READS,
        "lockout list": _READS,
        "lockout unlock": "lockout.end",
        "login": _REST,
        "logout": _REST,
        "node": "runs a node; that it leads is recorded",
        "recording export": _REST,
        "recording files": _READS,
        "recording hold": _REST,
        "recording ls": _READS,
        "recording play": _REST,
        "recording release": _REST,
        "recording search": _REST,
        "recording verify": _REST,
        "redis info": _READS,
        "redis password": _FILES,
        "redis rotate-password begin": "redis-password.begin",
        "redis rotate-password finish": "redis-password.finish",
        "redis setup": _FILES,
        "request approve": _REST,
        "request cancel": _REST,
        "request deny": _REST,
        "request extend": _REST,
        "request ls": _READS,
        "request new": _REST,
        "request review": _REST,
        "request revoke": _REST,
        "request show": _READS,
        "session kill": _REST,
        "session ls": _READS,
        "session watch": _REST,
        "settings acknowledge": _REST,
        "settings get": _READS,
        "settings history": _READS,
        "settings list": _READS,
        "settings rollback": _REST,
        "settings set": _REST,
        "simulate": "plays the election, and touches nothing",
        "ssh": "access.start",
        "ssh-config": _FILES,
        "ssh-token ls": _READS,
        "ssh-token new": _REST,
        "ssh-token revoke": _REST,
        "status": _READS,
        "target add": _REST,
        "target export": _READS,
        "target import": _REST,
        "target ls": _READS,
        "target pin": _REST,
        "target rm": _REST,
        "target show": _READS,
        "target unpin": _REST,
        "tls ca": _FILES,
        "tls issue": _FILES,
        "tls list": _READS,
        "tls renew": _FILES,
        "token": "asks nothing, so it works while all are away; what is done with it is recorded as its host's",
        "token keys list": _READS,
        "token keys retire": "token-key.retire",
        "token keys rotate": "token-key.make",
        "token revoke": _REST,
        "user add": "user.create",
        "user allow-from": "user.change",
        "user disable": "user.disable",
        "user enable": "user.enable",
        "user list": _READS,
        "user locked": _READS,
        "user passkeys": "passkey.reset",
        "user password": "user.password",
        "user reset-mfa": "mfa.remove",
        "user reset-password": "user.password",
        "user roles": "role.grant",
        "user sessions end": "session.end",
        "user sessions ls": _READS,
        "user unlock": "lockout.end",
        "vault allow": _REST,
        "vault ceremony": _FILES,
        "vault checkin": _REST,
        "vault checkout": _REST,
        "vault checkouts": _READS,
        "vault folders": _READS,
        "vault generate": "makes up a secret that stands nowhere",
        "vault get": _READS,
        "vault key new": _FILES,
        "vault key rotate": _REST,
        "vault key token": "makes a master key in a token; that the nodes use it is recorded",
        "vault key status": _READS,
        "vault ls": _READS,
        "vault put": _REST,
        "vault release": _REST,
        "vault restore": _REST,
        "vault reveal": _REST,
        "vault rm": _REST,
        "vault rotate": _REST,
        "vault rotation": _REST,
        "vault rotations": _READS,
        "vault seal": "vault.seal",
        "vault unseal": "vault.unseal",
        "vault versions": _READS,
        "witness": "runs a witness, which has no database",
    }
)


def words() -> Iterator[str]:
    """Every command, in full."""

    def below(name: str, command: click.Command) -> Iterator[str]:
        if isinstance(command, click.Group):
            for word, one in command.commands.items():
                yield from below(f"{name} {word}", one)
            if command.invoke_without_command:
                yield name
        else:
            yield name

    for word, command in commands().items():
        yield from below(word, load(f"{command.module}:command"))


def said(words: str, config: Path, *more: str | Path, stdin: str = "") -> str:
    first, *rest = words.split(" ")
    command = load(f"{commands()[first].module}:command")
    given = [*rest, *map(str, more), "--config", str(config)]
    result = CliRunner().invoke(command, given, input=stdin, standalone_mode=False)
    assert result.exception is None, (words, result.output, result.exception)
    return result.stdout


@pytest.mark.integration
def test_commands_of_a_host_write_their_events(sqlite_url: str, tmp_path: Path) -> None:
    keys, cluster = tmp_path / "keys", tmp_path / "cluster.key"
    keys.mkdir(mode=0o700)
    write_private(cluster, new_cluster_key())
    config = tmp_path / "rppam.config"
    auth = {"jwtKeysDir": str(keys), "clusterKeyPath": str(cluster)}
    node = {"dataDir": str(tmp_path), "nodeName": "node1"}
    config.write_text(json.dumps({"node": node, "auth": auth, "database": {"url": sqlite_url}}))
    config.chmod(0o600)
    create_signing_key(keys, now_ms=WallMs(0))
    asked = ["user add", "user roles", "user disable", "user enable", "user password", "user reset-password"]
    asked.append("user allow-from")
    more: dict[str, list[str]] = {"user roles": ["--add", "pam_auditor"], "user password": ["--password-file", "-"]}
    more["user allow-from"] = ["10.2.0.0/16"]
    for words in asked:
        said(words, config, "anna", *more.get(words, ()), stdin="the second one of all\n")
    made = json.loads(said("token keys rotate", config, "--json"))
    said("token keys retire", config, Path(made["file"]).name, "--force")
    said("cluster key begin", config)
    said("database contract", config, "--yes")
    asked += ["token keys rotate", "token keys retire", "cluster key begin", "database contract"]
    found = {one["action"] for one in json.loads(said("audit list", config, "--json"))["items"]}
    assert {COMMANDS[words] for words in asked} - found == set()
    assert found >= ON_HOSTS


def test_every_command_records_what_it_does_or_is_excepted() -> None:
    assert sorted(words()) == sorted(COMMANDS)
    for one in COMMANDS.values():
        assert one in ACTIONS or one in {_READS, _REST} or " " in one, one
