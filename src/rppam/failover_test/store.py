"""Failover tests in SQL: what is kept of each, and what a running one writes to read it again.

One test runs at a time; one whose command died counts as over after :data:`STALE_MS`, or when its owner says so.
"""

import json
import uuid
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, insert, select, update

from rppam.db.database import Database
from rppam.db.engine import insert_into, now_ms
from rppam.failover_test.errors import FailoverTestOver, FailoverTestUnderWay, FailoverTestUnknown
from rppam.failover_test.model import BY_ITSELF, KeptTest, Method, State, Step, Verdict
from rppam.failover_test.policy import AllowedMethods, check_allowed
from rppam.failover_test.tables import failover_test_writes, failover_tests
from rppam.kernel.instant import WallMs
from rppam.ledger.model import Entity, Outcome
from rppam.ledger.record import record

_T: Final = failover_tests.c
_W: Final = failover_test_writes.c
_STEPS: Final = "steps"
STALE_MS: Final = 15 * 60_000
ASKED_MS: Final = 60_000
"""For so long a test that was asked for waits for a leader that starts it."""
STEPS_MAX: Final = 100
"""More are not kept; a test says some ten."""
KEPT_MAX: Final = 200
"""Older ones are forgotten; the ledger keeps their verdicts."""


class SqlFailoverTests:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest(self, limit: int) -> list[KeptTest]:
        """The newest tests first, without their reports."""
        wanted = select(failover_tests).order_by(_T.started_at.desc(), _T.id).limit(limit)
        rows = await self._database.read(lambda connection: list(connection.execute(wanted)))
        return [_test(row)._replace(report="", steps=()) for row in rows]

    async def newest_by(self, by: str) -> KeptTest | None:
        """The newest test that ``by`` began and that came to verdicts."""
        wanted = select(failover_tests).where((_T.by == by) & _T.passed.is_not(None))
        newest = wanted.order_by(_T.started_at.desc()).limit(1)
        row = await self._database.read(lambda connection: connection.execute(newest).one_or_none())
        return None if row is None else _test(row)

    async def get(self, ident: str) -> KeptTest:
        """One test with its report. Raises :class:`FailoverTestUnknown`."""
        return await self._database.read(lambda connection: _test(_row(connection, ident)))

    async def begin(self, method: Method, leader: str, by: str) -> KeptTest:
        """Begin a test. Raises :class:`FailoverTestUnderWay`."""
        return await self._database.write(lambda it: _made(it, State.RUNNING, "failover.begin", method, leader, by))

    async def ask(self, method: Method, leader: str, by: str) -> KeptTest:
        """Ask for a test, which the leader starts. Raises :class:`FailoverTestUnderWay`."""
        return await self._database.write(lambda it: _made(it, State.ASKED, "failover.ask", method, leader, by))

    async def asked(self) -> KeptTest | None:
        """The test that is to be started; one that has waited for too long ends."""

        def look(connection: Connection) -> KeptTest | None:
            row = connection.execute(select(failover_tests).where(_T.state == State.ASKED.value)).first()
            return None if row is None else _test(row)

        def late(connection: Connection) -> KeptTest | None:
            found = look(connection)
            if found is None or now_ms(connection) - found.started_at < ASKED_MS:
                return found
            _interrupt(connection, found, f"no leader could start it within {ASKED_MS // 1000} s; its log says why")
            return None

        # Asked every other second: most of the time this is all.
        return None if await self._database.read(look) is None else await self._database.write(late)

    async def begin_asked(self, ident: str, leader: str, by: str) -> KeptTest:
        """Begin the test that was asked for, once. Raises :class:`FailoverTestUnknown`, :class:`FailoverTestOver`."""

        def work(connection: Connection) -> KeptTest:
            found = _test(_row(connection, ident))
            if found.state is not State.ASKED:
                raise FailoverTestOver(f"nobody waits for it to begin ({found.state})")
            _check_own(found, by)
            details = {"method": found.method.value, "leader": leader}
            record(connection, "failover.begin", _entity(ident), details=details)
            values = {"state": State.RUNNING.value, "leader": leader, "started_at": now_ms(connection)}
            connection.execute(update(failover_tests).where(_T.id == ident).values(**values))
            return _test(_row(connection, ident))

        return await self._database.write(work)

    async def add_step(self, ident: str, by: str, said: str) -> None:
        """Keep what a running test says of itself, for who watches it. Raises as :meth:`write`."""

        def work(connection: Connection) -> None:
            _say(connection, _own(connection, ident, by), said)

        await self._database.write(work)

    async def begin_fault(self, ident: str, by: str, allowed: AllowedMethods) -> KeptTest:
        """Record that the fault is made now: once for a test, and by who began it. Raises as :meth:`write`,
        :class:`~rppam.failover_test.errors.MethodNotAllowed`."""

        def work(connection: Connection) -> KeptTest:
            test = _running(connection, ident)
            check_allowed(allowed, test.method)
            _check_own(test, by)
            if test.event:
                raise FailoverTestOver("its fault was made already; begin another test")
            if now_ms(connection) - test.started_at >= STALE_MS:
                raise FailoverTestOver("it began too long ago; begin another test")
            event = record(connection, "failover.fault", _leader(test), details=_fault(test))
            connection.execute(update(failover_tests).where(_T.id == ident).values(event=event))
            return test

        return await self._database.write(work)

    async def fault_failed(self, ident: str, why: str) -> None:
        """Record that it was not made after all, so that it may be asked for again."""

        def work(connection: Connection) -> None:
            test = _running(connection, ident)
            failed = Outcome.FAILURE
            record(connection, "failover.fault", _leader(test), outcome=failed, reason=why, details=_fault(test))
            connection.execute(update(failover_tests).where(_T.id == ident).values(event=""))

        await self._database.write(work)

    async def write(self, ident: str, number: int) -> None:
        """Keep a number; the same again changes nothing. Raises :class:`FailoverTestUnknown`,
        :class:`FailoverTestOver`."""

        def work(connection: Connection) -> None:
            _running(connection, ident)
            row = insert_into(connection, failover_test_writes).values(test_id=ident, number=number)
            connection.execute(row.on_conflict_do_nothing())

        await self._database.write(work)

    async def written(self, ident: str) -> list[int]:
        """All numbers that are kept, in order. Raises as :meth:`write`."""

        def work(connection: Connection) -> list[int]:
            _running(connection, ident)
            wanted = select(_W.number).where(_W.test_id == ident).order_by(_W.number)
            return list(connection.scalars(wanted))

        return await self._database.read(work)

    async def finish(self, ident: str, by: str, verdicts: tuple[Verdict, ...], digest: str, report: str) -> KeptTest:
        """Keep the report of who began the test, and record the verdicts. Raises as :meth:`write`."""

        def work(connection: Connection) -> KeptTest:
            _own(connection, ident, by)
            now, passed = now_ms(connection), bool(verdicts) and all(one.held for one in verdicts)
            details = {"verdicts": {str(one.promise): one.held for one in verdicts}, "digest": digest}
            outcome = Outcome.SUCCESS if passed else Outcome.FAILURE
            event = record(connection, "failover.test", _entity(ident), outcome=outcome, details=details)
            _end(connection, ident, State.FINISHED, now)
            told = json.dumps([one._asdict() for one in verdicts])
            values = {"passed": passed, "verdicts": told, "digest": digest, "event": event, "report": report}
            connection.execute(update(failover_tests).where(_T.id == ident).values(**values))
            return _test(_row(connection, ident))

        return await self._database.write(work)

    async def interrupt(self, ident: str, why: str) -> KeptTest:
        """End a test that came to no verdicts; one that is over stays as it is. Raises :class:`FailoverTestUnknown`."""

        def work(connection: Connection) -> KeptTest:
            found = _test(_row(connection, ident))
            if found.state in {State.ASKED, State.RUNNING}:
                _interrupt(connection, found, why)
            return _test(_row(connection, ident))

        return await self._database.write(work)


