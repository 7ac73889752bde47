"""What several nodes say at different moments, as one list of events.

Pure: no clock, no I/O. The rules against duplicates and flicker:

* *Who leads* is what a node says of itself, at the highest epoch seen; when the leader's own answer is missing, what
  all others agree on. A lower epoch than one already reported is old news, not an event.
* *A leader is lost* at once when its process ended or it says so itself, and otherwise when no node names it for
  :data:`CONFIRM_MS`; when no node answers at all, after :data:`SILENCE_MS`.
* *Redis is lost* when more than half of the nodes whose control process runs say so.
* *The database is lost* likewise, by those whose word is fresh and that have looked.
* *How a member is* is what more than half of the other answering nodes say. A tie changes nothing, and ``unknown``
  (the observer cannot judge) is no opinion.

What came and went between two rounds of questions is not reported.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from rppam.cluster.consensus.heartbeat import MemberStatus, Role
from rppam.cluster.health.model import CONTROL_PROCESS, ClusterHealth

CONFIRM_MS: Final = 700
SILENCE_MS: Final = 4_500
LEFT: Final = "left"

_STATUS_SENTENCES: Final[dict[str, tuple[str, str]]] = {
    "suspect": ("node-suspect", "{node} is suspect: it missed heartbeats."),
    "unreachable": ("node-unreachable", "{node} is unreachable: no heartbeat for a whole lease."),
    "maintenance": ("node-maintenance", "{node} is in maintenance."),
    LEFT: ("node-left", "{node} left the cluster."),
}


class Event(NamedTuple):
    """One thing that happened, as a sentence and as values."""

    kind: str
    node: str | None
    epoch: int
    text: str
    extra: Mapping[str, object] = {}


def ready_leader(views: Mapping[str, ClusterHealth], names: Iterable[str], witnesses: Iterable[str] = ()) -> str | None:
    """The leader that all ``names`` report, with a healthy cluster that lists them and ``witnesses``; else ``None``."""
    wanted = list(names)
    listed = [*wanted, *witnesses]
    leaders = {views[name].leader if name in views else None for name in wanted}
    complete = all(
        name in views and views[name].healthy and all(views[name].member(other) for other in listed) for name in wanted
    )
    return leaders.pop() if complete and len(leaders) == 1 else None


def _why_blind(view: ClusterHealth) -> str:
    """Why a node knows nothing of its cluster: its control process is away; empty when it does."""
    reason = view.redis_reason
    return reason.replace(CONTROL_PROCESS, "its control process", 1) if reason.startswith(CONTROL_PROCESS) else ""


def _has_looked(view: ClusterHealth) -> bool:
    return isinstance(view.database_connected, bool) and not _why_blind(view)


class ClusterWatch:
    """Folds views into events. Call :meth:`observe` about four times a second with the fresh views."""

    def __init__(self, names: Iterable[str]) -> None:
        self.leader: str | None = None
        self.epoch = 0
        """The highest epoch seen with a leader."""
        self.status: dict[str, str] = dict.fromkeys(names, MemberStatus.UNKNOWN)
        self.redis_connected = True
        self.database_connected = True
        self._last_leader: tuple[str, int] | None = None
        self._lost_at_ms: int | None = None
        self._unnamed_since_ms: int | None = None
        self._gone: set[str] = set()

    def exited(self, now_ms: int, node: str, how: str) -> list[Event]:
        """The process of ``node`` ended; ``how`` completes "ended ..." ("by SIGKILL", "with exit code 0")."""
        self._gone.add(node)
        events = [Event("node-exited", node, self.epoch, f"The process of {node} ended {how}.", {"how": how})]
        if self.leader == node:
            events.append(self._lose(now_ms, "its process ended"))
        return events

    def observe(self, now_ms: int, views: Mapping[str, ClusterHealth]) -> list[Event]:
        """What changed, by the fresh views of the nodes that answered."""
        self._gone -= views.keys()  # it was started again by hand
        return [
            *self._redis(views),
            *self._database(views),
            *self._leadership(now_ms, views),
            *self._members(views),
        ]

    def _redis(self, views: Mapping[str, ClusterHealth]) -> list[Event]:
        up = {name: view.redis_connected for name, view in views.items() if not _why_blind(view)}
        reasons = {name: view.redis_reason for name, view in views.items()}
        events = self._turned("redis", "Redis", up, reasons, was_up=self.redis_connected)
        self.redis_connected ^= bool(events)
        return events

    def _database(self, views: Mapping[str, ClusterHealth]) -> list[Event]:
        up = {name: view.database_connected is True for name, view in views.items() if _has_looked(view)}
        reasons = {name: view.database_reason for name, view in views.items()}
        events = self._turned("database", "The database", up, reasons, was_up=self.database_connected)
        self.database_connected ^= bool(events)
        return events

    def _turned(
        self, kind: str, what: str, up: Mapping[str, bool], reasons: Mapping[str, str], *, was_up: bool
    ) -> list[Event]:
        """That something all nodes need is lost to most of those that can tell, or back to all of them."""
        down = [name for name, is_up in up.items() if not is_up]
        if was_up and len(down) * 2 > len(up):
            reason = reasons[down[0]]
            text = f"{what} is lost" + (f": {reason.rstrip('.')}." if reason else ".")
            return [Event(f"{kind}-lost", down[0], self.epoch, text, {"nodes": down})]
        if not was_up and up and not down:
            return [Event(f"{kind}-back", next(iter(up)), self.epoch, f"{what} is back.", {"nodes": list(up)})]
        return []

    def _leadership(self, now_ms: int, views: Mapping[str, ClusterHealth]) -> list[Event]:
        found = self._self_declared(views) or self._agreed(views)
        if found is not None:
            self._unnamed_since_ms = None
            return self._elect(now_ms, *found) if found != (self.leader, self.epoch) else []
        if self.leader is None:
            return []
        own = views.get(self.leader)
        if own is not None and own.role != Role.LEADER:
            return [self._lose(now_ms, _why_blind(own) or "it says that it does not lead")]
        if any(view.leader == self.leader for view in views.values()):
            self._unnamed_since_ms = None
            return []
        if self._unnamed_since_ms is None:
            self._unnamed_since_ms = now_ms
        if now_ms - self._unnamed_since_ms < (CONFIRM_MS if views else SILENCE_MS):
            return []
        return [self._lose(now_ms, "no node names it any more" if views else "no node answers")]

    def _self_declared(self, views: Mapping[str, ClusterHealth]) -> tuple[str, int] | None:
        claims = [(view.epoch, name) for name, view in views.items() if view.role == Role.LEADER]
        if not claims:
            return None
        epoch, name = max(claims)
        known = self._last_leader
        return (name, epoch) if known is None or epoch > known[1] or (name, epoch) == known else None

    def _agreed(self, views: Mapping[str, ClusterHealth]) -> tuple[str, int] | None:
        named = {(view.leader, view.epoch) for view in views.values()}
        if len(named) != 1:
            return None
        name, epoch = named.pop()
        if name is None or name in views or name in self._gone or epoch <= self.epoch:
            return None
        return name, epoch

    def _elect(self, now_ms: int, name: str, epoch: int) -> list[Event]:
        events = []
        text = f"{name} leads, epoch {epoch}."
        extra: dict[str, object] = {}
        if self.leader is not None:
            events.append(self._lose(now_ms, "another node took over"))
        elif self._lost_at_ms is not None:
            gap_ms = now_ms - self._lost_at_ms
            extra["withoutLeaderMs"] = gap_ms
            text = f"{name} leads, epoch {epoch}, after {gap_ms / 1000:.1f} s without a leader."
        self.leader, self.epoch, self._last_leader, self._lost_at_ms = name, epoch, (name, epoch), None
        return [*events, Event("leader-elected", name, epoch, text, extra)]

    def _lose(self, now_ms: int, why: str) -> Event:
        name, self.leader = self.leader, None
        self._lost_at_ms, self._unnamed_since_ms = now_ms, None
        return Event("leader-lost", name, self.epoch, f"{name} no longer leads: {why}.", {"why": why})

    def _members(self, views: Mapping[str, ClusterHealth]) -> list[Event]:
        listed = {one.node for view in views.values() for one in view.members}
        events = []
        for name in [*self.status, *sorted(listed - self.status.keys())]:
            before = self.status.get(name, LEFT)
            after = self._judged(name, before, views)
            self.status[name] = after
            if after == before or (before == MemberStatus.UNKNOWN and after == MemberStatus.HEALTHY):
                continue  # found healthy at first sight is no event
            kind, sentence = _STATUS_SENTENCES.get(after, (f"node-{after}", "{node} is " + after + "."))
            if after == MemberStatus.HEALTHY and before == LEFT:
                sentence = "{node} joined the cluster and is healthy."
            elif after == MemberStatus.HEALTHY:
                sentence = "{node} is healthy again."
            events.append(Event(kind, name, self.epoch, sentence.format(node=name), {"was": before}))
        return events

    def _judged(self, name: str, before: str, views: Mapping[str, ClusterHealth]) -> str:
        judges = [view for observer, view in views.items() if observer != name] or list(views.values())
        sure = [view for view in judges if view.redis_connected and view.members]
        if sure and not any(view.member(name) for view in judges):
            return LEFT if before != MemberStatus.UNKNOWN else MemberStatus.UNKNOWN
        said = Counter(
            peer.status
            for view in judges
            if (peer := view.member(name)) is not None and peer.status != MemberStatus.UNKNOWN
        )
        if not said:
            return before
        status, votes = said.most_common(1)[0]
        return status if votes * 2 > said.total() else before
