"""``rppam ssh``: a shell on a target in this terminal, which goes on when a node or the network cut it off."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

from rppam.access.tokens.target import ca_option, check_covered, kept_log_in, place_of, urls_option
from rppam.cli.asking import ask_hidden
from rppam.cli.errors import tell
from rppam.gateway.terminal_client import Ended, TerminalClient
from rppam.http.trust import Trust
from rppam.kernel.secret import Secret

TERMINALS: Final = "/api/v1/access/terminals"
LOGIN: Final = "/api/v1/auth/login"
CODE: Final = "/api/v1/auth/mfa/challenge"
REFRESH: Final = "/api/v1/auth/refresh"
REFRESH_S: Final = 240.0
"""So often the token is renewed while its user types: a log-in ends that nobody uses, and takes its terminals along."""
REFUSED: Final = 254
LOST: Final = 255
_HELP: Final = {"help_option_names": ["-h", "--help"]}


@click.command("ssh", context_settings=_HELP, epilog="Example: rppam ssh --url https://pam.corp:7101 root@web1")
@click.argument("target", required=False, metavar="[ACCOUNT@]TARGET")
@click.option(
    "--user", metavar="NAME", help="Log in as; the password and, where asked for, a code are read from the terminal."
)
@click.option("--attach", metavar="ID", default="", help="Go on with a terminal that was left, instead of opening one.")
@urls_option
@ca_option
def command(*, target: str | None, user: str | None, attach: str, url: tuple[str, ...], ca: Any) -> int:
    """Open a shell on TARGET through the cluster, in this terminal.

    It goes on by itself when the connection, a gateway or a node is lost, at the next of the given addresses, and shows
    and types every byte once. `Enter ~ .` ends it, `Enter ~ d` leaves it for `--attach`. Without --user the token of an
    account is taken from RPPAM_TOKEN, or it is that of `rppam login`.

    Exit code: the shell's; 254: refused; 255: no node answers.
    """
    if sys.platform == "win32":
        raise click.UsageError("this needs a terminal of POSIX; use the console, or ssh to the gateway")
    if bool(target) is bool(attach):
        raise click.UsageError("give a TARGET, or --attach with the id of a terminal that was left")
    urls, token, trust = _way_in(url, user, ca)
    ident = attach
    if target:
        account, _, name = target.rpartition("@")
        found, status = _ask(urls, TERMINALS, {"target": name, "account": account}, trust, token)
        if status != 201:
            tell(_why(urls, found, status))
            return REFUSED if status else LOST
        ident = str(found["id"])
    ended = asyncio.run(_carry(urls, ident, token, trust))
    if ended.text:
        click.echo("\r", err=True)
        tell(ended.text if ended.is_over else f"{ended.text}\nWhere its shell is kept: rppam ssh --attach {ident}")
    if ended.signal:
        return 128 + int(getattr(signal, f"SIG{ended.signal}", signal.SIGTERM))
    if ended.status is not None:
        return ended.status
    return LOST if "answers" in ended.text else REFUSED if ended.text else 0


def _way_in(url: tuple[str, ...], user: str | None, ca: Any) -> tuple[tuple[str, ...], Secret, Any]:
    """The addresses, the token of an account, and whom to believe. Raises :class:`click.ClickException`."""
    from rppam.access.tokens.host import token_from_environment

    for one in url if user else ():
        check_covered(one, "give https://..., or log in before (rppam login --plain-http), and leave --user away")
    given = None if user else token_from_environment()
    if given is None and not user:
        kept = kept_log_in(url, ca)
        if kept is None:
            raise click.UsageError(
                "log in first (rppam login --url https://HOST:PORT), give --user NAME to log in for this once, or the "
                "token of an account in RPPAM_TOKEN"
            )
        return url or (kept.url,), kept.token, Trust(kept.ca)
    place, trust = place_of(url[0] if url else None, None, ca)
    urls = url or (place,)
    if given is None:
        given = _token(urls, user or "", trust)
    return urls, given, trust


def _token(urls: tuple[str, ...], user: str, trust: Any) -> Secret:
    """The token of an account, by its password. Raises :class:`click.ClickException`."""
    instead = "log in before (rppam login), or give the token of an account in RPPAM_TOKEN"
    password = ask_hidden("Password", instead)
    answer, status = _ask(urls, LOGIN, {"username": user, "password": password}, trust)
    if status == 200 and answer.get("mfaRequired"):
        code = ask_hidden("Code", instead)
        answer, status = _ask(urls, CODE, {"mfaToken": answer["mfaToken"], "code": code}, trust)
    if status != 200 or not answer.get("accessToken"):
        raise click.ClickException(_why(urls, answer, status))
    return Secret(str(answer["accessToken"]))


def _ask(
    urls: tuple[str, ...], path: str, body: Mapping[str, str], trust: Any, token: Secret | None = None
) -> tuple[Mapping[str, Any], int]:
    """What the first node that answers says, and its status; 0: none does."""
    from rppam.http.client import NoAnswerError, ask_json

    for url in urls:
        with contextlib.suppress(NoAnswerError):
            answer = asyncio.run(
                ask_json("POST", url.rstrip("/") + path, dict(body), token=token, timeout_s=20, trust=trust)
            )
            if answer.status < 500:
                return (answer.body if isinstance(answer.body, Mapping) else {}), answer.status
    return {}, 0


def _why(urls: tuple[str, ...], found: Mapping[str, Any], status: int) -> str:
    """Why nothing came of what was asked for."""
    from rppam.http.client import TRY_ANOTHER, refusal

    return refusal(urls[0], status, found) if status else f"{', '.join(urls)}: no node answers. {TRY_ANOTHER}"


async def _carry(urls: tuple[str, ...], ident: str, token: Secret, trust: Any) -> Ended:
    loop = asyncio.get_running_loop()
    size = shutil.get_terminal_size()
    secure = next((trust.context(url) for url in urls if url.startswith("https")), None)

    def show(data: bytes) -> None:
        place = 0
        while place < len(data):
            with contextlib.suppress(BlockingIOError):
                place += os.write(1, data[place:])

    signed_in = SignedIn(urls, token, trust)
    client = TerminalClient(
        [url.rstrip("/").replace("http", "ws", 1) for url in urls],
        ident,
        signed_in.headers,
        show,
        lambda text: tell(f"{text}\r"),
        size=(size.columns, size.lines),
        term=os.environ.get("TERM", "xterm-256color"),
        trust=secure,
    )
    keys, left = Keys(), asyncio.Event()

    def read() -> None:
        data = os.read(0, 65536)
        if not data:
            loop.remove_reader(0)
            return
        typed, wish = keys.read(data)
        if typed:
            signed_in.is_used = True
            client.type(typed)
        if wish == "end":
            client.close()
            loop.call_later(1, left.set)
        elif wish == "leave":
            left.set()

    def resized() -> None:
        now = shutil.get_terminal_size()
        client.resize(now.columns, now.lines)

    with _raw():
        loop.add_reader(0, read)
        if sys.platform != "win32":
            loop.add_signal_handler(signal.SIGWINCH, resized)
        running, leaving = asyncio.create_task(client.run()), asyncio.create_task(left.wait())
        renewing = asyncio.create_task(signed_in.run(REFRESH_S))
        await asyncio.wait({running, leaving}, return_when=asyncio.FIRST_COMPLETED)
        renewing.cancel()
        loop.remove_reader(0)
        leaving.cancel()
        if running.done():
            return running.result()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    if keys.is_left:
        click.echo(f"\r\nleft; go on with: rppam ssh --attach {ident}", err=True)
    return Ended(0, None, "")


class SignedIn:
    """Keeps a log-in that is used, for the connections that are to come."""

    def __init__(self, urls: tuple[str, ...], token: Secret, trust: Any) -> None:
        self._urls, self._token, self._trust = urls, token, trust
        self.headers = {"Authorization": f"Bearer {token.reveal()}"}
        """With the newest token."""
        self.is_used = False
        """Its user has done something since the token was renewed."""

    async def run(self, every_s: float) -> None:
        """Renew the token now and then; ends where that is refused, as for one that was made on a host."""
        while True:
            await asyncio.sleep(every_s)
            if self.is_used and await self._renewed() is False:
                return

    async def _renewed(self) -> bool | None:
        """``None``: no node has said."""
        from rppam.http.client import NoAnswerError, ask_json

        for url in self._urls:
            with contextlib.suppress(NoAnswerError):
                path = url.rstrip("/") + REFRESH
                answer = await ask_json("POST", path, None, token=self._token, timeout_s=20, trust=self._trust)
                if answer.status == 200 and isinstance(answer.body, Mapping):
                    self._token, self.is_used = Secret(str(answer.body["accessToken"])), False
                    self.headers["Authorization"] = f"Bearer {self._token.reveal()}"
                    return True
                if 400 <= answer.status < 500 and answer.status != 429:
                    return False
        return None


class Keys:
    """Finds ``Enter ~ .`` and ``Enter ~ d`` in what is typed; ``Enter ~ ~`` types one tilde."""

    def __init__(self) -> None:
        self._line_begins, self._has_tilde = True, False
        self.is_left = False

    def read(self, data: bytes) -> tuple[bytes, str]:
        """What goes to the shell, and what is wanted of us: ``end``, ``leave``, or nothing."""
        out = bytearray()
        for key in data:
            if self._has_tilde:
                self._has_tilde = False
                if key in b".d":
                    self.is_left = key == ord("d")
                    return bytes(out), "leave" if self.is_left else "end"
                if key != ord("~"):
                    out += b"~"
            elif self._line_begins and key == ord("~"):
                self._has_tilde, self._line_begins = True, False
                continue
            out.append(key)
            self._line_begins = key in b"\r\n"
        return bytes(out), ""


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    """The terminal hands on every key as it is; where there is none, nothing changes."""
    if sys.platform == "win32" or not sys.stdin.isatty():
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(0)
    tty.setraw(0, termios.TCSADRAIN)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
