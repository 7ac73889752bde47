"""What ``rppam init`` is given: small files of keys, licences and bundles, and passwords by the ways they come.

A file that may not be read, or holds what cannot be right, ends in a sentence; whether the text is a good key or
licence is decided by what uses it. A password on the command line is used all the same, since every user of the host
can read it already; a warning says so.
"""

import errno
import sys
from pathlib import Path
from urllib.parse import quote

import click
from click.core import ParameterSource

from rppam.cli.asking import ask_hidden
from rppam.cli.errors import tell
from rppam.kernel.secret import Secret
from rppam.setup.errors import InitError
from rppam.setup.plan import has_password, has_redis_password


def redis_string(given: str | None) -> str | None:
    """The connection string of Redis. Says so where its password could be read in the list of processes."""
    text = _first_line("--redis", given, "a connection string", "10.0.1.20:6379")
    if text and has_redis_password(text):
        _warn_if_seen("redis", given, "--redis - or RPPAM_REDIS")
    return text


def database_url(given: str | None, password_file: Path | None) -> Secret | None:
    """The URL with its password, from wherever that comes. Says so where it could be read in the list of processes."""
    url = _first_line("--database", given, "a URL", "postgresql://rppam@db.example.com/rppam")
    if url and has_password(url):
        _warn_if_seen("database", given, "--database-password-file, --database - or RPPAM_DATABASE")
    if password_file is not None:
        if url is None:
            raise click.UsageError("--database-password-file goes with --database URL, whose password it holds")
        if str(password_file) == "-":
            password = Secret(ask_hidden("Password of the database", "name a file with --database-password-file FILE"))
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


def _first_line(option: str, given: str | None, expected: str, example: str) -> str | None:
    """What was given; for '-' the first line of standard input. An empty one is refused: it is a pipe that failed."""
    if given is None:
        return None
    place, found = option, given
    if given == "-":
        place = f"{option} -"
        try:
            found = sys.stdin.buffer.readline().decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise click.UsageError(f"{place}: expected UTF-8 text on standard input, found other bytes") from None
    if not found.strip():
        where = " on the first line of standard input" if given == "-" else ""
        fix = f"Write it there, such as {example}, or leave {option} out to do without"
        raise click.UsageError(f"{place}: expected {expected}{where}, found nothing. {fix}")
    return found


def _warn_if_seen(name: str, given: str | None, ways: str) -> None:
    context = click.get_current_context(silent=True)
    source = context.get_parameter_source(name) if context else None
    if given != "-" and source is ParameterSource.COMMANDLINE:
        tell(
            f"--{name}: its password stood on the command line, where all users of this host read it (ps) "
            f"and the shell keeps it. Change it and give it by {ways}"
        )


def text_of(path: Path, *, errors: str = "strict") -> str | None:
    """The ASCII text of the file; ``None`` where there is none.

    ``errors`` is that of :meth:`bytes.decode`: ``"replace"`` where the reader of the text says what is wrong with it.
    Raises :class:`InitError`.
    """
    try:
        return path.read_text(encoding="ascii", errors=errors)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # no file can have such a name: base64 where a path may stand, too
            return None
        raise InitError(
            f"{path} cannot be read: {error.strerror}. Run this as root, or as the owner of the file"
        ) from None
    except UnicodeDecodeError:
        raise InitError(f"{path}: expected ASCII text, found other bytes. Put the file back as it was made") from None


def url_with_password(url: str, password: Secret) -> Secret:
    """A database's URL with the password in its place. Raises :class:`InitError`."""
    scheme, there, rest = url.partition("://")
    ends = min((rest.find(sign) for sign in "/?" if sign in rest), default=len(rest))  # an "@" behind is not the host's
    user, at, host = rest[:ends].rpartition("@")
    if has_password(url) or not (there and at and user) or not password:
        found = "an empty password" if not password else "one that has a password" if has_password(url) else "another"
        raise InitError(
            "--database: expected a URL with a user and without a password, such as "
            f"postgresql://rppam@db.example.com/rppam, found {found}. The password goes into the file"
        )
    return Secret(f"{scheme}://{user}:{quote(password.reveal(), safe='')}@{host}{rest[ends:]}")
