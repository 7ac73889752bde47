"""No act without its event: each command that changes something records it, by a route or by itself, or says why not.

A command that is new fails until it is in the list.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import click
import pytest
from click.testing import CliRunner

from rppam.access.tokens.key_files import create_signing_key
from rppam.app.slices import ACTIONS, commands
from rppam.cli.files import new_cluster_key, write_private
from rppam.kernel.instant import WallMs
from rppam.kernel.slice import load
from tests.audit.actions import ON_HOSTS

# Of commands: which action they record, "REST" where a route does it, or why there is none.
_READS: Final = "reads"
_REST: Final = "REST"
_FILES: Final = "writes files of the one who runs it; the cluster has nothing of it"
COMMANDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "account add": _REST,
        "account ls": _READS,
        "account rm": _REST,
        "audit adopt": "ledger.adopt",
        "audit archive": "ledger.archive",
        "audit archives": _READS,
        "audit erase": _REST,
        "audit export": _READS,
        "audit hold": _REST,
        "audit holds": _READS,
        "audit list": _READS,
        "audit release": _REST,
        "audit tail": _READS,
        "audit verify": _READS,
        "ca activate": _REST,
        "ca create": _REST,
        "ca krl": _READS,
        "ca restore": _REST,
        "ca retire": _REST,
        "ca revocations": _READS,
        "ca revoke": _REST,
        "ca show": _READS,
        "ca sign": _REST,
        "cluster adopt": "member.adopt",
        "cluster forget": _REST,
        "cluster found": "cluster.found",
        "cluster history": _READS,
        "cluster key begin": "cluster-key.begin",
        "cluster key finish": "cluster-key.finish",
        "cluster key switch": "cluster-key.switch",
        "cluster maintenance": _REST,
        "cluster pause": _REST,
        "cluster resume": _REST,
        "cluster switchover": _REST,
        "config check": _READS,
        "config encrypt": _READS,
        "config parse-connection": _READS,
        "config push": _REST,
        "config show": _READS,
        "database contract": "database.contract",
        "demo": "runs a cluster of its own",
        "doctor": _READS,
        "failover-report": _READS,
        "failover-test": _REST,
        "init": "makes a node, before there is a ledger",
        "lb haproxy": _FILES,
        "lb keepalived": _FILES,
        "lb nginx": _FILES,
        "license issue": _FILES,
        "license new-key": _FILES,
        "license show": _READS,
        "license verify": _READS,
        "lockout list": _READS,
        "lockout unlock": "lockout.end",
        "login": _REST,
        "logout": _REST,
        "node": "runs a node; that it leads is recorded",
        "recording export": _REST,
        "recording files": _READS,
        "recording hold": _REST,
        "recording ls": _READS,
        "recording play": _REST,
        "recording release": _REST,
        "recording search": _REST,
        "recording verify": _REST,
        "redis info": _READS,
        "redis password": _FILES,
        "redis rotate-password begin": "redis-password.begin",
        "redis rotate-password finish": "redis-password.finish",
        "redis setup": _FILES,
        "request approve": _REST,
        "request cancel": _REST,
        "request deny": _REST,
        "request extend": _REST,
        "request grants": _READS,
        "request ls": _READS,
        "request new": _REST,
        "request review": _REST,
        "request revoke": _REST,
        "request show": _READS,
        "session kill": _REST,
        "session ls": _READS,
        "session watch": _REST,
        "settings acknowledge": _REST,
        "settings get": _READS,
        "settings history": _READS,
        "settings list": _READS,
        "settings rollback": _REST,
        "settings set": _REST,
        "simulate": "plays the election, and touches nothing",
        "ssh": "access.start",
        "ssh-config": _FILES,
        "ssh-key add": _REST,
        "ssh-key ls": _READS,
        "ssh-key reset": _REST,
        "ssh-key rm": _REST,
        "ssh-token ls": _READS,
        "ssh-token new": _REST,
        "ssh-token revoke": _REST,
        "status": _READS,
        "target add": _REST,
        "target export": _READS,
        "target import": _REST,
        "target ls": _READS,
        "target pin": _REST,
        "target rm": _REST,
        "target show": _READS,
        "target unpin": _REST,
        "tls ca": _FILES,
        "tls issue": _FILES,
        "tls list": _READS,
        "tls renew": _FILES,
        "token": "asks nothing, so it works while all are away; what is done with it is recorded as its host's",
        "token keys list": _READS,
        "token keys retire": "token-key.retire",
        "token keys rotate": "token-key.make",
        "token revoke": _REST,
        "user add": "user.create",
        "user allow-from": "user.change",
        "user disable": "user.disable",
        "user enable": "user.enable",
        "user list": _READS,
        "user locked": _READS,
        "user passkeys": "passkey.reset",
        "user password": "user.password",
        "user reset-mfa": "mfa.remove",
        "user reset-password": "user.password",
        "user roles": "role.grant",
        "user sessions end": "session.end",
        "user sessions ls": _READS,
        "user unlock": "lockout.end",
        "vault allow": _REST,
        "vault ceremony": _FILES,
        "vault checkin": _REST,
        "vault checkout": _REST,
        "vault checkouts": _READS,
        "vault folders": _READS,
        "vault generate": "makes up a secret that stands nowhere",
        "vault get": _READS,
        "vault key new": _FILES,
        "vault key rotate": _REST,
        "vault key token": "makes a master key in a token; that the nodes use it is recorded",
        "vault key status": _READS,
        "vault ls": _READS,
        "vault put": _REST,
        "vault release": _REST,
        "vault restore": _REST,
        "vault reveal": _REST,
        "vault rm": _REST,
        "vault rotate": _REST,
        "vault rotation": _REST,
        "vault rotations": _READS,
        "vault seal": "vault.seal",
        "vault unseal": "vault.unseal",
        "vault versions": _READS,
        "witness": "runs a witness, which has no database",
    }
)


def words() -> Iterator[str]:
    """Every command, in full."""

    def below(name: str, command: click.Command) -> Iterator[str]:
        if isinstance(command, click.Group):
            for word, one in command.commands.items():
                yield from below(f"{name} {word}", one)
            if command.invoke_without_command:
                yield name
        else:
            yield name

    for word, command in commands().items():
        yield from below(word, load(f"{command.module}:command"))


def said(words: str, config: Path, *more: str | Path, stdin: str = "") -> str:
    first, *rest = words.split(" ")
    command = load(f"{commands()[first].module}:command")
    given = [*rest, *map(str, more), "--config", str(config)]
    result = CliRunner().invoke(command, given, input=stdin, standalone_mode=False)
    assert result.exception is None, (words, result.output, result.exception)
    return result.stdout


@pytest.mark.integration
def test_commands_of_a_host_write_their_events(sqlite_url: str, tmp_path: Path) -> None:
    keys, cluster = tmp_path / "keys", tmp_path / "cluster.key"
    keys.mkdir(mode=0o700)
    write_private(cluster, new_cluster_key())
    config = tmp_path / "rppam.config"
    auth = {"jwtKeysDir": str(keys), "clusterKeyPath": str(cluster)}
    node = {"dataDir": str(tmp_path), "nodeName": "node1"}
    config.write_text(json.dumps({"node": node, "auth": auth, "database": {"url": sqlite_url}}))
    config.chmod(0o600)
    create_signing_key(keys, now_ms=WallMs(0))
    asked = ["user add", "user roles", "user disable", "user enable", "user password", "user reset-password"]
    asked.append("user allow-from")
    more: dict[str, list[str]] = {"user roles": ["--add", "pam_auditor"], "user password": ["--password-file", "-"]}
    more["user allow-from"] = ["10.2.0.0/16"]
    for words in asked:
        said(words, config, "anna", *more.get(words, ()), stdin="the second one of all\n")
    made = json.loads(said("token keys rotate", config, "--json"))
    said("token keys retire", config, Path(made["file"]).name, "--force")
    said("cluster key begin", config)
    said("database contract", config, "--yes")
    asked += ["token keys rotate", "token keys retire", "cluster key begin", "database contract"]
    found = {one["action"] for one in json.loads(said("audit list", config, "--json"))["items"]}
    assert {COMMANDS[words] for words in asked} - found == set()
    assert found >= ON_HOSTS


def test_every_command_records_what_it_does_or_is_excepted() -> None:
    assert sorted(words()) == sorted(COMMANDS)
    for one in COMMANDS.values():
        assert one in ACTIONS or one in {_READS, _REST} or " " in one, one
