"""The map of a cluster with Sentinel, a witness and a virtual address: what it shows is what each says of itself."""

import json
import os
import re
from collections.abc import Iterator

import pytest

from tests.console.conftest import AXE, PASSWORD, OpenPage
from tests.faults.lab.net import CAN, WHY_NOT
from tests.support.lab import CALM, START_S, Lab, eventually
from tests.support.lab_fixtures import KIND
from tests.support.placed_witness import RunningWitness, place_example
from tests.support.redis_servers import need
from tests.support.sentinels import SentinelLab

pytestmark = [
    pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.alone,
    pytest.mark.skipif(not CAN and not os.environ.get("CI"), reason=WHY_NOT),
]  # fmt: skip
ADDRESS = f"10.211.{os.getpid() % 250}.5"


@pytest.fixture(scope="module")
def sentinels() -> Iterator[SentinelLab]:
    need(KIND)
    with SentinelLab(KIND) as made:
        yield made


@pytest.fixture(scope="module")
def lab(sentinels: SentinelLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One node, which has the address on this host's loopback interface, and a witness."""
    folder = tmp_path_factory.mktemp("topology")
    with Lab(folder, 1, nodes=1, times=CALM, prefix=f"topology-{os.getpid()}:") as made:
        (node,) = made.nodes
        way = f"{sentinels.connection_string},abortConnect=false"
        node.config["redis"]["connectionString"] = way
        del node.config["redis"]["password"]
        node.config["cluster"] |= {"virtualIp": f"{ADDRESS}/32", "virtualIpInterface": "lo"}
        node.config["api"]["host"] = "127.0.0.1"
        file = place_example(made, 1)
        config = json.loads(file.read_text())
        config["redis"]["connectionString"] = way
        del config["redis"]["password"]
        file.write_text(json.dumps(config))
        made.start()
        with RunningWitness(file):
            body = {"username": "sue", "displayName": "Sue", "roles": ["pam_admin"], "password": PASSWORD}

            def is_made() -> bool:
                answer = node.ask("/api/v1/users", method="POST", send=body, token=made.token, timeout_s=20)
                return answer.status in {201, 409}

            eventually(is_made, within_s=START_S, what="the account sue", say=made.logs)
            yield made


def test_the_map_shows_sentinel_the_witness_and_where_the_address_is(
    open_page: OpenPage, lab: Lab, sentinels: SentinelLab
) -> None:
    watched = open_page()
    page = watched.page
    watched.sign_in("sue")
    watched.open("cluster")
    drawn = page.get_by_role("img", name="Map of the cluster")
    drawn.get_by_text("Sentinels: 3 of 3").wait_for()
    drawn.get_by_text(f"127.0.0.1:{sentinels.client_port(sentinels.primary)}").wait_for()
    drawn.get_by_text(f"Replicas: {len(sentinels.servers) - 1}").wait_for()
    drawn.get_by_text("Witness · healthy").wait_for()
    drawn.get_by_text(ADDRESS).wait_for()
    page.get_by_text("at node1").wait_for()
    page.get_by_text(re.compile(r"^node1, for [0-9.]+ s$")).wait_for()
    assert page.get_by_text("names the primary").count() == 3
    watched.shot("light-topology")
    if AXE.exists():
        assert watched.axe() == []
    # a Sentinel that died, and an address that another took away, are seen here as elsewhere
    sentinels.sentinels[2].kill()
    drawn.get_by_text("Sentinels: 2 of 3").wait_for(timeout=40_000)
    assert page.get_by_text("does not answer").count() == 1


def test_an_event_is_proved_on_the_page_and_what_was_searched_is_saved(open_page: OpenPage, lab: Lab) -> None:
    watched = open_page()
    page = watched.page
    watched.sign_in("sue")
    watched.open("audit")
    page.get_by_role("row", name="user.create").get_by_role("button", name="Verify").first.click()
    page.get_by_text(re.compile(r"Event \d+ is in the signed ledger of \d+ events")).wait_for()
    page.get_by_label("Action").fill("user.create")
    page.get_by_role("button", name="Search").click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Export").click()
    lines = [json.loads(line) for line in saved.value.path().read_text().splitlines()]
    assert {one["action"] for one in lines} == {"user.create"}
    assert "sue" in {one["object"]["name"] for one in lines}


def test_what_is_shown_while_no_node_answers_is_grey_and_tells_its_age(open_page: OpenPage, lab: Lab) -> None:
    watched = open_page()
    page = watched.page
    watched.sign_in("sue")
    watched.open("cluster")
    drawn = page.get_by_role("img", name="Map of the cluster")
    drawn.get_by_text(ADDRESS).wait_for()
    shade = "() => getComputedStyle(document.querySelector('svg.map').closest('.live')).filter"
    assert page.evaluate(shade) == "none"
    (node,) = lab.nodes
    node.kill()
    try:
        page.get_by_text(
            re.compile(r"No node answers at the moment\. What you see is from .*(second|minute)")
        ).wait_for()
        assert page.evaluate(shade) == "grayscale(1)"
        assert drawn.get_by_text("node1", exact=True).is_visible(), "it is grey, and never blank"
        watched.shot("light-no-node")
    finally:
        node.start()
    page.get_by_text("No node answers at the moment").wait_for(state="detached", timeout=60_000)
    assert page.evaluate(shade) == "none"
    drawn.get_by_text("node1", exact=True).wait_for()
    assert page.get_by_role("button", name="Sign out").is_visible(), "no new log-in"
