"""``rppam vault generate``: a secret made up by a node, which stands nowhere until somebody keeps it."""

import json
from typing import Any, Final

import click

from rppam.access.tokens.target import Where, target_options
from rppam.targets.rest_command import HELP, Rest
from rppam.vault.generator import LENGTH_MAX, WORDS_MAX, WORDS_MIN, CharClass
from rppam.vault.model import EntryType

GENERATE: Final = "/api/v1/vault/generate"
WORD_COUNT: Final = click.IntRange(WORDS_MIN, WORDS_MAX)


@click.command("generate", context_settings=HELP, epilog="Example: rppam vault generate --words 6")
@click.option("--words", type=WORD_COUNT, help="A passphrase of so many words.")
@click.option("--separator", help="Between words: one of -_.,+=/~ or a blank; - unless given.")
@click.option("--capitals", is_flag=True, help="Begin each word with a capital.")
@click.option("--digit", is_flag=True, help="End one of the words with a digit.")
@click.option("--length", type=click.IntRange(1, LENGTH_MAX), help="So many characters.")
@click.option(
    "--class",
    "classes",
    multiple=True,
    type=click.Choice([one.value for one in CharClass]),
    help="Of this class; repeatable.",
)
@click.option("--without", default="", help="Characters that never come.")
@click.option(
    "--type", "type_", type=click.Choice([one.value for one in EntryType]), help="By the rules of entries of this type."
)
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
@target_options("a token")
def generate(
    *,
    where: Where,
    words: int | None,
    separator: str | None,
    capitals: bool,
    digit: bool,
    length: int | None,
    classes: tuple[str, ...],
    without: str,
    type_: str | None,
    as_json: bool,
) -> None:
    """Make up a secret, and say how many bits of chance are in it (on stderr)."""
    wanted: dict[str, Any] = {"words": words, "length": length, "classes": list(classes) or None, "type": type_}
    body = {name: value for name, value in wanted.items() if value is not None} | {"without": without}
    body |= {} if separator is None else {"separator": separator}
    made = Rest(where).ask("POST", GENERATE, body | {"capitals": capitals, "digit": digit})
    if as_json:
        click.echo(json.dumps(made, ensure_ascii=False))
        return
    click.echo(made["secret"])
    click.echo(f"{made['entropyBits']} bits", err=True)
