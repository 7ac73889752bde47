"""The node as an API worker knows it: what stands on the node's page, and how old that is.

Permission is read from the page at each act. The picture is what the control process showed last; once that process
is dead, or has shown nothing for a while, the worker says so instead of showing as present what is past: no leader is
named, and the reason stands where people look for it. The picture alone says how old it is: a control process that
turns and shows nothing vouches for nothing.
"""

from typing import Final

from msgspec.structs import replace

from rppam.cluster.consensus.heartbeat import MemberStatus, Role
from rppam.cluster.health.model import CONTROL_PROCESS, ClusterSnapshot, from_text
from rppam.cluster.health.ports import Authority
from rppam.kernel.instant import US_PER_MS, US_PER_S
from rppam.kernel.system_clock import SystemClock
from rppam.process.shared_state import CONTROL, Picture, SharedState

ALIVE_WITHIN_US: Final = 10 * US_PER_S
"""A control process that has not turned for this long is stuck."""
FRESH_US: Final = 3 * US_PER_S
"""The control process shows a picture four times a second; one older than this is no picture of now."""
RESTARTING: Final = f"{CONTROL_PROCESS} is restarting"


class PageStatus:
    """Implements ``NodeStatus`` in an API worker."""

    def __init__(self, page: SharedState, clock: SystemClock, unknown: ClusterSnapshot) -> None:
        """``unknown`` is what to show before the control process has shown anything."""
        self.draining = False
        self._page = page
        self._clock = clock
        self._seen = unknown
        self._number = 0
        self._picture: Picture | None = None

    def authority(self) -> Authority | None:
        return self._page.authority(self._now_us())

    def may_lead(self) -> int | None:
        authority = self.authority()
        return None if authority is None else authority.epoch

    def is_alive(self) -> bool:
        """Return whether the control process turns; this worker does, as it answers."""
        return self._now_us() - self._page.stamped_us(CONTROL) < ALIVE_WITHIN_US

    def snapshot(self) -> ClusterSnapshot:
        self._look()
        stale = self._why_stale()
        seen = self._seen if not stale else _past(self._seen, stale)
        if seen.role is Role.LEADER and self.may_lead() != seen.epoch:
            seen = _not_leading(seen)
        return replace(seen, ready=seen.ready and not self.draining)

    def _look(self) -> None:
        number, picture = self._page.picture_newer(self._number)
        if picture is not None:
            self._number, self._picture = number, picture
            self._seen = from_text(picture.text)

    def _why_stale(self) -> str:
        """Empty while the picture is one of now."""
        picture = self._picture
        if picture is None or picture.generation <= self._page.withdrawn:
            return self._why_restarting()
        silent_us = self._now_us() - picture.taken_us
        if silent_us > FRESH_US:
            return f"{CONTROL_PROCESS} has shown nothing for {silent_us // US_PER_MS} ms"
        return ""

    def _why_restarting(self) -> str:
        deaths, due_us = self._page.planned_start()
        wait_us = due_us - self._now_us()
        if wait_us <= 0:
            return RESTARTING
        return f"{RESTARTING}: it died {deaths} times in a row; the next start in {-(-wait_us // US_PER_S)} s"

    def _now_us(self) -> int:
        return self._clock.as_host_us(self._clock.now())


def _past(seen: ClusterSnapshot, why: str) -> ClusterSnapshot:
    """Leave out what only a live control process could vouch for."""
    members = tuple(
        replace(
            member,
            role=_no_leader(member.role),
            status=MemberStatus.UNKNOWN,
            redis_connected=False,
            database_connected=None,
            has_virtual_ip=None,
        )
        for member in seen.members
    )
    return replace(
        seen,
        role=_no_leader(seen.role),
        leader=None,
        members=members,
        redis_connected=False,
        redis_reason=why,
        database_connected=None,
        quorum_met=False,
        quorum_reason=why,
        votes=(),
        no_leader_reason=why,
        virtual_ip_here=False,
        dns_name=None if seen.dns_name is None else replace(seen.dns_name, problem=why),
        warnings=(*seen.warnings, why),
    )


def _not_leading(seen: ClusterSnapshot) -> ClusterSnapshot:
    """Correct the picture of a leader whose permission has ended since."""
    members = tuple(
        replace(member, role=Role.STANDBY) if member.node == seen.node else member for member in seen.members
    )
    return replace(seen, role=Role.STANDBY, leader=None, members=members)


def _no_leader(role: Role) -> Role:
    return Role.STANDBY if role is Role.LEADER else role
