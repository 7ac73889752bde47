"""Simulated requests for access: one seed, one interleaving of requesters, approvers, leaders and time.

Every act is a transaction in two steps, reading and committing, between which others commit. What comes of it is
judged by a second bookkeeping that shares no rule with the machine: it writes down who has approved, when somebody was
disabled and when time began to run, and counts for itself.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from rppam.requests import machine
from rppam.requests.machine import (
    MINUTE_MS,
    Approver,
    Cancel,
    CountsFrom,
    Decide,
    Effect,
    Event,
    Orphan,
    Prolong,
    Refusal,
    RefusedError,
    Request,
    Review,
    Revoke,
    Standing,
    State,
    Terms,
    Tick,
    Use,
    Verdict,
)

PEOPLE: Final = ("ann", "bob", "cyd", "dan", "eve")
_START: Final = 1_000_000
_LAST: Final = frozenset({State.ENDED, State.DENIED, State.CANCELLED, State.EXPIRED, State.REVOKED})


class ViolatedError(Exception):
    """Something happened that never may."""


@dataclass(slots=True)
class Person:
    """Somebody, as of now."""

    enabled: bool = True
    entitled: bool = True


@dataclass(slots=True)
class Book:
    """What the judge has written down of one request."""

    requester: str
    needed: int
    minutes: int
    from_use: bool
    pool: dict[str, int]
    decide_by: int
    use_ms: int
    denials: int
    starts_at: int
    extends: str
    approvals: list[str] = field(default_factory=list)
    denied: list[str] = field(default_factory=list)
    granted_at: int | None = None
    runs_from: int | None = None
    length: int = 0
    over: State | None = None


class Row(NamedTuple):
    """What is stored of a request."""

    request: Request
    version: int


class Open(NamedTuple):
    """A transaction that has read and not committed."""

    ident: str
    read: Row
    act: Callable[[], Event]


@dataclass(slots=True)
class World:
    """One interleaving. ``checks_version``: as the store does; a planted bug leaves it out."""

    seed: int
    checks_version: bool = True
    now: int = _START
    chance: random.Random = field(init=False)
    people: dict[str, Person] = field(init=False)
    rows: dict[str, Row] = field(default_factory=dict)
    books: dict[str, Book] = field(default_factory=dict)
    grants: list[str] = field(default_factory=list)
    open: list[Open] = field(default_factory=list)
    commits: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)  # noqa: S311 - simulated
        self.people = {name: Person() for name in PEOPLE}

    def run(self, acts: int = 26) -> None:
        """Play it, then let time run until everything is over. Raises :class:`ViolatedError`."""
        self._ask("r1")
        for _ in range(acts):
            self._act()
            self._judge()
        while self.open:
            self._commit()
        for _ in range(40):
            waits = [at for row in self.rows.values() if (at := machine.due(row.request)) is not None]
            if not waits:
                break
            self.now = max(self.now, min(waits))
            for ident in list(self.rows):
                self._apply(ident, self.rows[ident], self._tick(ident)())
            self._judge()
        for ident, row in self.rows.items():
            if not row.request.is_final:
                raise ViolatedError(f"{ident} never ends: {row.request}")

    # ---- acts --------------------------------------------------------------------------------------------------------

    def _ask(self, ident: str, extends: str = "") -> None:
        pick = self.chance
        requester = self.rows[extends].request.requester if extends else "ann"
        count = pick.randint(1, 4)
        pool = {one: self.now + pick.choice((0, 0, 0, 20 * MINUTE_MS)) for one in pick.sample(PEOPLE, count)}
        needed = pick.choice((0, 1, 1, 2, 2, 3))
        starts = pick.choice((None, None, None, self.now + 45 * MINUTE_MS)) if not extends else None
        terms = Terms(
            needed=min(needed, count),
            minutes=pick.choice((1, 10, 60)),
            counts_from=pick.choice((CountsFrom.USE, CountsFrom.APPROVAL)),
            denials=pick.choice((1, 1, 2)),
            decide_ms=pick.choice((30, 120)) * MINUTE_MS,
            use_ms=pick.choice((15, 240)) * MINUTE_MS,
        )
        emergency = not extends and terms.needed == 0 and pick.random() < 0.5
        request = Request(
            id=ident,
            requester=requester,
            terms=terms,
            approvers=tuple(Approver(*one) for one in pool.items()),
            state=State.PENDING,
            decide_by=self.now + terms.decide_ms,
            starts_at=starts,
            extends=extends,
            emergency=emergency,
            reviewed=not emergency,
        )
        self.books[ident] = Book(
            requester, terms.needed, terms.minutes, terms.counts_from is CountsFrom.USE, dict(pool), request.decide_by,
            terms.use_ms, terms.denials, starts or 0, extends,
        )  # fmt: skip
        if extends and not self._runs(extends):
            del self.books[ident]
            return
        outcome = machine.begin(request, self.now)
        self.rows[ident] = Row(outcome.request, 1)
        self._follow(ident, outcome.effects)

    def _act(self) -> None:
        chance = self.chance.random()
        if chance < 0.34:
            self._begin_decision()
        elif chance < 0.54 and self.open:
            self._commit()
        elif chance < 0.62:
            self._toggle()
        elif chance < 0.76:
            self._pass_time()
        elif chance < 0.94:
            ident = self.chance.choice(list(self.rows))
            self.open.append(Open(ident, self.rows[ident], self._something(ident)))
        elif len(self.rows) < 3 and "r1" in self.rows:
            self._ask(f"r{len(self.rows) + 1}", "r1")

    def _begin_decision(self) -> None:
        ident = self.chance.choice(list(self.rows))
        by = self.chance.choice(PEOPLE)
        verdict = Verdict.APPROVE if self.chance.random() < 0.85 else Verdict.DENY

        def act() -> Event:
            return Decide(by, verdict, self._standings(), self.people["ann"].enabled, self._end_of_extended(ident))

        self.open.append(Open(ident, self.rows[ident], act))

    def _something(self, ident: str) -> Callable[[], Event]:
        by = self.chance.choice(PEOPLE)
        return self.chance.choice(
            (
                Use,
                Use,
                Use,
                self._tick(ident),
                self._tick(ident),
                lambda: Cancel(by),
                lambda: Revoke("seen enough"),
                lambda: Review(by),
            )
        )

    def _tick(self, ident: str) -> Callable[[], Event]:
        return lambda: Tick(self.people[self.rows[ident].request.requester].enabled)

    def _toggle(self) -> None:
        person = self.people[self.chance.choice(PEOPLE)]
        if self.chance.random() < 0.5:
            person.enabled = not person.enabled
        else:
            person.entitled = not person.entitled

    def _pass_time(self) -> None:
        ends = [at for row in self.rows.values() if (at := machine.due(row.request)) is not None and at > self.now]
        choices = [MINUTE_MS, 9 * MINUTE_MS, 25 * MINUTE_MS]
        if ends:
            choices += [min(ends) - self.now, min(ends) - self.now - 1]
        self.now += max(0, self.chance.choice(choices))

    # ---- transactions ------------------------------------------------------------------------------------------------

    def _commit(self) -> None:
        ident, read, act = self.open.pop(self.chance.randrange(len(self.open)))
        if self.checks_version and self.rows[ident].version != read.version:
            read = self.rows[ident]  # the store locks the row, reads it again and decides by that
        self._apply(ident, read, act())

    def _apply(self, ident: str, read: Row, event: Event) -> None:
        before = read.request
        try:
            after, effects = machine.step(before, event, self.now)
        except RefusedError as error:
            self._judge_refusal(ident, event, error.refusal)
            return
        self.commits += 1
        self.rows[ident] = Row(after, self.rows[ident].version + 1)
        self._write_down(ident, event, before, after)
        self._follow(ident, effects)
        if after.is_final and self.books[ident].over is None:
            self.books[ident].over = after.state
            for other, row in list(self.rows.items()):
                if row.request.extends == ident and not row.request.is_final:
                    self._apply(other, row, Orphan())

    def _write_down(self, ident: str, event: Event, before: Request, after: Request) -> None:
        book = self.books[ident]
        if book.over is not None and not isinstance(event, Review) and after.state is not book.over:
            raise ViolatedError(f"{ident} was {book.over} and is {after.state}")
        ends = isinstance(event, Cancel | Revoke) or (isinstance(event, Tick) and not event.requester_enabled)
        if ends and not after.is_final:
            raise ViolatedError(f"{ident} is {after.state} after {event}")
        if isinstance(event, Cancel) and event.by != book.requester:
            raise ViolatedError(f"{ident} was cancelled by {event.by}")
        if isinstance(event, Decide):
            if not self._may_decide(book, event.by):
                raise ViolatedError(f"{ident}: {event.by} has decided and may not: {book.pool}")
            (book.approvals if event.verdict is Verdict.APPROVE else book.denied).append(event.by)
            if len(set(book.denied)) >= book.denials and after.state is not State.DENIED:
                raise ViolatedError(f"{ident} was denied by {book.denied} and is {after.state}")
        elif isinstance(event, Use) and book.from_use and book.runs_from is None:
            book.runs_from = self.now
        elif isinstance(event, Review) and event.by == book.requester:
            raise ViolatedError(f"{ident} was reviewed by its own requester")
        if after.until is not None and before.until is not None and after.until != before.until:
            expected = before.until + event.minutes * MINUTE_MS if isinstance(event, Prolong) else before.until
            if after.until != expected:
                raise ViolatedError(f"{ident} lasted until {before.until}, and until {after.until} after {event}")

    def _follow(self, ident: str, effects: tuple[Effect, ...]) -> None:
        book = self.books[ident]
        for effect in effects:
            if effect is Effect.GRANT:
                self._judge_grant(ident)
                self.grants.append(ident)
                book.granted_at, book.length = self.now, book.minutes
                if not book.from_use:
                    book.runs_from = max(self.now, book.starts_at)
            elif effect is Effect.PROLONG:
                self._judge_grant(ident)
                if not self._runs(book.extends):
                    raise ViolatedError(f"{ident} made {book.extends} longer, which does not run")
                self.books[book.extends].length += book.minutes
                self._apply(book.extends, self.rows[book.extends], Prolong(book.minutes))
        needs = book.needed > 0 and not {Effect.GRANT, Effect.PROLONG}.isdisjoint(effects)
        if Effect.APPROVED in effects and (needs or self._counted(book) >= book.needed):
            raise ViolatedError(f"{ident} has {book.approvals} and is not granted")

    # ---- the judge ---------------------------------------------------------------------------------------------------

    def _counted(self, book: Book) -> int:
        """Approvals that count now, by what was written down."""
        return sum(
            1
            for name in set(book.approvals)
            if name != book.requester
            and self.people[name].enabled
            and self.people[name].entitled
            and book.pool.get(name, self.now + 1) <= self.now
        )

    def _judge_grant(self, ident: str) -> None:
        book = self.books[ident]
        if ident in self.grants:
            raise ViolatedError(f"{ident} is granted twice")
        if self._counted(book) < book.needed:
            raise ViolatedError(f"{ident} needs {book.needed} and has {book.approvals} of {book.pool}")
        if book.needed and self.now >= book.decide_by:
            raise ViolatedError(f"{ident} is granted at {self.now}, after {book.decide_by}")
        if book.needed and not self.people[book.requester].enabled:
            raise ViolatedError(f"{ident} is granted to a disabled account")
        if book.over is not None or len(set(book.denied)) >= book.denials:
            raise ViolatedError(f"{ident} is granted after {book.over or 'its denial'}")

    def _runs(self, ident: str) -> bool:
        """Whether access by a request runs now, by what was written down."""
        book = self.books[ident]
        if book.over is not None or book.runs_from is None or book.granted_at is None:
            return False
        return book.runs_from <= self.now < book.runs_from + book.length * MINUTE_MS

    def _may_be_used(self, ident: str) -> bool:
        book = self.books[ident]
        if book.over is not None or book.granted_at is None or book.extends or self.now < book.starts_at:
            return False
        if book.runs_from is not None:
            return self._runs(ident)
        return self.now < max(book.granted_at, book.starts_at) + book.use_ms

    def _judge(self) -> None:
        for ident, row in self.rows.items():
            has = machine.allows(row.request, self.now)
            if has is not self._may_be_used(ident):
                raise ViolatedError(f"{ident}: access is {has} at {self.now}: {row.request}, {self.books[ident]}")
            if row.request.state in _LAST and ident in self.grants and has:
                raise ViolatedError(f"{ident} has ended and gives access")

    def _judge_refusal(self, ident: str, event: Event, refusal: Refusal) -> None:
        if not isinstance(event, Decide):
            return
        book = self.books[ident]
        is_open = book.over is None and book.granted_at is None and self.now < book.decide_by
        is_waiting = is_open and self.rows[ident].request.state is State.PENDING
        runs = not book.extends or self._runs(book.extends)
        if is_waiting and runs and self.people[book.requester].enabled and self._may_decide(book, event.by):
            raise ViolatedError(f"{ident}: {event.by} may decide and was refused: {refusal}")

    def _may_decide(self, book: Book, by: str) -> bool:
        is_asked = by != book.requester and book.pool.get(by, self.now + 1) <= self.now
        is_fresh = by not in book.approvals and by not in book.denied
        return is_asked and is_fresh and self.people[by].enabled and self.people[by].entitled

    def _standings(self) -> dict[str, Standing]:
        return {name: Standing(one.enabled, one.entitled) for name, one in self.people.items()}

    def _end_of_extended(self, ident: str) -> int | None:
        extended = self.rows.get(self.rows[ident].request.extends)
        return None if extended is None else machine.running_until(extended.request, self.now)


def play(seed: int, *, checks_version: bool = True) -> int:
    """One interleaving; how many transactions it had. Raises :class:`ViolatedError`."""
    world = World(seed, checks_version)
    world.run()
    return world.commits
