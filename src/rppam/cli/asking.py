"""What a command asks a person for, most of it without showing it: on the terminal, else a line of standard input.

It decides where it is asked, and that nothing at all is no answer. It does not promise that a terminal hides what was
typed before it was asked.
"""

import os
import sys

import click


def ask_hidden(question: str, instead: str) -> str:
    """What is typed, or stands in the next line of standard input where there is no terminal.

    ``instead``: what to use without either. Raises :class:`click.UsageError`.
    """
    if _has_terminal():
        return str(click.prompt(question, hide_input=True, err=True, type=str))
    return _next_line(question, instead)


def ask(question: str, instead: str, *, default: str) -> str:
    """As :func:`ask_hidden`, for what may be seen; ``default`` stands for an empty line, not for none."""
    if sys.stdin.isatty():
        return str(click.prompt(question, default=default, err=True, type=str))
    return _next_line(question, instead, is_empty_enough=True).strip() or default


def _next_line(question: str, instead: str, *, is_empty_enough: bool = False) -> str:
    line = sys.stdin.readline()
    found = line.rstrip("\r\n")
    if not (line if is_empty_enough else found):
        what = f"{question[:1].lower()}{question[1:]}"
        raise click.UsageError(f"there is no terminal to ask for the {what} on, and standard input is empty: {instead}")
    return found


def _has_terminal() -> bool:
    """Whether the question would be hidden: what :mod:`getpass` asks on is not always standard input."""
    if sys.platform == "win32" or sys.stdin.isatty():
        return True
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
