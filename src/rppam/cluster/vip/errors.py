"""What a host says no to when the virtual address comes or goes (RPPAM-53xx)."""

from rppam.kernel.errors import Exit, Fault, Retry, RppamError


class AddressError(RppamError, fault=Fault.OPERATOR, retry=Retry.SLOWLY, exit=Exit.ERRORS):
    """Base of all of them. Leadership does not depend on the address; clients of it do."""


class AddressForbidden(AddressError, code="RPPAM-5301"):
    """The account that runs RP-PAM may not change the addresses of this host."""

    fix = "Copy packaging/rppam-virtual-ip.conf to /etc/systemd/system/rppam.service.d/, then systemctl daemon-reload."


class AddressTaken(AddressError, code="RPPAM-5302", retry=Retry.NO):
    """cluster.virtualIp is an address that this host has of its own, so it cannot follow leadership."""

    fix = "Choose an address that no host has, or take it out of this host's network configuration."


class DeviceUnknown(AddressError, code="RPPAM-5303"):
    """No network interface of this host fits cluster.virtualIp."""

    fix = "Name the interface in cluster.virtualIpInterface ('ip -br addr' lists them), or correct the prefix length."


class AddressInUse(AddressError, code="RPPAM-5305", fault=Fault.SURROUNDINGS):
    """Another host of the network has the virtual address, so this node does not claim it."""

    fix = "Find it by its hardware address ('ip neigh', the switch) and take the address from it or choose another."


class AddressRefused(AddressError, code="RPPAM-5304", fault=Fault.SURROUNDINGS):
    """The system did not do what was asked of it with the virtual address."""

    fix = "Read the reason in the message; 'ip addr' and the kernel's log say more."
