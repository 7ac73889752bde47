"""Configurations of load balancers in front of the nodes: HAProxy, nginx, and keepalived for two balancers.

Decides whom a request goes to: to any node that is ready, as every node answers everything and hands on what only the
leader may do; or, asked for, to the leader alone. What was not carried out is sent to another node, what may have been
is not. The caller's address is what the balancer saw, whatever the caller says of it.

What it does not promise: that a balancer is highly available by itself. Run two, with ``keepalived``.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from rppam.config.endpoint import Endpoint, NotAnEndpointError, parse_host
from rppam.kernel.network import is_address
from rppam.setup.templating import filled

READY: Final = "/system/health/ready"
LEADER: Final = "/system/health/leader"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_WORD: Final = re.compile(r"[!-~]+")
_INTERFACE: Final = re.compile(r"[!-.0-~]{1,15}")
_ADDRESS: Final = re.compile(r"[0-9a-fA-F.:]+/[0-9]{1,3}")


class BalancerError(ValueError):
    """Something on the command line makes no sense; ``str()`` says what was expected and found."""


class Node(NamedTuple):
    """A node behind the balancer."""

    name: str
    place: Endpoint
    is_secure: bool


class Wishes(NamedTuple):
    """What the command line asks for."""

    nodes: tuple[Node, ...]
    listen: str
    certificate: Path | None
    key: Path | None
    authority: Path | None
    tls_name: str
    """The name that the certificate of every node carries; empty: each its own."""
    leader_alone: bool
    proxy: bool = False
    """The caller's address goes by the PROXY protocol, version 2, and no header."""


def nodes_of(texts: Sequence[str]) -> tuple[Node, ...]:
    """Nodes from ``NAME=http(s)://HOST:PORT``. Raises :class:`BalancerError`."""
    nodes = tuple(map(_node, texts))
    if not nodes:
        raise BalancerError("--node: expected at least one, such as node1=https://10.0.1.11:7101, found none")
    if len({one.name for one in nodes}) < len(nodes) or len({one.place for one in nodes}) < len(nodes):
        raise BalancerError("--node: expected names and addresses that differ, found one twice")
    if len({one.is_secure for one in nodes}) > 1:
        raise BalancerError("--node: expected https:// for all nodes or for none, found both")
    return nodes


def _node(text: str) -> Node:
    name, there, url = text.partition("=")
    expected = f"--node: expected NAME=https://HOST:PORT, such as node1=https://10.0.1.11:7101, found {text!r}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise BalancerError(expected) from None
    if not there or not _NAME.fullmatch(name) or parts.scheme not in {"http", "https"} or not host:
        raise BalancerError(expected)
    if parts.path not in {"", "/"} or parts.query or not (is_address(host) or _NAME.fullmatch(host)):
        raise BalancerError(expected)
    try:
        host = host if is_address(host) else parse_host(host)
    except NotAnEndpointError as error:
        raise BalancerError(f"{expected}: {error}") from None
    return Node(name, Endpoint(host, port or (443 if parts.scheme == "https" else 80)), parts.scheme == "https")


def haproxy(wishes: Wishes) -> str:
    """``haproxy.cfg``. Raises :class:`BalancerError`."""
    _refuse(wishes)
    secure = wishes.certificate is not None
    listen = f"{wishes.listen} ssl crt {wishes.certificate} alpn http/1.1" if secure else wishes.listen
    check, checked = (LEADER, "only the leader") if wishes.leader_alone else (READY, "every node but one that drains")
    introduced = " send-proxy-v2 check-send-proxy" if wishes.proxy else ""
    lines = [f"    server {one.name} {_shown(one)} check{introduced}{_trusted(one, wishes)}" for one in wishes.nodes]
    return filled(
        "haproxy.cfg",
        {
            "listen": listen,
            "secure": secure,
            "proxy": wishes.proxy,
            "header": not wishes.proxy,
            "check": check,
            "checked": f"200 from {checked}",
            "name": wishes.tls_name or "rppam",
            "servers": "\n".join(lines),
        },
    )


