"""``rppam settings`` before a real server on a real database: what it shows, what it changes, and its exit codes."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rppam.db.errors import DatabaseRefused, DatabaseUnreachable
from rppam.http.bounds import ApiLimits
from rppam.http.client import Answer
from rppam.kernel.errors import RppamError
from rppam.manager import orders_command
from rppam.manager.settings_command import command
from rppam.settings.errors import SettingChanged
from tests.support.ports import free_port
from tests.support.served import Served

pytestmark = pytest.mark.integration

NAME = "security/sessions"


class Typed:
    def __init__(self, folder: Path) -> None:
        self.served = Served(folder / "keys", ApiLimits())

    async def __call__(self, *words: str, url: str = "", role: str = "security_admin") -> Result:
        token = self.served.bearer(role)["Authorization"].removeprefix("Bearer ")
        runner = CliRunner(env={"RPPAM_URL": url or self.served.url, "RPPAM_TOKEN": token, "RPPAM_CONFIG": None})
        return await asyncio.to_thread(runner.invoke, command, words, standalone_mode=False)


@pytest.fixture
async def typed(tmp_path: Path) -> AsyncIterator[Typed]:
    made = Typed(tmp_path)
    await made.served.start()
    await made.served.database.start()
    yield made
    await made.served.stop()


async def test_a_setting_is_shown_changed_and_taken_back(typed: Typed) -> None:
    assert (await typed("get", NAME)).stdout == "idleMinutes=30\nabsoluteHours=12\n"
    assert (await typed("history", NAME)).stdout == "it was never set: the default holds\n"
    changed = await typed("set", NAME, "idleMinutes=15")
    assert changed.stdout == "security/sessions: revision 1\n  idleMinutes: 30 -> 15\n", changed.output
    assert (await typed("set", NAME, "idleMinutes=15")).stdout == "security/sessions is so already: revision 1\n"
    line = next(one for one in (await typed("list")).stdout.splitlines() if one.startswith(NAME))
    assert line.split() == [NAME, "1", "idleMinutes=15"]
    assert (await typed("set", "security/mfa", "totpIssuer=Example")).return_value == 0
    past = json.loads((await typed("history", NAME, "--json")).stdout)["revisions"]
    assert [(one["revision"], one["changes"]) for one in past] == [
        (1, [{"field": "idleMinutes", "from": 30, "to": 15}])
    ]
    back = json.loads((await typed("rollback", NAME, "0", "--json")).stdout)
    assert back == {"name": NAME, "revision": 2, "changes": [{"field": "idleMinutes", "from": 15, "to": 30}]}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("get", "security/session"), "did you mean security/sessions?"),
        (("set", NAME, "idleMinuts=1"), "it has idleMinutes, absoluteHours"),
        (("set", NAME, "idleMinutes"), "expected FIELD=VALUE"),
    ],
)
async def test_mistakes_are_named(typed: Typed, words: tuple[str, ...], said: str) -> None:
    result = await typed(*words)
    assert said in str(result.exception)


async def test_a_finding_is_acknowledged_and_counts_again(typed: Typed) -> None:
    why = ("--reason", "a trial", "--until", "2030-01-31", "--by", "alice")
    assert (await typed("acknowledge", "rd-306", *why, role="pam_admin")).return_value == 0
    done = await typed("acknowledge", "RD-305", *why, "--on", "node1", "--json", role="pam_admin")
    alice = {"reason": "a trial", "by": "alice", "until": "2030-01-31"}
    both = [{"code": "RD-306", **alice, "node": ""}, {"code": "RD-305", **alice, "node": "node1"}]
    assert [one["to"] for one in json.loads(done.stdout)["changes"]] == [both]
    wrong = await typed("acknowledge", "RD-303", *why, role="pam_admin")
    assert (wrong.return_value, "may not be acknowledged" in wrong.stderr) == (2, True), wrong.output
    assert "--until" in str((await typed("acknowledge", "RD-306", "--reason", "x")).exception)
    assert "not acknowledged on all nodes" in str((await typed("acknowledge", "RD-305", "--end")).exception)
    end = await typed("acknowledge", "RD-306", "--end", "--json", role="pam_admin")
    assert [one["to"] for one in json.loads(end.stdout)["changes"]] == [both[1:]]
    assert (await typed("acknowledge", "RD-305", "--on", "node1", "--end")).return_value == 2, "pam_admin's alone"


async def test_refusals_have_their_exit_codes(typed: Typed) -> None:
    wrong = await typed("set", NAME, "idleMinutes=0")
    assert (wrong.return_value, "idleMinutes" in wrong.stderr) == (2, True), wrong.output
    for role in ("pam_auditor", "pam_user"):
        lacking = await typed("set", NAME, "idleMinutes=15", role=role)
        assert lacking.return_value == 2
        assert "To change it takes the role pam_admin, or security_admin" in lacking.stderr, "also where it is not read"
    assert (await typed("list", url=f"http://127.0.0.1:{free_port()}")).return_value == 2
    typed.served.node.permission = None
    nobody = await typed("set", NAME, "idleMinutes=15", "--json")
    assert (nobody.return_value, json.loads(nobody.stdout)["code"]) == (1, "RPPAM-6020"), nobody.output


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        (("set", NAME, "idleMinutes=0"), f"'rppam settings get {NAME}' shows the whole value (RPPAM-6501)"),
        (("rollback", NAME, "9"), f"Use a revision that 'rppam settings history {NAME}' shows, or 0 for the default"),
    ],
)
async def test_a_fix_is_told_in_the_words_of_the_commands(typed: Typed, words: tuple[str, ...], fix: str) -> None:
    wrong = await typed(*words)
    assert fix in wrong.stderr
    assert "GET" not in wrong.stderr


async def answered(typed: Typed, monkeypatch: pytest.MonkeyPatch, error: RppamError, status: int) -> Result:
    body = {"code": error.row.code, "detail": str(error), "fix": error.row.remedy}

    async def ask(*_: object, **__: object) -> Answer:
        return Answer(status, body)

    monkeypatch.setattr(orders_command, "ask_json", ask)
    return await typed("get", NAME)


async def test_what_another_changed_meanwhile_is_told_without_words_of_http(
    typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = await answered(typed, monkeypatch, SettingChanged(3, "alice", "2026-01-31T10:00:00Z"), 412)
    assert "it was changed meanwhile: revision 3 is in force; it was changed by alice" in changed.stderr
    assert f"Look at what is new with 'rppam settings get {NAME}'" in changed.stderr
    assert "If-Match" not in changed.stderr
    assert "GET" not in changed.stderr


async def test_a_database_that_refuses_has_the_exit_code_of_other_commands(
    typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await answered(typed, monkeypatch, DatabaseRefused("the database refused"), 503)).return_value == 2
    assert (await answered(typed, monkeypatch, DatabaseUnreachable("the database is away"), 503)).return_value == 1
