"""The ledger of a config's database, read page by page by a command, with no node running."""

import asyncio
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Final, TypeVar

from rppam.audit.archive_store import SqlArchives
from rppam.audit.cosigners import SqlCosigners
from rppam.audit.keys import public_key
from rppam.audit.verify import Cosignature
from rppam.cli.database import database_named
from rppam.config.load import load_settings
from rppam.db.database import Database
from rppam.ledger.model import Event
from rppam.ledger.store import Query, SqlLedger

T = TypeVar("T")
PAGE: Final = 5_000


class Reading:
    """See the module."""

    def __init__(self, config: Path | None) -> None:
        settings = self.settings = load_settings(config)
        self._runner = asyncio.Runner()
        self.database = Database(settings.database.url, settings.database.timeout_ms, node=settings.node.node_name)
        self.ledger, self.archives = SqlLedger(self.database), SqlArchives(self.database)

    def __enter__(self) -> "Reading":
        self._runner.__enter__()
        try:
            self.ask(self.database.start(creates=False))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.ask(self.database.stop())
        self._runner.close()

    def ask(self, question: Awaitable[T]) -> T:
        """The answer."""

        async def asked() -> T:
            return await question

        with database_named(self.settings):
            return self._runner.run(asked())

    def events(self, query: Query) -> Iterator[Event]:
        """All events of a query, those without a place last, as far as they stand on the last page."""
        while True:
            page = self.ask(self.ledger.events(query))
            yield from page
            placed = [event.index for event in page if event.index is not None]
            if len(page) < query.limit or len(placed) < len(page):
                return  # behind the first ones that wait there are only others
            query = query._replace(after=placed[-1])

    def judged(self, notes: dict[int, str]) -> Iterator[Event]:
        """Everything, to be verified; ``notes`` grows by what is signed while it is read."""
        newest = max(notes, default=0)
        for event in self.events(Query(limit=PAGE, archived=True, bare=True)):
            if event.index is not None and event.index >= newest:
                notes |= self.notes(newest)
                newest = max(notes, default=0) if event.index < max(notes, default=0) else event.index + PAGE
            yield event

    def notes(self, above: int = 0) -> dict[int, str]:
        """The signed notes of more than so many events by size, the smallest first."""
        found: dict[int, str] = {}
        below: int | None = None
        while page := self.ask(self.ledger.checkpoints(below, PAGE)):
            found |= {one.size: one.note for one in page if one.size > above}
            below = page[-1].size
            if below <= above:
                break
        return dict(sorted(found.items()))

    def cosigners(self) -> list[Cosignature]:
        """The newest cosignature of each member."""
        found = self.ask(SqlCosigners(self.database).all())
        return [Cosignature(one.name, one.key, one.size, one.line) for one in found if one.line]

    def key(self) -> str | None:
        """The public key in the database."""
        return self.ask(public_key(self.database))
