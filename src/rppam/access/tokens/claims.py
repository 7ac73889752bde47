"""What an access token says, and whether what it says still holds: pure checks on values already verified as ours.

Decides: are all claims there, of the right type, for this issuer and audience, and valid now. Does not promise that the
token is genuine (the signature is checked in ``service``, first), nor that its session still holds
(:mod:`rppam.access.sessions.check`). Sources: RFC 7519 (JWT), RFC 9068 (access tokens), RFC 8725 (best practices).
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from rppam.access.sessions import SessionKind
from rppam.http.token_flaws import TokenFlaw

LEEWAY_S: Final = 900
"""A token may come from a host whose clock is this far ahead. It never lengthens a life: ``exp`` has no leeway."""
LIFETIME_S_MAX: Final = 24 * 3600
"""No token lives longer than a day."""
TEXT_MAX: Final = 256
ROLES_MAX: Final = 32

ADMIN: Final = "pam_admin"
"""The role that may see and change the cluster."""


class Claims(NamedTuple):
    """The claims of one access token. Times are whole seconds since 1970 UTC."""

    subject: str
    """User name."""
    roles: tuple[str, ...]
    session: str
    """The session's own secret (``sid``), 256 random bits: the same for every token of one sign-in. The server keeps
    only a hash of it."""
    token_id: str
    """``jti``: unique for each token."""
    issued_at_s: int
    not_before_s: int
    expires_at_s: int
    issuer: str
    audience: str
    node: str
    """The node that issued it, for the log."""
    kind: SessionKind
    """Whether it was issued at sign-in, or on a host."""

    @property
    def is_admin(self) -> bool:
        """Whether the holder may see and change the cluster."""
        return ADMIN in self.roles

    def payload(self) -> dict[str, object]:
        """The JSON object that is signed."""
        return {
            "sub": self.subject,
            "roles": list(self.roles),
            "sid": self.session,
            "jti": self.token_id,
            "iat": self.issued_at_s,
            "nbf": self.not_before_s,
            "exp": self.expires_at_s,
            "iss": self.issuer,
            "aud": self.audience,
            "node": self.node,
            "kind": self.kind.value,
        }


def session_id_of(claims: Claims) -> str:
    """The id by which the session of a host's token is listed: the token's own, in groups."""
    digits = claims.token_id
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))


_TEXTS: Final = ("sub", "sid", "jti", "iss", "node")
_TIMES: Final = ("iat", "nbf", "exp")
_TIME_MAX: Final = 2**40
_KINDS: Final = frozenset(SessionKind)


def check_claims(payload: Mapping[str, object], *, issuer: str, audience: str, now_s: int) -> Claims | TokenFlaw:
    """The claims in ``payload`` when all of them hold at ``now_s``, else the first flaw found."""
    if any(name not in payload for name in (*_TEXTS, *_TIMES, "aud", "roles")):
        return TokenFlaw.CLAIM_MISSING
    if "kind" not in payload:
        return TokenFlaw.SESSIONLESS
    texts = {name: _text(payload[name]) for name in (*_TEXTS, "aud")}
    times = {name: _time(payload[name]) for name in _TIMES}
    roles = _roles(payload["roles"])
    kind = _kind(payload["kind"])
    if roles is None or kind is None or None in texts.values() or None in times.values():
        return TokenFlaw.CLAIM_SHAPE
    claims = Claims(
        subject=texts["sub"] or "",
        roles=roles,
        session=texts["sid"] or "",
        token_id=texts["jti"] or "",
        issued_at_s=times["iat"] or 0,
        not_before_s=times["nbf"] or 0,
        expires_at_s=times["exp"] or 0,
        issuer=texts["iss"] or "",
        audience=texts["aud"] or "",
        node=texts["node"] or "",
        kind=kind,
    )
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
    if claims.expires_at_s - claims.issued_at_s > LIFETIME_S_MAX:
        return TokenFlaw.LIFETIME
    return None


def _text(value: object) -> str | None:
    # `aud` may be a list by RFC 7519; ours never is, and one form fewer is one confusion fewer.
    return value if isinstance(value, str) and 0 < len(value) <= TEXT_MAX else None


def _time(value: object) -> int | None:
    # bool is an int in Python, and a fraction or a huge number is none of ours.
    return value if type(value) is int and 0 < value < _TIME_MAX else None


def _kind(value: object) -> SessionKind | None:
    return SessionKind(value) if isinstance(value, str) and value in _KINDS else None


def _roles(value: object) -> tuple[str, ...] | None:
    if not isinstance(value, list) or len(value) > ROLES_MAX:
        return None
    roles = tuple(role for role in value if _text(role) is not None)
    return roles if len(roles) == len(value) else None
