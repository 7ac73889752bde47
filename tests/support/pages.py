"""How the documentation is run: the parser of pages, and the shell that types their commands.

A page is Markdown. Its ``sh`` blocks are typed in order into one shell (``bash -euo pipefail``) in an empty folder,
with this environment's commands on PATH. What a page may say about that:

* ``<!-- run: demo -->``: a cluster of ``rppam demo`` is up; ADMIN_USER, ADMIN_PASSWORD and ADMIN_JWT are set;
* ``<!-- run: checkout -->``: the commands are typed in the checkout instead of an empty folder;
* ``<!-- run: hosts -->``: the page has a test of its own, which types each block on the host that ``<!-- host: NAME
  -->`` above it names (tests/support/typed_hosts.py);
* ``<!-- prints -->`` above a ``text`` block: the ``sh`` block before it prints exactly that;
* a line ``*Not run by the tests: REASON.*`` above a block: it is shown to readers as it stands and not typed.

Every other block (``console``, ``text``, ``json``, ...) is for reading.
"""

import json
import os
import re
import secrets
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tests.support import prefork

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
DOCUMENTED_PORT = 7101
READY_S_MAX = 45
PAGE_S_MAX = 180
LANGUAGES = {"sh", "console", "text", "yaml", "json", "ini", "lua", "mermaid", "python", "sql"}
NEEDS = {"demo", "checkout", "hosts"}

_FENCE = re.compile(r"^```(\S*)\s*$")
_RUN = re.compile(r"^<!-- run: (\S+) -->$")
_NOT_RUN = re.compile(r"^\*Not run by the tests: (.+)\.\*$")
_HOST = re.compile(r"^<!-- host: (\S+) -->$")
_PRINTS = "<!-- prints -->"


class PageError(Exception):
    """A page that does not keep the convention: file, line and what is wrong."""


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    line: int
    language: str
    text: str
    not_run: str | None = None
    expected: str | None = None
    """What it prints, where the page says so."""
    host: str = ""
    """On which host it is typed, where the page has several."""


@dataclass
class Page:
    """What a page asks for."""

    name: str
    needs: set[str] = field(default_factory=set)
    blocks: list[Block] = field(default_factory=list)

    @property
    def commands(self) -> list[Block]:
        """The blocks that are typed."""
        return [block for block in self.blocks if block.language == "sh" and block.not_run is None]


def parse(name: str, text: str) -> Page:
    """Read a page; PageError names the line that breaks the convention."""
    page = Page(name)
    above = ""
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        if found := _RUN.match(line):
            if found[1] not in NEEDS:
                raise PageError(f"{name}:{number}: run: expected one of {sorted(NEEDS)}, found {found[1]!r}")
            page.needs.add(found[1])
        if fence := _FENCE.match(line):
            body = _body(name, number, lines)
            host = found[1] if (found := _HOST.match(above)) else ""
            _add(page, Block(number, fence[1], body, not_run=_reason(above), host=host), prints=above == _PRINTS)
            above = ""
        elif line.strip():
            above = line.strip()
    return page


def _body(name: str, number: int, lines: Iterator[tuple[int, str]]) -> str:
    taken: list[str] = []
    for _, line in lines:
        if line.rstrip() == "```":
            return "\n".join(taken) + "\n"
        taken.append(line)
    raise PageError(f"{name}:{number}: this block is never closed")


def _reason(above: str) -> str | None:
    found = _NOT_RUN.match(above)
    return found[1] if found else None


def _add(page: Page, block: Block, *, prints: bool) -> None:
    where = f"{page.name}:{block.line}"
    if block.language not in LANGUAGES:
        raise PageError(f"{where}: expected a language of {sorted(LANGUAGES)}, found {block.language!r}")
    if not prints:
        page.blocks.append(block)
        return
    if not page.commands or page.blocks[-1] is not page.commands[-1]:
        raise PageError(f"{where}: 'prints' expects an sh block before it that is run")
    last = page.blocks[-1]
    page.blocks[-1] = Block(last.line, last.language, last.text, expected=block.text)
    page.blocks.append(block)


