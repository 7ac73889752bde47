"""What the value of a setting may be: one class per kind, each with the sentence that says what it expects.

A kind looks at one value alone. Rules between settings stand in :mod:`rppam.config.build`. ``read`` raises
:class:`WrongValueError`; no kind that holds secrets ever shows its value.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from rppam.config.endpoint import Endpoint, NotAnEndpointError, parse_endpoint, parse_host
from rppam.config.keywords import ENCRYPTED
from rppam.config.reading import unprintable
from rppam.config.wording import nearest, shown, type_of
from rppam.kernel.secret import Secret

TEXT_MAX: Final = 4_096
"""Characters of a text. No setting needs more, and each of them is looked at, on a worker's loop."""


class WrongValueError(ValueError):
    """A value that its kind does not take: what was found, and the fix."""

    def __init__(self, found: str, fix: str) -> None:
        self.found = found
        self.fix = fix
        super().__init__(f"{found}. {fix}")


@dataclass(frozen=True, slots=True)
class Kind(ABC):
    """Base of all kinds."""

    expected: str
    secret: ClassVar[bool] = False

    @abstractmethod
    def read(self, value: object) -> Any:
        """The value as it is used, or :class:`WrongValueError`."""


@dataclass(frozen=True, slots=True)
class Flag(Kind):
    """true or false."""

    expected: str = "true or false"

    def read(self, value: object) -> bool:
        """Itself."""
        if isinstance(value, bool):
            return value
        quoted = isinstance(value, str) and value.lower() in {"true", "false"}
        raise WrongValueError(shown(value), "Take the quotes away." if quoted else "Write true or false.")


@dataclass(frozen=True, slots=True)
class Whole(Kind):
    """A whole number in a range."""

    least: int = 0
    most: int = 2**31 - 1

    def read(self, value: object) -> int:
        """Itself."""
        if isinstance(value, bool) or not isinstance(value, int):
            quoted = isinstance(value, str) and re.fullmatch(r"[0-9]+", value)
            raise WrongValueError(shown(value), "Take the quotes away." if quoted else "Write digits only.")
        if not self.least <= value <= self.most:
            raise WrongValueError(shown(value), f"Write a number from {self.least} to {self.most}.")
        return value


