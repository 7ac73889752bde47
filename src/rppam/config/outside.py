"""What reading a configuration needs from the host, as one protocol, and the context that values are read in."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from rppam.config.places import Places
from rppam.kernel.secret import Secret


class FileContent(NamedTuple):
    """A file as it was read."""

    data: bytes
    open_to: str = ""
    """Who else may read or change it (``group``, ``everyone``), empty when only its owner may."""


class Outside(Protocol):
    """Files, environment and decryption."""

    def read(self, path: Path, limit: int) -> FileContent:
        """At most ``limit`` + 1 bytes of a file. Raises :class:`OSError`."""
        ...

    def environment(self, name: str) -> str | None:
        """An environment variable, ``None`` when it is not set."""
        ...

    def decrypt(self, token: str, key_file: Path) -> Secret:
        """The text behind an ``encrypted:`` or ``ENC:`` value.

        Raises :class:`~rppam.config.errors.SecretError` with one problem, without a place: the caller knows it.
        """
        ...


@dataclass(slots=True)
class Context:
    """What the values of a file are read with."""

    outside: Outside
    folder: Path
    """Folder of the config file, which relative paths count from."""
    places: Places
    data_dir: Path
    """``node.dataDir``, once it was read."""
    key_file: Path
    """``auth.secretKeyPath``, once it was read."""
    section: str = ""
    """Section being read."""
    warnings: dict[str, None] = field(default_factory=dict)
    """In order, each once."""

    def warn(self, name: str, text: str) -> None:
        """Note what should be put right about a key of the section."""
        self.warnings[f"{self.section}.{name}: {text}"] = None
