"""What an administrator orders of the running node, checked against what the node knows, and handed to its core.

It decides which orders make sense now, and says why not where they do not; the core decides what an order leads to.
Every order that is taken leaves one line in the log ``rppam.audit``: who, what.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from rppam.cluster.admin.errors import (
    CannotFollow,
    ChangePending,
    LeaderPresent,
    LeadsAlready,
    MemberRuns,
    MembersDoNotVote,
    NobodyToFollow,
    NotStatedOff,
    OrdersUnwritable,
    SettingUnfit,
)
from rppam.cluster.admin.faults import NodeFaults
from rppam.cluster.admin.followers import check_disks, unknown, why_nobody, why_not
from rppam.cluster.consensus.effects import AskAgain, ChangeMembership, HandOver, ImposeMembership
from rppam.cluster.consensus.heartbeat import MemberStatus
from rppam.cluster.consensus.membership import Membership, VoterSet
from rppam.cluster.consensus.node import Maintain, NodeCore, NodeEffect
from rppam.cluster.consensus.operator_state import person
from rppam.cluster.driver.operator_state import OperatorStateKeeper
from rppam.cluster.history.recorder import HistoryEvent, noted
from rppam.cluster.link.local_peer import PeerState
from rppam.http.errors import NotLeaderError
from rppam.kernel.clock import Clock
from rppam.kernel.instant import Instant, after

audit: Final = logging.getLogger("rppam.audit")

KEPT_WITHIN_S: Final = 3.0
ORDERED_QUIET_S: Final = 2.0
"""A newcomer's kernel tries again after one second, and after three: later an order would cost more than a death."""
ANSWERING_QUIET_S: Final = 0.5
"""Where who orders may wait for the answer on what is to end."""
_LOOK_S: Final = 0.02
_ANSWER_S: Final = 0.005

BEATS: Final = "does not answer this node, but its heartbeats in Redis go on"


def _note(sentence: str, *words: str, by: str) -> None:
    """Put an order that was taken into the log and the history."""
    audit.warning(sentence, *words, extra=noted(HistoryEvent.ORDER, by=by))


