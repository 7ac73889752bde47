"""A finding: one thing that an administrator should know, with a code that stays.

Decides how findings add up to a verdict. What is wrong and how to put it right is decided where the finding is made;
nobody may put a secret into one, since findings are printed, sent and kept.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, ClassVar

from rppam.kernel.errors import Exit


class Severity(StrEnum):
    """How much a finding matters."""

    ERROR = "error"
    """It does not work, or is not safe."""
    WARNING = "warning"
    """It works and should be put right."""
    NOTE = "note"
    """Good to know."""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Who answers for a finding that stays for a while, why, and until when."""

    schema_name: ClassVar[str] = "AcknowledgementShape"
    by: str
    reason: str
    until: str
    """The last day, by UTC, such as `2027-01-31`."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with Redis, or worth knowing: see docs/reference/doctor.md."""

    schema_name: ClassVar[str] = "FindingShape"
    code: str
    """Such as `RD-303`; never changes its meaning."""
    severity: Severity
    what: str
    evidence: str
    """What was seen, as it was seen."""
    fix: str
    """What to do: the first line for all platforms, then one line for each."""
    acknowledged: Acknowledgement | None = None
    """Shown all the same, and no reason for an exit code or an alert; null: nobody has acknowledged it."""

    @property
    def advice(self) -> str:
        """What to do, on all platforms, in one line."""
        return self.fix.split("\n", 1)[0]

    @property
    def counts(self) -> bool:
        """Whether it is counted: an error always is."""
        return self.acknowledged is None or self.severity is Severity.ERROR

    def as_json(self) -> dict[str, Any]:
        """Its five parts, for machines; and who has acknowledged it, where somebody has."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class Verdict(StrEnum):
    """What all findings together mean."""

    OK = "ok"
    WARNINGS = "warnings"
    ERRORS = "errors"

    @property
    def exit(self) -> Exit:
        """The exit code that says it."""
        return {Verdict.OK: Exit.DONE, Verdict.WARNINGS: Exit.NO, Verdict.ERRORS: Exit.ERRORS}[self]


def verdict_of(findings: Iterable[Finding]) -> Verdict:
    """The worst of those that count; notes alone are fine."""
    seen = {finding.severity for finding in findings if finding.counts}
    if Severity.ERROR in seen:
        return Verdict.ERRORS
    return Verdict.WARNINGS if Severity.WARNING in seen else Verdict.OK
