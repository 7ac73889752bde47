"""How commands ask a node's REST API: one question each, and a refusal as the node words it."""

import asyncio
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn
from urllib.parse import quote, urlencode

import click

from rppam.access.tokens.target import Target, Where
from rppam.cli.database import exit_of
from rppam.cli.errors import tell
from rppam.kernel.errors import Exit

HELP: Final = {"help_option_names": ["-h", "--help"]}
_REFUSED: Final = frozenset({404, 409, 412, 429, 503})
_NOT_DONE: Final = 300
_PAGE: Final = 200
"""What every list takes; some take no more."""
_IDENT: Final = re.compile(r"[0-9a-f-]{36}")


class Refused(click.ClickException):
    """What the node said, for stderr. The node refused it: exit code 1."""

    exit_code = int(Exit.NO)

    def __init__(self, text: str, body: Mapping[str, Any] | None = None) -> None:
        super().__init__(text)
        self.body = body or {}

    def show(self, file: Any = None) -> None:  # noqa: ARG002 - click's signature
        """As every error of a command."""
        tell(self.message)


class Failed(Refused):
    """There was no answer, or one to a question that was wrong: exit code 2."""

    exit_code = int(Exit.ERRORS)


class Rest:
    """A node, asked by a command."""

    def __init__(self, where: Where) -> None:
        """Raises :class:`click.UsageError` where there is no token."""
        self._target: Target = where.target()

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The JSON of the answer. Raises :class:`Refused`."""
        from rppam.http.client import NoAnswerError, advice, ask_json

        target = self._target
        url = target.url.rstrip("/") + path
        try:
            answer = asyncio.run(ask_json(method, url, body, token=target.token(), trust=target.trust, timeout_s=15.0))
        except NoAnswerError as error:
            raise Failed(f"{target.url}: {error}. {advice(method, error)}") from None
        if answer.status >= _NOT_DONE:
            self._refuse(answer.status, answer.body)
        return answer.body

    def all(self, path: str, **query: object) -> list[dict[str, Any]]:
        """The items of all pages."""
        found: list[dict[str, Any]] = []
        page = 1
        while True:
            asked = {name: value for name, value in query.items() if value not in (None, (), "")}
            words = urlencode({**asked, "page": page, "pageSize": _PAGE}, doseq=True)
            answer = self.ask("GET", f"{path}?{words}")
            found += answer["items"]
            if page * _PAGE >= answer["total"]:
                return found
            page += 1

    def one(self, path: str, word: str, *names: str) -> dict[str, Any]:
        """The item of this id, or the one whose ``names`` (joined by a slash) are ``word``. Raises :class:`Refused`."""
        last = word.rpartition("/")[2]
        found = [
            item
            for item in self.all(path, search=last[:100])
            if "/".join(str(item[name]) for name in names).strip("/").lower() == word.strip("/").lower()
        ]
        if len(found) == 1:
            return found[0]
        if len(found) > 1:
            ids = ", ".join(item["id"] for item in found)
            raise Refused(f"several are named {word!r}; name one by its id: {ids}")
        if not _IDENT.fullmatch(word):
            raise Refused(
                f"nothing that you may know of is named {word!r}; the 'ls' of this command shows what there is"
            )
        item: dict[str, Any] = self.ask("GET", f"{path}/{quote(word, safe='')}")
        return item

    def _refuse(self, status: int, body: object) -> NoReturn:
        told: Mapping[str, Any] = body if isinstance(body, Mapping) else {}
        code = told.get("code", f"HTTP {status}")
        detail, fix = str(told.get("detail", "")).rstrip("."), str(told.get("fix", "")).rstrip(".")
        sentence = detail if not fix or fix in detail else f"{detail}. {fix}"
        is_refused = exit_of(str(code), Exit.NO if status in _REFUSED else Exit.ERRORS) == Exit.NO
        kind = Refused if is_refused else Failed
        raise kind(f"{code}: {sentence}.", told)


def shown(found: object, line: Callable[[Any], str], *, as_json: bool) -> None:
    """One object or a list, for people or as JSON."""
    if as_json:
        click.echo(json.dumps({"items": found} if isinstance(found, list) else found, ensure_ascii=False))
        return
    for one in found if isinstance(found, list) else [found]:
        click.echo(line(one))


def table(rows: Sequence[Sequence[str]]) -> None:
    """Rows for people, the first with the titles."""
    from rppam.kernel.logging import one_line

    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo(one_line("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()))


def listed(rows: Sequence[Sequence[str]], otherwise: str) -> None:
    """As :func:`table`; where there is nothing below the titles, the sentence that says so, on stderr."""
    if len(rows) > 1:
        table(rows)
    else:
        click.echo(otherwise, err=True)
