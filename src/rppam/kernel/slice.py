"""What a feature says of itself, so that the application finds its parts.

A slice is a folder that reads as one feature. Its ``__init__`` holds one :class:`Slice` and imports nothing else. Parts
are named as ``module:attribute`` below the slice's package and imported when they are needed: a command does not load
the REST API, nor a worker the commands.

It decides nothing about a feature, and knows none.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NamedTuple, Protocol, TypeVar


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


class Named(Protocol):
    """What has a name."""

    @property
    def name(self) -> str: ...


V = TypeVar("V", bound=Named)


class Declared(Mapping[str, V]):
    """What slices declare of one kind, by name: imported at the first look, whichever threads look first."""

    def __init__(self, known: Iterable[V] = ()) -> None:
        self._places: list[str] = []
        """Those that are not in ``_known`` as a whole."""
        self._known = {one.name: one for one in known}
        self._guard = threading.RLock()

    def declare(self, places: Iterable[str]) -> None:
        """Add what stands at these places (``module:attribute``)."""
        self._places += places

    def _parts(self, found: Any) -> Iterable[V]:
        """What stands at one place, one by one."""
        raise NotImplementedError

    def _all(self) -> dict[str, V]:
        if self._places:
            with self._guard:
                while self._places:
                    place = self._places[0]
                    for one in self._parts(load(place)):
                        if one.name in self._known:
                            raise ValueError(f"two of one name at {place}: {one.name}")
                        self._known[one.name] = one
                    del self._places[0]
        return self._known

    def __getitem__(self, name: str) -> V:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


def load(place: str) -> Any:
    """What stands at ``module:attribute``. Raises ImportError and AttributeError."""
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)
