"""This node as a member that votes: its key, what it keeps on disk, its port, and the way to every other member.

Their heartbeats in Redis say where the others are. All are probed at once, as far as the greeting; none is asked for a
vote. It does not promise that the others reach this node; run the doctor there as well.
"""

import asyncio
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rppam.catalogue.table import finding
from rppam.cluster.consensus.membership import Membership
from rppam.cluster.driver.datadir import is_in_use
from rppam.cluster.errors import ClusterKeyUnusable, PromiseFileBroken
from rppam.cluster.health.disk_room import unable_findings
from rppam.cluster.link.credentials import read_cluster_key
from rppam.cluster.link.key_files import read_cluster_keys, read_sealing_keys, sealing_key_traces
from rppam.cluster.store.hint_files import ADDRESSES_FILE, AddressBook
from rppam.cluster.store.home import is_container
from rppam.cluster.store.vote_file import FILE_NAME, FilePromises
from rppam.config.endpoint import Endpoint
from rppam.config.settings import Settings
from rppam.doctor.check_host import port_problem
from rppam.doctor.check_node import STOPPED
from rppam.doctor.member_probe import MemberProber
from rppam.doctor.member_rules import (
    GroundFacts,
    ProbeOutcome,
    Shown,
    VoteFacts,
    ground_findings,
    probe_finding,
    vote_findings,
)
from rppam.doctor.report import Report
from rppam.kernel.files import mounted
from rppam.kernel.finding import Severity
from rppam.kernel.secret import Secret
from rppam.kernel.system_entropy import SystemEntropy

PROBE_S: Final = 3.0
_FETCH: Final = (
    "Where other nodes have one, take it from there: there rppam init --bundle FILE, here rppam init --join FILE; then "
    "restart the node."
)
_CLOCKS: Final = "sys/devices/system/clocksource/clocksource0"
_TRUSTED: Final = {"nonstop_tsc", "tsc_reliable", "tsc_known_freq"}
"""Any of these besides ``constant_tsc``: the processor, or the hypervisor, vouches for its counter."""


