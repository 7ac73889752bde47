"""Faults of members: of the links between them, of their disks, of what administrators do to them.

They happen only where members vote, besides those of :mod:`rppam_sim.faults`; the faults of a replicated store
only where there is one.
"""

from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING, Final

from rppam.cluster.consensus.effects import Asked
from rppam.cluster.consensus.membership import Membership, Version, VoterSet
from rppam.cluster.consensus.messages import Candidacy, VoteRequest, VoteRequestKind
from rppam.cluster.consensus.record import EPOCH_MAX
from rppam.kernel.instant import Instant
from rppam_sim import administration, troubles
from rppam_sim.clocks import BootClock
from rppam_sim.disk import EMPTY
from rppam_sim.faults import FAULTS, Fault, Storm, any_host, span_us
from rppam_sim.host import Asker, Host

if TYPE_CHECKING:
    from rppam_sim.world import World


STRANGER: Final = "stranger"
NOBODY: Final = -1
"""No life of a process: an answer to it reaches nobody."""


def _other(world: "World", host: Host, chance: Random) -> Host:
    others = [other for other in world.hosts if other is not host]
    return others[int(chance.random() * len(others))]


def _break(world: "World", chance: Random) -> None:
    host = any_host(world, chance)
    other = _other(world, host, chance)
    world.say(f"fault: the link between {host.name} and {other.name} breaks")
    world.links.break_link(host, other)


def _cut(world: "World", chance: Random) -> None:
    one = any_host(world, chance)
    other = _other(world, one, chance)
    if chance.random() < 0.5:
        one, other = other, one
    span, holds = span_us(world, chance), chance.random() < 0.5
    both = chance.random() < 0.4
    world.say(
        f"fault: nothing passes from {one.name} to {other.name}{' nor back' if both else ''} for {span // 1000} ms"
        f"{', but it is held back' if holds else ''}"
    )
    world.links.cut(one, other, span, holds=holds)
    if both:
        world.links.cut(other, one, span, holds=holds)


def _partition(world: "World", chance: Random) -> None:
    span, holds = span_us(world, chance, 3.0), chance.random() < 0.3
    side = {host.name: chance.random() < 0.5 for host in world.hosts}
    store_side = chance.random() < 0.5
    with_store = chance.random() < 0.6
    far = [host.name for host in world.hosts if side[host.name]]
    world.say(
        f"fault: the network falls in two for {span // 1000} ms: {', '.join(far) or 'nobody'} on one side"
        + (f", the store on {'that' if store_side else 'the other'}" if with_store else "")
    )
    for one in world.hosts:
        if with_store and side[one.name] is not store_side:
            troubles.cut(world, one, span, holds=holds, requests=True, replies=True)
        for other in world.hosts:
            if side[one.name] is not side[other.name]:
                world.links.cut(one, other, span, holds=holds)


def _pull_cable(world: "World", chance: Random) -> None:
    isolate(world, any_host(world, chance), span_us(world, chance, 3.0), holds=chance.random() < 0.3)


def isolate(world: "World", host: Host, span: int, *, holds: bool) -> None:
    """A host reaches nobody: not the store, not a member."""
    world.say(f"fault: the cable of {host.name} is pulled for {span // 1000} ms")
    troubles.cut(world, host, span, holds=holds, requests=True, replies=True)
    for other in world.hosts:
        if other is not host:
            world.links.cut_both(host, other, span, holds=holds)


def _members_apart(world: "World", chance: Random) -> None:
    span = span_us(world, chance)
    world.say(f"fault: no member reaches another for {span // 1000} ms")
    for one in world.hosts:
        for other in world.hosts:
            if one is not other:
                world.links.cut(one, other, span, holds=chance.random() < 0.3)


def _forge(world: "World", chance: Random) -> None:
    """Somebody who holds the key of the member link asks for a vote with a list of members of his own."""
    host = any_host(world, chance)
    membership = None if host.election is None else host.election.status().known_membership
    if membership is None or not membership.may_stand(host.name):
        return
    witnesses = membership.body.witnesses
    name = witnesses[0] if witnesses and witnesses[0] != host.name and chance.random() < 0.5 else STRANGER
    room = EPOCH_MAX - membership.version.epoch
    version = Version(membership.version.epoch + int(room ** chance.random()), 1)
    forged = Membership(membership.lineage, version, VoterSet.of((host.name,), membership.body.policy))
    candidacy = Candidacy(name, "5" * 16, int(EPOCH_MAX ** chance.random()))
    world.say(f"fault: {name} asks {host.name} with a list of members of its own, version {version}")
    vote_request = VoteRequest(
        VoteRequestKind.RENEW if chance.random() < 0.5 else VoteRequestKind.VOTE, 0, candidacy, forged, Instant(0)
    )
    world.hand(host, Asked(vote_request, Asker(_other(world, host, chance), NOBODY)))


