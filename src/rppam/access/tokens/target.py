"""Which node a command talks to, and with whose token: shared by the commands that ask a cluster.

The node is where ``--url`` says, else where one is logged in, else the config's own node; the token comes from a file,
from ``RPPAM_TOKEN``, from ``rppam login``, or is made from the config's keys. A config that is named comes before a
log-in. Over https it has to show a certificate that is believed: see ``_trust``.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from functools import wraps
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

import click

from rppam.cli.asking import ask_hidden
from rppam.cli.paths import CONFIG_FILE
from rppam.http.trust import Trust
from rppam.kernel.secret import Secret

if TYPE_CHECKING:
    from rppam.access.tokens.kept import Kept

_OWNER_FIELD: Final = "body.currentPassword"
DEFAULT_URL: Final = "http://127.0.0.1:7101"


class Target(NamedTuple):
    """A node, and how to be let in."""

    url: str
    token: Callable[[], Secret]
    trust: Trust
    is_own: bool = False
    """The token was made here, by the cluster's keys, and lives for minutes: every member may see it."""


def _node_urls(_context: click.Context, option: click.Parameter, value: Any) -> Any:
    """The addresses as given, one or several; wrong usage where no node can be there."""
    one = (value,) if value else ()
    for url in value if option.multiple else one:
        _check_url(url, "--node" if option.multiple else "--url (or RPPAM_URL)")
    return value


def _check_url(value: str, option: str) -> None:
    try:
        parts = urlsplit(value)
        is_whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        is_one = is_whole and not parts.query and not parts.fragment
    except ValueError:
        is_one = False
    if not is_one:
        raise click.UsageError(f"{option}: expected http://HOST:PORT or https://HOST:PORT of a node; found {value!r}")


def check_covered(url: str, fix: str) -> None:
    """Refuse to send a password to another host in the clear. Raises :class:`click.UsageError`."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        is_here = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        is_here = False
    if parts.scheme == "http" and not is_here:
        raise click.UsageError(f"{url}: the password would cross the network in the clear; {fix}")


url_option: Final = click.option(
    "--url",
    envvar="RPPAM_URL",
    callback=_node_urls,
    help=f"The node to ask. Default: RPPAM_URL, the config's own node, {DEFAULT_URL}.",
)
login_url_option: Final = click.option(
    "--url",
    envvar="RPPAM_URL",
    callback=_node_urls,
    help="A node, the virtual address, or a balancer. Default: RPPAM_URL, where one logged in last.",
)
urls_option: Final = click.option(
    "--url",
    envvar="RPPAM_URL",
    multiple=True,
    callback=_node_urls,
    help=f"Where clients go in: an address, a balancer, or nodes. Several times for several. Default: RPPAM_URL, the "
    f"config's own node, {DEFAULT_URL}.",
)
nodes_option: Final = click.option(
    "--node",
    "others",
    metavar="URL",
    multiple=True,
    callback=_node_urls,
    help="A further node that may be asked, where only the leader can do it. Several times for several; the token goes "
    "to no node that is not named.",
)
ca_option: Final = click.option(
    "--ca",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Authorities (PEM) to trust over https. Default: api.tlsCaPath of the config, else the system's.",
)
config_option: Final = click.option(
    "--config", type=CONFIG_FILE, help="rppam.config of a node of the cluster. Default: RPPAM_CONFIG."
)


class Where(NamedTuple):
    """What the options of :func:`target_options` say."""

    url: str | None
    token_file: Path | None
    config: Path | None
    ca: Path | None

    def target(self, subject: str | None = None) -> Target:
        """As :func:`target_of`."""
        return target_of(self.url, self.token_file, self.config, subject, self.ca)


def target_options(credential: str, *, config: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options that say which node to ask; it gets them as ``where``.

    ``credential``: what has to stand in the token file. Without ``config`` the command takes the config as an argument.
    """
    token_file_option = click.option(
        "--token-file",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help=f"A file with {credential}. Else RPPAM_TOKEN, else that of 'rppam login', else one is made from the "
        "config's keys.",
    )

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def run(*, url: str | None, token_file: Path | None, ca: Path | None, **options: Any) -> Any:
            where = Where(url, token_file, options.pop("config") if config else None, ca)
            return command(where=where, **options)

        asking = ca_option(run)
        return url_option(token_file_option(config_option(asking) if config else asking))

    return add


