"""The command ``rppam-ha-manager``: the words of the product, by the same code as ``rppam``."""

import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

from rppam.app.ha_manager import WORDS, rppam_ha_manager

ROOT = Path(__file__).parents[2]


def test_it_is_installed() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, name = scripts["rppam-ha-manager"].partition(":")
    assert callable(getattr(import_module(module), name))


@pytest.mark.parametrize("word", WORDS)
def test_each_word_is_a_command_that_explains_itself(word: str) -> None:
    shown = CliRunner().invoke(rppam_ha_manager, [word, "--help"])
    assert shown.exit_code == 0, shown.output
    assert f"rppam-ha-manager {word}" in shown.output


def test_the_help_lists_them_and_an_unknown_word_is_wrong_usage() -> None:
    shown = CliRunner().invoke(rppam_ha_manager, ["--help"])
    assert all(word in shown.output for word in WORDS)
    assert CliRunner().invoke(rppam_ha_manager, ["fly"]).exit_code == 2
