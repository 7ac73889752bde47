"""The name in DNS as the settings have it: for the node, and for the doctor.

Decides which of this host's addresses the name gets where none is given. It promises nothing of the name server.
"""

from collections.abc import Callable
from ipaddress import ip_address

from rppam.cluster.dns.follower import NameKeeper
from rppam.cluster.dns.model import Address, DnsName, Mark
from rppam.cluster.dns.server import TsigKey
from rppam.config.rules import tsig_secret
from rppam.config.settings import DnsSettings, Settings
from rppam.kernel.secret import Secret


def keeper_of(settings: Settings, boot_id: str, may_act: Callable[[], bool], wall_ms: Callable[[], int]) -> NameKeeper:
    """For settings that have a name. ``may_act``: whether leadership is permitted at this moment. ``wall_ms``: this
    host's time."""
    dns = settings.dns

    def own(epoch: int) -> Mark:
        return Mark(settings.cluster.cluster_id, epoch, settings.node.node_name, boot_id)

    name = DnsName(dns.name or "", dns.own_zone, dns.ttl_s, dns.server or "", dns.port)
    return NameKeeper(name, key_of(dns), own, addresses_of(settings), may_act, wall_ms)


def addresses_of(settings: Settings) -> tuple[Address, ...]:
    """Those that are given; else that of the API, where it listens at one that others reach; else none."""
    if settings.dns.addresses:
        return tuple(map(ip_address, settings.dns.addresses))
    try:
        one = ip_address(settings.api.host)
    except ValueError:  # a host name
        return ()
    return () if one.is_loopback or one.is_unspecified else (one,)


def key_of(dns: DnsSettings) -> Callable[[], TsigKey]:
    """The TSIG key as of now: a file is read again, and where it cannot be, what it said last counts."""
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
