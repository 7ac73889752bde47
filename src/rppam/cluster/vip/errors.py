"""What a host says no to when the virtual address comes or goes (RPPAM-53xx)."""

from rppam.kernel.errors import ErrorRow, Fault, Retry, RppamError
from rppam.kernel.exits import Exit


class AddressError(RppamError):
    """Base of all of them. Leadership does not depend on the address; clients of it do."""


class AddressForbidden(AddressError):
    """The account that runs RP-PAM may not change addresses."""

    row = ErrorRow(
        "RPPAM-5301",
        Fault.OPERATOR,
        Retry.SLOWLY,
        "The account that runs RP-PAM may not change the addresses of this host.",
        "Copy packaging/rppam-virtual-ip.conf to /etc/systemd/system/rppam.service.d/, then systemctl daemon-reload.",
        exit=Exit.ERRORS,
    )


class AddressTaken(AddressError):
    """The address belongs to this host anyway."""

    row = ErrorRow(
        "RPPAM-5302",
        Fault.OPERATOR,
        Retry.NO,
        "cluster.virtualIp is an address that this host has of its own, so it cannot follow leadership.",
        "Choose an address that no host has, or take it out of this host's network configuration.",
        exit=Exit.ERRORS,
    )


class DeviceUnknown(AddressError):
    """There is no interface for it."""

    row = ErrorRow(
        "RPPAM-5303",
        Fault.OPERATOR,
        Retry.SLOWLY,
        "No network interface of this host fits cluster.virtualIp.",
        "Name the interface in cluster.virtualIpInterface ('ip -br addr' lists them), or correct the prefix length.",
        exit=Exit.ERRORS,
    )


class AddressRefused(AddressError):
    """The system refused for another reason, or did not answer."""

    row = ErrorRow(
        "RPPAM-5304",
        Fault.SURROUNDINGS,
        Retry.SLOWLY,
        "The system did not do what was asked of it with the virtual address.",
        "Read the reason in the message; 'ip addr' and the kernel's log say more.",
        exit=Exit.ERRORS,
    )
