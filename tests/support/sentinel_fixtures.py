"""The newest Redis that is here, and what it takes to fail elsewhere."""

import os

import pytest

from tests.support.redis_servers import ServerKind


def require(kind: ServerKind) -> None:
    """Skip where the server is missing, except in CI, where that fails."""
    if kind.find() is None:
        complain = pytest.fail if os.environ.get("CI") else pytest.skip
        complain(f"{kind.name} is not on this machine: {kind.remedy}")
