"""The page at ``/``, as a browser gets it without a token."""

import re

import pytest

from tests.support.served import Served

pytestmark = pytest.mark.integration


async def test_the_address_of_a_node_shows_what_it_is_and_where_to_log_in(served: Served) -> None:
    page = await served.http.get("/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert 'href="/console/"' in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    (style,) = re.findall(r'href="(/static/[^"]+\.css)"', page.text)
    assert (await served.http.get(style)).status_code == 200
    assert not re.search(r"(?:href|src)=\"(?:https?:)?//", page.text), "nothing is asked of another host"
    assert served.node.seen.node not in page.text, "it says nothing of this node"


async def test_the_description_of_the_api_names_its_server_and_its_tags(served: Served) -> None:
    document = (await served.http.get("/openapi.json", headers=served.bearer())).json()
    assert document["servers"][0]["url"] == "/"
    used = {tag for path in document["paths"].values() for one in path.values() for tag in one["tags"]}
    assert used == {tag["name"] for tag in document["tags"]}


async def test_the_description_of_the_api_is_shown_by_a_page_of_the_node_itself(served: Served) -> None:
    page = await served.http.get("/api")
    assert page.status_code == 200
    assert not re.search(r"(?:href|src)=\"(?:https?:)?//", page.text), "nothing is asked of another host"
    (script,) = re.findall(r'src="(/static/[^"]+\.js)"', page.text)
    text = (await served.http.get(script)).text
    assert "innerHTML" not in text
    assert "http://" not in text + page.text
    assert "https://" not in text + page.text


@pytest.mark.parametrize("path", ["/", "/api"])
@pytest.mark.parametrize(
    ("accepted", "kind"),
    [
        ("text/plain", "text/plain"),
        ("application/json", "text/plain"),
        ("text/html;q=0, */*", "text/plain"),
        ("*/*", "text/html"),
        ("text/plain, text/*;q=0.5", "text/html"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html"),
    ],
)
async def test_who_takes_no_html_gets_a_few_lines_of_text(served: Served, path: str, accepted: str, kind: str) -> None:
    page = await served.http.get(path, headers={"Accept": accepted})
    assert (page.status_code, page.headers["content-type"]) == (200, f"{kind}; charset=utf-8")
    assert "Accept" in page.headers["vary"].split(", ")
    if kind == "text/plain":
        assert "<" not in page.text
        assert "/openapi.json" in page.text
        assert 3 < len(page.text.splitlines()) < 12
    again = await served.http.get(path, headers={"Accept": accepted, "If-None-Match": page.headers["etag"]})
    assert again.status_code == 304


async def test_what_the_text_names_is_there(served: Served) -> None:
    text = (await served.http.get("/", headers={"Accept": "text/plain"})).text
    paths = re.findall(r"^(/\S+)", text, re.MULTILINE)
    assert len(paths) == 4
    for path in paths:
        assert (await served.http.get(path)).status_code in {200, 503}, path