class MemberCheck:
    """The checks of one member, run by :meth:`own`, then :meth:`port`, then :meth:`others`."""

    def __init__(self, settings: Settings, report: Report, *, is_witness: bool) -> None:
        self._settings = settings
        self._report = report
        self._is_witness = is_witness
        self._key: Secret | None = None
        self._membership: Membership | None = None
        self._is_kept_readable = True

    def own(self) -> None:
        """The cluster key, the promise file, the clock and the disk."""
        self._key = self._cluster_key()
        self._sealing_key()
        self._membership = self._kept()
        self._report.add(*ground_findings(look_at_ground(self._settings.node.data_dir)))

    async def port(self, *, runs: bool) -> bool:
        """The member port of this host: free while the node stands, listening while it runs.

        Returns whether this member listens there.
        """
        if self._key is None:
            return False
        settings = self._settings
        host, port = settings.cluster.member_host, settings.cluster.member_port
        address = str(Endpoint(_local(host), port))
        probe = await self._prober(self._key).probe(settings.node.node_name, address, timeout_s=PROBE_S)
        if probe.outcome is ProbeOutcome.ANSWERED:
            return True
        if runs:
            self._report.add(finding("RD-905", f"{address}: {probe.evidence}"))
        elif is_in_use(settings.node.data_dir):
            if not self._report.has(STOPPED):
                self._report.add(finding("RD-905", f"{address}: {probe.evidence}"))
        elif problem := port_problem(host, port, "cluster.memberHost"):
            self._report.add(finding("RD-904", f"{problem}; what answers there: {probe.evidence}"))
        elif self._is_witness:
            self._report.add(finding("RD-937", f"{address}: {probe.evidence}"))
        return False

    async def others(self, shown: Mapping[str, Shown] | None, *, runs: bool, keyless: tuple[str, ...] = ()) -> None:
        """The list of members against what they show, the policy, and a probe at each."""
        settings = self._settings
        me = settings.node.node_name
        others = None if shown is None else {name: one for name, one in shown.items() if name != me}
        connection = settings.redis.connection
        if self._key is None or not self._is_kept_readable:
            return
        facts = VoteFacts(
            node=me,
            runs=runs,
            membership=self._membership,
            policy=settings.cluster.quorum_policy,
            is_policy_given="cluster.quorumPolicy" in settings.given,
            is_behind_sentinel=connection is not None and connection.service_name is not None,
            is_witness=self._is_witness,
            others=others,
            probed=frozenset(self._book()),
            keyless=keyless,
        )
        self._report.add(*vote_findings(facts))
        await self._probe_all(self._key, others or {})

    async def _probe_all(self, key: Secret, others: Mapping[str, Shown]) -> None:
        """At where they say that they are, or where this node found them last if they say nothing that counts."""
        book = self._book()
        members = self._membership.members if self._membership else ()
        me = self._settings.node.node_name
        where = {name: book[name] for name in members if name in book and name != me and name not in others}
        where |= {
            name: one.heartbeat.member_address
            for name, one in others.items()
            if one.heartbeat.member_address and not one.heartbeat.leaving
        }
        if not where:
            return
        prober = self._prober(key)
        probes = await asyncio.gather(
            *(prober.probe(name, address, timeout_s=PROBE_S) for name, address in where.items())
        )
        for probe in probes:
            found = probe_finding(probe, is_fresh=probe.name in others and others[probe.name].is_fresh)
            if found is not None:
                self._report.add(found)

    def _book(self) -> Mapping[str, str]:
        """Where this node found the other members last."""
        return AddressBook(self._settings.node.data_dir / ADDRESSES_FILE).load()

    def _prober(self, key: Secret) -> MemberProber:
        settings = self._settings
        also: tuple[Secret, ...] = ()
        sealing: tuple[Secret, ...] = ()
        try:
            also = read_cluster_keys(settings.auth.cluster_key_path).also
            sealing = read_sealing_keys(settings.auth.sealing_key_path, settings.auth.cluster_key_path).all
        except ClusterKeyUnusable as error:  # the key itself could be read, so it is one of those beside it
            self._report.add(finding("RD-604", str(error)))
        name, cluster = settings.node.node_name, settings.cluster.cluster_id
        return MemberProber(name, cluster, key, SystemEntropy(), also=also, sealing=sealing)

    def _sealing_key(self) -> None:
        """On a node there is one, on a witness none."""
        path = self._settings.auth.sealing_key_path
        traces = sealing_key_traces(path)
        if self._is_witness and traces:
            self._report.add(finding("RD-952", f"found {', '.join(map(str, traces))}"))
        if not self._is_witness and self._key is not None and path not in traces:
            given = "" if "auth.sealingKeyPath" in self._settings.given else ", its usual place"
            self._report.add(finding("RD-951", f"there is no file {path} (auth.sealingKeyPath{given})"))

    def _cluster_key(self) -> Secret | None:
        """The key; without one a node runs without a vote, and a witness does not run."""
        path = self._settings.auth.cluster_key_path
        if not os.path.lexists(path):
            given = "" if "auth.clusterKeyPath" in self._settings.given else ", its usual place"
            evidence = f"there is no file {path} (auth.clusterKeyPath{given})"
            if self._is_witness:
                self._report.add(finding("RD-604", evidence))
            else:
                what = "There is no cluster key here, so this node has no vote: the Redis record alone decides."
                self._report.add(finding("RD-604", evidence, severity=Severity.WARNING, what=what, fix=_FETCH))
            return None
        try:
            key = read_cluster_key(path)
        except ClusterKeyUnusable as error:
            self._report.add(finding("RD-604", str(error)))
            return None
        self._report.hide(key)
        return key

    def _kept(self) -> Membership | None:
        promises = FilePromises(self._settings.node.data_dir / FILE_NAME)
        if not promises.home.machine:
            why = "this is a container" if is_container() else "neither /etc/machine-id nor the one of D-Bus has one"
            self._report.add(finding("RD-621", why))
        try:
            kept = promises.load()
        except PromiseFileBroken as error:
            self._is_kept_readable = False
            self._report.add(finding("RD-901", str(error)))
            return None
        self._report.add(*unable_findings(promises.strange, ""))
        return None if kept is None else kept.membership


def is_witness(settings: Settings, name: str) -> bool:
    """Return whether a config is a witness's: by the name of its file, or by the list of members on disk."""
    if "witness" in name:
        return True
    try:
        kept = FilePromises(settings.node.data_dir / FILE_NAME).load()
    except PromiseFileBroken:
        return False
    membership = None if kept is None else kept.membership
    return membership is not None and settings.node.node_name in membership.body.witnesses


def look_at_ground(data_dir: Path, root: Path = Path("/")) -> GroundFacts:
    """What this host's clock and the disk of ``data_dir`` are made of, as Linux says it in /sys and /proc.

    What cannot be read stays empty: on other systems, in containers without /sys, or where it is denied. ``root`` is
    where /proc and /sys are.
    """
    mount_point, file_system = mounted(data_dir, _text(root / "proc/self/mountinfo"))
    return GroundFacts(
        clock_source=_text(root / _CLOCKS / "current_clocksource").strip(),
        clock_sources=tuple(_text(root / _CLOCKS / "available_clocksource").split()),
        is_boot_time=hasattr(time, "CLOCK_BOOTTIME") or os.name == "nt",
        is_steady=_is_steady(_text(root / "proc/cpuinfo")),
        data_dir=str(data_dir),
        file_system=file_system,
        mount_point=mount_point,
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _is_steady(cpuinfo: str) -> bool | None:
    """By the flags of the first processor; ``None`` where they are not shown."""
    flags = next((line.partition(":")[2].split() for line in cpuinfo.splitlines() if line.startswith("flags")), None)
    return None if flags is None else "constant_tsc" in flags and not _TRUSTED.isdisjoint(flags)


def _local(host: str | None) -> str:
    """Where this host reaches what listens on ``host``."""
    return {None: "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host or "127.0.0.1")
