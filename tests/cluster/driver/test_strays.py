"""A node that was forgotten and starts again with its old data is taken in again, or named with what keeps it out."""

from typing import Any

import pytest

from tests.support import prefork
from tests.support.lab import CALM, Lab, LabNode, eventually
from tests.support.lab_fixtures import MakeLab

pytestmark = pytest.mark.integration


def order(lab: Lab, node: LabNode, method: str, path: str, body: Any) -> None:
    answer = node.ask(f"/api/v1/admin/{path}", token=lab.token, method=method, send=body, timeout_s=10)
    assert answer.status < 300, answer


def seen(lab: Lab, node: LabNode, name: str) -> dict[str, Any]:
    return next((one for one in lab.health(node)["nodes"] if one["nodeName"] == name), {})


def voters(lab: Lab, node: LabNode) -> set[str]:
    return {line["voter"] for line in lab.health(node)["votes"]}


def forget(lab: Lab, leader: LabNode, name: str) -> None:
    """As soon as the leader has missed it for long enough to believe that it is off."""
    place, body = "/api/v1/admin/cluster/forget", {"members": [name], "off": True}

    def taken() -> bool:
        return leader.ask(place, token=lab.token, method="POST", send=body).status < 300

    eventually(taken, within_s=30, what=f"{name} may be forgotten", say=lab.logs)
    eventually(lambda: name not in voters(lab, leader), within_s=30, what=f"{name} is forgotten", say=lab.logs)


@pytest.mark.parametrize("policy", ["majority", "last-man-standing"])
def test_a_forgotten_node_that_starts_with_its_old_data_is_a_member_again(make_lab: MakeLab, policy: str) -> None:
    lab = make_lab(times=CALM, policy=policy)
    lab.start()
    leader = lab.wait_for_leader()
    lost = next(node for node in lab.nodes if node is not leader)
    lost.kill()
    gone = ("unreachable", "")
    eventually(lambda: seen(lab, leader, lost.name).get("status", "") in gone, within_s=30, what="dead", say=lab.logs)
    forget(lab, leader, lost.name)
    lost.start()
    eventually(lambda: lost.name in voters(lab, leader), within_s=40, what="it is a member again", say=lab.logs)
    lab.wait_until_healthy()
    assert all(seen(lab, node, name.name)["hasVote"] for node in lab.nodes for name in lab.nodes)
    assert lost.name in leader.log()
    assert f"{lost.name} asks to become a member" in leader.log()


def test_one_that_was_forgotten_in_maintenance_stays_out_and_is_named_until_that_ends(make_lab: MakeLab) -> None:
    lab = make_lab(times=CALM, policy="majority")
    lab.start()
    leader = lab.wait_for_leader()
    aside = next(node for node in lab.nodes if node is not leader)
    order(lab, aside, "PUT", f"nodes/{aside.name}/maintenance", {"maintenance": True})
    eventually(
        lambda: seen(lab, leader, aside.name)["status"] == "maintenance", within_s=30, what="aside", say=lab.logs
    )
    order(lab, leader, "POST", "cluster/forget", {"members": [aside.name]})
    for node in (leader, aside):
        eventually(lambda node=node: seen(lab, node, aside.name).get("hasVote") is False, within_s=30, what="no vote")  # type: ignore[misc]

    def note(node: LabNode, code: str) -> str:
        return next((one["severity"] for one in lab.health(node)["findings"] if one["code"] == code), "")

    eventually(lambda: note(leader, "RD-908") == "note", within_s=30, what="named by the others", say=lab.logs)
    eventually(lambda: note(aside, "RD-902") == "note", within_s=30, what="named by itself", say=lab.logs)
    assert lab.health(leader)["clusterHealthy"], "that is what the administrator ordered"
    lines = prefork.run("status", "--config", leader.file).stdout.splitlines()
    assert any("VOTE" in line for line in lines)
    assert any(aside.name in line and "maintenance" in line and " no " in line for line in lines)

    order(lab, aside, "PUT", f"nodes/{aside.name}/maintenance", {"maintenance": False})
    eventually(lambda: aside.name in voters(lab, leader), within_s=40, what="it is a member again", say=lab.logs)
    lab.wait_until_healthy()
