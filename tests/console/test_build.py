"""The pages that are committed belong to their sources, are small, and are served with nothing left open."""

import gzip
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.console_build import BUILT, CONSOLE, NOTE, sources
from tests.support.served import Served

VITE = CONSOLE / "node_modules" / ".bin" / "vite"
FIRST_LOAD_MAX = 150 * 1024


def test_what_is_built_belongs_to_the_sources() -> None:
    assert json.loads(NOTE.read_text(encoding="utf-8")) == {"sources": sources()}, "run `make console`"


def test_the_lock_names_versions_and_hashes_and_no_host() -> None:
    lock = json.loads((CONSOLE / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: one for name, one in lock["packages"].items() if name}
    assert packages
    assert [name for name, one in packages.items() if "integrity" not in one or "resolved" in one] == []


def test_the_first_load_is_small() -> None:
    """All but what is loaded when a terminal or a recording is opened."""
    lazy = {"player", "watch", "screen", "shellview"}
    files = [one for one in BUILT.iterdir() if one.stem not in lazy]
    size = sum(len(gzip.compress(one.read_bytes(), 9)) for one in files)
    assert 10 * 1024 < size < FIRST_LOAD_MAX, f"{size} bytes"


def test_every_word_has_its_german() -> None:
    """One catalogue; what is missing would be English on a German page."""
    catalogue = (CONSOLE / "src" / "lib" / "german.ts").read_text(encoding="utf-8")
    known = set(re.findall(r'^  (?:"((?:[^"\\]|\\.)*)"|([A-Za-z]+)):', catalogue, re.MULTILINE))
    words = {one or other for one, other in known}
    used = set()
    for path in CONSOLE.joinpath("src").rglob("*"):
        if path.suffix in {".svelte", ".ts"} and path.stem != "german":
            used |= set(re.findall(r'\bt\(\s*"((?:[^"\\]|\\.)*)"', path.read_text(encoding="utf-8")))
    assert len(used) > 100
    assert sorted(used - words) == []
    assert sorted(words - used) == [], "nobody says these any more"


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.beside
def test_a_new_build_is_the_same_byte_by_byte(tmp_path: Path) -> None:
    if not VITE.exists() or shutil.which("node") is None:
        pytest.skip("Node or console/node_modules is not here: 'make servers' installs them")
    command = [str(VITE), "build", "--outDir", str(tmp_path), "--logLevel", "error"]
    subprocess.run(command, cwd=CONSOLE, check=True, capture_output=True)
    assert {one.name for one in tmp_path.iterdir()} == {one.name for one in BUILT.iterdir()}
    assert [one.name for one in BUILT.iterdir() if one.read_bytes() != (tmp_path / one.name).read_bytes()] == []


@pytest.mark.integration
async def test_the_page_and_its_files_are_served_under_a_strict_policy(served: Served) -> None:
    page = await served.http.get("/console/")
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'" in policy
    files = re.findall(r'"(/static/console/[^"]+)"', page.text)
    assert len(files) == 4
    build = re.search(r'rppam-build" content="([0-9a-f]{16})"', page.text)
    assert build is not None
    assert all(one.startswith(f"/static/console/{build[1]}/") for one in files)
    for one in files:
        answer = await served.http.get(one)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
    assert (await served.http.get("/console")).text == page.text
    assert (await served.http.get(f"/static/console/{build[1]}/page.html")).status_code == 401
