"""``rppam cluster`` as an administrator types it on a node's host."""

import json
import subprocess
from typing import Any

from tests.support import prefork
from tests.support.lab import LabNode


def cluster(node: LabNode, *words: str) -> "subprocess.CompletedProcess[str]":
    """One command, on the host of ``node``."""
    return prefork.run("cluster", *words, "--config", node.file, environment=prefork.clean())


def told(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    """What a command with ``--json`` printed; it must have ended well."""
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
