"""The parts of a node, chosen and plugged together. One function, one parts list; nothing here decides."""

import asyncio
import socket
from typing import Final

from rppam import __version__
from rppam.adapters.memory.store import MemoryStore
from rppam.adapters.redis.leadership_store import RedisLeadershipStore
from rppam.adapters.sql.accounts import SqlAccounts
from rppam.adapters.sql.database import Database
from rppam.adapters.sql.note import SqlFencedNote
from rppam.adapters.sql.register import SqlEpochRegister
from rppam.adapters.system.clock import SystemClock
from rppam.adapters.system.datadir import DataDir
from rppam.adapters.system.entropy import SystemEntropy
from rppam.adapters.system.keystore import ensure_signing_keys, load_signing_keys
from rppam.adapters.system.licence_file import read_licence
from rppam.adapters.system.notify import notifier
from rppam.api.app import ApiParts, build_app
from rppam.api.server import ApiServer
from rppam.compose.node import Node, bounded
from rppam.compose.redis import RedisParts, redis_parts
from rppam.config.settings import Settings
from rppam.core.admission import Admission
from rppam.core.detector import Detector
from rppam.core.election import Election
from rppam.core.node import NodeCore
from rppam.domain.health import SafetyLevel
from rppam.domain.licence import Denied, Licence, may_join, warning_of
from rppam.domain.timing import Timing
from rppam.ports.clock import Clock
from rppam.ports.entropy import Entropy
from rppam.ports.keys import StoredKey
from rppam.ports.store import LeadershipStore
from rppam.runtime.driver import Driver
from rppam.runtime.duties import Duties
from rppam.runtime.view import NodeFacts, NodeView
from rppam.services.accounts import Accounts
from rppam.services.passwords import Passwords
from rppam.services.tokens import KeySet, Tokens

ALONE: Final = Timing(lease_ms=1_000, heartbeat_ms=250, rate_error_ppm=10_000, drop_ms=0, request_timeout_ms=250)
"""Times of a node without Redis: its store is itself, so nothing far away has to be waited for."""


async def build_node(settings: Settings) -> Node:
    """Everything a node is made of. Call inside the event loop that will run it."""
    clock, entropy = SystemClock(), SystemEntropy()
    redis = redis_parts(settings, clock, entropy)
    data_dir = DataDir(settings.node.data_dir)
    database = Database(settings.database.url, settings.database.timeout_ms)
    passwords = Passwords()
    accounts = Accounts(SqlAccounts(database), passwords, clock)
    keys = KeySet(_signing_keys(settings, clock))
    tokens = Tokens(
        keys,
        issuer=settings.auth.issuer,
        audience=settings.auth.audience,
        node=settings.node.node_name,
        clock=clock,
        entropy=entropy,
    )
    licence, licence_problem = read_licence(settings.license)
    core = _core(settings, clock, entropy, licence)
    foreign: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    store = _store(settings, redis, clock, foreign)
    timing = core.election.timing
    duties = Duties((), lambda work: bounded(work, timing.drop_ms or 1))
    driver = Driver(
        core,
        store,
        SqlEpochRegister(database),
        clock,
        duties,
        lambda *beat: view.heartbeat(*beat),  # noqa: PLW0108  # made below
        identity_wait_us=redis.identity_wait_us if redis else 0,
    )
    view = NodeView(
        _facts(settings, core.election.boot_id, redis),
        core,
        driver,
        clock,
        lambda: _warnings(settings, database, licence, licence_problem, clock) + (redis.warnings() if redis else ()),
    )
    app = build_app(
        ApiParts(
            node=settings.node.node_name,
            status=view,
            tokens=tokens,
            login=accounts,
            note=SqlFencedNote(database),
            may_join=lambda others: may_join(licence, others, clock.wall_ms()),
            clock=clock,
            entropy=entropy,
            token_minutes=settings.auth.token_minutes,
        )
    )
    api = ApiServer(app, settings.api.host, settings.api.port)
    return Node(settings, data_dir, database, driver, view, api, accounts, passwords, notifier(), foreign)


def _signing_keys(settings: Settings, clock: Clock) -> tuple[StoredKey, ...]:
    """A single node makes its key at the first start; nodes of a cluster share theirs, so none is made up."""
    directory = settings.auth.jwt_keys_dir
    if settings.cluster.enabled:
        return load_signing_keys(directory)
    return ensure_signing_keys(directory, now_ms=clock.wall_ms())


def _core(settings: Settings, clock: Clock, entropy: Entropy, licence: Licence | None) -> NodeCore:
    node, boot_id = settings.node.node_name, entropy.nonce()
    timing = settings.cluster.timing if settings.redis.enabled else ALONE

    def seat_check(others: int) -> str | None:
        decision = may_join(licence, others, clock.wall_ms())
        return f"{decision.reason}. {decision.fix}" if isinstance(decision, Denied) else None

    return NodeCore(
        Election(node, boot_id, timing, entropy, now=clock.now()),
        Detector(node, timing),
        Admission(node, boot_id, timing, seat_check),
    )


def _store(
    settings: Settings, redis: RedisParts | None, clock: Clock, foreign: "asyncio.Future[str]"
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
    )


def _facts(settings: Settings, boot_id: str, redis: RedisParts | None) -> NodeFacts:
    hostname = socket.gethostname()
    host = hostname if settings.api.host in {"0.0.0.0", "::"} else settings.api.host
    shown = f"[{host}]" if ":" in host else host
    return NodeFacts(
        cluster_id=settings.cluster.cluster_id,
        node=settings.node.node_name,
        boot_id=boot_id,
        hostname=hostname,
        api_url=settings.node.advertise_url or f"http://{shown}:{settings.api.port}",
        version=__version__,
        redis_enabled=settings.redis.enabled,
        safety_level=redis.safety_level if redis else SafetyLevel.SINGLE,
    )


def _warnings(
    settings: Settings, database: Database, licence: Licence | None, licence_problem: str, clock: Clock
) -> tuple[str, ...]:
    expiry = warning_of(licence, clock.wall_ms())
    return tuple(
        sentence
        for sentence in (
            *settings.warnings,
            licence_problem,
            expiry.sentence if expiry else "",
            f"the database does not answer: {database.reason or 'it is being opened'}"
            if not database.is_ready or database.reason
            else "",
        )
        if sentence
    )
