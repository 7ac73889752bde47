"""The virtual address on this host: an ``AddressHolder`` for each platform.

The kernel learns at each renewal how long the address may stay, in whole seconds. So an address goes away by itself
when everything that could remove it is dead or stands still. What this program did not put there,
a fixed address of the host above all, is never removed.

The Windows variant is type-checked and has not been run. There an address has no end of its own.
"""

import errno
import socket
import subprocess
import sys
from typing import Final

from rppam.cluster.vip.errors import AddressError, AddressForbidden, AddressRefused, AddressTaken, DeviceUnknown
from rppam.cluster.vip.model import VirtualAddress
from rppam.cluster.vip.netlink import (
    MARK,
    HostAddress,
    announce,
    claimed_by,
    host_addresses,
    put_address,
    remove_address,
)

_NETSH_S: Final = 5.0


class LinuxAddress:
    """By netlink. Needs CAP_NET_ADMIN, and CAP_NET_RAW to announce."""

    def __init__(self, address: VirtualAddress) -> None:
        self._address = address

    def take(self, life_s: int) -> bool:
        try:
            known = host_addresses()
            here = [one for one in known if one.ip == self._address.interface.ip]
            if any(not is_ours(one) for one in here):
                raise AddressTaken(f"{self._address.text}: {AddressTaken.row.meaning} {AddressTaken.row.remedy}")
            put_address(self._address.interface, self._index(known), max(1, life_s))
        except OSError as error:
            raise self._explained(error) from None
        return not here

    def drop(self) -> bool:
        try:
            ours = [one for one in host_addresses() if one.ip == self._address.interface.ip and is_ours(one)]
            for one in ours:
                self._remove(one)
        except OSError as error:
            raise self._explained(error) from None
        return bool(ours)

    def claimed_by(self) -> str:
        try:
            known = host_addresses()
            if any(one.ip == self._address.interface.ip for one in known):
                return ""
            return claimed_by(self._address.interface.ip, socket.if_indextoname(self._index(known)))
        except OSError as error:
            raise self._explained(error) from None

    def announce(self) -> None:
        try:
            index = self._index(host_addresses())
            announce(self._address.interface.ip, socket.if_indextoname(index))
        except OSError as error:
            raise self._explained(error) from None

    def _remove(self, one: HostAddress) -> None:
        try:
            remove_address(one.interface, one.device)
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:  # its life has ended meanwhile
                raise

    def _index(self, known: list[HostAddress]) -> int:
        """Return the number of the interface. Raises DeviceUnknown."""
        wanted = self._address
        if wanted.device:
            try:
                return socket.if_nametoindex(wanted.device)
            except OSError:
                raise DeviceUnknown(
                    f"{wanted}: expected an interface named {wanted.device}, found none. {DeviceUnknown.row.remedy}"
                ) from None
        network = wanted.interface.network
        for one in known:
            if one.ip.version == wanted.interface.version and one.ip != wanted.interface.ip and one.ip in network:
                return one.device
        raise DeviceUnknown(
            f"{wanted}: expected an interface with an address in {network}, found none. {DeviceUnknown.row.remedy}"
        )

    def _explained(self, error: OSError) -> AddressError:
        if error.errno in {errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT}:
            return AddressForbidden(f"{self._address}: {AddressForbidden.row.meaning} {AddressForbidden.row.remedy}")
        why = error.strerror or str(error) or "no answer in time"
        return AddressRefused(f"{self._address}: the system refused ({why}). {AddressRefused.row.remedy}")


def is_ours(one: HostAddress) -> bool:
    """Return whether this program put it there: its life is bounded, and nobody else has marked it."""
    return not one.is_fixed and one.mark in {None, MARK}


class WindowsAddress:
    """By netsh. Not run; see the module."""

    def __init__(self, address: VirtualAddress) -> None:
        self._address = address

    def take(self, life_s: int) -> bool:  # noqa: ARG002 - an address has no end there
        interface = self._address.interface
        return self._netsh("add", f"address={interface.ip}", f"mask={interface.netmask}", "store=active")

    def drop(self) -> bool:
        return self._netsh("delete", f"address={self._address.interface.ip}", "store=active")

    def claimed_by(self) -> str:
        """Windows looks by itself."""
        return ""

    def announce(self) -> None:
        """Windows does it when an address is added."""

    def _netsh(self, verb: str, *words: str) -> bool:
        family = "ipv4" if self._address.interface.version == 4 else "ipv6"
        line = ["netsh", "interface", family, verb, "address", f"name={self._address.device}", *words]
        try:
            done = subprocess.run(line, capture_output=True, check=False, timeout=_NETSH_S)  # noqa: S603  # no shell
        except (OSError, subprocess.TimeoutExpired) as error:
            raise AddressRefused(f"{self._address}: netsh could not be run ({error})") from None
        return done.returncode == 0


def address_of(address: VirtualAddress) -> LinuxAddress | WindowsAddress:
    return WindowsAddress(address) if sys.platform == "win32" else LinuxAddress(address)
