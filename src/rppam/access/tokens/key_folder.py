"""The folder of signing keys as a running node sees it: looked at every second, read again when something changed.

So a key that is put there verifies within a second, on every node for itself, and one that is taken away refuses what
it signed. What cannot be used is told once and read again with each look, since the reason may be gone while the files
are the same; the keys of before stay in the meantime. It does not copy keys to other nodes.
"""

import asyncio
import logging
from pathlib import Path
from typing import Final

from rppam.access.tokens.key_files import load_signing_keys, signing_key_files
from rppam.access.tokens.service import KeySet, Tokens
from rppam.kernel.files import FileStamp, stamp_of, why_not

_log: Final = logging.getLogger("rppam.api")


class KeyFolder:
    """One such folder, and the tokens that its keys are for."""

    def __init__(self, directory: Path, tokens: Tokens) -> None:
        self._directory, self._tokens = directory, tokens
        self._stamps: tuple[tuple[str, FileStamp], ...] = ()
        """Of the files as the keys in use were read from them."""
        self._told = ""

    async def look(self) -> None:
        """Read the keys again if a file came, went or changed. Never raises."""
        try:
            stamps = self._stamped()
            if stamps and stamps == self._stamps:
                self._told = ""
                return
            keys = await asyncio.to_thread(lambda: KeySet(load_signing_keys(self._directory)))
        except Exception as error:  # noqa: BLE001 - told; what looks every second must go on
            why = why_not(error)
            if why != self._told:
                _log.warning("the changed signing keys cannot be used, those of before stay in use: %s", why)
            self._told = why
            return
        self._stamps, self._told = stamps, ""
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
