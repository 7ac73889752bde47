"""Writing the files of a node: private from the first byte, whole or not at all.

A file is written beside its place (mode 0600 by mkstemp), synced, and renamed over it, so a reader never sees half a
file and a secret never stands in a file that others can read, not for a moment.
"""

import json
import os
import secrets
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

CLUSTER_KEY_BYTES: Final = 32


def write_private(path: Path, content: str | bytes, *, mode: int = 0o600, like: Path | None = None) -> None:
    """Write ``content`` to ``path``, replacing what is there, and give it to the owner of ``like``.

    Raises :class:`OSError`.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        if like is not None:
            own_as(like, temporary)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def own_as(like: Path, *paths: Path) -> None:
    """Give ``paths`` to the owner of ``like``, where that is another account. Raises :class:`OSError`."""
    if sys.platform == "win32":
        return
    owner = like.stat()
    if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
        for path in paths:
            os.chown(path, owner.st_uid, owner.st_gid)


def config_text(config: Mapping[str, object]) -> str:
    """A config as it stands in ``rppam.config``."""
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"


def new_cluster_key() -> str:
    """The text of a fresh cluster key file: 256 random bits in hexadecimal, one line."""
    return secrets.token_hex(CLUSTER_KEY_BYTES) + "\n"
