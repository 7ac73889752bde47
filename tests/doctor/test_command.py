"""The command itself: exit codes, output, this host's own findings, a live node, the container."""

import json
import os
import re
import socket
import stat
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from rppam.catalogue.table import finding
from rppam.doctor.check_container import judge
from rppam.doctor.report import Report, without_passwords
from rppam.kernel.secret import Secret
from tests.doctor.ailing import QUICK, Doctor, answering
from tests.setup.made import rppam
from tests.support.lab import CALM, Lab, eventually
from tests.support.ports import free_port
from tests.support.redis_servers import PASSWORD, SERVERS, Server, need

pytestmark = pytest.mark.integration

REDIS_8 = next(kind for kind in SERVERS if kind.name == "redis-8")
LONG = "x" * 20 + PASSWORD


@pytest.fixture
def server() -> Any:
    need(REDIS_8)
    with Server(REDIS_8, password=LONG) as running:
        yield running


# --- exit codes and output ---------------------------------------------------------------------------------------


def test_a_node_without_redis_is_fine(tmp_path: Path) -> None:
    doctor = Doctor(tmp_path, "127.0.0.1:1")
    doctor.config["redis"] = {"enabled": False}
    doctor.write()
    assert set(doctor.findings()) == {"RD-611", "RD-701"}
    assert (doctor.exit, doctor.verdict) == (0, "ok")


def test_a_wrong_config_is_78_and_tells_each_problem(tmp_path: Path) -> None:
    doctor = Doctor(tmp_path, f"h:xx,password={LONG}", keyPrefix="no-colon")
    found = json.loads(rppam("doctor", "--config", str(doctor.file), "--json", expect=78).stdout)
    assert found["verdict"] == "errors"
    assert {one["code"] for one in found["findings"]} == {"RD-600"}
    told = " ".join(one["evidence"] for one in found["findings"])
    assert "redis.keyPrefix" in told
    assert "redis.connectionString" in told
    assert LONG not in told
    absent = rppam("doctor", "--config", str(tmp_path / "absent"), expect=78)
    assert "RD-600" in absent.stdout


def test_progress_goes_to_stderr_in_order_and_findings_to_stdout(tmp_path: Path) -> None:
    doctor = Doctor(tmp_path, f"127.0.0.1:{free_port()},{QUICK}")
    doctor.findings()
    steps = [line.split(" ...")[0].strip() for line in doctor.progress.splitlines()]
    assert steps[:6] == ["configuration", "keys", "licence", "data folder", "processes", "room on disks"]
    assert steps[6].startswith("reaching Redis at 127.0.0.1:")
    assert steps[7:] == ["requirements of Redis", "database", "node of this host", "name", "container of Redis"]
    people = rppam("doctor", "--config", str(doctor.file), expect=2)
    assert people.stdout.splitlines()[0] == (
        "RD-101 error  Redis refuses the connection: nothing listens at that address and port."
    )
    assert people.stdout.splitlines()[-1] == "verdict: errors (1 error, 1 note)"


def test_what_could_not_be_looked_at_is_not_told_as_ok(tmp_path: Path, server: Server) -> None:
    absent = Doctor(tmp_path, f"127.0.0.1:{free_port()},{QUICK}")
    absent.findings()
    told = dict(line.strip().split(" ... ") for line in absent.progress.splitlines())
    assert told["requirements of Redis"] == "skipped (Redis not reached)"
    assert told["name"] == "skipped (Redis not reached)"
    there = Doctor(tmp_path, f"127.0.0.1:{server.port},{QUICK}", password=LONG)
    there.findings()
    told = dict(line.strip().split(" ... ") for line in there.progress.splitlines())
    assert told["name"] == "ok"
    assert "skipped" not in there.progress


def test_a_hard_pressed_server_is_judged_without_config(tmp_path: Path, server: Server) -> None:
    for words in (("appendonly", "no"), ("maxmemory", "200mb"), ("maxmemory-policy", "allkeys-lru")):
        server.ask("CONFIG", "SET", *words)
    before = server.ask("INFO", "commandstats")
    doctor = Doctor(tmp_path, f"127.0.0.1:{server.port},{QUICK}", password=LONG)
    found = doctor.findings()
    assert {"RD-303", "RD-305", "RD-307", "RD-312"} <= set(found)
    after = server.ask("INFO", "commandstats")
    for name in (b"config|get", b"config|set", b"flushall", b"flushdb", b"debug", b"shutdown", b"keys", b"replicaof"):
        line = b"cmdstat_" + name + b":calls="
        assert calls(after, line) == calls(before, line), name
    assert [key for key in server.ask("SCAN", "0", "COUNT", "1000")[1] if b"doctor" not in key] == []


