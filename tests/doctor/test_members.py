"""What the doctor says about members that vote: real links with the right and the wrong key, real files, real nodes."""

import json
import socket
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from rppam.cluster.consensus.heartbeat import Heartbeat, Role
from rppam.cluster.consensus.membership import QuorumPolicy
from rppam.cluster.link.codec import PROTOCOL
from rppam.cluster.link.connection import FrameWriter
from rppam.cluster.link.credentials import Credentials
from rppam.cluster.store.heartbeat_text import heartbeat_to_text
from rppam.cluster.store.vote_file import FILE_NAME, found
from rppam.doctor.check_members import look_at_ground
from rppam.doctor.member_probe import MemberProber
from rppam.doctor.member_rules import ProbeOutcome, ground_findings
from rppam.kernel.secret import Secret
from rppam.kernel.system_entropy import SystemEntropy
from tests.cluster.link.links import CLUSTER, KEY, OTHER_KEY, eventually as settled, make_node
from tests.doctor.ailing import QUICK, Doctor, answering, black_hole
from tests.setup.made import rppam
from tests.support.lab import CALM, HOST, Lab
from tests.support.ports import free_port
from tests.support.redis_servers import PASSWORD, SERVERS, Server, need

pytestmark = pytest.mark.integration

REDIS_8: Final = next(kind for kind in SERVERS if kind.name == "redis-8")


# --- probing ----------------------------------------------------------------------------------------------------


def prober(key: Secret = KEY, cluster: str = CLUSTER, name: str = "node1") -> MemberProber:
    return MemberProber(name, cluster, key, SystemEntropy())


@asynccontextmanager
async def member(name: str, **options: Any) -> Any:
    node = make_node(name, **options)
    await node.link.start(node.listener)
    try:
        yield node
    finally:
        await node.link.stop()


async def test_a_member_answers_and_neither_is_harmed_nor_complains() -> None:
    async with member("node2") as node:
        probe = await prober().probe("node2", node.address, timeout_s=3)
        assert (probe.outcome, probe.name) == (ProbeOutcome.ANSWERED, "node2")
        assert node.link.refused == {}
        assert node.link.complaints == ()


async def test_its_own_port_is_known_without_being_taken_for_a_twin() -> None:
    async with member("node1") as node:
        probe = await prober().probe("node1", node.address, timeout_s=3)
        assert probe.outcome is ProbeOutcome.ANSWERED
        assert node.link.duplicate == ""
        assert node.link.refused == {}


async def test_a_standing_connection_is_not_replaced_by_a_knock() -> None:
    async with member("node1") as one, member("node2") as two:
        one.link.know({"node2": two.address})
        one.link.expect(["node2"])
        await settled(lambda: one.link.peers["node2"].is_connected)
        assert (await prober().probe("node2", two.address, timeout_s=3)).outcome is ProbeOutcome.ANSWERED
        assert one.ask("node2") is not None
        await settled(lambda: two.vote_requests)
        assert one.link.peers["node2"].is_connected


@pytest.mark.parametrize(
    ("options", "outcome", "words"),
    [
        ({"key": OTHER_KEY}, ProbeOutcome.OTHER_KEY, "not made with this node's cluster key"),
        ({"cluster": "cluster-002"}, ProbeOutcome.OTHER_CLUSTER, "'cluster-001' there, 'cluster-002' here"),
    ],
)
async def test_a_wrong_key_is_told_from_a_wrong_cluster_id(
    options: dict[str, Any], outcome: ProbeOutcome, words: str
) -> None:
    async with member("node2") as node:
        probe = await prober(**options).probe("node2", node.address, timeout_s=3)
    assert probe.outcome is outcome
    assert words in probe.evidence


async def test_another_member_at_the_address() -> None:
    async with member("node3") as node:
        probe = await prober().probe("node2", node.address, timeout_s=3)
    assert (probe.outcome, probe.evidence) == (ProbeOutcome.OTHER_NODE, "the node 'node3' answers there")


