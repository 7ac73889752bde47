"""The parts of a node, chosen and plugged together. One parts list; nothing here decides."""

import asyncio
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from rppam import __version__
from rppam.access.accounts.passwords import Passwords
from rppam.access.accounts.service import Accounts
from rppam.access.accounts.store import SqlAccounts
from rppam.access.lockouts.guard import Guard
from rppam.access.sessions.service import Login
from rppam.access.sessions.store import SqlSessions
from rppam.access.tokens.service import KeyFolder, KeySet, Tokens
from rppam.app.api import ApiParts, build_app
from rppam.app.backend_availability import BackendAvailability
from rppam.app.beside import Beside
from rppam.app.boot_context import BootContext, inherit
from rppam.app.checkup import Checkup, checkup_of
from rppam.app.forwarding import own_url, relay_of
from rppam.app.limits import limiter_of
from rppam.app.members import (
    MemberParts,
    log_warnings,
    member_address,
    member_parts,
    votes,
    warnings as member_warnings,
)
from rppam.app.node import Node, Surface, bounded
from rppam.app.offers import offered
from rppam.app.own_link import WithOwnLink
from rppam.app.redis import RedisParts, redis_parts
from rppam.app.shared import Shared, SharingSurface, shared_of
from rppam.app.shared_values import values_of_node
from rppam.app.vip import address_duty, configured_address
from rppam.cluster.admin.faults import NodeFaults
from rppam.cluster.admin.forwarding import Carrier, LinkRelay
from rppam.cluster.admin.ports import Administration, Relay
from rppam.cluster.admin.service import NodeAdministration
from rppam.cluster.consensus.admission import Admission
from rppam.cluster.consensus.election import Election
from rppam.cluster.consensus.failure_detector import FailureDetector
from rppam.cluster.consensus.lease import Identity
from rppam.cluster.consensus.node import NodeCore
from rppam.cluster.consensus.operator_state import OperatorState
from rppam.cluster.consensus.timing import Timing
from rppam.cluster.driver.datadir import DataDir
from rppam.cluster.driver.driver import Driver
from rppam.cluster.driver.leader_tasks import LeaderTasks
from rppam.cluster.driver.node_tasks import SideTask
from rppam.cluster.driver.operator_state import FILE_NAME as ORDERS_FILE, OperatorStateFile, OperatorStateKeeper
from rppam.cluster.health.model import SafetyLevel
from rppam.cluster.health.ports import NodeStatus
from rppam.cluster.health.view import NodeFacts, NodeProbes, NodeView
from rppam.cluster.link.link import TlsMemberLink
from rppam.cluster.store.epoch_register import SqlEpochRegister
from rppam.cluster.store.hint_files import LIVES_FILE, FormerLives
from rppam.cluster.store.memory_store import MemoryStore
from rppam.cluster.store.ports import LeadershipStore
from rppam.cluster.store.redis_store import RedisLeadershipStore
from rppam.cluster.vip.follower import AddressTask
from rppam.config.settings import Settings
from rppam.db.clock import DatabaseClock
from rppam.db.condition import Condition
from rppam.db.database import Database
from rppam.foundation import ControlFoundation, Foundation
from rppam.http.served_certificate import ServedCertificate
from rppam.http.server import ApiServer
from rppam.kernel.clock import Clock
from rppam.kernel.entropy import Entropy
from rppam.kernel.fence import OnOutranked, unheard
from rppam.kernel.instant import Instant
from rppam.kernel.proxy_protocol import PROXY
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy
from rppam.licence.model import Denied, Seats, may_join, warning_of
from rppam.manager.metrics import MetricsAccess
from rppam.process.notify import Notifier, notifier
from rppam.settings.trial import why_unfit

ALONE: Final = Timing(lease_ms=1_000, heartbeat_ms=250, rate_error_ppm=10_000, drop_ms=0, request_timeout_ms=250)
"""Times of a node without Redis: its store is itself, so nothing far away has to be waited for."""


class People(NamedTuple):
    """Who may sign in, and the database that knows them."""

    database: Database
    passwords: Passwords
    accounts: Accounts


