"""The leader's program: what it is told, what its end means, and the examples against a server as the API."""

import asyncio
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from rppam.cluster.hook import runner
from rppam.cluster.hook.errors import HookFailed
from rppam.cluster.hook.runner import Event, Hook, HookTask, HookWatch

pytestmark = pytest.mark.integration
HOOKS = Path(__file__).resolve().parents[3] / "packaging" / "hooks"


def program(folder: Path, text: str) -> Path:
    file = folder / "hook"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return file


def hook(folder: Path, text: str, limit_s: float = 10.0) -> Hook:
    return Hook(program(folder, text), limit_s, {"RPPAM_NODE": "node1"})


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


async def test_it_is_told_the_event_and_nothing_of_the_node_s_own_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RPPAM_TOKEN", "a secret")
    await hook(tmp_path, f"env > {tmp_path}/told").call(Event.GAINED, 7)
    told = (tmp_path / "told").read_text()
    assert "RPPAM_EVENT=gained\n" in told
    assert "RPPAM_EPOCH=7\n" in told
    assert "RPPAM_NODE=node1\n" in told
    assert "RPPAM_TOKEN" not in told


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("echo first; echo no right >&2; exit 22", "gained: it ended with 22; its last words: no right"),
        ("kill -9 $$", "gained: it ended with -9"),
        ("head -c 3000000 /dev/zero | tr '\\0' x; exit 3", "gained: it ended with 3"),
    ],
)
async def test_an_end_that_is_no_success_is_told(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(HookFailed) as caught:
        await hook(tmp_path, text).call(Event.GAINED, 7)
    assert why in str(caught.value)
    assert len(str(caught.value)) < 1_000


async def test_one_that_hangs_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    with pytest.raises(HookFailed, match=r"did not end within 0\.3 s and was killed"):
        await hook(tmp_path, f"sleep 60 & echo $! > {tmp_path}/child; wait", limit_s=0.3).call(Event.HELD, 7)
    child = (tmp_path / "child").read_text().strip()
    await eventually(lambda: not is_alive(child))


def is_alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_a_standby_finds_what_could_not_be_run(tmp_path: Path) -> None:
    good = hook(tmp_path, "exit 0")
    assert await HookWatch(good).look() == ""
    for change, why in (
        (lambda: good.program.chmod(0o777), "others than its owner may change it"),
        (lambda: good.program.chmod(0o644), "this account may not run it"),
        (good.program.unlink, "no such program here"),
    ):
        change()
        with pytest.raises(HookFailed, match=why):
            await HookWatch(good).look()
    program(tmp_path, "").write_text("no program")
    with pytest.raises(HookFailed, match="cannot be started"):
        await good.call(Event.GAINED, 7)


async def test_a_leader_calls_until_it_succeeds_then_goes_on_and_says_when_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "AGAIN_S", 0.05)
    monkeypatch.setattr(runner, "HOLD_EVERY_S", 0.05)
    calls = tmp_path / "calls"
    text = f"echo $RPPAM_EVENT $RPPAM_EPOCH >> {calls}; [ -e {tmp_path}/ready ] || {{ echo away; exit 1; }}"
    task = HookTask(hook(tmp_path, text))
    task.start(7)
    await eventually(lambda: isinstance(task.trouble, HookFailed))
    assert "its last words: away" in str(task.trouble)
    (tmp_path / "ready").touch()
    await eventually(lambda: "held 7" in calls.read_text())
    assert task.trouble == ""
    await task.stop()
    await eventually(lambda: "lost 7" in calls.read_text())
    said = calls.read_text().split("\n")[:-1]
    assert said[0] == "gained 7"
    assert said[-1] == "lost 7"
    assert said == sorted(said, key=["gained 7", "held 7", "lost 7"].index)


