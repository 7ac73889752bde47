"""The demo's line to paste: a user who knows no key is on the target, on every node, and so after a node died."""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.demo.running import demo

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


def test_the_line_to_paste_works_on_every_node_and_when_one_has_died(tmp_path: Path) -> None:
    with demo(tmp_path, nodes=2) as running:
        ready = running.ready()
        gateway = ready["gateway"]
        assert set(gateway) == {"host", "port", "user", "account", "target"}
        assert gateway["port"] == ready["nodes"][0]["sshPort"]
        user = f"{gateway['user']}+{gateway['target']}"
        for name in (user, f"{gateway['user']}+{gateway['account']}+{gateway['target']}", f"admin+{gateway['target']}"):
            ended = ssh(ready, gateway["port"], name, tmp_path, "id -un")
            assert (ended.returncode, ended.stdout.strip()) == (0, gateway["account"]), ended
        os.kill(ready["nodes"][0]["pid"], signal.SIGKILL)
        until = time.monotonic() + 40
        while True:  # the other node shows the same host key under the same name
            ended = ssh(ready, ready["nodes"][1]["sshPort"], user, tmp_path, "id -un")
            if ended.returncode == 0 or time.monotonic() > until:
                break
        assert (ended.returncode, ended.stdout.strip()) == (0, gateway["account"]), ended