class Deciding(NamedTuple):
    """The part of a node that decides, before it is given a surface."""

    driver: Driver
    view: NodeView
    foreign: "asyncio.Future[str]"
    link: TlsMemberLink | None
    """``None`` where the record alone decides."""
    administration: NodeAdministration
    relay: LinkRelay
    """Hands orders on to other nodes."""
    checkup: Checkup
    address: AddressTask | None
    """``None`` where there is no virtual address."""
    beside: Sequence[SideTask]
    """What the slices do on every node."""


def build_node(settings: Settings) -> Node:
    """Everything a node in a single process is made of. Call inside the event loop that will run it."""
    known = inherit(settings)
    clock, entropy = SystemClock(), SystemEntropy()
    data_dir = DataDir(settings.node.data_dir)
    people = people_of(settings, clock)
    redis = redis_parts(settings, clock, entropy)
    shared = shared_of(settings, people.database, clock, entropy)
    deciding = deciding_of(
        known, people.database, clock, entropy, redis, settings_revision=lambda: shared.settings.revision
    )
    api = api_server(
        known,
        people,
        shared,
        deciding.view,
        clock,
        entropy,
        deciding.administration,
        deciding.relay,
        deciding.driver.outranked,
    )
    return whole(known, data_dir, people, deciding, SharingSurface(api, shared), notifier())


def people_of(settings: Settings, clock: Clock) -> People:
    """The accounts, on a database that is not open yet."""
    database = Database(settings.database.url, settings.database.timeout_ms, node=settings.node.node_name)
    passwords = Passwords()
    return People(database, passwords, Accounts(SqlAccounts(database), passwords, clock))


def deciding_of(
    known: BootContext,
    database: Database,
    clock: Clock,
    entropy: Entropy,
    redis: RedisParts | None,
    *,
    on_turn: Callable[[], None] = lambda: None,
    through: Callable[[LeadershipStore], LeadershipStore] = lambda store: store,
    settings_revision: Callable[[], int | None] = lambda: None,
    worker_databases: Callable[[], Mapping[str, Condition]] | None = None,
    halt: Callable[[str, int], bool] | None = None,
    config_file: Path | None = None,
    listening: Sequence[socket.socket] = (),
) -> Deciding:
    """Leadership and all it needs. ``through`` may put something between it and the store; ``halt``: see
    :class:`rppam.cluster.admin.faults.NodeFaults`; ``listening``: where clients of the virtual address connect."""
    settings = known.settings
    boot_id, timing = entropy.nonce(), settings.cluster.timing if settings.redis.enabled else ALONE
    members = member_parts(settings, boot_id, timing, clock, entropy, own_url(settings))
    orders = OperatorStateKeeper(OperatorStateFile(settings.node.data_dir / ORDERS_FILE))
    count = SqlSessions(database).active
    checkup = checkup_of(
        settings, redis, clock, lambda: core.status().known_membership, lambda: driver.store.view[:2], count
    )
    lives = FormerLives(settings.node.data_dir / LIVES_FILE, socket.gethostname())
    lives.begin(boot_id)
    core = _core(known, boot_id, timing, clock, entropy, members, orders.load(), lives)
    foreign: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    address = address_duty(settings, lambda: view.permitted_until(), clock, listening)  # noqa: PLW0108 - made below
    link = members.link if members else None
    control = ControlFoundation(settings, database, clock, entropy, boot_id, link, config_file, {}, _settled(core))
    beside = Beside(control, worker_databases, lambda: view)
    driver = Driver(
        core,
        through(_store(settings, redis, clock, foreign, members)),
        SqlEpochRegister(database),
        clock,
        LeaderTasks([*filter(None, [address]), *beside.leading], lambda work: bounded(work, timing.drop_ms or 1)),
        lambda *beat: view.heartbeat(*beat),  # noqa: PLW0108  # made below
        identity_wait_us=redis.identity_wait_us if redis else 0,
        on_turn=on_turn,
        members=members.ways if members else None,
        orders=orders,
        why_no_leader=lambda: view.snapshot().no_leader_reason,
        why_unfit=beside.why_unfit,
    )
    probes = replace(
        _probes(known, database, clock, checkup, redis, beside, lambda: _problems(orders, address)),
        settings_revision=settings_revision,
        has_address=lambda: address is not None and address.is_held,
    )
    view = NodeView(
        facts_of(settings, boot_id, redis, values_of_node(settings, known.licence)), core, driver, clock, probes
    )
    faults = NodeFaults(clock, halt=halt, hold=_ways_out(redis, link))
    peers, quieten = (lambda: link.peers) if link else dict, address.quieten if address else None
    admin = NodeAdministration(core, driver.feed, clock, orders, peers, faults=faults, unfit=why_unfit, quieten=quieten)
    relay = relay_of(settings, link, core, Carrier(admin, view.snapshot, control.link_orders or {}))
    return Deciding(driver, view, foreign, link, admin, relay, checkup, address, beside.tasks)


