"""What must not cost a leader its place while all members are up, or costs it exactly as asked: strikes in the calm.

L4: an outage of the store of several leases, with members restarted one after another meanwhile, and a failover. L5:
one member cut off from the leader alone; a question for votes that comes late; a record that somebody else has made
up; where the store has no vote, also one with a right seal. L2: a switchover.
"""

from typing import TYPE_CHECKING, Final

from rppam.cluster.consensus.effects import Asked
from rppam.cluster.consensus.messages import Candidacy, VoteRequest, VoteRequestKind
from rppam.cluster.consensus.record import EPOCH_MAX, Record, RecordState, sealed
from rppam_sim import troubles
from rppam_sim.administration import hand_over
from rppam_sim.host import Asker, Host, SimSeal
from rppam_sim.setting import SENTINEL
from rppam_sim.verdict import Broken, Violation

if TYPE_CHECKING:
    from rppam_sim.world import World

OUTAGE: Final = "store-outage"
ROLLING: Final = "store-outage and members restarted"
CUT: Final = "one member cut off from the leader"
LATE: Final = "a late question for votes"
FORGED: Final = "a forged record"
FAILOVER: Final = "split-store"
SWITCHOVER: Final = "switchover"
RESTART_US: Final = 500_000


def possible(world: "World", leader: Host) -> list[str]:
    """What may be done to this world now."""
    membership = None if leader.election is None else leader.election.status().known_membership
    if membership is None or any(host.disk.kept.membership != membership for host in world.hosts if not host.is_gone):
        return []  # a change is under way, or was begun by a leader before
    others = [host for host in world.hosts if host is not leader and host.name in membership.members]
    kinds = [FORGED, LATE] if others else [FORGED]
    if others and len(others) == len(membership.members) - 1 and not any(host.is_gone for host in others):
        # With a member switched off for good, one more that is cut off may well be one too many.
        kinds += [CUT, OUTAGE, ROLLING]
        if world.setting.store == SENTINEL:
            kinds.append(FAILOVER)
        if any(membership.may_stand(host.name) for host in others):
            kinds.append(SWITCHOVER)
    return kinds


def strike(world: "World", leader: Host, kind: str) -> None:
    """Do it."""
    assert leader.election is not None, "a leader runs"
    members = leader.election.status().membership.members
    others = [host for host in world.hosts if host is not leader and host.name in members and not host.is_gone]
    timing = world.timing
    if kind in {OUTAGE, ROLLING}:
        lost_us = 10**15 if world.random() < 0.5 else int(world.random() * timing.lease_us)
        troubles.restart_store(world, int((1 + world.random()) * 1.2 * timing.lease_us), lost_us, "is away for long")
        if kind == ROLLING:
            at = world.now + timing.heartbeat_us
            # Asked up to a heartbeat before, and again up to one after: all have to agree, so it must be back in time.
            in_time_us = timing.promise_us - 2 * timing.heartbeat_us - timing.request_timeout_us
            for host in others:
                world.push(at, world.crash, host, int(world.random() * min(RESTART_US, in_time_us)))
                at += 2 * timing.heartbeat_us + timing.request_timeout_us
    elif kind == CUT:
        other = others[int(world.random() * len(others))]
        world.say(f"fault: {other.name} is cut off from {leader.name}, and from nobody else")
        for one, two in ((leader, other), (other, leader)):
            world.links.cut(one, two, int(2.5 * timing.lease_us), holds=world.random() < 0.5)
    elif kind == FORGED:
        epoch = min(EPOCH_MAX, leader.election.status().epoch + int(10 ** (15 * world.random())))
        record = Record(RecordState.HELD, "stranger", "5" * 16, epoch, 1, f"{int(world.random() * 16**16):016x}")
        membership = leader.election.status().known_membership
        if membership is not None and not membership.store_has_vote and world.random() < 0.5:
            record = sealed(record, SimSeal())  # somebody has the key, too
        troubles.overwrite(world, record.encode(), f"somebody writes a record that says 'stranger' leads at {epoch}")
    elif kind == LATE:
        _late(world, leader, others)
    elif kind == FAILOVER:
        split_us = int(world.random() * timing.lease_us)
        repointed_us = int(world.random() * 2_000_000)
        troubles.fail_over(world, int(world.random() * timing.lease_us), split_us, repointed_us, world.random())
    else:
        _switch_over(world, leader, others)


def _late(world: "World", leader: Host, others: list[Host]) -> None:
    """A candidate asked before the leader was elected, and gave up; its question arrives only now."""
    assert leader.election is not None, "a leader runs"
    membership = leader.election.status().known_membership
    asking = [host for host in others if membership is not None and membership.may_stand(host.name)]
    if not asking or membership is None or asking[0].election is None:
        return
    candidate, mind = asking[0], asking[0].election
    candidacy = Candidacy(candidate.name, mind.status().me.boot_id, leader.election.status().epoch + 1)
    world.say(f"fault: a question of {candidate.name} for votes at epoch {candidacy.epoch}, long given up, arrives")
    candidate.asked_before = max(candidate.asked_before, candidacy.epoch)
    for host in (leader, *others):
        vote_request = VoteRequest(VoteRequestKind.VOTE, 0, candidacy, membership, candidate.now(world.now))
        world.hand(host, Asked(vote_request, Asker(candidate, candidate.life)))


def _switch_over(world: "World", leader: Host, others: list[Host]) -> None:
    """L2, but for the time to stop: whoever was named leads at once. A member that waits after its start cannot yet."""
    assert leader.election is not None, "a leader runs"
    membership = leader.election.status().known_membership
    able = (host for host in others if membership is not None and membership.may_stand(host.name))
    to = next((host for host in able if not waits_after_start(host, world.now)), None)
    if to is None:
        return
    hand_over(world, leader, to.name)
    world.push(world.now + 2 * world.judge.drop_us + 100_000, expect_successor, world, to)


def waits_after_start(host: Host, now_us: int) -> bool:
    """Whether a member that runs has no vote yet: it has started, or learned that it is one, less than a lease ago."""
    election = host.election
    return host.votes and election is not None and host.now(now_us) <= election.status().vote.abstains_until


def expect_successor(world: "World", to: Host) -> None:
    """Whoever was named leads by now."""
    if not to.has_permission(world.now):
        raise Broken(Violation("L2", world.now, f"the leader was to hand over to {to.name}, which does not lead yet"))
