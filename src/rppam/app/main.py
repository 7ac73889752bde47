"""The ``rppam`` command: a table of sub-commands, each imported only when it is called.

Answers: which module serves which word. Promises: the exit codes of :mod:`rppam.kernel.errors`, and that an error of
ours is printed as its sentence, without a traceback; with ``--json`` it stands on stdout as JSON, too.
"""

import errno
import re
import sys
from difflib import get_close_matches
from importlib import import_module
from typing import Final, NoReturn

import click

from rppam import __version__
from rppam.app.slices import commands
from rppam.cli.errors import calling, tell, tell_machine
from rppam.kernel.errors import Exit, RppamError
from rppam.kernel.platform_errors import TooFewFilesError
from rppam.process.open_files import LEAST_FOR_A_COMMAND, ensure_files

COMMANDS: Final = commands()
_NO_NUMBER: Final = re.compile(r"(?P<found>.*) is not (a valid (integer|float) range|in the range .*)\.", re.DOTALL)
"""How click says it, in words of programmers."""


class _Lazy(click.Group):
    """A group that imports a sub-command's module when the sub-command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        ensure_files(LEAST_FOR_A_COMMAND)
        command: click.Command = import_module(COMMANDS[cmd_name].module).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0] if args else ""
        if word and not word.startswith("-") and word not in COMMANDS:
            like = get_close_matches(word, COMMANDS, n=3, cutoff=0.6)
            meant = f" Did you mean {' or '.join(map(repr, like))}?" if like else ""
            ctx.fail(f"No such command {word!r}.{meant} 'rppam --help' lists them.")
        found = super().resolve_command(ctx, args)
        calling(f"{ctx.command_path} {found[0]}")
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl([(word, one.help) for word, one in COMMANDS.items()])


@click.command(
    cls=_Lazy,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: rppam demo --nodes 3",
)
@click.version_option(__version__, prog_name="rppam")
def rppam() -> None:
    """RP-PAM: privileged access that stays available."""


def _end_with(error: RppamError) -> NoReturn:
    tell(str(error), error.row.code)
    tell_machine(str(error), error.row.code)
    sys.exit(error.exit_code)


def main() -> None:
    """Entry point of the ``rppam`` command."""
    sys.exit(run(rppam))


def run(command: click.Command) -> int:
    """The exit code of ``command``, whose errors are shown. May end the process itself."""
    calling(str(command.name))
    try:
        code = command.main(prog_name=command.name, standalone_mode=False)
    except RppamError as error:
        _end_with(error)
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise
        _end_with(TooFewFilesError(0))
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except click.Abort:
        tell_machine("ended before it was confirmed; nothing was done")
        sys.exit(130)
    except click.ClickException as error:
        _show(error)
        sys.exit(_exit_of(error))
    return code if isinstance(code, int) else Exit.DONE


def _show(error: click.ClickException) -> None:
    """To people and to a machine; wrong usage with what is right."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return
    context = error.ctx if isinstance(error, click.UsageError) else None
    sentence = _sentence(error)
    tell(sentence, command="" if context is None else context.command_path)
    if context is not None:
        click.echo(f"{context.get_usage()}\n'{context.command_path} --help' says more.", err=True)
    tell_machine(sentence)


def _sentence(error: click.ClickException) -> str:
    """What click says; of a wrong number in plain words."""
    wrong = _NO_NUMBER.fullmatch(error.message)
    if not isinstance(error, click.BadParameter) or error.param is None or wrong is None:
        return error.format_message()
    kind = error.param.type
    if not isinstance(kind, (click.IntRange, click.FloatRange)):
        return error.format_message()
    what = "a whole number" if isinstance(kind, click.IntRange) else "a number"
    least = None if kind.min is None else f"above {kind.min:g}" if kind.min_open else f"of at least {kind.min:g}"
    most = None if kind.max is None else f"below {kind.max:g}" if kind.max_open else f"of at most {kind.max:g}"
    if kind.min is not None and kind.max is not None and not (kind.min_open or kind.max_open):
        least, most = f"from {kind.min} to {kind.max}", None
    expected = " ".join([what, " and ".join(filter(None, (least, most)))]).rstrip()
    said = click.BadParameter(f"expected {expected}, found {wrong['found']}", error.ctx, error.param)
    return said.format_message()


def _exit_of(error: click.ClickException) -> int:
    """Of an error of this product its own; all of click's are wrong usage, whatever click would end with."""
    return Exit.ERRORS if type(error).__module__.startswith("click.") else error.exit_code
