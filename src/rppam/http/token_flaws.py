"""Why a token was refused: words for our own log."""

from enum import StrEnum


class TokenFlaw(StrEnum):
    """Why a token was refused. For our log only: the caller hears one message for all of them."""

    MISSING = "no token was sent"
    REPEATED = "more than one Authorization header was sent"
    SCHEME = "the Authorization header is not 'Bearer <token>'"
    OVERSIZED = "the token is longer than any of ours"
    MALFORMED = "the token is not three base64url parts with JSON inside"
    CRITICAL = "the token asks for an extension (crit)"
    HEADER = "the token's header holds parameters that ours never have"
    TYPE = "the token's type is not at+jwt"
    KEY = "the token's kid names no key of this cluster"
    ALGORITHM = "the token's algorithm is not the one its key is pinned to"
    SIGNATURE = "the signature does not match"
    CLAIM_MISSING = "a required claim is missing"
    CLAIM_SHAPE = "a claim has a wrong type or size"
    ISSUER = "the token was issued by somebody else"
    AUDIENCE = "the token is meant for somebody else"
    EXPIRED = "the token has expired"
    EARLY = "the token is not valid yet"
    SESSIONLESS = "the token is of an older release, which knew no sessions; sign in again"
    LIFETIME = "the token lives longer than any of ours"
