"""One sshd for all tests of the gateway, and a gateway for each."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.gateway.places import Place, Sshd, sshd
from tests.support.served import Served


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("sshd") / "target") as one:
        yield one


@pytest.fixture(autouse=True)
def no_sessions_of_earlier_tests(request: pytest.FixtureRequest) -> None:
    """Each test counts what is kept since it began."""
    if "target" in request.fixturenames:
        one: Sshd = request.getfixturevalue("target")
        one.earlier.update(one.kept())


@pytest.fixture
async def place(served: Served, tmp_path: Path, target: Sshd) -> AsyncIterator[Place]:
    one = Place(served, tmp_path, target)
    await one.start()
    yield one
    await one.stop()
