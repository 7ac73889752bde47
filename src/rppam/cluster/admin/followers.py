"""Why a node could not follow the leader now, in sentences for an administrator who orders a switchover.

It judges by what each member said with its last vote, and by its heartbeats; the core decides who does follow.
"""

from typing import Final

from rppam.cluster.admin.errors import CannotFollow, MemberUnknown, NobodyToFollow
from rppam.cluster.consensus.heartbeat import MemberStatus, Role
from rppam.cluster.consensus.membership import Membership
from rppam.cluster.consensus.messages import Readiness
from rppam.cluster.consensus.node import NodeCore
from rppam.kernel.instant import Instant

JUST_STARTED: Final = (
    "has started, or become a member, less than a lease ago and may not vote yet, so it cannot follow at once; try "
    "again in some seconds"
)
UNABLE: Final = (
    "could not keep its promises: its disk takes none, or its promise file is not its own; see the warnings in its own "
    "health, and make room in its node.dataDir"
)

ASIDE: Final = (
    "{0} stops, was put into maintenance a moment ago (rppam cluster maintenance {0} off), or lacks what a leader "
    "needs, such as the vault's master key; the warnings in its own health say which"
)

SILENT: Final = (
    "shows heartbeats and gives no votes; see the warnings in its own health: a full disk, or a network between the "
    "two that lets Redis through and not cluster.memberPort"
)


def why_not(core: NodeCore, to: str, now: Instant) -> MemberUnknown | CannotFollow:
    """Return why ``to``, which could not follow, could not."""
    me = core.node
    seen = core.detector.members(now).get(to)
    membership = core.status().known_membership
    if membership is not None and to not in membership.members:
        return unknown(to, membership)
    if membership is None and seen is None:
        return MemberUnknown(f"no node named {to} is known to {me}")
    if (membership is not None and not membership.may_stand(to)) or (seen and seen.heartbeat.role is Role.WITNESS):
        return CannotFollow(f"{to} is a witness, which votes and never leads")
    readiness = readiness_of(core, to)
    if readiness is Readiness.ASIDE or (readiness is None and seen is not None and seen.heartbeat.maintenance):
        is_ordered = to in core.in_maintenance or (seen is not None and seen.heartbeat.maintenance)
        return CannotFollow(
            f"{to} is in maintenance; end it first (rppam cluster maintenance {to} off)"
            if is_ordered
            else ASIDE.format(to)
        )
    if readiness is Readiness.UNABLE and core.status().is_heard(to, now):
        return CannotFollow(f"{to} {UNABLE}")
    is_heard = core.status().is_heard(to, now)
    if readiness is Readiness.WAITS and is_heard:
        return CannotFollow(f"{to} {JUST_STARTED}")
    if not is_heard and seen is not None and seen.status is MemberStatus.HEALTHY:
        return CannotFollow(f"{to} {SILENT}")
    if is_heard:
        return CannotFollow(f"{to} did not answer {me} in time; try again, and look at the network between")
    return CannotFollow(f"{to} does not answer {me}, so it cannot follow; is it running?")


def check_disks(core: NodeCore, now: Instant) -> None:
    """Check that those left, able and willing, would not lack the votes of others whose disks take nothing.

    Raises NobodyToFollow.
    """
    if not core.status().is_left_in_hands():
        raise NobodyToFollow(
            f"no other node could win enough votes that are kept on disk, so {core.node} stays"
            f"{why_nobody(core, now)}. {NobodyToFollow.row.remedy}"
        )


def why_nobody(core: NodeCore, now: Instant) -> str:
    """Return what keeps each member from following, or from voting; empty where members do not vote."""
    status = core.status()
    if not status.membership.members:
        return ""
    told = [f"{core.node} itself keeps no promise: {status.vote.why_unable}"] if status.vote.why_unable else []
    able = status.successors(now)
    for name in status.membership.members:
        leaves_out = readiness_of(core, name) is Readiness.UNABLE or status.membership.may_stand(name)
        if name != core.node and name not in able and leaves_out:
            told.append(str(why_not(core, name, now)))
    return f": {'; '.join(told)}" if told else ""


def readiness_of(core: NodeCore, name: str) -> Readiness | None:
    """Return what the member said itself when it was asked last."""
    answer = core.status().answers.get(name)
    return None if answer is None else answer.vote.readiness


def unknown(name: str, membership: Membership) -> MemberUnknown:
    return MemberUnknown(f"{name} is no member; the members are {', '.join(membership.members)}")
