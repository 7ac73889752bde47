"""How an error of a command is told: to people, and to a machine.

People read ``rppam COMMAND: what is wrong`` and the fix on stderr, whichever command it was. With ``--json`` there is
one JSON document on stdout besides. It decides no exit code.
"""

import json
import sys
from collections.abc import Sequence
from contextvars import ContextVar

import click

_called: ContextVar[str] = ContextVar("called", default="rppam")


def calling(path: str) -> None:
    """Note which command is called: the words that name it."""
    _called.set(path)


def named() -> str:
    """The words that name the command that runs, or that ran last: ``rppam cluster forget``."""
    context = click.get_current_context(silent=True)
    return _called.get() if context is None else context.command_path


def tell(error: str, code: str = "", *, command: str = "") -> None:
    """Write to stderr what is wrong, behind the name of the command; ``code`` where the sentence does not hold it."""
    click.echo(f"{command or named()}: {f'{code}: ' if code else ''}{error}", err=True)


def fail(error: str, code: str = "", *, command: str = "") -> None:
    """As :func:`tell`, and as JSON on stdout where the command line asks for it."""
    tell(error, command=command)
    tell_machine(error, code)


def tell_machine(error: str, code: str = "") -> None:
    """Write the document to stdout where the command line asks for it."""
    context = click.get_current_context(silent=True)
    if wants_json(sys.argv[1:]) if context is None else context.params.get("as_json"):
        click.echo(error_json(error, code))


def wants_json(words: Sequence[str]) -> bool:
    """Whether a command line asks for JSON. Read from its words, since a wrong one has no options yet."""
    options = words[: words.index("--")] if "--" in words else words
    return "--json" in options


def error_json(error: str, code: str = "") -> str:
    """The document; ``code`` is empty for what has no row in the error table, such as wrong usage."""
    return json.dumps({"error": error, "code": code})
