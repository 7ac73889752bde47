"""What reading a configuration needs from the host, as one protocol; the adapter is ``adapters.system.secrets``."""

from pathlib import Path
from typing import NamedTuple, Protocol

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

        Raises :class:`~rppam.config.errors.SecretError`, without a place: the caller knows it.
        """
        ...
