"""Every code that the doctor and health may show, with its meaning and its fix: the one table of them.

Numbers never change their meaning. Hundreds sort them: 1 reaching Redis and TLS, 2 what Redis answers, 3 what a Redis
must be like, 4 Sentinel, 5 the key prefix, 6 this host, 7 the node, 8 the container, 9 the members that vote.
``docs/reference/doctor.md`` is made from this table. What it does not decide: whether a finding applies.
"""

from typing import Final, NamedTuple

from rppam.catalogue.fixes import Fix
from rppam.catalogue.host import HOST
from rppam.catalogue.members import MEMBERS
from rppam.catalogue.redis import REDIS
from rppam.kernel.finding import Finding, Severity

ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE


class Row(NamedTuple):
    """One code."""

    code: str
    severity: Severity
    what: str
    symptom: str
    """What people see elsewhere when it is so: in a log, at the command line, in health."""
    fix: Fix


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