def _made(connection: Connection, state: State, action: str, method: Method, leader: str, by: str) -> KeptTest:
    """A new test, where no other is under way."""
    now = now_ms(connection)
    open_ = select(failover_tests).where(_T.state.in_([State.RUNNING.value, State.ASKED.value]))
    for row in connection.execute(open_).all():
        age_ms = now - row.started_at
        if age_ms < (STALE_MS if row.state == State.RUNNING.value else ASKED_MS):
            verb = "began" if row.state == State.RUNNING.value else "asked for"
            raise FailoverTestUnderWay(f"{row.by} {verb} one {age_ms // 1000} s ago, '{row.method}'")
        _end(connection, row.id, State.INTERRUPTED, now)
    ident = str(uuid.uuid4())
    connection.execute(
        insert(failover_tests).values(
            id=ident, method=method.value, leader=leader, state=state.value, by=by, started_at=now,
            verdicts="[]", digest="", event="", report="",
        )
    )  # fmt: skip
    record(connection, action, _entity(ident), details={"method": method.value, "leader": leader})
    old = connection.scalars(select(_T.id).order_by(_T.started_at.desc(), _T.id).offset(KEPT_MAX)).all()
    if old:
        connection.execute(delete(failover_tests).where(_T.id.in_(old)))
    return _test(_row(connection, ident))


