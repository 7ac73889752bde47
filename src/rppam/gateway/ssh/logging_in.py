"""Logging in at the gateway on one connection: the banner, the factors one after the other, and how often one may try.

Guesses and key probes are counted; after :data:`TRIES_MAX` the connection is closed. A second factor is a code, or an
approval in the browser (:mod:`~rppam.gateway.ssh.in_browser`). What it does not decide: where somebody may go then.
"""

import contextlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import asyncssh

from rppam.access.accounts.errors import InvalidCredentials
from rppam.access.accounts.model import Account
from rppam.access.mfa.errors import CodeWrong, MfaTokenInvalid
from rppam.access.mfa.model import SecondStep
from rppam.db.errors import DatabaseError
from rppam.gateway.errors import HardwareKeyNeeded, NameUnfit, SecondFactorNotEnrolled
from rppam.gateway.names import Wanted, checked
from rppam.gateway.policy import HARDWARE_ALLOWED, HARDWARE_PIN
from rppam.gateway.ssh import forwards
from rppam.gateway.ssh.certified import certified, keyed
from rppam.gateway.ssh.chained_login import IN_HARDWARE, PIN_GIVEN, Limits, hold_to
from rppam.gateway.ssh.channel import one_line
from rppam.gateway.ssh.gate import Gate
from rppam.gateway.ssh.in_browser import InBrowser, let_go
from rppam.gateway.ssh.wire import quicken
from rppam.gateway.ssh_tokens_store import PREFIX
from rppam.kernel.actor import Actor, ActorKind
from rppam.kernel.errors import RppamError
from rppam.kernel.secret import Secret
from rppam.ledger.model import Entity

TRIES_MAX: Final = 6
PROBES_MAX: Final = 20
"""Keys that are shown, each once to ask and once signed; an agent may hold several."""
NAMES_MAX: Final = 6
"""User names on one connection: each is looked up."""
_PASSWORD, _CODE, _ENTER = "Password: ", "Code: ", "Enter, once it is approved: "


class How(NamedTuple):
    """How somebody logs in."""

    facts: Mapping[str, str]
    """For the ledger."""
    line: bytes = b""
    """The key or certificate that was shown, as OpenSSH writes it."""
    limits: Limits | None = None
    """What its certificate holds them to; ``None``: it was by none."""


_BY_PASSWORD: Final = How({"how": "password"})


