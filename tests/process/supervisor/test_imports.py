"""The supervisor stays small: it outlives everything, and keeps what it imported for the node's whole life."""

import subprocess
import sys

import pytest

LARGE = {"asyncio", "dataclasses", "inspect", "msgspec", "pydantic", "ssl"}


@pytest.mark.integration
@pytest.mark.skipif(sys.platform == "win32", reason="a node is a single process there")
def test_the_supervisor_imports_nothing_large() -> None:
    code = "import rppam.process.supervisor.run, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.split()
    assert LARGE & set(loaded) == set()
