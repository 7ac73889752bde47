"""Hot configuration: a setting of the whole cluster that changes while it runs.

A setting has a name that is also its path below ``/api/v1/settings/`` (``security/mfa``), a default that holds until
somebody sets another value, and a strict reading of JSON. What it does not decide: where it is kept, who may set it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from rppam.kernel.instant import WallMs

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Setting(Generic[T]):
    """One setting."""

    name: str
    title: str
    """What it is, in a few words, for people."""
    default: T
    read: Callable[[Mapping[str, object]], T]
    """From a JSON object with the product's camelCase names; a field that is left out has its default. Raises
    :class:`~rppam.settings.errors.SettingInvalid` naming every field that is wrong."""
    write: Callable[[T], dict[str, object]]
    """The whole object, each field named."""
    expected: Mapping[str, str] = field(default_factory=dict)
    """What each field may be, in words, for the reference."""


class InForce(NamedTuple, Generic[T]):
    """A value and its revision: 0 for the default that nobody has set."""

    value: T
    revision: int


class StoredSetting(NamedTuple):
    """One revision of a setting, as it is kept."""

    name: str
    revision: int
    """At least 1."""
    value: str
    """JSON. As it was when it was written: another release may no longer take it."""
    author: str
    epoch: int
    """The leadership under which it was written."""
    node: str
    changed_at: WallMs
    """By the database's clock."""
