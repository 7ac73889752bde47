"""The second factor: who is asked for one, and whether a code is worth something.

A code counts once in the whole cluster, and on any node: a log-in between password and code lies in SQL. Every guess
passes the guard of log-ins, so that guessing codes locks an account like guessing passwords, and guessing tokens of
log-ins locks an address. What a code is good for beside signing in: a step up of a session, new backup codes, and
taking the second factor away. What it does not promise: a way in without both phone and backup codes; an administrator
resets the factor (:meth:`SecondFactors.reset`).
"""

import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from rppam.access.accounts.model import Account
from rppam.access.accounts.service import publish_user
from rppam.access.lockouts.guard import Guard
from rppam.access.mfa.errors import (
    CodeNotTaken,
    CodeWrong,
    FactorNotShown,
    MfaDisabled,
    MfaEnrolled,
    MfaNotEnrolled,
    MfaRequired,
    MfaTokenInvalid,
)
from rppam.access.mfa.model import (
    BackupProof,
    Enrolment,
    Factor,
    MfaRequirement,
    Pending,
    Proof,
    SecondStep,
    TotpProof,
    is_required,
)
from rppam.access.mfa.one_time_codes import (
    backup_hash,
    base32,
    enrolment_text,
    is_backup,
    new_backup_codes,
    new_enrolment,
    otpauth_uri,
    read_enrolment,
    step_of,
)
from rppam.access.mfa.policy import MFA, MfaPolicy
from rppam.access.mfa.store import SqlFactors
from rppam.access.sessions.model import token_hash
from rppam.cache.ports import SharedCache
from rppam.crypto.data_keys import DataKeys
from rppam.crypto.errors import SealBroken
from rppam.db.errors import DatabaseError
from rppam.kernel.secret import Secret
from rppam.settings.hot import LiveSettings

log: Final = logging.getLogger("rppam.mfa")
audit: Final = logging.getLogger("rppam.audit")

TOKEN_BYTES: Final = 32
CLIENT_CHARS_MAX: Final = 64
_Use = Callable[[Proof], Awaitable[bool | None]]


class Proposal(NamedTuple):
    """What an authenticator has to be given; nothing is in force yet."""

    secret: Secret
    uri: Secret
    digits: int
    period_s: int


class Standing(NamedTuple):
    enrolled: bool
    required: bool
    codes_left: int


