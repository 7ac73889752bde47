"""What a restart would change: the keys in which two readings of a configuration differ.

Names only, never values: what changed may be a password.
"""

from hashlib import sha256

from rppam.config.settings import SECTIONS, Settings, keys_of
from rppam.kernel.secret import Secret


def changed_keys(before: Settings, after: Settings) -> tuple[str, ...]:
    """Paths such as ``redis.keyPrefix``, in the order of the reference."""
    return tuple(
        f"{section}.{key.name}"
        for section, kind in SECTIONS.items()
        for field, key in keys_of(kind).items()
        if _value(before, section, field) != _value(after, section, field)
    )


def fingerprint(settings: Settings) -> str:
    """The same for two readings of the same settings, secrets included, and for no others. Not to be shown."""
    digest = sha256()
    for section, made in SECTIONS.items():
        for name in keys_of(made):
            value = _value(settings, section, name)
            text = value.reveal() if isinstance(value, Secret) else repr(value)
            digest.update(f"{section}.{name}={text}\n".encode())
    digest.update(repr(settings.cluster.timing).encode())
    return digest.hexdigest()


def _value(settings: Settings, section: str, name: str) -> object:
    """What must not change while a node runs: of the password in a file that is the file, which is read again."""
    if (section, name) == ("redis", "password") and settings.redis.password_file is not None:
        return settings.redis.password_file
    return getattr(getattr(settings, section), name)
