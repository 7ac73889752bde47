"""Is a secret of the vault ever anywhere but in the answer to who may have it?

    python -m benchmarks.vault_canaries [--sqlite] [--json] [--write]

Three nodes with a gateway, Redis (uncompressed, with its append-only file) and PostgreSQL or SQLite. Secrets that all
hold one mark go every way there is: made, changed, restored, shown, checked out, forced back, used by the gateway for
a session with a real sshd, changed on a real target by rotation, seen by a request and by an emergency, sent wrongly,
sent while the database is away, as the keys of notifications, in files that are imported, over the command line by
stdin. Workers and control processes are made to dump their memory (SIGABRT, without a limit of the host). Then all that
was written is searched for the mark, raw, hexadecimal, URL-encoded, in UTF-16, escaped and in base64 at each of its
three places: files of the nodes and their logs, the temporary folder, core dumps, Redis and its files, a dump of the
SQL database and the server's own files, answers that were not the secret's; and all along the command lines and
environments of all processes. The master key and what the generator made are searched for, too.

In the end each of these places gets a planted leak, which the search has to find.
"""

import argparse
import base64
import contextlib
import json
import os
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import rppam.app.slices  # noqa: F401 - declares the settings
from benchmarks.canaries import MARK, Leak, Processes, Search, new_cores
from benchmarks.machine import facts, machine, write_section
from benchmarks.vault_ways import Place, Ways, installed
from tests.support import postgres
from tests.support.redis_servers import Server


def redis_contents(redis: Server) -> bytes:
    """Names and values of all keys, of every type."""
    found: list[bytes] = []
    for key in redis.ask("KEYS", "*"):
        found.append(key)
        found.append(redis.ask("DUMP", key) or b"")
        for words in (("GET", key), ("HGETALL", key), ("LRANGE", key, 0, -1), ("XRANGE", key, "-", "+")):
            with contextlib.suppress(Exception):
                found.append(repr(redis.ask(*words)).encode())
                found += _flat(redis.ask(*words))
    return b"\n".join(found)


def _flat(value: Any) -> list[bytes]:
    if isinstance(value, list):
        return [one for part in value for one in _flat(part)]
    return [value] if isinstance(value, bytes) else []


def sql_dump(place: Place) -> bytes:
    """The database as its own tool writes it."""
    if place.url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(place.url.removeprefix("sqlite:///"))) as lite:
            return "\n".join(lite.iterdump()).encode()
    programs = postgres.binaries()
    assert programs is not None
    done = subprocess.run([programs / "pg_dump", "--dbname", place.url], capture_output=True, check=True)
    return done.stdout


class Scan:
    """Looks everywhere; how much there was to look at."""

    def __init__(self, place: Place, ways: Ways, search: Search, cores: Callable[[], list[Path]]) -> None:
        self.place, self.ways, self.search, self.cores = place, ways, search, cores
        self.sizes: dict[str, int] = {}

    def all(self) -> set[Leak]:
        """Every place but the processes, which are looked at all along."""
        place, search = self.place, self.search
        home = Path(place.redis.ask("CONFIG", "GET", "dir")[1].decode())
        leaks: set[Leak] = set()
        # The key's own file, and what the target has to know.
        known = [place.key, *(place.target.folder.rglob("*"))]
        for name, folder in (
            ("files and logs of the nodes", place.folder),
            ("files of Redis", home),
            ("files of PostgreSQL", place.sql.log.parent / "cluster"),
        ):
            found, size = search.folder(folder, known)
            self.sizes[name] = size
            leaks |= found
        for name, data in (
            ("keys and values of Redis", redis_contents(place.redis)),
            ("dump of SQL", sql_dump(place)),
            ("answers without a secret", b"\n".join(self.ways.said)),
            ("log of PostgreSQL", place.sql.log.read_bytes()),
        ):
            self.sizes[name] = len(data)
            leaks |= search.data(name, data)
        dumped = self.cores()
        self.sizes["core dumps"] = len(dumped)
        for path in dumped:
            leaks |= search.file(path) | {Leak(str(path), "a core dump")}
        return leaks


