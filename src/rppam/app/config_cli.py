"""``rppam config``: check and show the configuration, encrypt its secrets, try a connection string.

Output for people goes to stdout, problems to stderr; with ``--json`` one JSON object goes to stdout either way. A wrong
configuration exits with 78. Nothing prints a secret, except ``parse-connection --show-secrets``.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from rppam.cli.errors import tell
from rppam.cli.group import Group
from rppam.cli.paths import CONFIG_FILE
from rppam.config.errors import ConfigError, Problem
from rppam.db.errors import DatabaseUrlInvalid
from rppam.kernel.errors import Exit
from rppam.manager.push_command import command as push

if TYPE_CHECKING:
    from rppam.config.settings import Settings
    from rppam.kernel.secret import Secret

_HELP: Final = {"help_option_names": ["-h", "--help"]}
SECRET_BYTES_MAX: Final = 64 * 1024


@click.group("config", cls=Group, context_settings=_HELP, epilog="Example: rppam config check /etc/rppam/rppam.config")
def command() -> None:
    """Check, show and encrypt rppam.config; push its settings to the cluster; parse connection strings."""


command.add_command(push)


def _file_argument(function: Any) -> Any:
    return click.argument("file", required=False, type=CONFIG_FILE)(function)


def _json_option(function: Any) -> Any:
    return click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")(function)


@command.command("check", context_settings=_HELP, epilog="Example: rppam config check rppam.config --json")
@_file_argument
@_json_option
def check(file: Path | None, as_json: bool) -> None:
    """List every problem of FILE: exit 0 when there is none, else 78.

    The certificate files that it names are read, too. One that has expired is a problem here, though a node starts
    with it. FILE is RPPAM_CONFIG, or the platform's default, where it is left out. A witness's config is known by the
    word in its file's name, or by the list of members on disk, and checked for what a witness needs, too.
    """
    from rppam.app.certificates import CertificateFiles
    from rppam.config.places import config_path
    from rppam.config.rules import warnings_at_witness, witness_problems
    from rppam.doctor.check_members import is_witness
    from rppam.kernel.system_clock import SystemClock

    name = config_path(file).name
    certificates = CertificateFiles(SystemClock())

    def problems_of(settings: "Settings") -> "Iterable[Problem]":
        as_witness = witness_problems(settings) if is_witness(settings, name) else ()
        return (*as_witness, *certificates.problems_of(settings), *_database_problems(settings))

    path, settings = _load(file, as_json=as_json, check_built=problems_of)
    said = warnings_at_witness(settings) if is_witness(settings, name) else settings.warnings
    settings = replace(settings, warnings=(*said, *certificates.warnings))
    if as_json:
        _print_json({"file": str(path), "ok": True, "problems": [], **_remarks(settings)})
        return
    _print_remarks(settings)
    click.echo(f"{path}: no problem found")


@command.command("show", context_settings=_HELP, epilog="Example: rppam config show /etc/rppam/rppam.config")
@_file_argument
@_json_option
def show(file: Path | None, as_json: bool) -> None:
    """Print what is in effect, each value marked as set or default, secrets hidden.

    FILE is RPPAM_CONFIG, or the platform's default, where it is left out.
    """
    from rppam.config import show as shown

    path, settings = _load(file, as_json=as_json)
    if as_json:
        _print_json({"file": str(path), "settings": shown.as_json(settings), **_remarks(settings)})
        return
    _print_remarks(settings)
    rows = shown.effective(settings)
    width = max(len(row.name) for row in rows)
    section = ""
    for row in rows:
        if row.section != section:
            section = row.section
            click.secho(section, bold=True)
        origin = "set    " if row.is_set else "default"
        click.echo(f"  {row.name:<{width}}  {origin}  {_human(row.value)}")


@command.command(
    "encrypt",
    context_settings=_HELP,
    epilog="Example: rppam config encrypt --key-file /var/lib/rppam/keys/config.key < password.txt",
)
@click.option(
    "--key-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Key file, as auth.secretKeyPath names it. Default: config.key below the platform's data directory.",
)
@click.option("--new-key", is_flag=True, help="Make the key file first; it must not exist.")
@_json_option
def encrypt(key_file: Path | None, new_key: bool, as_json: bool) -> None:
    """Read a secret from stdin or a prompt and print it as an `encrypted:` value.

    The secret never stands on the command line, where others could see it. One line break at its end is cut off.
    """
    from rppam.config import host_secrets as secrets
    from rppam.config.places import default_places

    path = key_file or Path(default_places().data_dir) / "keys" / "config.key"
    secret = _read_secret() if new_key else None  # no key is made for nothing
    try:
        if new_key:
            secrets.create_key(path)
            click.echo(f"new key: {path}; keep a copy where the config is not", err=True)
        key = secrets.read_key(path)
    except ConfigError as error:
        _fail(error, as_json=as_json)
    value = secrets.encrypt(secret or _read_secret(), key)
    if as_json:
        _print_json({"value": value, "keyFile": str(path)})
    else:
        click.echo(value)


@command.command(
    "parse-connection",
    context_settings=_HELP,
    epilog="Example: rppam config parse-connection - < redis.connection",
)
@click.argument("string")
@_json_option
@click.option("--show-secrets", is_flag=True, help="Print passwords as they were understood.")
def parse_connection(string: str, as_json: bool, show_secrets: bool) -> None:
    """Show how a Redis connection string is understood; exit 78 with every reason where it is wrong.

    STRING is StackExchange.Redis's form or a redis://, rediss:// or redis+sentinel:// URL; "-" reads it from stdin, so
    that a password need not stand on the command line. Options and their meaning: docs/reference/config.md.
    """
    from rppam.config import connection, remarks, writing

    text = _read_stdin() if string == "-" else string
    try:
        options = connection.parse_connection(text)
    except ConfigError as error:
        _fail(error, as_json=as_json)
    understood = writing.as_json(options, show_secrets=show_secrets)
    found = list(remarks.remarks(options))
    if as_json:
        _print_json({**understood, "warnings": found})
        return
    _print_warnings(found)
    _print_connection(understood)


def _load(
    file: Path | None, *, as_json: bool, check_built: "Callable[[Settings], Iterable[Problem]]" = lambda _settings: ()
) -> "tuple[Path, Settings]":
    from rppam.config.load import load_settings
    from rppam.config.places import config_path
    from rppam.settings.files import problems_of

    path = config_path(file)
    try:
        settings = load_settings(path, check_pushed=problems_of, check_built=check_built)
    except ConfigError as error:
        _fail(error, as_json=as_json, file=str(path))
    return path, settings


def _database_problems(settings: "Settings") -> "tuple[Problem, ...]":
    """What the part of a node that opens the database has against its URL."""
    from rppam.db.url import parse_database_url

    try:
        parse_database_url(settings.database.url)
    except DatabaseUrlInvalid as error:
        found = str(error).removeprefix("database.url: ")
        return (Problem("database.url", "a URL that a node can use", f"one that it cannot: {found}", error.row.remedy),)
    return ()


def _fail(error: ConfigError, *, as_json: bool, file: str | None = None) -> NoReturn:
    """Print every problem and end with exit code 78."""
    if as_json:
        head = {"file": file} if file else {}
        problems = [problem.as_json() for problem in error.problems]
        _print_json({**head, "ok": False, "code": error.row.code, "problems": problems})
    count = len(error.problems)
    tell(f"{count} problem{'s' if count != 1 else ''}{f' in {file}' if file else ''}", error.row.code)
    for problem in error.problems:
        click.echo(f"  {problem.sentence()}", err=True)
    raise click.exceptions.Exit(Exit.CONFIGURATION)


def _read_stdin() -> str:
    """One text from stdin, without one line break at its end."""
    data = sys.stdin.buffer.read(SECRET_BYTES_MAX + 1)
    if len(data) > SECRET_BYTES_MAX:
        raise click.UsageError(f"stdin: at most {SECRET_BYTES_MAX} bytes are taken")
    try:
        return data.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise click.UsageError("stdin: expected UTF-8 text, found other bytes") from None


def _read_secret() -> "Secret":
    from rppam.kernel.secret import Secret

    if sys.stdin.isatty():
        text = click.prompt("Secret", hide_input=True, confirmation_prompt="Once more", err=True, type=str)
    else:
        text = _read_stdin()
    if not text:
        raise click.UsageError("stdin: expected a secret, found nothing; pipe it in or type it at the prompt")
    return Secret(text)


def _remarks(settings: "Settings") -> dict[str, list[str]]:
    return {"warnings": list(settings.warnings), "notes": list(settings.notes)}


def _print_remarks(settings: "Settings") -> None:
    _print_warnings(settings.warnings)
    for note in settings.notes:
        click.echo(f"note: {note}", err=True)


def _print_warnings(found: Iterable[str]) -> None:
    for warning in found:
        click.echo(click.style("warning", fg="yellow") + f": {warning}", err=True)


def _print_json(value: Mapping[str, Any]) -> None:
    click.echo(json.dumps(value, indent=2))


def _print_connection(understood: Mapping[str, Any]) -> None:
    rows = dict(understood)
    ignored = rows.pop("ignored")
    for name in ("sentinelUser", "sentinelPassword"):  # as the server's own, where nothing is said
        if rows[name] is None:
            del rows[name]
    width = max(len(name) for name in rows)
    for name, value in rows.items():
        click.echo(f"{name:<{width}}  {_human(value)}")
    for entry in ignored:
        click.echo(f"ignored: {entry['option']}: {entry['reason']}")


def _human(value: object) -> str:
    """A JSON value as people read it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(str(entry) for entry in value) or "-"
    if isinstance(value, dict):
        return ", ".join(f"{name} -> {target or '(disabled)'}" for name, target in value.items()) or "-"
    return str(value)
