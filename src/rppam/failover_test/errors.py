"""What can be wrong with a failover test on the side of the cluster (RPPAM-7201 and on)."""

from rppam.http.errors import RequestError
from rppam.kernel.errors import Fault, Retry


class FailoverTestError(RequestError):
    """Base of all errors of failover tests."""


class FailoverTestUnknown(FailoverTestError, code="RPPAM-7201", status=404):
    """No failover test has this id."""

    fix = "GET /api/v1/admin/cluster/failover-tests lists them."


class MethodNotAllowed(FailoverTestError, code="RPPAM-7202", fault=Fault.OPERATOR, status=403):
    """This method of a failover test is not allowed in this cluster."""

    fix = "Choose another --method, or let a pam_admin allow it: the setting failoverTest/allowedMethods."


class FailoverTestUnderWay(FailoverTestError, code="RPPAM-7203", retry=Retry.SLOWLY, status=409):
    """Another failover test is under way."""

    fix = "Wait until it is over; one whose command died is over 15 minutes after it began."


class FailoverTestOver(FailoverTestError, code="RPPAM-7204", status=409):
    """The failover test is over, so nothing is added to it."""

    fix = "Start another one."


class NoSentinel(FailoverTestError, code="RPPAM-7205", fault=Fault.OPERATOR, status=409):
    """Redis is not watched over by Sentinel here, so none of its replicas can be promoted."""

    fix = "Choose another --method; redis.connectionString needs a serviceName for this one."


class SentinelRefused(
    FailoverTestError, code="RPPAM-7206", fault=Fault.SURROUNDINGS, retry=Retry.SLOWLY, status=502, level="warning"
):
    """No Sentinel began a failover of Redis."""

    fix = "'detail' says what they answered; a Sentinel refuses while a failover is under way or no replica is good."


class ScheduledTestBroken(
    FailoverTestError, code="RPPAM-7207", fault=Fault.SURROUNDINGS, retry=Retry.NO, status=503, level="warning"
):
    """The last scheduled failover test found a promise broken."""

    fix = "Read its report (GET /api/v1/admin/cluster/failover-tests), mend what it names, and run rppam failover-test."


class ScheduleImpossible(
    FailoverTestError, code="RPPAM-7208", fault=Fault.OPERATOR, retry=Retry.NO, status=503, level="warning"
):
    """No failover test can be started by schedule here."""

    fix = "Run nodes without --single-process, or switch the setting failoverTest/schedule off."
