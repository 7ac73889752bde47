"""Database URLs: which are understood, how they are normalised, and how they are shown.

A database URL may hold a password, so it is a secret and no message quotes it. Options of libpq are not checked here: a
node does that when it opens the database, and ``rppam config check`` asks the same code.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from rppam.config.host_secrets import SecretText
from rppam.config.kinds import Context, WrongValueError
from rppam.config.wording import nearest, unprintable
from rppam.kernel.secret import REDACTED, Secret

_POSTGRES: Final = ("postgresql", "postgres", "postgresql+psycopg")
_SQLITE: Final = ("sqlite", "sqlite+pysqlite")
_NO_FILE: Final = ("", ":memory:")
_PLACES: Final = frozenset({"host", "service"})
"""Options of libpq that can say where the server is, when the URL names no host."""


@dataclass(frozen=True, slots=True)
class DatabaseUrl(SecretText):
    """The URL of a database, read with the driver written out; a relative SQLite path counts from the config file."""

    def within(self, value: object, context: Context, name: str) -> Secret:
        return _checked(SecretText.within(self, value, context, name).reveal().strip(), context.folder)


def _checked(text: str, folder: Path) -> Secret:
    scheme, colon, rest = text.partition("://")
    scheme = scheme.lower()
    if unprintable(text) or not colon or not re.fullmatch(r"[a-z0-9+]+", scheme):
        raise WrongValueError("a text that is no URL (not shown)", "Write it such as postgresql://user@host/rppam.")
    if scheme in _SQLITE:
        return Secret(_sqlite(rest, folder))
    if scheme in _POSTGRES:
        return Secret(_postgres(rest))
    near = nearest(scheme, (*_POSTGRES, *_SQLITE))
    fix = f"Did you mean {near}://?" if near else "Use PostgreSQL, or SQLite on one machine."
    raise WrongValueError(f"a URL that begins with {scheme[:20]}://", fix)


def show_database_url(url: Secret) -> str:
    """The URL for people: what may be secret in it is hidden."""
    scheme, _, rest = url.reveal().partition("://")
    if scheme in _SQLITE:
        return url.reveal()
    address, question, _ = rest.partition("?")
    credentials, at, place = address.rpartition("@")
    user, colon, _ = credentials.partition(":")
    options = f"?{REDACTED}" if question else ""
    return f"{scheme}://{user}{':' + REDACTED if colon else ''}{at}{place}{options}"


def _sqlite(rest: str, folder: Path) -> str:
    name, question, _ = rest.partition("?")
    if not name.startswith("/") or name[1:] in _NO_FILE:
        fix = "Write sqlite:///PATH; a full path on Linux makes it four slashes: sqlite:////var/lib/rppam/rppam.db."
        raise WrongValueError("a SQLite URL without a file", fix)
    if question:
        fix = "Take out the '?' and what follows; how long a question may take is database.timeoutMs."
        raise WrongValueError("a SQLite URL with options, which has none", fix)
    return f"sqlite:///{folder / name[1:]}"


def _postgres(rest: str) -> str:
    try:
        parts = urlsplit(f"postgresql://{rest}")
        elsewhere = {name for name, _ in parse_qsl(parts.query)} & _PLACES  # such as the folder of a Unix socket
        good = bool(parts.hostname or elsewhere) and len(parts.path) > 1 and parts.port != 0
        good = good and not parts.fragment and "@" not in parts.path + parts.query
    except ValueError:
        good = False
    if not good or re.search(r"\s", rest):
        fix = "Write postgresql://user:password@host:5432/database; percent-encode odd characters of the password."
        raise WrongValueError("a PostgreSQL URL that cannot be understood (not shown)", fix)
    return f"postgresql+psycopg://{rest}"
