"""A fix is shown for the platform of this host, and for all of them where that is none of them."""

from pathlib import Path

import pytest

from rppam.catalogue.fixes import fix_on
from rppam.catalogue.table import ROWS
from rppam.doctor.report import platform_of


@pytest.mark.parametrize(
    ("release", "platform"),
    [
        ("ID=debian\n", "Debian/Ubuntu"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', "Debian/Ubuntu"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "RHEL"),
        ("ID=arch\n", ""),
        (None, ""),
    ],
)
def test_the_platform_is_read_where_every_distribution_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str | None, platform: str
) -> None:
    monkeypatch.setattr("rppam.doctor.report.is_container", lambda _: False)
    (tmp_path / "etc").mkdir()
    if release is not None:
        (tmp_path / "etc/os-release").write_text(release)
    assert platform_of(tmp_path) == platform


def test_a_container_is_one_whatever_its_image_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rppam.doctor.report.is_container", lambda _: True)
    assert platform_of(tmp_path) == "Docker"


def test_other_platforms_are_left_out_and_what_is_for_all_stays() -> None:
    text = ROWS["RD-802"].fix.text()
    shown = fix_on(text, "RHEL").splitlines()
    assert [line.partition(":")[0] for line in shown[1:]] == ["RHEL"]
    assert shown[0] == ROWS["RD-802"].advice
    assert fix_on(text, "") == text