def _slow_disk(world: "World", chance: Random) -> None:
    host = any_host(world, chance)
    host.disk.slow_until = world.now + span_us(world, chance, 4.0)
    world.say(f"fault: the disk of {host.name} is slow for a while")


def _hang_disk(world: "World", chance: Random) -> None:
    host = any_host(world, chance)
    host.disk.hung_until = world.now + span_us(world, chance)
    world.say(f"fault: the disk of {host.name} stands still for a while")


def _fill_disk(world: "World", chance: Random) -> None:
    host = any_host(world, chance)
    world.disks.fill(host, span_us(world, chance))
    world.say(f"fault: the disk of {host.name} is full for a while")


def _lose_disk(world: "World", chance: Random) -> None:
    """Only where the membership never changes: an empty file also forgets which membership it had refused."""
    host = any_host(world, chance)
    others_know = all(other.disk.kept.membership is not None for other in world.hosts if other is not host)
    if not world.is_steady or host.election is None or not others_know:
        return
    world.say(f"fault: the file of {host.name} is lost, and its process is started again")
    world.crash(host, int(chance.random() * world.timing.heartbeat_us))
    host.disk.kept = EMPTY
    host.supported, host.supported_before = ("", 0, 0), 0


def _stall(world: "World", chance: Random) -> None:
    """The loop is late again and again, as under a load that it shares a processor with."""
    host = any_host(world, chance)
    until = world.now + span_us(world, chance)
    world.say(f"fault: the loop of {host.name} is late again and again")
    at = world.now
    while at < until:
        at += int(chance.random() * world.timing.heartbeat_us)
        world.push(at, world.pause, host, int(chance.random() ** 2 * 3_000_000))
        at += 3_000_000


