"""Whether the name server would take this node's update of the cluster's name in DNS. Nothing is changed there."""

from rppam.catalogue.table import finding
from rppam.config.settings import Settings
from rppam.doctor.report import Report
from rppam.kernel.system_clock import SystemClock


async def check_dns(settings: Settings, report: Report) -> None:
    """For settings that have a name: the library is loaded for them alone."""
    from rppam.cluster.dns.configured import keeper_of
    from rppam.cluster.dns.errors import DnsError

    try:
        await keeper_of(settings, "doctor", lambda: False, SystemClock().wall_ms).try_out()
    except DnsError as error:
        report.add(finding(error.row.finding, str(error)))
