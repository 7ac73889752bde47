"""With Redis and the database both away a node asks for no requests; with either of them it goes on."""

from pathlib import Path

import pytest

from tests.support.lab import CALM, Lab, LabNode, eventually
from tests.support.lab_fixtures import KIND
from tests.support.ports import free_port
from tests.support.redis_servers import Server, need

pytestmark = pytest.mark.integration

READY = "/system/health/ready"
ASKED = 8
"""Times in a row, so that each worker of the node is asked, whichever takes the connection."""


def all_answer(node: LabNode, status: int) -> bool:
    return all(node.status_of(READY) == status for _ in range(ASKED))


def test_a_node_that_could_tell_nobody_s_session_asks_for_no_requests(tmp_path: Path) -> None:
    need(KIND)
    with Server(KIND) as server, Lab(tmp_path / "lab", server.port, nodes=1, times=CALM) as lab:
        (node,) = lab.nodes
        node.config["database"] = {"url": f"postgresql://nobody:x@127.0.0.1:{free_port()}/none"}
        node.start()
        eventually(lambda: all_answer(node, 200), within_s=30, what="ready with Redis alone", say=node.log)
        server.kill()
        eventually(lambda: all_answer(node, 503), within_s=30, what="not ready with neither", say=node.log)
        answer = node.ask(READY)
        assert (answer.status, answer.body["code"]) == (503, "RPPAM-6204")
        assert "Neither Redis nor the database" in answer.body["detail"]
        assert node.status_of("/system/health/live") == 200, "nothing that a restart would heal"
        server.restart()
        eventually(lambda: all_answer(node, 200), within_s=30, what="ready again", say=node.log)


def test_so_does_a_node_without_redis_whose_file_was_taken_away(tmp_path: Path) -> None:
    need(KIND)
    with Server(KIND) as server, Lab(tmp_path / "lab", server.port, nodes=1, times=CALM) as lab:
        (node,) = lab.nodes
        file = tmp_path / "own.db"
        node.config |= {"database": {"url": f"sqlite:///{file}"}, "redis": {"enabled": False}}
        node.config["cluster"] = {**node.config.get("cluster", {}), "enabled": False}
        node.start()
        eventually(lambda: all_answer(node, 200), within_s=30, what="ready alone", say=node.log)
        away = file.rename(tmp_path / "away.db")
        eventually(lambda: all_answer(node, 503), within_s=30, what="not ready without its file", say=node.log)
        away.rename(file)
        eventually(lambda: all_answer(node, 200), within_s=30, what="ready again", say=node.log)