async def test_the_end_of_leadership_waits_for_no_program_and_kills_it(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    task = HookTask(hook(tmp_path, f"[ $RPPAM_EVENT = lost ] && exit 0; echo $$ > {pid}; sleep 60"))
    task.start(7)
    await eventually(lambda: pid.exists() and pid.read_text().strip() != "")
    async with asyncio.timeout(2):
        await task.stop()
    assert not is_alive(pid.read_text().strip())
    await eventually(lambda: task._leaving is not None and task._leaving.done())


class Asked(NamedTuple):
    line: str
    headers: dict[str, str]
    body: str


@contextmanager
def cloud(answers: dict[str, str]) -> Iterator[tuple[str, list[Asked]]]:
    """Its URL, and what it was asked. ``answers``: by method and path; all else is 403."""
    asked: list[Asked] = []

    class Api(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            line = f"{self.command} {self.path}"
            asked.append(Asked(line, {name.lower(): value for name, value in self.headers.items()}, body))
            text = answers.get(line)
            self.send_response(403 if text is None else 200)
            self.end_headers()
            self.wfile.write((text or "no").encode())

        do_GET = do_POST = do_PUT = _answer  # noqa: N815 - names of the library

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()
            thread.join()


def run(name: str, event: str, **told: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "RPPAM_EVENT": event, "RPPAM_EPOCH": "7", "RPPAM_NODE": "node1", **told}
    return subprocess.run([HOOKS / name], env=environment, capture_output=True, text=True, timeout=30, check=False)


def test_the_example_for_hetzner_assigns_the_address_and_only_where_it_has_to(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a-token\n")
    answers = {"GET /meta/instance-id": "42", "POST /v1/floating_ips/9/actions/assign": "{}"}
    with cloud(answers) as (url, asked):
        told = {"API": f"{url}/v1", "METADATA": f"{url}/meta", "FLOATING_IP_ID": "9", "TOKEN_FILE": str(token)}
        assert run("hetzner.sh", "lost", **told).returncode == 0
        assert asked == []
        done = run("hetzner.sh", "gained", **told)
        assert (done.returncode, done.stdout) == (0, "floating IP 9 is with server 42\n"), done.stderr
        assert asked[-1].line == "POST /v1/floating_ips/9/actions/assign"
        assert json.loads(asked[-1].body) == {"server": 42}
        assert asked[-1].headers["authorization"] == "Bearer a-token"
        for holder, posts in ((42, 1), (41, 2)):
            answers["GET /v1/floating_ips/9"] = json.dumps({"floating_ip": {"id": 9, "server": holder}})
            assert run("hetzner.sh", "held", **told).returncode == 0
            assert sum(one.line.startswith("POST") for one in asked) == posts
        del answers["POST /v1/floating_ips/9/actions/assign"]
        refused = run("hetzner.sh", "gained", **told)
        assert refused.returncode != 0
        assert "403" in refused.stderr
        assert "a-token" not in refused.stderr


def test_the_example_for_aws_signs_with_the_credentials_of_the_instance_s_role() -> None:
    meta = "/latest/meta-data"
    credentials = {
        "Code": "Success",
        "AccessKeyId": "AKIDEXAMPLE",
        "SecretAccessKey": "s/e+c=ret",
        "Token": "session==",
    }
    answers = {
        "PUT /latest/api/token": "imds",
        f"GET {meta}/instance-id": "i-0abc",
        f"GET {meta}/placement/region": "eu-central-1",
        f"GET {meta}/iam/security-credentials/": "rppam-role",
        f"GET {meta}/iam/security-credentials/rppam-role": json.dumps(credentials, indent=2),
        "POST /": "<AssociateAddressResponse/>",
    }
    with cloud(answers) as (url, asked):
        told = {"API": url, "METADATA": url, "ALLOCATION_ID": "eipalloc-7"}
        assert run("aws.sh", "lost", **told).returncode == 0
        assert asked == []
        done = run("aws.sh", "gained", **told)
        assert (done.returncode, done.stdout) == (0, "eipalloc-7 is with i-0abc\n"), done.stderr
        assert all(one.headers["x-aws-ec2-metadata-token"] == "imds" for one in asked[1:-1])
        last = asked[-1]
        assert "Action=AssociateAddress" in last.body
        assert "AllowReassociation=true&AllocationId=eipalloc-7&InstanceId=i-0abc" in last.body
        assert last.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
        assert "/eu-central-1/ec2/aws4_request" in last.headers["authorization"]
        assert last.headers["x-amz-security-token"] == "session=="
        del answers["POST /"]
        assert run("aws.sh", "gained", **told).returncode != 0


def test_the_example_for_azure_leads_the_route_here_and_only_where_it_has_to() -> None:
    table = "/subscriptions/s1/resourceGroups/g/providers/Microsoft.Network/routeTables/t"
    own = "/meta/instance/network/interface/0/ipv4/ipAddress/0/privateIpAddress?api-version=2021-02-01&format=text"
    identity = "/meta/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fmanagement.azure.com%2F"
    place = f"{table}/routes/rppam?api-version=2024-05-01"
    answers = {
        f"GET {own}": "10.0.1.11",
        f"GET {identity}": json.dumps({"access_token": "a-token", "expires_in": "3599"}),
        f"PUT {place}": "{}",
    }
    with cloud(answers) as (url, asked):
        told = {"API": url, "METADATA": f"{url}/meta", "ROUTE_TABLE": table, "RPPAM_VIRTUAL_IP": "10.9.0.50/32"}
        assert run("azure.sh", "lost", **told).returncode == 0
        assert asked == []
        done = run("azure.sh", "gained", **told)
        assert (done.returncode, done.stdout) == (0, "route rppam leads to 10.0.1.11\n"), done.stderr
        assert [one.headers["metadata"] for one in asked[:-1]] == ["true", "true"]
        assert asked[-1].headers["authorization"] == "Bearer a-token"
        assert json.loads(asked[-1].body)["properties"] == {
            "nextHopType": "VirtualAppliance",
            "addressPrefix": "10.9.0.50/32",
            "nextHopIpAddress": "10.0.1.11",
        }
        for holder, puts in (("10.0.1.11", 1), ("10.0.1.12", 2)):
            answers[f"GET {place}"] = json.dumps({"properties": {"nextHopIpAddress": holder}}, indent=2)
            assert run("azure.sh", "held", **told).returncode == 0
            assert sum(one.line.startswith("PUT") for one in asked) == puts
        assert run("azure.sh", "gained", **told | {"RPPAM_VIRTUAL_IP": "fd00::50/64"}).returncode == 0
        assert json.loads(asked[-1].body)["properties"]["addressPrefix"] == "fd00::50/128"
        del answers[f"PUT {place}"]
        refused = run("azure.sh", "gained", **told)
        assert refused.returncode != 0
        assert "403" in refused.stderr
        assert "a-token" not in refused.stderr


def test_the_example_for_google_takes_the_address_from_whoever_has_it_and_waits_until_it_is_here() -> None:
    project = "/v1/projects/p1"
    own, other = (
        f"{project}/zones/{zone}/instances/{name}" for zone, name in (("eu-w3-a", "pam1"), ("eu-w3-b", "pam2"))
    )
    taken, given = (
        f"{project}/zones/{zone}/operations/{name}/wait" for zone, name in (("eu-w3-b", "d"), ("eu-w3-a", "a"))
    )
    address = f"GET {project}/regions/eu-w3/addresses/pam"
    delete = f"POST {other}/deleteAccessConfig?networkInterface=nic0&accessConfig=external-nat"
    add = f"POST {own}/addAccessConfig?networkInterface=nic0"
    answers = {
        "GET /meta/project/project-id": "p1",
        "GET /meta/instance/zone": "projects/77/zones/eu-w3-a",
        "GET /meta/instance/name": "pam1",
        "GET /meta/instance/service-accounts/default/token": json.dumps({"access_token": "a-token", "expires_in": 99}),
        delete: json.dumps({"kind": "compute#operation", "name": "d", "status": "RUNNING"}, indent=2),
        f"POST {taken}": json.dumps({"status": "DONE"}),
        add: json.dumps({"kind": "compute#operation", "name": "a", "status": "RUNNING"}, indent=2),
        f"POST {given}": json.dumps({"status": "DONE"}),
    }

    def held_by(instance: str | None) -> None:
        users = {"users": [f"https://www.googleapis.com/compute{instance}"]} if instance else {}
        answers[address] = json.dumps({"address": "34.1.2.3", "name": "pam", **users}, indent=2)

    with cloud(answers) as (url, asked):
        told = {"API": f"{url}/v1", "METADATA": f"{url}/meta", "ADDRESS": "pam"}
        assert run("gcp.sh", "lost", **told).returncode == 0
        assert asked == []
        held_by(other)
        done = run("gcp.sh", "gained", **told)
        assert (done.returncode, done.stdout) == (0, "pam is with zones/eu-w3-a/instances/pam1\n"), done.stderr
        assert [one.line for one in asked[5:]] == [delete, f"POST {taken}", add, f"POST {given}"]
        assert {one.headers.get("metadata-flavor") for one in asked[:4]} == {"Google"}
        assert {one.headers["authorization"] for one in asked[4:]} == {"Bearer a-token"}
        assert json.loads(asked[-2].body) == {"type": "ONE_TO_ONE_NAT", "name": "external-nat", "natIP": "34.1.2.3"}
        for holder, steps in ((own, []), (None, [add, f"POST {given}"])):
            held_by(holder)
            asked.clear()
            assert run("gcp.sh", "held", **told).returncode == 0
            assert [one.line for one in asked[5:]] == steps
        answers[f"POST {given}"] = json.dumps({"status": "DONE", "error": {"errors": [{"code": "IN_USE"}]}})
        refused = run("gcp.sh", "gained", **told)
        assert (refused.returncode, "IN_USE" in refused.stderr) == (1, True)
        del answers[add]
        refused = run("gcp.sh", "gained", **told)
        assert refused.returncode != 0
        assert "a-token" not in refused.stderr
