"""The parts of sessions in one process."""

from typing import Final

from rppam.access.lockouts.guard import Guard
from rppam.access.mfa.service import SecondFactors
from rppam.access.sessions.service import Login, Sessions, SignIn
from rppam.access.sessions.store import SqlSessions
from rppam.access.tokens.service import Tokens
from rppam.cluster.driver.leader_tasks import RepeatedTask
from rppam.foundation import ControlFoundation, Foundation
from rppam.kernel.services import Services

SWEEP_EVERY_S: Final = 60.0
SWEEP_ROWS: Final = 1_000


def wire(base: Foundation, services: Services) -> None:
    store = services.add(SqlSessions, SqlSessions(base.database))
    sessions = Sessions(
        store,
        base.cache,
        services.get(Tokens),
        base.session_clock,
        node=base.node,
        settings=base.hot,
        token_minutes=base.config.auth.token_minutes,
    )
    services.add(Sessions, sessions)
    login, factors = services.get(Login), services.get(SecondFactors)
    services.add(SignIn, SignIn(login, services.get(Guard), factors, sessions))


def leader_tasks(base: ControlFoundation) -> list[RepeatedTask]:
    store = SqlSessions(base.database)
    return [RepeatedTask("the sweep of old sessions", SWEEP_EVERY_S, lambda _: store.sweep(SWEEP_ROWS))]
