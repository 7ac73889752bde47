"""``rppam config push`` before real servers on a real database: what it shows, what it changes, and its exit codes."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from rppam.app.config_cli import command
from rppam.cluster.admin.errors import SettingUnfit
from rppam.cluster.consensus.heartbeat import MemberStatus, Role
from rppam.config.errors import ConfigValueError
from rppam.http.bounds import ApiLimits
from rppam.http.errors import FencedError
from tests.support.ports import free_port
from tests.support.served import Served, member

pytestmark = pytest.mark.integration

SESSIONS = "security/sessions"
WANTED = {SESSIONS: {"idleMinutes": 15}, "security/mfa": {"totpIssuer": "Example"}}


class Pair:
    """node2 leads and node1 is a standby, on one database; a file, and what is typed."""

    def __init__(self, folder: Path) -> None:
        self.leader, self.standby = Served(folder / "keys", ApiLimits()), Served(folder / "keys", ApiLimits())
        self.file = folder / "rppam.config"

    async def start(self) -> None:
        for served in (self.leader, self.standby):
            await served.start()
            await served.database.start()
        self.standby.node.permission = None
        members = (
            member("node1", Role.STANDBY, api_url=self.standby.url, is_at_url=True),
            member("node2", Role.LEADER, api_url="http://leader:7101", is_at_url=True),
        )
        self.leader.node.set(node="node2", leader="node2", members=members)
        self.standby.node.set(role=Role.STANDBY, leader="node2", members=members)

    async def stop(self) -> None:
        for served in (self.leader, self.standby):
            await served.stop()

    async def typed(self, *words: str, settings: object = WANTED, role: str = "pam_admin", url: str = "",
                    named: bool = True, token: bool = True, node: Path | None = None) -> Result:  # fmt: skip
        self.file.write_text(json.dumps({"settings": settings}))
        self.file.chmod(0o600)
        given = self.leader.bearer(role)["Authorization"].removeprefix("Bearer ") if token else None
        config, asked = str(node) if node else None, None if node else url or self.standby.url
        runner = CliRunner(env={"RPPAM_URL": asked, "RPPAM_TOKEN": given, "RPPAM_CONFIG": config})
        words = ("push", str(self.file), *(("--node", self.leader.url) if named else ()), *words)
        return await asyncio.to_thread(runner.invoke, command, words, standalone_mode=False)

    async def pushed(self, *words: str, **more: Any) -> dict[str, Any]:
        told: dict[str, Any] = json.loads((await self.typed("--json", *words, **more)).stdout)
        return told

    async def value(self, name: str = SESSIONS) -> tuple[str, Any]:
        answer = await self.leader.http.get(f"/api/v1/settings/{name}", headers=self.leader.bearer())
        return answer.headers["etag"], answer.json()


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    made = Pair(tmp_path)
    await made.start()
    yield made
    await made.stop()


async def test_without_yes_it_shows_what_would_change_and_changes_nothing(pair: Pair) -> None:
    result = await pair.typed()
    assert result.return_value == 1, result.output
    assert result.stdout.splitlines() == [
        "security/sessions",
        "  idleMinutes: 30 -> 15",
        "security/mfa",
        '  totpIssuer: "RP-PAM" -> "Example"',
        "nothing was changed; --yes makes these changes",
    ]
    assert (await pair.value())[0] == '"0"'


async def test_with_yes_the_leader_makes_the_changes_and_then_there_are_none(pair: Pair) -> None:
    told = await pair.pushed("--yes")
    assert [(one["setting"], one["revision"]) for one in told["changes"]] == [(SESSIONS, 1), ("security/mfa", 1)]
    assert told["changes"][0]["fields"] == [{"field": "idleMinutes", "found": 30, "wanted": 15}]
    assert (told["applied"], told["error"]) == (True, "")
    assert await pair.value() == ('"1"', {"idleMinutes": 15, "absoluteHours": 12})
    for words in ((), ("--yes",)):
        result = await pair.typed(*words)
        assert (result.return_value, result.stdout) == (0, "the cluster has what the file says\n")
    assert (await pair.value())[0] == '"1"'


async def test_what_the_file_leaves_out_has_its_default_and_what_it_does_not_name_stays(pair: Pair) -> None:
    await pair.pushed("--yes")
    told = await pair.pushed("--yes", settings={SESSIONS: {"absoluteHours": 8}})
    assert [field["field"] for field in told["changes"][0]["fields"]] == ["idleMinutes", "absoluteHours"]
    assert (await pair.value())[1] == {"idleMinutes": 30, "absoluteHours": 8}
    assert (await pair.value("security/mfa"))[1]["totpIssuer"] == "Example"


async def test_nothing_is_pushed_to_a_node_that_was_not_named(pair: Pair) -> None:
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(65536))
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as thief:
        url = f"http://127.0.0.1:{thief.sockets[0].getsockname()[1]}"
        members = [replace(one, api_url=url) for one in pair.standby.node.seen.members]
        pair.standby.node.set(members=tuple(members))
        result = await pair.typed("--yes", named=False)
    assert result.return_value == 1, result.output
    assert f"if {url} is where that node is, give it the order there with --url" in result.stderr
    assert heard == []
    assert (await pair.value())[0] == '"0"'


async def test_named_nodes_are_asked_in_turn_until_the_leader_takes_it(pair: Pair) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    result = await pair.typed("--yes", "--node", nobody, named=False)
    assert (result.return_value, "connection refused" in result.stderr) == (2, True)
    result = await pair.typed("--node", nobody, "--node", f"{pair.leader.url}/", "--yes", named=False)
    assert result.return_value == 0, result.output
    assert (await pair.value())[0] == '"1"'
    wrong = await pair.typed("--node", "leader:7101", named=False)
    assert "--node: expected http://HOST:PORT" in str(wrong.exception)


async def test_a_change_by_somebody_else_meanwhile_is_not_overwritten(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = pair.leader.settings.write

    async def meanwhile(*words: Any) -> Any:
        monkeypatch.setattr(pair.leader.settings, "write", write)
        await write(words[0], SESSIONS, '{"idleMinutes": 20, "absoluteHours": 12}', "eve", None)
        return await write(*words)

    monkeypatch.setattr(pair.leader.settings, "write", meanwhile)
    result = await pair.typed("--yes")
    assert result.return_value == 1, result.output
    assert "RPPAM-6503" in result.stderr
    assert "security/sessions: not changed" in result.stdout
    assert (await pair.value())[1]["idleMinutes"] == 20
    assert (await pair.value("security/mfa"))[0] == '"0"', "nothing is sent after a refusal"


async def test_on_a_nodes_own_host_a_file_of_settings_alone_is_pushed_and_follows_to_the_leader(pair: Pair) -> None:
    """The node of this host is a standby; the leader's address is proven, so the host's own token goes there."""
    node = node_config(pair, proven=True)
    result = await pair.typed("--yes", named=False, token=False, node=node)
    assert result.return_value == 0, result.output
    assert await pair.value() == ('"1"', {"idleMinutes": 15, "absoluteHours": 12})
    listed = await pair.leader.http.get("/api/v1/sessions", headers=pair.leader.bearer())
    assert {one["user"] for one in listed.json()["items"]} == {"admin"}, "the command left a session behind"


async def test_to_an_address_that_is_not_proven_the_hosts_own_token_does_not_follow(pair: Pair) -> None:
    result = await pair.typed("--yes", named=False, token=False, node=node_config(pair, proven=False))
    assert result.return_value == 1, result.output
    assert (await pair.value())[0] == '"0"'


def node_config(pair: Pair, *, proven: bool) -> Path:
    """The config of the standby's host, as far as a command there needs it."""
    members = [replace(one, api_url=pair.leader.url, is_at_url=proven) for one in pair.standby.node.seen.members]
    pair.standby.node.set(members=tuple(members))
    port = int(pair.standby.url.rpartition(":")[2])
    node = pair.file.with_name("node.config")
    node.write_text(
        json.dumps(
            {
                "node": {"nodeName": "node1"},
                "api": {"port": port},
                "auth": {"jwtKeysDir": str(pair.file.with_name("keys"))},
            }
        )
    )
    node.chmod(0o600)
    return node


