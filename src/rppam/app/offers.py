"""The services of one process: what the application gives, and what every slice makes of it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rppam.app.slices import SLICES
from rppam.cluster.driver.leader_tasks import LoopTask
from rppam.cluster.driver.node_tasks import NodeTask
from rppam.foundation import ControlFoundation, Foundation
from rppam.kernel.services import Services
from rppam.kernel.slice import load


def offered(base: Foundation, given: Iterable[tuple[type, Any]], instead: Mapping[type, Any] | None = None) -> Services:
    """The services of one process: those ``given``, and those that slices offer.

    ``instead``: services to use in place of those of the slices.
    """
    services = Services(instead)
    services.add(Foundation, base)
    for kind, service in given:
        services.add(kind, service)
    for slice_ in SLICES:
        if slice_.wire:
            load(slice_.place(slice_.wire))(base, services)
    return services


def leader_tasks(base: ControlFoundation) -> Iterator[LoopTask]:
    """What the slices want done while this node leads, in their order."""
    for slice_ in SLICES:
        if slice_.leader_tasks:
            yield from load(slice_.place(slice_.leader_tasks))(base)


def node_tasks(base: ControlFoundation) -> Iterator[NodeTask]:
    """What the slices want done on every node, in their order."""
    for slice_ in SLICES:
        if slice_.node_tasks:
            yield from load(slice_.place(slice_.node_tasks))(base)
