"""The public keys that verify this cluster's tokens."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import ConfigDict

from rppam.access.tokens.service import Tokens
from rppam.http.routes import ANYBODY, declare
from rppam.http.schemas import Shape
from rppam.http.services import Here

JWKS_MAX_AGE_S = 300
auth = APIRouter(tags=["auth"])


class JsonWebKey(Shape):
    """A public key (RFC 7517)."""

    model_config = ConfigDict(extra="allow")

    kty: str
    kid: str
    alg: str
    use: str


class JsonWebKeySet(Shape):
    """The public keys that verify this cluster's tokens."""

    keys: list[JsonWebKey]


class JsonWebKeySetAnswer(JSONResponse):
    """With the media type of RFC 7517, section 8.5.2."""

    media_type = "application/jwk-set+json"


@auth.get(
    "/.well-known/jwks.json",
    summary="Public keys that verify access tokens",
    response_model=JsonWebKeySet,
    response_class=JsonWebKeySetAnswer,
)
@declare(ANYBODY)
async def jwks(services: Here) -> JsonWebKeySetAnswer:
    """The JSON Web Key Set (RFC 7517). The same on every node of a cluster."""
    headers = {"Cache-Control": f"public, max-age={JWKS_MAX_AGE_S}"}
    return JsonWebKeySetAnswer(services.get(Tokens).keys.public(), headers=headers)
