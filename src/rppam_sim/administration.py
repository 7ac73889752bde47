"""What administrators do to members: they come and go, the policy changes, the leader hands over.

A wish reaches whoever leads, and is said again until it is done or the leader is another: a real administrator sees in
health that nothing happened. A host that is stated to be off stays off. As often as not something is wrong already when
the list or the policy is changed: the leader does not reach the store, or a member, and soon stands still.
"""

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Final

from rppam.cluster.consensus.effects import ChangeMembership, HandOver
from rppam.cluster.consensus.membership import QuorumPolicy, VoterSet
from rppam_sim import troubles
from rppam_sim.host import Host
from rppam_sim.verdict import Broken, Violation

if TYPE_CHECKING:
    from rppam_sim.world import World

Order = Callable[["World", Random], None]
"""What an administrator asks for."""
CHANGES: Final = ("member-added", "member-removed", "member-forgotten", "policy-change")
MEMBERS_MOST: Final = 8
AGAIN_US: Final = 20_000_000
TIMES: Final = 12


def leader(world: "World") -> Host | None:
    """Who leads, if a running process does."""
    return next((host for host in world.hosts if host.leads and not host.paused_until), None)


def body(host: Host) -> VoterSet | None:
    """Who votes, as a node knows it."""
    membership = None if host.election is None else host.election.status().known_membership
    return None if membership is None else membership.body


def switch_over(world: "World", chance: Random) -> None:
    """The leader shall hand over, to a named member or whoever comes first."""
    host = leader(world)
    now = None if host is None else body(host)
    if host is None or now is None:
        return
    able = [name for name in now.members if now.may_stand(name) and name != host.name]
    to = able[int(chance.random() * len(able))] if able and chance.random() < 0.5 else ""
    hand_over(world, host, to)


def hand_over(world: "World", leads: Host, to: str = "") -> None:
    """An administrator asks for a switchover; ``to``: the member to follow, else whoever comes first."""
    world.say(f"{leads.name} is asked to hand over{' to ' + to if to else ''}")
    leaves_nobody = leads.leads and world.disks.leaves_nobody(leads)
    world.step(leads, HandOver(to, "asked to hand over"))
    if leaves_nobody and not leads.leads:
        sentence = f"{leads.name} hands over although every disk of those that could follow is full, as each had told"
        raise Broken(Violation("hand-over", world.now, sentence))


def amid_trouble(order: Order) -> Order:
    """Given as it is, or while things go wrong: before it, and soon after it."""

    def strike(world: "World", chance: Random) -> None:
        leads = leader(world)
        if leads is None or chance.random() < 0.5:
            order(world, chance)
            return
        lease_us, beat_us = world.timing.lease_us, world.timing.heartbeat_us
        at = world.now
        if "cut" in world.kinds and chance.random() < 0.6:
            span_us = int((1 + 2 * chance.random()) * lease_us)
            troubles.cut(world, leads, span_us, holds=False, requests=True, replies=True)
            at += int(chance.random() * 1.3 * lease_us)
        others = [host for host in world.hosts if host is not leads]
        if "member-cut" in world.kinds and others:
            other = others[int(chance.random() * len(others))]
            world.push(at, lose_sight, world, leads, other, int(chance.random() * 2 * lease_us))
        at += int(chance.random() * 4 * beat_us)
        world.push(at, order, world, chance)
        if "pause" in world.kinds:
            world.push(at + int(chance.random() * 4 * beat_us), world.pause, leads, int(chance.random() * 2 * lease_us))

    return strike


def lose_sight(world: "World", one: Host, other: Host, span_us: int) -> None:
    """Two members do not reach each other for a while."""
    world.say(f"fault: nothing passes from {one.name} to {other.name} nor back for {span_us // 1000} ms")
    world.links.cut_both(one, other, span_us, holds=False)


