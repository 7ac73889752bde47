"""Passkeys: what an authenticator is asked, and whether its answer counts.

The site of a passkey is the host name of the page that added it, and its answers count for pages of that site alone: so
a page elsewhere that passes requests on gets nothing. Each question is good once, on any node. A log-in takes user
verification (PIN, finger, face), so it is both factors in one; as a second factor the touch is enough.

What it does not promise: that a passkey was kept from its owner's other machines; some are copied by their makers.
"""

import logging
import re
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rppam.access.accounts.model import Account
from rppam.access.accounts.service import NOT_FROM_HERE, publish_user
from rppam.access.accounts.store import SqlAccounts
from rppam.access.passkeys.errors import PasskeyRefused
from rppam.access.passkeys.store import Passkey, Question, Site, SqlPasskeys
from rppam.cache.ports import SharedCache
from rppam.kernel.instant import WallMs

if TYPE_CHECKING:
    from webauthn.helpers.structs import PublicKeyCredentialDescriptor

log = logging.getLogger("rppam.passkeys")

NAME: Final = "RP-PAM"
REGISTER, LOGIN, PROVE = "register", "login", "prove"
CHALLENGE_BYTES: Final = 32
_ID_CHARS_MAX: Final = 1_400
_ID: Final = re.compile(f"[0-9A-Za-z_-]{{1,{_ID_CHARS_MAX}}}")
"""Base64url: what else a stranger sends is not asked the database for, which might not even take it."""


class Asked(NamedTuple):
    """A question, and the options for ``navigator.credentials``."""

    id: str
    options: Mapping[str, Any]


