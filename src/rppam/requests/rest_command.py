"""The node that ``rppam request`` talks to, and how its answers are shown to people."""

import asyncio
import re
from typing import Any, Final
from urllib.parse import quote

from rppam.access.tokens.target import Where
from rppam.cli.database import exit_of
from rppam.http.client import NoAnswerError, advice, ask_json, refusal
from rppam.kernel.errors import Exit
from rppam.kernel.logging import one_line

ACCOUNTS: Final = "/api/v1/accounts"
TIMEOUT_S: Final = 15.0
_ID: Final = re.compile(r"[0-9A-Za-z-]{1,36}")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class RestError(Exception):
    """The node has refused, or none answers; ``str()`` is a sentence for people."""

    def __init__(self, sentence: str, code: str = "", exit_code: Exit = Exit.NO) -> None:
        super().__init__(sentence)
        self.code, self.exit_code = code, exit_code


class Rest:
    """One node, asked as who the token belongs to."""

    def __init__(self, where: Where) -> None:
        self._target = where.target()

    def get(self, path: str) -> Any:
        """What the node answers. Raises :class:`RestError`."""
        return self._ask("GET", path, None)

    def post(self, path: str, body: object) -> Any:
        """As :meth:`get`."""
        return self._ask("POST", path, body)

    def page(self, path: str, size: int, after: str | None, *words: str) -> Any:
        """A page of a list. Raises :class:`RestError`."""
        if after is not None:
            self.path(path, after)  # what is no id becomes no part of the query either
            words += (f"after={after}",)
        return self.get("?".join([path, "&".join([f"pageSize={size}", *words])]))

    def path(self, *parts: str) -> str:
        """The path of one thing; what is no id becomes no part of a path. Raises :class:`RestError`."""
        ident = parts[1]
        if not _ID.fullmatch(ident):
            raise RestError(f"ID: expected an id as 'rppam request ls' shows it, found {ident!r}", "", Exit.ERRORS)
        return "/".join(parts)

    def entry(self, word: str) -> str:
        """The id of an entry of the vault, as it is given. Raises :class:`RestError`."""
        if not _ID.fullmatch(word):
            sentence = f"TARGET: with --entry expected the id of an entry, as 'rppam vault ls' shows it, found {word!r}"
            raise RestError(sentence, "", Exit.ERRORS)
        return word

    def account(self, word: str) -> str:
        """The id of a privileged account: given as it is, or as ACCOUNT@RESOURCE. Raises :class:`RestError`."""
        name, at, resource = word.rpartition("@")
        if not at:
            if _UUID.fullmatch(word) or _ID.fullmatch(word):
                return word
            raise RestError(f"TARGET: expected an id or ACCOUNT@RESOURCE, found {word!r}", "", Exit.ERRORS)
        found = self.get(f"{ACCOUNTS}?pageSize=200&search={quote(name, safe='')}")
        matching = [
            one["id"]
            for one in found.get("items", ())
            if one["name"] == name and str(one["resourceName"]).casefold() == resource.casefold()
        ]
        if len(matching) != 1:
            raise RestError(f"no privileged account is named {word!r}: 'rppam account ls' lists them")
        return str(matching[0])

    def grant_of(self, request: Any) -> str:
        """The id of the grant of a request. Raises :class:`RestError`."""
        if not request.get("grantId"):
            raise RestError(f"nothing was granted by it: it is {request.get('state')}", "RPPAM-8503")
        return str(request["grantId"])

    def _ask(self, method: str, path: str, body: object) -> Any:
        target = self._target
        try:
            answer = asyncio.run(
                ask_json(
                    method, target.url.rstrip("/") + path, body, token=target.token(), timeout_s=TIMEOUT_S,
                    trust=target.trust,
                )
            )  # fmt: skip
        except NoAnswerError as error:
            raise RestError(f"{target.url}: {error}. {advice(method, error)}", "", Exit.ERRORS) from None
        found = answer.body if isinstance(answer.body, dict) else {}
        if not 200 <= answer.status < 300:
            code = str(found.get("code", ""))
            raise RestError(refusal(target.url, answer.status, found), code, exit_of(code, Exit.NO))
        return found


def shown(found: Any) -> str:
    """What people see: a line for each, or one with everything that decides."""
    if "items" in found:
        lines = [_line(one) if "approvers" in one else _grant(one) for one in found["items"]]
        return "\n".join([*lines, f"more: --after {found['next']}"] if found["next"] else lines) or "none"
    if "approvers" not in found:
        return _grant(found)
    lines = [_line(found), one_line(f"  reason: {found['reason']}")]
    if found["state"] == "pending":
        lines.append(f"  approvals: {found['approvals']} of {found['approvalsNeeded']}, until {found['decideBy']}")
    if found["expiresAt"]:
        lines.append(f"  access from {found['beginsAt']} to {found['expiresAt']}")
    elif found["useBy"]:
        lines.append(f"  {found['minutes']} minutes from its first use, which has to be before {found['useBy']}")
    for one in found["approvers"]:
        verdict = {"approve": "has approved", "deny": "has denied"}.get(one["verdict"] or "", "may decide")
        note = f": {one['note']}" if one["note"] else ""
        lines.append(one_line(f"  {one['username']} {verdict}{note}"))
    if found["why"]:
        lines.append(one_line(f"  {found['state']}: {found['why']}"))
    return "\n".join(lines)


def _grant(one: Any) -> str:
    until = f"until {one['expiresAt']}" if one["expiresAt"] else f"first use before {one['useBy']}"
    told = one["endedWhy"] if one["endedAt"] else until
    rights = ",".join(one["rights"])
    return one_line(f"{one['id']}  {one['state']:<8}  {one['user']}  {rights}  {one['objectName']}  {told}")


def _line(one: Any) -> str:
    emergency = "  EMERGENCY" if one["emergency"] else ""
    rights = ",".join(one["rights"])
    if one["expiresAt"]:
        when = f"  until {one['expiresAt']}"
    else:
        when = f", first use before {one['useBy']}" if one["useBy"] else ""
    return one_line(
        f"{one['id']}  {one['state']:<9}  {one['requester']}  {rights}  {one['objectName']}  "
        f"{one['minutes']} min{when}{emergency}"
    )