def calls(stats: bytes, line: bytes) -> bytes:
    return stats.split(line)[1].split(b",")[0] if line in stats else b"0"


def test_a_server_without_a_password(tmp_path: Path, server: Server) -> None:
    server.ask("CONFIG", "SET", "requirepass", "")
    found = Doctor(tmp_path, f"127.0.0.1:{server.port},{QUICK}").findings()
    assert "answered HELLO and PING without a password" in found["RD-310"]["evidence"]
    assert "RD-311" not in found


@pytest.mark.parametrize(
    ("prefix", "key", "code"),
    [
        ("rppam:", "rppam:cluster-id", "RD-501"),
        ("rppam:prod:", "rppam:cluster-id", "RD-502"),
        ("rppam:", "rppam:prod:cluster-id", "RD-502"),
    ],
)
def test_a_prefix_that_is_shared_or_nested(prefix: str, key: str, code: str, tmp_path: Path, server: Server) -> None:
    server.ask("SET", key, "another-cluster")
    found = Doctor(tmp_path, f"127.0.0.1:{server.port},{QUICK}", password=LONG, keyPrefix=prefix).findings()
    assert found[code]["severity"] == "error"


def test_a_renamed_config_is_no_finding_for_a_single_redis(tmp_path: Path) -> None:
    hardened = ("FLUSHALL", "", "FLUSHDB", "", "DEBUG", "", "CONFIG", "RPPAM_CONFIG_b7d3a1")
    options = [word for name, new in zip(hardened[::2], hardened[1::2], strict=True)
               for word in ("--rename-command", name, new)]  # fmt: skip
    with Server(REDIS_8, *options, password=LONG) as server:
        found = Doctor(tmp_path, f"127.0.0.1:{server.port},{QUICK}", password=LONG).findings()
        assert "RD-409" not in found
        assert found["RD-312"]["severity"] == "note", "only the article's four commands are asked for"


# --- this host ---------------------------------------------------------------------------------------------------


def test_what_is_wrong_on_this_host(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "first-admin-password").write_text("x")
    (tmp_path / "cluster.key").write_text("ab" * 32)
    (tmp_path / "cluster.key").chmod(0o644)
    (tmp_path / "not.db").write_text("this is no database")
    (tmp_path / "license.jwt").write_text("this is no licence")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        more = {
            "cluster": {"enabled": True},
            "database": {"url": f"sqlite:///{tmp_path / 'not.db'}"},
            "auth": {"jwtKeysDir": str(tmp_path / "absent"), "clusterKeyPath": str(tmp_path / "cluster.key")},
            "license": {"path": str(tmp_path / "license.jwt")},
            "api": {"port": taken.getsockname()[1]},
        }
        doctor = Doctor(tmp_path, f"127.0.0.1:{free_port()},{QUICK}", more=more)
        data.chmod(0o777)
        doctor.file.chmod(0o644)
        found = doctor.findings()
    assert {"RD-601", "RD-603", "RD-604", "RD-606", "RD-607", "RD-608", "RD-610", "RD-614"} <= set(found), found
    assert "has mode 0777" in found["RD-614"]["evidence"]
    assert "is in use" in found["RD-608"]["evidence"]


def test_a_sentinel_conf_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    absent = str(tmp_path / "absent.conf")
    found = Doctor(tmp_path, f"127.0.0.1:{free_port()},{QUICK}").findings("--sentinel-conf", absent)
    assert found["RD-412"]["severity"] == "warning"
    assert absent in found["RD-412"]["evidence"]


def test_a_cluster_without_a_licence(tmp_path: Path) -> None:
    more = {"cluster": {"enabled": True}, "license": {"path": str(tmp_path / "absent.jwt")}}
    found = Doctor(tmp_path, f"127.0.0.1:{free_port()},{QUICK}", more=more).findings()
    assert found["RD-605"]["severity"] == "warning"


def test_a_database_server_that_is_not_there(tmp_path: Path) -> None:
    url = f"postgresql://rppam:{quote(LONG, safe='')}@127.0.0.1:{free_port()}/rppam"
    more = {"database": {"url": url}}
    doctor = Doctor(tmp_path, f"127.0.0.1:{free_port()},{QUICK}", more=more)
    found = doctor.findings()
    assert "refused" in found["RD-607"]["evidence"].lower()
    assert LONG not in doctor.text


