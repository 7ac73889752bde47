"""The desk: carries what members say to each other between the core, the link and the disk.

It decides nothing. A promise is saved in the order it was decided, off the loop, because a disk may hang: the answers
that wait for it wait in the core, and everything else goes on. One that comes late, because the host had no thread for
it, is not saved over a newer one.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from rppam.core.effects import Ask, Free, Invite, Invited, NotVoted, Voted
from rppam.core.node import NodeCore, NodeEffect
from rppam.core.voter import SaveKept, SendVote
from rppam.domain.ballot import Ballot, Freeing, Invitation, Vote
from rppam.domain.errors import RppamError
from rppam.ports.clock import Clock
from rppam.ports.members import MemberListener, MemberWays
from rppam.runtime.in_order import InOrder

log: Final = logging.getLogger("rppam.node")

UNFORESEEN: Final = (
    "the promise file: expected to keep a promise on disk, found: {error!r}. Until this is put right this member does "
    "not vote: where no thread can be started, raise the service's limit of tasks (TasksMax); else the log tells more"
)


class Desk:
    """Between one node's core and the other members."""

    def __init__(
        self,
        core: NodeCore,
        ways: MemberWays,
        clock: Clock,
        feed: Callable[[list[NodeEffect]], None],
        ended: Callable[[asyncio.Task[None]], None],
    ) -> None:
        """``feed`` carries out what the core decides; ``ended`` is told when what must not end has ended."""
        self.link, promises, self._book = ways
        self._promises = InOrder(promises.save)
        self._addresses = InOrder(self._book.save)
        self._core = core
        self._clock = clock
        self._feed = feed
        self._ended = ended
        self._to_save: asyncio.Queue[SaveKept | dict[str, str]] = asyncio.Queue()
        self._saver: asyncio.Task[None] | None = None
        self._known: dict[str, str] = {}
        self._expected: frozenset[str] = frozenset()
        self._told_nodes: frozenset[str] = frozenset()
        self._noted: dict[str, str] = {}

    async def start(self) -> None:
        """Listen to the other members, and keep promises on disk from now on. Raises what the link raises."""
        self._noted = dict(await asyncio.to_thread(self._book.load))
        self.link.know(self._noted)
        self._saver = asyncio.create_task(self._save(), name="promises")
        self._saver.add_done_callback(self._ended)
        listener = MemberListener(self._on_ballot, self._on_vote, self._on_no_vote, self._on_freeing, self._on_invited)
        await self.link.start(listener)
        self.look()

    async def stop(self) -> None:
        """Let what was said leave, then close."""
        await self.link.stop()
        if self._saver is not None:
            self._saver.cancel()
            await asyncio.gather(self._saver, return_exceptions=True)

    def look(self) -> None:
        """Keep connections to those who are to be reached; learn where they are from their heartbeats."""
        expected = self._to_be_reached()
        known = {
            name: seen.heartbeat.member_address
            for name, seen in self._core.detector.members(self._clock.now()).items()
            if seen.heartbeat.member_address
        }
        if known != self._known:
            self._known = known
            self.link.know(known)
        nodes = self._nodes(expected)
        if (expected, nodes) != (self._expected, self._told_nodes):
            self._expected, self._told_nodes = expected, nodes
            self.link.expect(expected, nodes)
        addresses = {name: address for name, address in self.link.addresses.items() if name in expected}
        if addresses and addresses != self._noted:
            self._noted = addresses
            self._to_save.put_nowait(addresses)

    def _to_be_reached(self) -> frozenset[str]:
        """The members, and those who shall be. Of a cluster that has not taken this node in yet, its leader: where
        their keys differ, this node would hear of it from nobody else."""
        election = self._core.election
        if election.electorate is not None:
            return frozenset(election.changes.asked_too(election.electorate)) - {election.node}
        leader = election.leader(self._clock.now())
        return self._expected if leader is None else frozenset((leader[0],)) - {election.node}

    def _nodes(self, expected: frozenset[str]) -> frozenset[str]:
        """Who of these is no witness; a newcomer expects its leader alone."""
        election = self._core.election
        if election.electorate is None:
            return expected
        wanted = election.changes.wanted
        bodies = (*election.electorate.bodies, *((wanted,) if wanted is not None else ()))
        return frozenset(name for name in expected if any(body.may_stand(name) for body in bodies))

    def perform(self, effect: NodeEffect) -> bool:
        """Carry out what concerns the members; whether it was such an effect."""
        match effect:
            case Ask(to, ballot):
                if not self.link.send(to, ballot):
                    # Not at once: the core is being carried out, and must not be fed from within.
                    asyncio.get_running_loop().call_soon(self._on_no_vote, to, ballot.request)
            case Free(to, message) | Invite(to, message):
                self.link.send(to, message)
            case SaveKept():
                self._to_save.put_nowait(effect)
            case SendVote(handle, vote):
                assert callable(handle)
                handle(vote)
            case _:
                return False
        return True

    async def _save(self) -> None:
        """Whatever the disk or the host refuses is said in health and tried again: nobody else would keep promises."""
        told = ""
        while True:
            save = await self._to_save.get()
            if isinstance(save, dict):
                await self._note(save)
                continue
            why_not = ""
            try:
                await self._promises.run(save.kept)
            except RppamError as error:
                why_not = str(error)
            except Exception as error:
                why_not = UNFORESEEN.format(error=error)
                if why_not != told:
                    log.exception("a promise was not kept, for a reason that nobody foresaw")
            told = why_not
            self._feed(self._core.saved(save.ticket, why_not, self._clock.now()))

    async def _note(self, addresses: dict[str, str]) -> None:
        try:
            await self._addresses.run(addresses)
        except Exception as error:  # noqa: BLE001 - promises are kept by the same task, which must go on
            log.warning("the addresses of the members are not kept for a start without Redis: %s", error)

    # ---- what is heard ----------------------------------------------------------------------------------------------

    def _on_ballot(self, ballot: Ballot, answer: Callable[[Vote], None]) -> None:
        self._feed(self._core.asked(ballot, answer, self._clock.now()))

    def _on_vote(self, vote: Vote) -> None:
        self._feed(self._core.receive(Voted(vote), self._clock.now()))

    def _on_no_vote(self, member: str, request: int) -> None:
        self._feed(self._core.receive(NotVoted(member, request), self._clock.now()))

    def _on_freeing(self, freeing: Freeing) -> None:
        self._feed(self._core.freed(freeing, self._clock.now()))

    def _on_invited(self, invitation: Invitation) -> None:
        log.info("%s has released and invites this node to lead", invitation.claim.candidate)
        self._feed(self._core.receive(Invited(), self._clock.now()))
