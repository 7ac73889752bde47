"""For all tests: what a test draws by chance is drawn anew in each run, in CI as elsewhere.

Hypothesis would repeat the same examples for ever where the variable CI is set. And what a test starts shall end by
Ctrl-C, also where a shell began the tests in the background: it ignores that signal then, and so would its children.
"""

import importlib.util
import signal
import sys

import pytest

import rppam.app.slices  # noqa: F401 - declares what settings there are
from tests.support.examples import register_profiles

pytest_plugins = [
    "tests.support.account_fixtures",
    "tests.support.database_fixtures",
    "tests.support.lab_fixtures",
    "tests.support.redis_fixtures",
    "tests.support.served_fixtures",
]
"""Fixtures that tests of more than one slice ask for; a folder's own stand in its conftest."""

if importlib.util.find_spec("sniffio") is None:
    sys.modules["sniffio"] = None  # type: ignore[assignment]  # httpx looks for it on disk with each request

register_profiles()
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What passing tests ask somebody to do: their property ``to do``, from every worker."""
    passed = terminalreporter.getreports("passed")
    wishes = [str(wish) for report in passed for name, wish in report.user_properties if name == "to do"]
    if wishes:
        terminalreporter.section("to do")
        for wish in sorted(set(wishes)):
            terminalreporter.line(wish)
