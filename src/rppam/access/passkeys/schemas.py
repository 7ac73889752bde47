"""The JSON of passkeys. Options and answers are those of WebAuthn (``PublicKeyCredential.toJSON``)."""

from typing import Annotated, Any

from pydantic import Field

from rppam.http.schemas import Flag, Password, Shape

Ident = Annotated[str, Field(pattern="^[0-9a-zA-Z-]{1,36}$")]


class Options(Shape):
    """What `navigator.credentials` is given."""

    id: str
    """Comes back with the answer."""
    options: dict[str, Any]
    """For `parseCreationOptionsFromJSON` or `parseRequestOptionsFromJSON`."""


class Answer(Shape):
    """What an authenticator answered."""

    id: Ident
    """That of the options."""
    credential: dict[str, Any]


class OwnerProof(Shape):
    """Who adds a passkey or takes one away owns the account."""

    current_password: Password | None = None
    """Needed where the session began more than ten minutes ago."""


class NewPasskey(Answer):
    """A new passkey."""

    name: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,64}$")]
    """For its owner: `phone`, `blue key`."""


class LoginAnswerOf(Answer):
    """A passkey signs in."""

    cookie: Flag = False
    """As for the log-in: the token comes as a cookie, for the console."""


class PasskeyShape(Shape):
    """A passkey."""

    id: str
    name: str
    site: str
    """The host name that it was made for."""
    created_at: str
    used_at: str | None


class PasskeyList(Shape):
    """The passkeys of an account."""

    items: list[PasskeyShape]
