"""What is wrong with the leader's program (RPPAM-534x)."""

from rppam.catalogue.table import ROWS
from rppam.kernel.errors import Exit, Fault, Retry, RppamError


class HookFailed(
    RppamError,
    code="RPPAM-5340",
    problem=ROWS["RD-641"],
    fault=Fault.OPERATOR,
    retry=Retry.SLOWLY,
    exit=Exit.ERRORS,
):
    """The program of cluster.leaderHook cannot be run, or failed."""