def _probes(
    known: BootContext,
    database: Database,
    clock: Clock,
    checkup: Checkup,
    redis: RedisParts | None,
    beside: Beside,
    problems: Callable[[], Iterable[str]],
) -> NodeProbes:
    """What health asks the parts of a node."""
    return NodeProbes(
        warnings=lambda: (
            *_warnings(known, database, clock),
            *checkup.warnings(),
            *(redis.warnings() if redis else ()),
            *problems(),
            *beside.warnings(),
        ),
        findings=lambda: (*beside.findings(), *checkup.findings()),
        certificates=lambda: (*checkup.certificates(), *(redis.certificates() if redis else ())),
        rooms=checkup.rooms,
        password_since=lambda: redis.password.written_at if redis and redis.password is not None else None,
        password_mark=lambda: redis.password_mark if redis is not None else None,
        store_reason=redis.why_down if redis is not None else str,
        database=beside.database.state,
        master_keys=beside.master_keys,
        gauges=beside.gauges,
        name_in_dns=beside.name_in_dns,
        acknowledge=beside.acknowledging.judge,
        says=beside.says,
        keeps=beside.keeps,
        unfit=beside.why_unfit,
    )


def _settled(core: NodeCore) -> Callable[[], frozenset[str]]:
    """What tells the members by the list that is in force; nothing while it changes."""

    def members() -> frozenset[str]:
        membership = core.status().known_membership
        return frozenset() if membership is None or membership.old is not None else frozenset(membership.members)

    return members


def _ways_out(redis: RedisParts | None, link: TlsMemberLink | None) -> tuple[Callable[[Instant], None], ...]:
    """What keeps a node from all others until a moment, where it is asked to be alone."""
    return (*((redis.held.hold,) if redis and redis.held else ()), *((link.hold,) if link else ()))


def _problems(orders: OperatorStateKeeper, address: AddressTask | None) -> Iterable[str]:
    return filter(None, (orders.problem, address.problem if address else ""))


def api_server(
    known: BootContext,
    people: People,
    shared: Shared,
    status: NodeStatus,
    clock: Clock,
    entropy: Entropy,
    administration: Administration,
    relay: Relay,
    outranked: OnOutranked = unheard,
) -> ApiServer:
    """The REST API on what ``status`` says and ``administration`` takes.

    ``relay`` hands on what is for others; ``outranked`` hears what the fence refuses.
    """
    settings = known.settings
    tokens = _tokens(known, clock, entropy, shared.session_clock)
    base = Foundation(
        settings, people.database, shared.cache, shared.settings, clock, shared.session_clock, entropy, outranked
    )
    given: tuple[tuple[type, Any], ...] = (
        (Tokens, tokens),
        (Passwords, people.passwords),
        (Login, people.accounts),
        (Guard, shared.guard),
        (Administration, administration),
        (Relay, relay),
        (NodeStatus, WithOwnLink(status, shared.redis.link, clock) if shared.redis else status),
        (Seats, Seats(known.licence, clock)),
    )
    services = offered(base, given)
    introduced = settings.api.trusted_proxies if settings.api.forwarded_header == PROXY else ()
    footing = BackendAvailability(shared.redis.link if shared.redis else None, people.database, clock)
    app = build_app(
        ApiParts(
            services=services,
            limiter=limiter_of(shared.limits, status, settings.api.workers, clock),
            has_footing=footing.holds,
            trusted_proxies=() if introduced else settings.api.trusted_proxies,
            forwarded_header=settings.api.forwarded_header,
            metrics_access=MetricsAccess(settings.api.metrics_access, settings.api.metrics_token),
        )
    )
    tls = ServedCertificate.of(settings.api, clock)
    look = footing.before(KeyFolder(settings.auth.jwt_keys_dir, tokens).look)
    return ApiServer(app, settings.api.host, settings.api.port, tls=tls, look=look, balancers=introduced)


