"""How the processes of a node stand with their database, and what health says of it.

Decides which finding a trouble is, and what a node can do meanwhile. What it does not promise: that the next call
succeeds; it is what was seen a moment ago.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple

import msgspec

from rppam.catalogue.table import finding
from rppam.kernel.finding import Finding

LOST: Final = "RD-607"
OTHER_RELEASE: Final = "RD-622"
READ_ONLY: Final = "RD-623"
FULL: Final = "RD-624"
INCOMPLETE: Final = "RD-625"
DAMAGED: Final = "RD-626"
WORKER: Final = "RD-627"
DENIED: Final = "RD-628"

NO_LOGINS: Final = (
    "meanwhile nobody can log in and nothing is changed or recorded; who is signed in goes on where Redis knows the "
    "session, and who leads does not depend on it"
)
READS_ONLY: Final = (
    "meanwhile what is stored can be read; log-ins and changes that must be written or recorded are refused, and who "
    "leads does not depend on it"
)
IN_PART: Final = "meanwhile what needs that part is refused, and the rest goes on"
AT_THE_OTHERS: Final = "meanwhile one request in several may be refused here, and the next one answered"

_MEANWHILE: Final = {
    LOST: NO_LOGINS,
    OTHER_RELEASE: IN_PART,
    READ_ONLY: READS_ONLY,
    FULL: READS_ONLY,
    INCOMPLETE: IN_PART,
    DAMAGED: IN_PART,
    WORKER: AT_THE_OTHERS,
    DENIED: IN_PART,
}


FILE_FIXES: Final = {
    LOST: "Look at the file that is named, and at its folder: the account that runs rppam has to own both. Where the "
    "file is gone or is another one, put it back, from the last backup if need be and without the -wal and -shm of the "
    "lost one: docs/operations/backup.md.",
    DAMAGED: "Stop the node and look at its disk first (dmesg). Then move the damaged file away, keep it for the "
    "ledger's sake, and put the last backup onto a sound disk: docs/operations/backup.md.",
    WORKER: "What was seen says why: mostly the account may not read the file or write to its folder, or has too few "
    "open files. Put that right; the process opens the file again by itself within seconds.",
}
"""What to do where the database is a file of SQLite, in place of what its row says of a server."""


class Condition(msgspec.Struct, frozen=True, array_like=True):
    """How one process stands with its database; its text stands on the node's page, and holds no secret."""

    code: str = ""
    """Of the finding; empty when nothing is wrong."""
    evidence: str = ""
    """What was seen."""
    latency_ms: int | None = None
    """How long the last look took; ``None`` where it was not answered."""
    errors: int = 0
    """Calls that failed since the process began."""

    @property
    def is_well(self) -> bool:
        return not self.code


class DatabaseState(NamedTuple):
    """How a whole node stands with its database."""

    is_connected: bool | None = None
    """``None``: not looked yet."""
    reason: str = ""
    """What is wrong, and what goes on meanwhile; empty while all is well."""
    latency_ms: int | None = None
    """The longest of all processes."""
    errors: int = 0
    """Of all processes that run now."""
    findings: tuple[Finding, ...] = ()


def found(code: str, evidence: str, *, is_file: bool) -> Finding:
    """A finding of this code; ``is_file``: the database is one of SQLite, so it has no server to look at."""
    whole = finding(code, evidence)
    return replace(whole, fix=FILE_FIXES[code]) if is_file and code in FILE_FIXES else whole


def state_of(own: Condition | None, workers: Mapping[str, Condition], *, is_file: bool = False) -> DatabaseState:
    """Put together what the control process sees, and each API worker and gateway by its name."""
    seen = [*([own] if own is not None else ()), *workers.values()]
    if not seen:
        return DatabaseState()
    latencies = [one.latency_ms for one in seen if one.latency_ms is not None]
    ill = {name: one for name, one in sorted(workers.items()) if one.code}
    findings = [found(code, told, is_file=is_file) for code, told in _trouble(own, ill, len(workers) - len(ill))]
    return DatabaseState(
        is_connected=not findings,
        reason="; ".join(f"{one.evidence}: {_MEANWHILE[one.code]}" for one in findings[:1]),
        latency_ms=max(latencies, default=None),
        errors=sum(one.errors for one in seen),
        findings=tuple(findings),
    )


def _trouble(own: Condition | None, ill: Mapping[str, Condition], others: int) -> list[tuple[str, str]]:
    """The trouble as codes and evidence: of the whole node, or else of processes beside ``others`` that have none."""
    if own is not None and own.code:
        return [(own.code, own.evidence)]
    if not ill:
        return []
    codes = {one.code for one in ill.values()}
    if own is None or (len(codes) == 1 and not others):  # the control process has not looked since
        return [(one.code, one.evidence) for one in list(ill.values())[:1]]
    told = "; ".join(f"{name}: {one.evidence}" for name, one in ill.items())
    return [(WORKER, told)]


def sentence_of(condition: Condition, *, is_file: bool = False) -> str:
    """For the log: what it is, what was seen, what goes on meanwhile, and the fix."""
    told = found(condition.code, condition.evidence, is_file=is_file)
    return f"{told.code}: {told.what} Seen: {told.evidence}; {_MEANWHILE[told.code]}. Fix: {told.advice}"


to_text: Final = msgspec.json.Encoder().encode
from_text: Final = msgspec.json.Decoder(Condition).decode
