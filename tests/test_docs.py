"""Every command in the documentation is run, every link leads somewhere, every generated page is current.

The convention is told in docs/README.md and in tests/support/pages.py.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.pages import Page, PageError, environment, on_port, parse, run, running_demo

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[1]
AT_THE_TOP = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
FILES = sorted([*(ROOT / name for name in AT_THE_TOP), *(ROOT / "docs").rglob("*.md")])
PAGES = [parse(str(file.relative_to(ROOT)), file.read_text(encoding="utf-8")) for file in FILES if file.exists()]
WITH_COMMANDS = [page for page in PAGES if page.commands]
PLAIN = [page for page in WITH_COMMANDS if not page.needs]
IN_THE_CHECKOUT = [page for page in WITH_COMMANDS if "checkout" in page.needs]
WITH_DEMO = [page for page in WITH_COMMANDS if page.needs == {"demo"}]
"""Pages with hosts have tests of their own in tests/setup: test_three_nodes.py, test_from_nothing.py."""


def name(page: Page) -> str:
    return page.name


@pytest.mark.parametrize("page", PLAIN, ids=name)
def test_a_page_of_commands_does_what_it_says(page: Page, tmp_path: Path) -> None:
    run(page, tmp_path, environment(tmp_path))


@pytest.mark.alone
@pytest.mark.parametrize("page", IN_THE_CHECKOUT, ids=name)
def test_a_page_that_is_typed_in_the_checkout_does_what_it_says(page: Page, tmp_path: Path) -> None:
    if "demo" not in page.needs:
        run(page, ROOT, environment(tmp_path))
        return
    # It may start a cluster of its own at the documented port.
    with running_demo(tmp_path, documented_port=False) as (port, admin):
        run(on_port(page, port), ROOT, environment(tmp_path) | admin)


@pytest.mark.pair
@pytest.mark.parametrize("page", WITH_DEMO, ids=name)
def test_a_page_that_needs_a_cluster_does_what_it_says(page: Page, tmp_path: Path) -> None:
    others_run = "PYTEST_XDIST_WORKER" in os.environ
    with running_demo(tmp_path, documented_port=not others_run) as (port, admin):
        run(on_port(page, port), tmp_path, environment(tmp_path) | admin)


def test_links_lead_somewhere() -> None:
    dead: list[str] = []
    for file in FILES:
        targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", file.read_text(encoding="utf-8"))
        local = [target for target in targets if "://" not in target]
        dead += [f"{file.relative_to(ROOT)}: {target}" for target in local if not (file.parent / target).exists()]
    assert dead == []


def test_every_page_is_reached_from_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = [str(file.relative_to(ROOT / "docs")) for file in FILES if (ROOT / "docs") in file.parents]
    assert [page for page in pages if page != "README.md" and f"({page})" not in index] == []


def test_no_command_carries_a_password() -> None:
    """Every account of a host reads the command lines of all."""
    carries = re.compile(r"-pass(in|out)?\s+pass:|redis-cli\b.*\s(-a|--pass)\s|[,\s'\"]password=|://[^/\s:]*:[^/\s@]+@")
    found = [
        f"{page.name}:{block.line}: {line}"
        for page in PAGES
        for block in page.blocks
        if block.language in {"sh", "console"}
        for line in block.text.splitlines()
        if carries.search(line)
    ]
    assert found == []


def test_the_tests_that_pages_name_are_there() -> None:
    named = {
        (path, test)
        for file in FILES
        for path, _, test in re.findall(r"`(tests/[\w/]+\.py)(::(\w+))?`", file.read_text(encoding="utf-8"))
    }
    assert len(named) > 20
    missing = [
        f"{path}::{test}"
        for path, test in sorted(named)
        if not (ROOT / path).exists() or f"def {test}" not in (ROOT / path).read_text(encoding="utf-8")
    ]
    assert missing == []


def test_generated_references_are_current() -> None:
    command = [sys.executable, "-m", "scripts.references", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


# --- the machinery itself ----------------------------------------------------------------------------------------


def page_of(*lines: str) -> Page:
    return parse("page.md", "\n".join(lines) + "\n")


def test_blocks_are_typed_into_one_shell_in_an_empty_folder(tmp_path: Path) -> None:
    page = page_of("```sh", "ls", "word=kept; echo 1 > file", "```", "", "```sh", "echo $word; cat file", "```", "",
                   "<!-- prints -->", "```text", "kept", "1", "```")  # fmt: skip
    run(page, tmp_path, environment(tmp_path))


@pytest.mark.parametrize("command", ["false", "cat absent | cat", 'echo "$UNSET"', "echo other"])
def test_a_command_that_fails_or_prints_something_else_fails_the_page(command: str, tmp_path: Path) -> None:
    page = page_of("```sh", command, "```", "<!-- prints -->", "```text", "expected", "```")
    with pytest.raises(AssertionError, match=r"page\.md:1"):
        run(page, tmp_path, environment(tmp_path))


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    page = page_of("```sh", "sleep 61 & sleep 61", "```")
    begun = time.monotonic()
    with pytest.raises(AssertionError, match="ended after"):
        run(page, tmp_path, environment(tmp_path), timeout_s=0.3)
    assert time.monotonic() - begun < 10


def test_a_block_with_a_reason_is_not_typed_and_the_reason_is_shown_to_readers() -> None:
    page = page_of("*Not run by the tests: it needs two hosts.*", "", "```sh", "exit 1", "```")
    assert page.commands == []
    assert page.blocks[0].not_run == "it needs two hosts"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["```", "x", "```"], r"page\.md:1: expected a language"),
        (["```bash", "x", "```"], r"page\.md:1: expected a language"),
        (["text", "```sh", "x"], r"page\.md:2: this block is never closed"),
        (["<!-- run: everything -->"], r"page\.md:1: run: expected one of"),
        (["<!-- prints -->", "```text", "x", "```"], r"page\.md:2: 'prints' expects an sh block before it"),
    ],
)
def test_a_page_that_breaks_the_convention_is_named(lines: list[str], message: str) -> None:
    with pytest.raises(PageError, match=message):
        page_of(*lines)
