"""``rppam token keys``: change the keys that sign access tokens, without refusing a token that is still valid.

A new key signs from a later time on, so that it can be on every node before: nodes notice files that come and go by
themselves. An old key stays until the last token that it signed has expired. Decides what is too early; ``--force`` is
for a key that was stolen.
"""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from rppam.access.tokens.claims import LIFETIME_S_MAX
from rppam.access.tokens.target import Target, ca_option
from rppam.cli.errors import tell
from rppam.cli.group import Group
from rppam.cli.paths import CONFIG_FILE
from rppam.kernel.errors import Exit

if TYPE_CHECKING:
    from rppam.config.settings import Settings

_HELP: Final = {"help_option_names": ["-h", "--help"]}
_CONFIG: Final = click.option("--config", type=CONFIG_FILE, help="The config file of a node; else RPPAM_CONFIG.")
ANSWER_S: Final = 10.0
HEALTH: Final = "/system/health/cluster"
JWKS: Final = "/.well-known/jwks.json"


class KeyLine(NamedTuple):
    file: str
    kid: str
    signs_from_s: int
    state: str
    """``signs``, ``later`` or ``verifies``."""
    removable_from_s: int | None
    """When the last token that it can have signed has expired; ``None`` while it signs or will sign."""


@click.group("keys", cls=Group, context_settings=_HELP, epilog="Example: rppam token keys rotate --in-hours 24")
def command() -> None:
    """Change the keys that sign access tokens. Copy what rotate makes to every node before its time comes."""


@command.command("list", context_settings=_HELP, epilog="Example: rppam token keys list --nodes")
@_CONFIG
@click.option("--nodes", is_flag=True, help="Ask every node of the cluster which keys it has.")
@click.option("--url", help="The node to ask for the others. Default: the config's own.")
@ca_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def listing(config: Path | None, *, nodes: bool, url: str | None, ca: Path | None, as_json: bool) -> int:
    """Show the keys in auth.jwtKeysDir: which one signs, and which may go.

    With --nodes the exit code is 1 when a node misses a key, and 2 when none is known to and a node could not be asked.
    """
    from rppam.access.tokens.target import target_of
    from rppam.config.load import load_settings

    found = _keys(load_settings(config))
    missing, unasked = (
        asyncio.run(_missing(target_of(url, None, config, "keys@host", ca), found)) if nodes else ({}, {})
    )
    if as_json:
        told = [
            {"file": key.file, "kid": key.kid, "signsFrom": _shown(key.signs_from_s), "state": key.state,
             "removableFrom": _shown(key.removable_from_s) if key.removable_from_s is not None else None}
            for key in found
        ]  # fmt: skip
        click.echo(json.dumps({"items": told, "missing": missing, "unasked": unasked}))
    else:
        for key in found:
            until = f", may go from {_shown(key.removable_from_s)}" if key.removable_from_s is not None else ""
            click.echo(f"{key.file}  {key.kid}  from {_shown(key.signs_from_s)}  {key.state}{until}")
        for name, lacks in missing.items():
            click.secho(f"{name} misses: {', '.join(lacks)}", fg="yellow")
        for name, why in unasked.items():
            click.secho(f"{name} could not be asked: {why}", fg="yellow")
        if nodes and not missing and not unasked:
            click.echo("every node has all of them")
    return Exit.NO if missing else Exit.ERRORS if unasked else Exit.DONE


