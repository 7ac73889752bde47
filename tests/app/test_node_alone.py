"""One node without a cluster: what it says of a Redis that it does not use, and why it stopped when it had to."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.support import prefork
from tests.support.ports import free_base

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def written(folder: Path, redis: dict[str, Any]) -> tuple[Path, int]:
    """A config file and the port of its API."""
    port = free_base(1)
    config = folder / "rppam.config"
    config.write_text(
        json.dumps(
            {
                "node": {"nodeName": "alone", "dataDir": str(folder)},
                "redis": redis,
                "database": {"url": f"sqlite:///{folder / 'rppam.db'}"},
                "auth": {"jwtKeysDir": str(folder / "jwt")},
                "api": {"port": port, "drainSeconds": 1},
            }
        )
    )
    config.chmod(0o600)
    return config, port


def rppam(*words: str) -> list[str]:
    return [sys.executable, "-m", "rppam", *words]


def test_a_node_without_redis_leads_and_says_that_it_uses_none(tmp_path: Path) -> None:
    config, port = written(tmp_path, {"enabled": False})
    with subprocess.Popen(rppam("node", "--config", str(config)), stderr=subprocess.PIPE) as process:
        try:
            until = time.monotonic() + 20
            while not leads(port):
                assert time.monotonic() < until
                time.sleep(0.1)
            asked = prefork.run("status", "--config", config, "--json")
            assert asked.returncode == 0, asked.stderr
            health = json.loads(asked.stdout)
            assert (health["clusterHealthy"], health["leaderNode"], health["redisConnected"]) == (True, "alone", False)
            assert health["redisReason"] == "this node runs alone, without Redis: redis.enabled is false"
            process.terminate()
            assert process.wait(10) == 0
        finally:
            process.kill()


def leads(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/system/health/leader", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def test_a_node_that_may_not_start_logs_why_it_stops(tmp_path: Path) -> None:
    config, _ = written(tmp_path, {"enabled": True, "connectionString": "127.0.0.1:1,connectRetry=1"})
    ended = prefork.run("node", "--config", config)
    assert ended.returncode == 69
    assert "stopping: connection refused by 127.0.0.1:1; check that Redis runs there" in ended.stderr
