"""The vault and requests on real nodes with PostgreSQL: with no leader and Redis away, and behind a node that is frozen
past the end of its check-out."""

import json
import threading
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest

from tests.support import postgres
from tests.support.lab import CALM, Answer, Lab, LabNode, eventually
from tests.support.lab_fixtures import KIND, LABS
from tests.support.redis_servers import Server, missing
from tests.vault.people import CHECKOUTS, ENTRIES, FOLDERS, SECRET

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow]

REQUESTS, GRANTS = "/api/v1/access-requests", "/api/v1/grants"
PASSWORD = "a password of its own"
PEOPLE: Final = {"ursula": "pam_user", "uwe": "pam_user", "anna": "pam_approver"}
FROZEN_S: Final = 60.0


class Person:
    """One who has signed in, and goes to a node."""

    def __init__(self, node: LabNode, token: str) -> None:
        self.node, self.token = node, token

    def at(self, node: LabNode) -> "Person":
        return Person(node, self.token)

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        return self.node.ask(path, token=self.token, method=method, send=body, timeout_s=FROZEN_S)

    def post(self, path: str, /, **body: Any) -> Answer:
        return self.ask("POST", path, body)

    def get(self, path: str) -> Any:
        answer = self.ask("GET", path)
        assert answer.status == 200, answer
        return answer.body

    def made(self, path: str, /, **body: Any) -> dict[str, Any]:
        answer = self.post(path, **body)
        assert answer.status in {200, 201}, answer
        found: dict[str, Any] = answer.body
        return found

    def entry(self, name: str, **more: Any) -> str:
        body = {"folder": "lab", "name": name, "type": "password", "fields": {"password": SECRET}, **more}
        ident: str = self.made(ENTRIES, **body)["id"]
        return ident

    def check_out(self, entry: str) -> Answer:
        return self.post(CHECKOUTS, entryId=entry, reason="because", minutes=30)

    def reveal(self, entry: str) -> Answer:
        return self.post(f"{ENTRIES}/{entry}/reveal", reason="because")

    def check_in(self, ident: str) -> Answer:
        return self.post(f"{CHECKOUTS}/{ident}/checkin")


class Cluster(NamedTuple):
    lab: Lab
    redis: Server
    sql: postgres.Server
    tokens: dict[str, str]

    def person(self, name: str, node: LabNode) -> Person:
        return Person(node, self.tokens[name])

    def rows(self, statement: str, *values: Any) -> list[Any]:
        with self.sql.connect("rppam") as line:
            done = line.execute(statement, values)
            return list(done.fetchall()) if done.description else []

    def run_out(self, ident: str) -> None:
        """The time of a check-out is over."""
        self.rows("UPDATE checkouts SET expires_at = started_at + 1 WHERE id = %s", ident)

    def ends(self, entry: str) -> list[tuple[int, str]]:
        """Which check-outs of an entry were ended by the record, and why."""
        found = self.rows("SELECT body FROM audit_events WHERE action = 'checkout.end'")
        events = [json.loads(body) for (body,) in found]
        mine = [one["details"] for one in events if one["object"]["id"] == entry]
        return sorted((one["generation"], one["why"]) for one in mine)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    programs = postgres.binaries()
    if KIND.find() is None or programs is None:
        missing("no Redis or no PostgreSQL on this machine: make servers")
    with (
        Server(KIND) as redis,
        postgres.running(programs) as sql,
        Lab(tmp_path_factory.mktemp("vault") / "lab", redis.port, times=CALM, policy="majority") as lab,
    ):
        url = sql.create("rppam")
        for node in lab.nodes:
            node.config["database"]["url"] = url
            node.config["vault"] = {"revealFactor": "none"}
        lab.start()
        yield Cluster(lab, redis, sql, hire(lab))


