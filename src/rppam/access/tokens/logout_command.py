"""``rppam logout``: end the session of ``rppam login``, and remove what was kept of it.

The file goes first, so nothing is left on this host whatever the node says. What it does not promise: that the session
ended where no node could be told; then it says so.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Final

import click

from rppam.access.tokens.kept import Kept, forget_kept, read_kept
from rppam.cli.errors import fail, tell
from rppam.http.trust import Trust
from rppam.kernel.errors import Exit

LOGOUT: Final = "/api/v1/auth/logout"
TIMEOUT_S: Final = 20.0
_OVER: Final = "RPPAM-6005"


@click.command("logout", context_settings={"help_option_names": ["-h", "--help"]}, epilog="Example: rppam logout")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(*, as_json: bool) -> int:
    """End the session of 'rppam login' on all nodes, and remove what was kept of it.

    Exit code 0: it is over, or there was none; 2: removed here, and no node could be told.
    """
    try:
        kept = read_kept()
    except click.UsageError as error:
        forget_kept()
        tell(f"removed, and its session was not ended: {error.format_message()}")
        return Exit.ERRORS
    if kept is None:
        click.echo(json.dumps({"ended": False}) if as_json else "nobody is signed in here")
        return Exit.DONE
    forget_kept()
    why = _ended(kept)
    if why:
        fail(
            f"{why}. The log-in is removed here; its session ends by itself, or at once by "
            f"'rppam user sessions end --user {kept.user}' on a node's host"
        )
        return Exit.ERRORS
    click.echo(json.dumps({"ended": True, "url": kept.url, "user": kept.user}) if as_json else "signed out")
    return Exit.DONE


def _ended(kept: Kept) -> str:
    """Why the session could not be ended; empty where it is over."""
    from rppam.http.client import NoAnswerError, ask_json, refusal

    trust = Trust(kept.ca)
    try:
        url = kept.url.rstrip("/") + LOGOUT
        answer = asyncio.run(ask_json("POST", url, token=kept.token, timeout_s=TIMEOUT_S, trust=trust))
    except NoAnswerError as error:
        return f"{kept.url}: {error}"
    code = answer.body.get("code") if isinstance(answer.body, Mapping) else ""
    is_over = answer.status in {204, 401} or code == _OVER
    return "" if is_over else refusal(kept.url, answer.status, answer.body)
