"""A finding that is acknowledged on a running cluster: in health, status, metrics, the doctor and the ledger."""

import json
import urllib.request
from typing import Any

import pytest

from tests.support import prefork
from tests.support.lab import CALM, Lab, LabNode, eventually
from tests.support.lab_fixtures import KIND, MakeLab
from tests.support.redis_servers import Server

pytestmark = [pytest.mark.integration, pytest.mark.pair]


def doctor(node: LabNode) -> tuple[int, dict[str, dict[str, Any]], str]:
    done = prefork.run("doctor", "--config", node.file, "--json")
    return done.returncode, {one["code"]: one for one in json.loads(done.stdout)["findings"]}, done.stderr


def settings(node: LabNode, *words: str) -> Any:
    return prefork.run("settings", *words, "--config", node.file)


def listed(*codes: str, **changed: str) -> str:
    entries = [{"code": one, "reason": "a trial", "by": "alice", "until": "2999-12-31", **changed} for one in codes]
    return f"findings={json.dumps(entries)}"


def warnings_in(lab: Lab, node: LabNode) -> dict[str, Any]:
    return {one["code"]: one["acknowledged"] for one in lab.health(node)["findings"] if one["severity"] == "warning"}


def metric(node: LabNode, name: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{node.port}/system/metrics", timeout=10) as reply:
        lines = reply.read().decode().splitlines()
    return next((line.rpartition(" ")[2] for line in lines if line.startswith(name)), "")


def test_it_is_shown_and_counts_no_more_and_what_may_not_be_is_refused(make_lab: MakeLab) -> None:
    with Server(KIND) as server:
        server.ask("CONFIG", "SET", "maxmemory", str(200 * 1024 * 1024))
        lab = make_lab(nodes=1, times=CALM, redis_port=server.port)
        (node,) = lab.nodes
        lab.start()
        eventually(lambda: "RD-305" in warnings_in(lab, node), within_s=30, what="the first check", say=lab.logs)
        assert set(warnings_in(lab, node).values()) == {None}
        code, found, _ = doctor(node)
        all_of_them = sorted(one for one in found if found[one]["severity"] == "warning")
        assert code == 1, found

        refused = settings(node, "set", "doctor/acknowledged", listed("RD-303"))
        assert refused.returncode == 2
        assert "may not be acknowledged" in refused.stderr
        assert "Turn AOF on" in refused.stderr, "the fix"
        assert set(warnings_in(lab, node).values()) == {None}

        done = settings(node, "set", "doctor/acknowledged", listed(*all_of_them))
        assert done.returncode == 0, done.stderr
        known = {"by": "alice", "reason": "a trial", "until": "2999-12-31"}
        eventually(lambda: warnings_in(lab, node).get("RD-305") == known, within_s=30, what="obeyed", say=lab.logs)
        eventually(lambda: metric(node, "rppam_findings_acknowledged") not in ("", "0"), within_s=30, what="counted")
        assert metric(node, 'rppam_findings{severity="warning"}') == ""
        screen = prefork.run("status", "--config", node.file).stdout
        assert "acknowledged by alice until 2999-12-31: a trial" in screen
        code, found, progress = doctor(node)
        assert code == 0, found
        assert [found[one]["acknowledged"] for one in all_of_them] == [known] * len(all_of_them)
        assert f"acknowledged findings ... {len(all_of_them)}" in progress
        people = prefork.run("doctor", "--config", node.file).stdout
        assert "known: by alice until 2999-12-31: a trial" in people
        assert f"{len(all_of_them)} acknowledged)" in people.splitlines()[-1]

        events = prefork.run("audit", "list", "--config", node.file, "--action", "setting.change", "--json")
        assert "doctor/acknowledged" in events.stdout, events.stderr
        history = settings(node, "history", "doctor/acknowledged")
        assert "RD-305" in history.stdout

        over = settings(node, "set", "doctor/acknowledged", listed("RD-305", until="2020-01-31"))
        assert over.returncode == 0, over.stderr
        eventually(lambda: warnings_in(lab, node).get("RD-305") is None, within_s=30, what="over", say=lab.logs)
        code, found, _ = doctor(node)
        assert code == 1
        assert "until 2020-01-31, which is over" in found["RD-305"]["evidence"]
