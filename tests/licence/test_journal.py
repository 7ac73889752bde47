"""What becomes of a node's licence stands in the ledger, each change once, also over restarts."""

import pytest

from rppam.db.database import Database
from rppam.kernel.instant import WallMs
from rppam.kernel.system_clock import SystemClock
from rppam.ledger.store import Query, SqlLedger
from rppam.licence.journal import NEVER, Found, Last, LicenceJournal, due
from rppam.licence.model import DAY_MS, Licence, Tier

NOW = WallMs(1_800_000_000_000)


def licence(ident: str, days: int) -> Licence:
    return Licence(ident, "ACME", Tier.ENTERPRISE, 5, None, None, (), NOW, WallMs(NOW + days * DAY_MS), "key")


@pytest.mark.parametrize(
    ("last", "found", "actions"),
    [
        (NEVER, (None, ""), []),
        (NEVER, (licence("L1", 90), ""), ["license.install"]),
        (Last("license.install", "L1", ""), (licence("L1", 90), ""), []),
        (Last("license.install", "L1", ""), (licence("L1", 30), ""), ["license.warn"]),
        (Last("license.warn", "L1", ""), (licence("L1", 7), ""), []),
        (Last("license.warn", "L1", ""), (licence("L1", 0), ""), ["license.expire"]),
        (Last("license.expire", "L1", ""), (licence("L1", -9), ""), []),
        (Last("license.expire", "L1", ""), (licence("L2", 365), ""), ["license.install"]),
        (NEVER, (licence("L1", -1), ""), ["license.install", "license.expire"]),
        (Last("license.install", "L1", ""), (None, "changed"), ["license.refuse"]),
        (Last("license.refuse", "", "changed"), (None, "changed"), []),
        (Last("license.refuse", "", "changed"), (None, "cut off"), ["license.refuse"]),
        (Last("license.refuse", "", "changed"), (licence("L1", 90), ""), ["license.install"]),
        (Last("license.install", "L1", ""), (None, ""), ["license.remove"]),
        (Last("license.remove", "", ""), (None, ""), []),
    ],
)
def test_only_what_is_new_is_recorded(last: Last, found: Found, actions: list[str]) -> None:
    assert due(last, found, NOW) == actions


class At(SystemClock):
    def __init__(self, days: int) -> None:
        super().__init__()
        self.days = days

    def wall_ms(self) -> WallMs:
        return WallMs(NOW + self.days * DAY_MS)


@pytest.mark.integration
@pytest.mark.server
async def test_a_licence_that_is_installed_nears_its_end_and_ends(database: Database) -> None:
    clock, found = At(0), (licence("L1", 60), "")
    journal = LicenceJournal(database, "node1", clock, lambda: found)
    for days in (0, 1, 31, 32, 61, 62):
        clock.days = days
        assert await journal.look() == ""
        again = LicenceJournal(database, "node1", clock, lambda: found)
        await again.look()  # after a restart
    other = LicenceJournal(database, "node2", clock, lambda: (None, "license.path: it is forged"))
    await other.look()
    events = [event.document() for event in await SqlLedger(database).events(Query("license."))]
    assert [(one["action"], one["object"]["name"], one["outcome"]) for one in events] == [
        ("license.install", "node1", "success"),
        ("license.warn", "node1", "success"),
        ("license.expire", "node1", "success"),
        ("license.refuse", "node2", "failure"),
    ]
    assert events[0]["details"]["id"] == "L1"
    assert events[3]["reason"] == "license.path: it is forged"
