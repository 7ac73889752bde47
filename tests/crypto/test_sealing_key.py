"""A sealing key comes into an installation that was made before there was one, while its nodes work, and is changed."""

import asyncio
import shutil
import subprocess
from functools import partial

import pytest

from rppam.crypto.errors import SealBroken
from tests.access.tokens.test_rotation import SEALED, Traffic, rppam, with_data_keys
from tests.support.lab import CALM, Lab, LabNode, eventually
from tests.support.lab_fixtures import MakeLab

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow]

MISSING = "there is no sealing key"


def of_before(make_lab: MakeLab) -> Lab:
    """Two members whose folders hold what the old 'rppam init' wrote: a cluster key, and no sealing key."""
    lab = make_lab(nodes=2, times=CALM)
    for node in lab.nodes:
        shutil.copy2(lab.folder / "cluster.key", node.folder / "cluster.key")
        node.config["auth"]["clusterKeyPath"] = str(node.folder / "cluster.key")
    lab.start()
    return lab


def step(node: LabNode, word: str) -> subprocess.CompletedProcess[str]:
    return rppam("cluster", "key", word, "--sealing", "--config", str(node.file))


def done(node: LabNode, word: str) -> bool:
    return step(node, word).returncode == 0


def test_an_installation_of_before_is_given_a_sealing_key_and_that_is_changed(make_lab: MakeLab) -> None:
    lab = of_before(make_lab)
    first, second = lab.nodes
    epoch = lab.health()["epoch"]
    assert all(MISSING in str(lab.health(node)["warnings"]) for node in lab.nodes)
    sealed = asyncio.run(with_data_keys(second, lambda keys: keys.seal(SEALED, "a place")))
    with Traffic(lab).running() as traffic:
        for _ in range(2):  # it is introduced, then changed
            assert step(first, "begin").returncode == 0
            early = step(first, "switch")
            assert early.returncode == 1, early.stdout + early.stderr
            assert "does not show that it knows sealing.key.next" in early.stdout
            shutil.copy2(first.folder / "sealing.key.next", second.folder)
            crossed = rppam("cluster", "key", "begin", "--config", str(first.file))
            assert crossed.returncode != 0
            assert "due here is: rppam cluster key switch --sealing" in crossed.stderr
            assert not (first.folder / "cluster.key.next").exists()
            eventually(partial(done, first, "switch"), within_s=40, what="node1 switches", say=lab.logs)
            waits = step(first, "finish")
            assert waits.returncode == 1, waits.stdout + waits.stderr
            assert "does not seal with the new key yet" in waits.stdout
            eventually(partial(done, second, "switch"), within_s=40, what="node2 switches", say=lab.logs)
            for node in lab.nodes:
                eventually(partial(done, node, "finish"), within_s=40, what=f"{node.name} finishes", say=lab.logs)
    assert set(traffic.answers) == {200}
    assert traffic.epochs == {epoch}, "leadership never changed hands"
    assert all(MISSING not in str(lab.health(node)["warnings"]) for node in lab.nodes)
    keys = {(node.folder / "sealing.key").read_text() for node in lab.nodes}
    assert len(keys) == 1
    assert keys != {(first.folder / "cluster.key").read_text()}
    assert asyncio.run(with_data_keys(second, lambda keys: keys.unseal(sealed, "a place"))) == SEALED
    (second.folder / "sealing.key").unlink()
    with pytest.raises(SealBroken):
        asyncio.run(with_data_keys(second, lambda keys: keys.unseal(sealed, "a place")))
