"""Resources and the privileged accounts on them: what they are, and which texts they may be made of. Pure.

A name is fit for a command line: ``ssh alice+root+web1@HOST`` names a user, an account and a resource, so neither an
account nor a resource has a ``+``, ``:`` or ``#`` in it. Names of resources are compared without upper and lower case.
"""

import base64
import binascii
import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from cryptography.x509 import load_der_x509_certificate

from rppam.config.endpoint import NotAnEndpointError, parse_host
from rppam.config.wording import odd_character
from rppam.kernel.instant import WallMs
from rppam.kernel.network import is_address
from rppam.targets.errors import ResourceInvalid

NAME_CHARS_MAX: Final = 128
DESCRIPTION_CHARS_MAX: Final = 500
TAGS_MAX: Final = 32
TAG_CHARS_MAX: Final = 64
PAGE_SIZE: Final = 50
PAGE_SIZE_MAX: Final = 1_000
PAGE_MAX: Final = 1_000_000
PORT_MAX: Final = 65_535
KEY_CHARS_MAX: Final = 16_000
X509: Final = "x509"
"""The type of a pinned certificate."""

_NAME: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._ -]{0,126}[A-Za-z0-9._-])?")
_TAG: Final = re.compile(r"[a-z0-9][a-z0-9._:=/-]{0,63}")
_RESERVED: Final = frozenset("+:#")
_SSH_KEY: Final = re.compile(r"(?:ssh|ecdsa|sk)-[a-z0-9@.-]{1,60}")
_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)


class ResourceKind(StrEnum):
    """How a resource is reached, or what it is."""

    SSH = "ssh"
    RDP = "rdp"
    VNC = "vnc"
    POSTGRESQL = "postgresql"
    MYSQL = "mysql"
    MSSQL = "mssql"
    ORACLE = "oracle"
    LDAP = "ldap"
    AD = "ad"
    HTTP = "http"
    NETWORK = "network"
    """A switch, router or firewall."""
    OTHER = "other"


DEFAULT_PORTS: Final[Mapping[ResourceKind, int]] = MappingProxyType(
    {
        ResourceKind.SSH: 22,
        ResourceKind.RDP: 3389,
        ResourceKind.VNC: 5900,
        ResourceKind.POSTGRESQL: 5432,
        ResourceKind.MYSQL: 3306,
        ResourceKind.MSSQL: 1433,
        ResourceKind.ORACLE: 1521,
        ResourceKind.LDAP: 636,
        ResourceKind.AD: 636,
        ResourceKind.HTTP: 443,
        ResourceKind.NETWORK: 22,
    }
)
ALIASES: Final[Mapping[str, ResourceKind]] = MappingProxyType(
    {
        "linux": ResourceKind.SSH,
        "unix": ResourceKind.SSH,
        "server": ResourceKind.SSH,
        "windows": ResourceKind.RDP,
        "postgres": ResourceKind.POSTGRESQL,
        "mariadb": ResourceKind.MYSQL,
        "database": ResourceKind.POSTGRESQL,
        "ldaps": ResourceKind.LDAP,
        "https": ResourceKind.HTTP,
        "web": ResourceKind.HTTP,
    }
)
"""Words that people and inventories use for kinds."""


class HostKeyPolicy(StrEnum):
    """What a host key that is not pinned is worth."""

    PIN = "pin"
    """Nothing: an administrator pins it first."""
    TOFU = "tofu"
    """The first one of its type is pinned at the first contact, and recorded."""


class Resource(NamedTuple):
    """A machine or service."""

    id: str
    name: str
    kind: ResourceKind
    address: str
    port: int
    description: str = ""
    tags: tuple[str, ...] = ()
    """Sorted."""
    host_key_policy: HostKeyPolicy = HostKeyPolicy.PIN
    legacy_algorithms: bool = False
    """Old ciphers and key exchanges are allowed with it."""
    revision: int = 1
    created_at: WallMs = WallMs(0)


class TargetAccount(NamedTuple):
    """A privileged account on a resource."""

    id: str
    resource_id: str
    resource_name: str
    name: str
    description: str = ""
    tags: tuple[str, ...] = ()
    revision: int = 1
    created_at: WallMs = WallMs(0)


class HostKey(NamedTuple):
    """A host key or certificate that is believed."""

    id: str
    resource_id: str
    type: str
    """``ssh-ed25519``, …; ``x509`` for a certificate."""
    key: str
    """Base64 of the key, or of the certificate in DER."""
    fingerprint: str
    """``SHA256:…`` as OpenSSH writes it."""
    pinned_at: WallMs = WallMs(0)

    @property
    def line(self) -> str:
        """The key as OpenSSH writes it."""
        return f"{self.type} {self.key}"


class Search(NamedTuple):
    """Which resources or accounts, and which page of them."""

    page: int = 1
    page_size: int = PAGE_SIZE
    text: str = ""
    """Part of a name, an address or a description, in any case."""
    tags: tuple[str, ...] = ()
    """All of them."""
    kind: ResourceKind | None = None
    resource_id: str | None = None
    """For accounts: those of one resource."""


