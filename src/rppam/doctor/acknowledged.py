"""The setting ``doctor/acknowledged``: findings that an administrator knows of and will not mend for a while.

Decides which findings may be acknowledged, and which of those found are. One that is acknowledged is shown as before,
with who answers for it, why and until when; it counts in no exit code, no verdict and no alert. What stops service,
will stop it on a day, or tells that health is not what it seems may not be acknowledged: such an entry is refused, and
an error is never taken for acknowledged, whatever an entry says of a milder form of it.

What it does not promise: that the reason given is a good one. Each change of the list is in the settings' history and
in the ledger, with who made it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any, Final, NamedTuple

from rppam.catalogue.table import ROWS
from rppam.cluster.health.model import UNHEALTHY
from rppam.config.kinds import NAME_FORM, Kind, Text, WrongValueError
from rppam.config.wording import nearest, shown
from rppam.http.errors import FieldFlaw
from rppam.kernel.finding import Acknowledgement, Finding, Severity
from rppam.kernel.instant import WallMs
from rppam.settings.errors import SettingInvalid
from rppam.settings.model import FLAWS_MAX, TOGETHER, UNKNOWN, WRONG, Setting

NAME: Final = "doctor/acknowledged"
FIELD: Final = "findings"
ENTRIES_MAX: Final = 50

_WHY_NEVER: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("RD-128", "RD-606", "RD-613"), "what it names ends on a day of its own, and service with it or after it"
    ),
    **dict.fromkeys(("RD-308", "RD-620"), "service stops when the room is used up"),
    **dict.fromkeys(
        ("RD-403", "RD-411", "RD-629", "RD-703", "RD-704", "RD-705", "RD-708", "RD-903", "RD-906", "RD-909"),
        "it tells that the cluster is not as it should be now",
    ),
    "RD-947": "somebody may be forging what nodes say of themselves",
}
"""Warnings that may not be acknowledged, beside all errors and what makes a cluster unhealthy."""


class Entry(NamedTuple):
    """One finding that is acknowledged."""

    code: str
    reason: str
    by: str
    until: str
    """The last day, by UTC."""
    node: str = ""
    """On which node; empty: on all."""


class Acknowledged(NamedTuple):
    """The value of the setting."""

    findings: tuple[Entry, ...] = ()


def why_never(code: str) -> str:
    """Why a finding of this code may not be acknowledged; empty where it may."""
    if ROWS[code].severity is Severity.ERROR:
        return "it is an error: something does not work, or is not safe"
    if code in UNHEALTHY:
        return "no cluster is healthy with it"
    return _WHY_NEVER.get(code, "")


def acknowledged(findings: Iterable[Finding], entries: Sequence[Entry], node: str, today: date) -> tuple[Finding, ...]:
    """The same findings, those that are acknowledged on this node with who answers for it."""
    return tuple(_acknowledged(one, entries, node, today) for one in findings)


def _acknowledged(found: Finding, entries: Sequence[Entry], node: str, today: date) -> Finding:
    if found.severity is Severity.ERROR or found.code not in ROWS or why_never(found.code):
        return found
    ours = [one for one in entries if one.code == found.code and one.node in ("", node)]
    lasting = [one for one in ours if date.fromisoformat(one.until) >= today]
    if lasting:
        one = max(lasting, key=lambda entry: (entry.node != "", entry.until))
        return replace(found, acknowledged=Acknowledgement(one.by, one.reason, one.until))
    if ours:
        last = max(ours, key=lambda entry: entry.until)
        over = f"was acknowledged by {last.by} until {last.until}, which is over: {last.reason}"
        return replace(found, evidence=f"{found.evidence}; {over}")
    return found


def day_of(now: WallMs) -> date:
    """The day, by UTC."""
    return datetime.fromtimestamp(now / 1_000, UTC).date()


def entries_of(text: str | None) -> tuple[Entry, ...]:
    """The entries of a stored value; none where this release cannot read it, so that nothing is hushed by mistake."""
    try:
        return () if text is None else ACKNOWLEDGED.read(json.loads(text)).findings
    except (SettingInvalid, ValueError, AttributeError):
        return ()


class _Code(Kind):
    def read(self, value: object) -> str:
        code = value.upper() if isinstance(value, str) else ""
        if code not in ROWS:
            near = nearest(code, ROWS)
            fix = f"Did you mean {near}?" if near else "docs/reference/doctor.md lists them."
            raise WrongValueError(shown(value), fix)
        if why := why_never(code):
            raise WrongValueError(f"{code}, which may not be acknowledged: {why}", f"Mend it: {ROWS[code].advice}")
        return code


class _Day(Kind):
    def read(self, value: object) -> str:
        try:
            return date.fromisoformat(value if isinstance(value, str) else "").isoformat()
        except ValueError:
            raise WrongValueError(shown(value), "Write the last day, such as 2027-01-31.") from None


class _Node(Kind):
    def read(self, value: object) -> str:
        return "" if value in ("", None) else _NAME.read(value)


_NAME: Final = Text("the name of a node", NAME_FORM, "Write node.nodeName of one node, or leave it out for all.")
_FIELDS: Final[Mapping[str, Kind]] = {
    "code": _Code("the code of a finding that may be acknowledged"),
    "reason": Text("1 to 200 characters", r".{1,200}", "Write why it stays, for those who come after you."),
    "by": Text("1 to 64 characters", r".{1,64}", "Write who answers for it."),
    "until": _Day("a day such as 2027-01-31"),
    "node": _Node("the name of a node, or nothing for all of them"),
}
_OPTIONAL: Final = frozenset({"node"})


def _read(found: Mapping[str, object]) -> Acknowledged:
    flaws: list[FieldFlaw] = []
    for name in found:
        if name != FIELD:
            near = f"Did you mean {FIELD!r}?" if nearest(name, (FIELD,)) else f"The field is {FIELD}."
            flaws.append(FieldFlaw(shown(name)[1:-1], f"there is no such field. {near}", UNKNOWN))
    listed = found.get(FIELD, ())
    if not isinstance(listed, list | tuple) or len(listed) > ENTRIES_MAX:
        said = f"a list of {len(listed)}" if isinstance(listed, list | tuple) else shown(listed)
        fix = 'Write such as [{"code": "RD-302", "reason": "...", "by": "...", "until": "2027-01-31"}].'
        flaws.append(FieldFlaw(FIELD, f"expected a list of at most {ENTRIES_MAX}, found {said}. {fix}", WRONG))
        listed = ()
    entries = [entry for number, one in enumerate(listed) if (entry := _entry(f"{FIELD}.{number}", one, flaws))]
    seen: set[tuple[str, str]] = set()
    for number, entry in enumerate(entries):
        if (entry.code, entry.node) in seen:
            where = f"on {entry.node}" if entry.node else "on all nodes"
            flaws.append(
                FieldFlaw(f"{FIELD}.{number}", f"{entry.code} {where} stands there twice. Keep one.", TOGETHER)
            )
        seen.add((entry.code, entry.node))
    if flaws:
        raise SettingInvalid(flaws[:FLAWS_MAX])
    return Acknowledged(tuple(entries))


def _entry(place: str, found: object, flaws: list[FieldFlaw]) -> Entry | None:
    """One entry, or what is wrong with it added to ``flaws``."""
    if not isinstance(found, Mapping):
        fix = f"Write its {', '.join(_FIELDS)}."
        flaws.append(FieldFlaw(place, f"expected an object, found {shown(found)}. {fix}", WRONG))
        return None
    before = len(flaws)
    values: dict[str, Any] = {}
    for name in found:
        if name not in _FIELDS:
            near = nearest(str(name), _FIELDS)
            fix = f"Did you mean {near!r}?" if near else f"The fields are {', '.join(_FIELDS)}."
            flaws.append(FieldFlaw(f"{place}.{shown(name)[1:-1]}", f"there is no such field. {fix}", UNKNOWN))
    for name, kind in _FIELDS.items():
        if name not in found and name in _OPTIONAL:
            continue
        try:
            values[name] = kind.read(found.get(name))
        except WrongValueError as error:
            flaws.append(
                FieldFlaw(f"{place}.{name}", f"expected {kind.expected}, found {error.found}. {error.fix}", WRONG)
            )
    return Entry(**values) if len(flaws) == before else None


def _write(value: Acknowledged) -> dict[str, object]:
    return {FIELD: [one._asdict() for one in value.findings]}


ACKNOWLEDGED: Final = Setting(
    NAME,
    "Findings that stay for a while, with who answers for each, why, and until when",
    Acknowledged(),
    _read,
    _write,
    {
        FIELD: f"a list of at most {ENTRIES_MAX} objects with code, reason, by, until (a day) and, for one node alone, "
        "node; no errors, and nothing that stops service"
    },
)
