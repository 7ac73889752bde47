"""A fresh real server of each kind for every contract test."""

import os
from collections.abc import Iterator

import pytest

from tests.contract.servers import SERVERS, Server, ServerKind


@pytest.fixture(params=SERVERS, ids=str)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A running server. One that is missing here skips the test, except in CI, where it fails."""
    kind: ServerKind = request.param
    if kind.find() is None:
        complain = pytest.fail if os.environ.get("CI") else pytest.skip
        complain(f"{kind.name} is not on this machine: {kind.remedy}")
    with Server(kind) as running:
        yield running
