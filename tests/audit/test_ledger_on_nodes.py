"""Two nodes and a witness, as real processes, whose database is put back: it is told, signing waits, it is adopted."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support import prefork
from tests.support.lab import Lab, LabNode, eventually
from tests.support.lab_fixtures import MakeLab
from tests.support.placed_witness import RunningWitness, place_example
from tests.support.redis_servers import Server

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow]

CHECKPOINTS = "/api/v1/audit/checkpoints?limit=1"
CONTEXTS = "/api/v1/audit/events?action=checkpoint.context&limit=1000"
ADOPT = ("audit", "adopt", "--reason", "put back on purpose", "--config")


def asked(lab: Lab, path: str) -> dict[str, Any]:
    answer = lab.running()[0].ask(path, token=lab.token, timeout_s=10)
    assert answer.status == 200, answer
    body: dict[str, Any] = answer.body
    return body


def size(lab: Lab) -> int:
    found = asked(lab, CHECKPOINTS)["checkpoints"]
    return found[0]["size"] if found else 0


def cosigned(lab: Lab, least: int) -> bool:
    """Whether both nodes and the witness have cosigned so many events, and believe what there is."""
    found = {one["name"].rpartition("/")[2]: one for one in asked(lab, CHECKPOINTS)["cosigners"]}
    return len(found) == 3 and all(one["size"] >= least and not one["why"] for one in found.values())


def change(leader: LabNode, lab: Lab, number: int) -> None:
    """An act, at the leader."""
    value = {"perAddress": 1_000_000 - number, "perUser": 1_000_000}
    path = "/api/v1/settings/security/limits"
    answer = leader.ask(path, token=lab.token, method="PUT", send=value, timeout_s=10)
    assert answer.status == 200, answer


def evidence(lab: Lab, node: LabNode) -> str:
    found = [one for one in lab.health(node)["findings"] if one["code"] == "RD-631"]
    return str(found[0]["evidence"]) if found else ""


def all_ended(lab: Lab) -> None:
    for node in lab.nodes:
        node.term()
        assert node.wait() == 0


def started(lab: Lab) -> LabNode:
    """The leader, once all nodes run again."""
    for node in lab.nodes:
        node.start()
    return lab.wait_for_leader(within_s=60)


def database(lab: Lab, into: Path, *, back: bool = False) -> None:
    """Copy the files of SQLite, of nodes that have ended, or put them back."""
    source, target = (into, lab.folder) if back else (lab.folder, into)
    for path in target.glob("rppam.db*"):
        path.unlink()
    for path in source.glob("rppam.db*"):
        shutil.copy(path, target / path.name)


def test_a_database_that_was_put_back_is_signed_only_once_it_was_adopted(
    make_lab: MakeLab, redis: Server, tmp_path: Path
) -> None:
    lab = make_lab(nodes=2, times="default", policy="majority")
    lab.start()
    with RunningWitness(place_example(lab, redis.port)) as witness:
        eventually(lambda: cosigned(lab, 1), within_s=60, what="three cosignatures", say=lab.logs)
        all_ended(lab)
        copy = tmp_path / "copy"
        copy.mkdir()
        database(lab, copy)
        change(started(lab), lab, 1)
        eventually(lambda: cosigned(lab, size(lab)), within_s=60, what="cosignatures of more", say=lab.logs)
        all_ended(lab)
        database(lab, copy, back=True)
        leader = started(lab)
        before = size(lab)
        said = "this node leads, and signs nothing until it is adopted"
        eventually(lambda: said in evidence(lab, leader), within_s=30, what="the doubt", say=lab.logs)
        change(leader, lab, 2)
        time.sleep(2)
        assert size(lab) == before, "nothing is signed"
        waiting = asked(lab, "/api/v1/audit/events?action=setting.change&newest=true&limit=1")["events"]
        assert waiting[0]["index"] is None, "and it is recorded"
        log = leader.log()
        assert f"the integration of the ledger failed and is tried again every 0.5 s: {said}" in log

        for file in (*(node.folder / "rppam.config" for node in lab.nodes), witness.file):
            taken = prefork.run(*ADOPT, file)
            assert taken.returncode == 0, taken.stdout + taken.stderr
        eventually(lambda: size(lab) > before, within_s=30, what="the integration goes on", say=lab.logs)
        eventually(lambda: cosigned(lab, size(lab)), within_s=60, what="all believe it again", say=witness.log)
        adopted = asked(lab, "/api/v1/audit/events?action=ledger.adopt")["events"]
        assert {one["details"]["node"] for one in adopted} == {"node1", "node2", "witness1"}
        eventually(lambda: not evidence(lab, leader), within_s=30, what="nothing is wrong any more", say=lab.logs)
        told = asked(lab, CONTEXTS)["events"]
        assert told[-1]["details"]["leader"] == leader.name
        judged = prefork.run("audit", "verify", "--json", "--config", leader.folder / "rppam.config")
        assert judged.returncode == 0, judged.stdout + judged.stderr
        assert len(json.loads(judged.stdout)["cosigned"]) == 3
        assert witness.term() == 0
