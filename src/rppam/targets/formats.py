"""Files of targets: CSV, JSON, an Ansible inventory (INI, or ansible-inventory's JSON) and an OpenSSH config. Pure.

Decides what a file says, and names each line that it leaves out. It never has a secret: passwords in an inventory are
passed over, and said to be.
"""

import csv
import io
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

FORMATS: Final = ("csv", "json", "ansible", "openssh")
_COLUMNS: Final = ("name", "kind", "address", "port", "tags", "accounts", "description")


class Wanted(NamedTuple):
    """A target in a file."""

    name: str
    kind: str = "ssh"
    address: str = ""
    """Empty: as the name."""
    port: int | None = None
    tags: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    description: str = ""

    def body(self) -> dict[str, Any]:
        """For REST; what the file does not say is left out."""
        found: dict[str, Any] = {"name": self.name, "kind": self.kind, "address": self.address or self.name}
        if self.port is not None:
            found["port"] = self.port
        if self.tags:
            found["tags"] = sorted({tag.lower() for tag in self.tags})
        if self.description:
            found["description"] = self.description
        return found


Found = tuple[list[Wanted], list[str]]
"""The targets, and what is wrong with the file."""


def format_of(name: str) -> str:
    """The format that a file's name tells."""
    low = name.lower()
    for end, found in ((".csv", "csv"), (".json", "json"), (".ini", "ansible"), ("hosts", "ansible")):
        if low.endswith(end):
            return found
    return "openssh" if low.endswith("config") else "csv"


def read_targets(text: str, format_: str) -> Found:
    """The targets in a file of the format."""
    return _READERS[format_](text)


def write_targets(targets: Sequence[Wanted], format_: str) -> str:
    """A file of the format."""
    return _WRITERS[format_](targets)


def _port(text: str) -> int | None:
    return int(text) if text else None


def _read_csv(text: str) -> Found:
    rows = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    found: list[Wanted] = []
    problems: list[str] = []
    if "name" not in (rows.fieldnames or ()):
        return [], [f"line 1: expected the titles {', '.join(_COLUMNS)}, of which name is needed"]
    for row in rows:
        values = {key: (value or "").strip() for key, value in row.items() if isinstance(key, str)}
        try:
            port = _port(values.get("port", ""))
        except ValueError:
            problems.append(f"line {rows.line_num}: port: expected a number")
            continue
        if not values["name"]:
            problems.append(f"line {rows.line_num}: expected a name")
            continue
        found.append(
            Wanted(
                values["name"],
                values.get("kind") or "ssh",
                values.get("address", ""),
                port,
                tuple(values.get("tags", "").split()),
                tuple(one.strip() for one in values.get("accounts", "").split(";") if one.strip()),
                values.get("description", ""),
            )
        )
    return found, problems


def _read_json(text: str) -> Found:
    try:
        document = json.loads(text)
    except ValueError as error:
        return [], [f"expected JSON: {error}"]
    if isinstance(document, Mapping) and "_meta" in document:
        return _read_inventory(document)
    items = document.get("items") if isinstance(document, Mapping) else document
    if not isinstance(items, list):
        return [], ['expected a list of targets, or an object with "items"']
    found: list[Wanted] = []
    problems: list[str] = []
    for place, item in enumerate(items, 1):
        if not isinstance(item, Mapping) or not isinstance(item.get("name"), str):
            problems.append(f"item {place}: expected an object with a name")
            continue
        port = item.get("port")
        found.append(
            Wanted(
                item["name"],
                str(item.get("kind", "ssh")),
                str(item.get("address", "")),
                port if isinstance(port, int) else None,
                tuple(map(str, item.get("tags", ()))),
                tuple(map(str, item.get("accounts", ()))),
                str(item.get("description", "")),
            )
        )
    return found, problems


def _read_inventory(document: Mapping[str, Any]) -> Found:
    """What ``ansible-inventory --list`` prints."""
    variables: Mapping[str, Any] = document.get("_meta", {}).get("hostvars", {})
    groups: dict[str, list[str]] = {}
    for group, content in document.items():
        if group != "_meta" and isinstance(content, Mapping):
            for host in content.get("hosts", ()):
                groups.setdefault(str(host), []).append(group)
    names = sorted({*variables, *groups})
    return [_of_host(name, variables.get(name, {}), groups.get(name, [])) for name in names], []


