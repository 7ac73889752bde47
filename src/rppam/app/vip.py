"""The virtual address of a cluster: who has it come and go, in the control process and in the supervisor."""

import socket
from collections.abc import Callable, Sequence
from typing import Final

from rppam.cluster.vip.follower import AddressTask
from rppam.cluster.vip.host_address import address_of
from rppam.cluster.vip.listeners import Listeners
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


QUIET_S: Final = 0.35
"""So long what runs through the address may take to end before it is given away: most answers are there in less."""
QUIET_SHARE: Final = 0.7
"""Of the time that everything of a leader has to stop in."""


def address_duty(
    settings: Settings,
    permitted_until: Callable[[], Instant | None],
    clock: Clock,
    listening: Sequence[socket.socket] = (),
) -> AddressTask | None:
    """For the process that leadership runs in. ``listening``: sockets where clients connect; they stay open."""
    address = configured_address(settings)
    if address is None:
        return None
    promise_ms = settings.cluster.timing.promise_ms
    every_s = promise_ms / RENEWALS / 1000
    rounds_up = promise_ms < COUNTABLE_MS
    return AddressTask(
        address_of(address),
        str(address),
        permitted_until,
        clock,
        every_s,
        rounds_up=rounds_up,
        listeners=Listeners(listening, address.interface.ip) if listening else None,
        quiet_s=min(QUIET_S, QUIET_SHARE * settings.cluster.timing.drop_ms / 1000),
    )
