"""The folder of signing keys as a running node sees it: looked at every second, read again when something changed.

So a key that is put there verifies within a second, on every node for itself, and one that is taken away refuses what
it signed. What cannot be used is told once, and the keys of before stay. It does not copy keys to other nodes.
"""

import asyncio
import logging
from pathlib import Path
from typing import Final

from rppam.adapters.system.file_stamp import FileStamp, stamp_of
from rppam.adapters.system.keystore import load_signing_keys, signing_key_files
from rppam.domain.errors import RppamError
from rppam.services.tokens import KeySet, Tokens

_log: Final = logging.getLogger("rppam.api")


class KeyFolder:
    """One such folder, and the tokens that its keys are for."""

    def __init__(self, directory: Path, tokens: Tokens) -> None:
        self._directory, self._tokens = directory, tokens
        self._stamps: tuple[tuple[str, FileStamp], ...] | None = None

    async def look(self) -> None:
        """Read the keys again if a file came, went or changed. Never raises."""
        stamps = self._stamped()
        if stamps == self._stamps:
            return
        self._stamps = stamps
        try:
            keys = await asyncio.to_thread(lambda: KeySet(load_signing_keys(self._directory)))
        except RppamError as error:
            _log.warning("the changed signing keys cannot be used, those of before stay in use: %s", error)
            return
        before = self._tokens.keys.kids
        self._tokens.use(keys)
        for kid in sorted(keys.kids - before):
            _log.info("a new signing key is there: %s", kid)
        for kid in sorted(before - keys.kids):
            _log.warning("a signing key is gone: %s; tokens that it signed are refused", kid)

    def _stamped(self) -> tuple[tuple[str, FileStamp], ...]:
        try:
            found = [(path, path.stat()) for path in signing_key_files(self._directory)]
        except OSError:
            return ()
        return tuple((path.name, stamp_of(status)) for path, status in found)
