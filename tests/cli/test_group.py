"""Every group of commands says all of each first sentence, and takes the words that people try."""

from importlib import import_module

import click
import pytest
from click.testing import CliRunner

from rppam.app.main import COMMANDS
from rppam.cli.group import Group


def groups() -> list[tuple[str, click.Group]]:
    found: list[tuple[str, click.Group]] = []
    for word, one in COMMANDS.items():
        command = import_module(one.module).command
        todo: list[tuple[str, click.Command]] = [(word, command)]
        while todo:
            name, some = todo.pop()
            if isinstance(some, click.Group):
                found.append((name, some))
                todo += [(f"{name} {below}", one) for below, one in some.commands.items()]
    return found


@pytest.mark.parametrize(("name", "group"), groups(), ids=lambda one: one if isinstance(one, str) else "")
def test_no_line_of_a_list_is_cut_off(name: str, group: click.Group) -> None:
    assert isinstance(group, Group), f"rppam {name}: give it cls=Group"
    shown = CliRunner().invoke(group, ["--help"], terminal_width=80).output
    listed = shown.partition("Commands:\n")[2]
    assert listed
    assert "..." not in listed, "what stands there for a long sentence"
    words = " ".join(listed.split())
    for below, one in group.commands.items():
        assert f"{below} {' '.join(one.get_short_help_str(10_000).split())}" in words


@pytest.mark.parametrize(
    ("name", "typed", "meant"),
    [("target", "list", "ls"), ("user", "ls", "list"), ("vault", "delete", "rm"), ("account", "remove", "rm")],
)
def test_another_word_means_the_same(name: str, typed: str, meant: str) -> None:
    group = dict(groups())[name]
    context = click.Context(group)
    assert typed not in group.commands
    assert group.get_command(context, typed) is group.commands[meant]


def test_a_word_that_means_nothing_is_wrong_usage() -> None:
    done = CliRunner().invoke(dict(groups())["session"], ["remove"])
    assert (done.exit_code, "No such command 'remove'" in done.output) == (2, True)
