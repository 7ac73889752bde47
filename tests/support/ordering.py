"""``rppam cluster`` as an administrator types it on a node's host."""

import json
import os
import subprocess
import sys
from typing import Any

from tests.support.lab import LabNode


def cluster(node: LabNode, *words: str) -> "subprocess.CompletedProcess[str]":
    """One command, on the host of ``node``."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RPPAM_")}
    return subprocess.run(
        [sys.executable, "-m", "rppam", "cluster", *words, "--config", str(node.file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
        env=clean,
    )


def told(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    """What a command with ``--json`` printed; it must have ended well."""
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