@dataclass(frozen=True, slots=True)
class Percent(Kind):
    """A number of percent, read as parts per million."""

    most: int = 10

    def read(self, value: object) -> int:
        """Parts per million."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise WrongValueError(shown(value), "Write a number such as 1 or 0.5.")
        if not 0 <= value <= self.most:
            raise WrongValueError(shown(value), f"Write a number from 0 to {self.most}.")
        return round(value * 10_000)


@dataclass(frozen=True, slots=True)
class Text(Kind):
    """Text of a given form."""

    pattern: str = r".{1,200}"
    fix: str = "Write a text in quotes."

    def read(self, value: object) -> str:
        """Itself."""
        text = _text(value, self.fix)
        if not re.fullmatch(self.pattern, text):
            raise WrongValueError(shown(text), self.fix)
        return text


@dataclass(frozen=True, slots=True)
class Choice(Kind):
    """One of some words, in any case."""

    words: Sequence[str] = ()

    def read(self, value: object) -> str:
        """The word as it is spelt in the list."""
        fix = f"Write one of {', '.join(self.words)}."
        text = _text(value, fix)
        for word in self.words:
            if word.lower() == text.lower():
                return word
        near = nearest(text, self.words)
        raise WrongValueError(shown(text), f"Did you mean {near!r}?" if near else fix)


@dataclass(frozen=True, slots=True)
class HostName(Kind):
    """An address to listen on."""

    def read(self, value: object) -> str:
        """Itself."""
        text = _text(value, "Write an IP address or a host name.")
        try:
            return str(ip_address(text))
        except ValueError:
            pass
        try:
            return parse_host(text)
        except NotAnEndpointError as error:
            raise WrongValueError(shown(text), "Write an IP address or a host name, without a port.") from error


@dataclass(frozen=True, slots=True)
class AddressInNetwork(Kind):
    """An address that a host can have, with its prefix length."""

    def read(self, value: object) -> str:
        """``address/length``."""
        fix = "Write an address that no host has, with the prefix length of its network, such as 10.0.1.50/24."
        text = _text(value, fix)
        try:
            found = ip_interface(text)
        except ValueError as error:
            raise WrongValueError(shown(text), fix) from error
        if "/" not in text:
            raise WrongValueError(f"{shown(text)}, which has no prefix length", fix)
        ip, network = found.ip, found.network
        if ip.is_loopback or ip.is_multicast or ip.is_unspecified:
            raise WrongValueError(f"{shown(text)}, which no network card can have", fix)
        hosts = network.max_prefixlen - network.prefixlen > 1  # a network of two or fewer has none of these
        if hosts and ip.version == 4 and ip in {network.network_address, network.broadcast_address}:
            raise WrongValueError(f"{shown(text)}, which names the whole network", fix)
        return str(found)


@dataclass(frozen=True, slots=True)
class HostPort(Kind):
    """Where somebody can be reached."""

    def read(self, value: object) -> str:
        """``host:port``, an IPv6 address in brackets."""
        fix = "Write it such as node1.example.com:5201, 10.0.1.1:5201 or [fd00::1]:5201."
        text = _text(value, fix)
        try:
            host, port = parse_endpoint(text)
        except NotAnEndpointError as error:
            raise WrongValueError(error.found, fix) from error
        if port is None:
            raise WrongValueError(f"{shown(text)}, which has no port", fix)
        return str(Endpoint(host, port))


@dataclass(frozen=True, slots=True)
class HttpUrl(Kind):
    """An http or https URL that names a host and no more."""

    def read(self, value: object) -> str:
        """The URL without a slash at its end."""
        fix = "Write it such as https://node1.example.com:7101."
        text = _text(value, fix)
        try:
            parts = urlsplit(text)
            good = parts.scheme in {"http", "https"} and parts.path in {"", "/"} and parts.port != 0
            good = good and not re.search(r"[\s@?#]", text)
            if good:
                host = parts.hostname or ""
                _ = ip_address(host) if ":" in host else parse_host(host)
        except ValueError:
            good = False
        if not good:
            found = "a text that is not shown, since it has an '@'" if "@" in text else shown(text)
            raise WrongValueError(found, fix)
        return text.removesuffix("/")


@dataclass(frozen=True, slots=True)
class FilePath(Kind):
    """A path; a relative one counts from the folder of the config file."""

    def read(self, value: object) -> str:
        """Itself, not looked up."""
        return _text(value, "Write a path in quotes.")


class Reference(Secret):
    """A secret that is not there yet: its encrypted text, or the name of the file or variable that holds it."""

    __slots__ = ("source",)

    def __init__(self, source: str, text: str) -> None:
        super().__init__(text)
        self.source = source
        """``encrypted``, ``file`` or ``env``."""


@dataclass(frozen=True, slots=True)
class SecretText(Kind):
    """A secret: plain, ``encrypted:``/``ENC:``, or an object that names a file or an environment variable."""

    secret: ClassVar[bool] = True

    def read(self, value: object) -> Secret:
        """The plain secret, or a :class:`Reference` to be resolved."""
        if isinstance(value, dict):
            return self._reference(value)
        if not isinstance(value, str):
            raise WrongValueError(type_of(value), 'Write a text, {"file": PATH} or {"env": NAME}.')
        if not value:
            raise WrongValueError("an empty text", "Write the secret, or take the key out.")
        if value.startswith(ENCRYPTED):
            return Reference("encrypted", value)
        return Secret(value)

    @staticmethod
    def _reference(value: dict[str, object]) -> Reference:
        fix = 'Write {"file": PATH} or {"env": NAME}.'
        if len(value) != 1 or not value.keys() <= {"file", "env"}:
            raise WrongValueError("an object with other keys", fix)
        ((source, name),) = value.items()
        if not isinstance(name, str) or not name.strip() or unprintable(name) or (source == "env" and "=" in name):
            raise WrongValueError(f"{type_of(name)} for {source!r}", fix)
        return Reference(source, name)


@dataclass(frozen=True, slots=True)
class Keys(Kind):
    """Public keys: paths of PEM files, or the keys themselves on one line of base64."""

    def read(self, value: object) -> tuple[str, ...]:
        """The texts as they stand there."""
        fix = 'Write a list of texts, such as ["/etc/rppam/license-key.pem"].'
        if not isinstance(value, list):
            raise WrongValueError(shown(value), fix)
        return tuple(_text(entry, fix) for entry in value)


@dataclass(frozen=True, slots=True)
class Networks(Kind):
    """Addresses and networks."""

    def read(self, value: object) -> tuple[str, ...]:
        """Each as a network, an address as one of its own."""
        fix = 'Write a list such as ["10.0.1.5", "10.2.0.0/16", "fd00::/8"].'
        if not isinstance(value, list):
            raise WrongValueError(shown(value), fix)
        return tuple(self._network(_text(entry, fix), fix) for entry in value)

    @staticmethod
    def _network(text: str, fix: str) -> str:
        try:
            return str(ip_network(text))
        except ValueError as error:
            host_bits = "host bits" in str(error)
            hint = "Set the part of the address behind the prefix to 0." if host_bits else fix
            raise WrongValueError(shown(text), hint) from error


def _text(value: object, fix: str) -> str:
    """A text without control characters, of at most :data:`TEXT_MAX` characters."""
    if not isinstance(value, str):
        raise WrongValueError(shown(value), fix)
    if len(value) > TEXT_MAX:
        raise WrongValueError(type_of(value), fix)
    bad = unprintable(value)
    if not value.strip() or bad:
        raise WrongValueError(bad or "an empty text", fix)
    return value
