"""``rppam status`` on the host of a node that is down: whom it says to ask instead."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from rppam.cluster.store.hint_files import ADDRESSES_FILE
from tests.support import prefork
from tests.support.ports import free_port

pytestmark = pytest.mark.integration


class Pings(BaseHTTPRequestHandler):
    """A node, as far as a ping goes."""

    asked: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["Authorization"]))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def another(port: int) -> Iterator[list[tuple[str, str | None]]]:
    """Another host's node, at the same port; what it was asked."""
    asked: list[tuple[str, str | None]] = []
    server = HTTPServer(("127.0.0.2", port), type("Own", (Pings,), {"asked": asked}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def port(tmp_path: Path) -> int:
    """That of a node which is down, and has met two others."""
    port = free_port()
    redis = ("--redis", "127.0.0.1:1,connectTimeout=200")
    made = prefork.run("init", "--dir", str(tmp_path), "--node-name", "node1", "--port", str(port), *redis)
    assert made.returncode == 0, made.stderr
    met = {"node1": "127.0.0.1:5201", "node2": "127.0.0.2:5201", "node3": "127.0.0.3:5201"}
    (tmp_path / ADDRESSES_FILE).write_text(json.dumps(met))
    return port


def test_the_members_that_answer_are_named_with_what_to_type(tmp_path: Path, port: int) -> None:
    config = str(tmp_path / "rppam.config")
    with another(port) as asked:
        done = prefork.run("status", "--config", config)
    url = f"http://127.0.0.2:{port}"
    assert done.returncode == 2
    assert f"node2 at {url} answers: rppam status --url {url} --config {config}" in done.stderr
    assert "node3" not in done.stderr
    assert asked == [("/system/health/ping", None)], "no token goes to an address that was only noted"


def test_where_none_answers_it_says_where_they_were_last(tmp_path: Path, port: int) -> None:
    done = prefork.run("status", "--config", str(tmp_path / "rppam.config"), "--json")
    assert done.returncode == 2
    last = f"None of the others answers either: node2 at http://127.0.0.2:{port}, node3 at http://127.0.0.3:{port}"
    assert last in json.loads(done.stdout)["error"]


def test_another_node_that_was_named_is_no_reason_to_look_for_others(tmp_path: Path, port: int) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = prefork.run("status", "--config", str(tmp_path / "rppam.config"), "--url", url)
    assert "no node listens there" in done.stderr
    assert f":{port}" not in done.stderr
