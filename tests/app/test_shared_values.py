"""What must be the same on all nodes: each of it shows when it differs, and what differs rightly does not."""

import json
from pathlib import Path
from typing import Any

import pytest

from rppam.app.shared_values import values_of, values_of_node
from rppam.config.load import load_settings
from rppam.config.settings import Settings

HERE: dict[str, Any] = {
    "node": {"nodeName": "node1"},
    "cluster": {"enabled": True, "virtualIp": "10.0.0.9/24", "memberHost": "10.0.0.1"},
    "redis": {"enabled": True, "connectionString": "10.0.0.1:6379"},
    "api": {"port": 7101},
}


def settings(folder: Path, **changes: dict[str, Any]) -> Settings:
    """Those of :data:`HERE` with ``changes``; ``None`` takes a key out."""
    tree = {section: {**HERE.get(section, {}), **changes.get(section, {})} for section in {**HERE, **changes}}
    tree = {name: {key: value for key, value in keys.items() if value is not None} for name, keys in tree.items()}
    file = folder / "rppam.config"
    file.write_text(json.dumps(tree))
    file.chmod(0o600)
    return load_settings(file)


@pytest.mark.parametrize(
    ("section", "key", "value", "told"),
    [
        ("cluster", "quorumPolicy", "majority", "cluster.quorumPolicy"),
        ("cluster", "timingProfile", "classic", "cluster.timingProfile"),
        ("cluster", "virtualIp", "10.0.0.10/24", "cluster.virtualIp"),
        ("cluster", "virtualIp", None, "cluster.virtualIp"),
        ("auth", "issuer", "another", "auth.issuer"),
        ("auth", "audience", "another", "auth.audience"),
        ("auth", "tokenMinutes", 10, "auth.tokenMinutes"),
        ("redis", "keyPrefix", "another:", "redis.keyPrefix"),
    ],
)
def test_each_setting_that_must_be_the_same_shows_by_its_name(
    tmp_path: Path, section: str, key: str, value: Any, told: str
) -> None:
    mine = values_of_node(settings(tmp_path), None)
    theirs = values_of_node(settings(tmp_path, **{section: {key: value}}), None)
    assert {name for name in mine if mine[name] != theirs[name]} == {told}
    assert mine.keys() == theirs.keys()


def test_what_differs_rightly_shows_nowhere(tmp_path: Path) -> None:
    mine = values_of_node(settings(tmp_path), None)
    other = settings(
        tmp_path,
        node={"nodeName": "node2", "dataDir": str(tmp_path)},
        api={"port": 7201},
        cluster={"memberPort": 5301, "memberHost": "10.0.0.2", "priority": 7},
        auth={"jwtKeysDir": str(tmp_path)},
    )
    assert values_of_node(other, None) == mine


def test_a_witness_says_what_concerns_it_and_a_node_alone_nothing(tmp_path: Path) -> None:
    assert values_of(settings(tmp_path)).items() <= values_of_node(settings(tmp_path), None).items()
    assert values_of_node(settings(tmp_path, cluster={"enabled": False, "virtualIp": None}), None) == {}
