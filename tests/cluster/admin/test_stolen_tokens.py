"""Who can write Redis says that nodes are where he listens: no order, and no command, brings him anybody's token."""

import http.server
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

import redis as redis_client
from tests.support import prefork
from tests.support.lab import CALM, HOST, Lab, LabNode, eventually
from tests.support.lab_fixtures import KIND, MakeLab
from tests.support.redis_servers import PASSWORD, Server

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow]

THIEF = "127.0.0.9"


@contextmanager
def thief() -> Iterator[tuple[str, list[str]]]:
    """Where he listens, as an API, and every credential that came."""
    got: list[str] = []

    class Ear(http.server.BaseHTTPRequestHandler):
        def _any(self) -> None:
            told = (self.headers.get("Authorization"), self.headers.get("Cookie"))
            got.extend(f"{self.command} {self.path} {word}" for word in told if word)
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b'{"said": "done", "node": "node9", "clusterHealthy": true, "nodes": []}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = _any  # noqa: N815 - the library's names

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer((THIEF, 0), Ear) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{THIEF}:{server.server_port}", got
        server.shutdown()


@contextmanager
def proxy_to(port: int) -> Iterator[str]:
    """An address of the thief's that leads to the member port of a real node: whoever calls it reaches that node."""

    def pump(one: socket.socket, other: socket.socket) -> None:
        with one:
            with suppress(OSError):
                while data := one.recv(65536):
                    other.sendall(data)
            with suppress(OSError):
                other.shutdown(socket.SHUT_RDWR)

    pumps: list[threading.Thread] = []

    def serve() -> None:
        with suppress(OSError):
            while True:
                one, _ = listener.accept()
                try:
                    other = socket.create_connection((HOST, port))
                except OSError:  # that node is down
                    one.close()
                    continue
                for ends in ((one, other), (other, one)):
                    pumps.append(threading.Thread(target=pump, args=ends))
                    pumps[-1].start()

    with socket.create_server((THIEF, 0)) as listener:
        serving = threading.Thread(target=serve)
        serving.start()
        yield f"{THIEF}:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        serving.join()


@contextmanager
def forging(server: Server, lab: Lab, forged: dict[str, dict[str, str]]) -> Iterator[None]:
    """Each heartbeat of these nodes is replaced as it comes."""
    over = threading.Event()
    store = redis_client.Redis(port=server.port, password=PASSWORD)

    def work() -> None:
        while not over.wait(0.003):
            for node, fields in forged.items():
                key = f"{lab.prefix}heartbeat:{node}"
                with suppress(redis_client.RedisError, ValueError):
                    beat = store.get(key)
                    if isinstance(beat, bytes):
                        store.set(key, json.dumps(json.loads(beat) | fields, separators=(",", ":")), px=30_000)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        over.set()
        worker.join()
        store.close()


def rppam(asked: LabNode, *words: str) -> "subprocess.CompletedProcess[str]":
    """A command on the host of ``asked``."""
    return prefork.run(*words, environment=prefork.clean())


def order_all(lab: Lab, asked: LabNode, others: list[LabNode]) -> list[int]:
    """Everything that is for another node, over REST and by commands; the statuses of the orders that can be taken."""
    taken = [
        asked.ask(f"/api/v1/admin/nodes/{node.name}/maintenance", method="PUT", token=lab.token,
                  send={"maintenance": False}, timeout_s=20).status
        for node in others
    ]  # fmt: skip
    admin = "/api/v1/admin/cluster"
    asked.ask(f"{admin}/switchover", method="POST", token=lab.token, send={"target": "node9"}, timeout_s=20)
    asked.ask(f"{admin}/forget", method="POST", token=lab.token, send={"members": ["node9"]}, timeout_s=20)
    asked.ask(f"{admin}/pause", method="PUT", token=lab.token, send={"paused": False}, timeout_s=20)
    asked.ask("/api/v1/admin/nodes", token=lab.token, timeout_s=20)
    config = ("--config", str(asked.file))
    rppam(asked, "cluster", "switchover", "--to", "node9", *config)
    rppam(asked, "cluster", "forget", "node9", "--off", *config)
    rppam(asked, "cluster", "resume", *config)
    rppam(asked, "cluster", "maintenance", others[0].name, "off", *config)
    rppam(asked, "token", "keys", "list", "--nodes", *config)
    pushed = asked.folder / "pushed.config"
    pushed.write_text(json.dumps(asked.config | {"settings": {"security/sessions": {"idleMinutes": 17}}}))
    pushed.chmod(0o600)
    rppam(asked, "config", "push", str(pushed), "--yes")
    return taken


@pytest.mark.parametrize("how", ["beside a connection that stands", "on a way through his proxy"])
def test_a_writer_of_redis_gets_no_token_of_an_administrator(make_lab: MakeLab, how: str) -> None:
    with Server(KIND) as server, thief() as (url, got):
        lab = make_lab(times=CALM, redis_port=server.port, policy="majority")
        lab.start()
        leader = lab.wait_for_leader()
        others = [leader, next(node for node in lab.nodes if node is not leader)]
        (asked,) = (node for node in lab.nodes if node not in others)
        with proxy_to(others[0].config["cluster"]["memberPort"]) as one, \
             proxy_to(others[1].config["cluster"]["memberPort"]) as two:  # fmt: skip
            forged = {
                node.name: {"api_url": url, "member_address": f"{THIEF}:1" if "stands" in how else way}
                for node, way in zip(others, (one, two), strict=True)
            }
            with forging(server, lab, forged):
                time.sleep(1.5)
                if "proxy" in how:
                    asked.term()
                    asked.wait()
                    asked.start()
                    eventually(lambda: asked.status_of("/system/health/live") == 200, within_s=20, what="up again")
                    time.sleep(2)
                taken = order_all(lab, asked, others)
            lab.close()  # and with it what goes through the proxies
        assert got == [], "he has it"
        assert taken == [200, 200], "and the orders arrive all the same"
