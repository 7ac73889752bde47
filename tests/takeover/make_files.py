"""Make the files of the release at commit 5cef40f anew, with a checkout of it: see README.md beside this.

    python -m tests.takeover.make_files --old CHECKOUT

Runs two nodes and a witness of that release on a real Redis with SQLite, and one node with PostgreSQL; gives them
people, settings, orders and a lockout over REST; and keeps what they leave behind in ``files``.
"""

import argparse
import contextlib
import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx

from tests.support import postgres
from tests.support.authenticator import code
from tests.support.ports import free_port
from tests.support.redis_servers import SERVERS, Server

FILES: Final = Path(__file__).parent / "files"
PLACE: Final = "@FOLDER@"
"""Stands in committed configs for the folder that all was made in."""
WORDS: Final = {"anna": "correct horse battery staple", "ben": "a password of ben's own", "dora": "what dora forgot"}
LIMITS: Final = {"userFailures": 3, "addressFailures": 500, "windowMinutes": 60, "lockMinutes": 600}
SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "security/lockout": {**LIMITS, "lockMinutesMax": 1440},
    "security/mfa": {"totpIssuer": "Takeover", "totpDigits": 8},
    "security/sessions": {"idleMinutes": 1440, "absoluteHours": 168},
}
NOTE: Final = "made by the release before"


class Old:
    """A checkout of the old release, and a folder that it makes files in."""

    def __init__(self, checkout: Path, folder: Path, redis_port: int) -> None:
        self.program = checkout / ".venv" / "bin" / "rppam"
        self.folder = folder
        self.database = f"sqlite:///{folder / 'rppam.db'}"
        self.redis = f"127.0.0.1:{redis_port},abortConnect=false,password=hush"
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, *words: str, given: str = "") -> str:
        done = subprocess.run([self.program, *words], input=given, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"rppam {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def init(self, name: str, *words: str) -> Path:
        """A node's files, with ports of its own and the licence; its config."""
        config = self.folder / name / ("rppam-witness.config" if "--witness" in words else "rppam.config")
        where = ("init", "--node-name", name, "--dir", str(config.parent))
        if "--join" in words:
            self.run(*where, *words)
        else:
            trusted = ("--trusted-key", f"{self.folder}/issuer.pub.pem")
            self.run(*where, *trusted, "--redis", "-", *words, given=self.redis)
        told = json.loads(config.read_text())
        if "--witness" not in words:
            shutil.copy(self.folder / "license.jwt", config.parent)
            told["cluster"] |= {"memberHost": "127.0.0.1", "memberPort": free_port(), "timingProfile": "lan"}
            if "--join" in words:  # a bundle carries no database that is a file
                told["database"] = {"url": self.database}
            told["api"] = told.get("api", {}) | {"port": free_port()}
            config.write_text(json.dumps(told, indent=2))
        return config

    def start(self, config: Path, word: str = "node") -> str:
        """Start it; the URL of its API."""
        with (config.parent / "log").open("ab") as log:
            command = [str(self.program), word, "--config", str(config)]
            self.running[config.parent.name] = subprocess.Popen(command, stdout=log, stderr=log)
        return f"http://127.0.0.1:{json.loads(config.read_text()).get('api', {}).get('port')}"

    def stop(self) -> None:
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)
        for process in self.running.values():
            process.wait(30)
        self.running.clear()


def until(holds: Callable[[], object], what: str, within_s: float = 60) -> None:
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        with contextlib.suppress(httpx.HTTPError, KeyError):
            if holds():
                return
        time.sleep(0.2)
    raise RuntimeError(f"not within {within_s:g} s: {what}")


def lived_with(http: httpx.Client) -> dict[str, Any]:
    """People, settings, sessions and a lockout; what a test has to know of them."""

    def ask(method: str, path: str, body: Any = None, expected: tuple[int, ...] = (200, 201, 204), **more: Any) -> Any:
        answer = http.request(method, f"/api/v1/{path}", json=body, **more)
        if answer.status_code not in expected:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None

    ask("PUT", "admin/cluster/note", {"text": NOTE})
    for name, value in SETTINGS.items():
        ask("PUT", f"settings/{name}", value)
    time.sleep(3)  # each process has read them
    ids = {}
    for name, password in WORDS.items():
        made = ask("POST", "users", {"username": name, "password": password, "roles": ["security_admin"]})
        ids[name] = made["id"]

    def login(name: str, password: str, expected: int = 200) -> Any:
        return ask("POST", "auth/login", {"username": name, "password": password}, (expected,))

    session = login("anna", WORDS["anna"])
    mine = {"Authorization": f"Bearer {session['accessToken']}"}
    secret = ask("POST", "auth/mfa/enroll", {"currentPassword": WORDS["anna"]}, headers=mine)["secret"]
    backup = ask("POST", "auth/mfa/enroll", {"code": code(secret, digits=8)}, headers=mine)["backupCodes"]
    token = login("ben", WORDS["ben"])["accessToken"]
    for _ in range(30):  # caches and limits of Redis
        ask("GET", "users/me", headers={"Authorization": f"Bearer {token}"})
    for _ in range(LIMITS["userFailures"]):
        login("dora", "a wrong one", 401)
    login("dora", WORDS["dora"], 429)
    return {
        "passwords": WORDS,
        "ids": ids,
        "secret": secret,
        "backupCodes": backup,
        "token": token,
        "settings": SETTINGS,
        "note": NOTE,
        "madeMs": time.time_ns() // 1_000_000,
    }


