"""How a request carries its token: ``Authorization: Bearer`` for programs, a cookie for the console.

The cookie is out of reach for scripts (HttpOnly), never sent by other sites (SameSite=Strict), and under TLS never sent
in the clear (Secure, and a name with the ``__Host-`` prefix, which no other host of the domain can set). A change that
relies on it must also come from a page of this very origin, which the browser states (Fetch Metadata; else Origin).
A header beats the cookie. What it does not promise: anything about whether the token is good.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from starlette.types import Scope

from rppam.access.rbac.policy import READS
from rppam.access.sessions.errors import CrossSiteError
from rppam.access.tokens.service import TOKEN_LENGTH_MAX
from rppam.http.errors import UnauthenticatedError
from rppam.http.sockets import HANDSHAKE
from rppam.http.token_flaws import TokenFlaw

PLAIN_NAME: Final = "rppam"
SECURE_NAME: Final = "__Host-rppam"
_BEARER: Final = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/=-]+)")
_TOKEN: Final = re.compile(rb"[A-Za-z0-9._-]+")


class Credential(NamedTuple):
    token: str
    by_cookie: bool


def credential(scope: Scope) -> Credential:
    """The one token of a request. Raises :class:`UnauthenticatedError`, :class:`CrossSiteError`."""
    try:
        return Credential(bearer_token(scope["headers"]), by_cookie=False)
    except UnauthenticatedError as error:
        if error.flaw is not TokenFlaw.MISSING:
            raise
    token = cookie_token(scope)
    if scope["method"] not in READS or HANDSHAKE in scope:
        check_same_origin(scope)
    return Credential(token, by_cookie=True)


def bearer_token(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The token of the one ``Authorization: Bearer`` header. Raises :class:`UnauthenticatedError` naming the flaw."""
    found = [value for name, value in headers if name == b"authorization"]
    if not found:
        raise UnauthenticatedError(TokenFlaw.MISSING)
    if len(found) > 1:
        # Two proxies could each believe another one.
        raise UnauthenticatedError(TokenFlaw.REPEATED)
    if len(found[0]) > TOKEN_LENGTH_MAX + len("Bearer "):
        raise UnauthenticatedError(TokenFlaw.OVERSIZED)
    match = _BEARER.fullmatch(found[0])
    if match is None:
        raise UnauthenticatedError(TokenFlaw.SCHEME)
    return match[1].decode("ascii")


def cookie_token(scope: Scope) -> str:
    """The token of the console's cookie. Raises :class:`UnauthenticatedError` naming the flaw."""
    wanted = cookie_name(scope).encode("ascii")
    found: list[bytes] = []
    for name, value in scope["headers"]:
        if name == b"cookie":
            for pair in value.split(b";"):
                key, _, text = pair.strip().partition(b"=")
                if key == wanted:
                    found.append(text)
    if not found:
        raise UnauthenticatedError(TokenFlaw.MISSING)
    if len(found) > 1:
        raise UnauthenticatedError(TokenFlaw.REPEATED)
    if len(found[0]) > TOKEN_LENGTH_MAX:
        raise UnauthenticatedError(TokenFlaw.OVERSIZED)
    if _TOKEN.fullmatch(found[0]) is None:
        raise UnauthenticatedError(TokenFlaw.MALFORMED)
    return found[0].decode("ascii")


def check_same_origin(scope: Scope) -> None:
    """Raises :class:`CrossSiteError` unless the browser says that a page of this origin asks."""
    headers = scope["headers"]
    stated = [value for name, value in headers if name == b"sec-fetch-site"]
    if stated:
        if stated != [b"same-origin"]:
            raise CrossSiteError("the browser says that another site asks for this change")
        return
    origins = [value for name, value in headers if name == b"origin"]
    hosts = [value for name, value in headers if name == b"host"]
    if len(origins) != 1 or len(hosts) != 1 or origins[0] != scope["scheme"].encode("ascii") + b"://" + hosts[0]:
        raise CrossSiteError("neither Sec-Fetch-Site nor Origin says that a page of the console asks for this change")


def check_handshake(scope: Scope) -> None:
    """Raises :class:`CrossSiteError` for a WebSocket that a page of another origin opens: a browser sends Origin with
    every handshake, and no rule of its own keeps it from opening one anywhere."""
    if any(name == b"origin" for name, _ in scope["headers"]):
        check_same_origin(scope)


def cookie_name(scope: Scope) -> str:
    return SECURE_NAME if scope["scheme"] == "https" else PLAIN_NAME


def cookie_header(scope: Scope, token: str, seconds: int) -> str:
    """The value of ``Set-Cookie`` that keeps ``token`` for ``seconds``; 0 takes the cookie away."""
    secure = "; Secure" if scope["scheme"] == "https" else ""
    return f"{cookie_name(scope)}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"
