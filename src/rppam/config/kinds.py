"""What the value of a setting may be: one class per kind, each with the sentence that says what it expects.

``read`` looks at one value alone and raises :class:`WrongValueError`; rules between settings stand in
:mod:`rppam.config.rules`. A kind is the metadata of a pydantic field (``Annotated[int, Whole(...)]``) and does its
whole validation with the :class:`Context` given to it. Without a context a value is taken as it is: it was made by
code, not read. Kinds of secrets stand in :mod:`rppam.config.host_secrets`.
"""

import base64
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from rppam.config.endpoint import Endpoint, NotAnEndpointError, parse_endpoint, parse_host
from rppam.config.places import LINUX, Places
from rppam.config.wording import nearest, shown, type_of, unprintable

if TYPE_CHECKING:  # the hot settings use kinds without pydantic
    from pathlib import Path

    from pydantic_core import CoreSchema
    from pydantic_core.core_schema import ValidationInfo

NAME_FORM: Final = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
PREFIX_FORM: Final = r"(?=.{2,64}$)[A-Za-z0-9_.@/+=~#%&!:-]*[A-Za-z0-9_.@/+=~#%&!-]:"
TEXT_MAX: Final = 4_096
"""Characters of a text. No setting needs more, and each of them is looked at, on a worker's loop."""
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_ED25519: Final = bytes.fromhex("302a300506032b6570032100")
"""What stands before the 32 bytes of an Ed25519 key in SubjectPublicKeyInfo (RFC 8410)."""


class WrongValueError(ValueError):
    """A value that its kind does not take. ``expected`` only where the kind does not say it."""

    def __init__(self, found: str, fix: str, expected: str = "") -> None:
        self.found, self.fix, self.expected = found, fix, expected
        super().__init__(f"{found}. {fix}")


@dataclass(slots=True)
class Context:
    """What the values of a file are read with."""

    folder: "Path"
    """Folder of the config file, which relative paths count from."""
    places: Places
    data_dir: "Path"
    """``node.dataDir``, once it was read."""
    key_file: "Path"
    """``auth.secretKeyPath``, once it was read."""
    section: str = ""
    """Section being read."""
    warnings: dict[str, None] = field(default_factory=dict)
    """In order, each once."""

    def warn(self, name: str, text: str) -> None:
        """Record what should be put right about a key of the section."""
        self.warnings[f"{self.section}.{name}: {text}"] = None


class ByPlace(NamedTuple):
    """A default that depends on the platform (``{data_dir}``, ``{licence_file}``) or on the setting ``<dataDir>``."""

    text: str

    def within(self, context: Context) -> str:
        return self.text.format(**context.places._asdict()).replace("<dataDir>", str(context.data_dir))


@dataclass(frozen=True, slots=True)
class Kind(ABC):
    expected: str

    @abstractmethod
    def read(self, value: object) -> Any:
        """The value as it is used. Raises :class:`WrongValueError`."""

    def within(self, value: object, context: Context, name: str) -> Any:  # noqa: ARG002 - for kinds that need them
        """The value of the key ``name``, read with what ``context`` has."""
        return self.read(value)

    def __get_pydantic_core_schema__(self, _source: object, _handler: object) -> "CoreSchema":
        from pydantic.alias_generators import to_camel  # noqa: PLC0415 - the hot settings do without
        from pydantic_core.core_schema import with_info_plain_validator_function  # noqa: PLC0415

        def validated(value: object, info: "ValidationInfo") -> object:
            if value is None or info.context is None:
                return value
            return self.within(value, info.context, to_camel(info.field_name or ""))

        return with_info_plain_validator_function(validated)


@dataclass(frozen=True, slots=True)
class Flag(Kind):
    expected: str = "true or false"

    def read(self, value: object) -> bool:
        if isinstance(value, bool):
            return value
        quoted = isinstance(value, str) and value.lower() in {"true", "false"}
        raise WrongValueError(shown(value), "Take the quotes away." if quoted else "Write true or false.")


