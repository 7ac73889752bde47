"""Which policy holds, and what it makes of a request."""

import pytest

from rppam.requests.errors import PolicyInvalid, RequestInvalid
from rppam.requests.machine import MINUTE_MS, CountsFrom
from rppam.requests.model import BUILT_IN, Level, Mode, ObjectKind, Policy, Right, Rules, Wanted, Window, rules_of
from rppam.requests.policy import approvals_needed, check_policy, check_wanted, chosen, is_within, terms_of

MONDAY_NOON = 1_772_452_800_000
"""2 March 2026, 12:00 UTC."""
HOUR = 60 * MINUTE_MS
ASKED = Wanted(ObjectKind.ACCOUNT, "a", "a", (Right.USE,), 600, "INC-1: disk is full")


def policy(name: str, level: Level, subject: str = "", priority: int = 0, rules: Rules | None = None) -> Policy:
    return Policy(name, name, level, subject, priority, rules or Rules(), 1)


def test_user_before_group_before_default_before_the_built_in_one() -> None:
    all_ = [
        policy("d", Level.DEFAULT),
        policy("low", Level.GROUP, "ops", 1),
        policy("high", Level.GROUP, "db", 2),
        policy("u", Level.USER, "ann"),
    ]
    assert chosen(all_, "ann", {"ops", "db"}).name == "u"
    assert chosen(all_, "bob", {"ops", "db"}).name == "high"
    assert chosen(all_, "bob", {"ops"}).name == "low"
    assert chosen(all_, "bob", set()).name == "d"
    assert chosen([], "bob", {"ops"}) is BUILT_IN


@pytest.mark.parametrize(
    ("mode", "needed"),
    [(Mode.AUTO, 0), (Mode.SINGLE, 1), (Mode.MULTI, 3), (Mode.MANAGER, 1), (Mode.TIMED, 3)],
)
def test_each_mode_needs_as_many(mode: Mode, needed: int) -> None:
    rules = Rules(mode=mode, approvals=3, windows=(Window((2,), "08:00", "17:00"),))
    assert approvals_needed(rules, MONDAY_NOON) == needed


def test_within_its_windows_nobody_is_asked() -> None:
    rules = Rules(mode=Mode.TIMED, windows=(Window((1,), "22:00", "06:00"),), time_zone="Europe/Berlin")
    assert not is_within(rules, MONDAY_NOON)
    assert is_within(rules, MONDAY_NOON + 9 * HOUR), "22:00 in Berlin"
    assert is_within(rules, MONDAY_NOON + 16 * HOUR), "Tuesday, 05:00 in Berlin"
    assert not is_within(rules, MONDAY_NOON + 17 * HOUR)
    assert not is_within(rules, MONDAY_NOON - 8 * HOUR), "Monday at 05:00 is Sunday's night"
    assert not is_within(rules._replace(time_zone="Mars/Olympus"), MONDAY_NOON + 9 * HOUR)
    assert approvals_needed(rules, MONDAY_NOON + 9 * HOUR) == 0


def test_durations_are_cut_to_the_maximum_and_an_emergency_to_its_own() -> None:
    rules = Rules(max_minutes=45, emergency_minutes=15, counts_from=CountsFrom.USE)
    assert terms_of(rules, ASKED, 0).minutes == 45
    urgent = terms_of(rules, ASKED._replace(emergency=True), 0)
    assert (urgent.needed, urgent.minutes, urgent.counts_from) == (0, 15, CountsFrom.APPROVAL)


@pytest.mark.parametrize(
    ("rules", "wanted"),
    [
        (Rules(), ASKED._replace(reason="\n ")),
        (Rules(reason_pattern="INC-[0-9]{4}"), ASKED),
        (Rules(emergency_minutes=0), ASKED._replace(emergency=True)),
        (Rules(), ASKED._replace(emergency=True, starts_at=5)),  # type: ignore[arg-type]  # a moment
        (Rules(), ASKED._replace(starts_at=MONDAY_NOON)),  # type: ignore[arg-type]  # a moment
    ],
)
def test_what_can_never_be_granted_is_refused(rules: Rules, wanted: Wanted) -> None:
    with pytest.raises(RequestInvalid):
        check_wanted(rules, wanted, 0)
    check_wanted(Rules(reason_pattern="INC-[0-9]+"), ASKED, 0)


def test_rules_are_read_back_as_they_were_written() -> None:
    import json

    rules = Rules(Mode.TIMED, excluded=(("a", "b"),), windows=(Window((1, 2), "08:00", "09:00"),))
    assert rules_of(json.loads(json.dumps(rules._asdict() | {"of a later release": 1}))) == rules


def test_a_policy_for_nobody_is_refused() -> None:
    with pytest.raises(PolicyInvalid, match="subject"):
        check_policy(policy("u", Level.USER))
    check_policy(policy("u", Level.USER, "ann"))
