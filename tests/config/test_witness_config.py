"""A witness's config: what a start, a check and the doctor refuse alike."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rppam.cluster.consensus.membership import QuorumPolicy
from rppam.cluster.store.vote_file import FILE_NAME, found
from rppam.config.places import default_places, witness_places
from rppam.kernel.system_entropy import SystemEntropy
from tests.support import prefork
from tests.support.ports import free_port

pytestmark = pytest.mark.integration


def rppam(*words: str) -> "subprocess.CompletedProcess[str]":
    return prefork.run(*words, environment=prefork.clean())


@pytest.fixture
def tree(tmp_path: Path) -> dict[str, Any]:
    """A witness's config with which it would run, were Redis there."""
    key = tmp_path / "cluster.key"
    key.write_text("5b1e90aa" * 8 + "\n")
    key.chmod(0o600)
    redis = "127.0.0.1:1,abortConnect=true,connectRetry=1,connectTimeout=500"
    return {
        "node": {"nodeName": "w1", "dataDir": str(tmp_path / "data")},
        "auth": {"clusterKeyPath": str(key)},
        "redis": {"enabled": True, "connectionString": redis},
        "cluster": {"enabled": True, "clusterId": "c1", "memberPort": free_port()},
    }


def written(folder: Path, tree: dict[str, Any], name: str = "rppam-witness.config") -> Path:
    file = folder / name
    file.write_text(json.dumps(tree))
    file.chmod(0o600)
    return file


@pytest.mark.parametrize(
    ("section", "key", "value", "expected"),
    [
        ("node", "nodeName", None, "the name of this witness"),
        ("cluster", "enabled", False, "true"),
    ],
)
def test_what_a_witness_cannot_do_without_is_refused_at_its_start_by_the_check_and_by_the_doctor(
    tmp_path: Path, tree: dict[str, Any], section: str, key: str, value: object, expected: str
) -> None:
    whole = written(tmp_path, tree)
    assert rppam("config", "check", str(whole)).returncode == 0
    del tree[section][key]
    if value is not None:
        tree[section][key] = value
    file = written(tmp_path, tree)
    said = f"{section}.{key}: expected {expected}; found "
    started = rppam("witness", "--config", str(file))
    assert started.returncode == 78, started.stderr
    assert said in started.stderr
    assert "clusterKeyPath" not in started.stderr
    checked = rppam("config", "check", str(file))
    assert checked.returncode == 78
    assert said in checked.stderr
    examined = rppam("doctor", "--config", str(file), "--json")
    assert examined.returncode == 78
    assert said in examined.stdout
    # A node alone may do without either.
    assert rppam("config", "check", str(written(tmp_path, tree, "rppam.config"))).returncode == 0


def test_a_witness_is_known_by_what_its_members_keep_of_it(tmp_path: Path, tree: dict[str, Any]) -> None:
    del tree["node"]["nodeName"]
    file = written(tmp_path, tree, "third.config")
    assert rppam("config", "check", str(file)).returncode == 0
    homes = {name: tmp_path / name for name in ("node1", "default")}
    for home in homes.values():
        home.mkdir()
    found(homes, QuorumPolicy.MAJORITY, SystemEntropy(), witnesses=("default",))
    homes["default"].rename(tmp_path / "data")
    assert rppam("config", "check", str(file)).returncode == 78
    assert rppam("doctor", "--config", str(file)).returncode == 78
    (tmp_path / "data" / FILE_NAME).unlink()
    assert rppam("doctor", "--witness", "--config", str(file)).returncode == 78
    assert rppam("witness", "--config", str(file)).returncode == 78


def test_a_witness_without_redis_and_cluster_is_told_of_both(tmp_path: Path, tree: dict[str, Any]) -> None:
    tree["redis"]["enabled"] = tree["cluster"]["enabled"] = False
    started = rppam("witness", "--config", str(written(tmp_path, tree)))
    assert started.returncode == 78
    assert "redis.enabled: expected true" in started.stderr
    assert "cluster.enabled: expected true" in started.stderr


def test_the_name_default_is_a_witness_s_where_it_was_written_out(tmp_path: Path, tree: dict[str, Any]) -> None:
    tree["node"]["nodeName"] = "default"
    assert rppam("config", "check", str(written(tmp_path, tree))).returncode == 0


def test_a_witness_without_the_cluster_s_key_is_told_of_the_key_alone(tmp_path: Path, tree: dict[str, Any]) -> None:
    (tmp_path / "cluster.key").unlink()
    (tmp_path / "data").mkdir()
    started = rppam("witness", "--config", str(written(tmp_path, tree)))
    assert started.returncode == 78
    assert f"auth.clusterKeyPath: expected the cluster key; found no file {tmp_path / 'cluster.key'}" in started.stderr
    assert "rppam init --witness --join" in started.stderr
    assert "cluster.enabled" not in started.stderr


def test_without_a_config_a_witness_names_its_own_file_and_how_it_is_made(tmp_path: Path) -> None:
    usual = witness_places(default_places()).config_file
    if Path(usual).exists():
        pytest.skip(f"this host has {usual}")
    for words, place in (((), usual), (("--config", str(tmp_path / "none")), str(tmp_path / "none"))):
        started = rppam("witness", *words)
        assert started.returncode == 78
        assert f"{place}: expected a readable configuration file" in started.stderr
        assert "`rppam init --witness --join BUNDLE`" in started.stderr


def test_a_start_warns_of_a_config_that_others_can_read(tmp_path: Path, tree: dict[str, Any]) -> None:
    (tmp_path / "data").mkdir()
    file = written(tmp_path, tree)
    assert "chmod 600" not in rppam("witness", "--config", str(file)).stderr
    file.chmod(0o644)
    assert f"run: chmod 600 {file}" in rppam("witness", "--config", str(file)).stderr


@pytest.mark.skipif(sys.platform == "win32", reason="modes")
@pytest.mark.parametrize("words", ["witness --config", "node --config", "config check", "status --config"])
def test_a_config_that_may_not_be_read_is_a_wrong_configuration_not_wrong_usage(tmp_path: Path, words: str) -> None:
    file = tmp_path / "a.config"
    file.touch(0o000)
    # Root reads everything, unless it starts without the capabilities for that.
    tamed = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    if tamed and not shutil.which("setpriv"):
        pytest.skip("root reads everything here")
    done = subprocess.run(
        [*tamed, sys.executable, "-m", "rppam", *words.split(), str(file)],
        capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 78, done.stderr
    assert f"{file}: expected a readable configuration file; found Permission denied" in done.stderr
    assert "Let the account that runs rppam own it" in done.stderr


def test_an_address_that_never_comes_to_a_witness_is_no_matter_there(tmp_path: Path, tree: dict[str, Any]) -> None:
    """It is the same in every config of a cluster, and the API that would answer there is the nodes'."""
    tree["cluster"]["virtualIp"] = "10.0.1.50/24"
    as_witness, as_node = written(tmp_path, tree), written(tmp_path, tree, "rppam.config")
    for file, told in ((as_witness, False), (as_node, True)):
        checked = rppam("config", "check", str(file), "--json")
        assert ("cluster.virtualIp" in checked.stdout) is told, checked.stdout
        found = json.loads(rppam("doctor", "--config", str(file), "--json").stdout)["findings"]
        assert ("cluster.virtualIp" in " ".join(one["evidence"] for one in found)) is told, found
