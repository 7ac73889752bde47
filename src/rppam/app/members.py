"""What a node needs where members vote: its vote, the file that keeps it, and the link to the others.

A node votes when it belongs to a cluster: ``cluster.enabled``, Redis, and the cluster key. Who votes is not read from
the config but from the file that every member keeps; a node without one asks the leader to be made a member.
"""

import logging
import socket
from typing import Final, NamedTuple

from rppam.cluster.consensus.admission import AdmissionState
from rppam.cluster.consensus.lease import Identity
from rppam.cluster.consensus.messages import NO_CANDIDACY, PersistedVote
from rppam.cluster.consensus.record import Seal
from rppam.cluster.consensus.rules import VoteRules
from rppam.cluster.consensus.timing import Timing
from rppam.cluster.consensus.vote import Voter
from rppam.cluster.driver.driver import Driver
from rppam.cluster.driver.member_gateway import MemberWays
from rppam.cluster.driver.vouching import NodeVouching, Vouching, WitnessVouching
from rppam.cluster.link.key_files import (
    cluster_key_files,
    read_cluster_keys,
    read_sealing_keys,
    sealing_key_files,
    sealing_key_traces,
    tell_left_out,
)
from rppam.cluster.link.link import TlsMemberLink
from rppam.cluster.link.local_peer import MemberOptions
from rppam.cluster.store.hint_files import ADDRESSES_FILE, VOUCH_FILE, AddressBook, VouchNote
from rppam.cluster.store.home import Home
from rppam.cluster.store.redis_store import RecordSeal
from rppam.cluster.store.vote_file import FILE_NAME, FilePromises
from rppam.config.advertised import member_address as advertised_address
from rppam.config.settings import Settings
from rppam.crypto.store_mac import StoreMac
from rppam.kernel.clock import Clock
from rppam.kernel.entropy import Entropy

log: Final = logging.getLogger("rppam.node")

NO_KEY: Final = (
    "members do not vote here, the Redis record alone decides who leads: there is no cluster key at {path}. "
    "Where other nodes have one, take it from there (there rppam init --bundle FILE, here rppam init --join FILE); for "
    "a whole cluster without one rppam init makes it"
)


NO_SEALING_KEY: Final = (
    "there is no sealing key at {path}: the cluster key, which every witness has, also seals what tells or changes "
    "people's rights. If the other nodes have one, copy it here (rppam init --bundle there); else introduce one, a "
    "step at a time: rppam cluster key begin --sealing"
)


STRAY_SEALING_KEY: Final = (
    "a sealing key lies on this host, {path}: a witness must not have it, as whoever takes this host can then forge "
    "people's rights. Remove it, and change it on the nodes: rppam cluster key begin --sealing"
)


class MemberParts(NamedTuple):
    """A member's vote and its ways."""

    voter: Voter
    link: TlsMemberLink
    promises: FilePromises
    book: AddressBook
    mac: StoreMac
    """Of what members write into Redis; it follows the files of the key."""
    orders_mac: StoreMac
    """Of what nodes say there of orders, by the sealing key: a witness has no use for it. It follows the files, too."""
    vouching: Vouching

    @property
    def seal(self) -> Seal:
        """What they sign leadership records with."""
        return RecordSeal(self.mac)

    @property
    def ways(self) -> MemberWays:
        """As the driver needs them."""
        return MemberWays(self.link, self.promises, self.book, self.vouching)


def votes(settings: Settings) -> bool:
    """Whether this node has a vote."""
    return settings.cluster.enabled and settings.redis.enabled and settings.auth.cluster_key_path.exists()


def member_address(settings: Settings) -> str:
    """Where others reach this node's member link."""
    return advertised_address(settings, hostname=socket.gethostname())


