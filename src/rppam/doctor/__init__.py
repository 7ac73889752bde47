"""Findings: what is wrong, how it is known, and the fix."""

from rppam.kernel.slice import Command, Slice

SLICE = Slice(
    name="doctor",
    package=__name__,
    public=("check_members", "check_redis", "member_probe", "member_rules", "report"),
    settings=("acknowledged:ACKNOWLEDGED",),
    commands={"doctor": Command("cli", "Check everything a node needs, from this host, and say what to do.")},
)