class NodeAdministration:
    """Implements ``Administration`` in the process that decides."""

    def __init__(
        self,
        core: NodeCore,
        feed: Callable[[list[NodeEffect]], None],
        clock: Clock,
        orders: OperatorStateKeeper,
        peers: Callable[[], Mapping[str, PeerState]] = dict,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        faults: NodeFaults | None = None,
        unfit: Callable[[Mapping[str, Any]], Awaitable[str]] | None = None,
        quieten: Callable[[float], Awaitable[None]] | None = None,
    ) -> None:
        """``feed`` carries out what the core decides; ``peers`` is what the member link sees; ``faults``: for tests of
        failover, ``None`` where none can be made; ``unfit``: why values of settings would not work on this host;
        ``quieten``: lets end, within so many seconds, what an end of leadership would cut off."""
        self._core = core
        self._feed = feed
        self._clock = clock
        self._orders = orders
        self._peers = peers
        self._sleep = sleep
        self._faults = faults or NodeFaults(clock)
        self._unfit = unfit
        self._quieten = quieten
        self._quiet: asyncio.Future[None] | None = None

    # ---- orders -----------------------------------------------------------------------------------------------------

    async def switch_over(self, to: str | None, by: str) -> str:
        self._check_leads(self._clock.now())
        if to == self._node:
            raise LeadsAlready(f"{to} leads already")
        able = await self._able_now(to)
        now = self._clock.now()
        self._check_leads(now)
        if to is not None and to not in able:
            raise why_not(self._core, to, now)
        if not able:
            raise NobodyToFollow(
                f"no other node could lead now, so {self._node} stays{why_nobody(self._core, now)}. "
                f"{NobodyToFollow.row.remedy}"
            )
        check_disks(self._core, now)
        if not self._core.status().members_vote and to is not None and len(able) > 1:
            raise CannotFollow(
                "members do not vote here, so none can be invited: of those that could follow, the first to read the "
                "release leads. Leave the target out"
            )
        by = person(by)
        _note("%s orders a switchover from %s to %s", by, self._node, to or "the next in succession", by=by)
        successor = to or ("" if not self._core.status().members_vote else able[0])
        order = HandOver(successor, f"{by} ordered a switchover")
        if self._quieten is None:
            self._feed(self._core.step(order, now))
        else:  # after this answer, which may go the same way; nothing comes of it where another leads by then
            quiet = asyncio.ensure_future(self._quieten(ORDERED_QUIET_S))
            quiet.add_done_callback(lambda _: self._feed(self._core.step(order, self._clock.now())))
            self._quiet = quiet
        return f"{self._node} releases its leadership and invites {to or able[0]} to lead"

    async def try_settings(self, values: Mapping[str, Any], by: str) -> str:
        why = "" if self._unfit is None else await self._unfit(values)
        audit.info("%s has %s try settings: %s", person(by), self._node, why or "they would work")
        if why:
            raise SettingUnfit(f"{self._node}: {why}")
        return f"{self._node} could go by these settings"

    async def set_maintenance(self, on: bool, by: str) -> str:
        orders = self._core.orders
        if on == orders.maintenance:
            await self._orders.keep_again(orders)
            already = f"is in maintenance already, by {orders.maintenance_by}" if on else "is not in maintenance"
            return f"{self._node} {already}"
        able = await self._able_now() if on and self._leads else ()
        if on and self._leads and not able:
            raise NobodyToFollow(
                f"{self._node} leads and no other node could, so it does not go into maintenance"
                f"{why_nobody(self._core, self._clock.now())}. {NobodyToFollow.row.remedy}"
            )
        if able and self._leads and self._quieten is not None:
            await self._quieten(ANSWERING_QUIET_S)
        by, leads, now = person(by), self._leads, self._clock.now()
        if able and leads:
            check_disks(self._core, now)
        _note("%s %s %s", by, "puts into maintenance:" if on else "takes out of maintenance:", self._node, by=by)
        self._feed(self._core.step(Maintain(by, on), now))
        await self._orders.kept()
        if not leads:
            await self._published(now)
        if not on:
            return f"{self._node} is out of maintenance and may lead again"
        handed = " It releases its leadership and invites the next in succession." if leads else ""
        return f"{self._node} is in maintenance: it votes, answers, and does not lead, over restarts too.{handed}"

    async def pause(self, on: bool, by: str) -> str:
        known, now = self._core.orders.pause, self._clock.now()
        if on == known.is_on:
            await self._orders.keep_again(self._core.orders)
            what = f"paused already, by {known.by}" if on else "not paused"
            return f"automatic failover is {what}{self._as_far_as_told(now)}"
        by = person(by)
        _note("%s %s automatic failover of the cluster", by, "pauses" if on else "resumes", by=by)
        pause = known.followed_by(self._clock.wall_ms(), is_on=on, by=by)
        self._feed(self._core.step(pause, now))
        await self._orders.kept()
        if far := self._as_far_as_told(now):
            return f"automatic failover is {'paused' if on else 'resumed'}{far}"
        if on:
            return "automatic failover is paused: no node takes over by itself until 'rppam cluster resume'"
        return "automatic failover is resumed"

    def _as_far_as_told(self, now: Instant) -> str:
        """Return where an order holds, and what to do, while this node's heartbeats do not take it to the others.

        They travel through the store alone. Empty while it answers.
        """
        if self._core.status().connected and not self._core.detector.is_blind(now):
            return ""
        return (
            f" on {self._node} only: it does not reach Redis, by which the others hear of it where the member link "
            "does not tell them. Send the order, too, to each node that is not named as told"
        )

    async def forget(self, member: str, *, is_off: bool, by: str) -> str:
        now = self._clock.now()
        membership = self._membership()
        self._check_leads(now)
        if member not in membership.members:
            raise unknown(member, membership)
        if member == self._node:
            raise MemberRuns(f"{member} leads; hand its leadership over first (rppam cluster switchover)")
        body, stated = self._removal(member, membership, is_off=is_off)
        self._check_silence(member, membership, now, is_off=is_off)
        by = person(by)
        _note("%s has %s forgotten%s", by, member, ", and states that it is switched off" if is_off else "", by=by)
        self._feed(self._core.step(ChangeMembership(body, stated), now))
        return f"{member} is being removed; the members will be {', '.join(body.members)}"

    async def fail(self, fault: str, seconds: int, by: str) -> str:
        self._check_leads(self._clock.now())
        able, now = await self._able_now(), self._clock.now()
        self._check_leads(now)
        if not able:
            raise NobodyToFollow(
                f"no other node could lead now, so {self._node} is left alone{why_nobody(self._core, now)}. "
                f"{NobodyToFollow.row.remedy}"
            )
        said, by = self._faults.begin(fault, seconds), person(by)
        _note("%s tests failover: %s %s", by, self._node, said, by=by)
        return f"{self._node} {said}"

    async def fencing_token(self, purpose: str, by: str) -> str:
        now = self._clock.now()
        self._check_leads(now)
        epoch = self._core.status().permission(now)
        audit.info("%s lends epoch %s for %s by %s", self._node, epoch, purpose, person(by))
        return f"{epoch} {self._core.boot_id}"

    async def force_forget(self, members: Sequence[str], by: str, back: Sequence[str] = ()) -> str:
        now = self._clock.now()
        membership = self._membership()
        for member in members:
            if member not in membership.members:
                raise unknown(member, membership)
        body = _without(membership.body, members)
        if back:
            body = _with(body, {*back} if self._node in body.members else {*back, self._node})
        leader = self._core.status().leader(now)
        if leader is not None and (not back or (leader[0] in body.members and membership.may_stand(leader[0]))):
            raise LeaderPresent(f"{leader[0]} leads; 'rppam cluster forget' without --force lets it remove members")
        peers = self._peers()
        for member in members if not back else ():  # a list that was made up may name who never was a member
            if member == self._node or (member in peers and peers[member].is_connected):
                raise MemberRuns(f"{member} answers, so it is not lost; stop it for good before it is removed by force")
            if self._beats(member, now):
                raise MemberRuns(f"{member} {BEATS}, so it is not lost; stop it for good before it is removed by force")
        if all(name in body.witnesses for name in body.members):
            raise NobodyToFollow("without them no member would be left that may lead")
        by = person(by)
        _note("%s removes by force %s: they must never come back as they were", by, ", ".join(members), by=by)
        if back:
            _note("%s makes members again: %s", by, ", ".join(back), by=by)
        self._feed(self._core.step(ImposeMembership(body), now))
        await self._imposed()
        made = self._membership()
        return (
            f"the members are now {', '.join(made.body.members)} (version {made.version}); what was removed must never "
            "start again with its old file 'promise'"
        )

    async def _imposed(self) -> None:
        """Wait until the list is on disk. It holds already, but only for as long as this process lives."""
        for _ in range(int(KEPT_WITHIN_S / _LOOK_S)):
            vote = self._core.status().vote
            if vote.is_kept:
                return
            if vote.problem:
                break
            await self._sleep(_LOOK_S)
        why = self._core.status().vote.problem or f"the disk has not taken it for {KEPT_WITHIN_S:.0f} s"
        raise OrdersUnwritable(
            f"the new list of members is not on disk: {why}. Wipe none of the forgotten hosts yet; "
            "mend this, and look at 'rppam status' before and after a restart of this node"
        )

    # ---- what is checked --------------------------------------------------------------------------------------------

    @property
    def _node(self) -> str:
        return self._core.node

    def _membership(self) -> Membership:
        membership = self._core.status().known_membership
        if membership is None:
            raise MembersDoNotVote(MembersDoNotVote.row.meaning)
        return membership

    def _check_leads(self, now: Instant) -> None:
        if self._core.status().permission(now) is not None:
            return
        leader = self._core.status().leader(now)
        name = None if leader is None or leader[0] == self._node else leader[0]
        raise NotLeaderError(self._node, name, self._url_of(name, now) if name else None)

    def _url_of(self, name: str, now: Instant) -> str | None:
        """Return where a node's API answers: what it said itself on the link goes before what stands in the store."""
        peer, seen = self._peers().get(name), self._core.detector.members(now).get(name)
        return (peer.api_url if peer else "") or (seen.heartbeat.api_url if seen else "") or None

    @property
    def _leads(self) -> bool:
        return self._core.status().permission(self._clock.now()) is not None

    async def _able_now(self, to: str | None = None) -> tuple[str, ...]:
        """Return who could follow this node, by what each says now; of ``to`` alone, where one is named.

        What it said with the last heartbeat may be over: an order to one of them may have been taken a moment ago.
        A member that does not answer holds nothing up for longer than half a request may take, if another could follow.
        """
        since = self._clock.now()
        timeout_us = self._core.timing.request_timeout_us
        while self._leads and (now := self._clock.now()) - since < 2 * timeout_us:  # one question may be under way
            unheard = tuple(name for name in self._could_answer(to, now) if not self._has_said(name, since))
            if not unheard and (self._core.status().members_vote or self._has_read(since)):
                break
            if now - since >= timeout_us // 2 and any(self._has_said(name, since) for name in self._able(now)):
                break
            self._feed(self._core.step(AskAgain(unheard), now))
            await self._sleep(_ANSWER_S)
        able = self._able(self._clock.now())
        return (
            able
            if not self._core.status().members_vote
            else tuple(name for name in able if self._has_said(name, since))
        )

    async def _published(self, since: Instant) -> None:
        """Wait until the store has this node's heartbeat of ``since`` or later, where it answers."""
        until = after(since, self._core.timing.request_timeout_us)
        while self._clock.now() < until and not self._has_read(since):
            self._feed(self._core.step(AskAgain(), self._clock.now()))
            await self._sleep(_ANSWER_S)

    def _has_read(self, since: Instant) -> bool:
        if not self._core.status().connected:
            return True  # nothing can be read
        return self._core.read_at is not None and self._core.read_at >= since

    def _has_said(self, name: str, since: Instant) -> bool:
        answer = self._core.status().answers.get(name)
        return answer is not None and answer.asked_at >= since

    def _could_answer(self, to: str | None, now: Instant) -> tuple[str, ...]:
        status = self._core.status()
        members = status.membership.members
        names = (to,) if to and members else tuple(name for name in members if name != self._node)
        return tuple(name for name in names if status.membership.may_stand(name) and status.is_heard(name, now))

    def _able(self, now: Instant) -> tuple[str, ...]:
        if self._core.status().members_vote:
            return self._core.status().successors(now)
        seen = sorted(self._core.detector.members(now).items())
        healthy = [(name, one.heartbeat) for name, one in seen if one.status is MemberStatus.HEALTHY]
        return tuple(name for name, beat in healthy if beat.admitted and not beat.maintenance)

    def _removal(self, member: str, membership: Membership, *, is_off: bool) -> tuple[VoterSet, tuple[str, ...]]:
        """Return what the membership shall become, and the members stated to be off."""
        wanted, stated_off = self._core.status().wanted.voters, self._core.status().wanted.stated_off
        if wanted is not None and set(membership.members) < set(wanted.members):
            wanted = None  # a newcomer whose vote is not won yet; it asks again
        under_way = wanted or (membership.body if membership.old is not None else None)
        stated = (member,) if is_off else ()
        if under_way is None:
            return _without(membership.body, (member,)), stated
        if member in under_way.members:
            raise ChangePending(f"a change to {', '.join(under_way.members)} is under way; wait until it is done")
        if not is_off or member in stated_off:
            raise ChangePending(f"{member} is being removed already; 'rppam status' shows what it waits for")
        return under_way, tuple(sorted({*stated_off, member}))

    def _check_silence(self, member: str, membership: Membership, now: Instant, *, is_off: bool) -> None:
        """Refuse to remove a member that runs by mistake, or a silent one without what the rule needs."""
        status = self._core.status()
        is_heard = status.is_heard(member, now)
        if is_off or member not in self._core.in_maintenance:
            is_witness = any(member in body.witnesses for body in membership.voter_sets)
            why = "so it is not switched off" if is_off else "so it runs" if is_witness else "and is not in maintenance"
            if is_heard:
                raise MemberRuns(f"{member} answers, {why}. {MemberRuns.row.remedy}")
            if self._beats(member, now):
                raise MemberRuns(f"{member} {BEATS}, {why}. {MemberRuns.row.remedy}")
        if is_heard:
            return
        voters = membership.old or membership.body
        have = sum(1 for name in voters.members if name == self._node or status.is_heard(name, now))
        if not is_off and have < voters.blocking:
            raise NotStatedOff(
                f"{member} does not answer. Under {voters.policy}, {voters.blocking} of {len(voters.members)} members "
                f"must have the new list on disk before it is in force, and {have} answer. If {member} is switched off "
                f"for good, state it: rppam cluster forget {member} --off"
            )

    def _beats(self, member: str, now: Instant) -> bool:
        """Return whether its heartbeats are being read, whatever has become of the direct way to it."""
        seen = self._core.detector.members(now).get(member)
        return seen is not None and seen.status in {MemberStatus.HEALTHY, MemberStatus.SUSPECT}


def _without(body: VoterSet, members: Sequence[str]) -> VoterSet:
    left = tuple(name for name in body.members if name not in members)
    return VoterSet.of(left, body.policy, tuple(name for name in body.witnesses if name not in members))


def _with(body: VoterSet, back: set[str]) -> VoterSet:
    """``body`` and these members, each witness's name with a ``*``."""
    names = {name.removesuffix("*") for name in back}
    witnesses = {name.removesuffix("*") for name in back if name.endswith("*")}
    return VoterSet.of({*body.members, *names}, body.policy, tuple({*body.witnesses} - names | witnesses))
