"""The cluster's authority for SSH: makes and changes its keys, signs for sessions and users, and says what counts.

Its keys lie sealed in SQL as the gateway's host keys do, and are opened where something is signed. A certificate for a
session is for a key that was made for it, in the memory of the gateway alone, and counts for minutes.
"""

import secrets
from collections.abc import Collection
from typing import Final

from rppam.crypto.data_keys import DataKeys
from rppam.gateway.authority_store import SqlAuthority
from rppam.gateway.certificates import (
    OWN_PREFIX,
    SERIAL_BITS,
    SESSION_EXTENSIONS,
    USER_EXTENSIONS,
    AuthorityKey,
    Certified,
    State,
    Trust,
    fingerprint_of,
    new_key,
    signed,
)
from rppam.gateway.errors import AuthorityState, CertificateInvalid
from rppam.gateway.krl import RevokedKind, sorted_out, written
from rppam.gateway.policy import CertificatePolicy
from rppam.gateway.revocations_store import SqlRevocations
from rppam.kernel.clock import Clock

_COUNTS: Final = frozenset({State.ACTIVE, State.PREVIOUS})


class Authority:
    """See the module."""

    def __init__(self, store: SqlAuthority, revocations: SqlRevocations, keys: DataKeys, clock: Clock) -> None:
        self._store, self._revocations, self._keys, self._clock = store, revocations, keys, clock

    @property
    def now_s(self) -> int:
        """What certificates are judged by."""
        return self._clock.wall_ms() // 1000

    async def keys(self) -> list[AuthorityKey]:
        """All, the oldest first."""
        return await self._store.keys()

    async def make(self) -> AuthorityKey:
        """A new key. Raises :class:`~rppam.gateway.errors.AuthorityState`."""
        private, public, fingerprint = new_key()
        sealed = await self._keys.seal(private, _place(fingerprint))
        return await self._store.make(public, fingerprint, sealed)

    async def activate(self, number: int) -> AuthorityKey:
        """Raises as :meth:`SqlAuthority.activate`."""
        return await self._store.activate(number)

    async def retire(self, number: int) -> AuthorityKey:
        """Raises as :meth:`SqlAuthority.retire`."""
        return await self._store.retire(number)

    async def trust(self, policy: CertificatePolicy) -> Trust:
        """Whose certificates of users count; what the authority itself has revoked: :meth:`with_revoked`."""
        own = frozenset(one.fingerprint for one in await self._store.keys() if one.state in _COUNTS)
        others = frozenset(fingerprint_of(line) for line in policy.trusted)
        return Trust(own, others, frozenset(word for _, word in sorted_out(policy.revoked)))

    async def with_revoked(self, trust: Trust, *words: str) -> Trust:
        """``trust`` with what the authority has revoked of ``words``: serial numbers, key ids, fingerprints.

        Anybody can have that asked who has not logged in, so it costs the same however much is revoked.
        """
        found = await self._revocations.words(words)
        return trust._replace(revoked_own=frozenset((kind.value, word) for kind, word in found))

    async def krl(self, policy: CertificatePolicy) -> bytes:
        """What is revoked, as sshd reads it."""
        now_ms, revoked = await self._revocations.now()
        return written(await self._store.keys(), revoked, sorted_out(policy.revoked), now_ms)

    async def active(self) -> AuthorityKey | None:
        """The key that signs; ``None``: there is none yet."""
        return next((one for one in await self._store.keys() if one.state is State.ACTIVE), None)

    async def for_session(
        self, key: AuthorityKey, session: str, user: str, account: str, minutes: int, source: str, more: Collection[str]
    ) -> Certified:
        """A certificate for one session with ``account``, and the key that it is for; ``more``: extensions besides."""
        private, public, _ = new_key()
        made = signed(
            await self._keys.unseal(key.sealed, _place(key.fingerprint)),
            public,
            serial=secrets.randbits(SERIAL_BITS),
            key_id=f"rppam {session} {user}",
            principal=account,
            now_s=self.now_s,
            minutes=minutes,
            extensions={*SESSION_EXTENSIONS, *more},
            source=source,
        )
        return made._replace(private_key=private)

    async def for_user(self, public: str, name: str, minutes: int, epoch: int) -> Certified:
        """A certificate by which ``name`` logs in to the gateway, until log-ins of that ``epoch`` are ended. Raises
        :class:`~rppam.gateway.errors.CertificateInvalid`, :class:`~rppam.gateway.errors.AuthorityState`."""
        key = await self.active()
        if key is None:
            raise AuthorityState("there is no authority yet; `rppam ca create` makes one")
        if not minutes:
            raise CertificateInvalid("the setting access/certificates has none signed for users ('userMinutes' is 0)")
        key_id, fingerprint = f"rppam user {name}", fingerprint_of(public)
        mine = {(RevokedKind.KEY_ID, key_id), (RevokedKind.KEY, fingerprint)}
        if await self._revocations.words((key_id, fingerprint)) & mine:
            raise CertificateInvalid("this key, or all that is signed for this user, is revoked")
        return signed(
            await self._keys.unseal(key.sealed, _place(key.fingerprint)),
            public,
            serial=secrets.randbits(SERIAL_BITS),
            key_id=key_id,
            principal=OWN_PREFIX + name,
            now_s=self.now_s,
            minutes=minutes,
            extensions=USER_EXTENSIONS,
            epoch=epoch,
        )


def _place(fingerprint: str) -> str:
    return f"the SSH authority {fingerprint}"
