"""Where the keys lie that seal secrets in the database, and what they are sealed with themselves."""

from typing import NamedTuple, Protocol

from rppam.kernel.secret import Secret


class WrappedKey(NamedTuple):
    """A data key as the database keeps it."""

    kid: str
    """Its name: 32 hexadecimal digits, random."""
    wrapped: str
    """The sealed key."""
    wrapped_by: str
    """Which wrapping key sealed it."""


class ClusterSecrets(NamedTuple):
    """The secrets of this host from which wrapping keys are stretched; each 64 hexadecimal digits."""

    own: Secret
    """New keys are wrapped with it."""
    coming: tuple[Secret, ...] = ()
    """Other hosts wrap with it already: unwrapped with, never wrapped."""
    gone: tuple[Secret, ...] = ()
    """What is wrapped with it is wrapped anew."""


class DataKeyStore(Protocol):
    """The wrapped keys in the cluster's database. Every call raises a ``DatabaseError`` when it does not answer."""

    async def all(self) -> tuple[WrappedKey, ...]:
        """Every key, the newest first."""
        ...

    async def add(self, key: WrappedKey) -> None:
        """Keep a new key."""
        ...

    async def replace(self, old: WrappedKey, new: WrappedKey) -> None:
        """The same key, wrapped anew; nothing when somebody else did it meanwhile."""
        ...
