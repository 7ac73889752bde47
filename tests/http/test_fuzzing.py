"""The run that asks a node all kinds of things finds what it is for: answers that the document does not have."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.http.fuzzing import TOKEN, fuzz

pytestmark = pytest.mark.integration

DIGIT: Final = {"type": "integer", "minimum": 1, "maximum": 9}
LIMIT: Final = {"name": "limit", "in": "query", "required": True, "schema": DIGIT}
THING: Final = {"type": "object", "required": ["limit"], "properties": {"limit": {"type": "integer"}}}
PROBLEM: Final = {"description": "No", "content": {"application/problem+json": {"schema": {"type": "object"}}}}
DOCUMENT: Final[dict[str, Any]] = {
    "openapi": "3.1.0",
    "info": {"title": "things", "version": "1"},
    "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    "paths": {
        "/things": {
            "get": {
                "operationId": "things",
                "security": [{"token": []}],
                "parameters": [LIMIT],
                "responses": {
                    "200": {"description": "Done", "content": {"application/json": {"schema": THING}}},
                    "400": PROBLEM,
                    "401": PROBLEM,
                },
            }
        }
    },
}


class Things(BaseHTTPRequestHandler):
    """Does as its document says, but for what is planted."""

    planted = ""

    def do_GET(self) -> None:
        if self.headers["Authorization"] != "Bearer right":
            self.answer(401, {})
            return
        found = parse_qs(urlsplit(self.path).query, keep_blank_values=True).get("limit", [])
        if len(found) != 1 or found[0] not in set("123456789"):
            self.answer(400, {})
        elif self.planted == "a 500" and found == ["9"]:
            self.answer(500, {})
        else:
            self.answer(200, {"limit": int(found[0])})

    def answer(self, status: int, body: Any) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if status == 200 else "application/problem+json")
        self.send_header("Content-Length", str(len(text)))
        if status == 405:
            self.send_header("Allow", "GET, HEAD, POST" if self.planted == "Allow" else "GET, HEAD")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def __getattr__(self, name: str) -> Callable[[], None]:
        """``do_POST`` and whatever other method is asked for."""
        if not name.startswith("do_"):
            raise AttributeError(name)
        return self.do_GET if name == "do_HEAD" else lambda: self.answer(405, {})

    def log_request(self, *_: object) -> None:
        pass


@contextmanager
def serving(planted: str) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Planted", (Things,), {"planted": planted}))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("planted", ["", "a 500", "Allow"])
def test_what_is_planted_is_found_and_nothing_else(
    tmp_path: Path, planted: str, capfd: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(DOCUMENT))
    with serving(planted) as url:
        code = fuzz(document, url, 7, 0, tmp_path, {TOKEN: "right"}, "--max-examples", "20")
    said = capfd.readouterr().out
    assert code == (1 if planted else 0), said
    assert ("curl" in said) is bool(planted), said
