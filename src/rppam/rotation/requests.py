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


class Hop(NamedTuple):
    """A target that another one is reached through."""

    target_id: str
    target: str
    host: str
    port: int
    trust: str
    pins: Sequence[Pin]
    login: Login
    legacy: bool = False


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
    legacy: bool = False
    """The target's SSH server is taken with old algorithms, too."""
    hops: Sequence[Hop] = ()
    """What it is reached through over SSH, the first to be reached first."""

    @property
    def place(self) -> str:
        """For people."""
        return f"{self.target} ({self.host} port {self.port})"

    def unasked(self, why: str) -> "Answer":
        """The answer where the account itself was not asked: a change has changed nothing, and a try tells nothing."""
        return Answer("unknown" if self.new is None else "refused", why)

    def secrets(self) -> Iterator[Secret]:
        """All in it."""
        logins = (self.login, *(hop.login for hop in self.hops))
        found = (*(getattr(login, name) for login in logins for name in _SECRETS), self.new)
        yield from (one for one in found if one)

    def text(self) -> Mapping[str, Any]:
        """For the pipe, with its secrets."""
        new = None if self.new is None else self.new.reveal()
        hops = [{**hop._asdict(), **_place_text(hop)} for hop in self.hops]
        return {**self._asdict(), **_place_text(self), "new": new, "hops": hops}

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "Request":
        """What :meth:`text` wrote."""
        new = None if found["new"] is None else Secret(found["new"])
        hops = tuple(Hop(**{**hop, **_place_of(hop)}) for hop in found["hops"])
        return cls(**{**found, **_place_of(found), "new": new, "hops": hops})


def _place_text(one: Request | Hop) -> Mapping[str, Any]:
    login = {
        name: value.reveal() if isinstance(value, Secret) else value for name, value in one.login._asdict().items()
    }
    return {"pins": [list(pin) for pin in one.pins], "login": login}


def _place_of(found: Mapping[str, Any]) -> Mapping[str, Any]:
    login: dict[str, Any] = {
        name: Secret(value) if name in _SECRETS and value is not None else value
        for name, value in found["login"].items()
    }
    return {"pins": tuple(Pin(*pin) for pin in found["pins"]), "login": Login(**login)}


class Answer(NamedTuple):
    """What it came to."""

    came: str
    """``works``, ``refused`` or ``unknown`` for a log-in; ``done``, ``refused`` or ``unknown`` for a change."""
    said: str = ""
    """What the target said, for people; no secret."""
    new_key: Sequence[str] = ()
    """The host key that was shown where none was pinned: algorithm, key, fingerprint."""
    hop_keys: Sequence[Sequence[str]] = ()
    """The same of each that was gone through, as far as it came; empty where one was pinned."""
