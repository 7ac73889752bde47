"""The hosts of a cluster as ``rppam init --hosts`` names them: which lists make sense, and which of them is this host.

Addresses only, no names: Redis binds them, PostgreSQL lets them in, and certificates are made for them. A name would be
another address on another host. Nothing is asked of the other hosts here, which may not even run yet.
"""

import re
import socket
from ipaddress import ip_address
from typing import Final, NamedTuple

import click

from rppam.config.endpoint import Endpoint
from rppam.config.kinds import NAME_FORM
from rppam.setup.errors import InitError

REDIS_HOSTS: Final = 3
HOSTS_MAX: Final = 9
_FORM: Final = "node1=10.0.1.11,node2=10.0.1.12,node3=10.0.1.13"


class Host(NamedTuple):
    """One host, by its node's name and the address where the others reach it."""

    name: str
    address: str

    def url(self, port: int) -> str:
        """Where its API is reached."""
        return f"https://{Endpoint(self.address, port)}"


def hosts_of(text: str, node_name: str, *, with_redis: bool) -> tuple[Host, ...]:
    """The hosts of ``--hosts``, that of ``node_name`` first. Raises :class:`click.UsageError`."""
    found = tuple(host_of("--hosts", part) for part in text.split(",") if part.strip())
    for kind, values in (("a name", [one.name for one in found]), ("an address", [one.address for one in found])):
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            raise click.UsageError(f"--hosts: expected {kind} of its own for each host, found {twice[0]!r} twice")
    least = REDIS_HOSTS if with_redis else 2
    if not least <= len(found) <= HOSTS_MAX:
        why = ", as Sentinel needs three to agree; with a Redis of your own (--redis-files) two are enough"
        raise click.UsageError(
            f"--hosts: expected {least} to {HOSTS_MAX} hosts{why if with_redis else ''}; found {len(found)}"
        )
    own = next((one for one in found if one.name == node_name), None)
    if own is None:
        names = ", ".join(one.name for one in found)
        raise click.UsageError(f"--hosts: expected {node_name!r}, which --node-name says this host is; found {names}")
    return (own, *(one for one in found if one is not own))


def host_of(option: str, text: str) -> Host:
    """One ``NAME=ADDRESS``. Raises :class:`click.UsageError`."""
    name, there, address = (part.strip() for part in text.partition("="))
    if not there or not re.fullmatch(NAME_FORM, name):
        raise click.UsageError(
            f"{option}: expected NAME=ADDRESS, the name of a-z, 0-9 and '-', such as {_FORM}; found {text.strip()!r}"
        )
    try:
        parsed = ip_address(address)
    except ValueError:
        raise click.UsageError(f"{option}: {name}: expected an IP address, found {address!r}") from None
    if parsed.is_loopback or parsed.is_unspecified or parsed.is_multicast or "%" in address:
        raise click.UsageError(f"{option}: {name}: expected an address that other hosts reach, found {address!r}")
    return Host(name, str(parsed))


def refuse_elsewhere(host: Host, said_by: str) -> None:
    """Raise :class:`InitError` where this host does not have the address; nothing is sent."""
    family = socket.AF_INET6 if ":" in host.address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host.address, 0))
    except OSError:
        raise InitError(
            f"{said_by}: {host.name} is the host with the address {host.address}, and this host has no such address. "
            "Run this on that host, or correct --hosts on the first one"
        ) from None
