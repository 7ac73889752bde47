"""``rppam-ha-manager add-node``: ask for a place, say what to type where, and wait until the new member counts.

Keys never leave a host by REST: they travel in the bundle that ``rppam init --bundle`` seals, for that host alone. What
is decided here is only when the newcomer has arrived: it is healthy, it votes, and nothing is pending.
"""

import asyncio
import json
import re
from typing import TYPE_CHECKING, Final

import click

from rppam.access.tokens.target import Where, target_options
from rppam.cli.errors import tell
from rppam.kernel.errors import Exit

if TYPE_CHECKING:
    from rppam.manager.orders_command import Orders

LOOK_S: Final = 1.0
NODES: Final = "/api/v1/admin/cluster/nodes"
STANDBY, WITNESS = "standby", "witness"


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: rppam-ha-manager add-node --host 10.0.0.2 --port 7101 --role standby --wait 600",
)
@click.option("--host", required=True, help="Where the others reach it: an address or a name.")
@click.option(
    "--port", type=click.IntRange(1, 65_535), help="Of its REST API [7101]; of a witness: its member port [5201]."
)
@click.option("--role", type=click.Choice([STANDBY, WITNESS]), default=STANDBY, show_default=True)
@click.option("--name", help="Its node.nodeName. Default: made of --host.")
@click.option(
    "--wait", "wait_s", type=click.IntRange(0, 86_400), default=0, metavar="SECONDS", help="Wait until it has joined."
)
@target_options("a token of pam_admin")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(
    *, host: str, port: int | None, role: str, name: str | None, wait_s: int, where: Where, as_json: bool
) -> int:
    """Add a node or a witness: check that there is a place for it, and show what to type on which host.

    It counts once it is healthy and has a vote; --wait waits for that.

    Exit code 0: there is a place, and with --wait it has joined; 1: refused, or not joined in time; 2: no node answers,
    or wrong usage.
    """
    from rppam.config.kinds import NAME_FORM
    from rppam.manager.orders_command import OrderError, Orders

    if not re.fullmatch(r"[A-Za-z0-9.:\[\]_-]{1,253}", host):
        raise click.UsageError(f"--host: expected an address or a host name; found {host!r}")
    name = name or _name_of(host)
    if not re.fullmatch(NAME_FORM, name):
        raise click.UsageError(f"--name: expected 1 to 63 of a-z, 0-9 and '-'; found {name!r}")
    steps = _steps(name, host, port, role)
    try:
        said = asyncio.run(_add(Orders(where), name, role, steps, wait_s, as_json=as_json))
    except OrderError as error:
        if as_json:
            click.echo(json.dumps({"error": str(error), "code": error.code, "next": []}))
        tell(str(error))
        return error.exit_code
    if as_json:
        click.echo(json.dumps({"nodeName": name, "role": role, "next": steps, "joined": bool(said)}))
    elif said:
        click.echo(said)
    return Exit.DONE


async def _add(orders: "Orders", name: str, role: str, steps: list[str], wait_s: int, *, as_json: bool) -> str:
    """What became of it; empty where nobody waits. Raises OrderError."""
    from rppam.manager.orders_command import OrderError

    view = await orders.look()
    if view.member(name) is not None:
        raise OrderError(f"a member named {name} belongs to cluster {view.cluster_id} already; give --name", Exit.NO)
    if role == STANDBY:
        await orders.ask_for(NODES, {"nodeName": name})
    if not as_json:
        for step in steps:
            click.echo(step)
    loop = asyncio.get_running_loop()
    until = loop.time() + wait_s
    while wait_s:
        view = await orders.look()
        found = view.member(name)
        if found is not None and found.status == "healthy" and found.has_vote is not False and not view.pending_change:
            return f"{name} has joined: it is healthy, and its vote counts"
        if loop.time() > until:
            why = f"it is {found.status}" if found else "it was not seen"
            raise OrderError(f"{name} has not joined within {wait_s} s: {why}. {view.pending_change}".rstrip(), Exit.NO)
        await asyncio.sleep(LOOK_S)
    return ""


def _name_of(host: str) -> str:
    word = re.sub(r"[^a-z0-9]+", "-", host.lower().split(".")[0] if not host[:1].isdigit() else host).strip("-")
    return f"node-{word}"[:63] if word[:1].isdigit() else word


def _steps(name: str, host: str, port: int | None, role: str) -> list[str]:
    passphrase = "--passphrase-file join.passphrase"  # noqa: S105 - a file's name
    if role == WITNESS:
        return [
            f"here:       rppam init --witness --bundle join.bundle --bundle-for {name} {passphrase}",
            f"on {host}: sudo rppam init --witness --join join.bundle {passphrase} --node-name {name} --host {host}"
            f" --port {port or 5201}",
            f"on {host}: sudo systemctl enable --now rppam-witness",
        ]
    return [
        f"here:       rppam init --bundle join.bundle --bundle-for {name} {passphrase}",
        f"on {host}: sudo rppam init --join join.bundle {passphrase} --node-name {name} --host {host}"
        f" --port {port or 7101}",
        f"on {host}: sudo systemctl enable --now rppam",
    ]
