"""``rppam target``, ``account`` and ``vault`` against a node: what a person does from the first target to a secret."""

import asyncio
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from rppam.audit.cli import command as audit_command
from rppam.targets.account_cli import command as account_command
from rppam.targets.cli import command as target_command
from rppam.vault.cli import command as vault_command
from tests.support import prefork
from tests.support.served import Served
from tests.targets.test_model import ED25519
from tests.vault.people import host, person

pytestmark = pytest.mark.integration
COMMANDS = {"target": target_command, "account": account_command, "vault": vault_command, "audit": audit_command}


async def run(served: Served, *words: str, stdin: str = "", code: int = 0) -> Result:
    """``rppam`` with these words."""
    token = host(served).headers["Authorization"].removeprefix("Bearer ")
    environment = {"RPPAM_TOKEN": token, "RPPAM_URL": served.url}

    def call() -> Result:
        return CliRunner().invoke(COMMANDS[words[0]], list(words[1:]), input=stdin, env=environment)

    result = await asyncio.to_thread(call)
    shown = (words, result.output, result.exception)
    # What a command returns is its exit code; the runner shows it nowhere, so only failures are compared.
    assert result.exit_code == code, shown
    return result


async def said(served: Served, *words: str, stdin: str = "") -> Any:
    return json.loads((await run(served, *words, "--json", stdin=stdin)).stdout)


async def test_from_the_first_target_to_a_secret(open_vault: Served, tmp_path: Path) -> None:
    web = await said(open_vault, "target", "add", "web1", "10.0.0.1", "--tag", "prod")
    root = await said(open_vault, "account", "add", "web1", "root")
    assert root["resourceId"] == web["id"]
    pinned = await said(open_vault, "target", "pin", "web1", stdin=f"# web1\nweb1 {ED25519}\n")
    assert [one["type"] for one in pinned["items"]] == ["ssh-ed25519"]
    file = tmp_path / "id"
    file.write_text("line one\nline two\n")
    made = await said(
        open_vault, "vault", "put", "servers/root", "--account", root["id"], "--secret", "password",
        "--file", "note=" + str(file), stdin="s3cret\n",
    )  # fmt: skip
    assert made["version"] == 1
    again = await said(open_vault, "vault", "put", "servers/root", "--generate")
    assert (again["id"], again["version"]) == (made["id"], 2)
    await run(open_vault, "vault", "restore", "servers/root", "1")
    shown = await run(open_vault, "vault", "reveal", "servers/root", "--reason", "INC1", "--field", "password")
    assert shown.stdout == "s3cret\n"
    held = await said(open_vault, "vault", "checkout", "servers/root", "--reason", "INC1", "--minutes", "5")
    refused = await run(open_vault, "vault", "checkout", "servers/root", "--reason", "INC1", code=1)
    assert "RPPAM-8411: admin has it until" in refused.stderr
    await run(open_vault, "vault", "checkin", held["id"])
    again = await run(open_vault, "vault", "checkin", "servers/root", code=1)
    assert "nothing of servers/root is checked out now" in again.stderr
    await run(open_vault, "vault", "checkout", "servers/root", "--reason", "INC1")
    await run(open_vault, "vault", "checkin", "servers/root")
    assert "checkin" in (await run(open_vault, "vault", "checkouts")).stdout
    told = (await run(open_vault, "target", "show", "web1")).stdout
    assert "SHA256:" in told
    assert "root" in told
    assert (await run(open_vault, "vault", "get", "servers/nothing", code=1)).stderr.startswith("vault get: nothing")
    keys = await said(open_vault, "vault", "key", "status")
    assert (keys["problem"], [one["version"] for one in keys["keks"]]) == ("", [1])
    await run(open_vault, "vault", "key", "rotate")


async def test_an_account_is_named_as_people_name_it(open_vault: Served) -> None:
    await run(open_vault, "target", "add", "web1", "10.0.0.1")
    root = await said(open_vault, "account", "add", "web1", "root")
    made = await said(open_vault, "vault", "put", "servers/root", "--account", "root@WEB1", "--generate")
    assert made["accountId"] == root["id"]
    for name in ("Root@web1", "root@web2"):
        refused = await run(open_vault, "vault", "put", "servers/other", "--account", name, "--generate", code=1)
        assert f"no account is named '{name}': 'rppam account ls'" in refused.stderr