@command.command("rotate", context_settings=_HELP, epilog="Example: rppam token keys rotate --in-hours 24")
@_CONFIG
@click.option(
    "--in-hours", type=click.FloatRange(0, 24 * 365), default=24.0, show_default=True,
    help="When it begins to sign; until then it has to be on every node. 0 for a node that is alone.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def rotate(config: Path | None, in_hours: float, *, as_json: bool) -> None:
    """Make a new key that begins to sign later."""
    from rppam.access.tokens.key_files import create_signing_key
    from rppam.cli.recorded import record_on_host
    from rppam.config.load import load_settings
    from rppam.kernel.instant import WallMs
    from rppam.kernel.system_clock import SystemClock
    from rppam.ledger.acts import Act
    from rppam.ledger.model import Entity

    settings = load_settings(config)
    directory = settings.auth.jwt_keys_dir
    when = WallMs(SystemClock().wall_ms() + int(in_hours * 3_600_000))
    path = create_signing_key(directory, now_ms=when)
    shown = _shown(when // 1000)
    record_on_host(settings, Act("token-key.make", Entity("token-key", path.name), {"signsFrom": shown}))
    if as_json:
        click.echo(json.dumps({"file": str(path), "signsFrom": shown}))
        return
    click.echo(f"wrote {path}")
    until = f"before {shown}" if in_hours else "now: until then they refuse what it signs"
    click.echo(f"next: copy it to auth.jwtKeysDir of every other node (mode 0600) {until}; no restart is needed")
    click.echo("then: rppam token keys list --nodes")


@command.command(
    "retire", context_settings=_HELP, epilog="Example: rppam token keys retire jwt-20260301T120000Z-4f1c9a2b.pem"
)
@_CONFIG
@click.argument("file")
@click.option("--force", is_flag=True, help="Also while tokens that it signed are valid: they are refused at once.")
def retire(config: Path | None, file: str, *, force: bool) -> int:
    """Remove a key from this host, once the last token that it signed has expired. Do it on every node."""
    from rppam.access.tokens.key_files import give_to_node
    from rppam.cli.recorded import record_on_host
    from rppam.config.load import load_settings
    from rppam.kernel.system_clock import SystemClock
    from rppam.ledger.acts import Act
    from rppam.ledger.model import Entity

    settings = load_settings(config)
    found = _keys(settings)
    key = next((one for one in found if one.file == file), None)
    if key is None:
        raise click.UsageError(f"expected one of {', '.join(one.file for one in found)}, found {file}")
    if len(found) == 1:
        raise click.ClickException("it is the only key: make another one first (rppam token keys rotate)")
    now_s = SystemClock().wall_ms() // 1000
    if not force and (key.removable_from_s is None or now_s < key.removable_from_s):
        why = (
            f"it is needed until {_shown(key.removable_from_s)}"
            if key.removable_from_s
            else f"its state is '{key.state}'"
        )
        tell(f"{file} was left: {why}; --force removes it all the same")
        return Exit.NO
    folder = settings.auth.jwt_keys_dir
    give_to_node(folder, *(folder / one.file for one in found if one is not key))
    (folder / file).unlink()
    record_on_host(settings, Act("token-key.retire", Entity("token-key", file), {"force": force}))
    click.echo(f"removed {file}; remove it on every other node, too")
    return Exit.DONE


def _keys(settings: "Settings") -> list[KeyLine]:
    from rppam.access.tokens.key_files import load_signing_keys
    from rppam.access.tokens.service import KeySet
    from rppam.kernel.system_clock import SystemClock

    stored = load_signing_keys(settings.auth.jwt_keys_dir)
    now_s = SystemClock().wall_ms() // 1000
    signing = KeySet(stored).signing(now_s).kid
    lines: list[KeyLine] = []
    for number, one in enumerate(stored):
        (kid,) = KeySet([one]).kids
        begins = [later.signs_from_s for later in stored[number + 1 :]]
        if kid == signing:
            lines.append(KeyLine(one.name, kid, one.signs_from_s, "signs", None))
        elif one.signs_from_s > now_s:
            lines.append(KeyLine(one.name, kid, one.signs_from_s, "later", None))
        else:
            lines.append(KeyLine(one.name, kid, one.signs_from_s, "verifies", begins[0] + LIFETIME_S_MAX))
    return lines


async def _missing(target: Target, keys: list[KeyLine]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Node to the files that it misses, and node to why it could not be asked.

    Raises :class:`click.ClickException` where nobody can say which nodes there are.
    """
    from rppam.cli.view import parse_view
    from rppam.cluster.consensus.heartbeat import Role
    from rppam.http.client import NoAnswerError, get_json

    async def body_of(url: str, **how: Any) -> dict[str, Any]:
        answer = await get_json(url, timeout_s=ANSWER_S, trust=target.trust, **how)
        if answer.status != 200 or not isinstance(answer.body, dict):
            refused = "; it refuses the token: it does not know the key that signs here" if answer.status == 401 else ""
            raise NoAnswerError(f"answered with HTTP status {answer.status}{refused}")
        return answer.body

    base = target.url.rstrip("/")
    try:
        view = parse_view(await body_of(base + HEALTH, token=target.token()))
    except NoAnswerError as error:
        raise click.ClickException(f"{base}: {error}. Start the node, or name another one with --url") from None
    if view is None:
        raise click.ClickException(f"{base}: it does not answer as a node of this product. Name one with --url")
    missing: dict[str, list[str]] = {}
    unasked: dict[str, str] = {}
    for node in view.members:
        if node.role is Role.WITNESS:
            continue  # it signs nothing
        url = node.api_url.rstrip("/")
        try:
            if not url:
                raise NoAnswerError("its address is not known: it does not run, or has just started")
            told = {str(one.get("kid")) for one in (await body_of(url + JWKS)).get("keys", [])}
        except NoAnswerError as error:
            unasked[node.node] = f"{url}: {error}" if url else str(error)
            continue
        if lacks := [key.file for key in keys if key.kid not in told]:
            missing[node.node] = lacks
    return missing, unasked


def _shown(moment_s: int) -> str:
    return datetime.fromtimestamp(moment_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if moment_s else "always"
