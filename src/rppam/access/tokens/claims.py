"""What an access token says, and whether what it says still holds: pure checks on values already verified as ours.

Decides: are all claims there, of the right type, for this issuer and audience, and valid now. Does not promise that the
token is genuine (the signature is checked in ``service``, first), nor that its session still holds
(:mod:`rppam.access.sessions.check`). Sources: RFC 7519 (JWT), RFC 9068 (access tokens), RFC 8725 (best practices).
"""

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from rppam.access.sessions.model import SessionKind
from rppam.http.token_flaws import TokenFlaw

LEEWAY_S: Final = 900
"""A token may come from a host whose clock is this far ahead. It never lengthens a life: ``exp`` has no leeway."""
LIFETIME_S_MAX: Final = 24 * 3600
"""No token lives longer than a day."""
BRIEF_S_MAX: Final = 300
"""Nor one that nothing is written down of longer than this: nobody can end it before its time."""
TEXT_MAX: Final = 256
ROLES_MAX: Final = 32

ADMIN: Final = "pam_admin"
"""The role that may see and change the cluster."""
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_MAX)]
_Time = Annotated[int, msgspec.Meta(gt=0, lt=2**40)]


class Claims(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    rename={
        "subject": "sub", "session": "sid", "token_id": "jti", "issued_at_s": "iat", "not_before_s": "nbf",
        "expires_at_s": "exp", "issuer": "iss", "audience": "aud",
    },
):  # fmt: skip
    """The claims of one access token, by the names of its JSON. Times are whole seconds since 1970 UTC."""

    subject: _Text
    """User name."""
    roles: Annotated[tuple[_Text, ...], msgspec.Meta(max_length=ROLES_MAX)]
    session: _Text
    """The session's own secret (``sid``), 256 random bits: the same for every token of one sign-in. The server keeps
    only a hash of it."""
    token_id: _Text
    """``jti``: unique for each token."""
    issued_at_s: _Time
    not_before_s: _Time
    expires_at_s: _Time
    issuer: _Text
    audience: _Text
    """By RFC 7519 it may be a list; ours never is, and one form fewer is one confusion fewer."""
    node: _Text
    """The node that issued it, for the log."""
    kind: SessionKind
    """Whether it was issued at sign-in, or on a host."""
    brief: bool = False
    """A command of this product made it on a node's host for itself, lets nobody see it, and ends within minutes:
    nothing is written down of its session. A release that does not know the claim takes it for any token of a host."""

    @property
    def is_admin(self) -> bool:
        return ADMIN in self.roles


_NAMES: Final = frozenset(Claims.__struct_encode_fields__) - {"brief"}


def session_id_of(claims: Claims) -> str:
    """The id by which the session of a host's token is listed: the token's own, in groups."""
    digits = claims.token_id
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))


def check_claims(payload: Mapping[str, object], *, issuer: str, audience: str, now_s: int) -> Claims | TokenFlaw:
    """The claims in ``payload`` when all of them hold at ``now_s``, else the first flaw found."""
    if missing := _NAMES.difference(payload):
        return TokenFlaw.SESSIONLESS if missing == {"kind"} else TokenFlaw.CLAIM_MISSING
    try:
        claims = msgspec.convert(payload, Claims)
    except msgspec.ValidationError:
        return TokenFlaw.CLAIM_SHAPE
    return _flaw(claims, issuer, audience, now_s) or claims


def _flaw(claims: Claims, issuer: str, audience: str, now_s: int) -> TokenFlaw | None:
    if claims.issuer != issuer:
        return TokenFlaw.ISSUER
    if claims.audience != audience:
        return TokenFlaw.AUDIENCE
    if claims.expires_at_s <= now_s:
        return TokenFlaw.EXPIRED
    if max(claims.not_before_s, claims.issued_at_s) > now_s + LEEWAY_S:
        return TokenFlaw.EARLY
    is_brief = claims.brief
    if claims.expires_at_s - claims.issued_at_s > (BRIEF_S_MAX if is_brief else LIFETIME_S_MAX):
        return TokenFlaw.LIFETIME
    if is_brief and claims.kind is not SessionKind.HOST:
        return TokenFlaw.CLAIM_SHAPE
    return None
