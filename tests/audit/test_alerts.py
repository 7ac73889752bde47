"""The alert rules that come with the product: they name metrics that a node shows, and fire when they should."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RULES = {
    ROOT / "packaging" / "rppam-ledger.rules.yml": ROOT / "tests" / "audit" / "rppam-ledger.test.yml",
    ROOT / "packaging" / "rppam.rules.yml": ROOT / "tests" / "manager" / "rppam.test.yml",
}
"""Each file of rules, and what they are tried with."""


@pytest.mark.parametrize("file", RULES, ids=lambda file: file.name)
def test_each_rule_names_metrics_that_a_node_shows_and_has_a_test(file: Path) -> None:
    rules, tests = file.read_text("utf-8"), RULES[file].read_text("utf-8")
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "src" / "rppam").rglob("*.py"))
    metrics = set(re.findall(r"rppam_[a-z_]+", "".join(re.findall(r"expr: (.*)", rules))))
    assert len(metrics) >= 6
    assert {name for name in metrics if f'"{name}"' not in sources} == set()
    alerts = re.findall(r"- alert: (\w+)", rules)
    assert {name for name in alerts if f"alertname: {name}" not in tests} == set()
    page = (ROOT / "docs" / "operations" / "metrics.md").read_text("utf-8")
    assert {name for name in metrics if f"`{name}" not in page} == set()


@pytest.mark.integration
@pytest.mark.parametrize("tests", RULES.values(), ids=lambda file: file.name)
def test_the_rules_fire_when_they_should(tests: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool on this machine (Debian: promtool)")
    done = subprocess.run([promtool, "test", "rules", tests], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
