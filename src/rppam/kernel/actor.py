"""Who acts, known to the code that records it without a parameter through every layer.

The REST API says once for each request who is asking; work that runs on a thread of the database sees the same
(:class:`rppam.db.lane.Job`). What nobody has said is done by the node itself.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from typing import Final, NamedTuple


class ActorKind(StrEnum):
    """What somebody is."""

    USER = "user"
    HOST = "host"
    """A token made on a node's host; it belongs to no account."""
    ANONYMOUS = "anonymous"
    """Has not shown who it is."""
    NODE = "node"


class Actor(NamedTuple):
    """Who acts."""

    kind: ActorKind
    id: str = ""
    """Of the account; empty where there is none."""
    name: str = ""
    session: str = ""
    """Id of the log-in session."""
    address: str = ""
    """Where the request came from."""
    request: str = ""
    """Id of the request, as in the log."""
    reason: str = ""
    """Why, in the words of who acts."""


NODE: Final = Actor(ActorKind.NODE)
_WHO: ContextVar[Callable[[], Actor]] = ContextVar("actor")


def current_actor() -> Actor:
    """Who acts here; :data:`NODE` where nobody has said so."""
    who = _WHO.get(None)
    return NODE if who is None else who()


def acts_from_now_on(who: Callable[[], Actor]) -> None:
    """Say who acts in this task; ``who`` is asked when something is recorded."""
    _WHO.set(who)


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """Within it ``actor`` acts."""
    token = _WHO.set(lambda: actor)
    try:
        yield
    finally:
        _WHO.reset(token)
