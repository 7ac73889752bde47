"""This node as a member that votes: its key, what it keeps on disk, its port, and the way to every other member.

Where the others are is read from their heartbeats in Redis. Each is knocked at, all at once, as far as the greeting;
nobody is asked for a vote. What it does not promise: that the others reach this node; run the doctor there as well.
"""

import asyncio
import errno
import os
import socket
import sys
from collections.abc import Mapping
from typing import Final

from rppam.catalogue.table import finding
from rppam.cluster.consensus.membership import Membership
from rppam.cluster.errors import ClusterKeyUnusable, PromiseFileBroken
from rppam.cluster.health.disk_room import unable_findings
from rppam.cluster.link.credentials import read_cluster_key
from rppam.cluster.link.key_files import read_cluster_keys, read_sealing_keys, sealing_key_traces
from rppam.cluster.store.hint_files import ADDRESSES_FILE, AddressBook
from rppam.cluster.store.home import is_container
from rppam.cluster.store.vote_file import FILE_NAME, FilePromises
from rppam.config.endpoint import Endpoint
from rppam.config.settings import Settings
from rppam.doctor.host_facts import look_at_ground
from rppam.doctor.member_probe import MemberProber
from rppam.doctor.member_rules import (
    ProbeOutcome,
    Shown,
    VoteFacts,
    ground_findings,
    knock_finding,
    vote_findings,
)
from rppam.doctor.report import Report
from rppam.kernel.finding import Severity
from rppam.kernel.secret import Secret
from rppam.kernel.system_entropy import SystemEntropy

KNOCK_S: Final = 3.0


class MemberCheck:
    """The checks of one member, run by :meth:`own`, then :meth:`port`, then :meth:`others`."""

    def __init__(self, settings: Settings, report: Report, *, is_witness: bool) -> None:
        self._settings = settings
        self._report = report
        self._is_witness = is_witness
        self._key: Secret | None = None
        self._electorate: Membership | None = None
        self._is_kept_readable = True

    def own(self) -> None:
        """The cluster key, the promise file, the clock and the disk."""
        self._key = self._cluster_key()
        self._sealing_key()
        self._electorate = self._kept()
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
        knock = await self._knocker(self._key).knock(settings.node.node_name, address, timeout_s=KNOCK_S)
        if knock.outcome is ProbeOutcome.ANSWERED:
            return True
        if runs:
            self._report.add(finding("RD-905", f"{address}: {knock.evidence}"))
        elif problem := _port_problem(host, port):
            self._report.add(finding("RD-904", f"{problem}; what answers there: {knock.evidence}"))
        elif self._is_witness:
            self._report.add(finding("RD-937", f"{address}: {knock.evidence}"))
        return False

    async def others(self, shown: Mapping[str, Shown] | None, *, runs: bool, keyless: tuple[str, ...] = ()) -> None:
        """The list of members against what they show, the policy, and a knock at each."""
        settings = self._settings
        me = settings.node.node_name
        others = None if shown is None else {name: one for name, one in shown.items() if name != me}
        connection = settings.redis.connection
        if self._key is None or not self._is_kept_readable:
            return
        facts = VoteFacts(
            node=me,
            runs=runs,
            electorate=self._electorate,
            policy=settings.cluster.quorum_policy,
            is_policy_given="cluster.quorumPolicy" in settings.given,
            is_behind_sentinel=connection is not None and connection.service_name is not None,
            is_witness=self._is_witness,
            others=others,
            keyless=keyless,
        )
        self._report.add(*vote_findings(facts))
        await self._knock_at(self._key, others or {})

    async def _knock_at(self, key: Secret, others: Mapping[str, Shown]) -> None:
        """At where they say that they are, or where this node found them last if they say nothing that counts."""
        book = AddressBook(self._settings.node.data_dir / ADDRESSES_FILE).load()
        members = self._electorate.members if self._electorate else ()
        me = self._settings.node.node_name
        where = {name: book[name] for name in members if name in book and name != me and name not in others}
        where |= {
            name: one.heartbeat.member_address
            for name, one in others.items()
            if one.heartbeat.member_address and not one.heartbeat.leaving
        }
        if not where:
            return
        knocker = self._knocker(key)
        knocks = await asyncio.gather(
            *(knocker.knock(name, address, timeout_s=KNOCK_S) for name, address in where.items())
        )
        for knock in knocks:
            found = knock_finding(knock, is_fresh=knock.name in others and others[knock.name].is_fresh)
            if found is not None:
                self._report.add(found)

    def _knocker(self, key: Secret) -> MemberProber:
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
                self._report.add(finding("RD-604", evidence, severity=Severity.WARNING, what=what))
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
        return None if kept is None else kept.electorate


def is_witness(settings: Settings, name: str) -> bool:
    """Whether a config is a witness's: by the name of its file, or because the members know it as one."""
    if "witness" in name:
        return True
    try:
        kept = FilePromises(settings.node.data_dir / FILE_NAME).load()
    except PromiseFileBroken:
        return False
    electorate = None if kept is None else kept.electorate
    return electorate is not None and settings.node.node_name in electorate.body.witnesses


def _local(host: str | None) -> str:
    """Where this host reaches what listens on ``host``."""
    return {None: "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host or "127.0.0.1")


def _port_problem(host: str | None, port: int) -> str | None:
    """Why a member could not listen there; ``None`` when it could. Binds for a moment, and never listens."""
    try:
        places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        return f"cluster.memberHost {host!r} cannot be resolved: {error.strerror}"
    for family, kind, number, _, place in places:
        with socket.socket(family, kind, number) as probe:
            if sys.platform != "win32":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(place)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    return f"{host or '*'}:{port} is in use"
                if host is not None and error.errno != errno.EACCES:  # privileged ports are the service's business
                    return f"{host}:{port} cannot be listened on: {error.strerror}"
    return None
