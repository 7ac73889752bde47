"""The end of a joining: the host's own node says that it is a member, healthy, with a vote, and nothing is pending.

Asks that node alone, with a token that its keys make. What it does not promise: that the rest of the cluster is well,
which ``rppam status`` tells.
"""

import time
from pathlib import Path
from typing import Final

from rppam.access.tokens.target import Where, asked
from rppam.cli.view import parse_view
from rppam.kernel.instant import US_PER_S
from rppam.kernel.system_clock import SystemClock
from rppam.setup.errors import InitError

WAIT_S: Final = 180.0
_LOOK_S: Final = 0.5
_HEALTH: Final = "/system/health/cluster"


def wait_until_member(config: Path, name: str, *, wait_s: float = WAIT_S) -> None:
    """Return once the node is a member. Raises :class:`InitError` where it is none in time, with what it says."""
    where = Where(None, None, config, None)
    clock = SystemClock()
    until = clock.now() + round(wait_s * US_PER_S)
    while True:
        why = _missing(where, name)
        if not why:
            return
        if clock.now() > until:
            raise InitError(
                f"{name} is set up and runs, but is no member {wait_s:g} s after its start: {why}. See: rppam status, "
                "rppam doctor, journalctl -u rppam; then type the same command again, which waits anew"
            )
        time.sleep(_LOOK_S)


def _missing(where: Where, name: str) -> str:
    """What keeps it from being one; empty where nothing does."""
    body, failure = asked(where, "init@host", "GET", _HEALTH)
    view = None if failure else parse_view(body)
    if view is None:
        return failure.rstrip(".") or "it does not tell how the cluster is"
    found = view.member(name)
    if found is None:
        return "no member has seen it yet"
    if found.has_vote is not True:
        return view.pending_change.rstrip(".") or "it has no vote yet"
    if found.status != "healthy":
        return f"it is {found.status}"
    return view.pending_change.rstrip(".")
