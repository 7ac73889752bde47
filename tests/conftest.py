"""For all tests: what a test draws by chance is drawn anew in each run, in CI as elsewhere.

Hypothesis would repeat the same examples for ever where the variable CI is set. And what a test starts shall end by
Ctrl-C, also where a shell began the tests in the background: it ignores that signal then, and so would its children.
"""

import gc
import importlib.util
import os
import signal
import sys
from collections.abc import Iterator, Sequence

import pytest
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

import rppam.app.slices  # noqa: F401 - declares what settings there are
from tests.support.examples import register_profiles
from tests.support.late_tests import mark_late
from tests.support.long_tests import mark_long

pytest_plugins = [
    "tests.support.account_fixtures",
    "tests.support.database_fixtures",
    "tests.support.lab_fixtures",
    "tests.support.redis_fixtures",
    "tests.support.served_fixtures",
    *(["tests.support.costs"] if os.environ.get("RPPAM_TESTS_COSTS") else []),
]
"""Fixtures that tests of more than one slice ask for; a folder's own stand in its conftest."""

SHARED_OUT = ("tests/test_docs.py", "tests/benchmarks/")
"""Files and folders whose tests share nothing: each test is a unit of work where others go by file."""

if importlib.util.find_spec("sniffio") is None:
    sys.modules["sniffio"] = None  # type: ignore[assignment]  # httpx looks for it on disk with each request

gc.disable()  # until all tests are collected: what is made up to there stays, so that there is nothing to find
register_profiles()
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class ByFile(LoadFileScheduling):  # type: ignore[misc]  # it has no types
    """A file at a time, as its tests may share a cluster and a browser, but for those that share nothing.

    Else one worker types all pages of the docs while the others have nothing left to do.
    """

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)


def unit_of(nodeid: str) -> str:
    """The unit of work to which a test belongs."""
    return nodeid if nodeid.startswith(SHARED_OUT) else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFile | None:
    """With ``--dist loadfile``; each other way of sharing out is as xdist has it."""
    return ByFile(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    mark_long(items)
    mark_late(items)


@pytest.fixture(autouse=True, scope="session")
def _no_command_takes_dumps_from_the_tests() -> Iterator[None]:
    """A command that a test calls in this process would lower its limit for good: some systems raise it for nobody."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rppam.vault.cli.keep_from_dumps", lambda: None)
        yield


def pytest_collection_finish() -> None:
    """Leave tests and modules out of every later collection of garbage, which would walk through a million objects."""
    gc.freeze()
    gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What passing tests ask somebody to do: their property ``to do``, from every worker."""
    passed = terminalreporter.getreports("passed")
    wishes = [str(wish) for report in passed for name, wish in report.user_properties if name == "to do"]
    if wishes:
        terminalreporter.section("to do")
        for wish in sorted(set(wishes)):
            terminalreporter.line(wish)
