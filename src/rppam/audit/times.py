"""Moments as people type them: ISO 8601, in UTC where no zone is said."""

from datetime import UTC, datetime

from rppam.kernel.instant import WallMs


class TimeInvalid(ValueError):
    """The text is no moment."""


def wall_ms_of(text: str) -> WallMs:
    """Milliseconds since 1970. Raises :class:`TimeInvalid`."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise TimeInvalid("expected a time in ISO 8601, such as 2026-03-01T12:00:00Z") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return WallMs(int(moment.timestamp() * 1000))
