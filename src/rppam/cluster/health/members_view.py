"""The other members as one node sees them: by their heartbeats in the store, and by the direct link where there is one.

Life on either way is life. So while the store is away, members that answer on the link are healthy, and the others are
``unknown``: a node that cannot read heartbeats accuses none.
"""

from collections.abc import Mapping
from typing import Final

from rppam.cluster.consensus.failure_detector import SeenMember
from rppam.cluster.consensus.heartbeat import Heartbeat, MemberStatus, Role
from rppam.cluster.consensus.node import NodeCore
from rppam.cluster.health.model import MemberView
from rppam.cluster.link.local_peer import PeerState
from rppam.http.times import iso_utc
from rppam.kernel.instant import Instant, WallMs

HEARD_WITHIN_MS: Final = 2_000
"""Members say something to each other twice a second, and a leader each heartbeat."""
_ALIVE: Final = frozenset((MemberStatus.HEALTHY, MemberStatus.SUSPECT))


def other_members(
    core: NodeCore, peers: Mapping[str, PeerState], now: Instant, wall_ms: WallMs, *, keys_vanish: bool = False
) -> tuple[MemberView, ...]:
    """View every node but this one: registered in the store, or a member that is on the link or may be registered.

    A member that has left the store's list and the link was stopped on purpose: only its missing vote is shown.
    ``keys_vanish``: heartbeats are lost in the store, so a missing one says nothing of its node.
    """
    seen = core.detector.members(now)
    membership = core.status().known_membership
    members = () if membership is None else membership.members
    blind = core.detector.is_blind(now)
    present = (name for name in members if blind or (name in peers and peers[name].is_connected))
    names = sorted({*seen, *present} - {core.node})
    return tuple(_view(name, seen.get(name), core, peers.get(name), now, wall_ms, keys_vanish) for name in names)


def is_heard(peer: PeerState) -> bool:
    """Return whether a member has said something on the link just now: it lives, whatever the store says."""
    return peer.is_connected and peer.heard_ms_ago is not None and peer.heard_ms_ago <= HEARD_WITHIN_MS


def _view(
    name: str,
    seen: SeenMember | None,
    core: NodeCore,
    peer: PeerState | None,
    now: Instant,
    wall_ms: WallMs,
    keys_vanish: bool,
) -> MemberView:
    beat = seen.heartbeat if seen is not None else Heartbeat(name, "", 0, Role.STANDBY, 0, "", "", "", 0, 0, 0)
    status = seen.status if seen is not None else MemberStatus.UNKNOWN
    last = seen.last_heartbeat if seen is not None else None
    on_link = peer is not None and is_heard(peer)
    proven = peer.api_url if peer is not None and peer.is_connected else ""
    # What a member said last stands, where it lives and its heartbeats are lost in the store.
    is_lost = keys_vanish and on_link and status is MemberStatus.UNREACHABLE and last is not None
    reads_store = (status in _ALIVE or is_lost) and beat.renewed_ms_ago < core.timing.lease_ms
    if peer is not None and on_link:
        status = MemberStatus.HEALTHY
        heard = WallMs(wall_ms - (peer.heard_ms_ago or 0))
        last = heard if last is None else max(last, heard)
    is_alive = status in _ALIVE
    if is_alive and name in core.in_maintenance:
        status = MemberStatus.MAINTENANCE
    return MemberView(
        name,
        beat.hostname,
        _role(name, beat, core, now),
        status,
        *heard_at(last, wall_ms),
        reads_store,
        beat.epoch,
        beat.version,
        proven or beat.api_url,
        beat.loop_lag_ms,
        beat.settings_revision,
        bool(proven),
        beat.database if is_alive else None,
        has_vote(core, name),
        beat.address if is_alive else None,
        bool(beat.config),
    )


def has_vote(core: NodeCore, name: str) -> bool | None:
    """Return whether it is a member; ``None`` where that is not known. Without a list this node is none."""
    status = core.status()
    if not status.members_vote:
        return None
    if status.known_membership is None:
        return False if name == core.node else None
    return name in status.known_membership.members


def heard_at(last: WallMs | None, now: WallMs) -> tuple[str | None, int | None]:
    """Return when a member was heard last, and how many ms ago: never in the future, where the clock was set back."""
    return (None, None) if last is None else (iso_utc(last), max(0, now - last))


def _role(name: str, beat: Heartbeat, core: NodeCore, now: Instant) -> Role:
    leader, membership = core.status().leader(now), core.status().known_membership
    if leader is not None and leader[0] == name:
        return Role.LEADER
    if beat.role is Role.WITNESS or (membership is not None and name in membership.body.witnesses):
        return Role.WITNESS
    return Role.STANDBY
