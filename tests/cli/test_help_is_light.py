"""``rppam --help`` loads no more than it shows: whoever types it does not wait for a database driver."""

import subprocess
import sys

import pytest

HEAVY = ("sqlalchemy", "fastapi", "pydantic", "cryptography", "msgspec", "asyncio", "uvicorn", "rich")


@pytest.mark.integration
def test_help_imports_nothing_that_takes_long() -> None:
    lines = ["import sys", "import rppam.app.main", f"print([name for name in {HEAVY!r} if name in sys.modules])"]
    command = [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