def planted(place: Place, scan: Scan, processes: Processes) -> dict[str, bool]:
    """Plant a leak in each place, and whether it is found."""
    found: dict[str, bool] = {}
    word = f"planted {MARK}"
    log = place.lab.nodes[0].log_file
    with log.open("ab") as out:
        out.write(base64.b64encode(b"ab" + word.encode()) + b"\n")
    (place.folder / "tmp" / "left").write_bytes(word.encode("utf-16-le"))
    place.redis.ask("HSET", "planted", "field", quote(word))
    _sql(place, f"UPDATE vault_folders SET description = '{word.encode().hex()}'")
    program = f"import os; x = {word!r} * 2; os.abort()"
    subprocess.run([sys.executable, "-c", program], cwd=place.folder / "tmp", check=False)
    for name, words, more in (("a command line", [word], {}), ("an environment", [], {"WORD": word})):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", *words], env=os.environ | more)
        time.sleep(0.5)
        found[name] = any(f"/{child.pid}/" in leak.place for leak in processes.look())
        child.kill()
        child.wait()
    leaks = scan.all()
    for name, where in (
        ("a log, in base64", str(log)),
        ("a temporary file, in UTF-16", "tmp/left"),
        ("Redis, URL-encoded", "keys and values"),
        ("SQL, in hexadecimal", "dump of SQL"),
        ("a core dump", "/core"),
    ):
        found[name] = any(where in leak.place for leak in leaks)
    return found


def _sql(place: Place, statement: str) -> None:
    if place.url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(place.url.removeprefix("sqlite:///"), timeout=20)) as lite:
            lite.execute(statement)
            lite.commit()
        return
    with place.sql.connect("rppam") as admin:
        admin.execute(statement.encode())


def run(*, sqlite: bool) -> dict[str, Any]:
    """All ways, then the search."""
    limit = resource.getrlimit(resource.RLIMIT_CORE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (limit[1], limit[1]))
    began = time.time()
    with installed(sqlite=sqlite) as place:
        search = Search([MARK])
        key = base64.b64decode(place.key.read_text())
        search.needles |= {
            key: "the master key",
            key.hex().encode(): "the master key",
            base64.b64encode(key): "the key",
        }
        ways = Ways(place)
        with Processes(search) as processes:
            for way in (
                ways.entries, ways.wrong, ways.people, ways.notifications, ways.commands, ways.session, ways.rotation,
                ways.without_sql,
            ):  # fmt: skip
                way()
            for word in (*ways.shown, place.target.private_key.splitlines()[2]):
                search.add(word)
            folders = ways.dumps()
            place.redis.ask("SAVE")
        scan = Scan(place, ways, search, lambda: new_cores(folders, began))
        leaks = scan.all() | processes.leaks
        sizes = dict(scan.sizes)
        found = planted(place, scan, processes)
    return {
        "database": "SQLite" if sqlite else "PostgreSQL",
        "ways": dict(ways.count),
        "secrets": ways.number + len(ways.shown) + 2,
        "bytes searched": sizes,
        "looks at processes": processes.looks,
        "processes seen": len(processes.seen),
        "leaks": sorted(map(list, leaks)),
        "planted leaks found": found,
    }


def page(found: dict[str, Any]) -> str:
    """The section of the measurements."""
    sizes = found["bytes searched"]
    dumps = sizes.pop("core dumps")
    rows = "\n".join(f"| {name} | {size / 1e3:,.0f} kB |" for name, size in sizes.items())
    proof = ", ".join(name if seen else f"**not {name}**" for name, seen in found["planted leaks found"].items())
    ways = ", ".join(f"{name} {count}" for name, count in sorted(found["ways"].items()))
    return f"""## Planted secrets, {found["database"]}

`python -m benchmarks.vault_canaries{" --sqlite" if found["database"] == "SQLite" else ""} --write`

{facts(machine())}

{found["secrets"]} secrets went these ways: {ways}. They were searched for raw, in hexadecimal, URL-encoded, in UTF-16,
escaped and in base64 at each of its three places:

| place | searched |
|---|---|
{rows}
| command lines and environments | {found["looks at processes"]} looks, {found["processes seen"]} processes |
| core dumps | {dumps} were written |

Found outside of the sealed form: **{len(found["leaks"])}**. The same search found each leak that was planted in the
end: {proof}.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sqlite", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", action="store_true", help="Put the result into docs/reference/measurements.md.")
    options = parser.parse_args()
    found = run(sqlite=options.sqlite)
    print(json.dumps(found, indent=None if options.json else 1, ensure_ascii=False))
    if options.write:
        write_section(f"vault canaries {found['database']}", page(json.loads(json.dumps(found))))
    return 1 if found["leaks"] or not all(found["planted leaks found"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
