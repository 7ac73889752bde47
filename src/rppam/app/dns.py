"""The name of a cluster in DNS: who has it follow the leader, in the control process."""

from collections.abc import Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

from rppam.config.rules import tsig_secret
from rppam.config.settings import DnsSettings, Settings
from rppam.kernel.instant import Instant
from rppam.kernel.secret import Secret

if TYPE_CHECKING:
    from rppam.cluster.dns.follower import NameTask, NameWatch
    from rppam.cluster.dns.server import TsigKey


class NameDuty(NamedTuple):
    """What a node does about the name."""

    leading: "tuple[NameTask, ...]" = ()
    beside: "tuple[NameWatch, ...]" = ()


def name_duty(settings: Settings, boot_id: str, permitted_until: Callable[[], Instant | None]) -> NameDuty:
    """Nothing where the settings have no name: then the library is not loaded, either."""
    dns = settings.dns
    if dns.name is None or not settings.cluster.enabled:
        return NameDuty()
    from rppam.cluster.dns.follower import NameKeeper, NameTask, NameWatch
    from rppam.cluster.dns.model import Address, DnsName, Mark

    def own(epoch: int) -> Mark:
        return Mark(settings.cluster.cluster_id, epoch, settings.node.node_name, boot_id)

    def addresses() -> tuple[Address, ...]:
        given = dns.addresses or (settings.api.host,)
        try:
            found = tuple(ip_address(one) for one in given)
        except ValueError:  # a host name
            return ()
        useless = not dns.addresses and (found[0].is_loopback or found[0].is_unspecified)
        return () if useless else found

    name = DnsName(dns.name, dns.own_zone, dns.ttl_s, dns.server or "", dns.port)
    keeper = NameKeeper(name, key_of(dns), own, addresses(), lambda: permitted_until() is not None)
    task = NameTask(keeper)
    return NameDuty((task,), (NameWatch(keeper, task),))


def key_of(dns: DnsSettings) -> "Callable[[], TsigKey]":
    """The TSIG key as of now: a file is read again, and where it cannot be, what it said last counts."""
    from rppam.cluster.dns.server import TsigKey

    last = (dns.key_secret and tsig_secret(dns.key_secret)) or b""

    def key() -> TsigKey:
        nonlocal last
        if dns.key_secret_file is not None:
            try:
                text = dns.key_secret_file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                text = ""
            last = tsig_secret(Secret(text)) or last
        return TsigKey(dns.key_name or "", dns.key_algorithm, last)

    return key
