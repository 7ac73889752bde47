"""The virtual address of a cluster: who has it come and go, in the control process and in the supervisor."""

from collections.abc import Callable
from typing import Final

from rppam.cluster.vip.follower import AddressTask
from rppam.cluster.vip.host_address import address_of
from rppam.cluster.vip.model import VirtualAddress, virtual_address
from rppam.config.settings import Settings
from rppam.kernel.clock import Clock
from rppam.kernel.instant import Instant

COUNTABLE_MS: Final = 2_000
"""Shorter promises leave less than a whole second at times, although all is well."""
RENEWALS: Final = 6
"""So many in the time for which a renewal holds, so that lost ones cost nothing."""


def configured_address(settings: Settings) -> VirtualAddress | None:
    """What the settings say; ``None`` where there is none."""
    cluster = settings.cluster
    if not cluster.enabled or cluster.virtual_ip is None:
        return None
    return virtual_address(cluster.virtual_ip, cluster.virtual_ip_interface or "")


def address_duty(settings: Settings, permitted_until: Callable[[], Instant | None], clock: Clock) -> AddressTask | None:
    """For the process that leadership runs in."""
    address = configured_address(settings)
    if address is None:
        return None
    promise_ms = settings.cluster.timing.promise_ms
    every_s = promise_ms / RENEWALS / 1000
    rounds_up = promise_ms < COUNTABLE_MS
    return AddressTask(address_of(address), str(address), permitted_until, clock, every_s, rounds_up=rounds_up)
