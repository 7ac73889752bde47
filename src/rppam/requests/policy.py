"""Which policy holds for a request, and what it makes of it. Pure, but for the time zones of the host.

A policy of the user comes before one of a group, that before the default; of several groups' policies the one with the
highest priority holds, of equal ones the first by name. What it does not decide: what becomes of a request
(:mod:`rppam.requests.machine`).
"""

import re
from collections.abc import Collection, Sequence
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from rppam.requests.errors import PolicyInvalid, RequestInvalid
from rppam.requests.machine import MINUTE_MS, CountsFrom, Terms
from rppam.requests.model import BUILT_IN, MINUTES_MAX, Level, Mode, Policy, Rules, Wanted, Window

_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


def chosen(policies: Sequence[Policy], user: str, groups: Collection[str]) -> Policy:
    """The policy for requests of ``user``, who is in ``groups``."""
    own = [one for one in policies if one.level is Level.USER and one.subject == user]
    shared = [one for one in policies if one.level is Level.GROUP and one.subject in groups]
    default = [one for one in policies if one.level is Level.DEFAULT]
    for found in (own, shared, default):
        if found:
            return min(found, key=lambda one: (-one.priority, one.name))
    return BUILT_IN


def terms_of(rules: Rules, wanted: Wanted, now: int) -> Terms:
    """The terms of a request made at ``now``: durations cut to the policy's maximum, approvals counted."""
    if wanted.emergency:
        return Terms(0, min(wanted.minutes, rules.emergency_minutes), CountsFrom.APPROVAL)
    return Terms(
        needed=approvals_needed(rules, max(now, wanted.starts_at or now)),
        minutes=min(wanted.minutes, rules.max_minutes),
        counts_from=rules.counts_from,
        denials=rules.denials,
        decide_ms=rules.decide_minutes * MINUTE_MS,
        use_ms=rules.use_minutes * MINUTE_MS,
    )


def approvals_needed(rules: Rules, at: int) -> int:
    """How many approvals access needs that begins at ``at``."""
    if rules.mode is Mode.AUTO or (rules.mode is Mode.TIMED and is_within(rules, at)):
        return 0
    return rules.approvals if rules.mode in {Mode.MULTI, Mode.TIMED} else 1


def is_within(rules: Rules, at: int) -> bool:
    """Whether ``at`` lies within one of the windows, in the policy's time zone; never where this host has no such."""
    try:
        moment = datetime.fromtimestamp(at / 1000, ZoneInfo(rules.time_zone))
    except (KeyError, ValueError, OSError):
        return False
    return any(_within(window, moment) for window in rules.windows)


def check_wanted(rules: Rules, wanted: Wanted, now: int) -> None:
    """Raises :class:`RequestInvalid` for what can never be granted, naming the field."""
    if not wanted.reason.strip():
        raise RequestInvalid("reason: expected why the access is needed, found nothing")
    if rules.reason_pattern and not re.search(rules.reason_pattern, wanted.reason):
        raise RequestInvalid(f"reason: expected a text with {rules.reason_pattern!r} in it, such as a ticket's number")
    if wanted.starts_at is not None and wanted.starts_at > now + MINUTES_MAX * MINUTE_MS:
        raise RequestInvalid(f"startsAt: expected at most {MINUTES_MAX // 1440} days ahead")
    if wanted.emergency and wanted.starts_at is not None:
        raise RequestInvalid("startsAt: an emergency begins at once; leave it out")
    if wanted.emergency and rules.emergency_minutes == 0:
        raise RequestInvalid("emergency: the policy allows none; ask for access the usual way")


def check_policy(policy: Policy) -> None:
    """Raises :class:`PolicyInvalid` for what can never work, naming the field."""
    rules = policy.rules
    if (policy.level is Level.DEFAULT) is bool(policy.subject):
        raise PolicyInvalid("subject: expected the id of a user or group, and nothing for the level default")
    if rules.mode is Mode.MULTI and rules.approvals < 2:
        raise PolicyInvalid(f"approvals: multi_approver needs 2 or more, found {rules.approvals}")
    if rules.mode is Mode.TIMED and not rules.windows:
        raise PolicyInvalid("windows: time_based_auto needs one or more")
    if rules.mode is Mode.MANAGER and rules.approver_group:
        raise PolicyInvalid("approverGroup: with manager_approval the manager approves; leave it out")
    for window in rules.windows:
        if not _TIME.fullmatch(window.begins) or not _TIME.fullmatch(window.ends):
            raise PolicyInvalid("windows: expected times as HH:MM, such as 08:00")
    try:
        re.compile(rules.reason_pattern)
    except re.error as error:
        raise PolicyInvalid(f"reasonPattern: expected a regular expression; {error}") from None
    try:
        ZoneInfo(rules.time_zone)
    except (KeyError, ValueError, OSError):
        raise PolicyInvalid("timeZone: expected a name such as Europe/Berlin that this host knows") from None


def _within(window: Window, moment: datetime) -> bool:
    begins, ends = time.fromisoformat(window.begins), time.fromisoformat(window.ends)
    clock = moment.time().replace(tzinfo=None)
    if begins < ends:
        return moment.isoweekday() in window.days and begins <= clock < ends
    yesterday = (moment - timedelta(days=1)).isoweekday()
    return (moment.isoweekday() in window.days and clock >= begins) or (yesterday in window.days and clock < ends)
