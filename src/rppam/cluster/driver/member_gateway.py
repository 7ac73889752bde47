"""The member gateway: carries what members say to each other between the core, the link and the disk.

It decides nothing. Promises are saved in the order in which they were decided, off the loop, because a disk may hang:
the answers that wait for one wait in the core, and everything else goes on. One that comes late, because the host had
no thread for it, is not saved over a newer one.

Between promises the disk is tried every 15 s, in the same place and way: that it has filled up is known soon, and not
first when leadership depends on it. A trial that does not end is reported, and no second one is begun.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, NamedTuple

from rppam.cluster.consensus.effects import (
    Ask,
    Asked,
    Free,
    Freed,
    Invite,
    Invited,
    NotVoted,
    Saved,
    SaveKept,
    SendVote,
    Tried,
    Voted,
)
from rppam.cluster.consensus.membership import Membership, Wanted
from rppam.cluster.consensus.messages import Freeing, Invitation, PersistedVote, Vote, VoteRequest
from rppam.cluster.consensus.node import NodeCore, NodeEffect
from rppam.cluster.driver.strays import Strays
from rppam.cluster.driver.vouching import Vouching
from rppam.cluster.link.link import TlsMemberLink
from rppam.cluster.link.local_peer import MemberListener
from rppam.cluster.store.hint_files import AddressBook
from rppam.cluster.store.vote_file import FilePromises
from rppam.kernel.clock import Clock
from rppam.kernel.errors import RppamError
from rppam.kernel.instant import Instant, after
from rppam.kernel.serial_writer import InOrder

log: Final = logging.getLogger("rppam.node")

TRY_EVERY_S: Final = 15.0
TRY_AGAIN_S: Final = 5.0
"""While the disk does not take promises."""
HANGS_S: Final = 10.0
"""After this long without an answer a disk stands still."""
LOOK_US: Final = 100_000
HANGS: Final = (
    f"the disk of node.dataDir has not answered for {HANGS_S:.0f} s. Until it does this member does not vote: look at "
    "the disk (dmesg, and for a network file system its server)"
)
UNFORESEEN: Final = (
    "the promise file: expected to keep a promise on disk, found: {error!r}. Until this is put right this member does "
    "not vote: where no thread can be started, raise the service's limit of tasks (TasksMax); else the log tells more"
)


class MemberWays(NamedTuple):
    """All that a node needs to be a member that votes."""

    link: TlsMemberLink
    promises: FilePromises
    book: AddressBook
    vouching: Vouching


class _Seen(NamedTuple):
    """What was looked at last."""

    known: dict[str, str]
    """Addresses of members, by their heartbeats."""
    membership: Membership | None
    wanted: Wanted | None
    again_at: Instant


class MemberGateway:
    """Between one node's core and the other members."""

    def __init__(
        self,
        core: NodeCore,
        ways: MemberWays,
        clock: Clock,
        feed: Callable[[list[NodeEffect]], None],
        ended: Callable[[asyncio.Task[None]], None],
    ) -> None:
        """``feed`` carries out what the core decides; ``ended`` hears when what must not end has ended."""
        self.link, promises, book, _ = self._ways = ways
        self._promises = InOrder(promises.save)
        self._trials = InOrder(promises.try_out)
        self._addresses = InOrder(book.save)
        self._core = core
        self._clock = clock
        self._feed = feed
        self._ended = ended
        self._to_save: asyncio.Queue[SaveKept | dict[str, str] | asyncio.Future[str]] = asyncio.Queue()
        """Promises, addresses, and trials: those are given why the disk would keep no promise, or nothing."""
        self._tasks: list[asyncio.Task[None]] = []
        self.strays: Final = Strays(core, clock.now())
        self._seen = _Seen({}, None, None, clock.now())
        self._expected: tuple[frozenset[str], frozenset[str]] = frozenset(), frozenset()
        """All of them, and those that are no witnesses, as the link has them."""
        self._noted: dict[str, str] = {}

    async def start(self) -> None:
        """Listen to the other members, and keep promises on disk from now on. Raises what the link raises."""
        self._noted = dict(await asyncio.to_thread(self._ways.book.load))
        self.link.know(self._noted)
        self._tasks = [
            asyncio.create_task(self._save(), name="promises"),
            asyncio.create_task(self._try_often(), name="the disk of promises"),
        ]
        for task in self._tasks:
            task.add_done_callback(self._ended)
        listener = MemberListener(
            self._on_vote_request, self._on_vote, self._on_no_vote, self._on_freeing, self._on_invited
        )
        await self.link.start(listener)
        self.look()

    async def stop(self) -> None:
        """Let what was said leave, then close."""
        await self.link.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def look(self) -> None:
        """Keep connections to those that are to be reached; learn where they are from their heartbeats.

        Called after each word; what no new list of members changes waits for a moment: it is a walk over all of them.
        """
        now, status = self._clock.now(), self._core.status()
        seen, membership, wanted = self._seen, status.membership, status.wanted
        if seen.membership is membership and seen.wanted is wanted and membership.members and now < seen.again_at:
            return
        seen = self._seen = _Seen(seen.known, membership, wanted, after(now, LOOK_US))
        expected = self._to_be_reached()
        known = {
            name: one.heartbeat.member_address
            for name, one in self._core.detector.members(self._clock.now()).items()
            if one.heartbeat.member_address
        }
        if known != seen.known:
            self._seen = seen._replace(known=known)
            self.link.know(known)
        nodes = self._nodes(expected)
        if (expected, nodes) != self._expected:
            self._expected = expected, nodes
            self.link.expect(expected, nodes)
        for name, question in self.strays.due(self._clock.now()):
            self.link.send(name, question._replace(membership=self._ways.vouching.sent(question.membership)))
        addresses = {name: address for name, address in self.link.addresses.items() if name in expected}
        if addresses and addresses != self._noted:
            self._noted = addresses
            self._to_save.put_nowait(addresses)

    def _to_be_reached(self) -> frozenset[str]:
        """Return the members, and those that shall be. Of a cluster that has not taken this node in yet, its leader:
        where their keys differ, this node would hear of it from nobody else."""
        status, me = self._core.status(), {self._core.node}
        if status.membership.members:
            return frozenset((*status.asked_members, *self.strays.names(self._clock.now()))) - me
        leader = status.leader(self._clock.now())
        return self._expected[0] if leader is None else frozenset((leader[0],)) - me

    def _nodes(self, expected: frozenset[str]) -> frozenset[str]:
        """Return which of these are no witnesses; a newcomer expects its leader alone."""
        membership, wanted = self._core.status().membership, self._core.status().wanted.voters
        if not membership.members:
            return expected
        sets = (*membership.voter_sets, *((wanted,) if wanted is not None else ()))
        strays = self.strays.names(self._clock.now())
        return frozenset(
            name for name in expected if strays.get(name) or any(voters.may_stand(name) for voters in sets)
        )

    def perform(self, effect: NodeEffect) -> bool:
        """Carry out what concerns the members; return whether it was such an effect."""
        match effect:
            case Ask(to, vote_request):
                said = vote_request._replace(membership=self._ways.vouching.sent(vote_request.membership))
                if not self.link.send(to, said):
                    # Not at once: the core is being carried out, and must not be fed from within.
                    asyncio.get_running_loop().call_soon(self._on_no_vote, to, vote_request.request)
            case Free(to, message) | Invite(to, message):
                self.link.send(to, message)
            case SaveKept():
                self._to_save.put_nowait(effect)
            case SendVote(handle, vote):
                assert callable(handle)
                handle(_with_list(vote, self._ways.vouching.sent))
            case _:
                return False
        return True

    async def _save(self) -> None:
        """Never ends: what the disk or the host refuses shows in health and is tried again."""
        told = ""
        while True:
            save = await self._to_save.get()
            if isinstance(save, dict):
                await self._note(save)
            elif isinstance(save, asyncio.Future):
                if (kept := self._kept()) is not None:
                    told = await _why_not(self._trials, kept, told)
                save.set_result(told)
            else:
                told = await _why_not(self._promises, save.kept, told)
                self._feed(self._core.step(Saved(save.ticket, told), self._clock.now()))
                if save.kept.membership is not None:
                    await self._ways.vouching.keep(save.kept.membership)

    def _kept(self) -> PersistedVote | None:
        status = self._core.status()
        return status.vote.kept if status.members_vote else None

    async def _try_often(self) -> None:
        """Know soon whether the disk would take a promise."""
        while True:
            trial: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            self._to_save.put_nowait(trial)
            await asyncio.wait({trial}, timeout=HANGS_S)
            if not trial.done():
                self._tried(HANGS)
            why_not = await trial
            self._tried(why_not)
            await asyncio.sleep(min(TRY_EVERY_S, TRY_AGAIN_S) if why_not else TRY_EVERY_S)

    def _tried(self, why_not: str) -> None:
        self._feed(self._core.step(Tried(why_not), self._clock.now()))

    async def _note(self, addresses: dict[str, str]) -> None:
        try:
            await self._addresses.run(addresses)
        except Exception as error:  # noqa: BLE001 - promises are kept by the same task, which must go on
            log.warning("the addresses of the members are not kept for a start without Redis: %s", error)

    # ---- what is heard ----------------------------------------------------------------------------------------------

    def _on_vote_request(self, vote_request: VoteRequest, answer: Callable[[Vote], None]) -> None:
        vote_request = vote_request._replace(membership=self._ways.vouching.heard(vote_request.membership))
        self._feed(self._core.step(Asked(vote_request, answer), self._clock.now()))

    def _on_vote(self, vote: Vote) -> None:
        self.strays.heard(vote)
        self._feed(self._core.step(Voted(_with_list(vote, self._ways.vouching.heard)), self._clock.now()))

    def _on_no_vote(self, member: str, request: int) -> None:
        self._feed(self._core.step(NotVoted(member, request), self._clock.now()))

    def _on_freeing(self, freeing: Freeing) -> None:
        self._feed(self._core.step(Freed(freeing), self._clock.now()))

    def _on_invited(self, invitation: Invitation) -> None:
        log.info("%s has released and invites this node to lead", invitation.candidacy.candidate)
        self._feed(self._core.step(Invited(), self._clock.now()))


def _with_list(vote: Vote, change: Callable[[Membership], Membership]) -> Vote:
    """The vote with its list of members changed, where it has one."""
    return vote if vote.membership is None else vote._replace(membership=change(vote.membership))


async def _why_not(calls: InOrder[PersistedVote], kept: PersistedVote, told: str) -> str:
    """Make the call that writes this; return why it was not made, or an empty text. ``told``: that of the last call."""
    try:
        await calls.run(kept)
    except RppamError as error:
        return str(error)
    except Exception as error:
        why_not = UNFORESEEN.format(error=error)
        if why_not != told:
            log.exception("a promise was not kept, for a reason that nobody foresaw")
        return why_not
    return ""
