"""The keys by which a member knows what stands in Redis follow their files; what lacks is logged at the start."""

import asyncio
import json
import logging
from pathlib import Path

import pytest

from rppam.app.members import log_warnings, member_parts
from rppam.app.shared_values import values_of_node
from rppam.cluster.consensus.timing import PROFILES
from rppam.cluster.health.agreement import Agreement, digests_to_text
from rppam.cluster.link import key_files
from rppam.config.load import parse_settings
from rppam.crypto.store_mac import StoreMac
from rppam.kernel.instant import Instant
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy
from rppam.licence.service import read_licence
from tests.cluster.link.links import make_node
from tests.support.ports import free_port

LINK, SEALING, NEXT = "1a" * 32, "5e" * 32, "6f" * 32


def _write(path: Path, key: str) -> None:
    path.write_text(key + "\n")
    path.chmod(0o600)


async def test_orders_are_known_by_the_sealing_key_and_by_the_one_that_is_to_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_files, "EVERY_S", 0.01)
    link, sealing = tmp_path / "cluster.key", tmp_path / "sealing.key"
    _write(link, LINK)
    _write(sealing, SEALING)
    config = {
        "node": {"nodeName": "node1", "dataDir": str(tmp_path)},
        "auth": {"clusterKeyPath": str(link), "sealingKeyPath": str(sealing)},
        "redis": {"enabled": True, "connectionString": "127.0.0.1:1,abortConnect=false"},
        "cluster": {"enabled": True, "clusterId": "c1", "memberHost": "127.0.0.1", "memberPort": free_port()},
    }
    settings = parse_settings(json.dumps(config), folder=tmp_path)
    parts = member_parts(settings, "a" * 16, PROFILES["default"], SystemClock(), SystemEntropy())
    assert parts is not None

    def believes(key: str) -> bool:
        tag = StoreMac("c1", Secret(key)).tag("orders", "{}")
        return parts.orders_mac.is_genuine("orders", "{}", tag)

    assert (believes(SEALING), believes(LINK), believes(NEXT)) == (True, False, False)
    await parts.link.start(make_node("node1").listener)
    try:
        _write(sealing.with_name("sealing.key.next"), NEXT)
        async with asyncio.timeout(20):
            while not believes(NEXT):  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.01)
        assert believes(SEALING)
        assert not believes(LINK)
    finally:
        await parts.link.stop()


def test_what_keeps_a_node_from_voting_and_its_licence_from_use_is_logged_at_its_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "license.jwt").write_text("garbage\n")
    config = {
        "node": {"nodeName": "node1", "dataDir": str(tmp_path)},
        "auth": {"clusterKeyPath": str(tmp_path / "gone.key")},
        "redis": {"enabled": True, "connectionString": "127.0.0.1:1,abortConnect=false"},
        "cluster": {"enabled": True, "clusterId": "c1"},
        "license": {"path": str(tmp_path / "license.jwt")},
    }
    with caplog.at_level(logging.WARNING):
        settings = parse_settings(json.dumps(config), folder=tmp_path)
        log_warnings(settings, read_licence(settings.license)[1])
    key, licence = caplog.messages
    assert f"there is no cluster key at {tmp_path}/gone.key" in key
    assert f"license.path: {tmp_path}/license.jwt is not used, so this node counts as Standard" in licence


def test_a_licence_that_one_node_lacks_is_told_on_all_with_the_way_it_gets_there(tmp_path: Path) -> None:
    config = {"node": {"nodeName": "node1", "dataDir": str(tmp_path)}, "cluster": {"enabled": True, "clusterId": "c1"}}
    config["redis"] = {"enabled": True, "connectionString": "127.0.0.1:1,abortConnect=false"}
    settings = parse_settings(json.dumps(config), folder=tmp_path)
    bare = values_of_node(settings, None)
    held = {**bare, "license.path": "the licence L1"}
    said = {"node1": digests_to_text(held), "node2": digests_to_text(bare)}
    for node, values, evidence in (
        ("node1", held, "license.path: node1 has the licence L1; node2 has another value"),
        ("node2", bare, "license.path: node2 has no licence that can be used; node1 has another value"),
    ):
        (found,) = Agreement(node, values, "", 500).findings((), said, None, Instant(1))
        assert (found.code, found.evidence) == ("RD-909", evidence)
        assert "copy the licence file from a node that has it" in found.fix
