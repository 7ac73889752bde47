"""The one table of problems: every code that the doctor and health may show, with its meaning and its fix.

An error about the same situation takes its two sentences from here (``problem=ROWS["RD-101"]``). Numbers never change
their meaning; those given up are in :mod:`rppam.catalogue.retired`. Hundreds sort them, see ``AREAS``.
``docs/reference/doctor.md`` is made from this table. What it does not decide: whether a finding applies.
"""

from typing import Final, NamedTuple

from rppam.catalogue.fixes import Fix
from rppam.catalogue.host import HOST
from rppam.catalogue.members import MEMBERS
from rppam.catalogue.redis import REDIS
from rppam.kernel.finding import Finding, Severity

ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE


AREAS: Final = {
    1: "Reaching Redis, and TLS",
    2: "What Redis answers",
    3: "What a Redis must be like",
    4: "Sentinel",
    5: "The key prefix",
    6: "This host",
    7: "The node",
    8: "The container of Redis",
    9: "Members that vote",
}
"""An area is a code without its last two digits: a tenth begins at RD-1001."""


def area_of(code: str) -> int:
    """The area that a code of the doctor belongs to."""
    return int(code.removeprefix("RD-")) // 100


class Row(NamedTuple):
    """One code."""

    code: str
    severity: Severity
    what: str
    symptom: str
    """What people see elsewhere when it is so: in a log, at the command line, in health."""
    fix: Fix

    @property
    def advice(self) -> str:
        """What to do on all platforms, in one line."""
        return self.fix.common


ROWS: Final[dict[str, Row]] = {
    code: Row(code, Severity(severity), what, symptom, fix)
    for code, (severity, what, symptom, fix) in {**REDIS, **HOST, **MEMBERS}.items()
}


def finding(
    code: str, evidence: str, *, severity: Severity | None = None, what: str | None = None, fix: str = ""
) -> Finding:
    """A finding of this code. ``what`` and ``severity`` replace the table's; ``fix`` goes before it."""
    row = ROWS[code]
    text = f"{fix}\n{row.fix.text()}" if fix else row.fix.text()
    return Finding(code, severity or row.severity, what or row.what, evidence, text)
