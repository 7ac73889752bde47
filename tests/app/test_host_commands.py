"""A day's commands on a node's own host: what they leave behind, and that they go on without the key that signed."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cli.test_one_form import EVERY
from tests.support import prefork
from tests.support.lab import CALM, LabNode, eventually
from tests.support.lab_fixtures import MakeLab

pytestmark = [pytest.mark.integration, pytest.mark.server]

PASSWORD: Final = "a grey heron waits in the reeds"
NAME: Final = "security/sessions"
STEPS: Final = (
    ("status",),
    ("user", "add", "jane", "--password-file", "{password}"),
    ("user", "roles", "jane", "--add", "pam_approver"),
    ("user", "password", "jane", "--password-file", "{password}"),
    ("user", "sessions", "ls"),
    ("user", "list"),
    ("lockout", "list"),
    ("settings", "list"),
    ("settings", "set", NAME, "idleMinutes=25"),
    ("settings", "get", NAME),
    ("settings", "history", NAME),
    ("settings", "rollback", NAME, "0"),
    ("config", "push", "{wanted}", "--yes"),
    ("cluster", "history"),
    ("token", "keys", "list", "--nodes"),
    ("target", "ls"),
    ("audit", "list"),
    ("session", "ls"),
    ("redis", "info"),
)
"""Words of ``rppam``; each line ends with exit code 0."""


LISTS: Final = (
    ("account", "ls"),
    ("audit", "archives"),
    ("audit", "holds"),
    ("audit", "list"),
    ("ca", "revocations"),
    ("lockout", "list"),
    ("recording", "ls"),
    ("request", "ls"),
    ("session", "ls"),
    ("settings", "list"),
    ("target", "ls"),
    ("token", "keys", "list"),
    ("user", "list"),
    ("user", "locked"),
    ("user", "sessions", "ls"),
    ("vault", "checkouts"),
    ("vault", "folders"),
    ("vault", "ls"),
    ("vault", "rotations"),
)
"""Lists; each is one JSON document of one form."""


class Host:
    """A node's own host, on which an administrator types."""

    def __init__(self, node: LabNode, folder: Path) -> None:
        self.node = node
        self.files = {name: folder / name for name in ("password", "wanted", "token")}
        self.files["password"].write_text(PASSWORD + "\n")
        self.files["wanted"].write_text(json.dumps({"settings": {NAME: {"idleMinutes": 20}}}))
        for file in self.files.values():
            file.touch()
            file.chmod(0o600)

    def typed(self, *words: str) -> str:
        """What a command says on stdout. AssertionError with both streams where it does not end with 0."""
        filled = [word.format(**self.files) for word in words]
        done = prefork.run(*filled, environment=prefork.clean(RPPAM_CONFIG=str(self.node.file)), timeout=90)
        assert done.returncode == 0, (words, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def is_examined(self) -> bool:
        """Whether the doctor reaches the node and is let in, whatever else it finds."""
        done = prefork.run("doctor", "--config", str(self.node.file), "--json", timeout=90)
        return not {one["code"] for one in json.loads(done.stdout)["findings"]} & {"RD-701", "RD-704"}

    def rows(self, token: str) -> list[dict[str, Any]]:
        """Everybody who is signed in, as an administrator reads it."""
        answer = self.node.ask("/api/v1/sessions", token=token)
        assert answer.status == 200, answer
        rows: list[dict[str, Any]] = answer.body["items"]
        return rows


def test_lists_are_json_of_one_form(make_lab: MakeLab, tmp_path: Path) -> None:
    lab = make_lab(nodes=1, times=CALM)
    lab.start()
    host = Host(lab.nodes[0], tmp_path)
    path = "/api/v1/sessions"
    eventually(lambda: host.node.ask(path, token=lab.token).status == 200, within_s=30, what="tables", say=lab.logs)
    for words in LISTS:
        found = json.loads(host.typed(*words, "--json"))
        assert isinstance(found, dict), words
        assert isinstance(found.get("items"), list), (words, found)


def test_no_list_is_left_out_of_those_that_are_looked_at() -> None:
    """Two are of an account, which a token of a host has none of; one is of a folder, and has its own test."""
    named = {words for words in map(tuple, (one.split() for one in EVERY)) if words[-1] in {"ls", "list"}}
    assert named - set(LISTS) == {("ssh-key", "ls"), ("ssh-token", "ls"), ("tls", "list")}


def test_commands_on_a_host_leave_no_session_behind_and_go_on_when_the_key_that_signs_is_taken_away(
    make_lab: MakeLab, tmp_path: Path
) -> None:
    lab = make_lab(nodes=1, times=CALM)
    lab.start()
    host = Host(lab.nodes[0], tmp_path)
    path = "/api/v1/sessions"
    eventually(lambda: host.node.ask(path, token=lab.token).status == 200, within_s=30, what="tables", say=lab.logs)
    first = host.rows(lab.token)
    for words in STEPS:
        host.typed(*words)
    assert host.is_examined()
    assert [row["id"] for row in host.rows(lab.token)] == [row["id"] for row in first]

    host.files["token"].write_text(host.typed("token"))
    for words in (("status",), ("settings", "list"), ("target", "ls")):
        host.typed(*words, "--token-file", "{token}")
    assert len(host.rows(lab.token)) == len(first) + 1, (
        "one for the token that was handed out, however often it is used"
    )

    (old,) = (lab.folder / "jwt").glob("*.pem")
    host.typed("token", "keys", "rotate", "--in-hours", "24")
    host.typed("token", "keys", "retire", old.name, "--force")
    eventually(  # a worker reads the folder in its own time: every one of them has when so many answers are the same
        lambda: {host.node.ask(path, token=lab.token).status for _ in range(10)} == {401},
        within_s=30, what="refused by each worker", say=lab.logs,
    )  # fmt: skip
    for words in (
        ("status",),
        ("user", "sessions", "ls"),
        ("settings", "set", NAME, "idleMinutes=26"),
        ("target", "ls"),
    ):
        host.typed(*words)
    assert host.is_examined()
    assert host.rows(host.typed("token").strip())
