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
    gone = await anna.json("revoke", ident, "--reason", "enough")
    assert (gone["state"], gone["endedWhy"]) == ("revoked", "enough")
    again = await anna.run("deny", ident, "--json")
    assert again.returncode == 1
    assert json.loads(again.stdout)["code"] == "RPPAM-8503"
    assert (await anna.run("ls", "--to-decide")).stdout == "none\n"


async def test_words_that_name_nothing_are_refused_without_asking(company: Served, tmp_path: Path) -> None:
    ursula = await shell(company, "ursula", tmp_path)
    assert (await ursula.run("new", "nobody@web1", "--reason", "x")).returncode == 1
    assert (await ursula.run("show", "../users")).returncode == 2
    assert (await ursula.run("new", "a b", "--reason", "x")).returncode == 2