def target_of(
    url: str | None, token_file: Path | None, config: Path | None, subject: str | None = None, ca: Path | None = None
) -> Target:
    """What the options say. ``subject`` is the name in a token that is made here.

    Raises :class:`click.UsageError` where there is no token to be had.
    """
    from rppam.access.tokens.host import SUBJECT, host_of, token_from_environment, token_from_file
    from rppam.config.places import ENVIRONMENT, config_path

    if token_file is not None:
        try:
            from_file = token_from_file(token_file)
        except (OSError, ValueError) as error:
            raise click.UsageError(f"--token-file {token_file}: expected one token in the file ({error})") from None
        return given_token(from_file, url, config, ca)
    from_environment = token_from_environment()
    if from_environment is not None and config is None:
        return given_token(from_environment, url, config, ca)
    path = config_path(config)
    if config is None and not os.environ.get(ENVIRONMENT):
        kept = kept_log_in((url,) if url else (), ca, otherwise=os.access(path, os.R_OK))
        if kept is not None:
            return Target(url or kept.url, lambda: kept.token, Trust(kept.ca))
    if config is None and not path.exists():
        raise click.UsageError(
            f"{_why_no_token(url)}: log in (rppam login --url {url or 'https://HOST:PORT'}), give --token-file FILE, "
            f"set RPPAM_TOKEN, or run this on a node's host with --config FILE (looked for {path})"
        )
    host = host_of(path, subject or SUBJECT, ca)
    return Target(url or host.url, host.token, host.trust, is_own=True)


def _why_no_token(url: str | None) -> str:
    from rppam.access.tokens.kept import read_kept

    kept = read_kept() if url else None
    return "there is no token" if kept is None else f"the log-in of {kept.user} counts at {kept.url}, not at {url}"


def kept_log_in(urls: tuple[str, ...], ca: Path | None, *, otherwise: bool = False) -> "Kept | None":
    """The log-in of 'rppam login' for these addresses; ``otherwise``: there is something else where it has expired.

    Raises :class:`click.UsageError` for one that cannot be used.
    """
    from rppam.access.tokens.kept import usable

    try:
        return usable(urls, ca)
    except click.UsageError:
        if otherwise:
            return None
        raise


def place_of(url: str | None, config: Path | None, ca: Path | None) -> tuple[str, Trust]:
    """The node that ``url`` names, else this host's own, and whom to believe there.

    A config that no option names is used where its reader may read it: on a host without a node there is none. Raises
    ``ConfigError`` for one that is named.
    """
    from rppam.access.tokens.host import local_url
    from rppam.cli.trust import trust_of
    from rppam.config.errors import ConfigError
    from rppam.config.load import load_settings
    from rppam.config.places import config_path

    path = config_path(config)
    if config is not None or (url is None and os.access(path, os.R_OK)):
        try:
            settings = load_settings(path)
            own = local_url(settings)
            return url or own, trust_of(settings, own, ca)
        except ConfigError:
            if config is not None:
                raise
    return url or DEFAULT_URL, Trust(ca)


def given_token(token: Secret, url: str | None, config: Path | None, ca: Path | None) -> Target:
    """The node at :func:`place_of`, asked with somebody's token."""
    place, trust = place_of(url, config, ca)
    return Target(place, lambda: token, trust)


def asked_as_owner(
    where: Where, name: str, method: str, path: str, body: Mapping[str, object]
) -> tuple[Mapping[str, Any], str]:
    """As :func:`asked`, and once more with the password of who asks where the node wants it.

    Raises :class:`click.UsageError` where the password would cross the network in the clear.
    """
    found, problem = asked(where, name, method, path, body)
    if all(flaw.get("field") != _OWNER_FIELD for flaw in found.get("errors", ())):
        return found, problem
    target = where.target(name)
    if not target.is_own:
        check_covered(target.url, "give https://..., or log in anew (rppam login), then run this again")
    instead = "the log-in was over ten minutes ago; run 'rppam login', then this again"
    return asked(where, name, method, path, {**body, "currentPassword": ask_hidden("Password", instead)})


def asked(
    where: Where, name: str, method: str, path: str, body: object = None, *, timeout_s: float = 5.0
) -> tuple[Mapping[str, Any], str]:
    """What a node answers to one request, and a sentence why that is none of use; empty where it is.

    ``name`` is whose the token is where one is made from the config's keys.
    """
    from rppam.http.client import NoAnswerError, advice, ask_json, refusal

    target = where.target(name)
    url, token = target.url.rstrip("/") + path, target.token()
    try:
        answer = asyncio.run(ask_json(method, url, body, token=token, timeout_s=timeout_s, trust=target.trust))
    except NoAnswerError as error:
        return {}, f"{target.url}: {error}. {advice(method, error)}"
    found: Mapping[str, Any] = answer.body if isinstance(answer.body, Mapping) else {}
    if answer.status >= 300:
        return found, refusal(target.url, answer.status, answer.body)
    return found, ""
