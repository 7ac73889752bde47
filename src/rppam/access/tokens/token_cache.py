"""Tokens that this process has verified already: the signature is checked once, not for each request.

Decides nothing new: what is remembered is what ``verify`` found, for exactly these
bytes and these signing keys, and the token's own end is looked at each time. Bounded in number; the one that was not
seen for longest gives way. What it does not promise: that the session of a genuine token still holds.
"""

from typing import Final, NamedTuple

from rppam.access.sessions import token_hash
from rppam.access.tokens.claims import Claims
from rppam.access.tokens.service import Tokens
from rppam.http.errors import UnauthenticatedError
from rppam.http.token_flaws import TokenFlaw

REMEMBERED_MAX: Final = 16_384
"""Tokens; about 1.5 KiB each."""


class Bearer(NamedTuple):
    """A genuine token that has not expired."""

    claims: Claims
    ident: str
    """Names its session: the hash of the session's secret."""


class TokenCache:
    """See the module."""

    def __init__(self, tokens: Tokens, remembered_max: int = REMEMBERED_MAX) -> None:
        self._tokens, self._max = tokens, remembered_max
        self._keys = tokens.keys
        self._known: dict[str, Bearer] = {}

    def __len__(self) -> int:
        return len(self._known)

    def check(self, token: str) -> Bearer:
        """What ``token`` says. Raises :class:`UnauthenticatedError`."""
        if self._keys is not self._tokens.keys:
            # A key may have been taken away: what it signed is worth nothing now.
            self._known.clear()
            self._keys = self._tokens.keys
        bearer = self._known.pop(token, None)
        if bearer is None:
            claims = self._tokens.verify(token)
            bearer = Bearer(claims, token_hash(claims.session))
            if len(self._known) >= self._max:
                del self._known[next(iter(self._known))]
        elif self._tokens.has_expired(bearer.claims):
            raise UnauthenticatedError(TokenFlaw.EXPIRED)
        self._known[token] = bearer
        return bearer
