"""``rppam lb`` before real nodes: HAProxy and nginx take the files; neither a switchover nor a stop fails a request."""

import http.client
import json
import os
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from rppam.kernel.secret import Secret
from rppam.setup.balancer import BalancerError, Shared, Wishes, haproxy, keepalived, nginx, nodes_of
from tests.setup.made import rppam
from tests.support.authority import Authority
from tests.support.balancers import command_of, nginx_file, where_is
from tests.support.lab import CALM, HOST, Lab
from tests.support.ports import free_port
from tests.support.redis_servers import SERVERS, Server, need

REDIS_8: Final = next(kind for kind in SERVERS if kind.name == "redis-8")
PLAIN: Final = ("node1=http://10.0.1.11:7101", "node2=http://10.0.1.12:7101")
SECURE: Final = ("node1=https://10.0.1.11:7101", "node2=https://[fd00::2]:7101")


def program(name: str) -> str:
    found = where_is(name)
    if found is None:
        pytest.skip(f"{name} is not on this machine; make servers installs it")
    return found


def wishes(nodes: tuple[str, ...] = PLAIN, **more: Any) -> Wishes:
    values: dict[str, Any] = {"listen": "*:8080", "certificate": None, "key": None, "authority": None, "tls_name": ""}
    return Wishes(nodes_of(nodes), **values | {"leader_alone": False} | more)


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        ((), "expected at least one"),
        (("node1",), "expected NAME="),
        (("node1=ftp://h:1",), "expected NAME="),
        (("a b=http://h:1",), "expected NAME="),
        (("n=http://h:1/path",), "expected NAME="),
        (("n=http://h:99999",), "expected NAME="),
        (("n=http://h\n    evil:1",), "expected NAME="),
        (("n=http://300.1.1.1:7101",), "numbers that are not an IPv4 address"),
        (("n=http://h:1", "n=http://h:2"), "found one twice"),
        (("n=http://h:1", "m=http://h:1"), "found one twice"),
        (("n=http://h:1", "m=https://h:2"), "found both"),
    ],
)
def test_nodes_that_make_no_sense(nodes: tuple[str, ...], told: str) -> None:
    with pytest.raises(BalancerError, match=told):
        nodes_of(nodes)


def test_what_a_file_needs_and_what_could_break_out_of_it_is_refused() -> None:
    with pytest.raises(BalancerError, match="--ca: the nodes speak https"):
        haproxy(wishes(SECURE))
    with pytest.raises(BalancerError, match="--tls-name: nginx checks one name"):
        nginx(wishes(SECURE, authority=Path("/ca.pem")))
    with pytest.raises(BalancerError, match="--leader: nginx asks no health"):
        nginx(wishes(leader_alone=True))
    with pytest.raises(BalancerError, match="--key"):
        nginx(wishes(certificate=Path("/a.pem")))
    for path in ("relative.pem", "/with blank.pem", "/a;b", "/a\nb"):
        with pytest.raises(BalancerError, match="--certificate: expected an absolute path"):
            haproxy(wishes(certificate=Path(path)))
    for listen in ("8080;", "*:8080 ssl", "\n", ""):
        with pytest.raises(BalancerError, match="--listen"):
            haproxy(wishes(listen=listen))
    shared = Shared("10.0.1.60/24", "eth0", "", (), 71, 100, "https://127.0.0.1/")
    for wrong in ({"address": "10.0.1.60"}, {"interface": "eth 0"}, {"own": "10.0.1.8"}, {"peers": ("x",)},
                  {"probe": "https://a b"}):  # fmt: skip
        with pytest.raises(BalancerError, match="--"):
            keepalived(shared._replace(**wrong))


