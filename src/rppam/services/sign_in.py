"""Signing in: may this be tried, is the password right, is a second factor asked for, and then a session begins.

Decides the order. Each try is let in and settled by the guard exactly once: it counts when the password was wrong, and
costs nothing when it was right or when nobody could tell. What the password is worth is decided by the accounts.
"""

from rppam.domain.errors.accounts import InvalidCredentials
from rppam.domain.secret import Secret
from rppam.ports.guard import LoginGuard
from rppam.ports.login import Login
from rppam.ports.second_factor import SecondFactor, SecondStep
from rppam.services.sessions import Caller, Sessions
from rppam.services.tokens import IssuedToken


class SignIn:
    """See the module."""

    def __init__(self, accounts: Login, guard: LoginGuard, second_factor: SecondFactor, sessions: Sessions) -> None:
        self._accounts, self._guard, self._second_factor = accounts, guard, second_factor
        self._sessions = sessions

    async def login(self, username: str, password: Secret, caller: Caller) -> IssuedToken | SecondStep:
        """A token, or what the second step needs.

        Raises :class:`InvalidCredentials`, :class:`~rppam.domain.errors.request.RateLimitedError`,
        :class:`~rppam.domain.errors.accounts.Overloaded`, or a ``DatabaseError`` when nobody can tell.
        """
        attempt = await self._guard.enter(username, caller.client)
        try:
            account = await self._accounts.login(username, password, caller.client)
        except InvalidCredentials:
            await attempt.failed()
            raise
        except BaseException:
            await attempt.abandoned()
            raise
        await attempt.succeeded()
        pending = await self._second_factor.begin(account, caller.client)
        if pending is not None:
            return pending
        return await self._sessions.open(account, caller, mfa=False)
