"""An Ansible inventory: INI, or what ``ansible-inventory --list`` prints. Pure.

What Ansible has a word for stands in its own variables and groups; what it would lose or change stands in variables of
the host that begin with ``rppam_``, which are believed first. Ansible takes values for Python, so each that might mean
something there is written as JSON, which means the same in both.
"""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rppam.targets.model import HostKeyPolicy
from rppam.targets.wanted import YES, Found, Wanted, WantedAccount, accounts_of, keys_of, texts_of, values

_PLAIN: Final = re.compile(r"(?!(?:None|True|False)$)[A-Za-z_][A-Za-z0-9_.@-]*")
_OWN: Final = "rppam_"
_OF_ALL: Final = frozenset({"all", "ungrouped"})


def read_inventory(document: Mapping[str, Any]) -> Found:
    """What ``ansible-inventory --list`` prints."""
    meta = document.get("_meta")
    variables = meta.get("hostvars", {}) if isinstance(meta, Mapping) else {}
    groups: dict[str, list[str]] = {}
    for group, content in document.items():
        if group != "_meta" and isinstance(content, Mapping):
            for host in content.get("hosts", ()):
                groups.setdefault(str(host), []).append(group)
    names = sorted({*variables, *groups})
    return _of_hosts({name: (variables.get(name, {}), groups.get(name, [])) for name in names}, [])


def read_ini(text: str) -> Found:
    """An inventory as people write it."""
    hosts: dict[str, tuple[dict[str, Any], list[str]]] = {}
    problems: list[str] = []
    section, kind = "ungrouped", ""
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if line.startswith("[") and line.endswith("]"):
            section, _, kind = line[1:-1].partition(":")
            continue
        if kind:
            continue  # variables and children of groups
        try:
            name, *words = shlex.split(line, comments=True)
        except ValueError as error:
            problems.append(f"line {number}: {error}")
            continue
        if "[" in name:
            problems.append(f"line {number}: ranges of hosts are not read; use ansible-inventory --list as json")
            continue
        values, groups = hosts.setdefault(name, ({}, []))
        for word in words:
            key, _, value = word.partition("=")
            values[key] = _read(value) if key.startswith(_OWN) else value
        groups.append(section)
    return _of_hosts(hosts, problems)


def write_inventory(targets: Sequence[Wanted]) -> str:
    """The INI; a host's variables stand where it is named first."""
    aliases = _aliases([one.name for one in targets])
    groups: dict[str, list[Wanted]] = {}
    for one in targets:
        for group in dict.fromkeys(map(_group, one.tags)) or ("ungrouped",):
            groups.setdefault(group, []).append(one)
    lines: list[str] = []
    told: set[str] = set()
    for group, members in sorted(groups.items()):
        lines.append(f"[{group}]")
        for one in members:
            words = [] if one.name in told else _variables(one, aliases[one.name])
            lines.append(" ".join([aliases[one.name], *words]))
            told.add(one.name)
        lines.append("")
    return "\n".join(lines)


# ---- names -----------------------------------------------------------------------------------------------------------


def _group(tag: str) -> str:
    return "".join(char if char.isascii() and char.isalnum() else "_" for char in tag)


def _aliases(names: Sequence[str]) -> dict[str, str]:
    """Names as hosts may have, no two alike; most are their own."""
    found = {name: name for name in names if _host(name) == name}
    taken = set(found)
    for name in names:
        base, count = _host(name), 1
        if name in found:
            continue
        alias = base
        while alias in taken:
            count += 1
            alias = f"{base}_{count}"
        taken.add(alias)
        found[name] = alias
    return found


def _host(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]|^-|^$", "_", name)


# ---- variables -------------------------------------------------------------------------------------------------------


def _variables(one: Wanted, alias: str) -> list[str]:
    is_ssh = one.kind == "ssh"
    user = one.accounts[0].name if is_ssh and len(one.accounts) == 1 else ""
    is_user = bool(_PLAIN.fullmatch(user)) and one.accounts == (WantedAccount(user),)
    groups = set(map(_group, one.tags))
    known = {
        "ansible_host": one.address,
        "ansible_port": str(one.port) if is_ssh and one.port is not None else "",
        "ansible_user": user if is_user else "",
    }
    own: dict[str, Any] = {
        "rppam_name": one.name if one.name != alias else "",
        "rppam_kind": "" if is_ssh else one.kind,
        "rppam_port": None if is_ssh else one.port,
        "rppam_tags": list(one.tags) if groups - _OF_ALL != set(one.tags) or len(groups) != len(one.tags) else [],
        "rppam_accounts": [] if is_user else values(one.accounts),
        "rppam_description": one.description,
        "rppam_host_key_policy": "" if one.policy == HostKeyPolicy.PIN else one.policy,
        "rppam_legacy_algorithms": "true" if one.legacy_algorithms else "",
        "rppam_host_keys": list(one.host_keys),
    }
    words = [f"{name}={shlex.quote(value)}" for name, value in known.items() if value]
    return words + [f"{name}={_written(value)}" for name, value in own.items() if value not in (None, "", [])]


def _written(value: Any) -> str:
    """Bare, where nobody takes it for anything else."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and _read(value) == value:
        return value
    text = json.dumps(value, ensure_ascii=False)
    # Ends of lines for whoever splits lines by Unicode.
    for char in "\x85\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return shlex.quote(text)


def _read(text: str) -> Any:
    """A value of our own: JSON, or a bare word."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _of_hosts(hosts: Mapping[str, tuple[Mapping[str, Any], Sequence[str]]], problems: list[str]) -> Found:
    found = []
    for name, (variables, groups) in hosts.items():
        try:
            found.append(_of_host(name, variables, groups))
        except ValueError as error:
            problems.append(f"host {name}: {error}")
    return found, problems


def _of_host(name: str, variables: Mapping[str, Any], groups: Sequence[str]) -> Wanted:
    """Raises ValueError."""
    own = {key.removeprefix(_OWN): value for key, value in variables.items() if key.startswith(_OWN)}
    user = str(variables.get("ansible_user", ""))
    is_windows = variables.get("ansible_connection") in {"winrm", "psrp"}
    port = str(own.get("port", "" if is_windows else variables.get("ansible_port", "")))
    tags = tuple(group for group in dict.fromkeys(groups) if group not in _OF_ALL)
    return Wanted(
        str(own.get("name", name)),
        str(own.get("kind", "rdp" if is_windows else "ssh")),
        str(variables.get("ansible_host", "")),
        int(port) if port.isascii() and port.isdigit() else None,
        texts_of(own["tags"], "rppam_tags") if "tags" in own else tags,
        accounts_of(own["accounts"]) if "accounts" in own else (WantedAccount(user),) if user else (),
        str(own.get("description", "")),
        str(own.get("host_key_policy", "")),
        str(own["legacy_algorithms"]).lower() in YES if "legacy_algorithms" in own else None,
        keys_of(texts_of(own.get("host_keys", ()), "rppam_host_keys")),
    )