async def test_the_list_says_who_has_what(open_vault: Served) -> None:
    for name, more in (("servers/one", ()), ("servers/many", ("--shared",))):
        await run(open_vault, "vault", "put", name, "--generate", *more)
        await run(open_vault, "vault", "checkout", name, "--reason", "INC1")
    lines = (await run(open_vault, "vault", "ls")).stdout.splitlines()
    states = {line.split()[0]: " ".join(line.split()[2:-2]) for line in lines[1:]}
    assert states == {"servers/one": "with admin", "servers/many": "available"}


async def test_a_process_ends_with_what_the_help_says(open_vault: Served) -> None:
    token = host(open_vault).headers["Authorization"].removeprefix("Bearer ")
    environment = prefork.clean() | {"RPPAM_TOKEN": token, "RPPAM_URL": open_vault.url}

    async def ended(*words: str) -> int:
        done = await asyncio.to_thread(partial(prefork.run, "vault", *words, environment=environment))
        return done.returncode

    await run(open_vault, "vault", "put", "servers/root", "--generate")
    held = ("checkout", "servers/root", "--reason", "INC1")
    assert [await ended(*held), await ended(*held)] == [0, 1], "had; somebody has it"
    assert await ended("get", "servers/nothing") == 1
    assert await ended("checkout", "servers/root") == 2, "wrong usage"


async def test_a_passphrase_is_made_up_with_its_bits_told(open_vault: Served) -> None:
    made = await run(open_vault, "vault", "generate", "--words", "5", "--separator", ".")
    assert len(made.stdout.strip().split(".")) == 5
    assert made.stderr == "64 bits\n"
    told = await said(open_vault, "vault", "generate", "--type", "api-token")
    assert (told["field"], len(told["secret"]), told["entropyBits"]) == ("token", 40, 238)
    assert told["secret"].isalnum()
    await run(open_vault, "vault", "put", "servers/console", "--words", "4")
    shown = await said(open_vault, "vault", "reveal", "servers/console", "--reason", "INC1")
    assert len(shown["fields"]["password"].split("-")) == 4
    both = await run(open_vault, "vault", "generate", "--words", "5", "--length", "12", code=2)
    assert "RPPAM-8415: words: expected neither length" in both.stderr
    weak = await run(open_vault, "vault", "generate", "--type", "password", "--length", "5", code=2)
    assert "expected rules that give 40 bits or more, found 29" in weak.stderr


async def test_rights_are_given_by_command(open_vault: Served) -> None:
    given = await said(open_vault, "vault", "allow", "servers", "--role", "pam_user", "--right", "use")
    assert [(one["role"], one["rights"]) for one in given["items"]] == [("pam_user", ["use"])]
    await person(open_vault, "ursula")
    given = await said(open_vault, "vault", "allow", "servers", "--user", "ursula", "--right", "reveal")
    assert {one["userName"]: one["rights"] for one in given["items"]} == {None: ["use"], "ursula": ["reveal"]}
    await run(open_vault, "vault", "allow", "servers", "--role", "pam_user")
    await person(open_vault, "ursula")
    for name in ("ursula", "URSULA"):
        given = await said(open_vault, "vault", "allow", "servers", "--user", name, "--right", "list")
        assert [(one["userName"], one["rights"]) for one in given["items"]] == [("ursula", ["list"])]
    assert "servers" in (await run(open_vault, "vault", "folders")).stdout


