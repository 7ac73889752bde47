"""Checkpoints of the ledger between members: a node offers one, a witness cosigns it or says why not.

Decides that only a node that proves to be one is listened to, and that one offer of each connection is under way at a
time; more are passed over. What a cosignature needs is decided by whoever answers (``rppam.ledger.cosigner``).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from rppam.cluster.link.codec import CheckpointAnswer, CheckpointOffer
from rppam.cluster.link.connection import MemberConnection
from rppam.ledger.cosigner import Cosigner, Judged, Offer
from rppam.ledger.errors import LedgerUnwatched

_log: Final = logging.getLogger("rppam.members")

WAIT_S: Final = 3.0
WHY_MAX: Final = 600
BY_MAX: Final = 64

Answer = Callable[[CheckpointOffer], Awaitable[CheckpointAnswer]]
"""Judges an offer. It raises nothing."""


def answering(cosigner: Cosigner) -> Answer:
    """How a witness answers: on a thread, as it writes to disk before it signs."""
    said = ""

    async def answer(offer: CheckpointOffer) -> CheckpointAnswer:
        nonlocal said
        proof = tuple(map(bytes.fromhex, offer.proof))
        try:
            wanted = Offer(offer.key, offer.note, offer.since, proof)
            judged, key = await asyncio.to_thread(cosigner.judge, wanted), await asyncio.to_thread(cosigner.key)
        except LedgerUnwatched as error:
            judged, key = Judged(0, why=str(error)), ""
        if judged.why and judged.why != said:
            _log.error("The ledger is not cosigned: %s", judged.why)
        said = judged.why
        said_of_it = CheckpointAnswer(offer.number, judged.size, key, judged.line, judged.why[:WHY_MAX], judged.life)
        if judged.adoption is None:
            return said_of_it
        reason, by, before, _ = judged.adoption
        return msgspec.structs.replace(said_of_it, adopted=reason[:WHY_MAX], by=by[:BY_MAX], before=before)

    return answer


class TakenCheckpoints:
    """What others offer this member."""

    def __init__(self) -> None:
        self.answer: Answer | None = None
        """``None``: this member does not cosign over the link."""
        self._under_way: dict[MemberConnection, asyncio.Task[None]] = {}

    def take(self, channel: MemberConnection, offer: CheckpointOffer) -> None:
        """Judge ``offer`` and answer it, later."""
        if self.answer is None or channel in self._under_way:
            return
        task = asyncio.get_running_loop().create_task(self._answer(self.answer, channel, offer), name="cosignature")
        self._under_way[channel] = task
        task.add_done_callback(lambda _done: self._under_way.pop(channel, None))

    def stop(self) -> None:
        """Give up what is under way."""
        for task in self._under_way.values():
            task.cancel()

    async def _answer(self, answer: Answer, channel: MemberConnection, offer: CheckpointOffer) -> None:
        channel.say(await answer(offer))


class OfferedCheckpoints:
    """What this node has offered over one connection."""

    def __init__(self, channel: MemberConnection) -> None:
        self._channel = channel
        self._waiting: dict[str, asyncio.Future[CheckpointAnswer]] = {}

    async def offer(self, offer: CheckpointOffer) -> CheckpointAnswer | None:
        """The answer; ``None`` where none came in time."""
        answer: asyncio.Future[CheckpointAnswer] = asyncio.get_running_loop().create_future()
        self._waiting[offer.number] = answer
        try:
            if not self._channel.say(offer):
                return None
            async with asyncio.timeout(WAIT_S):
                return await answer
        except TimeoutError:
            return None
        finally:
            del self._waiting[offer.number]

    def heard(self, answer: CheckpointAnswer) -> None:
        """An answer came; one that nobody waits for any more is passed over."""
        waiting = self._waiting.get(answer.number)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)
