"""What the ledger records of itself."""

from typing import Final

from rppam.ledger.events import Action, Retention

_M = Retention.ADMINISTRATION

ACTIONS: Final = (
    Action("ledger.hold", "hold", "Nothing of a name, or nothing at all, is forgotten from now on", _M, "why"),
    Action("ledger.release", "hold", "A legal hold was lifted", _M, "why"),
    Action("ledger.erase", "ledger", "A name was erased from all events; which one is not said", _M, "how many, why"),
    Action(
        "ledger.age", "ledger", "Names in old events were forgotten, by the setting audit/retention", _M, "how many"
    ),
    Action("ledger.archive", "archive", "Events were exported to a file", _M, "first, end, SHA-256 of the file"),
    Action(
        "ledger.prune",
        "ledger",
        "Old events left the database, by the setting audit/archive; their hashes stay",
        _M,
        "class, how many, first and last, SHA-256 of their hashes in order",
    ),
)
