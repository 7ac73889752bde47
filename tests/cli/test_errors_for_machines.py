"""With ``--json`` an error is JSON on stdout, whatever it is and whichever command had it."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from rppam.cli.errors import wants_json
from tests.support import prefork
from tests.support.ports import free_port

pytestmark = pytest.mark.integration

COMMANDS = (
    ("status",),
    ("cluster", "history"),
    ("cluster", "switchover"),
    ("cluster", "maintenance", "node1", "on"),
    ("cluster", "pause"),
    ("cluster", "forget", "node1"),
)


def rppam(*words: str) -> "subprocess.CompletedProcess[str]":
    return prefork.run(*words, environment=prefork.clean())


def told(*words: str, exit_code: int = 2) -> dict[str, str]:
    """The document; stdout holds nothing else."""
    done = rppam(*words, "--json")
    assert done.returncode == exit_code, done.stderr
    document: dict[str, str] = json.loads(done.stdout)
    assert document["error"]
    assert isinstance(document["code"], str)
    return document


@pytest.fixture
def token(tmp_path: Path) -> str:
    file = tmp_path / "token"
    file.write_text("some.made.token")
    return str(file)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_whatever_goes_wrong_before_a_node_answers(command: tuple[str, ...], token: str, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert "no node listens there" in told(*command, "--url", url, "--token-file", token)["error"]
    assert "--token-file" in told(*command, "--url", url, "--token-file", str(tmp_path / "none"))["error"]
    missing = told(*command, "--config", str(tmp_path / "none.config"), exit_code=78)
    assert missing["code"] == "RPPAM-1101"
    assert "none.config" in missing["error"]
    assert "--bogus" in told(*command, "--bogus")["error"]


def test_no_token_is_told_as_json() -> None:
    for command in COMMANDS[:3]:
        assert "there is no token" in told(*command)["error"]


def test_what_answers_without_http_is_told_as_json(token: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        child = subprocess.Popen(
            [sys.executable, "-m", "rppam", "cluster", "history", "--json", "--url", f"http://127.0.0.1:{port}",
             "--token-file", token],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        server.settimeout(60)
        way, _ = server.accept()
        with way:
            way.sendall(b"-ERR unknown command\r\n\r\n")
            out, _ = child.communicate(timeout=60)
    assert child.returncode == 2
    assert "does not speak HTTP" in json.loads(out)["error"]


@pytest.mark.parametrize("url", ["nonsense", "node1:7101", "http://", "ftp://h:1", "http://h:x", "http://h:1?a=b"])
def test_a_url_that_is_none_is_named_with_its_option(token: str, url: str) -> None:
    error = told("cluster", "history", "--url", url, "--token-file", token)["error"]
    assert error == f"--url (or RPPAM_URL): expected http://HOST:PORT or https://HOST:PORT of a node; found {url!r}"


def test_people_read_the_same_on_stderr_and_nothing_on_stdout(token: str) -> None:
    done = rppam("status", "--url", "nonsense", "--token-file", token)
    assert (done.returncode, done.stdout) == (2, "")
    assert "found 'nonsense'" in done.stderr


def test_only_an_option_asks_for_json() -> None:
    assert wants_json(["cluster", "pause", "--json"])
    assert not wants_json(["cluster", "forget", "--", "--json"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("demo", "--for", "abc"), "'--for': expected a number above 0, found 'abc'"),
        (("demo", "--for", "0"), "'--for': expected a number above 0, found 0.0"),
        (("demo", "--nodes", "12"), "'--nodes': expected a whole number from 1 to 9, found 12"),
        (("settings", "rollback", "a", "x"), "'REVISION': expected a whole number of at least 0, found 'x'"),
    ],
)
def test_a_wrong_number_is_told_in_plain_words(words: tuple[str, ...], said: str) -> None:
    assert told(*words)["error"] == f"Invalid value for {said}"
