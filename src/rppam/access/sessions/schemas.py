"""The JSON of signing in and of sessions. Names are the product's camelCase."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from rppam.access.sessions.model import SessionKind
from rppam.access.tokens import TEXT_MAX
from rppam.manager import PASSWORD_CHARS_MAX, Flag, Shape


class LoginRequest(Shape):
    """Who signs in."""

    username: Annotated[str, Field(min_length=1, max_length=TEXT_MAX)]
    password: Annotated[SecretStr, Field(min_length=1, max_length=PASSWORD_CHARS_MAX)]
    cookie: Flag = False
    """For the console: the token comes as a cookie that scripts cannot read, instead of in the answer."""


class LoginAnswer(Shape):
    """An access token."""

    access_token: str | None
    """Null where it went into the cookie."""
    token_type: str = "Bearer"  # noqa: S105 - the scheme's name
    """`Bearer`, or `Cookie`."""
    expires_at: str
    """ISO 8601, UTC. `POST /api/v1/auth/refresh` gives a newer one before."""


class SecondStepAnswer(Shape):
    """The password was right; a second factor is asked for."""

    mfa_required: Literal[True]
    mfa_token: str
    """For `POST /api/v1/auth/mfa/challenge`, on any node."""
    mfa_enrolled: bool
    """False: the account has none yet; the log-in goes on with `POST /api/v1/auth/mfa/enroll` and this `mfaToken`."""


class SessionShape(Shape):
    """Somebody who is signed in. Times are ISO 8601, UTC, by the database's clock."""

    id: str
    """Names the session; it is no secret and no token."""
    user_id: str | None
    """Null for a token that was made on a host."""
    user: str
    kind: SessionKind
    """`login`, or `host` for `rppam token`."""
    mfa: bool
    """A second factor was given."""
    created_at: str
    last_seen_at: str
    """At most a minute behind."""
    expires_at: str
    """The absolute end."""
    client: str
    """The address it began from; empty for a host's token."""
    agent: str
    """What the caller's program called itself then."""
    node: str
    """Where it began."""
    current: bool
    """It is the session of this very request."""


class SessionPage(Shape):
    """A page of sessions."""

    items: list[SessionShape]
    next: str | None
    """What to send as `after` for the next page; null on the last one."""


class SessionsEnded(Shape):
    """How many sessions were alive and are over now."""

    ended: int
