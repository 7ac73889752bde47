"""Findings: what is wrong, how it is known, and the fix."""

from typing import TYPE_CHECKING

from rppam.kernel.slice import Command, Slice, exports

if TYPE_CHECKING:
    from rppam.doctor.check_members import is_witness as is_witness
    from rppam.doctor.check_redis import StoreCheck as StoreCheck
    from rppam.doctor.member_probe import MemberProber as MemberProber
    from rppam.doctor.member_rules import ProbeOutcome as ProbeOutcome, Shown as Shown
    from rppam.doctor.report import Report as Report

SLICE = Slice(
    name="doctor",
    package=__name__,
    commands={"doctor": Command("cli", "Check everything a node needs, from this host, and say what to do.")},
)

__getattr__ = exports(
    __name__,
    check_members="is_witness",
    check_redis="StoreCheck",
    member_probe="MemberProber",
    member_rules="ProbeOutcome Shown",
    report="Report",
)
