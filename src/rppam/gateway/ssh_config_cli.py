"""``rppam ssh-config``: blocks for OpenSSH's configuration, one for each account that one may connect to."""

from typing import Any, Final
from urllib.parse import urlsplit

import click

from rppam.access.tokens.target import Where, asked, target_options
from rppam.cli.errors import fail

TARGETS: Final = "/api/v1/access/targets"
_HELP: Final = {"help_option_names": ["-h", "--help"]}


@click.command("ssh-config", context_settings=_HELP, epilog="Example: rppam ssh-config >> ~/.ssh/config")
@click.option(
    "--gateway", metavar="HOST", help="Address of the gateways: the virtual address, a balancer. Default: the node's."
)
@click.option("--port", type=click.IntRange(1, 65535), default=2222, show_default=True, help="Port of the gateways.")
@click.option("--prefix", default="", metavar="TEXT", help="Begin each name with this, such as pam-.")
@click.option("--user", metavar="NAME", help="Who logs in. Default: whose token it is.")
@target_options("the token of an account")
def command(*, gateway: str | None, port: int, prefix: str, user: str | None, where: Where) -> int:
    """Print a Host block for each target, so that `ssh web1`, scp, rsync and git go through the cluster.

    Exit code 0: printed; 2: could not look.
    """
    found, problem = asked(where, "ssh-config@host", "GET", TARGETS)
    if problem:
        fail(problem, str(found.get("code", "")))
        return 2
    host = gateway or urlsplit(where.target("ssh-config@host").url).hostname or "127.0.0.1"
    click.echo(blocks(user or found["user"], found["items"], host, port, prefix), nl=False)
    return 0


def blocks(user: str, items: list[dict[str, Any]], host: str, port: int, prefix: str) -> str:
    """The blocks; a target with several accounts has one for each, named ACCOUNT.TARGET."""
    accounts: dict[str, int] = {}
    for one in items:
        accounts[one["target"]] = accounts.get(one["target"], 0) + 1
    lines = []
    for one in items:
        alone = accounts[one["target"]] == 1
        name = one["target"] if alone else f"{one['account']}.{one['target']}"
        login = f"{user}+{one['target']}" if alone else f"{user}+{one['account']}+{one['target']}"
        lines += [f"Host {prefix}{name}", f"    HostName {host}", f"    Port {port}", f"    User {login}"]
        lines += ["    HostKeyAlias rp-pam", "    ServerAliveInterval 15", ""]
    return "\n".join(lines) + ("" if lines else "# there is no target that you may connect to\n")
