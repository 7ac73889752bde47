"""What a restart would change: the keys in which two readings of a configuration differ.

Names only, never values: what changed may be a password.
"""

from rppam.config.settings import SECTIONS, Settings, keys_of


def changed_keys(before: Settings, after: Settings) -> tuple[str, ...]:
    """Paths such as ``redis.keyPrefix``, in the order of the reference."""
    return tuple(
        f"{section}.{key.name}"
        for section, kind in SECTIONS.items()
        for field, key in keys_of(kind).items()
        if getattr(getattr(before, section), field) != getattr(getattr(after, section), field)
    )
