"""``rppam status``: the cluster on one screen, from any node.

Asks one node and shows its view; it does not compare views of several. The node's own address is where the config says,
or what ``--url`` names; the token is made from the config's keys, or comes from a file or ``RPPAM_TOKEN``.
"""

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from rppam.access.tokens import Target, target_of, target_options
from rppam.kernel.errors import Exit

if TYPE_CHECKING:
    from rppam.cluster.health.model import ClusterHealth

ANSWER_S: Final = 10.0
HEALTH: Final = "/system/health/cluster"


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: rppam status --url http://node2:7101 --token-file admin.token --watch",
)
@target_options("an admin token")
@click.option("--watch", is_flag=True, help="Show it anew every --interval seconds until Ctrl-C.")
@click.option(
    "--interval", default=1.0, show_default=True, type=click.FloatRange(0.2, 3600), help="Seconds between questions."
)
@click.option("--json", "as_json", is_flag=True, help="The node's answer as one JSON object a line.")
def command(
    *,
    url: str | None,
    token_file: Path | None,
    config: Path | None,
    ca: Path | None,
    watch: bool,
    interval: float,
    as_json: bool,
) -> int:
    """Show leader, epoch, quorum, Redis, nodes and warnings of the cluster, as one node sees them.

    Exit code 0: healthy; 1: it answers and is not healthy; 2: no node answers there, or wrong usage.
    """
    target = target_of(url, token_file, config, ca=ca)
    show = _JsonOutput() if as_json else _Screen(watch=watch)
    if not watch:
        return asyncio.run(_look(target, show))
    looks = [Exit.ERRORS]
    try:
        with show:
            asyncio.run(_watch(target, show, interval, looks))
    except (KeyboardInterrupt, BrokenPipeError):
        pass
    return looks[-1]


async def _watch(target: Target, show: "_JsonOutput | _Screen", interval_s: float, looks: list[Exit]) -> None:
    """Look again and again; one loop for all, so that Ctrl-C never meets a loop that is being closed."""
    while True:
        looks[:] = [await _look(target, show)]
        await asyncio.sleep(interval_s)


async def _look(target: Target, show: "_JsonOutput | _Screen") -> Exit:
    from rppam.cli.view import parse_view
    from rppam.http.client import NoAnswerError, get_json
    from rppam.manager.orders_command import code_of

    base = target.url.rstrip("/")
    try:
        answer = await get_json(base + HEALTH, token=target.token(), timeout_s=ANSWER_S, trust=target.trust)
    except NoAnswerError as error:
        show.failed(base, f"{error}. Is the node running there? Try another one with --url.")
        return Exit.ERRORS
    view = parse_view(answer.body) if answer.status == 200 else None
    if view is None:
        show.failed(base, _refusal(answer.status), code_of(answer))
        return Exit.ERRORS
    show.answered(base, answer.body, view)
    return Exit.DONE if view.healthy else Exit.NO


def _refusal(status: int) -> str:
    if status == 401:
        return "the node refused the token: it has expired, or was made with keys of another cluster."
    if status == 403:
        return "the token's account may not see the cluster; use an administrator's."
    return f"answered with HTTP status {status}, which is no view of a cluster. Is it an RP-PAM node?"


class _JsonOutput:
    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc_info: object) -> None:
        pass

    def failed(self, url: str, reason: str, code: str = "") -> None:
        click.echo(json.dumps({"url": url, "error": reason, "code": code}))

    def answered(self, url: str, body: object, view: "ClusterHealth") -> None:  # noqa: ARG002 - the shape of _Screen
        click.echo(json.dumps(body))


class _Screen:
    def __init__(self, *, watch: bool) -> None:
        from rich.console import Console

        self._console: Console = Console()
        self._watch = watch and self._console.is_terminal
        self._inside = False

    def __enter__(self) -> None:
        if self._watch:
            self._inside = self._console.set_alt_screen(True)
            self._console.show_cursor(False)

    def __exit__(self, *exc_info: object) -> None:
        if self._watch:
            with suppress(OSError):
                self._console.show_cursor(True)
                self._console.set_alt_screen(False)

    def failed(self, url: str, reason: str, code: str = "") -> None:  # noqa: ARG002 - the shape of _JsonOutput
        from rich.text import Text

        if self._watch:
            self._home()
            self._console.print(Text(f"{url}: {reason}", style="red"))
        else:
            click.echo(f"rppam status: {url}: {reason}", err=True)

    def answered(self, url: str, body: object, view: "ClusterHealth") -> None:  # noqa: ARG002 - the shape of _JsonOutput
        from rppam.manager.status_screen import status_picture

        if self._watch:
            self._home()
        self._console.print(status_picture(view, url))

    def _home(self) -> None:
        self._console.clear(home=True)
