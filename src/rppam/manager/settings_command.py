"""``rppam settings``: look at the cluster's settings and change them, from any host that reaches a node of it.

A change reads the setting first and is made only while that revision is in force, so it overwrites nothing that its
author has not seen. Which values are right is decided by the leader.
"""

import asyncio
import json
import re
from collections.abc import Callable, Coroutine, Mapping
from functools import wraps
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import click

from rppam.access.tokens.target import Where, nodes_option, target_options
from rppam.cli.errors import fail
from rppam.cli.group import Group
from rppam.kernel.errors import Exit

if TYPE_CHECKING:
    from rppam.manager.orders_command import Orders

PATH: Final = "/api/v1/settings"
ACKNOWLEDGED: Final = "doctor/acknowledged"
_FIXES: Final = {
    "RPPAM-6501": "'rppam settings get NAME' shows the whole value.",
    "RPPAM-6502": "'rppam settings list' shows the names; they are case-sensitive.",
    "RPPAM-6503": "Look at what is new with 'rppam settings get NAME', and run the command again.",
    "RPPAM-6504": "Use a revision that 'rppam settings history NAME' shows, or 0 for the default.",
}
"""What a node's fixes are in the words of these commands."""
_TO_CHANGE: Final = {
    "RPPAM-6002": "To change it takes the role pam_admin, or security_admin where its name begins with security/."
}
_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_OTHER_REVISION: Final = re.compile(r"If-Match names another revision than (\d+), which is in force")
_HELP: Final = {"help_option_names": ["-h", "--help"]}
Work = Callable[..., Coroutine[Any, Any, Any]]
"""(orders, and the sub-command's own options): what is shown; as JSON, or by the sub-command's own lines."""


@click.group(
    "settings", cls=Group, context_settings=_HELP, epilog="Example: rppam settings set security/sessions idleMinutes=15"
)
def command() -> None:
    """Show and change settings of the whole cluster, while it runs."""


def _ask(lines: Callable[[Any], list[str]], also: Mapping[str, str] = _NONE) -> Callable[[Work], Callable[..., int]]:
    """Make a sub-command of what asks the cluster; ``lines`` shows what it found to people.

    ``also``: further fixes by code.
    """

    def decorate(work: Work) -> Callable[..., int]:
        @target_options("a token of pam_admin or security_admin")
        @nodes_option
        @click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
        @wraps(work)
        def run(*, where: Where, others: tuple[str, ...], as_json: bool, **options: Any) -> int:
            from rppam.manager.orders_command import OrderError, Orders

            name = options.get("name", ACKNOWLEDGED)
            fixes = {code: fix.replace("NAME", name) for code, fix in {**_FIXES, **also}.items()}
            try:
                found = asyncio.run(work(Orders(where, others=others, fixes=fixes), **options))
            except OrderError as error:
                fail(_OTHER_REVISION.sub(r"it was changed meanwhile: revision \1 is in force", str(error)), error.code)
                return error.exit_code
            if as_json:
                click.echo(json.dumps(found))
            else:
                for line in lines(found):
                    click.echo(line)
            return Exit.DONE

        return run

    return decorate


def _list_lines(found: Any) -> list[str]:
    width = max((len(one["name"]) for one in found["items"]), default=0)
    lines = [f"{'SETTING':<{width}}  REVISION  WHAT IS NOT THE DEFAULT"]
    for one in found["items"]:
        other = {field: value for field, value in one["value"].items() if value != one["default"].get(field)}
        said = ", ".join(f"{field}={_text(value)}" for field, value in other.items()) or "-"
        lines.append(f"{one['name']:<{width}}  {one['revision']:>8}  {said}")
    return lines


def _value_lines(found: Any) -> list[str]:
    return [f"{field}={_text(value)}" for field, value in found["value"].items()]


def _changed_lines(found: Any) -> list[str]:
    if not found["changes"]:
        return [f"{found['name']} is so already: revision {found['revision']}"]
    changes = [f"  {one['field']}: {_text(one['from'])} -> {_text(one['to'])}" for one in found["changes"]]
    return [f"{found['name']}: revision {found['revision']}", *changes]


def _history_lines(found: Any) -> list[str]:
    lines = []
    for one in found["revisions"]:
        lines.append(f"{one['revision']:>5}  {one['changedAt']}  {one['author']}")
        lines += [f"         {was['field']}: {_text(was['from'])} -> {_text(was['to'])}" for was in one["changes"]]
    return lines or ["it was never set: the default holds"]


@command.command("list", context_settings=_HELP, epilog="Example: rppam settings list")
@_ask(_list_lines)
async def list_(orders: "Orders") -> Any:
    """Show all settings, and which of their fields are not the default."""
    return {"items": list((await _all(orders)).values())}


@command.command(context_settings=_HELP, epilog="Example: rppam settings get security/mfa")
@click.argument("name")
@_ask(_value_lines)
async def get(orders: "Orders", name: str) -> Any:
    """Show every field of the setting NAME."""
    return await _one(orders, name)