class Page(NamedTuple):
    """One page of resources or accounts, and how many there are in all."""

    items: tuple[Any, ...]
    total: int


def kind_of(text: str) -> ResourceKind:
    """The kind that a word means. Raises :class:`ResourceInvalid`."""
    word = text.strip().lower()
    try:
        return ALIASES.get(word) or ResourceKind(word)
    except ValueError:
        raise ResourceInvalid(f"kind: expected one of {', '.join(ResourceKind)}, found another word") from None


def checked_name(text: str, field: str = "name") -> str:
    """The name of a resource. Raises :class:`ResourceInvalid`."""
    if not _NAME.fullmatch(text):
        found = odd_character(text, lambda char: _NAME.fullmatch(f"a{char}a"))
        if not found and 0 < len(text) <= NAME_CHARS_MAX:
            found = odd_character(text[0], _NAME.fullmatch) or f"a blank as character {len(text)}"
        raise ResourceInvalid(
            f"{field}: expected 1 to {NAME_CHARS_MAX} of A-Z a-z 0-9 . _ - and spaces inside, "
            f"found {found or f'{len(text)} characters'}"
        )
    return text


def checked_account_name(text: str, field: str = "name") -> str:
    """The name of an account: printable, without what separates names. Raises :class:`ResourceInvalid`."""
    if not 0 < len(text) <= NAME_CHARS_MAX or text != text.strip():
        raise ResourceInvalid(f"{field}: expected 1 to {NAME_CHARS_MAX} characters without spaces around them")
    for place, char in enumerate(text, 1):
        if char in _RESERVED or (char != " " and unicodedata.category(char)[0] in "CZ"):
            raise ResourceInvalid(
                f"{field}: expected printable characters without + : #, found U+{ord(char):04X} as character {place}"
            )
    return text


def checked_address(text: str) -> str:
    """A host name or IP address. Raises :class:`ResourceInvalid`."""
    bare = text.strip().removeprefix("[").removesuffix("]")
    if is_address(bare):
        return bare
    try:
        return parse_host(bare)
    except NotAnEndpointError:
        raise ResourceInvalid("address: expected a host name or an IP address, without a port") from None


def checked_port(port: int | None, kind: ResourceKind) -> int:
    """The port, or the usual one of the kind. Raises :class:`ResourceInvalid`."""
    found = DEFAULT_PORTS.get(kind) if port is None else port
    if found is None or not 0 < found <= PORT_MAX:
        raise ResourceInvalid(f"port: expected 1 to {PORT_MAX}")
    return found


def checked_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """The tags in lower case, each once and sorted. Raises :class:`ResourceInvalid`."""
    found = sorted({tag.strip().lower() for tag in tags} - {""})
    if len(found) > TAGS_MAX:
        raise ResourceInvalid(f"tags: expected at most {TAGS_MAX}, found {len(found)}")
    for place, tag in enumerate(found, 1):
        if not _TAG.fullmatch(tag):
            raise ResourceInvalid(f"tags: expected words of a-z 0-9 . _ : = / -, found another one as number {place}")
    return tuple(found)


def checked_description(text: str) -> str:
    """One line for people. Raises :class:`ResourceInvalid`."""
    if len(text) > DESCRIPTION_CHARS_MAX:
        raise ResourceInvalid(f"description: expected at most {DESCRIPTION_CHARS_MAX} characters, found {len(text)}")
    if any(unicodedata.category(char) in {"Cc", "Cs"} for char in text):
        raise ResourceInvalid("description: expected one line of printable text")
    return text


class ReadKey(NamedTuple):
    """A host key or certificate as it was read from a text."""

    type: str
    key: str
    fingerprint: str


def read_host_key(text: str) -> ReadKey:
    """A public key as OpenSSH writes it (also behind a host name), or a certificate as PEM or ``x509`` and base64.

    Raises :class:`ResourceInvalid`.
    """
    pem = _PEM.search(text)
    words = text.split()
    if pem is not None or (len(words) == 2 and words[0] == X509):
        data = _certificate("".join(pem[1].split()) if pem is not None else words[1])
        return ReadKey(X509, base64.b64encode(data).decode(), key_fingerprint(data))
    at = next((place for place, word in enumerate(words) if _SSH_KEY.fullmatch(word)), None)
    if at is None or at + 1 >= len(words):
        raise ResourceInvalid("key: expected a line of ssh-keyscan, or a certificate between BEGIN and END CERTIFICATE")
    data = _decoded(words[at + 1])
    size = int.from_bytes(data[:4], "big")
    if data[4 : 4 + size] != words[at].encode():
        raise ResourceInvalid("key: expected a key of the type that its line names")
    return ReadKey(words[at], words[at + 1], key_fingerprint(data))


def _certificate(text: str) -> bytes:
    data = _decoded(text)
    try:
        load_der_x509_certificate(data)
    except ValueError:
        raise ResourceInvalid("key: expected a certificate (X.509) in base64, found other bytes") from None
    return data


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ResourceInvalid("key: expected base64") from None


def key_fingerprint(data: bytes) -> str:
    """The fingerprint of a public key's or certificate's bytes, as ``ssh-keygen -l`` shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
