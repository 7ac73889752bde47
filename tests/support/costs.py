"""What each test costs in processor time: a line per test in the file that ``RPPAM_TESTS_COSTS`` names.

``scripts/run_tests.py --costs FILE`` sets it. A test costs what its worker and everything below that worker have used
from the beginning of its first fixture to the end of its last: nodes, servers, browsers, what has ended meanwhile. A
fixture that several tests share is counted where it was made, so sums of files tell more than single tests. Processor
time hardly depends on what else the machine does; how long something took does.

Not promised: times of processes that end without a parent that waits for them, in the moment between two looks. To lose
few, the worker becomes the parent of all orphans below it; they stay as zombies until it ends, which a test may see
that counts processes.
"""

import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest

from rppam.process.linux import adopt_orphans

FILE: Final = "RPPAM_TESTS_COSTS"
TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")


def pytest_configure() -> None:
    adopt_orphans()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Write how many seconds of processors the test took, how many of the wall, and its name."""
    began, before = time.monotonic(), spent_s(os.getpid())
    answer = yield
    line = f"{spent_s(os.getpid()) - before:.2f}\t{time.monotonic() - began:.2f}\t{item.nodeid}\n"
    with Path(os.environ[FILE]).open("a", encoding="utf-8") as file:
        file.write(line)
    return answer


def spent_s(root: int) -> float:
    """Seconds of processor time of a process and all below it, those that were waited for among them."""
    ticks: dict[int, int] = {}
    below: dict[int, list[int]] = {}
    for place in Path("/proc").iterdir():
        if not place.name.isdigit():
            continue
        try:
            words = (place / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has ended since
        ticks[int(place.name)] = sum(map(int, words[11:15]))
        below.setdefault(int(words[1]), []).append(int(place.name))
    every, left = 0, [root]
    while left:
        one = left.pop()
        every += ticks.get(one, 0)
        left += below.get(one, [])
    return every * TICK_S
