"""``rppam init --witness`` and ``rppam cluster found``: what they write, and what they leave alone."""

import asyncio
import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from rppam.cluster.driver.datadir import DataDir
from rppam.cluster.link.credentials import read_cluster_key
from rppam.cluster.store.vote_file import FILE_NAME
from rppam.config.places import LINUX, witness_places
from rppam.db.database import Database
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.setup.bundle import unseal
from tests.setup.test_init_command import files, rppam
from tests.support.lab import CALM, Lab
from tests.support.placed_witness import electorate_in
from tests.support.ports import free_port
from tests.support.redis_servers import SERVERS, Server, need
from tests.support.told import acts_told

pytestmark = pytest.mark.integration

REDIS = "10.0.1.20:6379,password=hunter2=x,abortConnect=false"
DATABASE = "postgresql://rppam:database-secret@db/rppam"


@pytest.fixture
def bundled(tmp_path: Path) -> tuple[str, ...]:
    """The words that join ``tmp_path/a``'s cluster."""
    a, bundle, passphrase = tmp_path / "a", tmp_path / "join.bundle", tmp_path / "passphrase"
    done = rppam(
        *("init", "--dir", str(a), "--node-name", "node1", "--redis", REDIS, "--database", DATABASE),
        *("--cluster-id", "lab", "--key-prefix", "lab:", "--timing-profile", "lan"),
        *("--bundle", str(bundle), "--passphrase-file", str(passphrase)),
    )
    assert done.returncode == 0, done.stderr
    return ("--join", str(bundle), "--passphrase-file", str(passphrase))


def test_a_key_that_init_made_is_one_that_members_can_use(tmp_path: Path, bundled: tuple[str, ...]) -> None:
    assert len(read_cluster_key(tmp_path / "a" / "keys" / "cluster.key")) == 64
    kept = electorate_in(tmp_path / "a")
    assert kept is not None
    assert kept.members == ("node1",)


def test_a_witness_host_gets_the_cluster_key_and_the_way_to_redis_and_no_other_secret(
    tmp_path: Path, bundled: tuple[str, ...]
) -> None:
    place = tmp_path / "w"
    words = ("init", "--witness", *bundled, "--node-name", "witness1", "--dir", str(place), "--host", "10.0.1.13")
    done = rppam(*words)
    assert done.returncode == 0, done.stderr
    assert "remove" in done.stdout
    written = files(place)
    assert set(written) == {"rppam-witness.config", "keys/cluster.key", "keys/redis.password"}
    assert written["keys/cluster.key"] == files(tmp_path / "a")["keys/cluster.key"]
    assert written["keys/redis.password"] == b"hunter2=x"
    everything = b"".join(written.values())
    for secret in (b"database-secret", b"PRIVATE KEY", b"postgresql", files(tmp_path / "a")["keys/config.key"].strip()):
        assert secret not in everything
    for path in place.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    config = json.loads(written["rppam-witness.config"])
    assert set(config) == {"node", "redis", "cluster", "auth"}
    assert config["cluster"] == {
        "enabled": True, "clusterId": "lab", "timingProfile": "lan", "memberAddress": "10.0.1.13:5201",
    }  # fmt: skip
    assert config["redis"]["keyPrefix"] == "lab:"
    checked = rppam("config", "check", str(place / "rppam-witness.config"))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    again = rppam(*words, "--json")
    assert json.loads(again.stdout)["written"] == []
    assert files(place) == written


def test_a_bundle_for_a_witness_holds_the_cluster_key_alone_and_its_user_is_its_own(tmp_path: Path) -> None:
    a, bundle, passphrase = tmp_path / "a", tmp_path / "w.bundle", tmp_path / "passphrase"
    redis = "10.0.1.20:6379,user=rppam,password=of-the-nodes,abortConnect=false"
    assert rppam("init", "--dir", str(a), "--node-name", "node1", "--redis", redis).returncode == 0
    words = ("--bundle", str(bundle), "--passphrase-file", str(passphrase))
    made = rppam("init", "--witness", "--dir", str(a), *words)
    assert made.returncode == 0, made.stderr
    sealed = unseal(bundle.read_text(), Secret(passphrase.read_text().strip()), SystemClock().wall_ms(), place="bundle")
    assert set(sealed.files) == {"cluster.key"}
    assert "of-the-nodes" not in json.dumps(sealed.config)
    join = ("init", "--witness", "--join", str(bundle), "--passphrase-file", str(passphrase), "--node-name", "w1")
    where = ("--dir", str(tmp_path / "w"), "--host", "10.0.1.13")
    without = rppam(*join, *where)
    assert without.returncode == 2
    assert "--redis-password-file" in without.stderr
    own = tmp_path / "own.password"
    own.write_text("of-the-witness\n")
    done = rppam(*join, *where, "--redis-password-file", str(own))
    assert done.returncode == 0, done.stderr
    written = files(tmp_path / "w")
    assert set(written) == {"rppam-witness.config", "keys/cluster.key", "keys/redis.password"}
    assert written["keys/redis.password"] == b"of-the-witness"
    config = json.loads(written["rppam-witness.config"])
    assert "user=rppam-witness" in config["redis"]["connectionString"]
    assert rppam("config", "check", str(tmp_path / "w" / "rppam-witness.config")).returncode == 0


