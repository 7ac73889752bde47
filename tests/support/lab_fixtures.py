"""One server for a file's tests, and labs that end with their test and show all logs when it fails."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.lab import Lab
from tests.support.redis_servers import SERVERS, Server, need

KIND = next(kind for kind in SERVERS if kind.name == "redis-8")
MakeLab = Callable[..., Lab]


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    """A running Redis for this file. Labs choose prefixes of their own."""
    need(KIND)
    with Server(KIND) as running:
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """A failed test shows the logs of the nodes of its labs."""
    report = yield
    if report.when == "call" and report.failed:
        for lab in item.stash.get(LABS, []):
            report.sections.append((f"logs of {lab.cluster}", lab.logs()))
    return report


_NUMBERS = itertools.count(1)
LABS = pytest.StashKey[list[Lab]]()


@pytest.fixture
def make_lab(request: pytest.FixtureRequest, tmp_path: Path, redis: Server) -> Iterator[MakeLab]:
    """``make_lab(nodes=2, ...)``: a lab that is not started yet, on the file's Redis unless told otherwise."""
    labs: list[Lab] = request.node.stash.setdefault(LABS, [])

    def make(**options: Any) -> Lab:
        place = f"lab{len(labs) + 1}"
        # Of its own, or the record of an earlier test's cluster would be this one's past.
        prefix = f"{next(_NUMBERS)}-{request.node.originalname[:40]}-{place}:"
        settings: dict[str, Any] = {"redis_port": redis.port, "prefix": prefix, **options}
        lab = Lab(tmp_path / place, **settings)
        labs.append(lab)
        return lab

    yield make
    for lab in labs:
        lab.close()
