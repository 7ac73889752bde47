"""Files that a node's config names besides its keys: taken from where an administrator has them, placed beside the
config, and carried to the next node in the bundle.

Decides where each stands: below the folder of the config, under its own name, so that the same config reads alike on
every host. What every node shares is carried (passwords in files, authorities, the certificate shown to Redis); what is
one node's own is not (certificate and key of its API).

It does not write: see :class:`~rppam.setup.write.NodeWriter`.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

from rppam.kernel.secret import Secret
from rppam.setup.errors import InitError

PREFIX: Final = "named/"
"""In a bundle: ``named/SECTION.KEY/PATH``, the content in base64."""
SECTION_FILE: Final = "rppam.config.redis.json"
TLS_FOLDER: Final = "tls"
_BYTES_MAX: Final = 128 * 1024
_OF_THE_SYSTEM: Final = ("/etc/ssl", "/etc/pki", "/usr/share", "/usr/local/share")
"""Authorities of the system stand on every host."""
_PART: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHARED: Final = (
    ("redis", "connectionString"),
    ("redis", "password"),
    ("redis", "sentinelPassword"),
    ("redis", "tlsCaPath"),
    ("redis", "tlsCertPath"),
    ("redis", "tlsCertPassword"),
    ("database", "url"),
    ("api", "tlsCaPath"),
)
"""Values of a config that are the same on every node and may name a file."""
_PATHS: Final = frozenset({"tlsCaPath", "tlsCertPath", "tlsKeyPath"})
"""Values that are a path themselves; the others name one as ``{"file": PATH}``."""
_SECRETS: Final = frozenset({"connectionString", "password", "sentinelPassword", "tlsCertPassword"})


class Placed(NamedTuple):
    """Values for the config, and the files that they name."""

    values: dict[str, dict[str, Any]]
    files: dict[Path, bytes]

    def with_texts(self, config: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """``config`` as it can be checked before the files are there: secrets as text."""
        return {
            section: {key: self._text(value) for key, value in content.items()} for section, content in config.items()
        }

    def under(self, other: "Placed") -> "Placed":
        """Both; where they name the same value ``other`` counts, and what it does not name goes with it."""
        values = {section: dict(content) for section, content in self.values.items()}
        for section, content in other.values.items():
            values.setdefault(section, {}).update(content)
        named = {str(_named(key, value)) for content in values.values() for key, value in content.items()}
        files = {path: content for path, content in self.files.items() if str(path) in named}
        return Placed(values, files | other.files)

    def inlined(self) -> "Placed":
        """With the secrets as values, and files of what is named by its path alone."""
        values = self.with_texts(self.values)
        named = {value for content in values.values() for value in content.values() if isinstance(value, str)}
        return Placed(values, {path: content for path, content in self.files.items() if str(path) in named})

    def _text(self, value: Any) -> Any:
        content = self.files.get(Path(value["file"])) if isinstance(value, Mapping) and "file" in value else None
        return value if content is None else Secret(content.decode("utf-8", errors="replace").strip())


def of_redis(folder: Path, config_folder: Path) -> Placed:
    """The section and the files that ``rppam redis setup`` wrote into ``folder``. Raises :class:`InitError`."""
    place = folder / SECTION_FILE
    try:
        section = json.loads(_content(place))["redis"]
        values = dict(section)
    except (ValueError, TypeError, KeyError):
        raise InitError(
            f"{place}: expected the section that rppam redis setup writes, found something else; make it again with: "
            "rppam redis setup"
        ) from None
    files: dict[Path, bytes] = {}
    for key, value in section.items():
        named = _named(key, value)
        if named is not None:
            target = config_folder / PurePosixPath(named).name
            files[target] = _content(folder / target.name)
            values[key] = _naming(key, target)
        elif key in _SECRETS and isinstance(value, str) and (key != "connectionString" or "assword=" in value):
            values[key] = Secret(value)
    return Placed({"redis": values}, files)


def of_api(certificate: Path | None, key: Path | None, authority: Path | None, config_folder: Path) -> Placed:
    """Certificate, key and authority of the API."""
    values: dict[str, Any] = {}
    files: dict[Path, bytes] = {}
    for name, given in (("tlsCertPath", certificate), ("tlsKeyPath", key), ("tlsCaPath", authority)):
        if given is not None:
            target = config_folder / TLS_FOLDER / given.name
            files[target] = _content(given)
            values[name] = str(target)
    return Placed({"api": values} if values else {}, files)


def collected(config: Mapping[str, Any], config_folder: Path, *, sections: tuple[str, ...] = ()) -> dict[str, Secret]:
    """What a bundle carries of the files that ``config`` names; of some ``sections`` only where they are given.

    Raises :class:`InitError` for one that is not there: the next node would not start without it.
    """
    found = {}
    for section, key in _SHARED:
        content = config.get(section)
        named = _named(key, content.get(key)) if isinstance(content, Mapping) else None
        if named is None or (sections and section not in sections):
            continue
        path = config_folder / named
        if any(path.is_relative_to(folder) for folder in _OF_THE_SYSTEM):
            continue
        within = path.relative_to(config_folder) if path.is_relative_to(config_folder) else Path(path.name)
        if all(_PART.fullmatch(part) for part in within.parts):
            name = f"{PREFIX}{section}.{key}/{within.as_posix()}"
            found[name] = Secret(base64.b64encode(_content(path)).decode("ascii"))
    return found


def unpacked(files: Mapping[str, Secret], config_folder: Path) -> Placed:
    """What a bundle carried, for a host whose config stands in ``config_folder``. Raises :class:`InitError`."""
    values: dict[str, dict[str, Any]] = {}
    placed: dict[Path, bytes] = {}
    for section, key, within, content in _parts(files):
        target = config_folder / within
        if placed.get(target, content) != content:
            target = target.with_name(f"{section}-{target.name}")
        placed[target] = content
        values.setdefault(section, {})[key] = _naming(key, target)
    return Placed(values, placed)


def _parts(files: Mapping[str, Secret]) -> Iterator[tuple[str, str, str, bytes]]:
    for name, secret in sorted(files.items()):
        if not name.startswith(PREFIX):
            continue
        place, _, within = name.removeprefix(PREFIX).partition("/")
        section, _, key = place.partition(".")
        content = _decoded(secret)
        known = (section, key) in _SHARED and all(_PART.fullmatch(part) for part in within.split("/"))
        if not known or content is None:
            raise InitError(f"the bundle holds {name!r}, which this version does not know; update rppam on this host")
        yield section, key, within, content


def _decoded(secret: Secret) -> bytes | None:
    try:
        return base64.b64decode(secret.reveal(), validate=True)
    except binascii.Error:
        return None


def _named(key: str, value: Any) -> str | None:
    """The file that a value names."""
    if key in _PATHS:
        return value if isinstance(value, str) else None
    named = value.get("file") if isinstance(value, Mapping) else None
    return named if isinstance(named, str) else None


def _naming(key: str, target: Path) -> Any:
    return str(target) if key in _PATHS else {"file": str(target)}


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_BYTES_MAX + 1)
    except OSError as error:
        raise InitError(
            f"{path} cannot be read: {error.strerror}. Put it there, or run this as root or as the owner of the file"
        ) from None
    if len(data) > _BYTES_MAX:
        raise InitError(f"{path}: expected at most {_BYTES_MAX} bytes, found more")
    return data
