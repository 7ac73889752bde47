"""Labs as in the tests of nodes."""

from tests.integration.node.conftest import make_lab, pytest_runtest_makereport, redis

__all__ = ["make_lab", "pytest_runtest_makereport", "redis"]
