"""Somebody who is signed in while the test runs: an account of its own, for its time, without any rights.

Where the cluster asks everybody for a second factor, the account enrols one, as a person would.
"""

import base64
import secrets
from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from rppam.failover_test.client import CannotTestError, Cluster, sentence_of
from rppam.http.client import NoAnswerError
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock

SESSIONS: Final = 3
USERS: Final = "/api/v1/users"
LOGIN: Final = "/api/v1/auth/login"
MFA: Final = "/api/v1/auth/mfa"
_GONE: Final = ("RPPAM-3102", "RPPAM-3107")


class Person:
    """The account of a test."""

    def __init__(self, cluster: Cluster, test: str) -> None:
        self._cluster = cluster
        self.name: Final = f"failover-test-{test[:8]}"
        self.id = ""
        self._password = Secret(secrets.token_urlsafe(24))
        self._codes: list[str] = []
        """Backup codes, where the cluster asks everybody for a second factor."""

    async def make(self) -> None:
        """Make the account. Raises CannotTestError."""
        new = {
            "username": self.name,
            "displayName": "Failover test",
            "roles": ["pam_user"],
            "password": self._password.reveal(),
        }
        made = await self._cluster.order("POST", USERS, new, again=False)
        self.id = str(made.get("id", ""))

    async def sign_in(self) -> list[Secret]:
        """Some sessions, each through another entry. Raises CannotTestError."""
        urls = self._cluster.urls
        return [await self._session(urls[number % len(urls)]) for number in range(SESSIONS)]

    async def _session(self, url: str) -> Secret:
        said = await self._told(url, LOGIN, {"username": self.name, "password": self._password.reveal()})
        if said.get("mfaRequired") is True:
            said = await self._second(url, str(said.get("mfaToken")))
        token = said.get("accessToken")
        if not isinstance(token, str):
            raise CannotTestError(f"{url}: the account of the test signed in, and got no token")
        return Secret(token)

    async def _second(self, url: str, token: str) -> Mapping[str, Any]:
        if self._codes:
            return await self._told(url, f"{MFA}/challenge", {"mfaToken": token, "code": self._codes.pop()})
        begun = await self._told(url, f"{MFA}/enroll", {"mfaToken": token})
        code = _code(str(begun.get("secret")), int(begun.get("digits") or 6), int(begun.get("periodSeconds") or 30))
        made = await self._told(url, f"{MFA}/enroll", {"mfaToken": token, "code": code})
        self._codes = list(map(str, made.get("backupCodes") or ()))
        login = made.get("login")
        return login if isinstance(login, Mapping) else {}

    async def _told(self, url: str, path: str, body: Mapping[str, object]) -> Mapping[str, Any]:
        try:
            answer = await self._cluster.tell(url + path, body)
        except NoAnswerError as error:
            raise CannotTestError(f"{url}: nobody can sign in: {error}") from None
        if answer.status != 200 or not isinstance(answer.body, Mapping):
            raise CannotTestError(f"{url}: the account of the test cannot sign in: {sentence_of(answer)}")
        return answer.body


async def remove(cluster: Cluster, user: str) -> None:
    """Delete the account, and so end its sessions. Raises CannotTestError."""
    try:
        await cluster.order("DELETE", f"{USERS}/{user}")
    except CannotTestError as error:
        if not any(code in str(error) for code in _GONE):
            raise


def _code(secret: str, digits: int, period_s: int) -> str:
    """The code of an authenticator now (RFC 6238)."""
    totp = TOTP(base64.b32decode(secret), digits, SHA1(), period_s)  # noqa: S303 - what authenticators do (RFC 6238)
    return totp.generate(SystemClock().wall_ms() // 1_000).decode("ascii")