@pytest.mark.parametrize("format_", ["csv", "json", "ansible", "openssh"])
async def test_what_is_exported_is_imported_again(open_vault: Served, tmp_path: Path, format_: str) -> None:
    await run(open_vault, "target", "add", "web1", "10.0.0.1", "--tag", "prod", "--port", "2222")
    await run(open_vault, "account", "add", "web1", "root")
    text = (await run(open_vault, "target", "export", "--format", format_)).stdout
    file = tmp_path / "targets"
    file.write_text(text)
    words = ("target", "import", str(file), "--format", format_)
    found = await said(open_vault, *words)
    assert (found["created"], found["changed"], found["unchanged"], found["problems"]) == ([], [], 1, []), text
    await run(open_vault, "account", "rm", "web1", "root")
    await run(open_vault, "target", "rm", "web1")
    assert (await said(open_vault, *words, "--dry-run"))["created"] == ["web1"]
    assert (await said(open_vault, *words))["created"] == ["web1"]
    assert [one["name"] for one in (await said(open_vault, "account", "ls"))["items"]] == ["root"]


async def pinned_targets(served: Served) -> None:
    """A database with two accounts, a blank in its name and a pinned key, and a machine that OpenSSH can reach."""
    words = ("--kind", "postgresql", "--port", "6432", "--tag", "env:prod", "--description", 'the "old" one')
    await run(served, "target", "add", "db 1", "2001:db8::7", *words)
    await run(served, "account", "add", "db 1", "postgres", "--tag", "dba", "--description", "its owner")
    await run(served, "account", "add", "db 1", "o'brien")
    await run(served, "target", "pin", "db 1", stdin=ED25519)
    await run(served, "target", "add", "web 1", "10.0.0.1", "--tofu", "--tag", "prod")
    await run(served, "account", "add", "web 1", "CORP\\root")


async def shown(served: Served) -> Any:
    """All that a node tells of both, but for ids, revisions and times."""
    of_no_matter = {"id", "resourceId", "revision", "createdAt", "pinnedAt"}
    found = []
    for name in ("db 1", "web 1"):
        target = await said(served, "target", "show", name)
        accounts = (await said(served, "account", "ls", "--target", name))["items"]
        things = (target, *accounts, *target["hostKeys"])
        found += [{key: one[key] for key in one.keys() - of_no_matter - {"hostKeys"}} for one in things]
    return found


@pytest.mark.parametrize("format_", ["csv", "json", "ansible"])
async def test_an_export_brings_everything_back(open_vault: Served, tmp_path: Path, format_: str) -> None:
    await pinned_targets(open_vault)
    before = await shown(open_vault)
    exported = await run(open_vault, "target", "export", "--format", format_)
    assert exported.stderr == ""
    file = tmp_path / "targets"
    file.write_text(exported.stdout)
    words = ("target", "import", str(file), "--format", format_)
    assert (await said(open_vault, *words))["unchanged"] == 2
    for name, account in (("db 1", "postgres"), ("db 1", "o'brien"), ("web 1", "CORP\\root")):
        await run(open_vault, "account", "rm", name, account)
    found = await said(open_vault, *words)
    assert (found["changed"], found["problems"]) == (["db 1", "web 1"], []), exported.stdout
    assert await shown(open_vault) == before
    for name, account in (("db 1", "postgres"), ("db 1", "o'brien"), ("web 1", "CORP\\root")):
        await run(open_vault, "account", "rm", name, account)
    for name in ("db 1", "web 1"):
        await run(open_vault, "target", "rm", name)
    assert (await said(open_vault, *words))["created"] == ["db 1", "web 1"]
    assert await shown(open_vault) == before
    assert (await said(open_vault, *words))["unchanged"] == 2


async def test_an_openssh_config_says_what_it_leaves_out(open_vault: Served, tmp_path: Path) -> None:
    await pinned_targets(open_vault)
    exported = await run(open_vault, "target", "export", "--format", "openssh")
    assert exported.stderr.splitlines() == [
        "db 1: left out: all of it, as only the kind ssh can be told",
        "web 1: left out: tags, hostKeyPolicy",
    ]
    told = await said(open_vault, "target", "export", "--format", "openssh")
    assert told["file"] == exported.stdout
    assert told["leftOut"] == [
        {"target": "db 1", "fields": []},
        {"target": "web 1", "fields": ["tags", "hostKeyPolicy"]},
    ]
    file = tmp_path / "config"
    file.write_text(exported.stdout)
    assert (await said(open_vault, "target", "import", str(file)))["unchanged"] == 1
