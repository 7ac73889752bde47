"""The audit page, the list of targets and what is granted over 100,000 rows each: opened, paged and filtered by the
server."""

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from typing import Final

import pytest

from tests.console.conftest import AXE, OpenPage, cluster
from tests.console.places import asking, signed_in
from tests.support.lab import Lab, eventually
from tests.support.redis_servers import Server

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.pair]

ROWS: Final = 100_000
NEEDLES: Final = 3
RARE: Final = 60
"""Events of an action that is not done often: more than a page of them."""


@pytest.fixture(scope="module")
def lab(redis: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with cluster(redis, tmp_path_factory.mktemp("many"), nodes=1) as lab:
        with_targets(lab.database)
        with_grants(lab)
        eventually(lambda: signed(lab), within_s=30, what="an event that is signed", say=lab.logs)
        with_events(lab.database)
        yield lab


def signed(lab: Lab) -> bool:
    return lab.nodes[0].ask("/api/v1/audit/events?limit=1", token=lab.token).body["next"] is not None


def with_targets(url: str) -> None:
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30)) as database, database:
        database.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO resources (id,"
            " name, name_key, kind, address, port, description, host_key_policy, legacy_algorithms, revision,"
            " created_at) SELECT 'many-' || i, printf('Host%06d', i), printf('host%06d', i), 'ssh',"
            " printf('10.%d.%d.%d', i / 65536, i / 256 % 256, i % 256), 22, 'rack ' || (i % 40), 'pin', 0, 1, 1 FROM n",
            (ROWS,),
        )
        database.execute("INSERT INTO resource_tags (resource_id, tag) SELECT id, 'linux' FROM resources")


def with_grants(lab: Lab) -> None:
    """Copies of a grant that is there, each a millisecond older than the one before."""
    ask = asking(lab)
    account = ask("POST", "/api/v1/accounts", resourceId="many-1", name="root")
    wish = {"accountId": account["id"], "rights": ["use"], "minutes": 60, "reason": "INC", "emergency": True}
    made = signed_in(lab, "bob")("POST", "/api/v1/access-requests", **wish)
    path = lab.database.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as database, database:
        for table, own in (
            ("access_requests", {"id": "'many-' || i", "object_name": "printf('root@Host%06d', i)"}),
            ("access_grants", {"id": "'many-' || i", "request_id": "'many-' || i"}),
        ):
            own["created_at"] = "created_at - i"
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            values = ", ".join(own.get(name, name) for name in columns)
            which = "id" if table == "access_requests" else "request_id"
            database.execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
                f" INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM n, {table} WHERE {which} = ?",
                (ROWS, made["id"]),
            )


def with_events(url: str) -> None:
    """Copies of an event that is there, with actors, actions and objects of their own; far behind the signed tree, so
    that the leader need not sign them while the pages are asked."""
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30)) as database, database:
        (body, at) = database.execute("SELECT body, time FROM audit_events WHERE leaf IS NOT NULL LIMIT 1").fetchone()
        words = {f"ref-{name}": name for name in ("common", "needle", *(f"Host{number}" for number in range(500)))}
        database.executemany(
            "INSERT INTO audit_words (ref, salt, word, retention, made_at) VALUES (?, x'00', ?, '', 0)", words.items()
        )
        database.execute(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < :rows - 1), one AS (SELECT i,"
            " 'many-' || i AS id, CASE WHEN i < :rare THEN 'resource.unpin' ELSE 'resource.change' END AS action,"
            " CASE WHEN i < :needles THEN 'ref-needle' ELSE 'ref-common' END AS actor,"
            " 'ref-Host' || (i % 500) AS name FROM n)"
            " INSERT INTO audit_events (id, leaf, hash, writer, number, time, action, actor, object_kind, object_id,"
            " object_name, outcome, body) SELECT id, 1000000 + i, printf('%064x', i), 'many', i, :at, action, actor,"
            " 'resource', id, name, 'success', json_set(:body, '$.id', id, '$.action', action, '$.actor.name', actor,"
            " '$.actor.address', '', '$.object', json_object('kind', 'resource', 'id', id, 'name', name),"
            " '$.details', json('{}'), '$.committed', json('[]')) FROM one",
            {"rows": ROWS, "rare": RARE, "needles": NEEDLES, "at": at, "body": body},
        )


