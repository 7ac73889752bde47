"""A node of the release before behind the address: no page of the console breaks on what its answers do not have."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.console.conftest import Balancer, OpenPage, Watched
from tests.console.older import (
    NEW_FIELDS,
    NEW_ROUTES,
    OlderNode,
    is_new_route,
    node_of_the_release_before,
    without_the_new,
)
from tests.console.places import Company, asking, one_of_everything
from tests.console.test_pages import PAGES
from tests.gateway.places import Sshd
from tests.support.lab import Lab
from tests.support.redis_servers import Server

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.pair]

CONTRACT = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"


@pytest.fixture(scope="module")
def company(redis: Server, tmp_path_factory: pytest.TempPathFactory, target: Sshd) -> Iterator[Company]:
    with one_of_everything(redis, tmp_path_factory.mktemp("before"), target) as made:
        yield made


@pytest.fixture(scope="module")
def lab(company: Company) -> Lab:
    return company.lab


@pytest.fixture(scope="module", params=[True, False], ids=["without-fields", "without-routes"])
def older(request: pytest.FixtureRequest, lab: Lab) -> Iterator[OlderNode]:
    with node_of_the_release_before(lab.running()[0].port, routes=request.param) as node:
        yield node


@pytest.fixture(scope="module")
def balancer(older: OlderNode) -> Iterator[Balancer]:
    """Which leads to a node of the release before alone."""
    one = Balancer([older.server_port])
    yield one
    one.close()


def test_what_is_taken_away_is_in_the_contract_of_today() -> None:
    """Else nothing is taken away, and the pages are shown what they always are."""
    contract: dict[str, Any] = json.loads(CONTRACT.read_text(encoding="utf-8"))
    text = json.dumps(contract["components"]["schemas"])
    names = frozenset().union(*NEW_FIELDS.values())
    assert [name for name in sorted(names) if f'"{name}":' not in text] == []
    routes = [path for path in contract["paths"] if is_new_route(path)]
    assert len(routes) >= len(NEW_ROUTES)
    answer = {"items": [{"tags": [], "name": "root", "of": [{"rights": ["use"]}]}], "more": False}
    assert without_the_new("/api/v1/vault/entries?limit=5", answer) == {
        "items": [{"name": "root", "of": [{}]}], "more": False,
    }  # fmt: skip
    assert without_the_new("/api/v1/resources", answer) == answer


def test_every_page_stands_on_the_answers_of_the_release_before(
    open_page: OpenPage, older: OlderNode, lab: Lab
) -> None:
    watched = open_page()
    page = watched.page
    watched.sign_in("sue")
    entries = asking(lab)("GET", "/api/v1/vault/entries")["items"]
    wrong: dict[str, list[str]] = {}
    for path, heading in {**PAGES, **{f"vault/{one['id']}": one["name"] for one in entries}}.items():
        watched.open(path)
        page.get_by_role("heading", level=1, name=heading).wait_for()
        busy = 1
        for _ in range(50):
            if not (busy := page.locator("main [aria-busy=true]").count()):
                break
            page.wait_for_timeout(200)
        if flaws := flaws_of(watched) + ["loads for ever"] * bool(busy):
            wrong[path] = flaws
        watched.shot(f"before-{older.routes}-{path.replace('/', '-') or 'home'}")
        watched.flaws.clear()
    assert wrong == {}
    watched.open("authority")
    told = page.get_by_text("The node that answered runs an older release, which does not have this.")
    if older.routes:
        page.locator("main [aria-busy=true]").first.wait_for(state="detached")
        assert told.count() == 0
    else:
        told.first.wait_for()


def test_what_such_a_node_does_not_tell_is_not_wiped_out_by_a_form(open_page: OpenPage, lab: Lab) -> None:
    ask = asking(lab)
    (bob,) = ask("GET", "/api/v1/users?search=bob")["items"]
    ask("PATCH", f"/api/v1/users/{bob['id']}", allowedFrom=["10.2.0.0/16"])
    (root,) = [one for one in ask("GET", "/api/v1/vault/entries")["items"] if one["name"] == "root"]
    ask("PUT", f"/api/v1/vault/entries/{root['id']}", tags=["linux"], ownerId=bob["id"])
    watched = open_page()
    page = watched.page
    watched.sign_in("sue")
    watched.open("users")
    page.get_by_role("button", name="Change bob").click()
    box = page.get_by_role("dialog")
    assert box.get_by_label("May log in from").count() == 0
    box.get_by_label("Display name").fill("Robert")
    box.get_by_label("Reason").fill("his name")
    box.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("cell", name="Robert").wait_for()
    watched.open(f"vault/{root['id']}")
    page.get_by_role("button", name="Change", exact=True).click()
    box.get_by_label("Description").fill("of the disk")
    box.get_by_label("Reason").fill("to find it")
    box.get_by_role("button", name="Save", exact=True).click()
    page.locator("main").get_by_text("of the disk").first.wait_for()
    assert ask("GET", f"/api/v1/users/{bob['id']}")["allowedFrom"] == ["10.2.0.0/16"]
    now = ask("GET", f"/api/v1/vault/entries/{root['id']}")
    assert (now["tags"], now["ownerName"], now["description"]) == (["linux"], "bob", "of the disk")


def flaws_of(watched: Watched) -> list[str]:
    """What broke, and what shows a gap of ours as text."""
    text = watched.page.locator("body").inner_text()
    return watched.flaws + [word for word in ("undefined", "NaN", "[object Object]") if word in text]