def _interrupt(connection: Connection, test: KeptTest, why: str) -> None:
    record(connection, "failover.test", _entity(test.id), outcome=Outcome.FAILURE, reason=why)
    _say(connection, test, why)
    _end(connection, test.id, State.INTERRUPTED, now_ms(connection))


def _say(connection: Connection, test: KeptTest, said: str) -> None:
    """Steps stand where the report will stand."""
    steps = [*test.steps, Step(WallMs(now_ms(connection)), said)][:STEPS_MAX]
    text = json.dumps({_STEPS: [[one.at, one.said] for one in steps]})
    connection.execute(update(failover_tests).where(_T.id == test.id).values(report=text))


def _end(connection: Connection, ident: str, state: State, now: int) -> None:
    connection.execute(update(failover_tests).where(_T.id == ident).values(state=state.value, ended_at=now))
    connection.execute(delete(failover_test_writes).where(_W.test_id == ident))


def _entity(ident: str) -> Entity:
    return Entity("failover-test", ident)


def _leader(test: KeptTest) -> Entity:
    return Entity("node", test.leader, test.leader)


def _fault(test: KeptTest) -> dict[str, str]:
    return {"test": test.id, "method": test.method.value}


def _row(connection: Connection, ident: str) -> Row[Any]:
    row = connection.execute(select(failover_tests).where(_T.id == ident)).one_or_none()
    if row is None:
        raise FailoverTestUnknown("no failover test has this id")
    return row


def _running(connection: Connection, ident: str) -> KeptTest:
    found = _test(_row(connection, ident))
    if found.state is not State.RUNNING:
        raise FailoverTestOver(f"the test is over ({found.state})")
    return found


def _own(connection: Connection, ident: str, by: str) -> KeptTest:
    found = _running(connection, ident)
    _check_own(found, by)
    return found


def _check_own(found: KeptTest, by: str) -> None:
    """What somebody asked for is run by the cluster itself; all else by who began it."""
    if by not in {found.by, BY_ITSELF}:
        raise FailoverTestUnderWay(f"{found.by} began it; nobody else goes on with it")


def _test(row: Row[Any]) -> KeptTest:
    is_report = row.state == State.FINISHED.value
    steps = json.loads(row.report)[_STEPS] if row.report and not is_report else []
    return KeptTest(
        id=row.id,
        method=Method(row.method),
        leader=row.leader,
        state=State(row.state),
        by=row.by,
        started_at=WallMs(row.started_at),
        ended_at=None if row.ended_at is None else WallMs(row.ended_at),
        passed=row.passed,
        verdicts=tuple(Verdict(**one) for one in json.loads(row.verdicts)),
        digest=row.digest,
        event=row.event,
        report=row.report if is_report else "",
        steps=tuple(Step(WallMs(at), said) for at, said in steps),
    )
