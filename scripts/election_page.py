"""Draws docs/reference/election.md from the table of the election: ``make docs``."""

from pathlib import Path
from typing import Final

from rppam.cluster.consensus.any_phase import ignored
from rppam.cluster.consensus.effects import Phase
from rppam.cluster.consensus.election import PHASES, TABLE, Handler
from rppam.cluster.consensus.timing import PROFILES, Timing

PAGE: Final = Path(__file__).parents[1] / "docs" / "reference" / "election.md"
HEAD: Final = """\
# The election, drawn from its code

Made by `make docs`; the clauses and why each is there: [Leadership, clause by clause](../leadership.md).

## Where each phase leads

```text
"""
TABLE_HEAD: Final = """\
```

## Phase by event

Each pair has a handler, named here, or is ignored on purpose (`-`). After each of them the node looks at the time.

"""


def page() -> str:
    """The whole page."""
    return HEAD + diagram() + TABLE_HEAD + table() + LEASE_HEAD + lease(PROFILES["default"]) + "```\n"


def diagram() -> str:
    """The way to leadership downwards; to the right of each phase where else it may lead, and what it is."""
    lines = []
    for number, phase in enumerate(PHASES):
        below = PHASES[number + 1].name if number + 1 < len(PHASES) else None
        aside = ", ".join(then for then in phase.leads_to if then is not below)
        what = " ".join((phase.__doc__ or "").split()).partition(".")[0]
        lines.append(f"{phase.name:^11} {f'--> {aside}' if aside else '':<12}  {what}")
        if below is not None and below in phase.leads_to:
            lines.append(f"{'|':^11}")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def table() -> str:
    """The table of the election."""
    rows = ["| event | " + " | ".join(Phase) + " |", "|---" * (len(Phase) + 1) + "|"]
    for event, row in TABLE.items():
        cells = [_word(handler) for handler in row]
        rows.append(f"| {event.__name__} | " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def _word(handler: Handler) -> str:
    return "-" if handler is ignored else handler.__name__.replace("_", " ")


LEASE_HEAD: Final = """
## The life of a lease

The last request of a leader that was confirmed, from its sending on, by the times of the profile `default`.

```text
"""
WIDTH: Final = 72
"""Characters from the sending to the end of the lease."""
TRIP_MS: Final = 100
"""Of a request, one way; drawn larger than it is."""


def lease(timing: Timing) -> str:
    """A time axis from the sending of a request to when its voter may promise somebody else."""
    ends_ms, stopped_ms = timing.promise_ms, timing.promise_ms + timing.drop_ms
    free_ms = TRIP_MS + timing.lease_ms

    def bar(name: str, begin_ms: int, end_ms: int, sign: str, what: str) -> str:
        begin, end = (WIDTH * ms // free_ms for ms in (begin_ms, end_ms))
        return f"{name:<9}{' ' * begin}|{sign * (end - begin - 1)}|  {what}"

    return "\n".join(
        (
            bar("leader", 0, ends_ms, "=", f"may act for D = {ends_ms} ms after the sending"),
            bar("address", 0, stopped_ms, "=", f"dropped within {timing.drop_ms} ms"),
            bar("voter", TRIP_MS, free_ms, "-", f"L = {timing.lease_ms} ms after the grant"),
            "",
            f"L >= D (1 + r) / (1 - r) + drop, with r = {timing.rate_error_ppm / 10_000:g} % for the rate of a clock.",
            "The permission counts from the sending and the promise from the arrival: what the network took is on the",
            "safe side.",
            "",
        )
    )


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote docs/reference/{PAGE.name}")


if __name__ == "__main__":
    main()
