"""Words that the config takes in any case are taken so on the command line."""

from importlib import import_module

import click
import pytest

from rppam.app.main import COMMANDS
from rppam.licence.cli import issue


@pytest.mark.parametrize(
    ("command", "words", "taken"),
    [
        ("node", ["--log-level", "debug", "--log-format", "JSON"], {"log_level": "Debug", "log_format": "json"}),
        ("node", ["--log-level", "Information"], {"log_level": "Information", "log_format": None}),
        ("init", ["--timing-profile", "LAN"], {"timing_profile": "lan"}),
        ("init", ["--quorum-policy", "Majority"], {"quorum_policy": "majority"}),
    ],
)
def test_words_are_taken_in_any_case_and_passed_on_as_they_are_spelt(
    command: str, words: list[str], taken: dict[str, str | None]
) -> None:
    found: click.Command = import_module(COMMANDS[command].module).command
    assert taken.items() <= found.make_context(command, words).params.items()


def test_so_is_the_tier_of_a_licence() -> None:
    words = ["--key", "k", "--customer", "ACME", "--out", "-", "--tier", "Enterprise"]
    assert issue.make_context("issue", words).params["tier"] == "enterprise"


def test_another_word_is_wrong_usage_that_lists_the_right_ones() -> None:
    found: click.Command = import_module("rppam.app.node_cli").command
    with pytest.raises(click.BadParameter, match=r"'loud' is not one of 'verbose', 'debug'"):
        found.make_context("node", ["--log-level", "loud"])
