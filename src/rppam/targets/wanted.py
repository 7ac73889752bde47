"""A target as a file has it, and the values in which formats write its parts. Pure.

Decides nothing about what a target may be made of: the node that is asked to add it does.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from rppam.targets.errors import ResourceInvalid
from rppam.targets.model import ALIASES, HostKeyPolicy, read_host_key

YES: Final = frozenset({"true", "yes", "1", "on"})


class Unreadable(ValueError):
    """What a file says of one target cannot be meant."""


class WantedAccount(NamedTuple):
    """An account in a file."""

    name: str
    description: str = ""
    tags: tuple[str, ...] = ()

    def body(self) -> dict[str, Any]:
        """For REST; what the file does not say is left out."""
        found: dict[str, Any] = {"name": self.name}
        if self.tags:
            found["tags"] = _as_kept(self.tags)
        if self.description:
            found["description"] = self.description
        return found

    def value(self) -> Any:
        """For JSON: the bare name, where nothing else is said of it."""
        if not self.tags and not self.description:
            return self.name
        said = {"name": self.name, "description": self.description, "tags": list(self.tags)}
        return {name: value for name, value in said.items() if value}


class Wanted(NamedTuple):
    """A target in a file."""

    name: str
    kind: str = "ssh"
    address: str = ""
    """Empty: as the name."""
    port: int | None = None
    tags: tuple[str, ...] = ()
    accounts: tuple[WantedAccount, ...] = ()
    description: str = ""
    host_key_policy: str = ""
    """Empty: the file does not say."""
    legacy_algorithms: bool | None = None
    """``None``: the file does not say."""
    host_keys: tuple[str, ...] = ()
    """Pinned ones: the type, a blank, and base64; ``x509`` is the type of a certificate."""

    def body(self) -> dict[str, Any]:
        """For REST; what the file does not say is left out."""
        found: dict[str, Any] = {
            "name": self.name,
            "kind": ALIASES.get(self.kind.strip().lower(), self.kind),
            "address": (self.address or self.name).strip().removeprefix("[").removesuffix("]"),
        }
        if self.port is not None:
            found["port"] = self.port
        if self.tags:
            found["tags"] = _as_kept(self.tags)
        if self.description:
            found["description"] = self.description
        if self.host_key_policy:
            found["hostKeyPolicy"] = self.host_key_policy
        if self.legacy_algorithms is not None:
            found["legacyAlgorithms"] = self.legacy_algorithms
        return found

    @property
    def policy(self) -> str:
        """What a node takes where the file does not say."""
        return self.host_key_policy or HostKeyPolicy.PIN.value


Found = tuple[list[Wanted], list[str]]
"""The targets, and what is wrong with the file."""


def values(accounts: Iterable[WantedAccount]) -> list[Any]:
    """Accounts for JSON."""
    return [one.value() for one in accounts]


def accounts_of(value: object) -> tuple[WantedAccount, ...]:
    """Accounts out of JSON. Raises :class:`Unreadable`."""
    return tuple(_account(one) for one in _listed(value, "accounts"))


def texts_of(value: object, field: str) -> tuple[str, ...]:
    """A list of texts out of JSON. Raises :class:`Unreadable`."""
    return tuple(str(one) for one in _listed(value, field))


def keys_of(value: Iterable[str]) -> tuple[str, ...]:
    """Pinned keys: lines of ssh-keyscan, ``x509`` and base64, or PEM. Raises :class:`Unreadable`."""
    found = []
    for text in value:
        try:
            key = read_host_key(text)
        except ResourceInvalid as error:
            raise Unreadable(f"hostKeys: {error}") from None
        found.append(f"{key.type} {key.key}")
    return tuple(found)


def _account(value: object) -> WantedAccount:
    if isinstance(value, str):
        return WantedAccount(value)
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        raise Unreadable("accounts: expected names, or objects with a name")
    return WantedAccount(
        value["name"], str(value.get("description", "")), texts_of(value.get("tags", ()), "tags of an account")
    )


def _listed(value: object, field: str) -> Sequence[object]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise Unreadable(f"{field}: expected a list")
    return value


def _as_kept(tags: Iterable[str]) -> list[str]:
    return sorted({tag.strip().lower() for tag in tags} - {""})
