"""Stores in SQL: a method is written as the transaction that it is, and called as a coroutine.

What a method does before it returns is undone when it raises. It may be run on another thread, and raises a
``DatabaseError`` when the database does not answer.
"""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from rppam.db.database import Database


class SqlStore:
    """What all of them have."""

    def __init__(self, database: Database) -> None:
        self.database = database


S = TypeVar("S", bound=SqlStore)
P = ParamSpec("P")
T = TypeVar("T")
Work = Callable[Concatenate[S, Connection, P], T]
Method = Callable[Concatenate[S, P], Coroutine[Any, Any, T]]


def reads(work: Work[S, P, T]) -> Method[S, P, T]:
    """A transaction that only reads."""

    @wraps(work)
    async def run(store: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await store.database.read(lambda connection: work(store, connection, *args, **kwargs))

    return run


def writes(work: Work[S, P, T]) -> Method[S, P, T]:
    """A transaction that writes."""

    @wraps(work)
    async def run(store: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await store.database.write(lambda connection: work(store, connection, *args, **kwargs))

    return run
