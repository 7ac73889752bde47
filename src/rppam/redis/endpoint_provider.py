"""Where a link connects to: fixed addresses, or what the sentinels name (:mod:`~rppam.redis.sentinel`).

A provider is asked before every attempt, so that addresses, TLS files and the password are those of that moment. It may
also report, unasked, that the primary is elsewhere now.
"""

from dataclasses import replace
from typing import ClassVar, Protocol

from rppam.redis.errors import StoreMasterDown, StoreReadOnly, StoreReplyError
from rppam.redis.options import LinkOptions, Target
from rppam.redis.password_file import PasswordFile
from rppam.redis.tls import TlsFiles


class Follower(Protocol):
    """As much of a Link as a provider needs."""

    @property
    def target(self) -> Target | None:
        """Where it is connected now."""
        ...

    def moved(self, why: str) -> None:
        """Drop the connection, if there is one, and ask the provider again at once."""
        ...


class EndpointProvider(Protocol):
    """Says where to connect."""

    @property
    def moved_words(self) -> tuple[type[StoreReplyError], ...]:
        """Replies that mean: this is not, or no longer, the server to talk to."""
        ...

    async def start(self, follower: Follower) -> None:
        """Begin to watch for moves."""
        ...

    async def stop(self) -> None:
        """Watch no more."""
        ...

    async def targets(self) -> tuple[Target, ...]:
        """What to try now, best first; never empty. Raises StoreError."""
        ...


class DirectEndpoints:
    """The addresses of the connection string."""

    moved_words: ClassVar[tuple[type[StoreReplyError], ...]] = (StoreReadOnly, StoreMasterDown)

    def __init__(self, options: LinkOptions, tls: TlsFiles | None = None, password: PasswordFile | None = None) -> None:
        self._options = options
        self._tls, self._password = tls, password

    async def start(self, follower: Follower) -> None:
        """Fixed addresses do not move."""

    async def stop(self) -> None:
        """Nothing runs."""

    async def targets(self) -> tuple[Target, ...]:
        """See :class:`EndpointProvider`."""
        return await as_of_now(self._options.targets(), self._tls, self._password)


async def as_of_now(
    targets: tuple[Target, ...], tls: TlsFiles | None, password: PasswordFile | None
) -> tuple[Target, ...]:
    """The targets with the TLS context and password of this moment; each twice while there are two passwords.

    Raises StoreTlsFailed when the files allow no context.
    """
    if tls is not None:
        context = await tls.current()
        targets = tuple(replace(target, ssl=context) for target in targets)
    if password is not None:
        secrets = await password.candidates()
        targets = tuple(replace(target, password=secret) for target in targets for secret in secrets)
    return targets