async def test_a_wrong_file_is_refused_before_anybody_is_asked(pair: Pair) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    wrong = {SESSIONS: {"idleMinuts": 1, "absoluteHours": 0}, "security/session": {}}
    result = await pair.typed("--yes", settings=wrong, url=nobody)
    assert isinstance(result.exception, ConfigValueError)
    problems = {problem.path: problem for problem in result.exception.problems}
    assert set(problems) == {
        "settings.security/sessions.idleMinuts",
        "settings.security/sessions.absoluteHours",
        "settings.security/session",
    }
    assert problems["settings.security/sessions.idleMinuts"].fix == "Did you mean 'idleMinutes'?"
    hours = problems["settings.security/sessions.absoluteHours"]
    assert (hours.expected, hours.found) == ("whole hours from 1 to 168", "0")
    unlike: tuple[object, ...] = ([], {SESSIONS: 7})
    for settings in unlike:
        result = await pair.typed(settings=settings)
        assert isinstance(result.exception, ConfigValueError)
    assert "has no section" in str((await pair.typed(settings={})).exception)


async def test_nobody_answers_or_the_token_is_too_weak(pair: Pair) -> None:
    result = await pair.typed("--yes", url=f"http://127.0.0.1:{free_port()}")
    assert (result.return_value, result.stdout) == (2, "")
    assert "connection refused" in result.stderr
    assert (await pair.typed("--yes", role="pam_user")).return_value == 2
    assert (await pair.typed("--yes", role="pam_auditor")).return_value == 2
    assert (await pair.value())[0] == '"0"'
    assert (await pair.typed("--yes", role="security_admin")).return_value == 0