def hire(lab: Lab) -> dict[str, str]:
    """People of whom each may see what lies in the folder ``lab`` but ursula; their tokens."""
    node = lab.nodes[0]
    admin = Person(node, lab.token)
    idents = {}
    for name, role in PEOPLE.items():
        user = {"username": name, "password": PASSWORD, "roles": [role]}
        idents[name] = admin.made("/api/v1/users", **user)["id"]
    folder = admin.made(FOLDERS, path="lab")["id"]
    items = [{"userId": idents["uwe"], "rights": ["reveal"]}]
    assert admin.ask("PUT", f"{FOLDERS}/{folder}/rights", {"items": items}).status == 200
    tokens = {"admin": lab.token}
    for name in PEOPLE:
        login = {"username": name, "password": PASSWORD}
        answer = node.ask("/api/v1/auth/login", method="POST", send=login, timeout_s=20)
        assert answer.status == 200, answer
        tokens[name] = answer.body["accessToken"]
    return tokens


@pytest.fixture(autouse=True)
def _whole(cluster: Cluster, request: pytest.FixtureRequest) -> None:
    request.node.stash.setdefault(LABS, []).append(cluster.lab)
    cluster.lab.wait_until_healthy()


@pytest.fixture
def left(cluster: Cluster) -> Iterator[LabNode]:
    """The node that is left of three, without a leader and without Redis."""
    leader = cluster.lab.wait_for_leader()
    one, other = (node for node in cluster.lab.nodes if node is not leader)
    cluster.redis.kill()
    leader.kill()
    other.kill()

    def is_without() -> bool:
        health = cluster.lab.health(one)
        return health["leaderNode"] is None and not health["redisConnected"]

    try:
        eventually(is_without, within_s=20, what="a node without a leader and Redis", say=cluster.lab.logs)
        epoch = cluster.lab.health(one)["epoch"]
        yield one
        assert is_without()
        assert cluster.lab.health(one)["epoch"] == epoch, "nobody has led meanwhile"
    finally:
        cluster.redis.restart()
        leader.start()
        other.start()


def said(answer: Answer) -> tuple[int, str]:
    return answer.status, str((answer.body or {}).get("code", ""))


def test_without_a_leader_and_redis_an_entry_is_checked_out_shown_and_given_back(
    cluster: Cluster, left: LabNode
) -> None:
    admin, uwe = cluster.person("admin", left), cluster.person("uwe", left)
    entry = admin.entry("daily")
    assert said(uwe.reveal(entry)) == (403, "RPPAM-8407"), "it is exclusive"
    held = uwe.check_out(entry)
    assert (held.status, held.body["generation"]) == (201, 1), held
    assert said(admin.check_out(entry)) == (409, "RPPAM-8411")
    shown = uwe.reveal(entry)
    assert (shown.status, shown.body["fields"], shown.body["checkoutId"]) == (
        200,
        {"password": SECRET},
        held.body["id"],
    )
    assert uwe.check_in(held.body["id"]).status == 204
    assert admin.check_out(entry).body["generation"] == 2
    assert said(uwe.check_in(held.body["id"])) == (409, "RPPAM-8412")


def test_without_a_leader_what_has_run_out_is_given_to_nobody_before_it_is_changed(
    cluster: Cluster, left: LabNode
) -> None:
    admin, uwe = cluster.person("admin", left), cluster.person("uwe", left)
    entry = admin.entry("once", rotateAfterUse=True)
    held = uwe.check_out(entry)
    cluster.run_out(held.body["id"])
    for who in (uwe, admin):
        assert said(who.reveal(entry)) == (409, "RPPAM-8413")
        assert said(who.check_out(entry)) == (409, "RPPAM-8413")
    assert admin.get(f"{ENTRIES}/{entry}")["state"] == "pending-rotation"
    assert cluster.ends(entry) == [(1, "expired")]
    changed = admin.ask("PUT", f"{ENTRIES}/{entry}", {"fields": {"password": "another"}})
    assert (changed.status, changed.body["state"]) == (200, "available"), changed
    assert uwe.check_out(entry).body["generation"] == 2
    assert uwe.reveal(entry).body["fields"] == {"password": "another"}