def member_parts(
    settings: Settings,
    boot_id: str,
    timing: Timing,
    clock: Clock,
    entropy: Entropy,
    url: str = "",
    home: Home | None = None,
    *,
    is_witness: bool = False,
) -> MemberParts | None:
    """The parts, or ``None`` where the record alone decides. Raises what the files raise.

    ``url``: where this node's REST API answers; empty of a witness, which has none. ``home``: the host to whose members
    the promise file has to belong; by default, this one.
    """
    if not votes(settings):
        return None
    promises = FilePromises(settings.node.data_dir / FILE_NAME, home)
    found, unwritable = promises.begin()
    kept = found or PersistedVote(NO_CANDIDACY, None)
    if promises.strange:
        log.error("%s", promises.strange)
    elif promises.is_taken_over:
        log.info("the promise file of an earlier release is taken over as this host's own")
    if kept.membership is None:
        log.info(
            "this node belongs to no cluster yet and asks the leader to be made a member. If it is the first node of a "
            "new cluster, found it with: rppam cluster found"
        )
    auth, cluster_id = settings.auth, settings.cluster.cluster_id
    files = cluster_key_files(auth.cluster_key_path)  # before they are read: what changes after it is seen
    sealing_files = sealing_key_files(auth.sealing_key_path, auth.cluster_key_path)
    keys = read_cluster_keys(auth.cluster_key_path)
    sealing = read_sealing_keys(auth.sealing_key_path, auth.cluster_key_path, tell_left_out)
    mac = StoreMac(cluster_id, keys.own, keys.also)
    orders_mac = StoreMac(cluster_id, *sealing.believed)
    link = TlsMemberLink(
        MemberOptions(
            node_name=settings.node.node_name,
            boot_id=boot_id,
            cluster_id=cluster_id,
            cluster_key=keys.own,
            also_believed=keys.also,
            sealing=sealing.all,
            host=settings.cluster.member_host,
            port=settings.cluster.member_port,
            advertised=member_address(settings),
            url=url,
        ),
        clock=clock,
        entropy=entropy,
    )
    link.keys.follow(files, link.keys.use, mac.use)
    link.keys.follow(sealing_files, link.keys.use_sealing, orders_mac.use)
    me = Identity(settings.node.node_name, boot_id, timing)
    voter = Voter(me, kept, VoteRules(timing), clock.now(), strange=promises.strange, problem=unwritable)
    book = AddressBook(settings.node.data_dir / ADDRESSES_FILE)
    vouching = _vouching(settings, orders_mac, is_witness=is_witness)
    return MemberParts(voter, link, promises, book, mac, orders_mac, vouching)


def _vouching(settings: Settings, orders_mac: StoreMac, *, is_witness: bool) -> Vouching:
    """A witness has no key to vouch with."""
    if is_witness:
        return WitnessVouching(VouchNote(settings.node.data_dir / VOUCH_FILE))
    return NodeVouching(orders_mac)


async def tell_namesake(driver: Driver, link: TlsMemberLink | None) -> None:
    """Where this node was turned away for its name: let the one that has the name tell of it in its health.

    It would not hear of a node that has only read. Raises nothing, and takes a second at most.
    """
    namesake = driver.store.namesake
    if link is None or namesake is None or not namesake.member_address or not driver.turned.done():
        return
    if driver.turned.result().standing is AdmissionState.NAME_TAKEN:
        await link.greet_namesake(namesake.member_address)


def warnings(settings: Settings) -> tuple[str, ...]:
    """What an administrator should know about the votes."""
    if settings.cluster.enabled and settings.redis.enabled and not votes(settings):
        return (NO_KEY.format(path=settings.auth.cluster_key_path),)
    if votes(settings) and not settings.auth.sealing_key_path.exists():
        return (NO_SEALING_KEY.format(path=settings.auth.sealing_key_path),)
    return ()


def log_warnings(settings: Settings, licence_problem: str) -> None:
    """Log them, and why the licence is not used, as a node starts."""
    for sentence in filter(None, (*warnings(settings), licence_problem)):
        log.warning("%s", sentence)


def witness_warnings(settings: Settings) -> tuple[str, ...]:
    """What should not be on the host of a witness."""
    return tuple(STRAY_SEALING_KEY.format(path=path) for path in sealing_key_traces(settings.auth.sealing_key_path))
