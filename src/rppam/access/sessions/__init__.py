"""Sessions: somebody signed in, from when until when, and what ends it."""

from typing import TYPE_CHECKING

from rppam.kernel.slice import Slice, exports

if TYPE_CHECKING:
    from rppam.access.sessions.api import caller_of as caller_of, token_answer as token_answer
    from rppam.access.sessions.check import SessionCheck as SessionCheck
    from rppam.access.sessions.errors import (
        CrossSiteError as CrossSiteError,
        SessionEndedError as SessionEndedError,
        SessionUnknownError as SessionUnknownError,
    )
    from rppam.access.sessions.facts import user_bytes as user_bytes
    from rppam.access.sessions.model import (
        Identity as Identity,
        SessionKind as SessionKind,
        StoredFacts as StoredFacts,
        UserFacts as UserFacts,
        token_hash as token_hash,
    )
    from rppam.access.sessions.schemas import LoginAnswer as LoginAnswer
    from rppam.access.sessions.service import Sessions as Sessions

SLICE = Slice(
    name="sessions",
    package=__name__,
    tables="tables",
    wire="wiring:wire",
    leader_tasks="wiring:leader_tasks",
    routes=("api:sessions",),
    settings=("policy:SESSIONS",),
)

__getattr__ = exports(
    __name__,
    api="caller_of token_answer",
    check="SessionCheck",
    errors="CrossSiteError SessionEndedError SessionUnknownError",
    facts="user_bytes",
    model="Identity SessionKind StoredFacts UserFacts token_hash",
    schemas="LoginAnswer",
    service="Sessions",
)
