"""The fault lab. ``make faults`` runs all of it; elsewhere (``make test``) only what is not marked ``slow``.

``FAULT_RUNS`` is how often each kill is repeated (``make faults RUNS=30``). Logs of a failed test stand in its report.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.lab import Lab, LabNode, eventually
from tests.support.lab_fixtures import KIND, LABS
from tests.support.redis_servers import Server, need
from tests.support.watching import Eyes

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
    need(KIND)
    with Server(KIND) as running:
        yield running


@pytest.fixture
def lab(own_redis: Server, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Three nodes with the times of the profile that the test's parameter names (``default`` else), on own_redis.

    ``PROFILE/record``: they do not vote, and the record alone decides.
    """
    times, _, who = getattr(request, "param", "default").partition("/")
    with Lab(tmp_path / "lab", own_redis.port, times=times, votes=who != "record") as made:
        request.node.stash.setdefault(LABS, []).append(made)
        made.start()
        yield made


class Record(NamedTuple):
    """The leadership record."""

    state: str
    holder: str
    boot_id: str
    epoch: int


def record(server: Server, prefix: str) -> Record:
    """The record as it stands in the store; empty where none is."""
    words = (server.ask("GET", f"{prefix}leader") or b"").decode().split()
    return Record(words[1], words[2], words[3], int(words[4])) if len(words) > 4 else Record("", "", "", 0)


def leaders_record(lab: Lab, server: Server) -> Record:
    """The record once it is the present leader's.

    One that the members carry writes it only when it was silent for a lease, or once the one before has released it.
    """
    leader = lab.wait_for_leader()
    epoch = leader.ask("/system/health/leader").body["epoch"]

    def found() -> Record | None:
        now = record(server, lab.prefix)
        return now if (now.state, now.holder, now.epoch) == ("held", leader.name, epoch) else None

    within_s = 3 * lab.lease_ms / 1000 + 2
    return eventually(found, within_s=within_s, what="the record names the leader", say=lambda: str(found()))


@pytest.fixture
def unchanged(lab: Lab, own_redis: Server) -> Iterator[Callable[[], LabNode]]:
    """One leader at one epoch, at every sample and in the store, from the test's first line to its last."""
    leader = lab.wait_for_leader()
    before = leaders_record(lab, own_redis)
    with watch(lab) as eyes:
        yield lambda: leader
        lab.wait_until_healthy()
        after = leaders_record(lab, own_redis)
    assert eyes.leaderships() == {before.epoch: leader.name}
    assert after == before
    eyes.check()


def watch(lab: Lab, **options: Any) -> Eyes:
    """Eyes on every node of ``lab``."""
    return Eyes({node.name: node.port for node in lab.nodes}, **options)