class SecondFactors:
    """See the module. Every call raises a ``DatabaseError`` when the database does not answer; those that take a code
    or the token of a log-in raise :class:`~rppam.http.errors.RateLimitedError` after too many wrong ones."""

    def __init__(
        self, store: SqlFactors, keys: DataKeys, settings: LiveSettings, guard: Guard, cache: SharedCache
    ) -> None:
        self._store, self._keys, self._settings, self._guard, self._cache = store, keys, settings, guard, cache

    async def begin(self, account: Account, client: str) -> SecondStep | None:
        """What the second step needs when ``account`` has to give a second factor; ``None`` when it need not.

        The step may be done on every node of the cluster. ``client`` is the caller's address.
        """
        requirement = (await self._policy()).requirement
        if requirement is MfaRequirement.DISABLED or not (account.has_mfa or is_required(requirement, account.roles)):
            return None
        token = secrets.token_urlsafe(TOKEN_BYTES)
        await self._store.begin(Pending(token_hash(token), account.id, account.auth_epoch, client[:CLIENT_CHARS_MAX]))
        return SecondStep(Secret(token), account.has_mfa)

    async def challenge(self, token: Secret, code: str, client: str) -> Account:
        """The account whose log-in ``code`` completes; a session of it may begin.

        Raises :class:`CodeWrong`, :class:`MfaTokenInvalid`, :class:`MfaNotEnrolled` when one has to be enrolled first.
        """
        hashed = token_hash(token.reveal())
        factor = await self._login(hashed, client)
        if factor.sealed is None:
            raise MfaNotEnrolled("this account has to enrol a second factor first")
        async with self._trying(factor, client, CodeWrong):
            await self._guess(hashed)
            proof = await self._proof(factor, code)
            if proof is None or not await self._store.complete(hashed, factor.account.id, proof):
                raise CodeWrong
        log.info("Second factor of %s accepted from %s.", factor.account.name, client)
        return factor.account

    async def propose(self, user_id: str) -> Proposal:
        """Begin an enrolment: a new secret for an authenticator. An earlier one that was not confirmed is forgotten.

        Raises :class:`MfaEnrolled`, :class:`MfaDisabled`, ``SealingKeyMissing``.
        """
        policy = await self._policy()
        self._check_on(policy)
        account = (await self._store.read(user_id)).account
        enrolment = new_enrolment(policy.totp_digits, policy.totp_period_seconds)
        sealed = await self._keys.seal(enrolment_text(enrolment), _place(user_id))
        if not await self._store.propose(user_id, sealed):
            raise MfaEnrolled("the account has a second factor already")
        uri = otpauth_uri(enrolment, account.name, policy.totp_issuer)
        return Proposal(base32(enrolment), uri, enrolment.digits, enrolment.period_s)

    async def confirm(self, user_id: str, code: str, client: str) -> list[Secret]:
        """Put the begun enrolment in force by its first code; the backup codes, which are never shown again.

        Raises :class:`CodeNotTaken`, :class:`MfaNotEnrolled` when none was begun, :class:`MfaEnrolled`,
        :class:`MfaDisabled`.
        """
        self._check_on(await self._policy())
        return await self._confirm(await self._store.read(user_id), code, client, None, CodeNotTaken)

    async def propose_at_login(self, token: Secret, client: str) -> Proposal:
        """As :meth:`propose`, for a log-in that may not go on without.

        Raises :class:`MfaTokenInvalid` as well, and :class:`FactorNotShown` where the account has a passkey: whoever
        knows the password must not put an authenticator of their own beside it.
        """
        factor = await self._login(token_hash(token.reveal()), client)
        if factor.sealed is None and await self._store.has_any(factor.account.id):
            raise FactorNotShown("this account has a passkey, and asks for it")
        return await self.propose(factor.account.id)

    async def confirm_at_login(self, token: Secret, code: str, client: str) -> tuple[Account, list[Secret]]:
        """As :meth:`confirm`; it completes the log-in. Raises :class:`MfaTokenInvalid`, :class:`CodeWrong`."""
        hashed = token_hash(token.reveal())
        factor = await self._login(hashed, client)
        return factor.account, await self._confirm(factor, code, client, hashed, CodeWrong)

    async def prove(self, user_id: str, code: str, client: str) -> None:
        """Nothing when ``code`` is good; it is used up. Raises :class:`CodeNotTaken`, :class:`MfaNotEnrolled`."""
        await self._prove(user_id, code, client, lambda proof: self._store.use(user_id, proof))

    async def new_codes(self, user_id: str, code: str, client: str) -> list[Secret]:
        """New backup codes in the place of all others. Raises :class:`CodeNotTaken`, :class:`MfaNotEnrolled`."""
        codes = new_backup_codes((await self._policy()).backup_code_count)
        hashes = _hashes(user_id, codes)
        account = await self._prove(
            user_id, code, client, lambda proof: self._store.replace_codes(user_id, proof, hashes)
        )
        audit.info("%s made new backup codes from %s.", account.name, client)
        return codes

    async def disable(self, user_id: str, code: str, client: str) -> None:
        """Take the own second factor away.

        Raises :class:`CodeNotTaken`, :class:`MfaNotEnrolled`, :class:`MfaRequired`.
        """
        account = (await self._store.read(user_id)).account
        if is_required((await self._policy()).requirement, account.roles):
            raise MfaRequired(f"the account {account.name} may not be without a second factor")

        async def remove(proof: Proof) -> bool:
            changed = await self._store.remove(user_id, proof)
            if changed is not None:
                await publish_user(self._cache, changed)
            return changed is not None

        await self._prove(user_id, code, client, remove)
        log.warning("%s took away the own second factor from %s.", account.name, client)

    async def reset(self, user_id: str, by: str) -> None:
        """Take away an account's lost second factor and end its sessions; ``by`` is who orders it."""
        account = await self._store.remove(user_id, None)
        assert account is not None  # no proof, so none was used already
        await publish_user(self._cache, account)
        log.warning("%s reset the second factor of %s.", by, account.name)

    async def check_shown(self, user_id: str, *, mfa: bool) -> None:
        """Let nobody change how an account signs in whose log-in did not show the factor that it has.

        ``mfa``: the log-in did. Raises :class:`FactorNotShown`.
        """
        if mfa or (await self._policy()).requirement is MfaRequirement.DISABLED:
            return
        if await self._store.has_any(user_id):
            raise FactorNotShown("this account has a second factor, which this log-in did not show")

    async def standing(self, user_id: str) -> Standing:
        factor = await self._store.read(user_id)
        required = is_required((await self._policy()).requirement, factor.account.roles)
        return Standing(factor.sealed is not None, required, await self._store.codes_left(user_id))

    async def _policy(self) -> MfaPolicy:
        # Asked for, not guessed: a default in place of a policy that cannot be read would let somebody in.
        return (await self._settings.get(MFA)).value

    @staticmethod
    def _check_on(policy: MfaPolicy) -> None:
        if policy.requirement is MfaRequirement.DISABLED:
            raise MfaDisabled("the setting security/mfa has mfaRequirement 'disabled'")

    async def _login(self, hashed: str, client: str) -> Factor:
        """What a log-in is about. Tokens that somebody made up count for the lockout of the address like wrong
        passwords, so that many of them are refused before anything is read."""
        self._guard.refuse_known(client)
        factor = await self._store.find(hashed)
        if factor is None:
            await self._guard.count_stranger(client)
            raise MfaTokenInvalid
        return factor

    async def _guess(self, hashed: str) -> None:
        if not await self._store.guess(hashed):
            raise MfaTokenInvalid

    async def _confirm(
        self, factor: Factor, code: str, client: str, login: str | None, wrong: type[CodeWrong | CodeNotTaken]
    ) -> list[Secret]:
        user_id, pending = factor.account.id, factor.pending
        if factor.sealed is not None:
            raise MfaEnrolled("the account has a second factor already")
        if pending is None:
            raise MfaNotEnrolled("the enrolment was not begun: ask without a code first")
        codes = new_backup_codes((await self._policy()).backup_code_count)
        async with self._trying(factor, client, wrong):
            if login is not None:
                await self._guess(login)
            step = step_of(await self._enrolment(user_id, pending), code, factor.now, after=-1)
            if step is None:
                raise wrong
            changed = await self._store.confirm(user_id, pending, step, _hashes(user_id, codes), login)
            if changed is None:
                raise wrong
            await publish_user(self._cache, changed)
        log.warning("%s enrolled a second factor from %s.", factor.account.name, client)
        return codes

    async def _prove(
        self, user_id: str, code: str, client: str, use: Callable[[Proof], Awaitable[bool | None]]
    ) -> Account:
        factor = await self._store.read(user_id)
        if factor.sealed is None:
            raise MfaNotEnrolled("the account has no second factor")
        async with self._trying(factor, client, CodeNotTaken):
            proof = await self._proof(factor, code)
            if proof is None or not await use(proof):
                raise CodeNotTaken
        return factor.account

    @asynccontextmanager
    async def _trying(self, factor: Factor, client: str, wrong: type[CodeWrong | CodeNotTaken]) -> AsyncIterator[None]:
        """One guess of a code, behind the guard."""
        try:
            async with self._guard.trying(factor.account.name, client, wrong):
                yield
        except wrong:
            try:
                await self._store.record_refusal(factor.account)
            except DatabaseError as error:
                log.error("A refused code could not be recorded: %s", error)  # noqa: TRY400 - the cause is in it
            log.warning("A code of %s from %s was refused.", factor.account.name, client)
            raise

    async def _proof(self, factor: Factor, code: str) -> Proof | None:
        """What ``code`` proves, if it has not been used meanwhile."""
        user_id, sealed = factor.account.id, factor.sealed
        assert sealed is not None
        if is_backup(code):
            return BackupProof(backup_hash(user_id, code))
        step = step_of(await self._enrolment(user_id, sealed), code, factor.now, after=factor.step)
        return None if step is None else TotpProof(sealed, step)

    async def _enrolment(self, user_id: str, sealed: str) -> Enrolment:
        try:
            return read_enrolment(await self._keys.unseal(sealed, _place(user_id)))
        except (ValueError, KeyError, TypeError) as error:
            raise SealBroken(f"the second factor of {user_id} is not readable ({type(error).__name__})") from None


def _place(user_id: str) -> str:
    """Where an enrolment belongs: sealed for one account, it opens for no other."""
    return f"the second factor of {user_id}"


def _hashes(user_id: str, codes: list[Secret]) -> list[str]:
    return [backup_hash(user_id, code.reveal()) for code in codes]