def test_the_doctor_changes_nothing_here(tmp_path: Path) -> None:
    doctor = Doctor(tmp_path, f"127.0.0.1:{free_port()},{QUICK}")
    before = sorted((str(path), stat.S_IMODE(path.stat().st_mode)) for path in tmp_path.rglob("*"))
    doctor.findings()
    assert sorted((str(path), stat.S_IMODE(path.stat().st_mode)) for path in tmp_path.rglob("*")) == before


# --- a live node -------------------------------------------------------------------------------------------------


def test_a_web_server_in_the_place_of_the_node(tmp_path: Path) -> None:
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", hang=False) as port:
        more = {"api": {"port": port}}
        found = Doctor(tmp_path, f"127.0.0.1:{free_port()},{QUICK}", more=more).findings()
        assert "not by a node" in found["RD-608"]["evidence"]


@pytest.mark.server
def test_a_live_node_tells_its_own_view(tmp_path: Path) -> None:
    need(REDIS_8)
    with Server(REDIS_8) as server, Lab(tmp_path / "lab", server.port, nodes=2, times=CALM) as lab:
        lab.start()
        file = str(lab.nodes[0].file)
        alive = look(file)
        assert not codes(alive) & {"RD-701", "RD-702", "RD-703", "RD-704", "RD-608", "RD-609"}, alive
        assert view_in(alive) == ("node1 (this node): redisConnected true; node2 (healthy): redisConnected true")

        server.stop()
        eventually(lambda: "RD-702" in codes(look(file)), within_s=20, what="the node's own view", say=lab.logs)
        assert view_in(look(file)).startswith("node1 (this node): redisConnected false; node2 ")
        server.cont()
        lab.wait_until_healthy()

        lab.nodes[1].stop()
        held = look(str(lab.nodes[1].file))
        (stopped,) = (one for one in held["findings"] if one["code"] == "RD-710")
        assert stopped["evidence"].count("(process ") >= 3, "main, control, workers"
        first, *_ = re.findall(r"process (\d+)", stopped["evidence"])
        running = lab.nodes[1].process
        assert running is not None
        assert int(first) == running.pid, "the one that the others end with, and are watched by"
        assert f"kill -CONT {first} " in stopped["fix"]
        assert not codes(held) & {"RD-701", "RD-707", "RD-709", "RD-904", "RD-905"}, "told once, and by its cause"
        lab.nodes[1].cont()

        lab.nodes[1].kill()
        gone = look(str(lab.nodes[1].file))
        assert "RD-709" in codes(gone), "it is missed"
        assert gone["verdict"] == "warnings"
        # Its heartbeat is still fresh: somebody with that name ran a moment ago, perhaps elsewhere.
        impostor = lab.make_node("node1", folder="impostor")
        impostor.write_config()
        found = {one["code"]: one for one in look(str(impostor.file))["findings"]}
        assert "'node1'" in found["RD-609"]["evidence"]
        assert found["RD-609"]["severity"] == "error"
        text = json.dumps([alive, gone, found])
        assert lab.token not in text
        assert PASSWORD not in text


def look(file: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(rppam("doctor", "--config", file, "--json", expect=None).stdout)
    return said


def view_in(said: dict[str, Any]) -> str:
    """What the nodes say of Redis themselves."""
    (note,) = (one for one in said["findings"] if one["code"] == "RD-706")
    assert note["severity"] == "note"
    evidence: str = note["evidence"]
    return evidence


def codes(said: dict[str, Any]) -> set[str]:
    return {one["code"] for one in said["findings"]}


# --- the container -----------------------------------------------------------------------------------------------

BAD_LINE = """*** FATAL CONFIG FILE ERROR (Redis 7.4.6) ***
Reading the configuration file, at line 2
>>> 'requirepass "not to be seen" extra'
wrong number of arguments"""


def stand_in(folder: Path, state: str, logs: str, *, sleep_s: int = 0) -> str:
    """A docker command that knows one container; returns the PATH with it."""
    place = folder / "bin"
    place.mkdir()
    (folder / "logs").write_text(logs)
    docker = place / "docker"
    docker.write_text(
        f'#!/bin/sh\necho "$@" >> {folder / "asked"}\nsleep {sleep_s}\n'
        f'case "$1" in inspect) echo "{state}";; logs) cat {folder / "logs"} >&2;; esac\n'
    )
    docker.chmod(0o755)
    return f"{place}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.parametrize(
    ("state", "logs", "code", "part"),
    [
        ("exited|1|", BAD_LINE, "RD-801", "wrong number of arguments"),
        ("restarting|1|", "Can't open the log file: Permission denied\naborting now", "RD-801", "Permission denied"),
        ("created|128|driver failed: Bind for 0.0.0.0:6379 failed: port is already allocated", "", "RD-802", "6379"),
        ("exited|1|", "Could not create server TCP listening socket *:6379: bind: Address in use", "RD-802", "6379"),
        ("exited|137|", "1:M Ready to accept connections", "RD-803", "137"),
        ("exited|0|", "", "RD-803", "nothing"),
        ("running|0|", BAD_LINE, None, ""),
    ],
)
def test_the_container_is_judged(state: str, logs: str, code: str | None, part: str, tmp_path: Path) -> None:
    path = stand_in(tmp_path, state, logs)
    doctor = Doctor(tmp_path, f"127.0.0.1:{free_port()},{QUICK}")
    found = doctor.findings(PATH=path)
    about = {one for one in found if one.startswith("RD-8")}
    assert about == ({code} if code else set())
    asked = (tmp_path / "asked").read_text().splitlines()
    assert all(line.endswith("rppam-redis") for line in asked)
    assert "not to be seen" not in doctor.text
    if code:
        assert part in found[code]["evidence"]


