"""What a command on a node's host knows by itself: the config, the node's address, and a token from its keys.

Reading the signing keys is enough to make a token anyway, so making one here gives nothing away. It lives for minutes.
"""

import getpass
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from rppam.access.tokens.claims import BRIEF_S_MAX
from rppam.access.tokens.key_files import load_signing_keys
from rppam.access.tokens.service import IssuedToken, KeySet, Tokens
from rppam.cli.trust import trust_of
from rppam.config.advertised import scheme
from rppam.config.endpoint import Endpoint
from rppam.config.load import load_settings
from rppam.config.settings import Settings
from rppam.http.trust import Trust
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy

TOOL: Final = "@host"
"""With this ends the name of a command, which says nothing of who typed it."""
SUBJECT: Final = f"operator{TOOL}"
NAME_MAX: Final = 64
_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class Host(NamedTuple):
    url: str
    token: Callable[[], Secret]
    trust: Trust


def host_of(config: Path, subject: str = SUBJECT, ca: Path | None = None) -> Host:
    """Address and tokens of the node configured in ``config``; ``subject`` is the name in the tokens.

    One that ends with :data:`TOOL` stands there only where the account that runs the command has no name.

    ``ca``: authorities to trust instead of those of the config. Raises ``ConfigError``, ``SigningKeyError``.
    """
    settings = load_settings(config)
    url = local_url(settings)
    name = operator(subject) if subject.endswith(TOOL) else subject
    return Host(url, _Tokens(tokens_of(settings), name), trust_of(settings, url, ca))


def operator(otherwise: str = SUBJECT) -> str:
    """Who runs this command, as the ledger shall name them: the account and its host."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"[:NAME_MAX]
    except (OSError, KeyError):  # an account without a name
        return otherwise


def tokens_of(settings: Settings) -> Tokens:
    """What issues tokens of this host by the keys of its config. Raises ``SigningKeyError``."""
    auth = settings.auth
    return Tokens(
        KeySet(load_signing_keys(auth.jwt_keys_dir)),
        issuer=auth.issuer,
        audience=auth.audience,
        node=settings.node.node_name,
        clock=SystemClock(),
        entropy=SystemEntropy(),
    )


class _Tokens:
    """One token for as long as it lasts. It leaves no session behind: see :attr:`Claims.brief`."""

    def __init__(self, tokens: Tokens, subject: str) -> None:
        self._tokens, self._subject = tokens, subject
        self._made: IssuedToken | None = None

    def __call__(self) -> Secret:
        now_s = SystemClock().wall_ms() // 1000
        if self._made is None or self._made.claims.expires_at_s - now_s < BRIEF_S_MAX // 2:
            self._made = self._tokens.issue_brief(self._subject)
        return self._made.token


def local_url(settings: Settings) -> str:
    """Where this host reaches its own node."""
    host = _ANY.get(settings.api.host, settings.api.host)
    return f"{scheme(settings.api)}://{Endpoint(host, settings.api.port)}"


def token_from_environment() -> Secret | None:
    text = os.environ.get("RPPAM_TOKEN", "").strip()
    return Secret(text) if text else None


def token_from_file(path: Path) -> Secret:
    """The token in a file: alone, or behind ``Authorization: Bearer``. Raises :class:`OSError`, ``ValueError``."""
    return Secret(token_in(path.read_text(encoding="ascii")))


def token_in(text: str) -> str:
    """The one token of a text. Raises ``ValueError``."""
    token = text.strip().removeprefix("Authorization:").strip().removeprefix("Bearer").strip()
    if len(token.split()) != 1 or not token.isascii():
        raise ValueError("expected one token")
    return token
