"""The ways that a secret of the vault can go, as :mod:`benchmarks.vault_canaries` sends its secrets along them."""

import asyncio
import base64
import contextlib
import json
import os
import secrets
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import asyncssh

from benchmarks.canaries import MARK
from rppam.process.linux import CONTROL_NAME, WORKER_NAME, children_of
from tests.gateway.places import Sshd, sshd
from tests.support import postgres
from tests.support.lab import CALM, Answer, Lab, eventually
from tests.support.ports import free_port
from tests.support.redis_servers import SERVERS, Server

ENTRIES, CHECKOUTS = "/api/v1/vault/entries", "/api/v1/vault/checkouts"
PEOPLE_PASSWORD = "correct horse battery staple 9"


class Place(NamedTuple):
    """All that was started."""

    lab: Lab
    redis: Server
    sql: postgres.Server
    url: str
    target: Sshd
    folder: Path
    key: Path


@contextmanager
def installed(*, sqlite: bool, level: str = "Debug") -> Iterator[Place]:
    """A cluster with all that the ways of a secret need."""
    programs = postgres.binaries()
    if programs is None:
        raise SystemExit("no PostgreSQL server programs here: apt-get install postgresql")
    with ExitStack() as stack:
        kind = next(one for one in reversed(SERVERS) if one.find() is not None)
        redis = stack.enter_context(Server(kind, "--rdbcompression", "no"))
        sql = stack.enter_context(postgres.running(programs))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rppam-canaries-")))
        (folder / "tmp").mkdir()
        target = stack.enter_context(sshd(folder / "target", "PasswordAuthentication no"))
        lab = stack.enter_context(Lab(folder / "lab", redis.port, times=CALM))
        url = lab.database
        if not sqlite:
            url = sql.create("rppam")
        key = folder / "vault.key"
        key.write_text(base64.b64encode(secrets.token_bytes(32)).decode() + "\n")
        key.chmod(0o600)
        for node in lab.nodes:
            node.config["database"]["url"] = url
            node.config["vault"] = {"keySource": "file", "keyPath": str(key), "revealFactor": "none"}
            node.config["access"] = {"enabled": True, "host": "127.0.0.1", "port": free_port(), "gateways": 1}
            node.config["logging"] = {"level": level}
            node.start(TMPDIR=str(folder / "tmp"))
        lab.wait_until_healthy(60)
        yield Place(lab, redis, sql, url, target, folder, key)


