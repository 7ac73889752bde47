"""The services of one process, by their type: what slices offer to their routes and to each other."""

from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class Services:
    """One service of each type."""

    def __init__(self, instead: Mapping[type, Any] | None = None) -> None:
        """``instead``: services that are used in place of those that slices offer."""
        self._instead = dict(instead or {})
        self._found: dict[type, Any] = {}

    def add(self, kind: type[T], service: T) -> T:
        """Offer ``service`` to all who ask for ``kind``; what they get. ValueError where there is one already."""
        if kind in self._found:
            raise ValueError(f"there is a {kind.__name__} already")
        chosen: T = self._instead.get(kind, service)
        self._found[kind] = chosen
        return chosen

    def get(self, kind: type[T]) -> T:
        """The service of this type. Raises LookupError, naming what there is."""
        found: T | None = self._found.get(kind)
        if found is None:
            there = ", ".join(sorted(one.__name__ for one in self._found)) or "none"
            raise LookupError(
                f"no slice offers a {kind.__name__}; look at the order in app/slices.py. There are: {there}"
            )
        return found
