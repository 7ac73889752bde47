"""Whom a node takes for members of its cluster, of the names that the store lists.

Whoever may write the store lists any name. Members are known without it, from the list on every member's disk; a
heartbeat that is believed makes a name a node's. What remains, names that show nothing and were never heard, are nodes
that died before this one came, if they are few, and somebody's invention if they are many: then none of them counts,
and one sentence tells of all. So it is with names that show life, where no member's list tells whose they are: what
becomes of a crowd of them is not told one by one. It decides nothing about leadership.
"""

from collections.abc import Collection
from typing import Final

from rppam.cluster.consensus.failure_detector import CROWD, MemberChanged
from rppam.cluster.consensus.heartbeat import Heartbeat

SILENT_MAX: Final = 16
"""So many names without a life are taken for nodes that died."""

Listed = tuple[tuple[str, Heartbeat | None], ...]


class Roster:
    """What one node makes of the list."""

    def __init__(self) -> None:
        self.passed_over: tuple[str, ...] = ()
        """Names of the last list that were taken for nobody's."""
        self.crowd: tuple[str, ...] = ()
        """Names of no member that are too many, or of which too many changed at once, to be told one by one."""

    def read(self, listed: Listed, members: Collection[str], heard: Collection[str]) -> Listed:
        """Those that count; ``heard``: whose heartbeats this node has seen."""
        silent = silent_strangers(listed, members, heard)
        self.passed_over = silent if self.are_too_many(silent) else ()
        if not self.passed_over:
            return listed
        gone = frozenset(silent)
        return tuple((name, beat) for name, beat in listed if name not in gone)

    def to_tell(
        self, changes: list[MemberChanged], members: Collection[str], watched: Collection[str]
    ) -> list[MemberChanged]:
        """What is told one by one: what changed with members, and with others unless there are crowds of them."""
        strange = [change.node for change in changes if change.node not in members]
        present = [name for name in watched if name not in members]
        is_crowd = len(strange) > SILENT_MAX or len(present) > CROWD
        self.crowd = tuple(dict.fromkeys((*strange, *present))) if is_crowd else ()
        return [change for change in changes if change.node in members] if is_crowd else changes

    def are_too_many(self, silent: tuple[str, ...]) -> bool:
        """Whether no cluster loses so many nodes."""
        return len(silent) > SILENT_MAX


def silent_strangers(listed: Listed, members: Collection[str], heard: Collection[str]) -> tuple[str, ...]:
    """Names without a heartbeat that are neither a member's nor were ever heard."""
    known = {*members, *heard}
    return tuple(name for name, beat in listed if beat is None and name not in known)