def contents(redis: Server) -> list[list[Any]]:
    """Each key: its name, milliseconds left (-1: for good), and the commands that make it; bytes as Latin-1."""

    def text(value: Any) -> Any:
        return value.decode("latin-1") if isinstance(value, bytes) else value

    readers: dict[str, tuple[str, tuple[Any, ...]]] = {
        "string": ("SET", ("GET",)),
        "hash": ("HSET", ("HGETALL",)),
        "set": ("SADD", ("SMEMBERS",)),
    }
    found: list[list[Any]] = []
    for key in sorted(redis.ask("KEYS", "*")):
        kind = text(redis.ask("TYPE", key))
        write, (read,) = readers[kind]
        value = redis.ask(read, key)
        parts = value if isinstance(value, list) else [value]
        found.append([text(key), redis.ask("PTTL", key), write, [text(part) for part in parts]])
    return found


def make_cluster(old: Old, redis: Server, out: Path) -> None:
    """Two nodes and a witness that share a database in a file."""
    folder, bundle = old.folder, ("--passphrase-file", str(old.folder / "words"))
    first = old.init("node1", "--database", old.database, "--bundle", str(folder / "bundle"), *bundle)
    url = old.start(first)
    until(lambda: httpx.get(f"{url}/system/health/leader").status_code == 200, "node1 leads")
    second = old.init("node2", "--join", str(folder / "bundle"), *bundle)
    witness = old.init("witness1", "--witness", "--join", str(folder / "bundle"), *bundle, "--port", str(free_port()))
    old.start(second)
    old.start(witness, "witness")
    token = old.run("token", "--config", str(first)).strip()
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=20) as http:

        def joined() -> bool:
            health = http.get("/system/health/cluster").json()
            return bool(health["clusterHealthy"]) and "node2" in str(health["votes"]) and len(health["nodes"]) == 3

        until(joined, "a healthy cluster of three")
        known = lived_with(http)
        order = http.put("/api/v1/admin/nodes/node2/maintenance", json={"maintenance": True})
        if order.status_code != 200:
            raise RuntimeError(order.text)
        time.sleep(2)
    running = contents(redis)
    old.stop()
    keys = {"running": running, "stopped": contents(redis)}
    (out / "known.json").write_text(json.dumps(known, indent=1) + "\n")
    for name, rows in keys.items():
        lines = ",\n".join(json.dumps(row) for row in rows)
        (out / f"redis-{name}.json").write_text(f"[\n{lines}\n]\n")
    for member in (first.parent, second.parent, witness.parent):
        keep(member, out / member.name, folder)
    with contextlib.closing(sqlite3.connect(folder / "rppam.db")) as link:
        (out / "rppam.sql").write_text("\n".join(link.iterdump()) + "\n")


def make_postgresql(old: Old, _redis: Server, out: Path) -> None:
    """One node with PostgreSQL."""
    programs = postgres.binaries()
    if programs is None:
        raise RuntimeError("PostgreSQL is not on this machine")
    with postgres.running(programs) as server:
        with server.connect() as link:
            link.execute("CREATE ROLE rppam LOGIN PASSWORD 'rppam' SUPERUSER")
            link.execute("CREATE DATABASE rppam OWNER rppam")
        database = f"postgresql://rppam:rppam@127.0.0.1:{server.port}/rppam"
        config = old.init("node1", "--key-prefix", "with-postgresql:", "--database", database)
        url = old.start(config)
        until(lambda: httpx.get(f"{url}/system/health/leader").status_code == 200, "the node leads")
        token = old.run("token", "--config", str(config)).strip()
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=20) as http:
            known = lived_with(http)
        old.stop()
        dump = [str(programs / "pg_dump"), "--inserts", "--no-owner", "--no-privileges", database]
        text = subprocess.run(dump, check=True, capture_output=True, text=True).stdout
    (out / "known.json").write_text(json.dumps(known, indent=1) + "\n")
    lines = [line for line in text.splitlines() if line and not line.startswith(("--", "\\", "SET "))]
    (out / "rppam.sql").write_text("\n".join(lines) + "\n")
    keep(config.parent, out / "node1", old.folder)


def keep(member: Path, out: Path, folder: Path) -> None:
    """What stands in a member's folder, without logs; the config knows no folder of this machine."""
    shutil.copytree(member, out, ignore=shutil.ignore_patterns("log", "*.lock", "*.sock", "*.pid"))
    for config in out.glob("*.config"):
        config.write_text(config.read_text().replace(str(folder), PLACE))


@contextlib.contextmanager
def a_place(checkout: Path, redis: Server) -> Iterator[Old]:
    with tempfile.TemporaryDirectory(prefix="rppam-takeover-") as name:
        old = Old(checkout, Path(name), redis.port)
        public = old.run("license", "new-key", "--out", f"{name}/issuer.pem")
        old.folder.joinpath("issuer.pub.pem").write_text(
            match[0] if (match := re.search(r"-----BEGIN.*?END[^\n]*-----\n?", public, re.DOTALL)) else public.strip()
        )
        issue = ("--tier", "enterprise", "--customer", "takeover", "--max-nodes", "10", "--days", "36500")
        old.run("license", "issue", "--key", f"{name}/issuer.pem", *issue, "--out", f"{name}/license.jwt")
        try:
            yield old
        finally:
            for process in old.running.values():
                process.kill()
                process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--old", type=Path, required=True, help="a checkout of 5cef40f with its .venv")
    checkout = parser.parse_args().old.resolve()
    shutil.rmtree(FILES, ignore_errors=True)
    kind = next(kind for kind in SERVERS if kind.name == "redis-8")
    for name, make in (("cluster", make_cluster), ("postgresql", make_postgresql)):
        (FILES / name).mkdir(parents=True)
        with Server(kind, password="hush") as redis, a_place(checkout, redis) as old:
            make(old, redis, FILES / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
