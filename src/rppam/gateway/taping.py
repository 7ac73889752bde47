"""How the gateway records: as the policy in force says when a channel is opened."""

import logging
from collections.abc import Callable
from typing import Final

from rppam.gateway.policy import ACCESS
from rppam.gateway.ports import NoTape, Recorded, Tape
from rppam.kernel.actor import Actor
from rppam.recordings.errors import RecordingUnavailable
from rppam.recordings.model import Facts
from rppam.recordings.service import Recordings
from rppam.settings.hot import LiveSettings

log: Final = logging.getLogger("rppam.gateway")


class Taping:
    """Implements :class:`~rppam.gateway.ports.Recordings`."""

    def __init__(self, recordings: Recordings, settings: LiveSettings) -> None:
        self._recordings, self._settings = recordings, settings

    async def begin(self, what: Recorded, on_lost: Callable[[str], None]) -> Tape:
        """A tape for one channel. Raises :class:`RecordingUnavailable`, where the policy allows none without."""
        policy = self._settings.current(ACCESS)
        if policy.recording == "off":
            return NoTape()
        facts = Facts(
            what.session,
            what.target,
            what.account,
            what.user,
            what.kind,
            what.title[:1000],
            what.term[:64],
            what.columns,
            what.rows,
            "",
        )

        strict, may_lose = policy.recording == "strict", policy.recording_loss == "allow"
        try:
            return await self._recordings.record(
                facts, what.user_id, what.actor, on_lost, strict=strict, may_lose=may_lose
            )
        except RecordingUnavailable as error:
            if not may_lose:
                raise
            log.warning("a session goes on without a recording, as the policy allows: %s", error)
            return NoTape()

    async def resume(self, ident: str, generation: int, actor: Actor, on_lost: Callable[[str], None]) -> Tape:
        """A tape that goes on with a recording. Raises :class:`RecordingUnavailable`."""
        policy = self._settings.current(ACCESS)
        strict, may_lose = policy.recording == "strict", policy.recording_loss == "allow"
        return await self._recordings.resume(ident, generation, actor, on_lost, strict=strict, may_lose=may_lose)

    async def last(self, ident: str, count: int) -> bytes:
        """See :class:`~rppam.gateway.ports.Recordings`. Raises as :meth:`~rppam.recordings.service.Recordings.last`."""
        return await self._recordings.last(ident, count)

    async def wait(self, ident: str, *, on: bool) -> None:
        """See :class:`~rppam.gateway.ports.Recordings`."""
        watchers = self._recordings.watchers
        await (watchers.wait(ident) if on else watchers.begun(ident))

    async def second(self, ident: str, user_id: str) -> tuple[str, str]:
        """See :class:`~rppam.gateway.ports.Recordings`."""
        return await self._recordings.watchers.other(ident, user_id)