def test_a_witness_that_is_given_its_own_user_keeps_no_password_of_the_nodes(tmp_path: Path) -> None:
    a, place, passphrase = tmp_path / "a", tmp_path / "w", tmp_path / "passphrase"
    redis = "10.0.1.20:6379,user=rppam,password=of-the-nodes,abortConnect=false"
    assert rppam("init", "--dir", str(a), "--node-name", "node1", "--redis", redis).returncode == 0
    bundle = tmp_path / "w.bundle"
    sealed = ("--bundle", str(bundle), "--passphrase-file", str(passphrase))
    assert rppam("init", "--witness", "--dir", str(a), *sealed).returncode == 0
    join = ("init", "--witness", "--join", str(bundle), "--passphrase-file", str(passphrase), "--node-name", "w1")
    where = (*join, "--dir", str(place), "--host", "10.0.1.13")
    assert rppam(*where, "--redis", "-", stdin=redis).returncode == 0
    (place / "keys" / "redis.password").write_text("of-the-nodes")
    (place / "keys" / "redis.password.bak-20260101T000000Z").write_text("of-the-nodes")
    own = tmp_path / "own.password"
    own.write_text("of-the-witness\n")
    done = rppam(*where, "--redis-password-file", str(own), "--force")
    assert done.returncode == 0, done.stderr
    assert f"removed {place / 'keys' / 'redis.connection'}" in done.stdout
    written = files(place)
    assert b"of-the-nodes" not in b"".join(written.values())
    assert written["keys/redis.password"] == b"of-the-witness"
    assert {name for name in written if name.startswith("keys/")} == {"keys/cluster.key", "keys/redis.password"}
    (place / "keys" / "redis.connection").write_text(redis)
    told = rppam(*where, "--redis-password-file", str(own))
    assert f"{place / 'keys' / 'redis.connection'} is a secret of Redis that nothing here names" in told.stdout
    assert (place / "keys" / "redis.connection").exists(), "nothing is removed without being told to"


def test_what_the_environment_says_of_nodes_is_in_no_witness_s_way(tmp_path: Path, bundled: tuple[str, ...]) -> None:
    words = ("init", "--witness", *bundled, "--node-name", "w1", "--dir", str(tmp_path / "w"), "--host", "w1.lan")
    done = rppam(*words, RPPAM_DATABASE=DATABASE)
    assert done.returncode == 0, done.stderr
    assert b"database-secret" not in b"".join(files(tmp_path / "w").values())


def test_a_node_gets_both_keys_and_an_installation_of_before_no_second_one_by_the_way(
    tmp_path: Path, bundled: tuple[str, ...]
) -> None:
    joined = rppam("init", *bundled, "--dir", str(tmp_path / "b"), "--node-name", "node2")
    assert joined.returncode == 0, joined.stderr
    one, other = files(tmp_path / "a"), files(tmp_path / "b")
    for name in ("keys/cluster.key", "keys/sealing.key"):
        assert one[name] == other[name]
    assert one["keys/cluster.key"] != one["keys/sealing.key"]
    (tmp_path / "a" / "keys" / "sealing.key").unlink()
    again = rppam(
        *("init", "--dir", str(tmp_path / "a"), "--node-name", "node1", "--redis", REDIS, "--database", DATABASE),
        *("--cluster-id", "lab", "--key-prefix", "lab:", "--timing-profile", "lan"),
    )
    assert again.returncode == 0, again.stderr
    assert "keys/sealing.key" not in files(tmp_path / "a")


def test_a_whole_connection_string_that_is_secret_is_kept_in_a_file(tmp_path: Path, bundled: tuple[str, ...]) -> None:
    string = "s1:26379,serviceName=m,password=x1234,sentinelPassword=y1234"
    place = tmp_path / "w"
    done = rppam("init", "--witness", *bundled, "--node-name", "w1", "--dir", str(place), "--redis", "-", stdin=string)
    assert done.returncode == 0, done.stderr
    assert (place / "keys" / "redis.connection").read_text() == string
    assert "x1234" not in (place / "rppam-witness.config").read_text()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--node-name", "node1"), "a name of its own"),
        (("--node-name", "w1", "--database", "sqlite:///x"), "--database: not for a witness"),
        (("--node-name", "w1", "--bundle", "further"), "--bundle: not for a witness"),
        ((), "--node-name is missing"),
    ],
)
def test_what_is_not_for_a_witness_is_refused_and_nothing_written(
    tmp_path: Path, bundled: tuple[str, ...], words: tuple[str, ...], told: str
) -> None:
    done = rppam("init", "--witness", *bundled, "--dir", str(tmp_path / "w"), *words)
    assert done.returncode == 2
    assert told in done.stderr
    assert not (tmp_path / "w").exists()


