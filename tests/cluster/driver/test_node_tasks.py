"""What the tasks of a node say in health: a finding where there is one for it, else a sentence."""

from rppam.cluster.driver.node_tasks import findings_of, warnings_of
from rppam.kernel.errors import RppamError
from rppam.ledger.errors import LedgerBroken, LedgerUnwatched


def test_a_broken_ledger_is_a_finding_told_once_by_however_many_tasks() -> None:
    troubles: list[RppamError | str] = [
        LedgerBroken("event 7: odd"),
        LedgerBroken("event 7: odd"),
        "late",
        "",
        LedgerUnwatched("full"),
    ]
    assert [(one.code, one.evidence) for one in findings_of(troubles)] == [("RD-630", "event 7: odd")]
    assert findings_of(troubles)[0].advice == LedgerBroken.row.remedy
    assert warnings_of(troubles) == ("late", f"RPPAM-8005: full. {LedgerUnwatched.row.remedy}")