def test_a_docker_that_hangs_costs_two_seconds(tmp_path: Path) -> None:
    path = stand_in(tmp_path, "exited|1|", "", sleep_s=20)
    doctor = Doctor(tmp_path, f"127.0.0.1:{free_port()},{QUICK}")
    found = doctor.findings(PATH=path)
    assert found["RD-804"]["severity"] == "note"
    assert doctor.took_s < 15, "the command sleeps for 20 s"


def test_a_docker_that_hangs_is_ended_with_its_children_and_without_a_word(tmp_path: Path) -> None:
    path = stand_in(tmp_path, "", "")
    (tmp_path / "bin" / "docker").write_text(
        f"#!/bin/sh\nsleep 60 &\necho $! > {tmp_path / 'child'}\necho $$ > {tmp_path / 'parent'}\nsleep 60\n"
    )
    doctor = Doctor(tmp_path, f"127.0.0.1:{free_port()},{QUICK}")
    assert "RD-804" in doctor.findings(PATH=path)
    assert doctor.progress.splitlines()[-1] == "  container of Redis ... 1 note"
    for name in ("parent", "child"):
        pid = int((tmp_path / name).read_text())
        eventually(partial(is_gone, pid), within_s=5, what=f"the {name} is gone", say=lambda: doctor.progress)


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that is dead and not yet waited for has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("said", ["Error: No such object: rppam-redis", "Error: no such container rppam-redis"])
def test_a_docker_without_that_container_is_no_finding(said: str, tmp_path: Path) -> None:
    path = stand_in(tmp_path, "", "")
    (tmp_path / "bin" / "docker").write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 1\n")
    assert not [code for code in Doctor(tmp_path, f"127.0.0.1:{free_port()}").findings(PATH=path) if code > "RD-8"]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "permission denied while trying to connect to the Docker daemon socket at unix:///x",
            "permission denied",
        ),
        ("Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?", "Cannot connect"),
        ("", "exit code 1"),
    ],
)
def test_a_docker_that_cannot_be_asked_is_not_told_as_ok(said: str, told: str, tmp_path: Path) -> None:
    path = stand_in(tmp_path, "", "")
    (tmp_path / "bin" / "docker").write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 1\n")
    doctor = Doctor(tmp_path, f"127.0.0.1:{free_port()},{QUICK}")
    found = doctor.findings(PATH=path)
    assert found["RD-804"]["evidence"].startswith(told)
    assert found["RD-804"]["severity"] == "note"
    assert doctor.progress.splitlines()[-1] == "  container of Redis ... 1 note"


def test_a_state_that_is_cut_short_is_no_crash() -> None:
    assert judge("", "") is not None
    assert judge("exited", "x") is not None


# --- secrets -----------------------------------------------------------------------------------------------------


def test_whatever_quotes_a_secret_shows_stars() -> None:
    report = Report()
    report.hide(Secret("s3cret-text"), None, Secret(""))
    report.add(finding("RD-214", "the server said: AUTH s3cret-text", fix="use s3cret-text"))
    (kept,) = report.findings
    assert "s3cret-text" not in repr(kept)
    assert kept.evidence == "the server said: AUTH ********"


@pytest.mark.parametrize(
    "line",
    [
        ">>> 'requirepass hunter2'",
        "masterauth hunter2",
        "sentinel auth-pass mymaster hunter2",
        "sentinel sentinel-pass hunter2",
        "user rppam on >hunter2 ~* +@all",
        "tls-key-file-pass hunter2",
        "--requirepass hunter2",
    ],
)
def test_a_line_of_a_log_keeps_its_password(line: str) -> None:
    assert "hunter2" not in without_passwords([line])
