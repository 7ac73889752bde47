"""Files of targets: CSV, JSON, an Ansible inventory (INI, or ansible-inventory's JSON) and an OpenSSH config. Pure.

Decides what a file says, and names each line that it leaves out. CSV, JSON and Ansible keep all that a node knows of a
target, so that an export can be imported without loss; an OpenSSH config cannot, and :func:`left_out` says what it
lacks. None of them ever has a secret: passwords in an inventory are passed over.
"""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from rppam.targets.inventory import read_ini, read_inventory, write_inventory
from rppam.targets.openssh import read_config, write_config
from rppam.targets.wanted import YES, Found, Wanted, WantedAccount, accounts_of, keys_of, texts_of, values

FORMATS: Final = ("csv", "json", "ansible", "openssh")
_COLUMNS: Final = ("name", "kind", "address", "port", "tags", "accounts", "description")
_MORE_COLUMNS: Final = ("hostKeyPolicy", "legacyAlgorithms", "hostKeys")
_CELL_CHARS_MAX: Final = 4_000_000


class LeftOut(NamedTuple):
    """What a file does not say of a target."""

    target: str
    fields: tuple[str, ...]
    """Empty: anything."""

    def __str__(self) -> str:
        return f"{self.target}: left out: {', '.join(self.fields) or 'all of it, as only the kind ssh can be told'}"


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


def left_out(targets: Sequence[Wanted], text: str, format_: str) -> list[LeftOut]:
    """What a file of these targets lacks: the difference between them and what is read from it again."""
    found = {one.name: _told(one) for one in read_targets(text, format_)[0]}
    lacking = []
    for one in targets:
        there = found.get(one.name)
        fields = () if there is None else tuple(name for name, value in _told(one).items() if there[name] != value)
        if there is None or fields:
            lacking.append(LeftOut(one.name, fields))
    return lacking


def _told(one: Wanted) -> dict[str, object]:
    return {
        "kind": one.kind,
        "address": one.address,
        "port": one.port,
        "tags": set(one.tags),
        "accounts": {account.name for account in one.accounts},
        "tags of accounts": {(account.name, account.tags) for account in one.accounts if account.tags},
        "descriptions of accounts": {
            (account.name, account.description) for account in one.accounts if account.description
        },
        "description": one.description,
        "hostKeyPolicy": one.policy,
        "legacyAlgorithms": bool(one.legacy_algorithms),
        "hostKeys": set(one.host_keys),
    }


# ---- CSV -------------------------------------------------------------------------------------------------------------


def _read_csv(text: str) -> Found:
    csv.field_size_limit(_CELL_CHARS_MAX)
    rows = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), skipinitialspace=True)
    found: list[Wanted] = []
    problems: list[str] = []
    try:
        if "name" not in (rows.fieldnames or ()):
            return [], [f"line 1: expected the titles {', '.join(_COLUMNS)}, of which name is needed"]
        for row in rows:
            try:
                found.append(_of_row({key: value or "" for key, value in row.items() if isinstance(key, str)}))
            except ValueError as error:
                problems.append(f"line {rows.line_num}: {error}")
    except csv.Error as error:
        problems.append(f"line {rows.line_num}: {error}")
    return found, problems


def _of_row(row: Mapping[str, str]) -> Wanted:
    """Raises ValueError."""
    values = {key: value.strip() for key, value in row.items()}
    port = values.get("port", "")
    if port and not (port.isascii() and port.isdigit()):
        raise ValueError("port: expected a number")
    if not values["name"]:
        raise ValueError("expected a name")
    legacy = values.get("legacyAlgorithms", "").lower()
    return Wanted(
        values["name"],
        values.get("kind") or "ssh",
        values.get("address", ""),
        int(port) if port else None,
        tuple(values.get("tags", "").split()),
        _accounts_of_cell(values.get("accounts", "")),
        row.get("description", ""),
        values.get("hostKeyPolicy", ""),
        legacy in YES if legacy else None,
        keys_of(filter(None, map(str.strip, values.get("hostKeys", "").split(";")))),
    )


