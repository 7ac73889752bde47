"""A push of settings to real nodes, one of which has another file system: all go by them, or none."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import prefork
from tests.support.lab import CALM, Lab, LabNode
from tests.support.lab_fixtures import MakeLab

pytestmark = [
    pytest.mark.integration,
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="file systems of its own need root"),
]

IN_ITS_OWN = 'mount -t tmpfs none "$1" && mkdir "$1/recordings" && shift && exec "$@"'


def start_apart(node: LabNode, place: Path) -> None:
    """Start the node where ``place`` is a file system that no other node sees, with the folder in it."""
    node.write_config()
    rppam = [sys.executable, "-m", "rppam", "node", "--config", str(node.file)]
    words = ["unshare", "--mount", "sh", "-c", IN_ITS_OWN, "sh", str(place), *rppam]
    with node.log_file.open("ab") as out:
        node.process = subprocess.Popen(
            [*prefork.TIED, *words], stdout=out, stderr=out, start_new_session=True, env=prefork.clean()
        )


def in_force(lab: Lab, node: LabNode) -> dict[str, Any]:
    settings = node.ask("/api/v1/settings", token=lab.token).body["settings"]
    return {one["name"]: one["value"] for one in settings}


def test_a_path_that_one_node_alone_has_is_refused_by_all_and_nothing_is_changed(
    make_lab: MakeLab, tmp_path: Path
) -> None:
    lab = make_lab(nodes=3, times=CALM)
    place = tmp_path / "srv"
    place.mkdir()
    *others, apart = lab.nodes
    for node in others:
        node.start()
    start_apart(apart, place)
    lab.wait_until_healthy()
    before = in_force(lab, apart)
    file = tmp_path / "cluster.config"
    folder = place / "recordings"
    wanted = {"security/sessions": {"idleMinutes": 11}, "recordings/store": {"store": "dir", "folder": str(folder)}}
    file.write_text(json.dumps({"settings": wanted}))
    file.chmod(0o600)

    def push(asked: LabNode) -> Any:
        return prefork.run("config", "push", file, "--config", asked.file, "--yes", "--all-or-none")

    for asked in (apart, others[0]):  # one that could go by it, and one that could not
        refused = push(asked)
        assert refused.returncode == 1, refused.stdout + refused.stderr
        assert "not begun, as not every node could go by it" in refused.stderr
        for node in others:
            assert f"{node.name}: recordings/store: folder: expected a folder of every node" in refused.stderr
        assert f"{apart.name}:" not in refused.stderr, refused.stderr
        assert all(in_force(lab, node) == before for node in lab.nodes)

    folder.mkdir()
    done = push(others[0])
    assert done.returncode == 0, done.stdout + done.stderr
    for node in lab.nodes:
        now = in_force(lab, node)
        assert (now["security/sessions"]["idleMinutes"], now["recordings/store"]["folder"]) == (11, str(folder))
    assert list(folder.iterdir()) == [], "a trial leaves nothing"
