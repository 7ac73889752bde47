"""The ``rppam-ha-manager`` command: what an administrator does to a whole cluster, by the product's words.

It has no code of its own: each word is a command of ``rppam``, or a part of one, imported when it is called. What a
command may do is decided where it always is, by the node that is asked; so the same command is a controller's on the
leader's host and works from any other.
"""

import sys
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Final, NamedTuple

import click

from rppam import __version__
from rppam.app.main import run
from rppam.cli.errors import calling
from rppam.kernel.errors import Exit


class Word(NamedTuple):
    """A word of this command."""

    module: str
    """It has a click command named ``command``."""
    part: str
    """The word of it, where it is a group; empty: the command itself."""
    help: str
    defaults: Mapping[str, object] = MappingProxyType({})
    """What its options are here, unless something else is said."""


_CLUSTER: Final = "rppam.manager.cli"
WORDS: Final = MappingProxyType(
    {
        "status": Word("rppam.manager.status_command", "", "Show the cluster on one screen."),
        "add-node": Word(
            "rppam.manager.add_node_command", "", "Make a place for a node or a witness, and wait for it."
        ),
        "remove-node": Word(_CLUSTER, "forget", "Remove a member for good."),
        "push-config": Word(
            "rppam.manager.push_command",
            "",
            "Bring the cluster's settings to what a file says: all of them, or none.",
            MappingProxyType({"all_or_none": True}),
        ),
        "vip": Word("rppam.manager.vip_command", "", "Show where the virtual address is."),
        "redis": Word("rppam.setup.redis_cli", "info", "Show the cluster's Redis: memory, keys, replicas."),
        "failover-test": Word("rppam.failover_test.cli", "", "Prove that the cluster keeps its five promises."),
        "failover-report": Word("rppam.failover_test.report_command", "", "Show a report of a test, and verify it."),
        "maintenance": Word(_CLUSTER, "maintenance", "Put a node into maintenance, or take it out."),
        "switchover": Word(_CLUSTER, "switchover", "Let another node lead, now."),
        "pause": Word(_CLUSTER, "pause", "Pause automatic failover."),
        "resume": Word(_CLUSTER, "resume", "Resume automatic failover."),
        "history": Word(_CLUSTER, "history", "Show what happened."),
    }
)


class _Words(click.Group):
    """Imports a word's module when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(WORDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        word = WORDS.get(cmd_name)
        if word is None:
            return None
        ctx.default_map = {**(ctx.default_map or {}), cmd_name: dict(word.defaults)}
        command: click.Command = import_module(word.module).command
        return command.get_command(ctx, word.part) if word.part and isinstance(command, click.Group) else command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        found = super().resolve_command(ctx, args)
        calling(f"{ctx.command_path} {found[0]}")
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl([(name, word.help) for name, word in WORDS.items()])


@click.group(
    cls=_Words,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: rppam-ha-manager failover-test --dry-run",
)
@click.version_option(__version__, prog_name="rppam-ha-manager")
@click.pass_context
def rppam_ha_manager(ctx: click.Context) -> None:
    """RP-PAM HA Manager: look after a whole cluster from any of its hosts.

    On a node's own host no option is needed; from elsewhere 'rppam login', or RPPAM_URL and RPPAM_TOKEN, or --url and
    --token-file, say whom to ask. Without a command it shows its menu, if it is on a terminal.
    """
    if ctx.invoked_subcommand is not None:
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        click.echo(ctx.get_help())
        ctx.exit(Exit.ERRORS)
    from rppam.app.menu import show_menu

    show_menu()


def main() -> None:
    """Entry point of the ``rppam-ha-manager`` command."""
    sys.exit(run(rppam_ha_manager))


if __name__ == "__main__":
    main()