def _accounts_of_cell(cell: str) -> tuple[WantedAccount, ...]:
    if cell.startswith("["):
        try:
            return accounts_of(json.loads(cell))
        except ValueError:
            pass  # a name may begin with a bracket
    return tuple(WantedAccount(one.strip()) for one in cell.split(";") if one.strip())


def _cell_of_accounts(accounts: Sequence[WantedAccount]) -> str:
    """Names, or JSON where names alone would not do."""
    told = values(accounts)
    plain = all(isinstance(one, str) and ";" not in one and one == one.strip() and one for one in told)
    return ";".join(told) if plain and not (told and told[0].startswith("[")) else json.dumps(told, ensure_ascii=False)


def _write_csv(targets: Sequence[Wanted]) -> str:
    out = io.StringIO()
    # Texts stand in quotes, so that blanks around them are theirs.
    writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    out.write(",".join(_COLUMNS + _MORE_COLUMNS) + "\n")
    for one in targets:
        legacy = "" if one.legacy_algorithms is None else str(one.legacy_algorithms).lower()
        accounts, keys = _cell_of_accounts(one.accounts), ";".join(one.host_keys)
        row = (one.name, one.kind, one.address, one.port, " ".join(one.tags), accounts, one.description)
        writer.writerow((*row, one.host_key_policy, legacy, keys))
    return out.getvalue()


# ---- JSON ------------------------------------------------------------------------------------------------------------


def _read_json(text: str) -> Found:
    try:
        document = json.loads(text)
    except ValueError as error:
        return [], [f"expected JSON: {error}"]
    if isinstance(document, Mapping) and "_meta" in document:
        return read_inventory(document)
    items = document.get("items") if isinstance(document, Mapping) else document
    if not isinstance(items, list):
        return [], ['expected a list of targets, or an object with "items"']
    found: list[Wanted] = []
    problems: list[str] = []
    for place, item in enumerate(items, 1):
        if not isinstance(item, Mapping) or not isinstance(item.get("name"), str):
            problems.append(f"item {place}: expected an object with a name")
            continue
        try:
            found.append(_of_item(item))
        except ValueError as error:
            problems.append(f"item {place}: {error}")
    return found, problems


def _of_item(item: Mapping[str, Any]) -> Wanted:
    """Raises ValueError."""
    port, legacy = item.get("port"), item.get("legacyAlgorithms")
    return Wanted(
        item["name"],
        str(item.get("kind", "ssh")),
        str(item.get("address", "")),
        port if isinstance(port, int) else None,
        texts_of(item.get("tags", ()), "tags"),
        accounts_of(item.get("accounts", ())),
        str(item.get("description", "")),
        str(item.get("hostKeyPolicy", "")),
        legacy if isinstance(legacy, bool) else None,
        keys_of(texts_of(item.get("hostKeys", ()), "hostKeys")),
    )


def _write_json(targets: Sequence[Wanted]) -> str:
    items = [
        {
            "name": one.name,
            "kind": one.kind,
            "address": one.address,
            "port": one.port,
            "tags": one.tags,
            "accounts": values(one.accounts),
            "description": one.description,
            "hostKeyPolicy": one.policy,
            "legacyAlgorithms": bool(one.legacy_algorithms),
            "hostKeys": one.host_keys,
        }
        for one in targets
    ]
    return json.dumps(items, indent=2, ensure_ascii=False) + "\n"


_READERS: Final[Mapping[str, Callable[[str], Found]]] = {
    "csv": _read_csv,
    "json": _read_json,
    "ansible": lambda text: _read_json(text) if text.lstrip().startswith("{") else read_ini(text),
    "openssh": read_config,
}
_WRITERS: Final[Mapping[str, Callable[[Sequence[Wanted]], str]]] = {
    "csv": _write_csv,
    "json": _write_json,
    "ansible": write_inventory,
    "openssh": write_config,
}