def test_the_audit_page_goes_back_page_by_page_and_finds_what_is_rare(open_page: OpenPage, lab: Lab) -> None:
    watched = open_page()
    page = watched.page
    watched.sign_in("audrey")
    watched.open("audit")
    events = page.get_by_role("region", name="Events")
    events.get_by_role("cell", name="resource.change").first.wait_for()
    page.get_by_label("Action").fill("resource.change")
    page.get_by_role("button", name="Search").click()
    seen: list[str] = []
    for turn in range(3):
        events.get_by_role("cell", name=f"Host{(ROWS - 1 - 50 * turn) % 500} resource", exact=True).wait_for()
        assert events.locator("tbody tr").count() == 50
        seen += events.locator("tbody tr td:nth-child(4)").all_inner_texts()
        page.get_by_role("main").get_by_role("button", name="Next").click()
    assert [one.split()[0] for one in seen] == [f"Host{(ROWS - 1 - place) % 500}" for place in range(150)]
    page.get_by_role("main").get_by_role("button", name="Back").click()
    events.get_by_role("cell", name=f"Host{(ROWS - 1 - 100) % 500} resource", exact=True).wait_for()

    page.get_by_label("Action").fill("resource.unpin")
    page.get_by_role("button", name="Search").click()
    events.get_by_role("cell", name="Host59 resource", exact=True).wait_for()
    page.get_by_role("main").get_by_role("button", name="Next").click()
    events.get_by_role("cell", name="Host0 resource", exact=True).wait_for()
    assert events.locator("tbody tr").count() == RARE - 50
    assert page.get_by_role("main").get_by_role("button", name="Next").is_disabled(), "there is no older one"

    page.get_by_label("Action").fill("")
    page.get_by_label("Who").fill("needle")
    page.get_by_role("button", name="Search").click()
    events.get_by_role("cell", name="Host2 resource", exact=True).wait_for()
    events.get_by_role("cell", name="Host9 resource", exact=True).wait_for(state="detached")
    assert events.locator("tbody tr").count() == NEEDLES
    page.get_by_label("Who").fill("")
    page.get_by_label("Object").fill("many-77777")
    page.get_by_role("button", name="Search").click()
    events.get_by_role("cell", name="Host277 resource", exact=True).wait_for()
    assert events.locator("tbody tr").count() == 1
    watched.shot("light-audit-of-many")
    if AXE.exists():
        assert watched.axe() == []


def test_the_list_of_targets_is_paged_and_searched_by_the_server(open_page: OpenPage, lab: Lab) -> None:
    watched = open_page()
    page = watched.page
    watched.sign_in("sue")
    watched.open("targets")
    page.get_by_text("1 to 25 of 100,000").wait_for()
    assert page.locator("tbody tr").count() == 25
    page.get_by_role("button", name="Next").click()
    page.get_by_role("cell", name="Host000026").wait_for()
    page.get_by_role("searchbox", name="Search").fill("HOST09999")
    page.get_by_text("1 to 10 of 10", exact=True).wait_for()
    page.get_by_role("searchbox", name="Search").fill("10.1.0.")
    page.get_by_text(re.compile(r"^1 to 25 of 256$")).wait_for()
    page.get_by_role("searchbox", name="Search").fill("rack 39")
    page.get_by_text("1 to 25 of 2,500").wait_for()
    page.get_by_role("link", name="Host000039").click()
    page.get_by_role("heading", level=1, name="Host000039").wait_for()
    watched.shot("light-target-of-many")


def test_what_is_granted_is_paged_by_the_server(open_page: OpenPage, lab: Lab) -> None:
    watched = open_page()
    page = watched.page
    watched.sign_in("sue")
    watched.open("requests")
    granted = page.get_by_role("region", name="Granted now")
    seen: list[str] = []
    for turn in range(3):
        granted.get_by_role("cell", name=re.compile(f"^root@Host{25 * turn + 24:06d}")).wait_for()
        assert granted.locator("tbody tr").count() == 25
        seen += granted.locator("tbody tr td:nth-child(2)").all_inner_texts()
        page.get_by_role("button", name="Next Granted now").click()
    assert [one.split()[0] for one in seen[1:]] == [f"root@Host{place:06d}" for place in range(1, 75)]
    page.get_by_role("button", name="Back Granted now").click()
    granted.get_by_role("cell", name=re.compile("^root@Host000050")).wait_for()
    everything = page.get_by_role("region", name="All requests")
    everything.get_by_role("cell", name=re.compile("^root@Host000024")).wait_for()
    page.get_by_role("button", name="Next All requests").click()
    everything.get_by_role("cell", name=re.compile("^root@Host000049")).wait_for()
    watched.shot("light-granted-to-many")
