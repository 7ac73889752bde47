"""The one table of problems: every code that the doctor and health may show, with its meaning and its fix.

An error about the same situation takes its two sentences from here (``problem=ROWS["RD-101"]``). Numbers never change
their meaning, and one that was given up is not given again. Hundreds sort them, see ``AREAS``.
``docs/reference/doctor.md`` is made from this table. What it does not decide: whether a finding applies.
"""

from typing import Final

from rppam.catalogue.fixes import Row
from rppam.catalogue.host import HOST
from rppam.catalogue.members import MEMBERS
from rppam.catalogue.redis import REDIS
from rppam.kernel.finding import Finding, Severity

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

ROWS: Final[dict[str, Row]] = {row.code: row for row in (*REDIS, *HOST, *MEMBERS)}

_ERRORS_GIVEN_UP: Final = (2117, *range(5311, 5318), 5319, 5320, 5323, 5325, 5326, *range(6034, 6037))
_FINDINGS_GIVEN_UP: Final = (116, 617, *range(941, 947), 949, 950)
RETIRED: Final = {f"RPPAM-{one}" for one in _ERRORS_GIVEN_UP} | {f"RD-{one}" for one in _FINDINGS_GIVEN_UP}
"""Codes that are in use no more, or never were, and must not be given to anything else."""


def area_of(code: str) -> int:
    """The area that a code of the doctor belongs to."""
    return int(code.removeprefix("RD-")) // 100


def finding(
    code: str, evidence: str, *, severity: Severity | None = None, what: str | None = None, fix: str = ""
) -> Finding:
    """A finding of this code. ``what`` and ``severity`` replace the table's; ``fix`` goes before it."""
    row = ROWS[code]
    text = f"{fix}\n{row.fix.text()}" if fix else row.fix.text()
    return Finding(code, severity or row.severity, what or row.what, evidence, text)
