"""``rppam request`` against a node: what scripts get, and what people are told."""

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from tests.requests.people import furnish, hire, person
from tests.support import prefork
from tests.support.served import Served

pytestmark = pytest.mark.integration


class Shell:
    """The command, as somebody runs it who has a token in a file."""

    def __init__(self, node: Served, file: Path) -> None:
        self._node, self._file = node, file

    async def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        options = ["--url", self._node.url, "--token-file", str(self._file)]
        return await asyncio.to_thread(prefork.run, "request", *words, *options)

    async def json(self, *words: str) -> dict[str, object]:
        result = await self.run(*words, "--json")
        assert result.returncode == 0, result.stderr
        found: dict[str, object] = json.loads(result.stdout)
        return found


@pytest.fixture
async def company(served: Served) -> Served:
    prefork.run("--version")  # begun by a thread, the process that others are copied from would end with it
    await hire(served.database)
    await furnish(served.database)
    return served


async def shell(node: Served, name: str, folder: Path) -> Shell:
    file = folder / f"{name}.token"
    file.write_text((await person(node, name)).auth["Authorization"].removeprefix("Bearer "))
    file.chmod(0o600)
    return Shell(node, file)


async def test_a_request_from_the_command_line_to_its_end(company: Served, tmp_path: Path) -> None:
    ursula, anna = await shell(company, "ursula", tmp_path), await shell(company, "anna", tmp_path)
    made = await ursula.json("new", "deploy@WEB1", "--reason", "INC-1", "--minutes", "30", "--right", "checkout")
    ident = str(made["id"])
    assert (made["state"], made["rights"], made["objectId"]) == ("pending", ["checkout"], "acc-1")
    own = await ursula.run("approve", ident)
    assert (own.returncode, own.stdout) == (1, "")
    assert "nobody decides about their own" in own.stderr
    assert ident in (await anna.run("ls", "--to-decide")).stdout
    approved = await anna.run("approve", ident, "--note", "go on")
    assert approved.returncode == 0, approved.stderr
    assert "anna has approved: go on" in approved.stdout
    made_use_by = (await ursula.json("show", ident))["useBy"]
    assert "30 minutes from its first use" in (await ursula.run("show", ident)).stdout
    assert f"30 min, first use before {made_use_by}" in (await ursula.run("ls", "--mine")).stdout
    assert (await ursula.json("ls", "--mine", "--state", "approved"))["next"] is None
    held = await ursula.run("grants", "--mine")
    assert f"approved  ursula  checkout  deploy@web1  first use before {made_use_by}" in held.stdout, held.stderr
    gone = await anna.json("revoke", ident, "--reason", "enough")
    assert (gone["state"], gone["endedWhy"]) == ("revoked", "enough")
    assert (await ursula.run("grants")).stdout == "none\n"
    assert "revoked   ursula  checkout  deploy@web1  enough" in (await ursula.run("grants", "--past")).stdout
    again = await anna.run("deny", ident, "--json")
    assert again.returncode == 1
    assert json.loads(again.stdout)["code"] == "RPPAM-8503"
    assert (await anna.run("ls", "--to-decide")).stdout == "none\n"


async def test_lists_go_on_where_the_page_before_ended(company: Served, tmp_path: Path) -> None:
    anna = await shell(company, "anna", tmp_path)
    made = []
    for name in ("ursula", "uwe"):
        asked = await (await shell(company, name, tmp_path)).json("new", "deploy@web1", "--reason", "INC-2")
        await anna.json("approve", str(asked["id"]))
        made.append(str(asked["id"]))
    root = await shell(company, "root", tmp_path)
    first = await root.json("grants", "--limit", "1")
    assert f"more: --after {first['next']}\n" in (await root.run("grants", "--limit", "1")).stdout
    last = await root.json("grants", "--limit", "1", "--after", str(first["next"]))
    assert last["next"] is None
    assert [one["requestId"] for page in (first, last) for one in page["items"]] == made[::-1]  # type: ignore[attr-defined]
    newest = await root.json("ls", "--limit", "1")
    assert made[0] in (await root.run("ls", "--after", str(newest["next"]))).stdout
    assert (await root.run("grants", "--after", "a&live=false")).returncode == 2


async def test_words_that_name_nothing_are_refused_without_asking(company: Served, tmp_path: Path) -> None:
    ursula = await shell(company, "ursula", tmp_path)
    assert (await ursula.run("new", "nobody@web1", "--reason", "x")).returncode == 1
    assert (await ursula.run("show", "../users")).returncode == 2
    assert (await ursula.run("new", "a b", "--reason", "x")).returncode == 2