def _read_ini(text: str) -> Found:
    hosts: dict[str, tuple[dict[str, str], list[str]]] = {}
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
        values |= dict(word.partition("=")[::2] for word in words)
        groups.append(section)
    return [_of_host(name, values, groups) for name, (values, groups) in hosts.items()], problems


def _of_host(name: str, values: Mapping[str, Any], groups: Sequence[str]) -> Wanted:
    port = str(values.get("ansible_port", ""))
    user = str(values.get("ansible_user", ""))
    kind = "rdp" if values.get("ansible_connection") in {"winrm", "psrp"} else "ssh"
    tags = tuple(group for group in dict.fromkeys(groups) if group not in {"all", "ungrouped"})
    address = str(values.get("ansible_host", ""))
    number = int(port) if port.isdigit() and kind == "ssh" else None
    return Wanted(name, kind, address, number, tags, (user,) if user else ())


def _read_openssh(text: str) -> Found:
    found: list[Wanted] = []
    names: list[str] = []
    values: dict[str, str] = {}

    def end() -> None:
        port = values.get("port", "")
        user = values.get("user", "")
        for name in names:
            address = values.get("hostname", "").replace("%h", name)
            accounts = (user,) if user else ()
            found.append(Wanted(name, "ssh", address, int(port) if port.isdigit() else None, (), accounts))

    for raw in text.splitlines():
        word, _, rest = raw.strip().replace("=", " ", 1).partition(" ")
        key, rest = word.lower(), rest.strip().strip('"')
        if key in {"host", "match"}:
            end()
            names, values = [], {}
            if key == "host":
                names = [name for name in rest.split() if not set(name) & set("*?!")]
        elif key and not key.startswith("#"):
            values.setdefault(key, rest)
    end()
    return found, []


def _write_csv(targets: Sequence[Wanted]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for one in targets:
        row = (one.name, one.kind, one.address, one.port, " ".join(one.tags), ";".join(one.accounts), one.description)
        writer.writerow(row)
    return out.getvalue()


def _write_json(targets: Sequence[Wanted]) -> str:
    return json.dumps([one._asdict() for one in targets], indent=2, ensure_ascii=False) + "\n"


def _write_ansible(targets: Sequence[Wanted]) -> str:
    groups: dict[str, list[Wanted]] = {}
    for one in targets:
        for tag in one.tags or ("ungrouped",):
            groups.setdefault("".join(char if char.isalnum() else "_" for char in tag), []).append(one)
    lines: list[str] = []
    for group, members in sorted(groups.items()):
        lines.append(f"[{group}]")
        for one in members:
            user = f" ansible_user={shlex.quote(one.accounts[0])}" if len(one.accounts) == 1 else ""
            name = one.name.replace(" ", "_")
            lines.append(f"{name} ansible_host={one.address} ansible_port={one.port}{user}")
        lines.append("")
    return "\n".join(lines)


def _write_openssh(targets: Sequence[Wanted]) -> str:
    lines: list[str] = []
    for one in targets:
        if one.kind != "ssh":
            continue
        lines += [f"Host {one.name.replace(' ', '_')}", f"  HostName {one.address}", f"  Port {one.port}"]
        lines += [f"  User {one.accounts[0]}"] if len(one.accounts) == 1 else []
        lines.append("")
    return "\n".join(lines)


_READERS: Final[Mapping[str, Callable[[str], Found]]] = {
    "csv": _read_csv,
    "json": _read_json,
    "ansible": lambda text: _read_json(text) if text.lstrip().startswith("{") else _read_ini(text),
    "openssh": _read_openssh,
}
_WRITERS: Final[Mapping[str, Callable[[Sequence[Wanted]], str]]] = {
    "csv": _write_csv,
    "json": _write_json,
    "ansible": _write_ansible,
    "openssh": _write_openssh,
}