def test_a_witness_has_to_come_from_a_bundle(tmp_path: Path) -> None:
    done = rppam("init", "--witness", "--node-name", "w1", "--dir", str(tmp_path / "w"))
    assert done.returncode == 2
    assert "--join BUNDLE" in done.stderr


def test_a_witness_keeps_its_files_beside_a_nodes() -> None:
    places = witness_places(LINUX)
    assert (places.config_file, places.data_dir) == ("/etc/rppam/rppam-witness.config", "/var/lib/rppam-witness")


# --- founding ----------------------------------------------------------------------------------------------------


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """The config of a node whose Redis is away and whose cluster is not founded."""
    where = tmp_path / "a"
    redis = f"127.0.0.1:{free_port()},connectTimeout=500"
    assert rppam("init", "--dir", str(where), "--node-name", "node1", "--redis", redis).returncode == 0
    (where / FILE_NAME).unlink()
    return where / "rppam.config"


def test_a_cluster_is_founded_once_by_hand(first: Path) -> None:
    unasked = rppam("cluster", "found", "--config", str(first))
    assert unasked.returncode == 2
    assert "--yes" in unasked.stderr
    assert electorate_in(first.parent) is None
    done = rppam("cluster", "found", "--config", str(first), "--yes", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    kept = electorate_in(first.parent)
    assert kept is not None
    assert (kept.members, kept.lineage, str(kept.body.policy)) == (("node1",), told["lineage"], told["policy"])
    before = (first.parent / FILE_NAME).read_bytes()
    again = rppam("cluster", "found", "--config", str(first), "--yes")
    assert again.returncode == 2
    assert "belongs to a cluster already, of node1" in again.stderr
    assert "stop every node" in again.stderr
    assert (first.parent / FILE_NAME).read_bytes() == before


async def make_database(url: str) -> None:
    database = Database(url)
    await database.start()
    await database.stop()


def test_the_policy_is_the_configs(first: Path) -> None:
    config = json.loads(first.read_text())
    config["cluster"]["quorumPolicy"] = "majority"
    first.write_text(json.dumps(config))
    asyncio.run(make_database(config["database"]["url"]))  # one is there, as where it was put back
    assert rppam("cluster", "found", "--config", str(first), "--yes").returncode == 0
    assert acts_told(first)["cluster.found"]["details"] == {"policy": "majority"}
    kept = electorate_in(first.parent)
    assert kept is not None
    assert str(kept.body.policy) == "majority"


def test_a_running_node_a_witness_and_a_node_alone_do_not_found(first: Path) -> None:
    held = DataDir(first.parent)
    try:
        assert rppam("cluster", "found", "--config", str(first), "--yes").returncode == 73
    finally:
        held.close()
    witness = first.with_name("rppam-witness.config")
    witness.write_bytes(first.read_bytes())
    witness.chmod(0o600)
    refused = rppam("cluster", "found", "--config", str(witness), "--yes")
    assert refused.returncode == 2
    assert "a witness never leads" in refused.stderr
    config = json.loads(first.read_text())
    config["cluster"]["enabled"] = False
    first.write_text(json.dumps(config))
    alone = rppam("cluster", "found", "--config", str(first), "--yes")
    assert alone.returncode == 78
    assert "cluster.enabled" in alone.stderr
    assert electorate_in(first.parent) is None


@pytest.fixture
def server() -> Iterator[Server]:
    kind = next(kind for kind in SERVERS if kind.name == "redis-8")
    need(kind)
    with Server(kind) as running:
        yield running


@pytest.mark.server
@pytest.mark.slow
def test_beside_a_living_cluster_none_is_founded(tmp_path: Path, server: Server) -> None:
    with Lab(tmp_path / "lab", server.port, nodes=1, times=CALM) as lab:
        lab.nodes[0].start()
        lab.wait_for_leader()
        late = lab.make_node("node2")
        late.write_config()
        refused = rppam("cluster", "found", "--config", str(late.file), "--yes")
        assert refused.returncode == 2
        assert "a cluster under 'rppam:', of node1" in refused.stderr
        assert electorate_in(late.folder) is None
