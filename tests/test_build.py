"""What is handed out works where nothing else is: built, installed into an empty environment, and run."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[1]


@pytest.mark.pair
@pytest.mark.slow
def test_the_wheel_and_the_source_distribution_install_and_run(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "build.py"), "--dist", str(tmp_path / "dist")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(path.suffix for path in (tmp_path / "dist").iterdir()) == [".gz", ".whl"]
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        assert {"rppam/packaging/rppam.service", "rppam/packaging/rppam-witness.service"} <= set(opened.namelist())
