"""``rppam init`` on the command line: what it writes, what it refuses, and that a second run changes nothing."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rppam.config.load import load_settings
from tests.support import prefork

pytestmark = pytest.mark.integration

REDIS = "10.0.1.20:6379,password=hunter2=x,abortConnect=false"


def rppam(*arguments: str, stdin: str = "", **environment: str) -> "subprocess.CompletedProcess[str]":
    return prefork.run(*arguments, input_=stdin, environment=prefork.clean(**environment))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_first_node_is_written_private_and_checks_clean(tmp_path: Path) -> None:
    done = rppam("init", "--dir", str(tmp_path / "a"), "--node-name", "node1", "--redis", "-", stdin=REDIS + "\n")
    assert done.returncode == 0, done.stderr
    assert "rppam node --config" in done.stdout
    assert "log in as admin at http" in done.stdout
    assert "first-admin-password, once it runs" in done.stdout
    written = files(tmp_path / "a")
    assert {"rppam.config", "keys/config.key", "keys/cluster.key"} < set(written)
    assert b"hunter2" not in b"".join(written.values())
    for path in (tmp_path / "a").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    checked = rppam("config", "check", str(tmp_path / "a" / "rppam.config"))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_second_run_changes_nothing_and_another_is_refused_by_name(tmp_path: Path) -> None:
    where = ("init", "--dir", str(tmp_path), "--node-name", "node1", "--redis", REDIS)
    assert rppam(*where).returncode == 0
    before = files(tmp_path)
    again = rppam(*where, "--json")
    assert again.returncode == 0
    assert json.loads(again.stdout)["written"] == []
    refused = rppam(*where[:-1], "10.0.1.99")
    assert refused.returncode == 2
    assert str(tmp_path / "rppam.config") in refused.stderr
    assert "--force" in refused.stderr
    assert files(tmp_path) == before


def test_force_keeps_the_old_config_and_the_keys(tmp_path: Path) -> None:
    where = ("init", "--dir", str(tmp_path), "--node-name", "node1", "--redis")
    assert rppam(*where, REDIS).returncode == 0
    before = files(tmp_path)
    answer = json.loads(rppam(*where, "10.0.1.99", "--force", "--json").stdout)
    (backup,) = answer["backups"]
    assert Path(backup).read_bytes() == before["rppam.config"]
    after = files(tmp_path)
    assert {name: after[name] for name in before if name != "rppam.config"} == {
        name: content for name, content in before.items() if name != "rppam.config"
    }
    assert b"10.0.1.99" in after["rppam.config"]


def test_wrong_wishes_are_all_told_at_once_and_nothing_is_written(tmp_path: Path) -> None:
    done = rppam("init", "--dir", str(tmp_path / "a"), "--node-name", "Node 1", "--redis", "h:,abortConect=no")
    assert done.returncode == 78
    for place in ("node.nodeName", "part 1", "part 2"):
        assert place in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_makes_the_next_node_and_only_with_its_passphrase(tmp_path: Path) -> None:
    a, b, bundle = tmp_path / "a", tmp_path / "b", tmp_path / "join.bundle"
    assert rppam("init", "--dir", str(a), "--node-name", "node1", "--redis", REDIS).returncode == 0
    exported = json.loads(rppam("init", "--dir", str(a), "--bundle", str(bundle), "--json").stdout)
    assert stat.S_IMODE(bundle.stat().st_mode) == 0o600
    assert "hunter2" not in bundle.read_text()
    assert rppam("init", "--dir", str(a), "--bundle", str(bundle)).returncode == 2, "written over"
    join = ("init", "--join", str(bundle), "--dir", str(b), "--node-name")
    asked = rppam(*join, "node2")
    assert asked.returncode == 2
    assert "RPPAM_BUNDLE_PASSPHRASE" in asked.stderr
    wrong = rppam(*join, "node2", RPPAM_BUNDLE_PASSPHRASE="wrong")
    assert wrong.returncode == 2
    assert "passphrase" in wrong.stderr
    same = rppam(*join, "node1", RPPAM_BUNDLE_PASSPHRASE=exported["passphrase"])
    assert same.returncode == 2
    assert "a name of its own" in same.stderr
    assert not b.exists()
    joined = rppam(*join, "node2", RPPAM_BUNDLE_PASSPHRASE=exported["passphrase"])
    assert joined.returncode == 0, joined.stderr
    keys = {name: content for name, content in files(a).items() if name.startswith("keys/")}
    assert {name: content for name, content in files(b).items() if name.startswith("keys/")} == keys
    shown = json.loads(rppam("config", "show", str(b / "rppam.config"), "--json").stdout)
    assert "node2" in json.dumps(shown)
    before = files(b)
    assert rppam(*join, "node2", RPPAM_BUNDLE_PASSPHRASE=exported["passphrase"]).returncode == 0
    assert files(b) == before


def test_a_node_without_redis_is_told_to_run_alone(tmp_path: Path) -> None:
    for redis, told in ((), True), (("--redis", "-"), False):
        done = rppam("init", "--dir", str(tmp_path / str(told)), "--node-name", "node1", *redis, stdin=REDIS)
        assert done.returncode == 0, done.stderr
        assert ("Note: no Redis is named, so this node runs alone" in done.stdout) == told


def test_what_a_connection_string_says_twice_is_told_at_once(tmp_path: Path) -> None:
    string = "127.0.0.1:7699,ssl=true,ssl=false"
    done = rppam("init", "--dir", str(tmp_path), "--node-name", "node1", "--port", "7691", "--redis", "-", stdin=string)
    assert done.returncode == 0, done.stderr
    assert "Note: redis.connectionString: ssl: stands there with different values" in done.stdout
    assert "--advertise-url http://HOST:7691" in done.stdout


def test_init_says_what_is_missing() -> None:
    done = rppam("init", "--redis", "h")
    assert done.returncode == 2
    assert "--node-name" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="a file that cannot be read, whoever reads it, is in /proc")
@pytest.mark.parametrize(
    ("words", "stdin", "told"),
    [
        (("--redis", "-"), "h,password=\udcff\n", "--redis -: expected UTF-8"),
        (("--redis", "-"), "", "--redis -: expected a connection string on the first line of standard input, found"),
        (("--redis", "-"), " \n", "found nothing. Write it there, such as 10.0.1.20:6379, or leave --redis out"),
        (("--redis", ""), "", "--redis: expected a connection string, found nothing"),
        (("--database", "-"), "", "--database -: expected a URL on the first line of standard input, found nothing"),
        (("--trusted-key", "DIR/odd"), "", "odd: expected an Ed25519 public key"),
        (("--trusted-key", "DIR"), "", "Is a directory"),
        (("--trusted-key", "A" * 300), "", "--trusted-key: expected an Ed25519 public key"),
        (("--trusted-key", "/proc/self/mem"), "", "/proc/self/mem cannot be read"),
        (("--license", "/proc/self/mem"), "", "/proc/self/mem cannot be read"),
        (("--config", "DIR/" + "a" * 300), "", "File name too long"),
    ],
)
def test_what_cannot_be_read_is_a_sentence_and_nothing_is_written(
    tmp_path: Path, words: tuple[str, ...], stdin: str, told: str
) -> None:
    (tmp_path / "odd").write_bytes(b"\xff\xfe")
    given = [word.replace("DIR", str(tmp_path)) for word in words]
    done = rppam("init", "--dir", str(tmp_path / "a"), "--node-name", "node1", *given, stdin=stdin)
    assert done.returncode in {2, 78}, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "a").exists()


def test_damaged_files_make_no_bundle_and_are_named(tmp_path: Path) -> None:
    assert rppam("init", "--dir", str(tmp_path), "--node-name", "node1", "--redis", REDIS).returncode == 0
    export = ("init", "--dir", str(tmp_path), "--bundle", str(tmp_path / "join.bundle"))
    for name in ("keys/cluster.key", "license.jwt"):
        file = tmp_path / name
        before = file.read_bytes() if file.exists() else b""
        file.write_bytes(b"\xff\xfe")
        done = rppam(*export)
        assert done.returncode == 2, done.stderr
        assert f"{file}: expected ASCII text" in done.stderr
        assert "Traceback" not in done.stderr
        file.write_bytes(before)
    trusting = json.loads((tmp_path / "rppam.config").read_text())
    trusting["license"] = {"path": "license.jwt", "trustedKeys": ["none.pem"]}
    (tmp_path / "rppam.config").write_text(json.dumps(trusting))
    done = rppam(*export)
    assert done.returncode == 2, done.stderr
    assert f"{tmp_path / 'none.pem'} is missing" in done.stderr
    assert not (tmp_path / "join.bundle").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="a file that cannot be read, whoever reads it, is in /proc")
def test_a_bundle_or_passphrase_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    bundle = tmp_path / "join.bundle"
    bundle.write_bytes(b"\xff\xfe")
    for file, passphrase, told in (
        (bundle, "p", f"{bundle}: expected a join bundle"),
        (bundle, "\udcff", "RPPAM_BUNDLE_PASSPHRASE: expected"),
        (Path("/proc/self/mem"), "p", "/proc/self/mem cannot be read"),
    ):
        for more in ((), ("--witness",)):
            join = ("init", *more, "--join", str(file), "--dir", str(tmp_path / "b"), "--node-name", "node2")
            done = rppam(*join, RPPAM_BUNDLE_PASSPHRASE=passphrase)
            assert done.returncode == 2, done.stderr
            assert told in done.stderr
            assert "Traceback" not in done.stderr
    assert not (tmp_path / "b").exists()


DATABASE = "postgresql://rppam@db.example.com/rppam"
WITH_PASSWORD = "postgresql://rppam:hunter%2F2@db.example.com/rppam"


@pytest.mark.parametrize("way", ["file", "stdin", "environment", "command line"])
def test_the_databases_password_need_not_stand_on_the_command_line(tmp_path: Path, way: str) -> None:
    where = ("init", "--dir", str(tmp_path / "a"), "--node-name", "node1")
    if way == "file":
        (tmp_path / "password").write_text("hunter/2\n")
        done = rppam(*where, "--database", DATABASE, "--database-password-file", str(tmp_path / "password"))
    elif way == "stdin":
        done = rppam(*where, "--database", "-", stdin=WITH_PASSWORD + "\n")
    elif way == "environment":
        done = rppam(*where, RPPAM_DATABASE=WITH_PASSWORD)
    else:
        done = rppam(*where, "--database", WITH_PASSWORD)
    assert done.returncode == 0, done.stderr
    assert ("stood on the command line" in done.stderr) == (way == "command line")
    assert "hunter" not in done.stdout + done.stderr
    assert b"hunter" not in b"".join(files(tmp_path / "a").values()), "it is sealed"
    config = tmp_path / "a" / "rppam.config"
    url = load_settings(config).database.url
    assert url is not None
    assert url.reveal().partition("://")[2] == WITH_PASSWORD.partition("://")[2]


REDIS_WITH_PASSWORD = "10.0.1.20:6379,user=rppam,password=hunter2,abortConnect=false"


@pytest.mark.parametrize("way", ["stdin", "environment", "command line"])
def test_the_password_of_redis_on_the_command_line_is_warned_of(tmp_path: Path, way: str) -> None:
    made = tmp_path / "a"
    bundle = ("--bundle", str(tmp_path / "w.bundle"), "--passphrase-file", str(tmp_path / "w.pass"))
    done = rppam("init", "--dir", str(made), "--node-name", "node1", "--redis", "10.0.1.20:6379,abortConnect=false")
    assert (done.returncode, "command line" in done.stderr) == (0, False), done.stderr
    done = rppam("init", "--dir", str(made), "--witness", *bundle)
    assert done.returncode == 0, done.stderr
    of_witness = (
        *("--witness", "--join", str(tmp_path / "w.bundle"), "--passphrase-file", str(tmp_path / "w.pass")),
        *("--node-name", "witness1", "--dir", str(tmp_path / "w")),
    )
    for where in (("--dir", str(tmp_path / "b"), "--node-name", "node1"), of_witness):
        if way == "stdin":
            done = rppam("init", *where, "--redis", "-", stdin=REDIS_WITH_PASSWORD + "\n")
        elif way == "environment":
            done = rppam("init", *where, RPPAM_REDIS=REDIS_WITH_PASSWORD)
        else:
            done = rppam("init", *where, "--redis", REDIS_WITH_PASSWORD)
        assert done.returncode == 0, done.stderr
        assert ("--redis: its password stood on the command line" in done.stderr) == (way == "command line")
        assert "hunter" not in done.stdout + done.stderr


def test_a_password_file_of_the_database_that_cannot_be_it_is_told(tmp_path: Path) -> None:
    where = ("init", "--dir", str(tmp_path / "a"), "--node-name", "node1", "--database")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "password").write_text("hunter/2\n")
    for url, name, told in (
        (DATABASE, "empty", "an empty password"),
        (WITH_PASSWORD, "password", "one that has a password"),
        ("postgresql://db.example.com/rppam", "password", "a user and without a password"),
        (DATABASE, "nothing", "cannot be read"),
        (DATABASE, ".", "directory"),
    ):
        done = rppam(*where, url, "--database-password-file", str(tmp_path / name))
        assert done.returncode != 0
        assert told in done.stderr, done.stderr
        assert "hunter" not in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "a").exists()
    alone = rppam(*where[:-1], "--database-password-file", str(tmp_path / "password"))
    assert "goes with --database" in alone.stderr
