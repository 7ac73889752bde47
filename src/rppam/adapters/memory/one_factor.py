"""The password is enough (:class:`rppam.ports.second_factor.SecondFactor`)."""

from rppam.domain.account import Account
from rppam.domain.secret import Secret


class OneFactor:
    """See the module."""

    async def begin(self, account: Account, client: str) -> Secret | None:  # noqa: ARG002  # the port's
        """Nothing more is asked for."""
        return None
