"""``rppam lb``: prints the configuration of a load balancer in front of the nodes.

It asks and changes nothing; the file goes to standard output, or with ``--out`` to a file.
"""

from pathlib import Path
from typing import Any, Final

import click

from rppam.cli.group import Group

_HELP: Final = {"help_option_names": ["-h", "--help"]}
_PATH: Final = click.Path(path_type=Path)
_OUT: Final = click.option("--out", type=_PATH, help="Write the file there.  [default: print it]")
_FORCE: Final = click.option("--force", is_flag=True, help="Replace what stands at --out and says something else.")
_SHARED: Final = (
    click.option("--node", "nodes", multiple=True, required=True, metavar="NAME=URL",
                 help="A node, such as node1=https://10.0.1.11:7101; once for each. NAME is in its certificate."),
    click.option("--listen", default="*:443", show_default=True, help="Where the balancer listens."),
    click.option("--certificate", type=_PATH, help="What it shows there (PEM); for haproxy with the key in it."),
    click.option("--key", type=_PATH, help="The key of that certificate, for nginx."),
    click.option("--ca", "authority", type=_PATH, help="Authority that signed the nodes' certificates."),
    click.option("--tls-name", default="", help="Name that every node's certificate carries.  [haproxy: each its own]"),
    click.option("--leader", "leader_alone", is_flag=True, help="Everything to the leader alone, by its health."),
    _OUT, _FORCE,
)  # fmt: skip


def _shared(command: Any) -> Any:
    for option in reversed(_SHARED):
        command = option(command)
    return command


@click.group(
    "lb", cls=Group, context_settings=_HELP, epilog="Example: rppam lb haproxy --node node1=http://10.0.1.11:7101"
)
def command() -> None:
    """Write the configuration of a load balancer in front of the nodes."""


@command.command(
    "haproxy",
    context_settings=_HELP,
    epilog="Example: rppam lb haproxy --node node1=https://10.0.1.11:7101 --node node2=https://10.0.1.12:7101 "
    "--certificate /etc/haproxy/rppam.pem --ca /etc/haproxy/rppam-ca.pem",
)
@_shared
@click.option(
    "--proxy-protocol",
    "proxy",
    is_flag=True,
    help="Name the caller by the PROXY protocol, version 2, in front of each connection, and not by a header. "
    "Every node needs api.forwardedHeader PROXY.",
)
def haproxy(*, out: Path | None, force: bool, nodes: tuple[str, ...], **wished: Any) -> None:
    """For HAProxy: asks each node every second, passes over one that drains before it is gone."""
    from rppam.setup import balancer

    _give(lambda: balancer.haproxy(balancer.Wishes(balancer.nodes_of(nodes), **wished)), out, force=force)


@command.command(
    "nginx",
    context_settings=_HELP,
    epilog="Example: rppam lb nginx --node node1=http://10.0.1.11:7101 --node node2=http://10.0.1.12:7101",
)
@_shared
def nginx(*, out: Path | None, force: bool, nodes: tuple[str, ...], **wished: Any) -> None:
    """For nginx: learns from the first request that fails, and sends that one to another node."""
    from rppam.setup import balancer

    _give(lambda: balancer.nginx(balancer.Wishes(balancer.nodes_of(nodes), **wished)), out, force=force)


@command.command(
    "keepalived",
    context_settings=_HELP,
    epilog="Example: rppam lb keepalived --address 10.0.1.60/24 --interface eth0 --own 10.0.1.8 --peer 10.0.1.9",
)
@click.option("--address", required=True, help="Address that one of the balancers has, with its prefix.")
@click.option("--interface", required=True, help="Network interface that it comes to.")
@click.option("--own", default="", help="Address of this host, where the network takes no multicast.")
@click.option("--peer", "peers", multiple=True, help="Address of another balancer; once for each.")
@click.option(
    "--router", type=click.IntRange(1, 255), default=71, show_default=True, help="Virtual router id; one's own."
)
@click.option(
    "--priority", type=click.IntRange(1, 254), default=100, show_default=True, help="Who is first, at a start."
)
@click.option(
    "--probe", default="https://127.0.0.1/system/health/ping", show_default=True, help="What shows that it works."
)
@_OUT
@_FORCE
def keepalived(*, out: Path | None, force: bool, **wished: Any) -> None:
    """For keepalived: one address for two hosts of balancers.

    Not for nodes: cluster.virtualIp follows the leader by itself.
    """
    from rppam.setup import balancer

    _give(lambda: balancer.keepalived(balancer.Shared(**wished)), out, force=force)


def _give(make: Any, out: Path | None, *, force: bool) -> None:
    from rppam.cli.files import write_private
    from rppam.setup.balancer import BalancerError

    try:
        text: str = make()
    except BalancerError as error:
        raise click.UsageError(str(error)) from None
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        present = out.read_text(encoding="utf-8") if out.exists() else text
        if present != text and not force:
            raise click.ClickException(f"{out} stands there already and says something else; --force replaces it")
        write_private(out, text, mode=0o644)
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{out} cannot be written: {getattr(error, 'strerror', error)}") from None
    click.echo(f"wrote {out}")
