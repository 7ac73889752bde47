"""The settings ``audit/retention`` and ``audit/archive``, by class of events.

The first says for how long the ledger knows who it was: names and addresses are forgotten, the events stay. The second
says after how long events themselves leave the database: their hashes stay for ever, and so does every proof.
"""

from typing import Final, NamedTuple

from rppam.config.kinds import Flag, Whole
from rppam.ledger.events import Retention
from rppam.settings.model import setting

DAYS_MAX: Final = 36_500


class AuditRetention(NamedTuple):
    """See the module. 0: for ever."""

    access_days: int = 0
    administration_days: int = 0
    cluster_days: int = 0

    def days(self) -> dict[Retention, int]:
        """Of the classes that age."""
        given = zip((Retention.ACCESS, Retention.ADMINISTRATION, Retention.CLUSTER), self, strict=True)
        return {class_: days for class_, days in given if days}


_DAYS: Final = Whole(f"whole days from 0 (for ever) to {DAYS_MAX}", 0, DAYS_MAX)
RETENTION: Final = setting(
    "audit/retention",
    "For how long names and addresses stand in the ledger, by class of events",
    AuditRetention(),
    {"accessDays": _DAYS, "administrationDays": _DAYS, "clusterDays": _DAYS},
)


class AuditArchive(NamedTuple):
    """See the module. 0: never."""

    access_days: int = 0
    administration_days: int = 0
    cluster_days: int = 0
    without_export: bool = False
    """Prune also what no file has that 'rppam audit archive' wrote."""

    def days(self) -> dict[Retention, int]:
        """Of the classes that leave."""
        return AuditRetention(self.access_days, self.administration_days, self.cluster_days).days()


_LEAVES: Final = Whole(f"whole days from 0 (never) to {DAYS_MAX}", 0, DAYS_MAX)
ARCHIVE: Final = setting(
    "audit/archive",
    "After how many days events leave the database, by class of events; proofs stay",
    AuditArchive(),
    {"accessDays": _LEAVES, "administrationDays": _LEAVES, "clusterDays": _LEAVES, "withoutExport": Flag()},
)
