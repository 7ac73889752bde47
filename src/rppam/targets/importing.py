"""What ``rppam target import`` asks of a node, so that targets are as a file has them.

Adds and changes, and removes nothing: accounts and pinned keys that the file does not name stay.
"""

from collections.abc import Sequence
from typing import Any, Final

import click

from rppam.targets.rest_command import Rest
from rppam.targets.wanted import Wanted, WantedAccount

RESOURCES: Final = "/api/v1/resources"
ACCOUNTS: Final = "/api/v1/accounts"
KEYS: Final = "/api/v1/host-keys"


def accounts_by_target(rest: Rest) -> dict[str, list[dict[str, Any]]]:
    """All accounts, by the id of their target."""
    return _by_target(rest.all(ACCOUNTS))


def keys_by_target(rest: Rest) -> dict[str, list[str]]:
    """All pinned keys as files have them, by the id of their target."""
    found = _by_target(rest.all(KEYS))
    return {ident: [f"{key['type']} {key['key']}" for key in keys] for ident, keys in found.items()}


def _by_target(items: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for one in items:
        found.setdefault(one["resourceId"], []).append(one)
    return found


class Import:
    """Puts targets, and counts what became of them."""

    def __init__(self, rest: Rest, wanted: Sequence[Wanted], *, dry_run: bool) -> None:
        self._rest, self._wanted, self._dry_run = rest, wanted, dry_run
        self._there = {one["name"].lower(): one for one in rest.all(RESOURCES)}
        found = accounts_by_target(rest) if any(one.accounts for one in wanted) else {}
        self._accounts = {ident: {one["name"]: one for one in accounts} for ident, accounts in found.items()}
        self._keys = keys_by_target(rest) if any(one.host_keys for one in wanted) else {}
        self.created: list[str] = []
        self.changed: list[str] = []
        self.unchanged = 0
        self.problems: list[str] = []

    def run(self) -> None:
        """Make them so, with their accounts and pinned keys."""
        for wanted in self._wanted:
            try:
                self._put(wanted)
            except click.ClickException as error:
                self.problems.append(f"{wanted.name}: {error.message}")

    def _put(self, wanted: Wanted) -> None:
        body, name = wanted.body(), wanted.name.lower()
        there = self._there.get(name)
        ident = "" if there is None else there["id"]
        is_same = there is not None and _is_as(there, body)
        have = self._accounts.get(ident, {})
        accounts = [one for one in wanted.accounts if one.name not in have or not _is_as(have[one.name], one.body())]
        pinned = self._keys.get(ident, [])
        keys = [key for key in dict.fromkeys(wanted.host_keys) if key not in pinned]
        if is_same and not accounts and not keys:
            self.unchanged += 1
            return
        (self.created if there is None else self.changed).append(wanted.name)
        if self._dry_run:
            return
        if not is_same:
            there = self._rest.ask(*(("PUT", f"{RESOURCES}/{ident}") if ident else ("POST", RESOURCES)), body)
            self._there[name] = there
            ident = there["id"]
        for account in accounts:
            self._put_account(ident, account)
        for key in keys:
            self._rest.ask("POST", f"{RESOURCES}/{ident}/host-keys", {"key": key})
            self._keys.setdefault(ident, []).append(key)

    def _put_account(self, ident: str, account: WantedAccount) -> None:
        have = self._accounts.setdefault(ident, {})
        there = have.get(account.name)
        if there is None:
            made = self._rest.ask("POST", ACCOUNTS, {"resourceId": ident, **account.body()})
        else:
            made = self._rest.ask("PUT", f"{ACCOUNTS}/{there['id']}", account.body())
        have[account.name] = made


def _is_as(there: dict[str, Any], body: dict[str, Any]) -> bool:
    return all(there[name] == value for name, value in body.items())