class LoggingIn(forwards.Forwarding):
    """See the module."""

    def __init__(self, gate: Gate, client: str) -> None:
        """``client``: the user's address."""
        self.gate, self._client = gate, client
        self._wanted = Wanted("")
        self._account: Account | None = None
        self._pending: Secret | None = None
        """The password was right; this stands for the code that has to follow."""
        self._candidate: tuple[Account, How] | None = None
        """Whose key or certificate was shown last, and which; it may be anybody who shows it."""
        self._how = _BY_PASSWORD
        self._tries = self._probes = self._names = 0
        self._browser: InBrowser | None = None
        self._has_code = True
        """The account has something that shows codes."""
        self._has_mfa = self._gone = False

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._conn = conn
        quicken(conn)

    def hang_up(self, text: str) -> None:
        """Close the connection with a reason that the user's client shows."""
        if not self._gone:
            with contextlib.suppress(OSError):
                self._conn.disconnect(asyncssh.DISC_BY_APPLICATION, text[:250])

    def _say(self, text: str) -> None:
        """Have the user's client show something before the log-in is over."""
        with contextlib.suppress(OSError):
            self._conn.send_auth_banner(text)

    async def begin_auth(self, username: str) -> bool:
        # A client may name another user after a first factor: nothing that was proved for the one before counts.
        self._names += 1
        if self._names > NAMES_MAX:
            self.hang_up("RP-PAM: too many user names were tried on one connection")
            return True
        browser, self._browser = self._browser, None
        await let_go(browser)
        self._account = self._pending = self._candidate = None
        self._how, self._has_mfa = _BY_PASSWORD, False
        if self.gate.draining:
            self.hang_up(f"RP-PAM: no new session is taken: {self.gate.draining}")
            return True
        if banner := self.gate.policy.banner:
            self._say("".join(f"{line}\r\n" for line in banner))
        try:
            self._wanted = await self.gate.login.meant(checked(username))
        except (DatabaseError, NameUnfit) as error:
            self.hang_up(f"RP-PAM: {one_line(error)}")
        return True  # never False, which would mean that nothing has to be proved

    def needs_second(self) -> bool:
        """Whether another factor has to follow, see :mod:`~rppam.gateway.ssh.chained_login`."""
        return self._pending is not None

    def password_auth_supported(self) -> bool:
        return self.gate.policy.takes_passwords and self._pending is None

    def kbdint_auth_supported(self) -> bool:
        return self.gate.policy.takes_passwords or self._pending is not None

    def public_key_auth_supported(self) -> bool:
        return self.gate.policy.key_login and self._pending is None

    async def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Whether the user has this key. It is asked before there is a signature: nothing is proved by it."""
        if not self._may_show():
            return False
        line = key.export_public_key().decode()
        with contextlib.suppress(DatabaseError):
            found = await keyed(self.gate, lambda: self._conn, self._wanted, line, self._client)
            if found and self._is_hard_enough(line.split()[0]):
                self._candidate = found[0], How(found[1], line.encode())
        return self._candidate is not None

    async def certificate_shown(self, line: bytes) -> bool:
        """See :class:`~rppam.gateway.ssh.chained_login.Owner`."""
        if not self._may_show():
            return False
        with contextlib.suppress(DatabaseError):
            found = await certified(self.gate, self._conn, self._wanted, line, self._client)
            if found and self._is_hard_enough(line.split()[0].decode()):
                self._candidate = found[0], How(found[1], line)
        return self._candidate is not None

    def _is_hard_enough(self, type_: str) -> bool:
        """Whether a key of this type is taken; else the user is told why."""
        if self.gate.policy.hardware_keys == HARDWARE_ALLOWED or type_.startswith(IN_HARDWARE):
            return True
        self._refuse_key("only keys that are kept in hardware are taken here, and this one is not")
        return False

    def _refuse_key(self, why: str) -> None:
        self._say(f"RP-PAM: {one_line(HardwareKeyNeeded(why))}\r\n")

    def _may_show(self) -> bool:
        """Count a key or certificate that is shown."""
        self._candidate = None
        self._probes += 1
        if self._probes > PROBES_MAX:
            self.hang_up("RP-PAM: too many keys were tried on one connection; name one with -i")
        return self._probes <= PROBES_MAX

    async def key_proved(self, flags: int, limits: Limits | None) -> bool:
        """See :class:`~rppam.gateway.ssh.chained_login.Owner`."""
        shown, self._candidate = self._candidate, None
        if shown is None or not self.gate.policy.key_login:
            return False
        if self.gate.policy.hardware_keys == HARDWARE_PIN and not flags & PIN_GIVEN:
            self._refuse_key("the hardware that has this key has to ask for its PIN, and did not")
            return False
        try:
            found = await self.gate.login.admit(shown[0], self._client)
        except RppamError as error:
            self.hang_up(f"RP-PAM: {one_line(error)}")
            return False
        self._how = shown[1]._replace(limits=limits)
        return await self._taken(found)

    async def validate_password(self, username: str, password: str) -> bool:
        return await self._password(password)

    async def get_kbdint_challenge(
        self, username: str, lang: str, submethods: str
    ) -> tuple[str, str, str, list[tuple[str, bool]]]:
        return await self._second_asked() if self._pending else ("", "", "", [(_PASSWORD, False)])

    async def _second_asked(self) -> tuple[str, str, str, list[tuple[str, bool]]]:
        """What asks for a code, or for an approval in the browser."""
        policy = self.gate.policy
        if self._browser is None and policy.browser_login:
            self._browser = await InBrowser.ask(self.gate.login, self._wanted, self._client)
        if self._browser is None:
            return ("", "", "", [(_CODE, True)])
        said = self._browser.instruction(policy, has_code=self._has_code)
        return ("", said, "", [(_CODE if self._has_code else _ENTER, True)])

    async def validate_kbdint_response(self, username: str, responses: Any) -> Any:
        if len(responses) != 1:
            return False
        if self._pending is not None:
            return await self._code(responses[0])
        if not await self._password(responses[0]):
            return False
        return await self._second_asked() if self.needs_second() else True

    async def _password(self, password: str) -> bool:
        """Whether it is right; a code may still have to follow."""
        if not self.gate.policy.takes_passwords or not self._may_try():
            return False
        try:
            found = await self._once(Secret(password)) if password.startswith(PREFIX) else None
            if found is None and not self.gate.policy.password_login:
                return False
            if found is None:  # what is no token, or none any more, counts as a guess
                found = await self.gate.login.password(self._wanted.user, Secret(password), self._client)
                self._how = _BY_PASSWORD  # and by no certificate whose second factor came too late
        except InvalidCredentials:
            return False
        except RppamError as error:  # locked, overloaded, or nobody can tell
            self.hang_up(f"RP-PAM: {one_line(error)}")
            return False
        return await self._taken(found)

    async def _once(self, token: Secret) -> Account | SecondStep | None:
        """Who comes in by a one-time token."""
        if not self.gate.policy.token_login:
            return None
        used = await self.gate.login.once(self._wanted, token, self._client)
        if used is None:
            return None
        self._wanted, self._how, self._has_mfa = used.wanted, How({"how": "token"}), used.mfa
        return used.found

    async def _taken(self, found: Account | SecondStep) -> bool:
        """Take what the first factor has shown; false where nothing can follow it."""
        if not isinstance(found, SecondStep):
            return await self._enters(found)
        self._has_code = found.enrolled
        if not found.enrolled and not self.gate.policy.browser_login:
            self.hang_up(f"RP-PAM: {one_line(SecondFactorNotEnrolled('a second factor is required'))}")
            return False
        self._pending = found.token
        return True

    async def _code(self, code: str) -> bool:
        assert self._pending is not None
        if not self._may_try():
            return False
        token, self._pending = self._pending, None
        browser, self._browser = self._browser, None
        try:
            if browser is not None and not code.strip():
                account = await browser.approved(self._conn, lambda: self._gone)
                self._how = self._how._replace(facts={**self._how.facts, "approved": "browser"})
            else:
                account = await self.gate.login.code(token, code.strip(), self._client)
        except CodeWrong:
            self._pending, self._browser = token, browser
            return False
        except (MfaTokenInvalid, InvalidCredentials):
            return False
        except RppamError as error:
            self.hang_up(f"RP-PAM: {one_line(error)}")
            return False
        finally:
            if self._browser is None:
                await let_go(browser)
        self._has_mfa = True
        return await self._enters(account)

    async def _enters(self, account: Account) -> bool:
        """Record that somebody has logged in; false, and nobody has, where that cannot be."""
        actor = Actor(ActorKind.USER, account.id, account.name, "", self._client)
        how = self._how
        facts = {**how.facts, "secondFactor": self._has_mfa}
        try:
            await self.gate.store.note("access.login", Entity("user", account.id, account.name), actor, facts)
        except DatabaseError as error:
            self.hang_up(f"RP-PAM: {one_line(error)}")
            return False
        self._account = account
        hold_to(self._conn, how.limits)  # each request of a client to log in has asyncssh forget them
        return True

    def _may_try(self) -> bool:
        self._tries += 1
        if self._tries <= TRIES_MAX:
            return True
        self.hang_up("RP-PAM: too many tries on one connection")
        return False
