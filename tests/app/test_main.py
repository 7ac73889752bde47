"""The table of commands: what is said of a word that it does not have."""

from click.testing import CliRunner

from rppam.app.main import rppam


def said(word: str) -> str:
    result = CliRunner().invoke(rppam, [word])
    assert result.exit_code == 2
    return result.stderr


def test_a_word_that_is_nearly_a_command_is_answered_with_the_command() -> None:
    assert "Did you mean 'status'?" in said("statsu")
    assert "Did you mean 'user'" in said("users")
    assert "Did you mean" not in said("xyzzy")
    assert "'rppam --help' lists them" in said("xyzzy")
