"""``rppam config push``: make the cluster's hot configuration what the section ``settings`` of a file says.

Without ``--yes`` it shows what would change and changes nothing. With it each setting that differs is sent to the
leader, if that is a node that was named, and only if it has not changed since it was compared. Each setting is a change
of its own, and those that were made are listed when a later one is refused; with ``--all-or-none`` each node first
tries what depends on its host, and all are put back when one is refused or a node does not obey in time.
"""

import asyncio
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from rppam.access.tokens.target import Where, kept_log_in, nodes_option, target_options
from rppam.cli.errors import tell
from rppam.cli.paths import CONFIG_FILE
from rppam.kernel.errors import Exit

if TYPE_CHECKING:
    from rppam.cluster.health.model import ClusterHealth
    from rppam.manager.orders_command import Orders
    from rppam.settings.files import Difference, Wish

PATH: Final = "/api/v1/settings"
OBEYED_S: Final = 15.0
"""A node that was just told obeys within milliseconds, and says so with its next heartbeats."""


@click.command(
    "push",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: rppam config push /etc/rppam/rppam.config --yes",
)
@click.argument("file", required=False, type=CONFIG_FILE)
@click.option(
    "--config",
    type=CONFIG_FILE,
    help="rppam.config of a node, whose address and keys are used. Default: FILE if it is one, else RPPAM_CONFIG.",
)
@click.option("--yes", is_flag=True, help="Make the changes. Else they are only shown.")
@click.option(
    "--all-or-none",
    is_flag=True,
    help="Put back what was changed, should one change be refused or a node not obey in time. Begins only where every "
    "node is healthy, of one release, and has tried the values on its own host.",
)
@nodes_option
@target_options("a token of pam_admin", config=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(
    file: Path | None,
    *,
    config: Path | None,
    where: Where,
    yes: bool,
    all_or_none: bool,
    others: tuple[str, ...],
    as_json: bool,
) -> int:
    """Bring the cluster's settings to what the section "settings" of FILE says.

    FILE is RPPAM_CONFIG, or the platform's default, where it is left out. Without --yes nothing is changed. A field
    that the section leaves out has its default afterwards; a setting that it does not name stays as it is.

    On a node's own host nothing more is needed, whether it leads or not, and elsewhere any node takes the changes.
    Where it reaches no leader, those that you name with --node are asked in turn; a token that you give goes to no
    other.

    Exit code 0: the cluster has what the file says; 1: it differs (without --yes), or a change was refused; 2: no node
    answers, or wrong usage; 78: the file is wrong.
    """
    from rppam.config.load import load_settings
    from rppam.config.places import config_path
    from rppam.manager.orders_command import OrderError, Orders
    from rppam.settings.files import wishes

    path = config_path(file)
    wanted = wishes(load_settings(path).hot)
    if not wanted:
        raise click.UsageError(f'{path} has no section "settings", so there is nothing to push')
    has_token = where.token_file is not None or bool(os.environ.get("RPPAM_TOKEN", "").strip())
    has_token = has_token or kept_log_in((where.url,) if where.url else (), where.ca, otherwise=True) is not None
    if config is not None or not has_token:
        where = where._replace(config=config or _node_config(path))
    orders = Orders(where, others=others)
    outcome = _Outcome()
    try:
        asyncio.run(_push(orders, wanted, outcome, make=yes, whole=all_or_none))
    except OrderError as error:
        outcome.error, outcome.code = str(error), error.exit_code
    outcome.show(as_json=as_json, made=yes)
    return outcome.code


def _node_config(file: Path) -> Path:
    """The config of this host's node: ``file``, unless it holds settings of the cluster and nothing else."""
    from rppam.config.places import config_path
    from rppam.settings.files import SECTION

    with suppress(OSError, ValueError):  # it was read a moment ago
        said = json.loads(file.read_text(encoding="utf-8-sig"))
        if isinstance(said, dict) and set(said) <= {SECTION}:
            return config_path(None)
    return file


class _Outcome:
    """What was found and done so far."""

    def __init__(self) -> None:
        self.differing: dict[str, list[Difference]] = {}
        self.revisions: dict[str, int] = {}
        """Of the settings that were changed."""
        self.same = 0
        self.error = ""
        self.code = Exit.DONE

    def show(self, *, as_json: bool, made: bool) -> None:
        if self.error:
            tell(self.error)
        if as_json:
            changes = [
                {"setting": name, "revision": self.revisions.get(name), "fields": [one._asdict() for one in fields]}
                for name, fields in self.differing.items()
            ]
            click.echo(json.dumps({"changes": changes, "same": self.same, "applied": made, "error": self.error}))
            return
        for name, fields in self.differing.items():
            done = f": revision {self.revisions[name]}" if name in self.revisions else ": not changed" if made else ""
            click.echo(f"{name}{done}")
            for one in fields:
                click.echo(f"  {one.field}: {json.dumps(one.found)} -> {json.dumps(one.wanted)}")
        if self.error:
            return
        if not self.differing:
            click.echo("the cluster has what the file says")
        elif not made:
            click.echo("nothing was changed; --yes makes these changes")


async def _push(orders: "Orders", wanted: "list[Wish]", outcome: _Outcome, *, make: bool, whole: bool) -> None:
    """Compare, and with ``make`` change; ``whole``: all or none. Raises OrderError."""
    from rppam.manager.orders_command import OrderError
    from rppam.settings.files import differences

    found = _listed(await orders.read(PATH))
    for wish in wanted:
        name = wish.setting.name
        if name not in found:
            raise OrderError(f"{orders.url} knows no setting {name}; it is of an older release", Exit.ERRORS)
        if fields := differences(wish, found[name][1]):
            outcome.differing[name] = fields
    outcome.same = len(wanted) - len(outcome.differing)
    if not make:
        outcome.code = Exit.NO if outcome.differing else Exit.DONE
        return
    if whole:
        _check_alike(await orders.look())
        await _tried(orders, {one.setting.name: one.value for one in wanted if one.setting.name in outcome.differing})
    try:
        for wish in wanted:
            name = wish.setting.name
            if name in outcome.differing:
                tag = f'"{found[name][0]}"'
                outcome.revisions[name] = _revision(await orders.write(f"{PATH}/{name}", wish.value, tag))
        if whole and outcome.revisions:
            await _obeyed(orders)
    except OrderError as error:
        if not whole:
            raise
        back = await _put_back(orders, found, outcome.revisions)
        raise OrderError(f"{error}. {back}", error.exit_code, code=error.code) from error


def _check_alike(view: "ClusterHealth") -> None:
    """Raise OrderError, unless every node would take the same settings."""
    from rppam.manager.orders_command import OrderError

    nodes = [one for one in view.members if one.role != "witness"]
    if ill := [f"{one.node} is {one.status}" for one in nodes if one.status not in {"healthy", "maintenance"}]:
        raise OrderError(f"not begun, as not every node could be made to obey: {', '.join(ill)}", Exit.NO)
    if len({one.version for one in nodes}) > 1:
        found = ", ".join(f"{one.node} {one.version}" for one in nodes)
        raise OrderError(
            f"not begun, as nodes of several releases may take different values: {found}. Bring all to one first",
            Exit.NO,
        )


async def _tried(orders: "Orders", values: Mapping[str, object]) -> None:
    """Have each node try the values before any goes by them. Raises OrderError."""
    from rppam.manager.orders_command import OrderError

    answer: Any = await orders.ask_for(f"{PATH}/trial", {"settings": dict(values)}) if values else {}
    found = answer.get("nodes") if isinstance(answer, Mapping) else None
    nodes = [one for one in (found or []) if isinstance(one, Mapping)]
    if unfit := [str(one.get("said")) for one in nodes if one.get("told") is not True]:
        raise OrderError(f"not begun, as not every node could go by it: {'; '.join(unfit)}", Exit.NO)


async def _obeyed(orders: "Orders") -> None:
    """Wait until every node says that it goes by the same settings. Raises OrderError."""
    from rppam.manager.orders_command import OrderError

    loop = asyncio.get_running_loop()
    until = loop.time() + OBEYED_S
    while True:
        nodes = [one for one in (await orders.look()).members if one.role != "witness"]
        if len({one.settings_revision for one in nodes}) == 1:
            return
        if loop.time() > until:
            told = ", ".join(f"{one.node} is at {one.settings_revision}" for one in nodes)
            raise OrderError(f"not every node goes by the new settings after {OBEYED_S:g} s: {told}", Exit.NO)
        await asyncio.sleep(0.2)


async def _put_back(
    orders: "Orders", found: Mapping[str, tuple[int, Mapping[str, object]]], revisions: dict[str, int]
) -> str:
    """Undo the changes, the last one first; a sentence about it."""
    from rppam.manager.orders_command import OrderError

    if not revisions:
        return "Nothing was changed"
    undone: list[str] = []
    for name, revision in reversed(list(revisions.items())):
        try:
            await orders.write(f"{PATH}/{name}", found[name][1], f'"{revision}"')
        except OrderError as error:
            return f"{name} could NOT be put back ({error}); put back: {', '.join(undone) or 'none'}"
        undone.append(name)
        del revisions[name]
    return f"Put back: {', '.join(undone)}"


def _listed(body: object) -> dict[str, tuple[int, Mapping[str, object]]]:
    """Revision and value of each setting that ``GET /api/v1/settings`` answered; anything malformed is left out."""
    lines: Any = body.get("settings") if isinstance(body, Mapping) else None
    return {
        line["name"]: (line["revision"], line["value"])
        for line in (lines if isinstance(lines, list) else [])
        if isinstance(line, Mapping)
        and isinstance(line.get("name"), str)
        and type(line.get("revision")) is int
        and isinstance(line.get("value"), Mapping)
    }


def _revision(tag: str) -> int:
    text = tag.strip('"')
    return int(text) if text.isdecimal() else 0
