"""What is asked of the process that touches targets, and what it answers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rppam.kernel.secret import Secret

_SECRETS = ("password", "private_key", "passphrase")


class Login(NamedTuple):
    """Who signs in with what."""

    username: str
    password: Secret | None = None
    private_key: Secret | None = None
    passphrase: Secret | None = None


class Pin(NamedTuple):
    """A host key, or a certificate as PEM, that is believed."""

    algorithm: str
    public: str
    fingerprint: str


class Request(NamedTuple):
    """One thing to do. Without ``new`` a log-in is tried, with it the secret of ``account`` is changed."""

    kind: str
    target: str
    host: str
    port: int
    trust: str
    pins: Sequence[Pin]
    login: Login
    """Who signs in: the account itself, or the one that changes others."""
    account: str
    new: Secret | None = None
    database: str = "postgres"
    sources: Sequence[str] = ()
    """Of this host, to go out from over SSH."""

    @property
    def place(self) -> str:
        """For people."""
        return f"{self.target} ({self.host} port {self.port})"

    def secrets(self) -> Iterator[Secret]:
        """All in it."""
        yield from (one for one in (*(getattr(self.login, name) for name in _SECRETS), self.new) if one)

    def text(self) -> Mapping[str, Any]:
        """For the pipe, with its secrets."""
        login = {
            name: value.reveal() if isinstance(value, Secret) else value for name, value in self.login._asdict().items()
        }
        new = None if self.new is None else self.new.reveal()
        return {**self._asdict(), "pins": [list(pin) for pin in self.pins], "login": login, "new": new}

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "Request":
        """What :meth:`text` wrote."""
        login: dict[str, Any] = {
            name: Secret(value) if name in _SECRETS and value is not None else value
            for name, value in found["login"].items()
        }
        new = None if found["new"] is None else Secret(found["new"])
        pins = tuple(Pin(*pin) for pin in found["pins"])
        return cls(**{**found, "pins": pins, "login": Login(**login), "new": new})


class Answer(NamedTuple):
    """What it came to."""

    came: str
    """``works``, ``refused`` or ``unknown`` for a log-in; ``done``, ``refused`` or ``unknown`` for a change."""
    said: str = ""
    """What the target said, for people; no secret."""
    new_key: Sequence[str] = ()
    """The host key that was shown where none was pinned: algorithm, key, fingerprint."""
