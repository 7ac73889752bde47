"""What the package of a host says of a build of Redis, and what is made of it for servers of that build."""

import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from rppam.doctor.packages import BINARIES, Package, debian_entries, mended_in, package_of, rpm_entries
from rppam.doctor.redis_requirements import known_holes, server_findings
from rppam.kernel.finding import Finding, Severity
from tests.doctor.test_redis_requirements import GOOD

DEBIAN = """\
redis (5:7.0.15-1~deb12u6) bookworm-security; urgency=high

  * CVE-2025-49844 / CVE-2025-46819: a Lua script can run code.

 -- Somebody <somebody@example.org>  Tue, 07 Oct 2025 20:00:58 +0200

redis (5:7.0.15-1~deb12u4) bookworm-security; urgency=high

  * CVE-2025-21605: Limit output buffer for unauthenticated clients.
  * Revert the patch for CVE-2020-1111, which broke replication.

 -- Somebody <somebody@example.org>  Tue, 07 May 2025 20:00:58 +0200

redis (5:7.0.14-1) unstable; urgency=medium

  * CVE-2019-9999: of another version.

 -- Somebody <somebody@example.org>  Tue, 07 May 2024 20:00:58 +0200
"""
RPM = """\
* Tue Oct 07 2025 Somebody <somebody@example.org> - 7.0.15-2
- Fix Lua (CVE-2025-49844)

* Mon May 05 2025 Somebody <somebody@example.org> 7.0.14-1
- Rebase (CVE-2025-21605)
"""
OLD = replace(GOOD, version="7.0.15", redis_version="7.0.15", info={**GOOD.info, "redis_build_id": "b52b02bf0759f5b4"})
PACKAGE = Package("7.0.15-1~deb12u6", "b52b02bf0759f5b4", frozenset({"CVE-2025-49844", "CVE-2025-21605"}))


def of(facts: object) -> Finding:
    (one,) = server_findings(facts, patience_ms=1_000)  # type: ignore[arg-type]
    assert one.code == "RD-302"
    return one


@pytest.fixture
def host(tmp_path: Path) -> tuple[dict[str, Path], Path]:
    """A host with a package of Redis: its program, and its changelog."""
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\necho 'Redis server v=7.0.15 sha=00000000:0 bits=64 build=b52b02bf0759f5b4'\n")
    program.chmod(0o755)
    place = tmp_path / "doc" / "redis-server"
    place.mkdir(parents=True)
    (place / "changelog.Debian.gz").write_bytes(gzip.compress(DEBIAN.encode()))
    return {"redis": program}, tmp_path / "doc"


def test_a_package_says_its_build_and_what_it_mends(host: tuple[dict[str, Path], Path]) -> None:
    found = package_of("redis", *host)
    assert isinstance(found, Package)
    assert found.version == "7.0.15-1~deb12u6"
    assert found.build == "b52b02bf0759f5b4"
    assert found.mended == {"CVE-2025-49844", "CVE-2025-46819", "CVE-2025-21605"}, "not what another version had"


def test_a_program_that_is_replaced_is_asked_again(host: tuple[dict[str, Path], Path]) -> None:
    package_of("redis", *host)
    program = host[0]["redis"]
    fresh = program.with_suffix(".new")
    fresh.write_text(program.read_text().replace("b52b02bf0759f5b4", "c0ffee"))
    fresh.chmod(0o755)
    fresh.rename(program)
    found = package_of("redis", *host)
    assert isinstance(found, Package)
    assert found.build == "c0ffee"


def test_why_nothing_can_be_said_is_said(host: tuple[dict[str, Path], Path]) -> None:
    binaries, docs = host
    assert "no package of redis" in str(package_of("redis", {"redis": docs / "absent"}, docs))
    assert "no distribution" in str(package_of("other", binaries, docs))
    assert "no changelog" in str(package_of("redis", binaries, docs / "absent"))
    program = binaries["redis"]
    program.write_text("#!/bin/sh\necho 'Redis server v=7.0.16 build=b52b02bf0759f5b4'\n")
    assert "no changelog of its package for version 7.0.16" in str(package_of("redis", binaries, docs)), "made by hand"
    program.write_text("#!/bin/sh\nexit 1\n")
    assert "does not say which build" in str(package_of("redis", binaries, docs))


def test_changelogs_are_read_by_their_versions() -> None:
    assert [version for version, _ in debian_entries(DEBIAN.splitlines())] == [
        "7.0.15-1~deb12u6",
        "7.0.15-1~deb12u4",
        "7.0.14-1",
    ]
    assert [version for version, _ in rpm_entries(RPM.splitlines())] == ["7.0.15-2", "7.0.14-1"]
    assert mended_in(["- Fix Lua (CVE-2025-49844)", "  * CVE-2025-21605 is not yet fixed", "revert CVE-2025-1111"]) == {
        "CVE-2025-49844"
    }


def test_a_build_that_its_distribution_has_mended_is_a_note_wherever_it_runs() -> None:
    assert set(known_holes(OLD)) == {"CVE-2025-49844", "CVE-2025-21605"}
    one = of(replace(OLD, package=PACKAGE))
    assert one.severity is Severity.NOTE
    assert "the package 7.0.15-1~deb12u6 on this host" in one.evidence
    assert "says that it mends CVE-2025-49844, CVE-2025-21605" in one.evidence


def test_a_hole_that_the_changelog_does_not_name_stays_a_warning() -> None:
    one = of(replace(OLD, package=PACKAGE._replace(mended=frozenset({"CVE-2025-49844"}))))
    assert one.severity is Severity.WARNING
    assert "does not name CVE-2025-21605" in one.evidence
    assert "CVE-2025-49844" not in one.evidence


@pytest.mark.parametrize(
    ("package", "said"),
    [
        (None, "could not be asked"),
        ("this host has no package of redis", "could not be asked: this host has no package of redis"),
        (
            PACKAGE._replace(build="c0ffee"),
            "it is the build b52b02bf0759f5b4, and this host's package 7.0.15-1~deb12u6",
        ),
    ],
)
def test_what_could_not_be_asked_is_not_told_as_mended(package: Package | str | None, said: str) -> None:
    one = of(replace(OLD, package=package))
    assert one.severity is Severity.WARNING
    assert said in one.evidence
    silent = of(replace(OLD, info=GOOD.info, package=PACKAGE))
    assert silent.severity is Severity.WARNING
    assert "it does not say which build it is" in silent.evidence


@pytest.mark.skipif(not BINARIES["redis"].exists(), reason="no package of Redis is installed here")
def test_the_package_of_this_machine_can_be_asked() -> None:
    found = package_of("redis")
    assert isinstance(found, Package) or "changelog" in found