def _reboot(world: "World", chance: Random) -> None:
    host = any_host(world, chance)
    if host.election is None:
        return
    world.say(f"fault: the host of {host.name} is switched off and on")
    back_us = int(chance.random() ** 2 * 2 * world.timing.lease_us)
    world.crash(host, back_us)
    rate = host.boot.rate_ppm
    host.boot = BootClock(-(world.now * (1_000_000 + rate) // 1_000_000), rate)


def _fail_over(world: "World", chance: Random) -> None:
    """A stale replica may be promoted: whoever waits for L + 4 s on another server does not care what was lost."""
    lost_us = int(chance.random() ** 2 * (3_000_000 + 2 * world.timing.heartbeat_us))
    split_us = int(chance.random() ** 2 * 3 * world.timing.lease_us) if chance.random() < 0.7 else 0
    repointed_us = int(chance.random() * 2_000_000)
    if world.repoints_late and chance.random() < 0.5:
        repointed_us = int(chance.random() * 2 * world.timing.lease_us)
    stays = chance.random()
    leads = administration.leader(world)
    at_its_worst = leads is not None and world.deposed is None and not world.store.down and chance.random() < 0.4
    if at_its_worst:
        split_us, repointed_us, stays = int((1 + chance.random()) * world.timing.lease_us), 2_000_000, 0.0
    troubles.fail_over(world, lost_us, split_us, repointed_us, stays, leads if at_its_worst else None)
    if world.deposed is not None and (at_its_worst or chance.random() < 0.5):
        behind = [host.name for host in world.hosts if host.sees_deposed]
        world.say(f"fault: members are apart as their stores are; {', '.join(behind) or 'nobody'} with the one before")
        for one in world.hosts:
            for other in world.hosts:
                if one.sees_deposed is not other.sees_deposed:
                    world.links.cut(one, other, split_us, holds=False)


def _lag(world: "World", chance: Random) -> None:
    world.store.lags_until = world.now + span_us(world, chance)
    world.say("fault: replicas confirm late for a while")


def _unconfirmed(world: "World", chance: Random) -> None:
    world.store.unconfirmed_until = world.now + span_us(world, chance, 1.0)
    world.say("fault: no replica confirms for a while")


MEMBER_FAULTS: Final[dict[str, Fault]] = {
    "member-delay": Fault("messages between members take long, some longer than the lease", 0, None),
    "member-loss": Fault("messages between members are lost", 0, None),
    "member-repeat": Fault("messages between members arrive twice, the second time much later", 0, None),
    "link-break": Fault("the link between two members breaks", 0.05, _break),
    "member-cut": Fault("nothing passes from one member to another, one way or both", 0.06, _cut),
    "partition": Fault("the network falls in two, with the store on one side or reached by all", 0.03, _partition),
    "cable": Fault("a host reaches neither the store nor any member", 0.03, _pull_cable),
    "members-apart": Fault("no member reaches another", 0.01, _members_apart),
    "forged-electorate": Fault("a holder of the link key sends a list of members of its own", 0.02, _forge),
    "disk-slow": Fault("a member's disk is slow", 0.02, _slow_disk),
    "disk-hang": Fault("a member's disk stands still", 0.02, _hang_disk),
    "disk-full": Fault("a member's disk takes nothing", 0.02, _fill_disk),
    "disk-loss": Fault("a member's file is lost while its process restarts", 0.01, _lose_disk),
    "stall": Fault("a node's loop is late again and again, by up to 3 s", 0.02, _stall),
    "reboot": Fault("a host is switched off and on; its boot-time clock begins anew", 0.02, _reboot),
    "switchover": Fault("the leader is asked to hand over", 0.03, administration.switch_over),
    "member-added": Fault("a member joins", 0.008, administration.add),
    "member-removed": Fault("a member, perhaps a dead one, is removed", 0.008, administration.remove),
    "member-forgotten": Fault(
        "a host dies for good and is forgotten by its administrator", 0.004, administration.forget
    ),
    "policy-change": Fault("the policy is changed", 0.006, administration.change_policy),
    "split-store": Fault("a replica is promoted while the primary before serves on", 0.03, _fail_over),
    "replica-lag": Fault("replicas confirm late", 0.02, _lag),
    "replica-loss": Fault("no replica confirms", 0.01, _unconfirmed),
}
ALL_FAULTS: Final = {**FAULTS, **MEMBER_FAULTS}
KINDS: Final = tuple(ALL_FAULTS)
OF_A_REPLICATED_STORE: Final = frozenset({"split-store", "replica-lag", "replica-loss"})
BUSY: Final = 50
"""So many times as often, at most, administrators change members and policy in a run in which they are busy."""
AFTER_VOTES: Final = ("reboot", "disk-hang", "member-cut", "partition", "cable", "link-break", "split-store")
"""What hurts most right after something was promised, won or given up."""


class MemberStorm(Storm):
    """The weather over members."""

    table: Mapping[str, Fault] = MEMBER_FAULTS

    def __init__(self, world: "World", kinds: frozenset[str], chance: Random) -> None:
        setting = world.setting
        if setting.store == "single":
            kinds = kinds - OF_A_REPLICATED_STORE
        if not setting.votes:
            kinds = kinds & OF_A_REPLICATED_STORE
        if world.is_steady:  # also not at bad moments: a file is lost in such a run, and with it a newer list
            kinds = kinds.difference(administration.CHANGES)
        super().__init__(world, kinds & frozenset(MEMBER_FAULTS), chance)
        if chance.random() < 0.25:  # a run of busy administrators: what goes wrong in a change needs many of them
            for kind in administration.CHANGES:
                if kind in self._rates:
                    self._rates[kind] = BUSY * self.table[kind].per_lease * chance.random()

    def _weather(self) -> None:
        links, chance = self.world.links, self.chance

        def odds(kind: str, most: float) -> float:
            return most * chance.random() ** 3 if kind in self.kinds and chance.random() < 0.6 else 0.0

        links.loss = odds("member-loss", 0.2)
        links.tail = odds("member-delay", 0.3)
        links.repeat = odds("member-repeat", 0.1)
        links.rough = bool(links.loss or links.tail or links.repeat)

    def _clear(self) -> None:
        self.world.links.clear()

    def turn(self, host: Host) -> None:
        """Something was won, given up or taken over at ``host``: a good moment for a fault."""
        if not self._on or self.chance.random() >= self._at_moments:
            return
        world, chance = self.world, self.chance
        scale_us = (1_000, 20_000, world.timing.heartbeat_us)[int(chance.random() * 3)]
        likely = [kind for kind in AFTER_VOTES if kind in self._rates]
        kinds = likely if likely and chance.random() < 0.6 else self._striking
        if chance.random() < 0.3 and "crash" in world.kinds:
            world.push(world.now + int(chance.random() * scale_us), world.crash, host, int(chance.random() * 300_000))
        elif kinds:
            kind = kinds[int(chance.random() * len(kinds))]
            world.push(world.now + int(chance.random() * scale_us), self._strike, self._number, kind)
