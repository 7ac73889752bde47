"""``rppam init --hosts``: which lists are taken, what is made of one, and that nothing is made twice."""

import base64
import json
import socket
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import psycopg
import pytest

from rppam.config.load import load_settings
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.setup.bundle import Bundle, OwnPart, seal, unseal
from rppam.setup.cluster_folder import ClusterFolder
from rppam.setup.database_files import verifier
from rppam.setup.errors import BundleError, InitError
from rppam.setup.hosts import Host, host_of, hosts_of, refuse_elsewhere
from rppam.setup.write import bundle_of
from tests.setup.made import rppam
from tests.setup.test_from_nothing import deliver_licence
from tests.support.postgres import PASSWORD, Server

pytestmark = pytest.mark.integration
THREE = "node1=10.0.1.11,node2=10.0.1.12,node3=10.0.1.13"
HOSTS = tuple(Host(f"node{number}", f"10.0.1.1{number}") for number in (1, 2, 3, 4))
DATABASE = Host("db1", "10.0.1.20")
NOW = SystemClock().wall_ms()
DAY_MS = 86_400_000


def own_address() -> str:
    """The address of this machine that others reach."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
    except OSError:
        pytest.skip("this machine has no address but its loopback")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def made(folder: Path, hosts: Sequence[Host] = HOSTS[:3], now: WallMs = NOW) -> ClusterFolder:
    cluster = ClusterFolder(folder, hosts, now)
    cluster.make(DATABASE, "10.0.1.50", "rppam:", with_redis=True)
    return cluster


def test_this_host_comes_first_so_its_redis_begins_as_the_primary() -> None:
    found = hosts_of(THREE, "node2", with_redis=True)
    assert [str(one.name) for one in found] == ["node2", "node1", "node3"]
    assert found[0].url(7101) == "https://10.0.1.12:7101"
    assert host_of("--database-host", "db1=FD00:0::20") == Host("db1", "fd00::20")
    assert Host("a", "fd00::20").url(7101) == "https://[fd00::20]:7101"
    assert len(hosts_of("node1=10.0.1.11,node2=10.0.1.12", "node1", with_redis=False)) == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("node1=10.0.1.11,node2=10.0.1.12", "expected 3 to 9 hosts, as Sentinel needs three to agree"),
        (f"{THREE},node4=10.0.1.11", "expected an address of its own for each host, found '10.0.1.11' twice"),
        (f"{THREE},node1=10.0.1.14", "expected a name of its own for each host, found 'node1' twice"),
        ("node1,node2,node3", "expected NAME=ADDRESS"),
        ("Node1=10.0.1.11,b=10.0.1.2,c=10.0.1.3", "found 'Node1=10.0.1.11'"),
        ("node1=node1.example.com,b=10.0.1.2,c=10.0.1.3", "node1: expected an IP address, found 'node1.example.com'"),
        ("node1=127.0.0.1,b=10.0.1.2,c=10.0.1.3", "node1: expected an address that other hosts reach"),
        ("node1=0.0.0.0,b=10.0.1.2,c=10.0.1.3", "node1: expected an address that other hosts reach"),
        ("a=10.0.1.1,b=10.0.1.2,c=10.0.1.3", "expected 'node1', which --node-name says this host is; found a, b, c"),
        ("", "expected 3 to 9 hosts"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused_in_a_sentence(text: str, told: str) -> None:
    with pytest.raises(click.UsageError) as refused:
        hosts_of(text, "node1", with_redis=True)
    assert told in refused.value.message


def test_another_host_than_the_one_that_is_named_is_refused() -> None:
    refuse_elsewhere(Host("node1", own_address()), "--hosts")
    with pytest.raises(InitError, match=r"node1 is the host with the address 203\.0\.113\.9, and this host has no"):
        refuse_elsewhere(Host("node1", "203.0.113.9"), "--hosts")


def test_everything_is_made_once_and_private(tmp_path: Path) -> None:
    cluster = made(tmp_path / "cluster")
    before = contents(cluster.path)
    assert {"tls/ca.key", "tls/node3.key", "redis/redis-3/sentinel.conf", "database/install.sh"} <= set(before)
    assert len(cluster.written) == len(before)
    assert stat.S_IMODE(cluster.path.stat().st_mode) == 0o700
    for path in cluster.path.rglob("*"):
        is_public = path.is_dir() or path.suffix in {".pem", ".crt", ".txt", ".yml"} or path.name == "rppam.conf"
        assert is_public or stat.S_IMODE(path.stat().st_mode) == 0o600, path
    again = made(tmp_path / "cluster")
    assert again.written == []
    assert contents(cluster.path) == before
    with pytest.raises(InitError, match=r"says something else.*another --cluster-dir"):
        made(tmp_path / "cluster", (HOSTS[0], HOSTS[1], HOSTS[3]))


def test_a_fourth_node_has_no_redis(tmp_path: Path) -> None:
    cluster = made(tmp_path / "cluster", HOSTS)
    assert [sorted(cluster.server_files(number))[:1] for number in range(4)] == [["docker-compose.yml"]] * 3 + [[]]
    assert b"10.0.1.12" in cluster.server_files(1)["redis.conf"]


def test_a_bundle_holds_what_is_of_its_host_and_is_made_anew_once_it_opens_no_more(tmp_path: Path) -> None:
    made(tmp_path / "cluster")
    for name in (".redis.conf-x1y2", "redis.conf.bak-20260101T000000Z"):
        (tmp_path / "cluster" / "redis" / "redis-2" / name).write_text("what a killed run, or one with --force, left")
    cluster, bundle = made(tmp_path / "cluster"), Bundle({"api": {"port": 7101}}, {"cluster.key": Secret("k")})
    sealed = cluster.seal(bundle, 24)
    assert [one[0].name for one in sealed] == ["node2", "node3"]
    texts = {path.read_text() for _, *paths in sealed for path in paths}
    assert len(texts) == 4, "each has a passphrase of its own"
    _, path, opens = sealed[0]
    opened = unseal(path.read_text(), Secret(opens.read_text()), NOW, place="x")
    assert opened == bundle._replace(own=opened.own)
    assert opened.own is not None
    assert opened.own.host == HOSTS[1]
    assert {name for name in opened.own.files if name.startswith("tls/")} == {"tls/node2.pem", "tls/node2.key"}
    assert opened.own.files["redis/redis.conf"] == (cluster.path / "redis/redis-2/redis.conf").read_bytes()
    assert len([name for name in opened.own.files if "redis.conf" in name]) == 1
    assert "files=" in repr(opened.own)
    assert opened.own.files["tls/node2.key"].decode() not in repr(opened)
    before = contents(cluster.path)
    made(tmp_path / "cluster").seal(bundle, 24)
    assert contents(cluster.path) == before, "one that opens and says the same is kept"
    made(tmp_path / "cluster", now=WallMs(NOW + 2 * DAY_MS)).seal(bundle, 24)
    changed = {name for name, content in contents(cluster.path).items() if before[name] != content}
    assert changed == {f"node{number}.{kind}" for number in (2, 3) for kind in ("bundle", "passphrase")}
    with pytest.raises(BundleError, match="the passphrase does not open it"):
        unseal((cluster.path / "node2.bundle").read_text(), Secret(opens.read_text() + "x"), NOW, place="x")


@pytest.mark.parametrize("path", ["../redis.conf", "/etc/passwd", "redis/../../x", "redis//x", ".ssh/x", "a/b/c/d/e"])
def test_a_bundle_places_nothing_outside_its_folder(path: str) -> None:
    held, passphrase = Bundle({}, {}, OwnPart(HOSTS[0], {path: b"x"})), Secret("a")
    with pytest.raises(BundleError, match="what it holds is not what 'rppam init --bundle' writes"):
        unseal(seal(held, passphrase, NOW), passphrase, NOW, place="x")


def test_the_joining_host_needs_the_bundle_and_nothing_else(tmp_path: Path) -> None:
    here = own_address()
    cluster = made(tmp_path / "cluster", (HOSTS[0], Host("node2", here), HOSTS[2]))
    deliver_licence(tmp_path, max_nodes=3)
    certificate, key = cluster.pair_of("node1")
    rppam(
        *("init", "--dir", str(tmp_path / "a"), "--node-name", "node1", "--redis-files", str(cluster.node_files)),
        *("--api-cert", str(certificate), "--api-key", str(key), "--api-ca", str(cluster.authority)),
        *("--license", str(tmp_path / "license.jwt"), "--trusted-key", str(tmp_path / "issuer.pub.pem")),
        *("--database", "postgresql://rppam@10.0.1.20/rppam", "--database-password-file", str(cluster.password)),
        *("--host", "0.0.0.0", "--advertise-url", "https://10.0.1.11:7101"),
    )
    (_, sealed, opens), (_, third, of_third) = cluster.seal(bundle_of(tmp_path / "a" / "rppam.config"), 24)
    join = ("init", "--dir", str(tmp_path / "b"), "--join")
    second = (*join, str(sealed), "--passphrase-file", str(opens))
    would = json.loads(rppam(*second, "--dry-run", "--json").stdout)
    assert would["dryRun"] is True
    assert not (tmp_path / "b").exists()
    said = json.loads(rppam(*second, "--json").stdout)
    assert set(would["written"]) == set(said["written"]), "a dry run names what is written"
    assert said["nodeName"] == "node2"
    assert any("Redis and Sentinel were not set up" in one for one in said["warnings"])
    settings = load_settings(tmp_path / "b" / "rppam.config")
    assert settings.node.advertise_url == f"https://{here}:7101"
    assert settings.api.tls_key_path == tmp_path / "b" / "tls" / "node2.key"
    assert settings.api.tls_key_path.read_bytes() == cluster.pair_of("node2")[1].read_bytes()
    assert not (tmp_path / "b" / "tls" / "node1.key").exists()
    assert json.loads(rppam(*second, "--json").stdout)["written"] == []
    other = rppam(*join, str(third), "--passphrase-file", str(of_third), expect=2)
    assert "node3 is the host with the address 10.0.1.13, and this host has no such address" in other.stderr
    named = rppam(*second, "--node-name", "node9", expect=2)
    assert "'node9' is not whom the bundle is for" in named.stderr


def test_the_first_host_makes_all_and_a_dry_run_says_what(tmp_path: Path) -> None:
    deliver_licence(tmp_path, max_nodes=3)
    words = (
        *("init", "--dir", str(tmp_path / "a"), "--cluster-dir", str(tmp_path / "cluster"), "--node-name", "node1"),
        *("--hosts", f"node1={own_address()},node2=10.9.9.12,node3=10.9.9.13", "--database-host", "db1=10.9.9.20"),
        *("--license", str(tmp_path / "license.jwt"), "--trusted-key", str(tmp_path / "issuer.pub.pem"), "--json"),
    )
    would = json.loads(rppam(*words, "--dry-run").stdout)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["issuer.pub.pem", "license.jwt"]
    said = json.loads(rppam(*words).stdout)
    assert {one["nodeName"] for one in said["bundles"]} == {"node2", "node3"}
    assert any("node2: sudo rppam init --join node2.bundle --passphrase-file" in step for step in said["next"])
    keys = {str(tmp_path / "a" / "keys" / "jwt")}
    assert set(would["written"]) - keys == {one for one in said["written"] if "/keys/jwt/" not in one}
    settings = load_settings(tmp_path / "a" / "rppam.config")
    assert settings.api.host == "0.0.0.0"
    assert "10.9.9.20:5432/rppam?sslmode=verify-full" in settings.database.url.reveal()
    before = contents(tmp_path)
    assert json.loads(rppam(*words).stdout)["written"] == []
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--database-host", "db1=10.0.1.20", "--start"), "--start goes with --service"),
        (("--database-host", "db1=10.0.1.20", "--start", "--service"), "--service"),
        ((), "expected one of --database-host NAME=ADDRESS"),
        (("--database-host", "db1=10.0.1.20", "--database", "sqlite:///x"), "found both"),
        (("--database-host", "db1"), "--database-host: expected NAME=ADDRESS"),
        (("--database-host", "db1=10.0.1.20", "--bundle", "x"), "--bundle: not with --hosts"),
        (("--database-host", "db1=10.0.1.20", "--license", "LICENCE", "--trusted-key", "KEY"),
         "is for 2 nodes, and --hosts names 3"),
        (("--database-host", "db1=10.0.1.20"), "a cluster of several nodes needs a licence"),
    ],
)  # fmt: skip
def test_what_cannot_become_a_cluster_is_refused_before_anything_is_written(
    tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    deliver_licence(tmp_path, max_nodes=2)
    files = {"LICENCE": str(tmp_path / "license.jwt"), "KEY": str(tmp_path / "issuer.pub.pem")}
    done = rppam(
        *("init", "--dir", str(tmp_path / "a"), "--cluster-dir", str(tmp_path / "cluster"), "--node-name", "node1"),
        *("--hosts", f"node1={own_address()},node2=10.9.9.12,node3=10.9.9.13"),
        *(files.get(word, word) for word in words),
        expect=2,
    )
    assert told in done.stderr
    assert sorted(one.name for one in tmp_path.iterdir()) == ["issuer.pub.pem", "license.jwt"]


def test_options_that_go_with_others_say_so(tmp_path: Path) -> None:
    alone = rppam("init", "--dir", str(tmp_path), "--node-name", "a", "--database-host", "db1=10.0.1.20", expect=2)
    assert "--database-host goes with --hosts" in alone.stderr
    dry = rppam("init", "--dir", str(tmp_path), "--bundle", str(tmp_path / "x"), "--dry-run", expect=2)
    assert "--dry-run goes with --node-name or --join" in dry.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_of_a_single_node_names_what_a_run_writes(tmp_path: Path) -> None:
    words = ("init", "--dir", str(tmp_path / "a"), "--node-name", "node1", "--redis", "10.0.1.20:6379")
    would = rppam(*words, "--dry-run").stdout.splitlines()
    assert list(tmp_path.iterdir()) == []
    said = json.loads(rppam(*words, "--json").stdout)["written"]
    named = {line.removeprefix("would write ") for line in would}
    assert named - {str(tmp_path / "a" / "keys" / "jwt")} == {one for one in said if "/jwt/" not in one}
    assert "everything stands there already" in rppam(*words, "--dry-run").stdout


def test_postgresql_takes_the_verifier_refuses_another_and_logs_neither(tmp_path: Path, postgresql: Server) -> None:
    cluster = made(tmp_path / "cluster")
    password = Secret(cluster.password.read_text().strip())
    handed = b"".join(contents(cluster.path / "database").values())
    assert password.reveal().encode() not in handed
    assert b"hostssl rppam rppam 10.0.1.12/32 scram-sha-256" in handed
    psql = ("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", postgresql.host, "-p", str(postgresql.port))

    def run(text: str) -> subprocess.CompletedProcess[str]:
        words = (*psql, "-U", "postgres", "-d", "postgres")
        environment = {"PGPASSWORD": PASSWORD, "PATH": "/usr/bin:/bin"}
        return subprocess.run(
            words, input=text, env=environment, capture_output=True, text=True, check=False, timeout=60
        )

    sql = (cluster.path / "database" / "setup.sql").read_text()
    try:
        for _ in range(2):
            done = run(sql)
            assert done.returncode == 0, done.stderr
        place: dict[str, Any] = {"host": postgresql.host, "port": postgresql.port, "user": "rppam", "dbname": "rppam"}
        psycopg.connect(**place, password=password.reveal()).close()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(**place, password="another")
        other = verifier(Secret("another"))
        refused = run(sql.replace(verifier(password), other))
        assert refused.returncode == 3
        assert "the role rppam is there already, with another password" in refused.stderr
        psycopg.connect(**place, password=password.reveal()).close()
        log = postgresql.log.read_text()
        assert "the role rppam is there already" in log
        assert verifier(password) not in log
        assert other not in log
    finally:
        run("DROP DATABASE IF EXISTS rppam; DROP ROLE IF EXISTS rppam;")


def test_the_verifier_is_the_one_of_the_standard() -> None:
    kind, rounds, keys = verifier(Secret("pencil")).split("$")
    assert kind == "SCRAM-SHA-256"
    assert rounds.startswith("4096:")
    assert [len(base64.b64decode(one)) for one in (rounds.partition(":")[2], *keys.split(":"))] == [16, 32, 32]
