"""The fault lab. ``make faults`` runs all of it; elsewhere (``make test``) only what is not marked ``slow``.

``FAULT_RUNS`` is how often each kill is repeated (``make faults RUNS=30``). Logs of a failed test stand in its report.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.servers import Server
from tests.integration.node.conftest import KIND, LABS, make_lab, pytest_runtest_makereport, redis
from tests.integration.node.lab import Lab, LabNode
from tests.integration.node.watching import Eyes

__all__ = ["make_lab", "pytest_runtest_makereport", "redis"]

RUNS = "FAULT_RUNS"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without FAULT_RUNS, the long ones are left out."""
    if RUNS in os.environ:
        return
    here = Path(__file__).parent
    long = [item for item in items if here in item.path.parents and item.get_closest_marker("slow")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@pytest.fixture(scope="session")
def runs() -> int:
    """How often to repeat what is measured."""
    return int(os.environ.get(RUNS, "2"))


@pytest.fixture
def own_redis() -> Iterator[Server]:
    """A server of the test's own, to be cruel to."""
    if KIND.find() is None:
        pytest.skip(f"{KIND.name} is not on this machine: {KIND.remedy}")
    with Server(KIND) as running:
        yield running


@pytest.fixture
def lab(own_redis: Server, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Three nodes with the times of the profile that the test's parameter names (``default`` else), on own_redis."""
    times = getattr(request, "param", "default")
    with Lab(tmp_path / "lab", own_redis.port, times=times) as made:
        request.node.stash.setdefault(LABS, []).append(made)
        made.start()
        yield made


class Record:
    """The leadership record as it stands in the store."""

    def __init__(self, server: Server, prefix: str) -> None:
        words = (server.ask("GET", f"{prefix}leader") or b"").decode().split()
        self.state, self.holder, self.boot_id = [*words[1:4], "", "", ""][:3]
        self.epoch = int(words[4]) if len(words) > 4 else 0


@pytest.fixture
def unchanged(lab: Lab, own_redis: Server) -> Iterator[Callable[[], LabNode]]:
    """One leader at one epoch, at every sample and in the store, from the test's first line to its last."""
    leader = lab.wait_for_leader()
    before = Record(own_redis, lab.prefix)
    with watch(lab) as eyes:
        yield lambda: leader
        lab.wait_until_healthy()
    assert eyes.leaderships() == {before.epoch: leader.name}
    after = Record(own_redis, lab.prefix)
    assert (after.state, after.holder, after.boot_id, after.epoch) == (
        "held",
        leader.name,
        before.boot_id,
        before.epoch,
    )
    eyes.check()


def watch(lab: Lab, **options: Any) -> Eyes:
    """Eyes on every node of ``lab``."""
    return Eyes({node.name: node.port for node in lab.nodes}, **options)
