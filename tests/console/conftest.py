"""A real cluster, its accounts, and a real browser in front of it."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.gateway.places import Sshd, sshd
from tests.support.lab import CALM, HOST, START_S, Lab, eventually
from tests.support.ports import free_port
from tests.support.redis_servers import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM: Final = Path("/usr/bin/chromium")
AXE: Final = Path(__file__).parents[2] / "console" / "node_modules" / "axe-core" / "axe.min.js"
FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PASSWORD: Final = "correct horse battery staple"
SHOTS: Final = os.environ.get("RPPAM_SHOTS", "")
"""A folder for pictures of every page; none are taken without it."""


class Balancer:
    """What stands before the nodes: one address, each connection to the first node that takes it."""

    def __init__(self, ports: list[int]) -> None:
        self.ports = ports
        self.port = free_port()
        self.served: int | None = None
        """The port that took the last connection."""
        self._listener = socket.create_server((HOST, self.port), backlog=64)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(caller,), daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        for port in self.ports:
            try:
                node = socket.create_connection((HOST, port), timeout=0.5)
            except OSError:
                continue
            self.served = port
            node.settimeout(None)
            threading.Thread(target=_pump, args=(node, caller), daemon=True).start()
            _pump(caller, node)
            return
        caller.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while part := source.recv(65_536):
            sink.sendall(part)
    for one in (source, sink):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()


class Watched:
    """A page whose console, requests and violations are looked at."""

    def __init__(self, page: "Page", origin: str) -> None:
        self.page, self.origin = page, origin
        self.flaws: list[str] = []
        page.on("console", lambda message: self._said(message.type, message.text))
        page.on("pageerror", lambda error: self.flaws.append(f"error: {error}"))
        page.on("request", lambda request: self._asked(request.url))

    def _said(self, kind: str, text: str) -> None:
        # A refusal is a line in the console, too; that it was meant is said by the test that provokes it.
        if kind in {"error", "warning"} and "Failed to load resource" not in text:
            self.flaws.append(f"{kind}: {text}")

    def _asked(self, url: str) -> None:
        if not url.startswith((self.origin, "data:", "blob:")):
            self.flaws.append(f"asked another host: {url}")

    def open(self, path: str) -> None:
        self.page.goto(f"{self.origin}/console/#/{path}")

    def sign_in(self, user: str, password: str = PASSWORD) -> None:
        self.open("")
        self.page.get_by_label("User name").fill(user)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("button", name="Sign out").wait_for()

    def shot(self, name: str) -> None:
        if SHOTS:
            self.page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)

    def axe(self) -> list[str]:
        """Violations of WCAG 2.2 AA."""
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found: dict[str, Any] = self.page.evaluate(
            "async () => await axe.run({runOnly: ['wcag2a','wcag2aa','wcag21a','wcag21aa','wcag22aa','best-practice']})"
        )
        return [f"{one['id']}: {node['html'][:160]}" for one in found["violations"] for node in one["nodes"]]


@contextmanager
def cluster(redis: Server, folder: Path, *, access: bool = False, nodes: int = 3) -> Iterator[Lab]:
    """Nodes with an administrator, an auditor and a user; with ``access`` a gateway on each."""
    with Lab(folder, redis.port, nodes=nodes, times=CALM, prefix=f"{folder.name}-{os.getpid()}:") as lab:
        for node in lab.nodes if access else ():
            node.config["access"] = {"enabled": True, "host": HOST, "port": free_port(), "gateways": 1}
        lab.start()
        for name, roles in (("sue", ["pam_admin"]), ("audrey", ["pam_auditor"]), ("bob", ["pam_user"])):
            body = {"username": name, "displayName": name.title(), "roles": roles, "password": PASSWORD}

            def made(body: dict[str, Any] = body) -> bool:
                # On a busy machine nodes that have just started may hold the database for a moment: 503, try again.
                answer = lab.nodes[0].ask("/api/v1/users", method="POST", send=body, token=lab.token, timeout_s=20)
                return answer.status in {201, 409}

            eventually(made, within_s=START_S, what=f"the account {name}", say=lab.logs)
        yield lab


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """OpenSSH's server, to be reached through a gateway."""
    with sshd(tmp_path_factory.mktemp("sshd") / "target") as one:
        yield one


@pytest.fixture(scope="module")
def lab(redis: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """See :func:`cluster`."""
    with cluster(redis, tmp_path_factory.mktemp("console")) as lab:
        yield lab


@pytest.fixture(scope="module")
def balancer(lab: Lab) -> Iterator[Balancer]:
    one = Balancer([node.port for node in lab.nodes])
    yield one
    one.close()


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not here: 'make servers' installs it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        one = play.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        yield one
        one.close()


OpenPage = Callable[..., Watched]


@pytest.fixture
def open_page(browser: "Browser", balancer: Balancer) -> Iterator[OpenPage]:
    """``open_page(...)``: a fresh profile with one page, closed after the test, which must be without flaws then."""
    pages: list[Watched] = []

    def make(host: str = HOST, **options: Any) -> Watched:
        options = {"viewport": {"width": 1280, "height": 900}, "locale": "en-GB", **options}
        context = browser.new_context(**options)
        context.set_default_timeout(30_000)
        one = Watched(context.new_page(), f"http://{host}:{balancer.port}")
        pages.append(one)
        return one

    yield make
    for one in pages:
        one.page.context.close()
    assert [flaw for one in pages for flaw in one.flaws] == []
