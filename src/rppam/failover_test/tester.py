"""One failover test from its first request to its report.

It begins the test at the cluster, signs somebody in, sends traffic, has the leader taken away, and watches: who leads,
when, what failed, what is there afterwards. Whatever happens, the account is removed and the cluster told how it
ended; the node comes back by itself, as the fault was ordered with its end.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from rppam.cluster.consensus.heartbeat import MemberStatus, Role
from rppam.failover_test.client import TESTS, CannotTestError, Cluster, sentence_of
from rppam.failover_test.model import Method
from rppam.failover_test.observed import Failure, Observed, judge
from rppam.failover_test.preflight import Plan
from rppam.failover_test.report import Report, made
from rppam.failover_test.sessions import Person, remove
from rppam.failover_test.steps import Steps
from rppam.failover_test.traffic import ME, Traffic
from rppam.failover_test.unfinished import StateFile, Unfinished
from rppam.http.client import NoAnswerError
from rppam.http.times import iso_utc_ms
from rppam.kernel.logging import one_line
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock

BEFORE_S: Final = 1.5
"""Traffic before the fault."""
AFTER_S: Final = 1.0
LOOK_S: Final = 0.04
PROMOTION_S: Final = 60.0
"""So long a promotion is waited for: longer than promised, so that the report can say by how much it came late."""
BACK_S: Final = 120.0
"""So long after the end of the fault the old leader is waited for."""
CALM_S: Final = 20.0
SLOW_LOOK_S: Final = 0.25

Tell = Callable[[str], None]


class Tester:
    """Runs one test. Raises CannotTestError where it comes to no verdict."""

    def __init__(
        self,
        cluster: Cluster,
        plan: Plan,
        tell: Tell,
        file: StateFile,
        seconds: int | None = None,
        asked: str | None = None,
    ) -> None:
        """``tell`` hears what happens, in sentences; ``seconds``: how long the fault lasts, else the cluster says.

        ``asked``: the id of a test that somebody asked the cluster for, which this one is.
        """
        self._cluster, self._plan, self._file = cluster, plan, file
        self._steps = Steps(cluster, tell)
        self._tell: Tell = self._steps.add
        self._seconds, self._wanted = seconds, asked
        self._watch = _Timeline()
        self._seen = Observed(plan.method, plan.primary or plan.leader, plan.nodes, 0)
        self._test = ""
        self._leads = ""
        """Who led when it was last seen, after the fault."""

    async def run(self) -> Report:
        """The report, which the cluster has, too."""
        asked = {"asked": self._wanted} if self._wanted else {}
        begun = await self._cluster.order("POST", TESTS, {"method": self._plan.method.value, **asked}, again=False)
        self._test = str(begun.get("id"))
        self._steps.begin(self._test)
        state = Unfinished(os.getpid(), self._test, self._plan.method.value, self._cluster.urls[0])
        self._file.write(state)
        person = Person(self._cluster, self._test)
        why = "it was interrupted"
        try:
            await person.make()
            state = state._replace(user=person.id)
            self._file.write(state)
            report = await self._measured(person, state, begun)
            await self._steps.end()
            verdicts = {"verdicts": report["verdicts"], "report": report}
            kept = await self._cluster.order("PUT", f"{TESTS}/{self._test}/report", verdicts)
            self._tell(f"kept with the history; the ledger has it as event {kept.get('event')}")
            why = ""
        except CannotTestError as error:
            why = str(error)
            raise
        finally:
            await asyncio.shield(asyncio.ensure_future(self._clean(person, why)))
        return report

    async def _clean(self, person: Person, why: str) -> None:
        try:
            await self._steps.end()
            if why:
                await self._cluster.order("PUT", f"{TESTS}/{self._test}/report", {"verdicts": [], "why": why[:500]})
            if person.id:
                await remove(self._cluster, person.id)
        except CannotTestError as error:
            self._tell(f"not cleaned up: {error}. The next test does it")
            return
        self._file.drop()

    async def _measured(self, person: Person, state: Unfinished, begun: Mapping[str, Any]) -> Report:
        sessions = await person.sign_in()
        self._seen.sessions = len(sessions)
        self._tell(f"{len(sessions)} sessions of {person.name} are open, and writes are under way")
        traffic = Traffic(self._cluster, self._test, sessions)
        traffic.start()
        try:
            await asyncio.sleep(BEFORE_S)
            seconds = await self._fault(state)
            await self._promotion()
            await self._return(seconds)
            await asyncio.sleep(AFTER_S)
        finally:
            await traffic.stop()
        self._seen.requests = traffic.requests
        self._seen.acknowledged = len(traffic.acknowledged)
        self._seen.failures = [Failure(self._watch.ms(one.at_s), one.what, one.url, one.why) for one in traffic.missed]
        await self._read_again(traffic.acknowledged)
        await self._show_again(sessions)
        self._watch.note("good", "writes and sessions were looked for on every node")
        facts = {
            "test": self._test,
            "cluster": self._plan.cluster,
            "epochBefore": self._plan.epoch,
            "by": begun.get("by"),
            "startedAt": begun.get("startedAt"),
            "endedAt": iso_utc_ms(SystemClock().wall_ms()),
            "urls": list(self._cluster.urls),
            "faultSeconds": seconds,
        }
        return made(self._seen, judge(self._seen), facts, self._watch.events)

    def _happened(self, kind: str, said: str) -> None:
        """Put it into the timeline, and tell who waits."""
        self._watch.note(kind, said)
        self._tell(said)

    # ---- the fault --------------------------------------------------------------------------------------------------

    async def _fault(self, state: Unfinished) -> int:
        self._file.write(state._replace(fault="it may have been made"))
        self._watch.begin()
        body = {} if self._seconds is None else {"seconds": self._seconds}
        taken = await self._cluster.order("POST", f"{TESTS}/{self._test}/fault", body, again=False)
        said, seconds = one_line(str(taken.get("said", ""))), int(taken.get("seconds", 0))
        self._watch.begin(int(taken.get("beginsAfterMs", 0)))
        self._file.write(state._replace(fault=said))
        self._happened("fault", said)
        return seconds

    async def _promotion(self) -> None:
        seen, until = self._seen, self._watch.now() + PROMOTION_S
        look = self._new_primary if seen.method is Method.REDIS_FAILOVER else self._new_leader
        while self._watch.now() < until:
            if found := await look():
                self._leads = found
                seen.promoted, seen.promoted_ms = found, max(0, self._watch.ms(self._watch.now()))
                who = "is the primary of Redis" if seen.method is Method.REDIS_FAILOVER else "leads"
                said = f"{found} {who} {seen.promoted_ms} ms after the fault"
                self._happened("good", said)
                return
            await asyncio.sleep(LOOK_S)
        self._happened("bad", f"nobody was promoted within {PROMOTION_S:g} s")

    async def _new_leader(self) -> str:
        """The standby that says that it leads."""
        names = list(self._plan.watched)
        leads = await asyncio.gather(*(self._cluster.leads(self._plan.watched[name]) for name in names))
        return next((name for name, is_so in zip(names, leads, strict=True) if is_so), "")

    async def _new_primary(self) -> str:
        """Where Redis is now, once every node is connected to it again."""
        with suppress(CannotTestError, NoAnswerError):
            answer = await self._cluster.ask("GET", f"{self._cluster.urls[0]}{TESTS}/redis")
            primary = str(answer.body.get("primary", "")) if isinstance(answer.body, Mapping) else ""
            if primary in {"", self._plan.primary}:
                return ""
            views = [await self._cluster.view(url, 2.0) for url in self._plan.urls.values()]
            return primary if all(view.redis_connected for view in views) else ""
        return ""

    # ---- afterwards -------------------------------------------------------------------------------------------------

    async def _return(self, seconds: int) -> None:
        """Wait until the old leader is a standby again, and everybody says that the cluster is healthy."""
        seen = self._seen
        fault_over = self._watch.at(seconds * 1_000)
        until = max(fault_over, self._watch.now()) + BACK_S
        while self._watch.now() < until:
            why = "" if self._watch.now() >= fault_over else "its fault is not over"
            why = why or await (self._old_primary() if seen.method is Method.REDIS_FAILOVER else self._old_leader())
            seen.back_why = why
            if not why:
                seen.back_ms = self._watch.ms(self._watch.now())
                what = "replica" if seen.method is Method.REDIS_FAILOVER else "standby"
                said = f"{seen.leader} is back as a {what} {seen.back_ms} ms after the fault"
                self._happened("good", said)
                return
            await asyncio.sleep(SLOW_LOOK_S)
        self._happened("bad", f"{seen.leader} did not come back: {seen.back_why}")

    async def _old_leader(self) -> str:
        """Why it is no standby yet; empty: it is."""
        name = self._plan.leader
        try:
            view = await self._cluster.view(self._plan.urls[name], 2.0)
        except (CannotTestError, NoAnswerError) as error:
            return str(error)
        if view.node != name:
            return f"{view.node} answers in its place"
        if view.role is not Role.STANDBY:
            return f"it says that its role is {view.role}"
        if view.leader in {None, name}:
            return f"it says that {view.leader or 'nobody'} leads"
        if self._seen.promoted and view.leader != self._leads:
            self._leads = str(view.leader)
            self._watch.note("other", f"leadership has moved on to {self._leads}")
        other = next((url for node, url in self._plan.urls.items() if node != name), "")
        try:
            member = (await self._cluster.view(other, 2.0)).member(name)
        except (CannotTestError, NoAnswerError) as error:
            return str(error)
        if member is None or member.status is not MemberStatus.HEALTHY:
            return f"others see it as {member.status if member else 'gone'}"
        return "" if view.healthy else "it does not see a healthy cluster yet"

    async def _old_primary(self) -> str:
        try:
            found = (await self._cluster.ask("GET", f"{self._cluster.urls[0]}{TESTS}/redis")).body
        except NoAnswerError as error:
            return str(error)
        replicas = found.get("replicas") if isinstance(found, Mapping) else None
        follows = isinstance(replicas, list) and self._plan.primary in replicas
        return "" if follows else "no Sentinel sees it follow the new primary"

    async def _read_again(self, acknowledged: list[int]) -> None:
        for node, url in self._plan.urls.items():
            why, found = await self._asked(node, url)
            if why:
                self._seen.unread[node] = why
            elif gone := [number for number in acknowledged if not any(a <= number <= b for a, b in found)]:
                self._seen.missing[node] = gone

    async def _asked(self, node: str, url: str) -> tuple[str, list[list[int]]]:
        """Why the node's writes cannot be read, and what it has; tried for a while, as it may still be starting."""
        until, why = self._watch.now() + CALM_S, ""
        while self._watch.now() < until:
            try:
                answer = await self._cluster.ask("GET", f"{url}{TESTS}/{self._test}/writes")
            except NoAnswerError as error:
                why = str(error)
            else:
                if answer.status == 200 and isinstance(answer.body, Mapping):
                    who = str(answer.body.get("node"))
                    return ("", answer.body["ranges"]) if who == node else (f"{who} answered in its place", [])
                why = sentence_of(answer)
            await asyncio.sleep(SLOW_LOOK_S)
        return why, []

    async def _show_again(self, sessions: list[Secret]) -> None:
        for node, url in self._plan.urls.items():
            for session in sessions:
                until, why = self._watch.now() + CALM_S / 4, ""
                while True:
                    try:
                        answer = await self._cluster.ask("GET", url + ME, token=session)
                        why = "" if answer.status == 200 else one_line(sentence_of(answer))
                        if answer.status in {200, 401, 403}:  # an answer about the session, and not about the node
                            break
                    except NoAnswerError as error:
                        why = str(error)
                    if self._watch.now() > until:
                        break
                    await asyncio.sleep(SLOW_LOOK_S)
                self._seen.checked += 1
                if why:
                    self._seen.lost.append((node, why))


class _Timeline:
    """Events with their time since the fault."""

    def __init__(self) -> None:
        self.events: list[Report] = []
        self._loop = asyncio.get_running_loop()
        self._fault_s = self._sent_s = self._loop.time()

    def now(self) -> float:
        """By the loop's clock."""
        return self._loop.time()

    def begin(self, after_ms: int | None = None) -> None:
        """The fault is ordered now; with ``after_ms``: so long after the order it begins."""
        if after_ms is None:
            self._sent_s = self.now()
        self._fault_s = self._sent_s + (after_ms or 0) / 1_000

    def ms(self, at_s: float) -> int:
        """Milliseconds since the fault."""
        return round((at_s - self._fault_s) * 1_000)

    def at(self, ms: int) -> float:
        """By the loop's clock."""
        return self._fault_s + ms / 1_000

    def note(self, kind: str, text: str) -> None:
        """Keep an event of this moment; ``fault`` is at 0."""
        at_ms = 0 if kind == "fault" else self.ms(self.now())
        self.events.append({"at_ms": at_ms, "kind": kind, "text": text})
