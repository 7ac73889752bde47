"""What keeps the name in DNS from following the leader (RPPAM-533x)."""

from rppam.catalogue.table import ROWS
from rppam.kernel.errors import Exit, Fault, Retry, RppamError


class DnsError(RppamError, fault=Fault.OPERATOR, retry=Retry.SLOWLY, exit=Exit.ERRORS):
    """Base of all of them. Leadership does not depend on the name; clients of it do."""


class NoNameServer(DnsError, code="RPPAM-5330", problem=ROWS["RD-633"], fault=Fault.SURROUNDINGS):
    """The name server does not answer, or what answers there is none."""


class UpdateRefused(DnsError, code="RPPAM-5331", problem=ROWS["RD-634"]):
    """The name server refuses the update."""


class WrongZone(DnsError, code="RPPAM-5332", problem=ROWS["RD-635"]):
    """The server is not the primary of the zone."""


class KeyNotTaken(DnsError, code="RPPAM-5333", problem=ROWS["RD-636"]):
    """The name server does not take the TSIG key, or its answer is not signed with it."""


class ClocksDiffer(DnsError, code="RPPAM-5334", problem=ROWS["RD-637"]):
    """The name server's clock and this host's differ by more than TSIG allows."""


class NameServerFailed(DnsError, code="RPPAM-5335", problem=ROWS["RD-638"], fault=Fault.SURROUNDINGS):
    """The name server answered that it failed, or with something unforeseen."""


class NameTaken(DnsError, code="RPPAM-5336", problem=ROWS["RD-639"]):
    """The name is another's: of another cluster, of a later leader, or an alias."""


class NoOwnAddress(DnsError, code="RPPAM-5337", problem=ROWS["RD-640"]):
    """It cannot be told which address of this host the name should point to."""
