"""A second factor that is shown in the browser: the log-in waits until its user approves it in the console of any node.

Terminal and browser show the same phrase, so that nobody approves the log-in of somebody who knows the password alone.
It waits :data:`~rppam.gateway.browser_logins_store.WAITS_S`; what asyncssh and the listener allow for a log-in is
stretched by that, which only who has shown a first factor gets.
"""

import asyncio
import contextlib
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

from rppam.access.accounts.model import Account
from rppam.db.errors import DatabaseError
from rppam.gateway.browser_logins_store import WAITS_S, BrowserLogin
from rppam.gateway.errors import LoginUnknown
from rppam.gateway.names import Wanted
from rppam.gateway.policy import AccessPolicy
from rppam.gateway.ssh.login import GatewayLogin

LOOK_S: Final = 0.5
MARGIN_S: Final = 5.0
LIMIT: Final[ContextVar[asyncio.Timeout | None]] = ContextVar("limit", default=None)
"""What ends the connection of this task where nobody logs in."""


class InBrowser:
    """One log-in that may be approved so."""

    def __init__(self, login: GatewayLogin, account: Account, asked: BrowserLogin) -> None:
        self._login, self._account, self._asked = login, account, asked

    @classmethod
    async def ask(cls, login: GatewayLogin, wanted: Wanted, client: str) -> "InBrowser | None":
        """Have it wait for an approval; ``None`` where it cannot, and a code has to do."""
        try:
            account = await login.named(wanted.user)
            asked = account and await login.browser.ask(account, wanted.target, wanted.account, client)
        except DatabaseError:
            return None
        return cls(login, account, asked) if account and asked else None

    def instruction(self, policy: AccessPolicy, *, has_code: bool) -> str:
        """What the user reads before being asked."""
        where = "" if policy.console_url == "-" else f" ({policy.console_url.rstrip('/')}/console/#/account)"
        lead = "Give the code. Or sign in" if has_code else "Sign in"
        return (
            f"{lead} to the console{where}, and approve under My account the log-in with the phrase "
            f"{self._asked.phrase} within {WAITS_S // 60} min; then press Enter here."
        )

    async def approved(self, conn: Any, is_gone: Callable[[], bool]) -> Account:
        """The account, once its user has approved. Raises :class:`LoginUnknown` where that does not come to be,
        ``DatabaseError``."""
        conn._cancel_login_timer()
        if (limit := LIMIT.get()) is not None:
            limit.reschedule(asyncio.get_running_loop().time() + WAITS_S + MARGIN_S)
        while True:
            outcome = await self._login.browser.outcome(self._asked.id)
            if outcome.approved:
                return await self._login.unchanged(self._account)
            if outcome.refused:
                raise LoginUnknown("this log-in was refused in the browser")
            if not outcome.waits or is_gone():
                raise LoginUnknown(f"nobody approved this log-in within {WAITS_S} s")
            await asyncio.sleep(LOOK_S)

    async def withdraw(self) -> None:
        """Have it wait no more. Raises ``DatabaseError``."""
        await self._login.browser.withdraw(self._asked.id)


async def let_go(browser: InBrowser | None) -> None:
    """Offer nobody the approval of a log-in that is decided, or whose user has gone or goes on as another one: else a
    few of those would keep the next one from being offered."""
    if browser is not None:
        with contextlib.suppress(DatabaseError):
            await asyncio.shield(browser.withdraw())
