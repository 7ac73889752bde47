"""Who may try to sign in: stands before every check of a password or a code."""

from typing import Protocol


class Attempt(Protocol):
    """One try that was let in. Exactly one of these is called, once it is over."""

    async def failed(self) -> None:
        """The password or code was wrong: it counts."""
        ...

    async def succeeded(self) -> None:
        """It was right: it costs nothing."""
        ...

    async def abandoned(self) -> None:
        """Nobody can tell (overload, no database): it costs nothing."""
        ...


class LoginGuard(Protocol):
    """Counts wrong guesses for the whole cluster, by user name and by address."""

    async def enter(self, username: str, client: str) -> Attempt:
        """Let one try in; it is charged until it is over, so that guesses in parallel are counted, too.

        ``username`` as typed, known or not; ``client`` is the caller's address. Raises
        :class:`~rppam.http.errors.RateLimitedError` when there were too many wrong ones.
        """
        ...

    def refuse_known(self, client: str) -> None:
        """Nothing, or a ``RateLimitedError`` when this process knows that the address is locked.

        Asks nobody, so a flood from such an address costs nothing.
        """
        ...

    async def count_stranger(self, client: str) -> None:
        """Count a wrong try that names no user against its address alone. Raises a ``RateLimitedError`` as
        :meth:`enter`."""
        ...
