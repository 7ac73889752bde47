"""Real servers started from the written files, and real nodes that run with the written section of the config."""

import json
import subprocess
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.setup.made import REDIS_6, REDIS_8, Made, rppam
from tests.support.lab import CALM, LabNode, eventually
from tests.support.ports import free_port
from tests.support.redis_servers import ServerKind, need

pytestmark = pytest.mark.integration

SINGLES = {"6.2": (REDIS_6, False), "8": (REDIS_8, False), "8-tls": (REDIS_8, True)}
GROUPS = {"6.2": (REDIS_6, False), "8-tls": (REDIS_8, True)}


def program(kind: ServerKind) -> Path:
    return need(kind)


def node_with(redis: dict[str, Any], folder: Path) -> LabNode:
    """A node that is alone in its cluster, with the section as it was written."""
    config = {
        "node": {"nodeName": "node1", "dataDir": str(folder / "data")},
        "cluster": dict(CALM),
        "redis": redis,
        "database": {"url": f"sqlite:///{folder / 'rppam.db'}"},
        "auth": {"jwtKeysDir": str(folder / "jwt")},
        "api": {"host": "127.0.0.1", "port": free_port(), "drainSeconds": 1},
    }
    return LabNode("node1", folder, config)


def doctor(node: LabNode, *words: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(rppam("doctor", "--config", str(node.file), "--json", *words, expect=None).stdout)
    return said


def unseen(kind: ServerKind) -> set[str]:
    """Redis 6.2 has no ACL DRYRUN, and the nodes' user may not read the rules of users."""
    return {"RD-316"} if kind is REDIS_6 else set()


def codes(said: dict[str, Any]) -> set[str]:
    return {finding["code"] for finding in said["findings"]}


@pytest.mark.server
@pytest.mark.parametrize(("kind", "tls"), SINGLES.values(), ids=SINGLES)
def test_a_node_runs_with_what_was_written(kind: ServerKind, tls: bool, tmp_path: Path) -> None:
    with Made(tmp_path / "made", program(kind), tls=tls) as made:
        node = node_with(made.config, tmp_path / "node1")
        node.start()
        try:
            eventually(node.leads, within_s=15, what="a leader", say=node.log)
            said = doctor(node)
            # What is left is the version of the server on this machine, the small memory of the test, and that its node
            # has no key of the vault.
            assert codes(said) <= {"RD-302", "RD-315", "RD-306", "RD-610", "RD-706", "RD-708", *unseen(kind)}, said
            warned = [one["evidence"] for one in said["findings"] if one["code"] == "RD-708"]
            assert all("vault" in one or "sealing key" in one or "cluster key" in one for one in warned), warned
            assert "NOPERM" not in node.log()
            node.term()
            assert node.wait() == 0
            stopped = doctor(node)
            assert codes(stopped) <= {"RD-302", "RD-315", "RD-306", "RD-610", "RD-709", *unseen(kind)}, stopped
            if kind is not REDIS_6:
                assert made.ask(0, "ACL", "LOG") == "", "nothing that a node or a doctor asks for is denied"
        finally:
            if node.is_running:
                node.kill()


@pytest.mark.server
@pytest.mark.parametrize("kind", [REDIS_6, REDIS_8], ids=str)
def test_the_nodes_user_can_do_nothing_else(kind: ServerKind, tmp_path: Path) -> None:
    with Made(tmp_path / "made", program(kind)) as made:
        password = made.secrets["node"]
        config = made.secrets["config_name"]
        for words in (
            ("SET", "other:key", "1"),
            ("GET", "other:key"),
            ("PUBLISH", "other", "1"),
            ("KEYS", "*"),
            ("DEL", "rppam:x"),
            ("SHUTDOWN",),
            ("ACL", "LIST"),
            (config, "GET", "requirepass"),
            ("SCRIPT", "FLUSH"),
            ("REPLICAOF", "NO", "ONE"),
            ("EVAL", "return redis.call('SET', 'other:key', '1')", "0"),
        ):
            said = made.ask(0, *words, user="rppam", password=password)
            assert "NOPERM" in said or "can't" in said or "No permissions" in said, (words, said)
        for words in (("FLUSHALL",), ("FLUSHDB",), ("CONFIG", "GET", "port"), ("DEBUG", "SLEEP", "0")):
            assert "unknown command" in made.ask(0, *words), words
        assert made.ask(0, config, "GET", "maxmemory-policy").split() == ["maxmemory-policy", "noeviction"]


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.sentinel
@pytest.mark.parametrize(("kind", "tls"), GROUPS.values(), ids=GROUPS)
def test_a_group_fails_over_although_config_is_renamed(kind: ServerKind, tls: bool, tmp_path: Path) -> None:
    with Made(tmp_path / "made", program(kind), tls=tls, sentinel=True) as made:
        eventually(
            lambda: made.ask(0, "INFO", "replication").count("state=online") == 2
            and all("OK 3" in made.ask_sentinel(number, "SENTINEL", "CKQUORUM", "rppam-master") for number in range(3)),
            within_s=30, what="a whole group", say=made.logs,
        )  # fmt: skip
        node = node_with(made.config, tmp_path / "node1")
        node.write_config()
        before = doctor(node)
        assert codes(before) <= {"RD-302", "RD-315", "RD-306", "RD-409", "RD-701", *unseen(kind)}, before
        told = doctor(node, "--sentinel-conf", str(made.place(0) / "sentinel.conf"))
        assert severity_of(told, "RD-409") == "note"
        made.kill(0)
        begun = time.monotonic()
        eventually(
            lambda: made.ask_sentinel(1, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "rppam-master").split()[-1]
            != str(made.ports[0]),
            within_s=90, what="a failover", say=made.logs,
        )  # fmt: skip
        assert time.monotonic() - begun < 15
        eventually(
            lambda: "RD-411" not in codes(doctor(node)) and severity_of(doctor(node), "RD-409") == "note",
            within_s=30, what="a doctor that has seen the failover work", say=made.logs,
        )  # fmt: skip
        after = doctor(node)
        assert "RD-407" in codes(after), "one replica is left"


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.sentinel
def test_without_the_line_for_sentinel_the_trap_is_named(tmp_path: Path) -> None:
    """The article's own advice, to the letter: CONFIG renamed on the servers, and nothing said to Sentinel."""
    made = Made(tmp_path / "made", program(REDIS_8), sentinel=True)
    made.setup()
    for number in range(3):
        conf = made.place(number) / "sentinel.conf"
        lines = [line for line in conf.read_text().splitlines() if "rename-command" not in line]
        conf.write_text("\n".join(lines) + "\n")
    try:
        for number in range(3):
            made.start(number)
            made.start_sentinel(number)
        eventually(
            lambda: made.ask(0, "INFO", "replication").count("state=online") == 2
            and "OK 3" in made.ask_sentinel(1, "SENTINEL", "CKQUORUM", "rppam-master"),
            within_s=30, what="a whole group", say=made.logs,
        )  # fmt: skip
        node = node_with(made.config, tmp_path / "node1")
        node.write_config()
        assert severity_of(doctor(node), "RD-409") == "warning"
        silent = str(made.place(0) / "sentinel.conf")
        told = {one["code"]: one for one in doctor(node, "--sentinel-conf", silent)["findings"]}
        assert told["RD-409"]["severity"] == "error"
        assert f"{silent} does not tell the name" in told["RD-409"]["evidence"]
        absent = doctor(node, "--sentinel-conf", str(tmp_path / "absent"))
        assert severity_of(absent, "RD-412") == "warning"
        assert severity_of(absent, "RD-409") == "warning", "what cannot be read tells nothing"
        made.kill(0)
        eventually(
            lambda: "failover_in_progress" in made.ask_sentinel(1, "SENTINEL", "MASTER", "rppam-master")
            or "failover_in_progress" in made.ask_sentinel(2, "SENTINEL", "MASTER", "rppam-master"),
            within_s=90, what="an election, also after a split vote", say=made.logs,
        )  # fmt: skip
        said = doctor(node)
        assert "RD-405" in codes(said), said
        assert "RD-411" in codes(said), said
        assert severity_of(said, "RD-409") == "error", said
    finally:
        made.close()


def severity_of(said: dict[str, Any], code: str) -> str:
    return next((finding["severity"] for finding in said["findings"] if finding["code"] == code), "")


@contextmanager
def container(made: Made, service: str, folder: Path, number: int = 0) -> Iterator[None]:
    """The commands of the Compose file, run here: paths below a folder, without the image's user and wrapper."""
    text = (made.place(number) / "docker-compose.yml").read_text()
    script = textwrap.dedent(text.split(f"  {service}:")[1].split("      - |\n")[1].split("    logging:")[0])
    for there, here in (
        ("/setup/", f"{made.place(number)}/"),
        (" /data", f" {folder}/volume"),
        ("-o redis -g redis ", ""),
        ("docker-entrypoint.sh redis-server", str(made.program)),
    ):
        assert there in script
        script = script.replace(there, here)
    (folder / "volume").mkdir(exist_ok=True)
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(["sh", "-ec", script], stdout=log, stderr=log)
    try:
        ask = made.ask_sentinel if service == "rppam-sentinel" else made.ask
        say = (folder / "log").read_text
        eventually(lambda: ask(number, "PING") == "PONG", within_s=10, what="a server", say=say)
        yield
    finally:
        process.kill()
        process.wait()


@pytest.mark.server
@pytest.mark.parametrize(
    ("service", "sentinel"), [("rppam-redis", False), ("rppam-redis", True), ("rppam-sentinel", True)]
)
def test_what_the_container_runs_starts_a_server(service: str, sentinel: bool, tmp_path: Path) -> None:
    made = Made(tmp_path / "made", program(REDIS_8), sentinel=sentinel)
    made.setup()
    with container(made, service, tmp_path):
        assert (made.live / "data").is_dir()


@pytest.mark.server
@pytest.mark.parametrize("sentinel", [False, True], ids=["single", "group"])
def test_a_password_that_was_rotated_outlives_the_container(sentinel: bool, tmp_path: Path) -> None:
    made = Made(tmp_path / "made", program(REDIS_8), sentinel=sentinel)
    made.setup()
    new, old = "n" * 48, made.secrets["node"]
    with container(made, "rppam-redis", tmp_path):
        assert made.ask(0, "ACL", "SETUSER", "rppam", f">{new}", f"<{old}") == "OK"
        assert made.ask(0, "ACL", "SAVE") == "OK"
    with container(made, "rppam-redis", tmp_path):
        assert made.ask(0, "PING", user="rppam", password=new) == "PONG"
        assert "NOAUTH" in made.ask(0, "PING", user="rppam", password=old)


@pytest.mark.server
@pytest.mark.parametrize("sentinel", [False, True], ids=["single", "group"])
def test_a_file_that_was_changed_is_taken_by_the_next_container(sentinel: bool, tmp_path: Path) -> None:
    made = Made(tmp_path / "made", program(REDIS_8), sentinel=sentinel)
    made.setup()
    with container(made, "rppam-redis", tmp_path):
        assert "NOPERM" in made.ask(0, "ECHO", "x", user="rppam", password=made.secrets["node"])
    changes = {"redis.conf": ("maxmemory 256mb", "maxmemory 300mb"), "users.acl": ("+dbsize", "+dbsize +echo")}
    for name, (before, after) in changes.items():
        file = made.place(0) / name
        assert before in file.read_text()
        file.write_text(file.read_text().replace(before, after))
    with container(made, "rppam-redis", tmp_path):
        assert made.ask(0, "ECHO", "x", user="rppam", password=made.secrets["node"]) == "x"
        assert made.ask(0, made.secrets["config_name"], "GET", "maxmemory").split()[-1] == str(300 << 20)


@pytest.mark.server
@pytest.mark.parametrize("is_promoted", [True, False], ids=["promoted", "demoted"])
def test_a_redis_conf_that_was_changed_leaves_the_role_that_sentinel_gave(is_promoted: bool, tmp_path: Path) -> None:
    made = Made(tmp_path / "made", program(REDIS_8), sentinel=True)
    made.setup()
    number = 1 if is_promoted else 0
    config, other = made.secrets["config_name"], str(made.ports[2])
    with container(made, "rppam-redis", tmp_path, number):
        told = ("NO", "ONE") if is_promoted else ("127.0.0.1", other)
        assert made.ask(number, "REPLICAOF", *told) == "OK"
        assert made.ask(number, config, "REWRITE") == "OK"
    conf = made.place(number) / "redis.conf"
    conf.write_text(conf.read_text().replace("maxmemory 256mb", "maxmemory 300mb"))
    with container(made, "rppam-redis", tmp_path, number):
        assert made.ask(number, config, "GET", "maxmemory").split()[-1] == str(300 << 20)
        role = made.ask(number, "ROLE").split()
        assert (role[0], other in role) == (("master", False) if is_promoted else ("slave", True))


@pytest.mark.server
def test_info_counts_what_is_ours_and_walks_within_bounds(tmp_path: Path) -> None:
    with Made(tmp_path / "made", program(REDIS_8)) as made:
        for number in range(21):
            assert made.ask(0, "SET", f"rppam:session:{number}", "x" * 100) == "OK"
        script = "for i=1,5000 do redis.call('SET', KEYS[1]..i, string.rep('x', 1000)) end return 1"
        assert made.ask(0, "EVAL", script, "1", "rppam:cache:") == "1"
        assert made.ask(0, "SET", "other:1", "x") == "OK"
        node = node_with(made.config, tmp_path / "node1")
        node.write_config()
        said = json.loads(rppam("redis", "info", "--config", str(node.file), "--json").stdout)
        assert said["complete"] is True
        assert said["keysInDatabase"] == 5022
        families = {family["family"]: family for family in said["families"]}
        assert {name: family["keys"] for name, family in families.items()} == {"cache": 5000, "session": 21}
        assert families["cache"]["measured"] == 100
        assert 5_000_000 < families["cache"]["estimatedBytes"] < 8_000_000
        bounded = json.loads(rppam("redis", "info", "--config", str(node.file), "--json", "--scan-calls", "1").stdout)
        assert bounded["complete"] is False
        assert sum(family["keys"] for family in bounded["families"]) < 2_500
        people = rppam("redis", "info", "--config", str(node.file)).stdout
        assert "5,021 keys under rppam: of 5,022 in the database" in people
        assert made.secrets["node"] not in people


def test_info_without_a_redis_names_the_cause(tmp_path: Path) -> None:
    config = {
        "node": {"nodeName": "n"},
        "redis": {"connectionString": f"127.0.0.1:{free_port()}", "password": "not-to-be-shown-anywhere"},
    }
    file = tmp_path / "rppam.config"
    file.write_text(json.dumps(config))
    file.chmod(0o600)
    said = rppam("redis", "info", "--config", str(file), expect=69)
    assert "RD-101" in said.stderr
    assert "not-to-be-shown-anywhere" not in said.stderr