@pytest.mark.parametrize("answer", [b"rppam-member %d something new", b"no version %d"])
async def test_another_version_of_the_protocol(answer: bytes) -> None:
    server = Credentials(KEY, cluster_id=CLUSTER, node_name="node2").server
    with answering(FrameWriter().pack(answer % (PROTOCOL + 1)), tls=server) as port:
        probe = await prober().probe("node2", f"127.0.0.1:{port}", timeout_s=3)
    assert probe.outcome is ProbeOutcome.OTHER_VERSION
    assert probe.evidence == f"version {PROTOCOL + 1} of the member protocol there, {PROTOCOL} here"


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (FrameWriter().pack(b"no twin 1"), ProbeOutcome.TURNED_AWAY),
        (FrameWriter().pack(b"good morning"), ProbeOutcome.STRANGER),
        (b"\xff" * 64, ProbeOutcome.STRANGER),
    ],
)
async def test_strange_answers_to_the_greeting(answer: bytes, outcome: ProbeOutcome) -> None:
    server = Credentials(KEY, cluster_id=CLUSTER, node_name="node2").server
    with answering(answer, tls=server) as port:
        assert (await prober().probe("node2", f"127.0.0.1:{port}", timeout_s=3)).outcome is outcome


async def test_nobody_a_firewall_a_mute_and_a_web_server() -> None:
    assert (await prober().probe("node2", f"127.0.0.1:{free_port()}", timeout_s=2)).outcome is ProbeOutcome.REFUSED
    with black_hole() as port:
        assert (await prober().probe("node2", f"127.0.0.1:{port}", timeout_s=0.5)).outcome is ProbeOutcome.SILENT
    with answering() as port:
        assert (await prober().probe("node2", f"127.0.0.1:{port}", timeout_s=0.5)).outcome is ProbeOutcome.MUTE
    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n", hang=False) as port:
        assert (await prober().probe("node2", f"127.0.0.1:{port}", timeout_s=2)).outcome is ProbeOutcome.STRANGER
    assert (await prober().probe("node2", "no-such-host.invalid:1", timeout_s=5)).outcome is ProbeOutcome.NAME_UNKNOWN
    assert (await prober().probe("node2", "a b", timeout_s=1)).outcome is ProbeOutcome.NAME_UNKNOWN


# --- the clock and the disk --------------------------------------------------------------------------------------


def ground(root: Path, *, clock: str = "tsc", flags: str = "", mounts: str = "") -> list[str]:
    place = root / "sys/devices/system/clocksource/clocksource0"
    place.mkdir(parents=True)
    (place / "current_clocksource").write_text(f"{clock}\n")
    (place / "available_clocksource").write_text("tsc hpet acpi_pm \n")
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/cpuinfo").write_text(f"processor\t: 0\nflags\t\t: fpu {flags}\n")
    (root / "proc/self/mountinfo").write_text(mounts)
    return [one.code for one in ground_findings(look_at_ground(Path("/var/lib/rppam"), root))]


@pytest.mark.parametrize(
    ("clock", "flags", "codes"),
    [
        ("tsc", "constant_tsc nonstop_tsc", []),
        ("tsc", "constant_tsc tsc_known_freq", []),
        ("tsc", "tsc", ["RD-935"]),
        ("hpet", "constant_tsc nonstop_tsc", ["RD-935"]),
        ("kvm-clock", "", []),
        ("arch_sys_counter", "", []),
    ],
)
def test_clock_sources(tmp_path: Path, clock: str, flags: str, codes: list[str]) -> None:
    assert ground(tmp_path, clock=clock, flags=flags) == codes


def test_the_file_system_of_the_longest_mount_counts_and_the_latest_of_two(tmp_path: Path) -> None:
    disk = "22 1 8:1 / / rw - ext4 /dev/vda1 rw"
    memory = "30 22 0:9 / /var/lib/rppam rw - tmpfs tmpfs rw"
    real = "31 30 8:2 / /var/lib/rppam rw shared:1 - xfs /dev/vdb rw"
    steady = "constant_tsc nonstop_tsc"
    assert ground(tmp_path / "a", flags=steady, mounts=f"{disk}\n{memory}\n") == ["RD-936"]
    assert ground(tmp_path / "b", flags=steady, mounts=f"{disk}\n{memory}\n{real}\n") == []
    assert ground(tmp_path / "c", flags=steady, mounts=f"{disk}\nnonsense\n") == []


