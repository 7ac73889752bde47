"""Fixes name no service manager where none starts the node."""

import re
from pathlib import Path

import pytest

from rppam.catalogue.table import ROWS
from rppam.doctor.by_hand import by_hand, has_unit

DEFAULT = Path("/etc/rppam/rppam.config")


def unit(root: Path, name: str, text: str) -> None:
    file = root / "etc/systemd/system" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_a_host_without_units_has_none(tmp_path: Path) -> None:
    assert not has_unit(DEFAULT, tmp_path)
    unit(tmp_path, "redis-server.service", "ExecStart=/usr/bin/redis-server /etc/rppam/rppam.config")
    assert not has_unit(DEFAULT, tmp_path)


def test_the_unit_of_the_package_starts_the_default_config_and_no_other(tmp_path: Path) -> None:
    unit(tmp_path, "rppam.service", "ExecStart=/opt/rppam/.venv/bin/rppam node")
    assert has_unit(DEFAULT, tmp_path)
    assert not has_unit(Path("/srv/one/rppam.config"), tmp_path)


@pytest.mark.parametrize("place", ["rppam@one.service", "rppam.service.d/place.conf"])
def test_a_unit_that_names_the_config_is_found(tmp_path: Path, place: str) -> None:
    unit(tmp_path, "rppam.service", "ExecStart=/opt/rppam/.venv/bin/rppam node")
    unit(tmp_path, place, "ExecStart=rppam node --config /srv/one/rppam.config\n")
    assert has_unit(Path("/srv/one/rppam.config"), tmp_path)
    assert not has_unit(Path("/srv/one/rppam.conf"), tmp_path)


@pytest.mark.parametrize("code", sorted(ROWS))
def test_no_line_of_this_host_needs_a_unit_or_the_account_of_the_package(code: str) -> None:
    for line in ROWS[code].fix.text().split("\n")[1:]:
        platform, _, rest = line.partition(": ")
        if platform not in {"Debian/Ubuntu", "RHEL"} or rest.startswith("there:"):
            continue
        said = by_hand(rest)
        assert not re.search(r"systemctl \w+ rppam|-u rppam|-o rppam|rppam:(?!\w)", said), said


def test_what_to_do_instead() -> None:
    def line(code: str) -> str:
        return by_hand(ROWS[code].fix.debian)

    assert line("RD-709") == "rppam node --config /etc/rppam/rppam.config"
    assert line("RD-703") == "rppam status; read what it says in its terminal"
    assert line("RD-905") == "stop the node (Ctrl-C in its terminal); rppam node --config /etc/rppam/rppam.config"
    assert line("RD-603").startswith("sudo chown -R $USER: /var/lib/rppam/keys")