def test_without_a_leader_and_redis_access_is_asked_for_granted_made_longer_and_denied(
    cluster: Cluster, left: LabNode
) -> None:
    admin, ursula, anna = (cluster.person(name, left) for name in ("admin", "ursula", "anna"))
    web = admin.made("/api/v1/resources", name="web1", kind="ssh", address="10.0.0.1")
    account = admin.made("/api/v1/accounts", resourceId=web["id"], name="root")["id"]
    entry = admin.entry("asked", accountId=account)
    assert said(ursula.check_out(entry)) == (404, "RPPAM-8401")
    wish = {"accountId": account, "reason": "disk is full", "minutes": 30, "rights": ["checkout", "reveal"]}
    asked = ursula.made(REQUESTS, **wish)
    assert asked["state"] == "pending"
    assert said(ursula.post(f"{REQUESTS}/{asked['id']}/approve")) == (403, "RPPAM-8504")
    done = anna.made(f"{REQUESTS}/{asked['id']}/approve", version=asked["version"])
    assert done["state"] == "approved"
    held = ursula.check_out(entry)
    assert held.status == 201, held
    assert ursula.reveal(entry).body["fields"] == {"password": SECRET}
    before = ursula.get(f"{GRANTS}/{done['grantId']}")["expiresAt"]
    more = ursula.made(f"{REQUESTS}/{asked['id']}/extend", minutes=15, reason="not done")
    assert anna.made(f"{REQUESTS}/{more['id']}/approve")["state"] != "pending"
    assert ursula.get(f"{GRANTS}/{done['grantId']}")["expiresAt"] > before
    assert ursula.check_in(held.body["id"]).status == 204
    assert anna.made(f"{GRANTS}/{done['grantId']}/revoke", reason="enough")["state"] == "revoked"
    assert said(ursula.check_out(entry)) == (404, "RPPAM-8401")
    second = ursula.made(REQUESTS, **wish)
    assert anna.made(f"{REQUESTS}/{second['id']}/deny", note="no")["state"] == "denied"
    assert said(anna.post(f"{REQUESTS}/{second['id']}/approve")) == (409, "RPPAM-8503")
    assert said(ursula.check_out(entry)) == (404, "RPPAM-8401")


@pytest.mark.parametrize("leads", [True, False], ids=["leader", "other"])
@pytest.mark.parametrize("followed", [True, False], ids=["somebody else has it", "nobody has it"])
def test_a_node_that_was_frozen_past_the_end_of_its_check_out_checks_in_too_late(
    cluster: Cluster, followed: bool, leads: bool
) -> None:
    lab = cluster.lab
    leader = lab.wait_for_leader()
    [one, other] = (node for node in lab.nodes if node is not leader)
    frozen, running = (leader, other) if leads else (one, other)
    admin, uwe = cluster.person("admin", running), cluster.person("uwe", frozen)
    entry = admin.entry(f"frozen {leads} {followed}")
    held = uwe.check_out(entry).body
    answers: list[Answer] = []
    frozen.stop()
    try:
        late = threading.Thread(target=lambda: answers.append(uwe.check_in(held["id"])), daemon=True)
        late.start()
        cluster.run_out(held["id"])
        next_one = admin.check_out(entry) if followed else None
        assert next_one is None or (next_one.status, next_one.body["generation"]) == (201, 2), next_one
        eventually(lambda: cluster.ends(entry) == [(1, "expired")], within_s=30, what="its end", say=lab.logs)
        assert not answers
    finally:
        frozen.cont()
    late.join(FROZEN_S)
    assert [said(answer) for answer in answers] == [(409, "RPPAM-8412")]
    assert cluster.ends(entry) == [(1, "expired")], "it has ended once"
    rows = cluster.rows("SELECT generation, ended_why FROM checkouts WHERE entry_id = %s ORDER BY 1", entry)
    assert rows == ([(1, "expired"), (2, "")] if followed else [(1, "expired")])
    if next_one is not None:
        eventually(
            lambda: said(uwe.check_out(entry)) == (409, "RPPAM-8411"), within_s=30, what="a frozen node that goes on"
        )
        assert said(uwe.reveal(entry)) == (409, "RPPAM-8411")
        assert admin.check_in(next_one.body["id"]).status == 204
        assert cluster.ends(entry) == [(1, "expired"), (2, "checkin")]
