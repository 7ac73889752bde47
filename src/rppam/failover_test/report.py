"""The report of a failover test as one JSON object, and its digest.

The object is the truth; the HTML page (:mod:`rppam.failover_test.page`) shows it and carries it along. The digest is
the SHA-256 of the object's one canonical text, so it is the same whatever a program does to the order of names.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from rppam.failover_test.model import MEANING, Verdict
from rppam.failover_test.observed import Observed

FORMAT: Final = 1
FAILURES_MAX: Final = 500
"""More are counted and not listed."""
Report = dict[str, Any]


class NoReportError(ValueError):
    """What is no report of ours; ``str()`` says why."""


def made(seen: Observed, verdicts: tuple[Verdict, ...], facts: Mapping[str, object], timeline: list[Report]) -> Report:
    """The report; ``facts`` are what the test knows besides."""
    return {
        "format": FORMAT,
        "method": seen.method.value,
        "methodMeaning": MEANING[seen.method],
        **facts,
        "leader": seen.leader,
        "nodes": list(seen.nodes),
        "passed": all(one.held for one in verdicts),
        "verdicts": [one._asdict() for one in verdicts],
        "promoted": seen.promoted,
        "promotedAfterMs": seen.promoted_ms,
        "backAfterMs": seen.back_ms,
        "requests": seen.requests,
        "failed": len(seen.failures),
        "outageMs": seen.outage_ms,
        "failures": [asdict(one) for one in seen.failures[:FAILURES_MAX]],
        "writesAcknowledged": seen.acknowledged,
        "sessions": seen.sessions,
        "timeline": timeline,
    }


def canonical(report: Mapping[str, Any]) -> str:
    """The one text of a report."""
    return json.dumps(report, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest_of(report: Mapping[str, Any]) -> str:
    """SHA-256 of :func:`canonical`, in hexadecimal digits."""
    return hashlib.sha256(canonical(report).encode()).hexdigest()


def check_report(found: object) -> Report:
    """``found``, as far as it is a report. Raises :class:`NoReportError`."""
    if not isinstance(found, dict) or not isinstance(found.get("verdicts"), list) or "method" not in found:
        raise NoReportError("expected a report of 'rppam failover-test', found another JSON value")
    if found.get("format") != FORMAT:
        raise NoReportError(f"expected a report of format {FORMAT}, found {str(found.get('format'))[:20]}")
    for one in found["verdicts"]:
        if not isinstance(one, dict) or not isinstance(one.get("held"), bool) or not isinstance(one.get("why"), str):
            raise NoReportError("expected verdicts with 'held' and 'why', found others")
    return found