def _tokens(known: BootContext, clock: Clock, entropy: Entropy, session_clock: DatabaseClock) -> Tokens:
    auth = known.settings.auth
    return Tokens(
        KeySet(known.keys),
        issuer=auth.issuer,
        audience=auth.audience,
        node=known.settings.node.node_name,
        clock=clock,
        entropy=entropy,
        session_clock=session_clock,
    )


def whole(
    known: BootContext, data_dir: DataDir, people: People, deciding: Deciding, surface: Surface, manager: Notifier
) -> Node:
    """A node of these parts; what its files lack is logged."""
    log_warnings(known.settings, known.licence_problem)
    return Node(
        known.settings,
        data_dir,
        people.database,
        deciding.driver,
        deciding.view,
        surface,
        people.accounts,
        people.passwords,
        manager,
        deciding.foreign,
        deciding.checkup,
        deciding.address,
        deciding.link,
        deciding.beside,
    )


def facts_of(
    settings: Settings, boot_id: str, redis: RedisParts | None, shared_values: Mapping[str, str] | None = None
) -> NodeFacts:
    """What does not change while the process lives."""
    return NodeFacts(
        cluster_id=settings.cluster.cluster_id,
        node=settings.node.node_name,
        boot_id=boot_id,
        hostname=socket.gethostname(),
        api_url=own_url(settings),
        version=__version__,
        redis_enabled=settings.redis.enabled,
        safety_level=redis.safety_level if redis else SafetyLevel.SINGLE,
        member_address=member_address(settings) if votes(settings) else "",
        priority=settings.cluster.priority,
        virtual_ip=address.text if (address := configured_address(settings)) else "",
        shared_values=shared_values or {},
    )


def _core(
    known: BootContext,
    boot_id: str,
    timing: Timing,
    clock: Clock,
    entropy: Entropy,
    members: MemberParts | None,
    orders: OperatorState,
    lives: FormerLives,
) -> NodeCore:
    node = known.settings.node.node_name
    voter, seal = (members.voter, members.seal) if members else (None, None)

    def seat_check(others: int) -> str | None:
        decision = may_join(known.licence, others, clock.wall_ms())
        return f"{decision.reason}. {decision.fix}" if isinstance(decision, Denied) else None

    return NodeCore(
        Election(
            Identity(node, boot_id, timing),
            entropy,
            now=clock.now(),
            voter=voter,
            seal=seal,
            electable=False,
            paused=orders.pause.is_on,
        ),
        FailureDetector(node, timing),
        Admission(node, boot_id, timing, seat_check, lives.has),
        now=clock.now(),
        orders=orders,
    )


def _store(
    settings: Settings,
    redis: RedisParts | None,
    clock: Clock,
    foreign: "asyncio.Future[str]",
    members: MemberParts | None,
) -> LeadershipStore:
    if redis is None:
        return MemoryStore(clock)

    def refuse(sentence: str) -> None:
        if not foreign.done():
            foreign.set_result(sentence)

    return RedisLeadershipStore(
        redis.link,
        settings.redis.key_prefix,
        settings.cluster.cluster_id,
        settings.node.node_name,
        refuse,
        replicas=redis.replicas,
        heartbeat_ttl_ms=settings.cluster.timing.heartbeat_ttl_ms,
        mac=members.mac if members else None,
        orders_mac=members.orders_mac if members else None,
    )


def _warnings(known: BootContext, database: Database, clock: Clock) -> tuple[str, ...]:
    expiry = warning_of(known.licence, clock.wall_ms())
    return tuple(
        sentence
        for sentence in (
            *known.settings.warnings,
            *member_warnings(known.settings),
            known.licence_problem,
            expiry.sentence if expiry else "",
            database.warning if not database.has_failed else "",  # that is a finding
        )
        if sentence
    )