class Ways:
    """Sends secrets along every way; keeps what was answered where it should not be a secret."""

    def __init__(self, place: Place) -> None:
        self.place, self.lab = place, place.lab
        self.said: list[bytes] = []
        self.shown: list[str] = []
        """Secrets that the cluster made up."""
        self.count: Counter[str] = Counter()
        self.number = 0

    def canary(self) -> str:
        """A secret that nobody has seen yet."""
        self.number += 1
        return f"{self.number}-{MARK}-{secrets.token_hex(4)}"

    def ask(
        self, way: str, method: str, path: str, send: Any = None, *, node: int = 0, token: str | None = None
    ) -> Answer:
        """A request whose answer holds no secret."""
        self.count[way] += 1
        asked = self.lab.nodes[node % 3].ask(
            path, token=token or self.lab.token, method=method, send=send, timeout_s=20
        )
        self.said.append(json.dumps(asked.body).encode())
        return asked

    def secret(self, path: str, reason: str = "because", *, node: int = 0, token: str | None = None) -> dict[str, str]:
        """The fields that somebody who may is shown."""
        self.count["reveal"] += 1
        asked = self.lab.nodes[node % 3].ask(
            f"{path}/reveal", token=token or self.lab.token, method="POST", send={"reason": reason}, timeout_s=20
        )
        assert asked.status == 200, asked
        fields: dict[str, str] = asked.body["fields"]
        return fields

    def made(self, way: str, path: str, **send: Any) -> dict[str, Any]:
        """What a POST makes."""
        asked = self.ask(way, "POST", path, send)
        assert asked.status == 201, asked
        body: dict[str, Any] = asked.body
        return body

    def entry(self, name: str, **more: Any) -> str:
        """The path of a new entry."""
        body = {"folder": "canaries", "name": name, "type": "password", "fields": {"password": self.canary()}, **more}
        return f"{ENTRIES}/{self.made('create', ENTRIES, **body)['id']}"

    # ---- the ways ---------------------------------------------------------------------------------------------------

    def entries(self) -> None:
        """Made, changed, restored, shown, checked out, given back, forced back."""
        path = self.entry("plain", description="plain")
        assert self.ask("change", "PUT", path, {"fields": {"password": self.canary()}}, node=1).status == 200
        assert self.ask("restore", "POST", f"{path}/versions/1/restore", node=2).status == 200
        for node in range(3):
            assert MARK in self.secret(path, node=node)["password"]
        self.ask("versions", "GET", f"{path}/versions")
        ident = path.rpartition("/")[2]
        wish = {"entryId": ident, "reason": "because", "minutes": 5}
        held = self.made("check-out", CHECKOUTS, **wish)
        assert MARK in self.secret(path)["password"]
        assert self.ask("check-out refused", "POST", CHECKOUTS, wish, node=1).status == 409
        self.ask("check-in", "POST", f"{CHECKOUTS}/{held['id']}/checkin")
        held = self.made("check-out", CHECKOUTS, **wish)
        self.ask("force", "POST", f"{CHECKOUTS}/{held['id']}/force", {"reason": "because"})
        self.ask("rotate key", "POST", "/api/v1/vault/keys/rotate")
        made = self.ask("generate", "PUT", path, {"generate": {"length": 40}})
        assert made.status == 200, made
        self.shown.append(self.secret(path)["password"])

    def wrong(self) -> None:
        """What is refused, with the secret in every part of it."""
        path = self.entry("wrong")
        for body in (
            {"folder": "canaries", "name": "wrong", "type": "password", "fields": {"password": self.canary()}},
            {"folder": "canaries", "name": "x", "type": "password", "fields": {"bad name": self.canary()}},
            {"folder": "canaries", "name": "x", "type": "password", "fields": {"password": [self.canary()]}},
            {"folder": "canaries", "name": "x", "type": "password", "fields": self.canary()},
            {"folder": "canaries", "name": "x", "type": "none", "fields": {"password": self.canary()}},
            {"folder": "canaries", "name": "x", "type": "password", "secret": self.canary()},
            {"folder": "canaries", "name": "x/y", "type": "note", "fields": {"text": self.canary() + "\ud800"}},
            {"folder": "canaries", "name": "x", "type": "note", "fields": {"text": self.canary() + "x" * (1 << 20)}},
            [self.canary()],
        ):
            asked = self.ask("refused", "POST", ENTRIES, body)
            assert asked.status >= 400, asked
        assert self.ask("refused", "PUT", path, {"fields": {"password": self.canary()}, "revision": -1}).status == 400
        assert self.ask("refused", "POST", f"{ENTRIES}/none/reveal", {"reason": "because"}).status == 404
        assert self.ask("refused", "POST", f"{path}/reveal", {"reason": ""}).status == 400
        assert self.ask("refused", "POST", f"{path}/reveal", {"reason": "because"}, token="wrong").status == 401

    def people(self) -> None:
        """A request that is approved, an emergency, and who may not."""
        tokens = {}
        for name, roles in (("paula", ["pam_user"]), ("anna", ["pam_approver"])):
            new = {"username": name, "password": PEOPLE_PASSWORD, "roles": roles}
            assert self.ask("people", "POST", "/api/v1/users", new).status == 201
            login = {"username": name, "password": PEOPLE_PASSWORD}
            answer = self.lab.nodes[0].ask("/api/v1/auth/login", method="POST", send=login, timeout_s=20)
            tokens[name] = answer.body["accessToken"]
        self.let("list")
        for name, more in (("asked", {}), ("urgent", {"emergency": True})):
            path = self.entry(name, exclusive=False)
            assert self.ask("refused", "POST", f"{path}/reveal", {"reason": "x"}, token=tokens["paula"]).status == 403
            wish = {
                "entryId": path.rpartition("/")[2],
                "rights": ["reveal"],
                "minutes": 10,
                "reason": "because",
                **more,
            }
            asked = self.ask("request", "POST", "/api/v1/access-requests", wish, token=tokens["paula"])
            assert asked.status == 201, asked
            if not more:
                one = f"/api/v1/access-requests/{asked.body['id']}/approve"
                assert self.ask("approve", "POST", one, {"note": "fine"}, token=tokens["anna"], node=1).status == 200
            assert MARK in self.secret(path, token=tokens["paula"], node=2)["password"]
        self.tokens = tokens

    def let(self, *rights: str) -> None:
        """What users may do with the entries."""
        folders = self.ask("rights", "GET", "/api/v1/vault/folders").body["items"]
        folder = next(one["id"] for one in folders if one["path"] == "canaries")
        items = [{"role": "pam_user", "rights": list(rights)}]
        assert self.ask("rights", "PUT", f"/api/v1/vault/folders/{folder}/rights", {"items": items}).status == 200

    def notifications(self) -> None:
        """Keys of channels, which fail."""
        for new in (
            {"name": "hook", "kind": "webhook", "url": f"https://127.0.0.1:{free_port()}/x"},
            {"name": "mail", "kind": "smtp", "url": f"smtps://127.0.0.1:{free_port()}"},
        ):
            options = {"username": "rppam", "sender": "rppam@example.org", "to": ["ops@example.org"]}
            body = {**new, "secret": self.canary(), **({"options": options} if new["kind"] == "smtp" else {})}
            made = self.ask("channel", "POST", "/api/v1/notifications/channels", body)
            assert made.status == 201, made
            self.ask("channel", "POST", f"/api/v1/notifications/channels/{made.body['id']}/test")

    def command(self, *words: str, input_: str = "", file: str = "") -> subprocess.CompletedProcess[bytes]:
        """``rppam WORDS`` as a person runs it."""
        self.count[f"rppam {' '.join(words[:2])}"] += 1
        place = self.place.folder / "given"
        if file:
            place.write_text(file)
        known = {"RPPAM_TOKEN": self.lab.token, "RPPAM_URL": f"http://127.0.0.1:{self.lab.nodes[0].port}"}
        found = subprocess.run(
            [sys.executable, "-m", "rppam", *words, *([str(place)] if file else [])],
            input=input_.encode(),
            env=os.environ | known | {"TMPDIR": str(self.place.folder / "tmp")},
            capture_output=True,
            check=False,
            timeout=60,
        )
        place.unlink(missing_ok=True)
        return found

    def commands(self) -> None:
        """Secrets by stdin, and files with passwords that are imported."""
        put = self.command(
            "vault", "put", "canaries/by-command", "--secret", "password", "--shared", input_=self.canary() + "\n"
        )
        assert put.returncode == 0, put
        shown = self.command("vault", "reveal", "canaries/by-command", "--reason", "because", "--field", "password")
        assert MARK.encode() in shown.stdout, shown
        self.said += [put.stdout, put.stderr, shown.stderr]
        word = self.canary()
        ansible = f"[web]\nweb7 ansible_host=192.0.2.7 ansible_user=root ansible_password='{word}'\n"
        table = f"name,kind,address,port,password\nweb8,ssh,192.0.2.8,22,{word}\n"
        for kind, text in (
            ("ansible", ansible),
            ("csv", table),
            ("json", json.dumps([{"name": "web9", "kind": "ssh", "address": "192.0.2.9", "password": word}])),
            ("openssh", f"Host web10\n  HostName 192.0.2.10\n  User {word}\n"),
        ):
            found = self.command("target", "import", "--format", kind, file=text)
            self.said += [found.stdout, found.stderr] if kind != "openssh" else []
        for kind in ("csv", "json", "ansible"):
            found = self.command("target", "export", "--format", kind)
            self.said += [found.stdout, found.stderr]

    def session(self) -> None:
        """A session through the gateway, signed in with a key of the vault, and one with a password that is wrong."""
        target = self.place.target
        new = {"name": "web1", "kind": "ssh", "address": "127.0.0.1", "port": target.port, "hostKeyPolicy": "tofu"}
        web = self.made("target", "/api/v1/resources", **new)
        for name, type_, fields in (
            (target.user, "ssh-key", {"privateKey": target.private_key, "passphrase": self.canary()}),
            ("nobody", "password", {"password": self.canary()}),
        ):
            account = self.made("target", "/api/v1/accounts", resourceId=web["id"], name=name)
            self.entry(name, type=type_, accountId=account["id"], fields=fields, exclusive=False)
        self.let("list", "use")
        for number, node in enumerate(self.lab.nodes):
            port = node.config["access"]["port"]
            for name in (target.user, "nobody"):
                self.count["session"] += 1
                came = asyncio.run(_signed_in(port, f"paula+{name}+web1"))
                assert (came == "here") == (name == target.user), (number, name, came)
                self.said.append(came.encode())

    def rotation(self) -> None:
        """A role of PostgreSQL, whose password the leader changes."""
        first, sql = self.canary(), self.place.sql
        with sql.connect() as admin:
            admin.execute("SET log_statement = 'none'")
            admin.execute(b"CREATE ROLE canary LOGIN PASSWORD '%s'" % first.encode())
        new = {"name": "db1", "kind": "postgresql", "address": sql.host, "port": sql.port, "hostKeyPolicy": "tofu"}
        db = self.made("target", "/api/v1/resources", **new)
        account = self.made("target", "/api/v1/accounts", resourceId=db["id"], name="canary")
        path = self.entry("db", accountId=account["id"], fields={"password": first}, exclusive=False)
        asked = self.ask("rotate", "POST", f"{path}/rotate", {"reason": "because"})
        assert asked.status < 300, asked

        def changed() -> str:
            word = self.secret(path)["password"]
            return "" if word == first else word

        def now() -> str:
            with contextlib.suppress(AssertionError):  # nobody gets it while it is changed
                return changed()
            return ""

        self.shown.append(eventually(now, within_s=60, what="a changed password", say=self.lab.logs))

    def without_sql(self) -> None:
        """Secrets that are sent while the database is away, or goes away in the middle."""
        until = time.monotonic() + 3
        sqlite = self.place.url.startswith("sqlite")
        lock = sqlite3.connect(self.place.url.removeprefix("sqlite:///"), isolation_level=None) if sqlite else None
        if lock is not None:
            lock.execute("BEGIN IMMEDIATE")
        number = 0
        while time.monotonic() < until:
            number += 1
            if lock is None and number % 5 == 1:
                self._kill_backend()
            body = {"folder": "canaries", "name": f"away{number}", "type": "password"}
            with contextlib.suppress(OSError):
                self.ask("SQL away", "POST", ENTRIES, {**body, "fields": {"password": self.canary()}}, node=number)
        if lock is not None:
            lock.execute("ROLLBACK")
            lock.close()
        eventually(
            lambda: self.ask("SQL back", "GET", ENTRIES).status == 200, within_s=30, what="SQL", say=self.lab.logs
        )

    def _kill_backend(self) -> None:
        with contextlib.suppress(Exception), self.place.sql.connect() as admin:
            row = admin.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'rppam' LIMIT 1").fetchone()
            if row is not None:
                os.kill(row[0], signal.SIGKILL)

    def dumps(self) -> set[Path]:
        """Have processes dump their memory; where their dumps would lie."""
        folders = {Path.cwd(), self.place.folder, self.place.folder / "tmp", Path("/var/lib/systemd/coredump")}
        for node in self.lab.nodes:
            assert node.process is not None
            folders.add(node.folder)
            for pid, name in children_of(node.process.pid).items():
                if name in {WORKER_NAME, CONTROL_NAME}:
                    with contextlib.suppress(OSError):
                        folders.add(Path(f"/proc/{pid}/cwd").resolve())
                        os.kill(pid, signal.SIGABRT)
                        self.count[f"SIGABRT to {name}"] += 1
        self.lab.wait_for_leader()
        return folders


async def _signed_in(port: int, user: str) -> str:
    """What a session says."""
    try:
        async with asyncssh.connect(
            "127.0.0.1", port, username=user, password=PEOPLE_PASSWORD, known_hosts=None, config=None, agent_path=None
        ) as line:
            done = await line.run("echo here", timeout=20)
            return str(done.stdout).strip() or str(done.stderr).strip()
    except (OSError, asyncssh.Error, TimeoutError) as error:
        return str(error)