def test_this_host_can_be_looked_at() -> None:
    memory = look_at_ground(Path("/dev/shm/rppam"))  # a path only; nothing is written there
    assert (memory.file_system, memory.mount_point) == ("tmpfs", "/dev/shm")


# --- the command -------------------------------------------------------------------------------------------------


def doctor_of(folder: Path, *, key: str = "ab" * 32, more: dict[str, Any] | None = None, redis: str = "") -> Doctor:
    """A member's config, with a cluster key and a data folder, and no Redis unless given."""
    (folder / "data").mkdir(mode=0o700, exist_ok=True)
    path = folder / "cluster.key"
    path.write_text(f"{key}\n")
    path.chmod(0o600)
    cluster = {"enabled": True, "memberHost": HOST, "memberPort": free_port()}
    return Doctor(
        folder, redis or f"127.0.0.1:{free_port()},{QUICK}",
        more={"cluster": cluster, "auth": {"clusterKeyPath": str(path)}, **(more or {})},
    )  # fmt: skip


def found_on(doctor: Doctor, names: tuple[str, ...], policy: str = "last-man-standing") -> None:
    data = Path(doctor.config["node"]["dataDir"])
    homes = {name: data if name == "node1" else data.parent / name for name in names}
    for home in homes.values():
        home.mkdir(exist_ok=True)
    found(homes, QuorumPolicy(policy), SystemEntropy())


def test_a_key_that_is_no_key(tmp_path: Path) -> None:
    found_ = doctor_of(tmp_path, key="four words that leak").findings()
    assert "expected 64 hexadecimal digits" in found_["RD-604"]["evidence"]
    assert "words that leak" not in json.dumps(found_)
    assert found_["RD-604"]["severity"] == "error"


def test_no_key_at_all_leaves_the_node_without_a_vote(tmp_path: Path) -> None:
    doctor = doctor_of(tmp_path)
    (tmp_path / "cluster.key").unlink()
    told = doctor.findings()["RD-604"]
    assert told["severity"] == "warning"
    assert "has no vote" in told["what"]


def test_a_node_in_no_list_of_members(tmp_path: Path) -> None:
    told = doctor_of(tmp_path).findings()["RD-902"]
    assert "no list of members on disk, and no member of a cluster is seen" in told["evidence"]
    assert "rppam cluster found" in told["fix"]


@pytest.mark.parametrize(
    ("content", "words"),
    [("", "an empty file"), ("rppam-promise9\nx", "another version"), ("nonsense", "not a whole file")],
)
def test_a_promise_file_that_cannot_be_read(tmp_path: Path, content: str, words: str) -> None:
    doctor = doctor_of(tmp_path)
    (tmp_path / "data" / FILE_NAME).write_text(content)
    told = doctor.findings()
    assert words in told["RD-901"]["evidence"]
    assert "RD-902" not in told


def test_a_taken_member_port(tmp_path: Path) -> None:
    doctor = doctor_of(tmp_path)
    with socket.create_server((HOST, 0)) as taken:
        doctor.config["cluster"]["memberPort"] = taken.getsockname()[1]
        doctor.write()
        assert "is in use" in doctor.findings()["RD-904"]["evidence"]


SENTINEL: Final = ",serviceName=mymaster"


@pytest.mark.parametrize(
    ("names", "policy", "given", "redis", "code"),
    [
        (("node1", "node2"), "last-man-standing", None, SENTINEL, "RD-931"),
        (("node1", "node2"), "majority", None, SENTINEL, "RD-932"),
        (("node1", "node2", "node3"), "majority", None, SENTINEL, ""),
        (("node1", "node2", "node3"), "majority", "majority", "", ""),
        (("node1", "node2"), "majority", "majority", "", "RD-933"),
        (("node1", "node2"), "last-man-standing", None, "", ""),
        (("node1", "node2", "node3"), "last-man-standing", "majority", "", "RD-934"),
        (("node1", "node2", "node3"), "majority", None, "", "RD-934"),
    ],
)
def test_policies(
    tmp_path: Path, names: tuple[str, ...], policy: str, given: str | None, redis: str, code: str
) -> None:
    doctor = doctor_of(tmp_path, redis=f"127.0.0.1:{free_port()},{QUICK}{redis}")
    if given:
        doctor.config["cluster"]["quorumPolicy"] = given
        doctor.write()
    found_on(doctor, names, policy)
    told = {name for name in doctor.findings() if "RD-931" <= name <= "RD-934"}
    mixed = {"RD-934"} if redis and policy == "last-man-standing" else set()  # majority is the default behind Sentinel
    assert told == ({code} if code else set()) | mixed