@amid_trouble
def add(world: "World", chance: Random) -> None:
    """A new host joins, or one that was removed comes back."""
    host = leader(world)
    now = None if host is None else body(host)
    if now is None or len(now.members) >= MEMBERS_MOST:
        return
    away = [other for other in world.hosts if other.name not in now.members and not other.is_gone]
    if away:
        joins = away[int(chance.random() * len(away))]
    elif len(world.hosts) < MEMBERS_MOST + 2:
        joins = world.add_host()
        joins.is_witness = chance.random() < 0.25
        world.say(f"{joins.name} is installed")
        world.start(joins, joins.life)
    else:
        return
    want(world, joins, joins=True, times=TIMES, stated_off=False)


@amid_trouble
def remove(world: "World", chance: Random) -> None:
    """A member shall not be one any more; it may be dead, and then nobody promises that it stays so."""
    leads = leader(world)
    now = None if leads is None else body(leads)
    if now is None:
        return
    leaves = world.hosts[int(chance.random() * len(world.hosts))]
    if chance.random() < 0.4:
        dead = [host for host in world.hosts if host.election is None and host.name in now.members]
        leaves = dead[0] if dead else leaves
    want(world, leaves, joins=False, times=TIMES, stated_off=False)


def forget(world: "World", chance: Random) -> None:
    """A host dies for good, and an administrator says so."""
    leads = leader(world)
    now = None if leads is None else body(leads)
    membership = None if leads is None or leads.election is None else leads.election.status().known_membership
    gone = {host.name for host in world.hosts if host.is_gone}
    if now is None or membership is None or membership.old is not None or gone & set(now.members):
        return
    host = world.hosts[int(chance.random() * len(world.hosts))]
    if host.name not in now.members or not can_go(now, host):
        return
    world.crash(host, 0)
    host.is_gone = True
    world.say(f"{host.name} is switched off for good")
    want(world, host, joins=False, times=10_000, stated_off=True)


def can_go(now: VoterSet, host: Host) -> bool:
    """Whether at least two members that can stand are left without it."""
    return sum(1 for name in now.members if now.may_stand(name) and name != host.name) >= 2


def want(world: "World", host: Host, *, joins: bool, times: int, stated_off: bool) -> None:
    """Tell the leader that ``host`` shall, or shall not, be a member."""
    leads = leader(world)
    now = None if leads is None else body(leads)
    pending = leads is not None and leads.election is not None and leads.election.status().known_membership is not None
    if leads is not None and now is not None and pending:
        membership = leads.election.status().known_membership if leads.election is not None else None
        done = (host.name in now.members) is joins and membership is not None and membership.old is None
        if done or (host.is_gone and joins) or (not joins and host.name in now.members and not can_go(now, host)):
            return
        members = {*now.members, host.name} if joins else set(now.members) - {host.name}
        witnesses = {*now.witnesses, host.name} if joins and host.is_witness else set(now.witnesses) - {host.name}
        off = tuple(other.name for other in world.hosts if other.is_gone) if stated_off else ()
        if host is leads and not joins:  # a node refuses that: a leader that took itself out could tell nobody
            hand_over(world, leads)
        else:
            world.say(f"an administrator asks {leads.name} to {'add' if joins else 'remove'} {host.name}")
            world.step(leads, ChangeMembership(VoterSet.of(members, now.policy, tuple(witnesses)), off))
    if times > 1:
        world.push(world.now + AGAIN_US, say_again, world, host, joins, times - 1, stated_off)


def say_again(world: "World", host: Host, joins: bool, times: int, stated_off: bool) -> None:
    """An administrator looks again, and repeats what was not done."""
    want(world, host, joins=joins, times=times, stated_off=stated_off)


@amid_trouble
def change_policy(world: "World", chance: Random) -> None:  # noqa: ARG001  # all strikes look the same
    """The other policy shall hold."""
    host = leader(world)
    now = None if host is None else body(host)
    if host is None or now is None:
        return
    other = next(policy for policy in QuorumPolicy if policy is not now.policy)
    world.say(f"an administrator asks {host.name} for the policy {other}")
    world.step(host, ChangeMembership(VoterSet.of(now.members, other, now.witnesses)))