async def test_all_or_none_puts_back_what_was_changed_when_a_later_change_is_refused(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = pair.leader.settings.write

    async def refusing(*words: Any) -> Any:
        if words[1] == "security/mfa":
            raise FencedError("a newer leader has written since")
        return await write(*words)

    monkeypatch.setattr(pair.leader.settings, "write", refusing)
    result = await pair.typed("--yes", "--all-or-none")
    assert result.return_value == 1, result.output
    assert "a newer leader has written since" in result.stderr
    assert "Put back: security/sessions" in result.stderr
    assert (await pair.value()) == ('"2"', {"idleMinutes": 30, "absoluteHours": 12})
    assert "security/sessions: not changed" in result.stdout


async def test_all_or_none_does_not_begin_where_a_node_could_not_go_by_it(pair: Pair, tmp_path: Path) -> None:
    pair.standby.orders.failure = SettingUnfit("node1: recordings/store: folder: expected a folder, found none")
    store = {"store": "dir", "folder": str(tmp_path)}
    wanted = {SESSIONS: {"idleMinutes": 15}, "recordings/store": store}
    result = await pair.typed("--yes", "--all-or-none", settings=wanted)
    assert result.return_value == 1, result.output
    assert "not begun, as not every node could go by it: node1: recordings/store: folder" in result.stderr
    [(order, tried, by)] = pair.standby.orders.asked
    assert (order, list(tried), by) == ("try_settings", ["recordings/store"], "admin"), (
        "what no host decides is not tried"
    )
    assert store.items() <= tried["recordings/store"].items(), "with all its other keys"
    assert (await pair.value())[0] == (await pair.value("recordings/store"))[0] == '"0"'


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"version": "0.9.0"}, "nodes of several releases may take different values"),
        ({"status": MemberStatus.UNREACHABLE}, "node2 is unreachable"),
    ],
)
async def test_all_or_none_does_not_begin_where_nodes_differ(pair: Pair, changes: dict[str, Any], why: str) -> None:
    for node in (pair.leader.node, pair.standby.node):
        members = [replace(one, **changes) if one.node == "node2" else one for one in node.seen.members]
        node.set(members=tuple(members))
    result = await pair.typed("--yes", "--all-or-none")
    assert result.return_value == 1, result.output
    assert why in result.stderr
    assert (await pair.value())[0] == '"0"'
