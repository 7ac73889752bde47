"""Times as people and scripts read them: ISO 8601 in UTC with a Z."""

from datetime import UTC, datetime

from rppam.domain.instant import WallMs


def iso_utc(wall_ms: WallMs) -> str:
    """``2026-03-01T12:00:00Z``: to the second, as the product shows it."""
    return datetime.fromtimestamp(wall_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_utc_ms(wall_ms: WallMs) -> str:
    """``2026-03-01T12:00:00.123Z``: to the millisecond, where the order of events matters."""
    whole = datetime.fromtimestamp(wall_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{wall_ms % 1000:03}Z"