def run(page: Page, folder: Path, environment: dict[str, str], *, timeout_s: float = PAGE_S_MAX) -> None:
    """Type the page's commands. AssertionError tells the block, what it printed and what was expected."""
    mark = f"-- block {secrets.token_hex(8)}"
    script = "".join(f"echo '{mark} {block.line}'\n{block.text}" for block in page.commands)
    shell = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    try:
        out, err = shell.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        out, err = "", f"(ended after {timeout_s} s)"
    finally:
        _end_group(shell)
    printed = {int(part.split("\n", 1)[0]): part.split("\n", 1)[1] for part in out.split(f"{mark} ")[1:]}
    last = max(printed, default=0)
    assert shell.returncode == 0, f"{page.name}:{last}: exit {shell.returncode}\n{printed.get(last, '')}{err}"
    for block in page.commands:
        if block.expected is not None:
            found = printed[block.line]
            assert found == block.expected, f"{page.name}:{block.line}: expected {block.expected!r}, found {found!r}"


def _end_group(shell: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(shell.pid, signal.SIGKILL)
    shell.communicate()


def on_port(page: Page, port: int) -> Page:
    """The page with the documented API port replaced, for a machine where that is taken."""
    blocks = [
        Block(block.line, block.language, block.text.replace(str(DOCUMENTED_PORT), str(port)), block.not_run,
              block.expected)
        for block in page.blocks
    ]  # fmt: skip
    return Page(page.name, page.needs, blocks)


def environment(home: Path) -> dict[str, str]:
    """What the shell finds: a home of its own and our commands first."""
    path = os.pathsep.join([str(BIN), os.environ.get("PATH", os.defpath)])
    return {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8", "TERM": "dumb"}


def is_free(port: int) -> bool:
    """Whether an API could listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def base_port(*, documented: bool) -> int:
    """The documented port where that is allowed, and it and the demo's next two are free; else another that fits."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    first = 18_101 + 1_000 * (int(worker.removeprefix("gw")) % 10)  # else two would choose the same before they open it
    for port in [DOCUMENTED_PORT] * documented + [*range(first, first + 1_000, 100)]:
        if all(is_free(port + step) for step in (0, 10, 20)):
            return port
    raise AssertionError("no three free ports found for the demo's nodes")


@contextmanager
def running_demo(folder: Path, *, documented_port: bool = True) -> Iterator[tuple[int, dict[str, str]]]:
    """A demo cluster: its base port, and the environment a page is given with it."""
    port = base_port(documented=documented_port)
    words = ["demo", "--json", "--base-port", str(port), "--dir", str(folder / "demo")]
    reading, writing = os.pipe()
    with (folder / "demo.log").open("w") as log, os.fdopen(reading, encoding="utf-8") as said:
        with os.fdopen(writing, "wb") as output:
            demo = prefork.start(*words, "--for", str(PAGE_S_MAX + READY_S_MAX), output=output, errors=log)
        try:
            ready = _ready(said, folder / "demo.log")
            yield (
                port,
                {
                    "ADMIN_USER": ready["adminUser"],
                    "ADMIN_PASSWORD": ready["adminPassword"],
                    "ADMIN_JWT": ready["adminToken"],
                },
            )
            demo.send_signal(signal.SIGINT)
            assert demo.wait(timeout=20) == 0, "the demo ends with 0 on Ctrl-C"
        finally:
            demo.kill()  # its children die with it


def _ready(said: IO[str], log: Path) -> dict[str, str]:
    ends = time.monotonic() + READY_S_MAX
    with selectors.DefaultSelector() as selector:
        selector.register(said, selectors.EVENT_READ)
        while selector.select(timeout=max(0.0, ends - time.monotonic())):
            line = said.readline()
            if not line:
                break
            event: dict[str, str] = json.loads(line)
            if event["event"] == "ready":
                return event
    raise AssertionError(f"no ready from the demo in {READY_S_MAX} s; it said:\n{log.read_text()[-3_000:]}")
