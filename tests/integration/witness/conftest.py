"""The nodes' lab, for tests of a witness."""

from tests.integration.node.conftest import make_lab, pytest_runtest_makereport, redis

__all__ = ["make_lab", "pytest_runtest_makereport", "redis"]
