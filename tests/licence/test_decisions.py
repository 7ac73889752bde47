"""What a licence allows, and when it warns."""

import pytest

from rppam.kernel.instant import WallMs
from rppam.licence.errors import LicenceDenied
from rppam.licence.model import (
    DAY_MS,
    Allowed,
    Denied,
    Licence,
    LicenceState,
    Tier,
    WarningLevel,
    days_left,
    may_join,
    state_of,
    warning_of,
)
from rppam.licence.service import demand

NOW = WallMs(1_795_478_400_000)


def licence(tier: Tier = Tier.ENTERPRISE, *, nodes: int = 3, left_ms: int = 90 * DAY_MS) -> Licence:
    end = WallMs(NOW + left_ms)
    return Licence("id-1", "ACME", tier, nodes, None, None, (), WallMs(NOW - DAY_MS), end, "key")


@pytest.mark.parametrize(
    "held", [None, licence(Tier.STANDARD, nodes=1), licence(), licence(left_ms=0), licence(left_ms=-400 * DAY_MS)]
)
def test_the_first_node_always_runs(held: Licence | None) -> None:
    assert isinstance(may_join(held, 0, NOW), Allowed)


@pytest.mark.parametrize(
    ("held", "seats", "told"),
    [
        (None, 1, "without a licence this is RP-PAM Standard, which runs one node, and 1 other node runs here already"),
        (licence(Tier.STANDARD, nodes=1), 1, "is Standard, which runs one node"),
        (licence(), 3, "allows 3 nodes, and 3 other nodes run here already"),
        (licence(Tier.MSP, nodes=1), 1, "allows 1 nodes"),
        (licence(left_ms=0), 1, "has expired"),
        (licence(left_ms=-1), 2, "has expired"),
    ],
)
def test_a_second_node_needs_tier_seat_and_time(held: Licence | None, seats: int, told: str) -> None:
    decision = may_join(held, seats, NOW)
    assert isinstance(decision, Denied)
    assert told in decision.reason
    assert "nstall" in decision.fix
    with pytest.raises(LicenceDenied, match="this node may not join") as caught:
        demand(decision)
    assert (caught.value.row.exit, caught.value.row.status) == (77, 403)


@pytest.mark.parametrize("held", [None, licence(Tier.STANDARD, nodes=1), licence(nodes=2)])
def test_who_is_refused_reads_how_a_dead_node_s_seat_becomes_free(held: Licence | None) -> None:
    """A node that died and came back under another name finds its own old name in its way."""
    decision = may_join(held, 2, NOW)
    assert isinstance(decision, Denied)
    for order in ("rppam cluster forget NAME", "redis-cli SREM rppam:members NAME", "redis.keyPrefix"):
        assert order in decision.fix


@pytest.mark.parametrize(("seats", "free"), [(0, 2), (1, 1), (2, 0)])
@pytest.mark.parametrize("tier", [Tier.ENTERPRISE, Tier.MSP])
def test_seats_are_counted_down(tier: Tier, seats: int, free: int) -> None:
    decision = may_join(licence(tier, left_ms=1), seats, NOW)
    assert decision == Allowed(free)
    demand(decision)


@pytest.mark.parametrize(
    ("left_ms", "days", "state", "level"),
    [
        (30 * DAY_MS + 1, 31, LicenceState.VALID, None),
        (30 * DAY_MS, 30, LicenceState.EXPIRING, WarningLevel.NOTICE),
        (14 * DAY_MS + 1, 15, LicenceState.EXPIRING, WarningLevel.NOTICE),
        (14 * DAY_MS, 14, LicenceState.EXPIRING, WarningLevel.WARNING),
        (7 * DAY_MS + 1, 8, LicenceState.EXPIRING, WarningLevel.WARNING),
        (7 * DAY_MS, 7, LicenceState.EXPIRING, WarningLevel.URGENT),
        (1, 1, LicenceState.EXPIRING, WarningLevel.URGENT),
        (0, 0, LicenceState.EXPIRED, WarningLevel.URGENT),
        (-3 * DAY_MS, -3, LicenceState.EXPIRED, WarningLevel.URGENT),
    ],
)
def test_expiry_is_told_in_three_steps(
    left_ms: int, days: int, state: LicenceState, level: WarningLevel | None
) -> None:
    held = licence(left_ms=left_ms)
    assert days_left(held, NOW) == days
    assert state_of(held, NOW) is state
    warning = warning_of(held, NOW)
    assert (warning.level if warning else None) is level
    if warning:
        told = f"in {days} day" if days > 0 else "today" if days == 0 else "3 days ago"
        assert told in warning.sentence


def test_no_licence_is_no_reason_to_warn() -> None:
    assert state_of(None, NOW) is LicenceState.NONE
    assert warning_of(None, NOW) is None