@pytest.mark.integration
def test_the_programs_themselves_take_every_kind_of_file(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    shown = authority.certify("pam.example.com")
    pem, key = tmp_path / "pam.pem", tmp_path / "pam.key"
    pem.write_bytes(shown.pem() + shown.key_pem())
    key.write_bytes(shown.key_pem())
    tls: dict[str, Any] = {"certificate": pem, "key": key, "authority": authority.path, "tls_name": "pam.example.com"}
    for number, wished in enumerate(
        (
            wishes(),
            wishes(proxy=True),
            wishes(SECURE, **tls, proxy=True),
            wishes(leader_alone=True),
            wishes(SECURE, **tls),
            wishes(SECURE, **tls | {"tls_name": ""}),
        )
    ):
        file = tmp_path / f"haproxy-{number}.cfg"
        file.write_text(haproxy(wished))
        done = subprocess.run([program("haproxy"), "-c", "-f", file], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "WARNING" not in done.stderr
    for number, wished in enumerate((wishes(), wishes(SECURE, **tls))):
        file = nginx_file(tmp_path / f"nginx-{number}", nginx(wished))
        words = [program("nginx"), "-t", "-c", str(file), "-p", str(tmp_path)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.integration
@pytest.mark.skipif(os.geteuid() != 0, reason="an interface of its own needs root")
def test_keepalived_takes_its_file(tmp_path: Path) -> None:
    file = tmp_path / "keepalived.conf"
    shared = Shared("10.0.1.60/24", "eth0", "10.0.1.8", ("10.0.1.9",), 71, 100, "https://127.0.0.1/system/health/ping")
    for made in (shared, shared._replace(own="", peers=())):
        file.write_text(keepalived(made))
        judged = f"{program('keepalived')} -t -l -f {file}"
        alone = f"ip link add eth0 type veth peer name eth1 && ip link set eth0 up && {judged}"
        done = subprocess.run(["unshare", "-n", "sh", "-c", alone], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + done.stdout


@contextmanager
def balancer(kind: str, folder: Path, lab: Lab, *words: str, own: str = "", works: bool = True) -> Iterator[int]:
    """The real one in front of the lab, made by the command; its port. ``own``: where it comes from; ``works``: whether
    it is to reach the nodes."""
    port, file = free_port(), folder / kind
    nodes = [word for one in lab.nodes for word in ("--node", f"{one.name}=http://{HOST}:{one.port}")]
    rppam("lb", kind, *nodes, "--listen", f"{HOST}:{port}", "--out", str(file), *words)
    if own:
        file.write_text(file.read_text().replace("backend nodes\n", f"backend nodes\n    source {own}\n"))
    command = command_of(kind, program(kind), file)
    with (folder / f"{kind}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until(lambda: not works or ask(port, lab.token)[0] == 200, 15)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def until(holds: Any, within_s: float) -> None:
    ends = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.1)


def ask(port: int, token: Secret | str, path: str = "/system/health/ping", **headers: str) -> tuple[int, str]:
    """Status and answering node, or body; 0 for no answer."""
    text = token.reveal() if isinstance(token, Secret) else token
    request = urllib.request.Request(f"http://{HOST}:{port}{path}")
    request.add_header("Authorization", f"Bearer {text}")
    for name, value in headers.items():
        request.add_header(name.replace("_", "-"), value)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            body = json.loads(answer.read())
            return answer.status, str(body.get("node", body)) if isinstance(body, dict) else str(body)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except (OSError, ValueError, http.client.HTTPException) as error:
        return 0, repr(error)


class Traffic:
    """Requests without a pause, from four threads, as long as ``with`` lasts."""

    def __init__(self, port: int, token: Secret | str) -> None:
        self.seen: Counter[tuple[int, str]] = Counter()
        self._port, self._token, self._over = port, token, threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(4)]

    def _run(self, number: int) -> None:
        path = ("/system/health/ping", "/api/v1/users")[number % 2]
        while not self._over.is_set():
            code, said = ask(self._port, self._token, path)
            self.seen[(code, "" if code == 200 else said)] += 1
            time.sleep(0.005)

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    @property
    def failed(self) -> dict[tuple[int, str], int]:
        return {key: count for key, count in self.seen.items() if key[0] != 200}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    need(REDIS_8)
    with Server(REDIS_8) as server, Lab(tmp_path_factory.mktemp("lab"), server.port, nodes=2, times=CALM) as made:
        for node in made.nodes:
            node.config["api"]["trustedProxies"] = ["127.0.0.1"]
        made.start()
        yield made


@pytest.mark.integration
@pytest.mark.server
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["haproxy", "nginx"])
def test_a_switchover_and_a_stop_fail_no_request(kind: str, lab: Lab, tmp_path: Path) -> None:
    program(kind)
    with balancer(kind, tmp_path, lab) as port:
        with Traffic(port, lab.token) as traffic:
            time.sleep(1)
            first = lab.health()["leaderNode"]
            words = ("cluster", "switchover", "--config", str(lab.nodes[0].file))
            assert rppam(*words).returncode == 0
            time.sleep(2)
            leader = next(node for node in lab.nodes if node.name != first)
            leader.term()
            time.sleep(1)
        assert sum(traffic.seen.values()) > 200
        assert traffic.failed == {}
        leader.wait()
        leader.start()
        lab.wait_until_healthy()
        assert login_from("127.0.0.5", port) == 401
        until(lambda: "127.0.0.5" in ask(port, lab.token, "/api/v1/audit/events?action=login.fail")[1], 10)
        assert "192.0.2." not in ask(port, lab.token, "/api/v1/audit/events?action=login.fail")[1]


@pytest.mark.integration
@pytest.mark.server
@pytest.mark.slow
def test_behind_haproxy_the_proxy_protocol_names_the_caller_and_without_it_the_nodes_refuse(tmp_path: Path) -> None:
    """The balancer has an address of its own, so that this host's other callers are none."""
    need(REDIS_8)
    with Server(REDIS_8) as redis, Lab(tmp_path / "lab", redis.port, nodes=2, times=CALM) as lab:
        for node in lab.nodes:
            node.config["api"] |= {"trustedProxies": ["127.0.0.9"], "forwardedHeader": "PROXY"}
        lab.start()
        with balancer("haproxy", tmp_path, lab, "--proxy-protocol", own="127.0.0.9") as port:
            with Traffic(port, lab.token) as traffic:
                time.sleep(1)
                assert rppam("cluster", "switchover", "--config", str(lab.nodes[0].file)).returncode == 0
                time.sleep(2)
            assert sum(traffic.seen.values()) > 100
            assert traffic.failed == {}
            assert login_from("127.0.0.5", port) == 401
            until(lambda: "127.0.0.5" in ask(port, lab.token, "/api/v1/audit/events?action=login.fail")[1], 10)
            told = ask(port, lab.token, "/api/v1/audit/events?action=login.fail")[1]
            assert not [one for one in ("192.0.2.", "127.0.0.9") if one in told]
        (tmp_path / "without").mkdir()
        with balancer("haproxy", tmp_path / "without", lab, own="127.0.0.9", works=False) as port:
            until(lambda: "a connection from 127.0.0.9 is refused: 'api.trustedProxies'" in lab.logs(), 15)
            # Until its checks have found it out, it passes requests on, and hears nothing.
            until(lambda: ask(port, lab.token)[0] == 503, 15)


def login_from(address: str, port: int) -> int:
    """A wrong log-in by a caller who claims other addresses; its status."""
    link = http.client.HTTPConnection(HOST, port, timeout=10, source_address=(address, 0))
    claimed = {"X-Forwarded-For": "192.0.2.1", "Forwarded": "for=192.0.2.2", "Content-Type": "application/json"}
    link.request("POST", "/api/v1/auth/login", json.dumps({"username": "nobody", "password": "wrong"}), claimed)
    status = link.getresponse().status
    link.close()
    return status