def _trusted(node: Node, wishes: Wishes) -> str:
    if not node.is_secure:
        return ""
    name = wishes.tls_name or node.name
    return f" ssl verify required ca-file {wishes.authority} sni str({name}) check-sni {name} verifyhost {name}"


def nginx(wishes: Wishes) -> str:
    """A file for ``conf.d``. Raises :class:`BalancerError`."""
    _refuse(wishes)
    if wishes.leader_alone:
        raise BalancerError("--leader: nginx asks no health, so it cannot know the leader; take haproxy for that")
    secure = wishes.nodes[0].is_secure
    if secure and not wishes.tls_name:
        raise BalancerError(
            "--tls-name: nginx checks one name for all nodes; expected a name that the certificate of each carries "
            "(rppam tls issue node1 pam.example.com ...), found none"
        )
    if wishes.certificate is not None and wishes.key is None:
        raise BalancerError("--key: nginx wants the key beside the certificate, found none")
    lines = [f"    server {_shown(one)} max_fails=1 fail_timeout=2s;" for one in wishes.nodes]
    return filled(
        "nginx.conf",
        {
            "listen": f"{wishes.listen} ssl" if wishes.certificate is not None else wishes.listen,
            "certificate": wishes.certificate or "",
            "key": wishes.key or "",
            "scheme": "https" if secure else "http",
            "secure": secure,
            "ca": wishes.authority or "",
            "name": wishes.tls_name,
            "servers": "\n".join(lines),
        },
    )


class Shared(NamedTuple):
    """What ``keepalived`` needs of one host of two."""

    address: str
    interface: str
    own: str
    peers: tuple[str, ...]
    router: int
    priority: int
    probe: str


def keepalived(shared: Shared) -> str:
    """``keepalived.conf``. Raises :class:`BalancerError`."""
    if not _ADDRESS.fullmatch(shared.address) or not is_address(shared.address.partition("/")[0]):
        raise BalancerError(
            f"--address: expected an address with its prefix, such as 10.0.1.60/24, found {shared.address!r}"
        )
    if not _INTERFACE.fullmatch(shared.interface):
        raise BalancerError(f"--interface: expected a name such as eth0, found {shared.interface!r}")
    if wrong := [one for one in (*filter(None, [shared.own]), *shared.peers) if not is_address(one)]:
        raise BalancerError(f"--own, --peer: expected addresses, found {', '.join(wrong)}")
    if bool(shared.own) != bool(shared.peers):
        raise BalancerError("--own goes with --peer: the address of this host, and those of the other balancers")
    if not _WORD.fullmatch(shared.probe) or not shared.probe.startswith(("http://", "https://")):
        raise BalancerError(f"--probe: expected a URL of the balancer on this host, found {shared.probe!r}")
    return filled(
        "keepalived.conf",
        {**shared._asdict(), "peer_lines": "\n".join(f"        {one}" for one in shared.peers)},
    ).replace("\n\n    virtual_ipaddress", "\n    virtual_ipaddress")


def _refuse(wishes: Wishes) -> None:
    if wishes.nodes[0].is_secure and wishes.authority is None:
        raise BalancerError(
            "--ca: the nodes speak https; expected the file of the authority that signed them, found none"
        )
    for option, path in (("--certificate", wishes.certificate), ("--key", wishes.key), ("--ca", wishes.authority)):
        if path is not None and (
            not path.is_absolute() or not _WORD.fullmatch(str(path)) or set(str(path)) & set("\"';{}#\\")
        ):
            raise BalancerError(f"{option}: expected an absolute path without blanks and quotes, found {str(path)!r}")
    if wishes.tls_name and not _NAME.fullmatch(wishes.tls_name):
        raise BalancerError(f"--tls-name: expected a host name, found {wishes.tls_name!r}")
    if not re.fullmatch(r"(\*|[A-Za-z0-9_.\[\]:-]*):?[0-9]{1,5}", wishes.listen):
        raise BalancerError(f"--listen: expected ADDRESS:PORT or *:PORT, found {wishes.listen!r}")


def _shown(node: Node) -> str:
    return str(node.place)