@dataclass(frozen=True, slots=True)
class Whole(Kind):
    least: int = 0
    most: int = 2**31 - 1

    def read(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            quoted = isinstance(value, str) and re.fullmatch(r"[0-9]{1,20}", value)
            fits = quoted and self.least <= int(str(value)) <= self.most
            without = "Take the quotes away." if fits else f"{self._fix[:-1]}, without quotes."
            raise WrongValueError(shown(value), without if quoted else "Write digits only.")
        if not self.least <= value <= self.most:
            raise WrongValueError(shown(value), self._fix)
        return value

    @property
    def _fix(self) -> str:
        return f"Write a number from {self.least} to {self.most}."


@dataclass(frozen=True, slots=True)
class Percent(Kind):
    """A number of percent, read as parts per million."""

    most: int = 10

    def read(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise WrongValueError(shown(value), "Write a number such as 1 or 0.5.")
        if not 0 <= value <= self.most:
            raise WrongValueError(shown(value), f"Write a number from 0 to {self.most}.")
        return round(value * 10_000)


@dataclass(frozen=True, slots=True)
class Text(Kind):
    pattern: str = r".{1,200}"
    fix: str = "Write a text in quotes."

    def read(self, value: object) -> str:
        text = _text(value, self.fix)
        if not re.fullmatch(self.pattern, text):
            raise WrongValueError(shown(text), self.fix)
        return text


@dataclass(frozen=True, slots=True)
class Texts(Kind):
    """A list of texts."""

    pattern: str = r".{1,200}"
    fix: str = 'Write a list of texts in quotes, such as ["one", "two"].'
    most: int = 1_000

    def read(self, value: object) -> tuple[str, ...]:
        found = tuple(_text(entry, self.fix) for entry in _list(value, self.fix))
        if len(found) > self.most:
            raise WrongValueError(f"{len(found)} of them", f"Write at most {self.most}.")
        for text in found:
            if not re.fullmatch(self.pattern, text):
                raise WrongValueError(shown(text), self.fix)
        return found


@dataclass(frozen=True, slots=True)
class Pattern(Kind):
    """A regular expression."""

    chars_max: int = 200

    def read(self, value: object) -> str:
        fix = "Write a regular expression such as CHG[0-9]{6}."
        text = _text(value, fix)
        try:
            re.compile(text)
        except re.error as error:
            raise WrongValueError(f"one that does not compile: {error.msg}", fix) from None
        if len(text) > self.chars_max:
            raise WrongValueError(f"{len(text)} characters", fix)
        return text


@dataclass(frozen=True, slots=True)
class Choice(Kind):
    """One of some words, in any case; read as the list spells it."""

    words: Sequence[str] = ()

    def read(self, value: object) -> str:
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
        text = _text(value, "Write an IP address or a host name.")
        with suppress(ValueError):
            return str(ip_address(text))
        with suppress(NotAnEndpointError):
            return parse_host(text)
        raise WrongValueError(shown(text), "Write an IP address or a host name, without a port.")


@dataclass(frozen=True, slots=True)
class AddressInNetwork(Kind):
    """``address/length``: an address that a host can have."""

    def read(self, value: object) -> str:
        fix = "Write an address that no host has, with the prefix length of its network, such as 10.0.1.50/24."
        text = _text(value, fix)
        try:
            found = ip_interface(text)
        except ValueError:
            raise WrongValueError(shown(text), fix) from None
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
class Addresses(Kind):
    """IP addresses that a host can have."""

    def read(self, value: object) -> tuple[str, ...]:
        fix = 'Write a list such as ["10.0.1.11"] or ["10.0.1.11", "fd00::11"].'
        found = []
        for entry in _list(value, fix):
            text = _text(entry, fix)
            try:
                address = ip_address(text)
            except ValueError:
                raise WrongValueError(shown(text), fix) from None
            if address.is_multicast or address.is_unspecified:
                raise WrongValueError(f"{shown(text)}, which no host can have", fix)
            found.append(str(address))
        return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class DomainName(Kind):
    """A name in DNS of two labels or more, or of one where ``least`` says so; read in lower case, without a dot at its
    end."""

    least: int = 1

    def read(self, value: object) -> str:
        fix = "Write it such as pam.example.com: labels of letters, digits, '-' and '_' with dots between."
        text = _text(value, fix)
        labels = text.lower().removesuffix(".").split(".")
        if len(text) > 230 or len(labels) < self.least or any(not _LABEL.fullmatch(one) for one in labels):
            raise WrongValueError(shown(text), fix)
        return ".".join(labels)


@dataclass(frozen=True, slots=True)
class HostPort(Kind):
    """``host:port``, an IPv6 address in brackets."""

    def read(self, value: object) -> str:
        fix = "Write it such as node1.example.com:5201, 10.0.1.1:5201 or [fd00::1]:5201."
        text = _text(value, fix)
        try:
            host, port = parse_endpoint(text)
        except NotAnEndpointError as error:
            raise WrongValueError(error.found, fix) from None
        if port is None:
            raise WrongValueError(f"{shown(text)}, which has no port", fix)
        return str(Endpoint(host, port))


@dataclass(frozen=True, slots=True)
class HttpUrl(Kind):
    """An http or https URL that names a host and no more; read without a slash at its end."""

    def read(self, value: object) -> str:
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
    """A path, not looked up; a relative one counts from the folder of the config file."""

    def read(self, value: object) -> str:
        return _text(value, "Write a path in quotes.")

    def within(self, value: object, context: Context, name: str) -> "Path":  # noqa: ARG002
        text = value.within(context) if isinstance(value, ByPlace) else self.read(value)
        return _path(text, context)


@dataclass(frozen=True, slots=True)
class Keys(Kind):
    """Public keys: paths of PEM files, or the keys themselves on one line of base64."""

    def read(self, value: object) -> tuple[str, ...]:
        fix = 'Write a list of texts, such as ["/etc/rppam/license-key.pem"].'
        return tuple(_text(entry, fix) for entry in _list(value, fix))

    def within(self, value: object, context: Context, name: str) -> "tuple[Path | str, ...]":  # noqa: ARG002
        return tuple(_public_key(text) or _path(text, context) for text in self.read(value))


@dataclass(frozen=True, slots=True)
class Networks(Kind):
    """Addresses and networks, each read as a network."""

    def read(self, value: object) -> tuple[str, ...]:
        fix = 'Write a list such as ["10.0.1.5", "10.2.0.0/16", "fd00::/8"].'
        return tuple(self._network(_text(entry, fix), fix) for entry in _list(value, fix))

    @staticmethod
    def _network(text: str, fix: str) -> str:
        try:
            return str(ip_network(text))
        except ValueError as error:
            host_bits = "host bits" in str(error)
            hint = "Set the part of the address behind the prefix to 0." if host_bits else fix
            raise WrongValueError(shown(text), hint) from None


@dataclass(frozen=True, slots=True)
class OwnAddresses(Kind):
    """Addresses to go out from: at most one of IPv4 and one of IPv6."""

    def read(self, value: object) -> tuple[str, ...]:
        fix = 'Write a list such as ["10.0.5.7"], with at most one IPv4 and one IPv6 address of this host.'
        found = []
        for entry in _list(value, fix):
            text = _text(entry, fix)
            try:
                found.append(ip_address(text))
            except ValueError:
                raise WrongValueError(shown(text), fix) from None
        if len({one.version for one in found}) < len(found):
            raise WrongValueError("several of one version of IP", fix)
        return tuple(map(str, found))


def _public_key(text: str) -> str | None:
    """The key as one line of base64 SubjectPublicKeyInfo, or ``None`` when ``text`` is none and so names a file.

    Only its form is looked at: the key is checked where it is used.
    """
    line = re.sub(r"-----(BEGIN|END) PUBLIC KEY-----|\s", "", text)
    try:
        raw = base64.b64decode(line, validate=True)
    except ValueError:  # also what is no ASCII
        return None
    if len(raw) == 32:
        raw = _ED25519 + raw
    return base64.b64encode(raw).decode("ascii") if raw.startswith(_ED25519) and len(raw) == 44 else None


def _path(text: str, context: Context) -> "Path":
    if context.places is LINUX and (text[1:3] in {":\\", ":/"} or text.startswith("\\\\")):
        raise WrongValueError("a Windows path", "Write it such as /var/lib/rppam.", "a path of this system")
    if text.startswith("~"):
        raise WrongValueError("a path with '~'", "Write the folder out; '~' has no meaning here.", "a full path")
    return context.folder / text


def _list(value: object, fix: str) -> Sequence[object]:
    if not isinstance(value, list | tuple):  # a tuple is the default
        raise WrongValueError(shown(value), fix)
    return value


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
