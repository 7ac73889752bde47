"""Signing in: may this be tried, is the password right, is a second factor asked for, and then a session begins.

Decides the order. Each try is let in and settled by the guard exactly once: it counts when the password was wrong, and
costs nothing when it was right or when nobody could tell. What the password is worth is decided by the accounts.
"""

from rppam.access.accounts import InvalidCredentials, Login
from rppam.access.lockouts import LoginGuard
from rppam.access.mfa import SecondFactor, SecondStep
from rppam.access.sessions.service import Caller, Sessions
from rppam.access.tokens import IssuedToken
from rppam.kernel.secret import Secret


class SignIn:
    """See the module."""

    def __init__(self, accounts: Login, guard: LoginGuard, second_factor: SecondFactor, sessions: Sessions) -> None:
        self._accounts, self._guard, self._second_factor = accounts, guard, second_factor
        self._sessions = sessions

    async def login(self, username: str, password: Secret, caller: Caller) -> IssuedToken | SecondStep:
        """A token, or what the second step needs.

        Raises :class:`InvalidCredentials`, :class:`~rppam.http.errors.RateLimitedError`,
        :class:`~rppam.access.accounts.errors.Overloaded`, or a ``DatabaseError`` when nobody can tell.
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
