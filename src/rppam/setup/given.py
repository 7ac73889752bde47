"""What ``rppam init`` is given that may hold a password: the ways it comes, and a warning where others could read it.

A password on the command line is used all the same, since it is told to every user of the host already.
"""

import sys
from pathlib import Path

import click
from click.core import ParameterSource

from rppam.kernel.secret import Secret
from rppam.setup.plan import has_password, has_redis_password
from rppam.setup.read import url_with_password


def redis_string(given: str | None) -> str | None:
    """The connection string of Redis. Says so where its password could be read in the list of processes."""
    text = _first_line("--redis", given)
    if text and has_redis_password(text):
        _warn_if_seen("redis", given, "--redis - or RPPAM_REDIS")
    return text


def database_url(given: str | None, password_file: Path | None) -> Secret | None:
    """The URL with its password, from wherever that comes. Says so where it could be read in the list of processes."""
    url = _first_line("--database", given)
    if url and has_password(url):
        _warn_if_seen("database", given, "--database-password-file, --database - or RPPAM_DATABASE")
    if password_file is not None:
        if url is None:
            raise click.UsageError("--database-password-file goes with --database URL, whose password it holds")
        if str(password_file) == "-":
            password = Secret(click.prompt("Password of the database", hide_input=True, err=True))
        else:
            password = secret_of("--database-password-file", password_file)
        return url_with_password(url, password)
    return Secret(url) if url else None


def secret_of(option: str, path: Path) -> Secret:
    """The secret that stands in a file."""
    try:
        return Secret(path.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{option} {path}: cannot be read ({error})") from None


def _first_line(option: str, given: str | None) -> str | None:
    """What was given; for '-' the first line of standard input."""
    if given != "-":
        return given
    try:
        return sys.stdin.buffer.readline().decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise click.UsageError(f"{option} -: expected UTF-8 text on standard input, found other bytes") from None


def _warn_if_seen(name: str, given: str | None, ways: str) -> None:
    context = click.get_current_context(silent=True)
    source = context.get_parameter_source(name) if context else None
    if given != "-" and source is ParameterSource.COMMANDLINE:
        click.echo(
            f"rppam: --{name}: its password stood on the command line, where all users of this host read it (ps) "
            f"and the shell keeps it. Change it and give it by {ways}",
            err=True,
        )
