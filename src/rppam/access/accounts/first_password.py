"""The first administrator's password on this host: on disk before the account is in the database, shown after.

It waits under a name that nobody looks for, so that a file ``first-admin-password`` is always that of an account which
was made. A process that is killed in between leaves either no account, or one whose password waits here; the next start
shows that one (``ensure_first_admin``). What it does not promise: that somebody
reads it. Windows variant: type-checked, not run.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rppam.cluster.driver.datadir import FIRST_ADMIN_FILE
from rppam.cluster.errors import DataDirUnusable
from rppam.kernel.files import sync_directory
from rppam.kernel.secret import Secret

WAITING: Final = f".{FIRST_ADMIN_FILE}.new"
_BYTES_MAX: Final = 1_024


class FirstPasswordFile:
    """Where the password of the first administrator waits while the account is being made, so that a process that ends
    meanwhile loses none. The directory is this account's alone. Every call raises :class:`DataDirUnusable`."""

    def __init__(self, folder: Path) -> None:
        self._waiting, self._shown = folder / WAITING, folder / FIRST_ADMIN_FILE

    def keep(self, password: Secret) -> None:
        """Have it there, durably, in place of whatever stands there."""
        with _using(self._waiting, "keep the first administrator's password"):
            self._waiting.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
            with os.fdopen(os.open(self._waiting, flags, 0o600), "w", encoding="utf-8") as file:
                file.write(password.reveal() + "\n")
                file.flush()
                os.fsync(file.fileno())
            sync_directory(self._waiting.parent)

    def kept(self) -> Secret | None:
        """What is there; ``None``: nothing."""
        with _using(self._waiting, "read the password that was kept there"):
            try:
                with self._waiting.open("rb") as file:
                    return Secret(file.read(_BYTES_MAX).decode("ascii", "replace").strip())
            except FileNotFoundError:
                return None

    def drop(self) -> None:
        """Have nothing there."""
        with _using(self._waiting, "remove a password that is of no use"):
            self._waiting.unlink(missing_ok=True)

    def show(self) -> Path:
        """Where people find what is kept, from now on."""
        with _using(self._shown, "put the first administrator's password there"):
            self._waiting.replace(self._shown)
            sync_directory(self._shown.parent)
        return self._shown


@contextmanager
def _using(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataDirUnusable(
            f"{path}: expected to {what}, found: {error.strerror or error}. Make room there, or let the account that "
            "runs rppam own the directory and what is in it; this is tried again every second"
        ) from None
