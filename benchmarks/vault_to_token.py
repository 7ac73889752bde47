"""The vault's master key moves from a file into a token, node by node, while secrets are read and nodes are killed.

    python -m benchmarks.vault_to_token [--entries 200] [--sqlite] [--write]

Three nodes with SoftHSM, which stands for one HSM that all of them reach. Each of the three steps (``docs/vault.md``)
goes over the nodes one after another: each is killed (SIGKILL), its config changed, and started again. Clients ask the
other nodes for secrets all the while; what fails there counts. A connection that a killed node had is no failure: its
clients ask the next node, as a load balancer does. In the end every key has to be wrapped by the token, the file has
another key, and a token that is pulled has to close the vault everywhere, and to open it again when it is back.
"""

import argparse
import base64
import json
import os
import secrets
import sys
import threading
import time
from typing import Any

import rppam.app.slices  # noqa: F401 - declares the settings
from benchmarks.machine import facts, machine, write_section
from benchmarks.vault_ways import ENTRIES, Place, Ways, installed
from tests.support import prefork
from tests.support.lab import LabNode, eventually
from tests.support.softhsm import SoftHsm

KEYS = "/api/v1/vault/keys"


class Readers:
    """Ask nodes for secrets, all the time."""

    def __init__(self, place: Place, paths: list[str]) -> None:
        self._place, self._paths = place, paths
        self._over = threading.Event()
        self.down: set[str] = set()
        """Nodes that are being restarted."""
        self.reads = 0
        self.failed: list[str] = []
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(2)]

    def __enter__(self) -> "Readers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        nodes, token = self._place.lab.nodes, self._place.lab.token
        while not self._over.is_set():
            number += 1
            node, path = nodes[number % len(nodes)], self._paths[number % len(self._paths)]
            if node.name in self.down:
                time.sleep(0.02)
                continue
            try:
                found = node.ask(f"{path}/reveal", token=token, method="POST", send={"reason": "because"}, timeout_s=20)
            except OSError as error:
                if node.name not in self.down:
                    self.failed.append(f"{node.name}: {error}")
                continue
            self.reads += 1
            if found.status != 200:
                self.failed.append(f"{node.name}: {found}")


def stepped(place: Place, readers: Readers, vault: dict[str, Any]) -> None:
    """Give every node these settings, one after another."""
    for node in place.lab.nodes:
        readers.down.add(node.name)
        time.sleep(0.1)
        node.kill()
        node.config["vault"] = {**vault, "revealFactor": "none"}
        node.start(TMPDIR=str(place.folder / "tmp"))
        place.lab.wait_until_healthy(60)
        readers.down.discard(node.name)


def masters(place: Place, node: LabNode) -> dict[str, Any]:
    body: dict[str, Any] = node.ask(KEYS, token=place.lab.token, timeout_s=20).body
    return body


def status_of(place: Place, node: LabNode, path: str) -> int:
    return node.ask(
        f"{path}/reveal", token=place.lab.token, method="POST", send={"reason": "because"}, timeout_s=20
    ).status


def run(*, sqlite: bool, entries: int) -> dict[str, Any]:
    with installed(sqlite=sqlite) as place:
        softhsm = SoftHsm(place.folder / "hsm")
        os.environ.update(softhsm.environment)
        softhsm.make_token()
        config = place.lab.nodes[0].folder / "token.config"
        token = softhsm.settings()
        tree = {"node": {"dataDir": str(config.parent)}, "vault": {"keySource": "pkcs11", **token}}
        config.write_text(json.dumps(tree))
        config.chmod(0o600)
        made = prefork.run("vault", "key", "token", "--new", "--config", str(config))
        assert made.returncode == 0, made.stderr
        fingerprint = made.stdout.strip()
        ways = Ways(place)
        paths = [ways.entry(f"e{number}", exclusive=False) for number in range(entries)]
        file = {"keyPath": str(place.key)}
        before = masters(place, place.lab.nodes[0])["keks"][0]["master"]
        began = time.monotonic()
        with Readers(place, paths) as readers:
            stepped(place, readers, {"keySource": "file", "keySourceNext": "pkcs11", **file, **token})
            ways.ask("rotate", "POST", f"{KEYS}/rotate")
            stepped(place, readers, {"keySource": "pkcs11", "keySourceBefore": "file", **file, **token})
            eventually(
                lambda: all(one["master"] == fingerprint for one in masters(place, place.lab.nodes[0])["keks"]
                            if one["state"] != "retired"),
                within_s=60, what="keys that the token wraps", say=place.lab.logs,
            )  # fmt: skip
            stepped(place, readers, {"keySource": "pkcs11", **token})
            place.key.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
            for path in paths:
                assert status_of(place, place.lab.nodes[1], path) == 200
        took = time.monotonic() - began
        softhsm.take_away()
        pulled = time.monotonic()
        for node in place.lab.nodes:
            eventually(lambda node=node: status_of(place, node, paths[0]) == 503, within_s=30, what="a closed vault")  # type: ignore[misc]
        closed = time.monotonic() - pulled
        softhsm.put_back()
        back = time.monotonic()
        for node in place.lab.nodes:
            eventually(lambda node=node: status_of(place, node, paths[0]) == 200, within_s=30, what="an open vault")  # type: ignore[misc]
        opened = time.monotonic() - back
        events = (
            place.lab.nodes[0]
            .ask("/api/v1/audit/events?action=vault.mek-change", token=place.lab.token, timeout_s=20)
            .body["events"]
        )
    assert ENTRIES in paths[0]
    return {
        "database": "SQLite" if sqlite else "PostgreSQL",
        "entries": entries,
        "seconds": round(took, 1),
        "reads": readers.reads,
        "failed": len(readers.failed),
        "first failures": readers.failed[:5],
        "changes of the master key recorded": len(events),
        "moved": before != fingerprint,
        "closed after pulling": round(closed, 1),
        "open after putting back": round(opened, 1),
    }


def page(found: dict[str, Any], before: dict[str, str]) -> str:
    """The section of the measurements."""
    return f"""## The master key from a file into a token, {found["database"]}

`python -m benchmarks.vault_to_token --write`

{facts(before)}

Three nodes went through the three steps in {found["seconds"]:.0f} s, each killed and started again at each step.
Meanwhile {found["reads"]:,} secrets were read at the nodes that were up: **{found["failed"]} failed**. With the token
pulled, all three nodes had closed the vault after {found["closed after pulling"]} s; with it back, all had opened it
after {found["open after putting back"]} s, without a restart.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--entries", type=int, default=200)
    parser.add_argument("--sqlite", action="store_true")
    parser.add_argument("--write", action="store_true", help="Put the result into docs/reference/measurements.md.")
    options = parser.parse_args()
    before = machine()
    found = run(sqlite=options.sqlite, entries=options.entries)
    print(json.dumps(found))
    if options.write:
        write_section(f"vault to token {found['database']}", page(found, before))
    return 1 if found["failed"] or not found["moved"] else 0


if __name__ == "__main__":
    sys.exit(main())
