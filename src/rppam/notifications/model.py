"""A channel of notifications, and what each kind needs. Pure."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from rppam.kernel.secret import Secret
from rppam.notifications.errors import ChannelInvalid


class ChannelKind(StrEnum):
    """How it reaches people."""

    WEBHOOK = "webhook"
    SMTP = "smtp"


_SCHEMES: Final[Mapping[ChannelKind, tuple[str, ...]]] = {
    ChannelKind.WEBHOOK: ("https", "http"),
    ChannelKind.SMTP: ("smtps", "smtp"),
}


class Options(NamedTuple):
    """What else a channel says."""

    verify_tls: bool = True
    ca_path: str = ""
    """A file with authorities on every node; the system's where it is empty."""
    sender: str = ""
    """SMTP: the address in From."""
    to: tuple[str, ...] = ()
    """SMTP: who gets every message."""
    to_people: bool = True
    """SMTP: those concerned get it as well, where their address is known."""
    username: str = ""
    """SMTP: with ``secret`` as its password."""


class Channel(NamedTuple):
    """A channel as it is kept."""

    id: str
    name: str
    kind: ChannelKind
    url: str
    options: Options
    secret: Secret | None
    enabled: bool
    revision: int


class Notice(NamedTuple):
    """One notification on its way by one channel."""

    id: str
    channel_id: str
    kind: str
    body: Mapping[str, Any]
    created_at: int
    tries: int


def check_channel(channel: Channel, *, has_secret: bool) -> None:
    """Raises :class:`ChannelInvalid` for what can never work, naming the field."""
    schemes = _SCHEMES[channel.kind]
    parts = urlsplit(channel.url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in schemes or not parts.hostname or port == -1:
        raise ChannelInvalid(f"url: expected {schemes[0]}://HOST:PORT, found another address")
    if parts.username or parts.password:
        raise ChannelInvalid("url: expected no user and password in it; use 'username' and 'secret'")
    if channel.kind is ChannelKind.WEBHOOK and not has_secret:
        raise ChannelInvalid("secret: a webhook needs one, to sign with")
    if channel.kind is ChannelKind.SMTP:
        if not channel.options.sender:
            raise ChannelInvalid("options.sender: mail needs an address to come from")
        if bool(channel.options.username) is not has_secret:
            raise ChannelInvalid("options.username: a user name and a secret, or neither")


def options_of(found: Mapping[str, Any]) -> Options:
    """The options in a stored object; what is not known is left out."""
    known = Options(**{name: value for name, value in found.items() if name in Options._fields})
    return known._replace(to=tuple(known.to))
