"""The demo's line to paste: a user who knows no key is on the target, on every node, and so after a node died, while
Redis is away, and while nobody leads."""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.demo.running import demo, of

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.pair]


def ssh(ready: dict[str, Any], port: int, user: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    ask = folder / "ask"
    ask.write_text(f"#!/bin/sh\necho '{ready['adminPassword']}'\n")
    ask.chmod(0o700)
    env = {**os.environ, "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"}
    known = ["-o", f"UserKnownHostsFile={folder / 'known'}", "-o", "StrictHostKeyChecking=accept-new"]
    argv = ["ssh", "-p", str(port), *known, "-o", "HostKeyAlias=cluster", f"{user}@127.0.0.1", *words]
    return subprocess.run(
        argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )


def leader_of(ready: dict[str, Any], node: dict[str, Any]) -> str | None:
    """Who leads, as a node knows it."""
    url = node["url"]
    sign_in = {"username": "admin", "password": ready["adminPassword"]}
    token = httpx.post(url + "/api/v1/auth/login", json=sign_in).raise_for_status().json()["accessToken"]
    answer = httpx.get(url + "/system/health/cluster", headers={"Authorization": f"Bearer {token}"})
    leader: str | None = answer.raise_for_status().json()["leaderNode"]
    return leader


def test_sessions_begin_on_every_node_without_redis_and_without_a_leader(tmp_path: Path) -> None:
    with demo(tmp_path, nodes=2) as running:
        ready = running.ready()
        gateway = ready["gateway"]
        assert set(gateway) == {"host", "port", "user", "account", "target"}
        assert gateway["port"] == ready["nodes"][0]["sshPort"]
        user = f"{gateway['user']}+{gateway['target']}"
        for name in (user, f"{gateway['user']}+{gateway['account']}+{gateway['target']}", f"admin+{gateway['target']}"):
            ended = ssh(ready, gateway["port"], name, tmp_path, "id -un")
            assert (ended.returncode, ended.stdout.strip()) == (0, gateway["account"]), ended
        (leader,) = of(ready, role="leader")
        (other,) = of(ready, role="standby")
        os.kill(ready["redis"]["pid"], signal.SIGSTOP)
        try:
            for node in (leader, other):  # both show the same host key under the same name
                ended = ssh(ready, node["sshPort"], user, tmp_path, "id -un")
                assert (ended.returncode, ended.stdout.strip()) == (0, gateway["account"]), ended
            os.kill(leader["pid"], signal.SIGKILL)
            deadline = time.monotonic() + 20
            while leader_of(ready, other) is not None:
                assert time.monotonic() < deadline
                time.sleep(0.2)
            ended = ssh(ready, other["sshPort"], user, tmp_path, "id -un")
            assert (ended.returncode, ended.stdout.strip()) == (0, gateway["account"]), ended
            assert leader_of(ready, other) is None
        finally:
            os.kill(ready["redis"]["pid"], signal.SIGCONT)
        assert running.until("leader-elected")["node"] == other["nodeName"]
