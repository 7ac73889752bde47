"""Static files under the real application: what is served, with which headers, and that nothing else can be reached."""

import gzip
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rppam.app import api
from rppam.app.slices import routers
from rppam.http.bounds import ApiLimits
from rppam.http.static import StaticFileError, static_router
from tests.support.served import Served

PAGE = b"<!doctype html><link rel=stylesheet href='asset:page.css'><script src='asset:page.js'></script>"


def package(place: Path, name: str, **files_: bytes) -> str:
    """A package with these files in its folder ``web``."""
    (place / name / "web").mkdir(parents=True)
    (place / name / "__init__.py").write_text("")
    (place / name / "secret.txt").write_text("not for the world")
    for one, content in files_.items():
        (place / name / "web" / one.replace("__", ".")).write_bytes(content)
    return name


@pytest.fixture
async def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.syspath_prepend(str(tmp_path))
    css = b"@font-face { src: url(asset:font.woff2) }\n" + b"p { color: red }\n" * 100
    name = package(tmp_path, "a_web_slice", index__html=PAGE, page__css=css, page__js=b"1", font__woff2=b"\0")
    router = static_router(name, "web", "test", {"/a-page": "index.html"})
    monkeypatch.setattr(api, "routers", lambda: [*routers(), router])
    one = Served(tmp_path / "keys", ApiLimits())
    await one.start()
    yield one
    await one.stop()
    sys.modules.pop(name, None)


async def assets(served: Served) -> list[str]:
    return re.findall(r"'(/static/[^']+)'", (await served.http.get("/a-page")).text)


@pytest.mark.integration
async def test_a_page_and_its_files_are_public_and_kept_as_long_as_they_hold(served: Served) -> None:
    page = await served.http.get("/a-page")
    assert (page.status_code, page.headers["cache-control"]) == (200, "no-cache")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    style, script = await assets(served)
    assert re.fullmatch(r"/static/test/page\.[0-9a-f]{16}\.css", style)
    found = await served.http.get(style)
    assert found.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert re.search(r"url\(/static/test/font\.[0-9a-f]{16}\.woff2\)", found.text), "the hash covers what it refers to"
    assert (await served.http.get(script)).text == "1"
    assert "/static/" not in (await served.http.get("/openapi.json", headers=served.bearer())).text


@pytest.mark.integration
async def test_every_header_that_keeps_a_page_to_itself(served: Served) -> None:
    for path in ("/a-page", *await assets(served)):
        headers = (await served.http.get(path)).headers
        policy = dict(one.strip().partition(" ")[::2] for one in headers["content-security-policy"].split(";"))
        assert (policy["default-src"], policy["frame-ancestors"], policy["base-uri"]) == ("'none'",) * 3
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "camera=()" in headers["permissions-policy"]
        assert len(headers.get_list("content-security-policy")) == 1


@pytest.mark.integration
async def test_what_is_there_already_is_not_sent_again_and_packed_only_for_who_takes_it(served: Served) -> None:
    style, script = await assets(served)
    plain = await served.http.get(style, headers={"Accept-Encoding": "identity"})
    packed = await served.http.get(style, headers={"Accept-Encoding": "br, gzip;q=0.5"})
    assert ("content-encoding" in plain.headers, packed.headers["content-encoding"]) == (False, "gzip")
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) == len(gzip.compress(plain.content, 9, mtime=0))
    assert plain.headers["etag"] != packed.headers["etag"]
    assert plain.headers["vary"] == "Accept-Encoding"
    assert "content-encoding" not in (await served.http.get(style, headers={"Accept-Encoding": "gzip;q=0.0"})).headers
    assert "content-encoding" not in (await served.http.get(script)).headers, "packing would make it larger"
    for known in (packed.headers["etag"], f'"x", W/{packed.headers["etag"]}', "*"):
        again = await served.http.get(style, headers={"If-None-Match": known, "Accept-Encoding": "gzip"})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", packed.headers["etag"])
    assert (await served.http.get(style, headers={"If-None-Match": '"x"'})).status_code == 200


@pytest.mark.integration
async def test_only_reading_and_nothing_but_the_files(served: Served) -> None:
    style, _ = await assets(served)
    head = await served.http.head(style)
    assert (head.status_code, head.content) == (200, b"")
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        answer = await served.http.request(method, style)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    folder = "/static/test/"
    for path in (
        folder,
        "/static",
        "/index.html",
        f"{folder}page.css",
        f"{folder}index.html",
        f"{folder}../secret.txt",
        f"{folder}%2e%2e/secret.txt",
        f"{folder}..%2fsecret.txt",
        f"{folder}..%5csecret.txt",
        f"{folder}/etc/passwd",
        f"{style}/",
        f"{style}%00",
        f"{style}/../../test/page.css",
        style.upper(),
        style.replace(".css", ".0000.css"),
    ):
        asked = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        said = await served.raw(asked)
        assert said.startswith(b"HTTP/1.1 401 "), f"{path}: what is no file is closed like everything else"
        assert b"not for the world" not in said


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("page__html", b"<p onclick='x()'>", "' onclick=|onclick='?.* is inline script or style"),
        ("page__html", b"<script>alert(1)</script>", "'<script' at byte 0 is inline"),
        ("page__html", b"<style>p{}</style>", "'<style' at byte 0 is inline"),
        ("page__html", b"<a href='javascript:x'>", "'javascript:' at byte 9"),
        ("page__html", b"<img src='asset:none.png'>", "page.html refers to asset:none.png"),
        ("page__exe", b"", "page.exe.*expected a name such as page.css"),
        ("Page__html", b"", "Page.html.*expected a name"),
        ("page__svg", b"x" * (4 * 1024 * 1024 + 1), "4194305 bytes, at most 4194304"),
    ],
)
def test_a_file_that_cannot_be_served_safely_is_refused_at_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, content: bytes, why: str
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    name = package(tmp_path, f"bad_{abs(hash((file, content)))}", **{file: content})
    with pytest.raises(StaticFileError, match=why):
        static_router(name, "web", "test", {"/": file.replace("__", ".")})


def test_a_page_without_a_file_is_refused_at_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    name = package(tmp_path, "a_slice_without_pages")
    with pytest.raises(StaticFileError, match=r"the page / is to be index\.html, which"):
        static_router(name, "web", "test", {"/": "index.html"})