@command.command("set", context_settings=_HELP, epilog="Example: rppam settings set security/sessions idleMinutes=15")
@click.argument("name")
@click.argument("fields", metavar="FIELD=VALUE...", nargs=-1, required=True)
@_ask(_changed_lines, _TO_CHANGE)
async def set_(orders: "Orders", name: str, fields: tuple[str, ...]) -> Any:
    """Change fields of the setting NAME; others stay. A VALUE is JSON, or else a text. Every node obeys at once.

    Exit code 0: the cluster has it; 1: refused, as when somebody else changed it meanwhile or there is no leader; 2: no
    node answers, or a wrong name or value.
    """
    wanted = dict(map(field_of, fields))
    found = await _one(orders, name)
    if unknown := sorted(set(wanted) - set(found["value"])):
        raise click.UsageError(f"{name} has no field {unknown[0]}; it has {', '.join(found['value'])}")
    return await _changed(orders, found, wanted)


async def _changed(orders: "Orders", found: Any, wanted: Mapping[str, Any]) -> Any:
    """Change these fields of the setting that was found, while its revision is in force."""
    name = found["name"]
    changes = [
        {"field": field, "from": found["value"][field], "to": value}
        for field, value in wanted.items()
        if found["value"][field] != value
    ]
    revision = found["revision"]
    if changes:
        revision = _revision(await orders.write(f"{PATH}/{name}", {**found["value"], **wanted}, f'"{revision}"'))
    return {"name": name, "revision": revision, "changes": changes}


@command.command(
    context_settings=_HELP,
    epilog="Example: rppam settings acknowledge RD-306 --until 2027-01-31 --reason 'a trial'",
)
@click.argument("code")
@click.option("--reason", default="", help="Why it stays.")
@click.option("--until", default="", metavar="DAY", help="The last day, by UTC, such as 2027-01-31.")
@click.option("--by", default="", help="Who answers for it. Default: you, by the name of your account.")
@click.option("--on", default="", metavar="NAME", help="On the node of this name alone. Default: on all.")
@click.option("--end", is_flag=True, help="Take it off the list: it counts again.")
@_ask(_changed_lines, _TO_CHANGE)
async def acknowledge(orders: "Orders", code: str, reason: str, until: str, by: str, on: str, end: bool) -> Any:
    """Acknowledge the finding CODE of rppam doctor for a time: it is shown as before, and counts no more.

    Errors, and what stops service, cannot be acknowledged. The list is the setting doctor/acknowledged.
    """
    from rppam.access.tokens.host import operator

    found = await _one(orders, ACKNOWLEDGED)
    listed, code = found["value"]["findings"], code.upper()
    others = [one for one in listed if (one["code"], one["node"]) != (code, on)]
    if end and len(others) == len(listed):
        raise click.UsageError(f"{code} is not acknowledged {f'on {on}' if on else 'on all nodes'}")
    if not end and not (reason and until):
        raise click.UsageError("say why it stays (--reason) and until when (--until)")
    new = {"code": code, "reason": reason, "by": by or operator(), "until": until, "node": on}
    return await _changed(orders, found, {"findings": others if end else [*others, new]})


@command.command(context_settings=_HELP, epilog="Example: rppam settings history security/mfa")
@click.argument("name")
@_ask(_history_lines)
async def history(orders: "Orders", name: str) -> Any:
    """Show who changed the setting NAME, when, and from what to what; the newest first."""
    await _one(orders, name)
    return await orders.read(f"{PATH}/{name}/history")


@command.command(context_settings=_HELP, epilog="Example: rppam settings rollback security/mfa 3")
@click.argument("name")
@click.argument("revision", type=click.IntRange(0))
@_ask(_changed_lines, _TO_CHANGE)
async def rollback(orders: "Orders", name: str, revision: int) -> Any:
    """Give the setting NAME the value that it had at REVISION; 0 is the default. It becomes a new revision."""
    before = await _one(orders, name)
    body = {"revision": revision}
    tag = await orders.write(f"{PATH}/{name}/rollback", body, f'"{before["revision"]}"', "POST")
    after = await _one(orders, name)
    changes = [
        {"field": field, "from": before["value"].get(field), "to": value}
        for field, value in after["value"].items()
        if before["value"].get(field) != value
    ]
    return {"name": name, "revision": _revision(tag), "changes": changes}


async def _one(orders: "Orders", name: str) -> Any:
    """The setting as ``GET /api/v1/settings`` shows it. Raises :class:`click.UsageError` for a name that is none."""
    from rppam.config.wording import alike

    names = await _all(orders)
    if name not in names:
        like = " or ".join(alike(name, names))
        meant = f"did you mean {like}?" if like else f"there are {', '.join(names)}"
        raise click.UsageError(f"there is no setting {name!r}: {meant}")
    return names[name]


async def _all(orders: "Orders") -> dict[str, Any]:
    """All settings by name, as ``GET /api/v1/settings`` shows them."""
    from rppam.manager.orders_command import OrderError

    found = await orders.read(PATH)
    listed = found.get("settings") if isinstance(found, Mapping) else None
    if not isinstance(listed, list):
        raise OrderError(f"{orders.url}: it does not answer as a node of this product", Exit.ERRORS)
    return {one["name"]: one for one in listed}


def field_of(text: str) -> tuple[str, Any]:
    """A field and its value, of FIELD=VALUE. Raises :class:`click.UsageError`."""
    field, parted, value = text.partition("=")
    if not parted:
        raise click.UsageError(f"expected FIELD=VALUE, found {text!r}; a list is JSON: byTag='[\"pci=730\"]'")
    try:
        return field, json.loads(value)
    except ValueError:
        return field, value


def _revision(tag: str) -> int:
    return int(tag.strip('"')) if tag.strip('"').isdecimal() else 0


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
