"""Every try is let in and none is counted (:class:`rppam.ports.guard.LoginGuard`)."""


class OpenAttempt:
    """One try; however it ends, nothing remembers it."""

    async def failed(self) -> None:
        """See the port."""

    async def succeeded(self) -> None:
        """See the port."""

    async def abandoned(self) -> None:
        """See the port."""


class OpenGuard:
    """See the module."""

    async def enter(self, username: str, client: str) -> OpenAttempt:  # noqa: ARG002  # the port's
        """Always."""
        return OpenAttempt()
