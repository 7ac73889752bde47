"""The sample units are ones that systemd accepts, and say what the node and the witness rely on."""

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rppam.kernel.errors import Exit

pytestmark = pytest.mark.integration

UNIT = Path(__file__).parents[2] / "packaging" / "rppam.service"
WITNESS = UNIT.with_name("rppam-witness.service")
HARDENING = (
    "CapabilityBoundingSet", "LimitCORE", "LockPersonality", "NoNewPrivileges",
    "Private", "Protect", "Restrict", "SystemCall", "UMask",
)  # fmt: skip


def service(path: Path = UNIT) -> configparser.SectionProxy:
    unit = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's keys are case-sensitive
    unit.read_string(path.read_text(encoding="utf-8"))
    return unit["Service"]


def test_the_node_reports_itself_and_is_brought_back() -> None:
    unit = service()
    assert unit["Type"] == "notify"
    assert int(unit["WatchdogSec"]) > 0
    assert unit["Restart"] == "always"
    assert unit["KillSignal"] == "SIGTERM"
    assert int(unit["TimeoutStopSec"]) > 10  # a node drains for up to ten seconds


def test_what_a_restart_cannot_heal_is_not_restarted_and_a_lost_redis_is() -> None:
    given_up = {int(code) for code in service()["RestartPreventExitStatus"].split()}
    assert given_up == {Exit.ERRORS, Exit.IN_USE, Exit.LICENCE, Exit.CONFIGURATION}


def test_the_witness_is_as_closed_as_the_node_and_ends_for_good_where_a_restart_cannot_heal() -> None:
    node, witness = service(), service(WITNESS)

    def closed(unit: configparser.SectionProxy) -> dict[str, str]:
        return {key: unit[key] for key in unit if key.startswith(HARDENING) and key != "RestrictAddressFamilies"}

    def without_exits(keys: dict[str, str]) -> dict[str, str]:
        return {key: value for key, value in keys.items() if not key.startswith("RestartPrevent")}

    assert without_exits(closed(witness)) == without_exits(closed(node))
    assert witness["RestrictAddressFamilies"] == "AF_UNIX AF_INET AF_INET6"
    given_up = {int(code) for code in witness["RestartPreventExitStatus"].split()}
    assert given_up == {Exit.ERRORS, Exit.IN_USE, Exit.CONFIGURATION}
    assert witness["Type"] == "notify"
    assert witness["StateDirectory"] == "rppam-witness"
    assert witness["ExecStart"].endswith("rppam witness --config /etc/rppam/rppam-witness.config")


@pytest.mark.parametrize("unit", [UNIT, WITNESS], ids=lambda unit: unit.name)
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_accepts_every_line(unit: Path, tmp_path: Path) -> None:
    here = tmp_path / unit.name
    installed = "/opt/rppam/.venv/bin/rppam"
    text = unit.read_text(encoding="utf-8")
    assert installed in text
    # Verification wants the program and the manual to be there.
    text = text.replace(installed, str(Path(sys.executable).parent / "rppam"))
    text = text.replace("file:///opt/rppam", unit.parents[1].as_uri())
    here.write_text(text, encoding="utf-8")
    run = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(here)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    complaints = [line for line in run.stderr.splitlines() if unit.name in line]
    assert complaints == []
    assert run.returncode == 0, run.stderr
