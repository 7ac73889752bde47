"""What the ledger records of failover tests. Their writes are not events: a report says how many there were."""

from typing import Final

from rppam.ledger.events import Action, Retention

_C: Final = Retention.CLUSTER

ACTIONS: Final = (
    Action("failover.ask", "failover-test", "Somebody asked the cluster to run a failover test", _C, "method, leader"),
    Action("failover.begin", "failover-test", "A failover test began", _C, "method, leader"),
    Action("failover.fault", "node", "A fault was made for a failover test", _C, "the test, method, seconds"),
    Action("failover.test", "failover-test", "A failover test ended", _C, "verdicts, digest of the report"),
)
