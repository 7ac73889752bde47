"""``rppam token revoke``: end the session behind a token, on every node.

A token is never an argument: arguments are seen by every user of the host. A token may end its own session, so it is
sent as its own permission; a session named by its id is ended with an administrator's.
"""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import click

from rppam.access.tokens.target import Target, ca_option, target_of, url_option
from rppam.cli.errors import fail
from rppam.cli.paths import CONFIG_FILE
from rppam.http.trust import Trust
from rppam.kernel.errors import Exit

if TYPE_CHECKING:
    from rppam.http.client import Answer

LOGOUT: Final = "/api/v1/auth/logout"
SESSIONS: Final = "/api/v1/sessions"
TIMEOUT_S: Final = 10.0
_OVER: Final = "RPPAM-6005"


class _Hidden(click.Path):
    """A file whose name is not repeated where it is none: it may be the token itself."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail("expected a file that is there and can be read; what was given is not shown", param, ctx)


@click.command(
    "revoke",
    # A word too many could be the token, which the library would print.
    context_settings={"help_option_names": ["-h", "--help"], "allow_extra_args": True},
    epilog="Example: rppam token revoke < stolen.token",
)
@click.option(
    "--token-file",
    type=_Hidden(path_type=Path, exists=True, dir_okay=False, allow_dash=True),
    help="The token to revoke, in a file.  [default: standard input]",
)
@click.option("--id", "session_id", help="The id of a session (GET /api/v1/sessions) in place of a token.")
@url_option
@click.option("--config", type=CONFIG_FILE, help="The config file; else RPPAM_CONFIG.")
@ca_option
@click.pass_context
def command(
    context: click.Context,
    token_file: Path | None,
    session_id: str | None,
    url: str | None,
    config: Path | None,
    ca: Path | None,
) -> int:
    """End a token before its time, with all others of the same session, on all nodes at once.

    A token of 'rppam token' and one of a log-in are ended alike. Exit code 0: it is worth nothing any more; 1: it never
    was one, or the database does not answer; 2: no node answers, or wrong usage.
    """
    if context.args:
        raise click.UsageError(
            "a token is no argument, since every user of the host sees those: send it on standard input "
            "(rppam token revoke < FILE), or name its file with --token-file FILE; a session's id comes with --id ID"
        )
    from rppam.http.client import NoAnswerError, advice, ask_json
    from rppam.kernel.secret import Secret

    if session_id is not None:
        if token_file is not None:
            raise click.UsageError("give --id ID or a token, not both")
        if not _is_ident(session_id):
            # What it is instead is not shown: it may be the token.
            raise click.UsageError("--id takes the id of a session, as 'rppam user sessions ls NAME' shows it")
        method, path = "DELETE", f"{SESSIONS}/{session_id}"
        target = target_of(url, None, config, "revoke@host", ca)
    else:
        token = Secret(_read(token_file))
        method, path = "POST", LOGOUT
        # It is its own permission: away from a node's host nothing but an address is needed.
        target = (
            Target(url, lambda: token, Trust(ca))
            if url is not None and config is None
            else target_of(url, None, config, "revoke@host", ca)._replace(token=lambda: token)
        )
    try:
        answer = asyncio.run(
            ask_json(
                method, target.url.rstrip("/") + path, token=target.token(), timeout_s=TIMEOUT_S, trust=target.trust
            )
        )
    except NoAnswerError as error:
        fail(f"{target.url}: {error}. {advice(method, error)}")
        return Exit.ERRORS
    return _say(answer, target)


def _is_ident(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _read(path: Path | None) -> str:
    from rppam.access.tokens.host import token_in

    text = sys.stdin.read() if path is None or str(path) == "-" else path.read_text(encoding="ascii", errors="replace")
    try:
        return token_in(text)
    except ValueError:
        raise click.UsageError("expected one token, alone or behind 'Authorization: Bearer'") from None


def _say(answer: "Answer", target: Target) -> int:
    from rppam.http.client import refusal

    told = answer.body if isinstance(answer.body, dict) else {}
    if answer.status == 204:
        click.echo("revoked: it is refused on every node from now on")
        return Exit.DONE
    if told.get("code") == _OVER:
        click.echo("nothing to do: its session is over already")
        return Exit.DONE
    fail(f"not revoked: {refusal(target.url, answer.status, told)}")
    return Exit.NO
