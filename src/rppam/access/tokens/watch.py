"""The watch over this node's signing keys: health says when those on its disk cannot be used, or are not the others'.

A running node goes on with the keys that it has read, so nothing else would tell before it is started again. Which keys
it has goes into its heartbeats: a node that lacks one refuses what another signed.
"""

import asyncio
from pathlib import Path
from typing import Final

from rppam.access.tokens.key_files import load_signing_keys
from rppam.access.tokens.service import KeySet
from rppam.cluster.driver.node_tasks import NodeTask
from rppam.cluster.health.agreement import SIGNING_KEYS
from rppam.foundation import ControlFoundation

EVERY_S: Final = 2.0


class SigningKeyWatch(NodeTask):
    """See the module."""

    def __init__(self, directory: Path) -> None:
        super().__init__("the watch over the signing keys", EVERY_S, self.look)
        self._directory = directory

    async def look(self) -> str:
        """Look once. Raises :class:`~rppam.http.serving_errors.SigningKeyError` where they cannot be used."""
        keys = await asyncio.to_thread(lambda: KeySet(load_signing_keys(self._directory)))
        self.keeps = {SIGNING_KEYS: ", ".join(sorted(keys.kids))}
        return ""


def node_tasks(base: ControlFoundation) -> list[NodeTask]:
    """The watch."""
    return [SigningKeyWatch(base.config.auth.jwt_keys_dir)]
