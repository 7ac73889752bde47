"""One ``host[:port]`` of a connection string.

Decides what is an endpoint and what is not; it never looks a name up. Stricter than StackExchange.Redis, which drops an
endpoint with a bad port without a word and would ask DNS for ``10.0.0.256``.
"""

import re
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

PORT_MAX: Final = 65_535
HOST_MAX: Final = 253
LABEL_MAX: Final = 63

_DIGITS: Final = re.compile(r"[0-9]+")
_PORT_LIKE: Final = re.compile(r"[-+0-9.]{1,12}")
_ZONE: Final = re.compile(r"[A-Za-z0-9._-]+")


class Endpoint(NamedTuple):
    """A host and a port. ``str()`` gives ``host:port``, with an IPv6 address in brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class NotAnEndpointError(ValueError):
    """Text that is no endpoint: what was found (no more of the text than is surely harmless), and the fix."""

    def __init__(self, found: str, fix: str) -> None:
        self.found = found
        self.fix = fix
        super().__init__(f"{found}. {fix}")


def parse_endpoint(text: str) -> tuple[str, int | None]:
    """The host, and the port where one stands there, else ``None``.

    Forms: ``host``, ``host:port``, ``v4:port``, ``[v6]``, ``[v6]:port``, and a bare ``v6``, whose last group is never a
    port. Raises :class:`NotAnEndpointError`.
    """
    if text.startswith("!"):
        raise NotAnEndpointError(
            "a Unix socket", "Write host:port; the nodes of a cluster reach Redis over the network."
        )
    if "@" in text:
        raise NotAnEndpointError(
            "a text with '@', which is not shown since it may hold a password",
            "Write the password as ,password=... after host:port, or use a redis:// URL.",
        )
    if "://" in text:
        raise NotAnEndpointError("a URL among other endpoints", "Write host:port, or one URL for everything.")
    if re.search(r"[;|\s]", text):
        raise NotAnEndpointError(
            "a text with a space or ';' in it, which is not shown", "Separate endpoints and options by commas."
        )
    if "[" in text or "]" in text:
        return _bracketed(text)
    if text.count(":") > 1:
        return _ipv6(text), None
    host, colon, port = text.partition(":")
    return parse_host(host), _port(port) if colon else None


def parse_host(text: str) -> str:
    """A host name or IPv4 address as it stands there. Raises :class:`NotAnEndpointError`."""
    if not text:
        raise NotAnEndpointError("no host before the colon", "Write host:port, such as 10.0.1.20:6379.")
    labels = text.removesuffix(".").split(".")
    if _DIGITS.fullmatch(labels[-1]):
        try:
            return str(IPv4Address(text))
        except ValueError:
            raise NotAnEndpointError(
                "numbers that are not an IPv4 address", "Write four numbers from 0 to 255, such as 10.0.1.20."
            ) from None
    if len(text) > HOST_MAX or not all(_is_label(label) for label in labels):
        raise NotAnEndpointError(
            "a text that cannot be a host name",
            "Write letters, digits, '-', '_' and single dots, such as redis1.example.com:6379.",
        )
    return text


def _is_label(label: str) -> bool:
    """Letters (of any language), digits, hyphen inside, underscore (container networks use it)."""
    if not 0 < len(label) <= LABEL_MAX or label[0] == "-" or label[-1] == "-":
        return False
    return all(char.isalnum() or char in "-_" for char in label)


def _bracketed(text: str) -> tuple[str, int | None]:
    inside, closed, rest = text[1:].partition("]")
    if not text.startswith("[") or not closed or "[" in inside or (rest and not rest.startswith(":")):
        raise NotAnEndpointError("brackets that do not match", "Write an IPv6 endpoint as [address]:port.")
    return _ipv6(inside), _port(rest[1:]) if rest else None


def _ipv6(text: str) -> str:
    try:
        address = IPv6Address(text)
        if address.scope_id is not None and not _ZONE.fullmatch(address.scope_id):
            raise ValueError(text)
        return str(address)
    except ValueError:
        raise NotAnEndpointError(
            "a text with more than one colon, or in brackets, that is not an IPv6 address",
            "Write host:port, or an IPv6 endpoint as [address]:port.",
        ) from None


def _port(text: str) -> int:
    if not text:
        raise NotAnEndpointError("a colon without a port", "Write the port after the colon, or leave the colon out.")
    if _DIGITS.fullmatch(text) and len(text) <= len(str(PORT_MAX)) and 0 < int(text) <= PORT_MAX:
        return int(text)
    found = f"port {text!r}" if _PORT_LIKE.fullmatch(text) else "a port that is not a number"
    raise NotAnEndpointError(found, f"Write a port from 1 to {PORT_MAX}, digits only.")
