"""The gateway as a process of a node: it takes connections, and another one follows where one dies."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rppam.process.linux import GATEWAY_NAME, children_of
from tests.support.ports import free_base, free_port

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def banner(port: int) -> bytes:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 2) as plug:
        plug.settimeout(2)
        return plug.recv(64)
    return b""


def gateways(node: int) -> list[int]:
    return [pid for pid, name in children_of(node).items() if name == GATEWAY_NAME]


def test_a_node_takes_ssh_and_replaces_a_gateway_that_died(tmp_path: Path) -> None:
    port, api = free_port(), free_base(1)
    tree = {
        "node": {"nodeName": "alone", "dataDir": str(tmp_path)},
        "database": {"url": f"sqlite:///{tmp_path / 'rppam.db'}"},
        "auth": {"jwtKeysDir": str(tmp_path / "jwt")},
        "api": {"port": api, "drainSeconds": 1},
        "access": {"enabled": True, "host": "127.0.0.1", "port": port, "gateways": 2},
    }
    config = tmp_path / "rppam.config"
    config.write_text(json.dumps(tree))
    config.chmod(0o600)
    argv = [sys.executable, "-m", "rppam", "node", "--config", str(config)]
    with subprocess.Popen(argv, stderr=subprocess.PIPE) as process:
        try:
            until = time.monotonic() + 30
            while not banner(port).startswith(b"SSH-2.0-RP-PAM"):
                assert time.monotonic() < until
                time.sleep(0.1)
            first = gateways(process.pid)
            assert len(first) == 2
            os.kill(first[0], signal.SIGKILL)
            while len(set(gateways(process.pid)) - {first[0]}) < 2:
                assert time.monotonic() < until
                time.sleep(0.1)
            for _ in range(4):
                assert banner(port).startswith(b"SSH-2.0-RP-PAM")
            process.terminate()
            assert process.wait(10) == 0
        finally:
            process.kill()