def test_a_data_folder_in_memory(tmp_path: Path) -> None:
    doctor = doctor_of(tmp_path)
    doctor.config["node"]["dataDir"] = "/dev/shm/rppam-that-is-not-there"
    doctor.write()
    assert "on tmpfs, mounted at /dev/shm" in doctor.findings()["RD-936"]["evidence"]


def test_a_witness_is_asked_for_what_a_witness_needs(tmp_path: Path) -> None:
    doctor = doctor_of(tmp_path)
    found_on(doctor, ("node1", "node2", "node3"))
    doctor.file = tmp_path / "rppam-witness.config"
    del doctor.config["api"]
    doctor.write()
    told = doctor.findings()
    assert not {"RD-603", "RD-605", "RD-607", "RD-608", "RD-701"} & set(told), told
    assert "RD-937" in told
    assert "database" not in doctor.progress
    as_node = doctor.findings("--node")
    assert "RD-603" in as_node


@pytest.fixture
def server() -> Iterator[Server]:
    need(REDIS_8)
    with Server(REDIS_8) as running:
        yield running


@pytest.mark.server
@pytest.mark.slow
def test_live_members_reach_each_other_until_they_do_not(tmp_path: Path, server: Server) -> None:
    with Lab(tmp_path / "lab", server.port, nodes=2, times=CALM) as lab:
        lab.start()
        first, second = lab.nodes
        assert nines(first.file) == {}
        assert lab.health()["clusterHealthy"], "a doctor's probe changes nothing"
        assert "twin" not in first.log()

        other = tmp_path / "other.key"
        other.write_text("cd" * 32 + "\n")
        other.chmod(0o600)
        stranger = json.loads(first.file.read_text())
        stranger["auth"]["clusterKeyPath"] = str(other)
        first.file.write_text(json.dumps(stranger))
        told = nines(first.file)
        assert "node2" in told["RD-947"]["evidence"], "what others write says nothing to who has another key"
        assert "RD-905" in told, "nor is it this node's own key any more"
        first.write_config()

        second.kill()
        down = nines(first.file)
        assert "connection refused" in down["RD-911"]["evidence"]


@pytest.mark.server
def test_of_a_heartbeat_that_nobody_with_the_key_wrote_the_name_is_told_and_nothing_that_it_says(
    tmp_path: Path, server: Server
) -> None:
    doctor = doctor_of(tmp_path, redis=f"{HOST}:{server.port},password={PASSWORD},{QUICK}")
    keyless = Heartbeat("node7", "0" * 16, 1, Role.STANDBY, 1, "9.9.9", "forged.host", "http://forged.api", 0, 0, 0)
    prefix = "rppam:"
    for name, text in (("node7", heartbeat_to_text(keyless)), ("no\x1b[31mname", "{}")):
        server.ask("SADD", f"{prefix}members", name)
        server.ask("SET", f"{prefix}heartbeat:{name}", text, "PX", 30_000)
    told = doctor.findings()
    assert told["RD-947"]["evidence"] == "under node7"
    assert "if it runs: node7" in told["RD-906"]["evidence"]
    assert "no member of a cluster is seen" in told["RD-902"]["evidence"], "it takes nobody in"
    assert "forged" not in json.dumps(told)
    assert "\\u001b" not in json.dumps(told)


def nines(file: Path) -> dict[str, dict[str, str]]:
    said = json.loads(rppam("doctor", "--config", str(file), "--json", expect=None).stdout)
    return {one["code"]: one for one in said["findings"] if one["code"].startswith("RD-9")}
