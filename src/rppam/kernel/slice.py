"""What a feature says of itself, so that the application finds its parts.

A slice is a folder that reads as one feature. Its ``__init__`` holds one :class:`Slice` and imports nothing else. Parts
are named as ``module:attribute`` below the slice's package and imported when they are needed: a command does not load
the REST API, nor a worker the commands.

It decides nothing about a feature, and knows none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NamedTuple


class Command(NamedTuple):
    """A word of the ``rppam`` command."""

    module: str
    """Below the slice's package. It has a click command named ``command``."""
    help: str
    """One line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """The parts of one feature."""

    name: str
    package: str
    public: tuple[str, ...] = ()
    """The modules that other slices may import from."""
    routes: tuple[str, ...] = ()
    """Routers of the REST API."""
    settings: tuple[str, ...] = ()
    """Settings of hot configuration."""
    tables: str = ""
    """The module with the slice's tables."""
    migrations: str = ""
    """The package with its steps of the schema."""
    actions: str = ""
    """What the ledger records of it: a sequence of actions."""
    wire: str = ""
    """``wire(base, services)``: offers the slice's services in a process that serves requests."""
    leader_tasks: str = ""
    """``leader_tasks(base)``: what runs in the control process, and only while its node leads."""
    node_tasks: str = ""
    """``node_tasks(base)``: what every node does beside, in its control process."""
    commands: Mapping[str, Command] = field(default_factory=dict)

    def place(self, part: str) -> str:
        """The full place of a part: ``rppam.access.lockouts.policy:LOCKOUT``."""
        return f"{self.package}.{part}"


def load(place: str) -> Any:
    """What stands at ``module:attribute``. Raises ImportError and AttributeError."""
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)
