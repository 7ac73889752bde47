"""What a failover test has seen, and what it says of each promise. Pure: no clock, no network.

Times are milliseconds since the fault, so those before it are negative.
"""

from dataclasses import dataclass, field
from typing import Final

from rppam.failover_test.model import LIMIT_MS, Method, Verdict

SHOWN_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that was not answered as it should be."""

    at_ms: int
    what: str
    """``read`` or ``write``."""
    url: str
    why: str


@dataclass(slots=True)
class Observed:
    """See the module."""

    method: Method
    leader: str
    """Before: the node that leads; for a failover of Redis, the primary's address."""
    nodes: tuple[str, ...]
    sessions: int
    """How many were open before."""
    promoted: str = ""
    promoted_ms: int | None = None
    requests: int = 0
    failures: list[Failure] = field(default_factory=list)
    acknowledged: int = 0
    """How many writes were."""
    missing: dict[str, list[int]] = field(default_factory=dict)
    """Acknowledged writes that a node does not have, by node."""
    unread: dict[str, str] = field(default_factory=dict)
    """Why it could not be asked, by node."""
    lost: list[tuple[str, str]] = field(default_factory=list)
    """Where a session is no longer good, and what was answered."""
    checked: int = 0
    """How often a session was shown to a node afterwards."""
    back_ms: int | None = None
    """When the old leader was back as a standby."""
    back_why: str = ""
    """What it was instead."""

    @property
    def outage_ms(self) -> int:
        """From the first failed request after the fault to the last; 0: none failed."""
        times = [one.at_ms for one in self.failures if one.at_ms >= 0]
        return max(times) - min(times) if times else 0


TITLES: Final = (
    "A standby is promoted when the leader is lost",
    "It leads within 15 seconds",
    "No data is lost",
    "Sessions stay valid",
    "The old leader comes back as a standby",
)
REDIS_TITLES: Final = (
    "A replica is promoted when the primary of Redis is lost",
    "It serves within 15 seconds",
    "No data is lost",
    "Sessions stay valid",
    "The old primary comes back as a replica",
)


def judge(seen: Observed) -> tuple[Verdict, ...]:
    """A verdict for each promise; what could not be shown was not kept."""
    is_redis = seen.method is Method.REDIS_FAILOVER
    titles = REDIS_TITLES if is_redis else TITLES
    words = ("replica", "primary") if is_redis else ("standby", "leader")
    found = (_promoted(seen, *words), _in_time(seen, words[1]), _data(seen), _sessions(seen), _back(seen, words[0]))
    return tuple(
        Verdict(number, title, *one) for number, (title, one) in enumerate(zip(titles, found, strict=True), start=1)
    )


def _promoted(seen: Observed, standby: str, leader: str) -> tuple[bool, str]:
    if not seen.promoted:
        return False, f"no {standby} was promoted while the test watched; {seen.leader} was the {leader} before"
    return True, f"{seen.promoted} followed {seen.leader}"


def _in_time(seen: Observed, leader: str) -> tuple[bool, str]:
    if seen.promoted_ms is None:
        return False, f"there was no new {leader} at all"
    said = f"{seen.promoted} was the {leader} {seen.promoted_ms} ms after the fault"
    if seen.promoted_ms > LIMIT_MS:
        return False, f"{said}, later than the {LIMIT_MS} ms that are promised"
    return True, said


def _data(seen: Observed) -> tuple[bool, str]:
    if seen.missing:
        told = "; ".join(f"{node} lacks {_numbers(numbers)}" for node, numbers in sorted(seen.missing.items()))
        return False, f"of {seen.acknowledged} acknowledged writes some are gone: {told}"
    if seen.unread:
        told = "; ".join(f"{node}: {why}" for node, why in sorted(seen.unread.items()))
        return False, f"the writes could not be read again everywhere: {told}"
    if not seen.acknowledged:
        return False, "no write was acknowledged, so nothing shows that none is lost"
    return True, f"all {seen.acknowledged} acknowledged writes were read again from {_names(seen.nodes)}"


def _sessions(seen: Observed) -> tuple[bool, str]:
    if seen.lost:
        told = "; ".join(f"{node} answered {why}" for node, why in seen.lost[:SHOWN_MAX])
        more = f", and {len(seen.lost) - SHOWN_MAX} more" if len(seen.lost) > SHOWN_MAX else ""
        return False, f"sessions opened before the fault were refused afterwards: {told}{more}"
    if not seen.checked:
        return False, "no session could be shown to any node afterwards"
    return True, f"{seen.sessions} sessions opened before the fault are valid on {_names(seen.nodes)}"


def _back(seen: Observed, standby: str) -> tuple[bool, str]:
    if seen.back_ms is None:
        return False, f"{seen.leader} did not come back as a {standby}: {seen.back_why or 'it was not seen again'}"
    return True, f"{seen.leader} was back as a {standby} {seen.back_ms} ms after the fault"


def _numbers(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:SHOWN_MAX]))
    return f"{len(numbers)} ({shown}{', ...' if len(numbers) > SHOWN_MAX else ''})"


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(names)
