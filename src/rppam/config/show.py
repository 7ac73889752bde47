"""Effective settings, redacted, and the keys in which two readings differ.

Secrets show as ``********``; the connection string and the database URL show all but their passwords. Of a difference
only the key is named: what changed may be a password.
"""

from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from rppam.config.database import show_database_url
from rppam.config.settings import SECTIONS, Settings, keys_of
from rppam.config.writing import format_connection
from rppam.kernel.secret import REDACTED, Secret


class Row(NamedTuple):
    """One setting as it is in effect."""

    section: str
    name: str
    value: Any
    """A JSON value, redacted."""
    is_set: bool
    """Whether it stands in the file; else it is the default."""


def effective(settings: Settings) -> list[Row]:
    """Every setting, in the order of the reference."""
    return [
        Row(
            section, key.name, _shown(path, getattr(getattr(settings, section), name), settings), path in settings.given
        )
        for section, model in SECTIONS.items()
        for name, key in keys_of(model).items()
        for path in (f"{section}.{key.name}",)
    ]


def as_json(settings: Settings) -> dict[str, dict[str, dict[str, Any]]]:
    """Section to key to ``{"value", "origin"}``, where origin is ``set`` or ``default``."""
    tree: dict[str, dict[str, dict[str, Any]]] = {}
    for row in effective(settings):
        origin = "set" if row.is_set else "default"
        tree.setdefault(row.section, {})[row.name] = {"value": row.value, "origin": origin}
    return tree


def _shown(path: str, value: object, settings: Settings) -> Any:
    if path == "redis.connectionString" and settings.redis.connection is not None:
        return format_connection(settings.redis.connection)
    if path == "database.url":
        return show_database_url(settings.database.url)
    if path == "cluster.clockRateErrorPercent":
        return settings.cluster.timing.rate_error_ppm / 10_000
    if isinstance(value, Secret):
        return REDACTED
    if isinstance(value, Path):
        return str(value)
    return [str(entry) for entry in value] if isinstance(value, tuple) else value


def changed_keys(before: Settings, after: Settings) -> tuple[str, ...]:
    """Paths such as ``redis.keyPrefix``, in the order of the reference."""
    return tuple(
        f"{section}.{key.name}"
        for section, kind in SECTIONS.items()
        for field, key in keys_of(kind).items()
        if _value(before, section, field) != _value(after, section, field)
    )


def fingerprint(settings: Settings) -> str:
    """The same for two readings of the same settings, secrets included, and for no others. Not to be shown."""
    digest = sha256()
    for section, made in SECTIONS.items():
        for name in keys_of(made):
            value = _value(settings, section, name)
            text = value.reveal() if isinstance(value, Secret) else repr(value)
            digest.update(f"{section}.{name}={text}\n".encode())
    digest.update(repr(settings.cluster.timing).encode())
    return digest.hexdigest()


def _value(settings: Settings, section: str, name: str) -> object:
    """What must not change while a node runs: of a secret in a file that is read again that is the file."""
    if (section, name) == ("redis", "password") and settings.redis.password_file is not None:
        return settings.redis.password_file
    if (section, name) == ("dns", "key_secret") and settings.dns.key_secret_file is not None:
        return settings.dns.key_secret_file
    return getattr(getattr(settings, section), name)