class Passkeys:
    """See the module. Every call raises a ``DatabaseError`` when the database does not answer."""

    def __init__(self, store: SqlPasskeys, accounts: SqlAccounts, cache: SharedCache) -> None:
        self._store, self._accounts, self._cache = store, accounts, cache

    async def of_user(self, user_id: str) -> list[Passkey]:
        """Those of an account, the oldest first."""
        return await self._store.of_user(user_id)

    async def begin_adding(self, user_id: str, site: Site) -> Asked:
        """What a new passkey of an account is made of."""
        import webauthn  # noqa: PLC0415 - heavy, and rarely used
        from webauthn.helpers import options_to_json_dict  # noqa: PLC0415
        from webauthn.helpers.structs import AuthenticatorSelectionCriteria, ResidentKeyRequirement  # noqa: PLC0415

        account = (await self._accounts.get(user_id)).account
        there = await self._store.of_user(user_id)
        question = await self._ask(user_id, REGISTER, site)
        options = webauthn.generate_registration_options(
            rp_id=site.rp_id,
            rp_name=NAME,
            user_id=user_id.encode(),
            user_name=account.name,
            user_display_name=account.display_name or account.name,
            challenge=question.challenge,
            exclude_credentials=_descriptors(there),
            authenticator_selection=AuthenticatorSelectionCriteria(resident_key=ResidentKeyRequirement.PREFERRED),
        )
        return Asked(question.id, options_to_json_dict(options))

    async def add(self, user_id: str, question_id: str, credential: Mapping[str, Any], name: str) -> Passkey:
        """Keep a new passkey. Raises :class:`PasskeyRefused`, ``PasskeyOver``, ``PasskeyTaken``."""
        import webauthn  # noqa: PLC0415
        from webauthn.helpers import bytes_to_base64url  # noqa: PLC0415
        from webauthn.helpers.exceptions import WebAuthnException  # noqa: PLC0415

        question = await self._store.take(question_id, user_id, REGISTER)
        try:
            found = webauthn.verify_registration_response(
                credential=dict(credential),
                expected_challenge=question.challenge,
                expected_rp_id=question.site.rp_id,
                expected_origin=question.site.origin,
            )
        except (WebAuthnException, ValueError, KeyError, TypeError) as error:
            raise PasskeyRefused(f"the new passkey is not as asked for ({type(error).__name__})") from None
        ident = bytes_to_base64url(found.credential_id)
        if len(ident) > _ID_CHARS_MAX:
            raise PasskeyRefused("the new passkey's id is too long")
        new = Passkey(
            ident, user_id, name, question.site.rp_id, found.credential_public_key, found.sign_count, WallMs(0), None
        )
        return await self._store.add(new)

    async def begin_proving(self, user_id: str, site: Site) -> Asked:
        """What one of an account's passkeys has to sign, as a second factor."""
        there = [one for one in await self._store.of_user(user_id) if one.rp_id == site.rp_id]
        return await self._options(user_id, PROVE, site, there)

    async def begin_login(self, site: Site) -> Asked:
        """What any passkey of this site has to sign."""
        return await self._options("", LOGIN, site, [])

    async def prove(self, user_id: str, question_id: str, credential: Mapping[str, Any]) -> None:
        """Nothing where the answer is right. Raises :class:`PasskeyRefused`, ``PasskeyOver``."""
        question = await self._store.take(question_id, user_id, PROVE)
        passkey, count = await self._answered(question, credential, verified=False)
        if passkey.user_id != user_id:
            raise PasskeyRefused("it is a passkey of somebody else")
        await self._store.used(passkey, count)

    async def log_in(self, question_id: str, credential: Mapping[str, Any], client: str) -> Account:
        """The account whose passkey has signed; ``client`` is the caller's address.

        Raises :class:`PasskeyRefused`, ``PasskeyOver``.
        """
        question = await self._store.take(question_id, "", LOGIN)
        passkey, count = await self._answered(question, credential, verified=True)
        # Before the passkey is known to be there still: a session of an account as it was before a reset is not opened.
        account = (await self._accounts.get(passkey.user_id)).account
        if account.disabled:
            raise PasskeyRefused("the passkey opens nothing")
        if not account.may_log_in_from(client):
            await self._accounts.record_refusal(account, NOT_FROM_HERE)
            raise PasskeyRefused("the passkey opens nothing")
        await self._store.used(passkey, count)
        return account

    async def remove(self, user_id: str, ident: str) -> None:
        """Raises ``PasskeyUnknown``."""
        await self._store.remove(user_id, ident)

    async def reset(self, user_id: str, by: str) -> None:
        """Take all of an account away and end its sessions; ``by`` is who orders it. Raises ``UserUnknown``."""
        account = await self._store.reset(user_id)
        await publish_user(self._cache, account)
        log.warning("%s took all passkeys of %s away.", by, account.name)

    async def _ask(self, user_id: str, purpose: str, site: Site) -> Question:
        return await self._store.ask(user_id, purpose, secrets.token_bytes(CHALLENGE_BYTES), site)

    async def _options(self, user_id: str, purpose: str, site: Site, passkeys: list[Passkey]) -> Asked:
        import webauthn  # noqa: PLC0415
        from webauthn.helpers import options_to_json_dict  # noqa: PLC0415
        from webauthn.helpers.structs import UserVerificationRequirement  # noqa: PLC0415

        question = await self._ask(user_id, purpose, site)
        needed = UserVerificationRequirement.REQUIRED if purpose == LOGIN else UserVerificationRequirement.PREFERRED
        options = webauthn.generate_authentication_options(
            rp_id=site.rp_id,
            challenge=question.challenge,
            allow_credentials=_descriptors(passkeys),
            user_verification=needed,
        )
        return Asked(question.id, options_to_json_dict(options))

    async def _answered(
        self, question: Question, credential: Mapping[str, Any], *, verified: bool
    ) -> tuple[Passkey, int]:
        """The passkey that has signed, and how often it says that it has."""
        import webauthn  # noqa: PLC0415
        from webauthn.helpers.exceptions import WebAuthnException  # noqa: PLC0415

        ident = credential.get("id")
        passkey = await self._store.find(ident) if isinstance(ident, str) and _ID.fullmatch(ident) else None
        if passkey is None or passkey.rp_id != question.site.rp_id:
            raise PasskeyRefused("no account here has this passkey")
        try:
            found = webauthn.verify_authentication_response(
                credential=dict(credential),
                expected_challenge=question.challenge,
                expected_rp_id=passkey.rp_id,
                expected_origin=question.site.origin,
                credential_public_key=passkey.public_key,
                credential_current_sign_count=passkey.sign_count,
                require_user_verification=verified,
            )
        except (WebAuthnException, ValueError, KeyError, TypeError) as error:
            raise PasskeyRefused(f"the answer is not right ({type(error).__name__})") from None
        return passkey, found.new_sign_count


def _descriptors(passkeys: list[Passkey]) -> "list[PublicKeyCredentialDescriptor]":
    from webauthn.helpers import base64url_to_bytes  # noqa: PLC0415
    from webauthn.helpers.structs import PublicKeyCredentialDescriptor  # noqa: PLC0415

    return [PublicKeyCredentialDescriptor(id=base64url_to_bytes(one.id)) for one in passkeys]
