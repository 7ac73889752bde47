"""``rppam-ha-manager vip``: the virtual address, and on whose host it is.

Each node says with its heartbeats whether it has the address; this shows what the asked node knows of all of them. It
decides nothing: the address follows the leader.
"""

import asyncio
import json

import click

from rppam.access.tokens.target import Where, target_options
from rppam.cli.errors import fail
from rppam.kernel.errors import Exit


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: rppam-ha-manager vip --url http://node2:7101",
)
@target_options("an admin token")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(*, where: Where, as_json: bool) -> int:
    """Show the virtual address of the cluster, and which node has it.

    Exit code 0: exactly the leader has it, or there is none; 1: another node, several or nobody has it; 2: no node
    answers, or wrong usage.
    """
    from rppam.manager.orders_command import OrderError, Orders

    orders = Orders(where)
    try:
        view = asyncio.run(orders.look())
    except OrderError as error:
        fail(str(error), error.code)
        return error.exit_code
    here = [one.node for one in view.members if one.has_virtual_ip]
    right = not view.virtual_ip or here == [view.leader]
    if as_json:
        click.echo(json.dumps({"virtualIp": view.virtual_ip, "nodes": here, "leader": view.leader, "right": right}))
    elif not view.virtual_ip:
        click.echo("there is no virtual address: cluster.virtualIp is not set on the asked node")
    else:
        told = f"is on {', '.join(here)}" if here else "is on no node"
        click.echo(f"{view.virtual_ip} {told}; {view.leader or 'nobody'} leads")
    return Exit.DONE if right else Exit.NO
