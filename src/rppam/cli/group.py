"""A group of commands: which words mean the same, and a list of commands that says all of each first sentence.

Decides what ``rppam target list`` and ``rppam user ls`` mean. It does not promise that every group has such a command.
"""

from typing import Final

import click

from rppam.cli.errors import calling

SAME: Final = {"list": "ls", "ls": "list", "delete": "rm", "remove": "rm"}
"""Words that people try, and the one that means the same."""
_WHOLE: Final = 1_000
"""So long may a first sentence be; it is wrapped, and not cut off."""


class Group(click.Group):
    """See the module."""

    group_class = type
    """A group below is one of these, too."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, else of the one that means the same."""
        found = super().get_command(ctx, cmd_name)
        return super().get_command(ctx, SAME.get(cmd_name, cmd_name)) if found is None else found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Note which one it is, for what is told of its errors."""
        found = super().resolve_command(ctx, args)
        calling(f"{ctx.command_path} {found[0]}")
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each with its first sentence."""
        listed = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, one.get_short_help_str(_WHOLE)) for name, one in listed if one is not None and not one.hidden]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)
