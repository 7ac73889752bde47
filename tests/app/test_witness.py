"""A witness reads what it promised only while nobody else can write it."""

import json
from pathlib import Path

import pytest

from rppam.app.witness import Witness
from rppam.cluster.driver.datadir import DataDir
from rppam.cluster.errors import DataDirInUse, PromiseFileBroken
from rppam.cluster.store.vote_file import FILE_NAME
from rppam.config.load import parse_settings
from rppam.config.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    key = tmp_path / "cluster.key"
    key.write_text("5b1e90aa" * 8 + "\n")
    key.chmod(0o600)
    (tmp_path / FILE_NAME).write_text("half a promise")
    config = {
        "node": {"nodeName": "w1", "dataDir": str(tmp_path)},
        "auth": {"clusterKeyPath": str(key)},
        "redis": {"enabled": True, "connectionString": "127.0.0.1:1,abortConnect=false"},
        "cluster": {"enabled": True, "clusterId": "c1"},
    }
    return parse_settings(json.dumps(config), folder=tmp_path)


async def test_its_promises_are_read_while_it_holds_the_directory(settings: Settings) -> None:
    held = DataDir(settings.node.data_dir)
    try:
        with pytest.raises(DataDirInUse):
            Witness(settings)
    finally:
        held.close()
    with pytest.raises(PromiseFileBroken):
        Witness(settings)
