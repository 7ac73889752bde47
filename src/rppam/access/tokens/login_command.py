"""``rppam login``: a person signs in from a workstation, and all commands act as that person.

Password and second factor are read from the terminal, else from standard input, and stand in no argument, no variable
and no file. What is kept is the token of the session: see :mod:`rppam.access.tokens.kept`. Away from a node's host
nothing else is needed. A password is asked for once something answers there.
"""

import asyncio
import json
from collections.abc import Mapping
from getpass import getuser
from pathlib import Path
from typing import Any, Final

import click

from rppam.access.tokens.kept import kept_file, kept_of, read_kept, write_kept
from rppam.access.tokens.target import ca_option, check_covered, login_url_option
from rppam.cli.asking import ask, ask_hidden
from rppam.cli.errors import fail
from rppam.http.trust import Trust
from rppam.kernel.errors import Exit
from rppam.kernel.secret import Secret

LOGIN: Final = "/api/v1/auth/login"
CODE: Final = "/api/v1/auth/mfa/challenge"
ALIVE: Final = "/system/health/ping"
TIMEOUT_S: Final = 20.0
_INSTEAD: Final = (
    "log in on a terminal (by way of SSH: ssh -t) with --user NAME, or give commands a token by RPPAM_TOKEN or "
    "--token-file FILE; on a node's host, most take --config FILE instead"
)
HELP: Final = {"help_option_names": ["-h", "--help"]}


class _NotDone(Exception):
    """Why, and with which exit code."""

    def __init__(self, sentence: str, code: str, exit_code: Exit) -> None:
        super().__init__(sentence)
        self.code, self.exit_code = code, exit_code


@click.command("login", context_settings=HELP, epilog="Example: rppam login --url https://pam.corp:7101 --user jane")
@login_url_option
@click.option("--user", metavar="NAME", help="Whose account. Default: it is asked for.")
@ca_option
@click.option("--plain-http", is_flag=True, help="Send the password to another host without TLS all the same.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(url: str | None, *, user: str | None, ca: Path | None, plain_http: bool, as_json: bool) -> int:
    """Sign in at a node, the virtual address or a balancer; commands ask there, as you, until 'rppam logout'.

    The password, and the code of the authenticator where one is asked for, are read from the terminal; without one each
    is a line of standard input. The token is kept in a file of your own that nobody else can read; it is renewed while
    it is used, and goes nowhere else.
    RPPAM_TOKEN, --token-file, --config and RPPAM_CONFIG come before it.

    Exit code 0: signed in; 1: refused; 2: no node answers, or wrong usage.
    """
    from rppam.http.times import iso_utc
    from rppam.kernel.instant import WallMs
    from rppam.kernel.system_clock import SystemClock

    before = None if url else read_kept()
    if before is not None:
        url, user, ca = before.url, user or before.user, ca or before.ca
    if url is None:
        raise click.UsageError("say where: --url https://HOST:PORT of a node, the virtual address or a balancer")
    if not plain_http:
        fix = "give https://..., with --ca FILE where the certificate is of your own authority, or --plain-http"
        check_covered(url, fix)
    ca = None if ca is None else ca.absolute()
    try:
        _refuse_silence(url, Trust(ca))
        name = user or ask("User", _INSTEAD, default=getuser())
        token = _signed_in(url, name, Trust(ca))
        kept = kept_of(url, name, token, ca, SystemClock().wall_ms() // 1000)
    except _NotDone as error:
        fail(str(error), error.code)
        return error.exit_code
    except ValueError as error:
        fail(f"{url}: {error}, found something else. Is a node of this product there?")
        return Exit.ERRORS
    try:
        file = write_kept(kept)
    except OSError as error:
        fail(f"{kept_file()}: the log-in cannot be kept there: {error.strerror}. Make the folder writable for you")
        return Exit.ERRORS
    until = iso_utc(WallMs(kept.until_s * 1000))
    if as_json:
        click.echo(json.dumps({"url": url, "user": name, "expiresAt": until, "file": str(file)}))
        return Exit.DONE
    click.echo(f"signed in at {url} as {name}, until {until} and longer while it is used; 'rppam logout' ends it")
    return Exit.DONE


def _refuse_silence(url: str, trust: Trust) -> None:
    """Ask for no password where nothing listens. What answers there shows itself at the log-in. Raises _NotDone."""
    from rppam.http.client import TRY_ANOTHER, NoAnswerError, get_json

    try:
        asyncio.run(get_json(url.rstrip("/") + ALIVE, timeout_s=TIMEOUT_S, trust=trust))
    except NoAnswerError as error:
        raise _NotDone(f"{url}: {error}. {TRY_ANOTHER}", "", Exit.ERRORS) from None


def _signed_in(url: str, user: str, trust: Trust) -> Secret:
    """A token. Raises _NotDone."""
    password = ask_hidden("Password", _INSTEAD)
    answer = _asked(url, LOGIN, {"username": user, "password": password}, trust)
    if answer.get("mfaRequired"):
        if not answer.get("mfaEnrolled"):
            fix = f"Sign in once at {url.rstrip('/')}/console/, which shows how, then again here"
            raise _NotDone(f"the account {user} has to enrol a second factor first. {fix}", "", Exit.NO)
        code = ask_hidden("Code of the authenticator", _INSTEAD)
        answer = _asked(url, CODE, {"mfaToken": answer.get("mfaToken"), "code": code}, trust)
    return Secret(str(answer.get("accessToken") or ""))


def _asked(url: str, path: str, body: Mapping[str, Any], trust: Trust) -> Mapping[str, Any]:
    from rppam.http.client import TRY_ANOTHER, NoAnswerError, ask_json, refusal

    try:
        answer = asyncio.run(ask_json("POST", url.rstrip("/") + path, body, timeout_s=TIMEOUT_S, trust=trust))
    except NoAnswerError as error:
        raise _NotDone(f"{url}: {error}. {TRY_ANOTHER}", "", Exit.ERRORS) from None
    found: Mapping[str, Any] = answer.body if isinstance(answer.body, Mapping) else {}
    if answer.status != 200:
        code = str(found.get("code", ""))
        raise _NotDone(refusal(url, answer.status, found), code, Exit.NO if code else Exit.ERRORS)
    return found
