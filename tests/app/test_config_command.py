"""rppam config, as people and scripts use it."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rppam.app.config_cli import command
from rppam.config.host_secrets import decrypt
from tests.support import prefork

GOOD = {"redis": {"enabled": True, "connectionString": "10.0.1.20:6379,password=HUSH,abortConnect=false"}}


@pytest.fixture(autouse=True)
def no_config_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RPPAM_CONFIG", raising=False)


def run(*arguments: str | Path, stdin: str | bytes = "") -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments], input=stdin)


def written(path: Path, tree: object) -> Path:
    path.write_text(json.dumps(tree), encoding="utf-8")
    path.chmod(0o600)
    return path


def test_check_accepts_a_good_file(tmp_path: Path) -> None:
    file = written(tmp_path / "a.config", GOOD | {"lvs": {}})
    result = run("check", file)
    assert result.exit_code == 0
    assert "no problem found" in result.stdout
    assert "note: lvs" in result.stderr
    answer = json.loads(run("check", file, "--json").stdout)
    assert answer["ok"] is True
    assert answer["problems"] == []
    assert len(answer["notes"]) == 1


def test_check_lists_every_problem_and_exits_with_78(tmp_path: Path) -> None:
    file = written(tmp_path / "a.config", {"node": {"nodeName": "A"}, "redsi": {}, "cluster": {"enabled": True}})
    result = run("check", file)
    assert result.exit_code == 78
    assert result.stdout == ""
    assert "3 problems" in result.stderr
    assert all(word in result.stderr for word in ("node.nodeName", "redsi", "cluster.enabled", str(file)))
    result = run("check", file, "--json")
    assert result.exit_code == 78
    answer = json.loads(result.stdout)
    assert answer["ok"] is False
    assert [set(problem) for problem in answer["problems"]] == [{"path", "expected", "found", "fix"}] * 3


def test_check_lists_problems_of_the_cluster_s_settings_together_with_the_node_s(tmp_path: Path) -> None:
    pushed = {"security/sessions": {"idleMinutes": -1}, "security/sesions": {}}
    file = written(tmp_path / "a.config", {"node": {"nodeName": "A"}, "settings": pushed})
    for word in ("check", "show"):
        answer = json.loads(run(word, file, "--json").stdout)
        assert [problem["path"] for problem in answer["problems"]] == [
            "node.nodeName", "settings.security/sessions.idleMinutes", "settings.security/sesions",
        ]  # fmt: skip


@pytest.mark.parametrize("url", ["postgresql://u:HUSH@h/d?flibble=HUSH", "postgresql:///d?host=/run&flibble=HUSH"])
def test_check_refuses_a_database_url_with_which_no_node_starts(tmp_path: Path, url: str) -> None:
    file = written(tmp_path / "a.config", {"node": {"nodeName": "A"}, "database": {"url": url}})
    result = run("check", file, "--json")
    assert result.exit_code == 78
    told = {problem["path"]: problem for problem in json.loads(result.stdout)["problems"]}
    assert set(told) == {"node.nodeName", "database.url"}
    assert "'flibble'" in told["database.url"]["found"]
    assert "HUSH" not in result.output
    good = written(tmp_path / "b.config", {"database": {"url": "postgresql:///d?host=/run/postgresql"}})
    assert run("check", good).exit_code == 0


@pytest.mark.integration
@pytest.mark.skipif(sys.platform == "win32", reason="a node is one process there")
@pytest.mark.parametrize("words", [("node",), ("node", "--single-process"), ("witness",), ("doctor",)])
def test_nothing_starts_with_settings_that_check_refuses(tmp_path: Path, words: tuple[str, ...]) -> None:
    redis = {"enabled": True, "connectionString": "127.0.0.1:1,abortConnect=true,connectRetry=1"}
    tree = {"node": {"dataDir": str(tmp_path / "data")}, "redis": redis}
    file = written(tmp_path / "a.config", tree | {"settings": {"security/sessions": {"idleMinutes": -1}}})
    done = prefork.run(*words, "--config", file)
    assert done.returncode == 78
    assert "settings.security/sessions.idleMinutes" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_check_takes_the_file_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RPPAM_CONFIG", str(written(tmp_path / "a.config", {"x": 1})))
    assert run("check").exit_code == 78
    assert run("check", written(tmp_path / "b.config", {})).exit_code == 0


def test_a_missing_file_is_a_configuration_error(tmp_path: Path) -> None:
    for word in ("check", "show"):
        result = run(word, tmp_path / "none")
        assert result.exit_code == 78
        assert "rppam init" in result.stderr


def test_show_prints_what_is_in_effect_without_secrets(tmp_path: Path) -> None:
    file = written(tmp_path / "a.config", GOOD)
    result = run("show", file)
    assert result.exit_code == 0
    assert "password=********" in result.stdout
    origins = dict(line.split()[:2] for line in result.stdout.splitlines() if line.startswith(" "))
    assert (origins["keyPrefix"], origins["connectionString"]) == ("default", "set")
    answer = json.loads(run("show", file, "--json").stdout)
    assert answer["settings"]["redis"]["enabled"] == {"value": True, "origin": "set"}
    assert "HUSH" not in result.output + json.dumps(answer)


def test_encrypt_reads_stdin_and_what_it_prints_is_read_back(tmp_path: Path) -> None:
    key = tmp_path / "keys" / "config.key"
    result = run("encrypt", "--key-file", key, "--new-key", stdin="pä,HUSH\n")
    assert result.exit_code == 0
    value = result.stdout.strip()
    assert value.startswith("encrypted:")
    assert "HUSH" not in result.output
    assert decrypt(value, key).reveal() == "pä,HUSH"
    if sys.platform != "win32":
        assert key.stat().st_mode & 0o777 == 0o600
    assert len(base64.b64decode(key.read_bytes())) == 32
    again = json.loads(run("encrypt", "--key-file", key, "--json", stdin="pä,HUSH").stdout)["value"]
    assert again != value
    assert decrypt(again, key).reveal() == "pä,HUSH"


def test_encrypt_refuses_to_replace_a_key(tmp_path: Path) -> None:
    key = tmp_path / "config.key"
    assert run("encrypt", "--key-file", key, "--new-key", stdin="x").exit_code == 0
    before = key.read_bytes()
    result = run("encrypt", "--key-file", key, "--new-key", stdin="x")
    assert result.exit_code == 78
    assert key.read_bytes() == before


@pytest.mark.parametrize("stdin", [b"", b"\n", b"\xff", b"x" * 70_000])
def test_encrypt_refuses_what_is_no_secret(tmp_path: Path, stdin: bytes) -> None:
    key = tmp_path / "config.key"
    run("encrypt", "--key-file", key, "--new-key", stdin="x")
    result = run("encrypt", "--key-file", key, stdin=stdin)
    assert result.exit_code == 2
    assert result.stdout == ""


def test_encrypt_makes_no_key_for_nothing(tmp_path: Path) -> None:
    key = tmp_path / "config.key"
    assert run("encrypt", "--key-file", key, "--new-key", stdin=b"").exit_code == 2
    assert not key.exists()


def test_encrypt_without_a_key_says_how_to_make_one(tmp_path: Path) -> None:
    result = run("encrypt", "--key-file", tmp_path / "none", stdin="x")
    assert result.exit_code == 78
    assert "--new-key" in result.stderr


def test_parse_connection_prints_exactly_the_documented_keys() -> None:
    answer = json.loads(run("parse-connection", "[::1],h:7,password=HUSH,allowAdmin=1,$config=", "--json").stdout)
    ignored = answer.pop("ignored")
    assert answer == {
        "mode": "single", "endpoints": ["[::1]:6379", "h:7"], "serviceName": None, "user": None,
        "password": "********", "ssl": False, "sslHost": None, "abortConnect": True, "connectTimeout": 5000,
        "sentinelUser": None, "sentinelPassword": None,
        "syncTimeout": 5000, "connectRetry": 3, "keepAlive": 60, "defaultDatabase": None, "name": None,
        "commandMap": {"CONFIG": ""}, "warnings": [],
    }  # fmt: skip
    assert [set(entry) for entry in ignored] == [{"option", "reason"}]


def test_parse_connection_shows_secrets_only_when_asked() -> None:
    said = json.loads(run("parse-connection", "h,sentinelUser=watch,sentinelPassword=HUSH", "--json").stdout)
    assert (said["sentinelUser"], said["sentinelPassword"]) == ("watch", "********")
    text = "h,password=HUSH,sentinelPassword=HUSH"
    for extra in ([], ["--json"]):
        assert "HUSH" not in run("parse-connection", text, *extra).output
        assert "HUSH" in run("parse-connection", text, *extra, "--show-secrets").stdout
    assert "HUSH" in run("parse-connection", "-", "--show-secrets", stdin=text + "\n").stdout


@pytest.mark.parametrize(
    "text", ["", " ", "h,password=ab,HUSH", "h,password=ab,$HUSH=1", "h,password:HUSH", "h:0", "redis://:HUSH/@h"]
)
def test_parse_connection_gives_the_reasons_and_exits_with_78(text: str) -> None:
    result = run("parse-connection", text)
    assert result.exit_code == 78
    assert result.stdout == ""
    assert "expected" in result.stderr
    machine = run("parse-connection", "--json", text)
    assert machine.exit_code == 78
    assert json.loads(machine.stdout)["problems"]
    assert "expected" in machine.stderr
    assert "HUSH" not in result.output + machine.output


@pytest.mark.parametrize("word", [None, "check", "show", "encrypt", "parse-connection"])
def test_every_command_has_help_with_an_example(word: str | None) -> None:
    result = run(*([word] if word else []), "-h")
    assert result.exit_code == 0
    assert "Example:" in result.stdout


@pytest.mark.integration
def test_the_installed_command_does_the_same() -> None:
    script = Path(sys.executable).with_name("rppam")
    text = b"h,password=\xff,ssl=true"  # an argument that is not UTF-8 ends in a reason, not in a traceback
    wrong = subprocess.run([script, "config", "parse-connection", text], capture_output=True, check=False)
    assert wrong.returncode == 78
    assert b"Traceback" not in wrong.stderr
    good = subprocess.run(
        [script, "config", "parse-connection", "-", "--json"],
        input="h,password=pä,ssl=true".encode(),
        capture_output=True,
        check=False,
        env=os.environ | {"LC_ALL": "C"},
    )
    assert good.returncode == 0, good.stderr
    assert json.loads(good.stdout)["endpoints"] == ["h:6380"]
