"""What the commands of ``rppam ca`` share: whose token they ask with, their options, and how a refusal ends them."""

from typing import Any, Final

import click

from rppam.access.tokens.target import target_options
from rppam.cli.errors import fail
from rppam.kernel.errors import Exit

HOST: Final = "ca@host"
CA: Final = "/api/v1/access/ca"
HELP: Final = {"help_option_names": ["-h", "--help"]}
where_options: Final = target_options("the token of an administrator")
json_option: Final = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
_REFUSED: Final = frozenset({400, 403, 404, 409})


def failed(found: Any, problem: str) -> int:
    """Say what went wrong; the exit code."""
    fail(problem, str(found.get("code", "")))
    return Exit.NO if found.get("status") in _REFUSED else Exit.ERRORS
