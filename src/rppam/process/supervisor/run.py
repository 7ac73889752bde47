"""The supervisor of a node: a loop that starts processes, waits for their ends, and tidies up after them.

It holds no connection, opens no file and asks no question whose answer it would have to wait for, so it has nothing to
hang on; a thread of its own writes log lines. When the control process dies:

1. the permission of the API workers is withdrawn, by one word in memory that they read at each act;
2. the virtual address is dropped;
3. the crash release is sent (see ``release_sender``), which releases the leadership record;
4. another control process is started, later and later in a storm of deaths.

For a failover test it stops or kills all of them, and becomes the supervisor of a node that starts anew (``exec``) once
the time of the test has passed. Nobody has to ask for that.

What it does not promise: anything once it is itself killed with -9. Its children then die with it, and leadership ends
with the lease.
"""

import logging
import os
import select
import signal
import sys
import time
from contextlib import ExitStack
from importlib import import_module
from typing import Final

from rppam.cluster.history.recorder import HistoryEvent, HistoryFile, HistoryHandler, noted
from rppam.cluster.vip.errors import AddressError, AddressForbidden
from rppam.cluster.vip.host_address import address_of
from rppam.cluster.vip.model import AddressHolder, virtual_address
from rppam.kernel.errors import Exit
from rppam.kernel.logging import logging_to
from rppam.kernel.system_clock import host_us
from rppam.process.control_channel import ControlChannel
from rppam.process.crash_release import LastWords
from rppam.process.linux import adopt_orphans
from rppam.process.shared_state import CONTROL, SUPERVISOR, SharedState, gateway_place, worker_place
from rppam.process.supervisor.children import Child, ForkServer, Hello, Role, Start, how_it_ended
from rppam.process.supervisor.release_sender import deliver
from rppam.process.supervisor.service_manager import Notices, Signals
from rppam.process.supervisor.watchdog import Watchdog

assert sys.platform != "win32"  # a node is a single process there

log = logging.getLogger("rppam.supervisor")

TURN_US: Final = 250_000
FAILURES_MAX: Final = 20
"""Turns in a row that fail before the supervisor ends."""
STEP_DOWN_US: Final = 5_000_000
"""How long the control process may take to step down, release and end. Its own bounds are shorter."""
BEYOND_DRAIN_US: Final = 3_500_000
"""How long a worker may take to end after its requests had their time."""
KILL: Final = "kill"
"""The fault of a failover test that is not in order."""
FATAL: Final = frozenset(
    {Exit.ERRORS, Exit.REDIS_UNREACHABLE, Exit.IN_USE, Exit.TURNED_AWAY, Exit.LICENCE, Exit.CONFIGURATION}
)
"""Exit codes of the control process that another one would end with as well: they are the node's end."""


def supervise(start: Start) -> int:
    """Run a node of several processes until it is asked to stop; its exit code. Linux only."""
    return Supervisor(start).run()


class _Stopping:
    """The node's own end, as far as it has come."""

    def __init__(self) -> None:
        self.why = ""
        """Empty: the node is to run."""
        self.code: int = Exit.DONE
        self.is_released = self.is_draining = False
        self.kill_at_us = 0
        self.again_at_us: int | None = None
        """For a failover test: when the node starts anew."""


class Supervisor:
    """See the module."""

    def __init__(self, start: Start) -> None:
        self._start = start
        page, words = SharedState.make(), LastWords.make()
        self._page, self._words = SharedState(page), LastWords(words)
        self._watchdog = Watchdog(self._page)
        self._notices = Notices()
        self._fork_server = ForkServer(start, page, words)
        self._hello: Hello | None = None
        self._sockets: list[int] = []
        self._control = Child(Role.CONTROL, CONTROL)
        self._workers: list[Child] = []
        """All that serve: API workers and gateways."""
        self._workers_up = 0
        self._adopted: dict[int, int] = {}
        """Ends of processes that the fork server has not reported yet."""
        self._stopping = _Stopping()
        self._logging = ExitStack()
        self._address: AddressHolder | None = None

    def run(self) -> int:
        """Run until all is over; the exit code."""
        signals = Signals()
        adopt_orphans()
        self._fork_server.launch([], host_us())
        failures = 0
        with self._logging:
            while not self._is_over:
                self._wait(signals)
                try:
                    self._turn(signals.take())
                    failures = 0
                except Exception:
                    # Whatever it was, the node is better off with a supervisor that goes on.
                    failures += 1
                    log.exception("a turn of the supervisor failed")
                    if failures >= FAILURES_MAX:
                        raise
            if self._stopping.again_at_us is not None:
                self._rest(signals, self._stopping.again_at_us)
        return self._stopping.code

    def _rest(self, signals: Signals, until_us: int) -> None:
        """Wait for the end of a failover test, and start the node anew in this process; or end where that is asked."""
        while (now_us := host_us()) < until_us:
            if signals.take() & {signal.SIGTERM, signal.SIGINT}:
                self._notices.stopping("stopping: asked to, while a failover test kept the node down")
                return
            self._notices.ping(now_us)
            time.sleep(min(TURN_US, until_us - now_us) / 1e6)
        log.warning("the failover test is over for this node; it starts anew")
        self._logging.close()
        # The same process id: whoever watches the service sees one that never ended.
        os.execv(sys.executable, [sys.executable, "-m", "rppam", "node", *self._start.words()])  # noqa: S606

    def _halt(self, fault: str, seconds: int) -> None:
        """Have the node stop in order, or die at one blow, for a failover test."""
        if self._stopping.why:
            return
        self._stopping.again_at_us = host_us() + seconds * 1_000_000
        if fault == KILL:
            self._words.hand_over([])  # a host that loses power says nothing
            for child in self._children:
                child.kill("a failover test asks for it")
        self._stop(f"a failover test keeps this node down for {seconds} s")

    def _turn(self, came: set[int]) -> None:
        now_us = host_us()
        self._watchdog.turned(now_us)
        self._page.stamp(SUPERVISOR, now_us)
        self._handle(came, now_us)
        self._receive()
        self._reap()
        if not any(child.is_wanted for child in self._children):
            self._adopted.clear()
        self._tick(host_us())

    @property
    def _is_over(self) -> bool:
        return (
            bool(self._stopping.why)
            and not any(child.is_there for child in self._children)
            and not self._fork_server.pid
        )

    @property
    def _children(self) -> list[Child]:
        return [self._control, *self._workers]

    # ---- what happens -----------------------------------------------------------------------------------------------

    def _wait(self, signals: Signals) -> None:
        now_us = host_us()
        dues = [now_us + TURN_US, self._notices.due_us()]
        dues += [child.due_us for child in self._children if child.due_us > now_us and not child.is_there]
        dues += [self._fork_server.due_us] if self._fork_server.due_us > now_us and not self._fork_server.pid else []
        dues += [self._stopping.kill_at_us] if self._stopping.kill_at_us > now_us else []
        if self._control.pid:
            dues.append(self._watchdog.look_again_us(self._control.generation, now_us))
        wait_us = min(due for due in dues if due is not None) - now_us
        poll = select.poll()
        poll.register(signals, select.POLLIN)
        for line in (self._fork_server.line, *(child.line for child in self._children)):
            if line is not None:
                poll.register(line, select.POLLIN)
        poll.poll(max(0, -(-wait_us // 1000)))

    def _handle(self, came: set[int], now_us: int) -> None:
        if signal.SIGCONT in came:
            self._watchdog.woke(now_us)
            for child in self._children:
                if child.pid:
                    os.kill(child.pid, signal.SIGCONT)
        if signal.SIGHUP in came and not self._control.send("hangup"):
            log.warning("got SIGHUP; there is no control process now that could answer it")
        for number in (signal.SIGTERM, signal.SIGINT):
            if number in came:
                self._stopping.again_at_us = None  # what a failover test has stopped stays so
                self._stop(f"got {signal.Signals(number).name}")

    def _receive(self) -> None:
        self._receive_from(None, self._fork_server.line)
        for child in self._children:
            self._receive_from(child, child.line)

    def _receive_from(self, child: Child | None, line: ControlChannel | None) -> None:
        while line is not None:
            try:
                message = line.receive()
            except EOFError:
                return  # that process is gone, which the kernel tells in another way
            if message is None:
                return
            if message.word == "hello":
                self._met_fork_server(Hello.of(message.facts), message.descriptors)
            elif message.word == "copied":
                self._copied(message.facts["place"], message.facts["generation"], message.facts["pid"])
            elif message.word == "up":
                self._workers_up += 1
            elif message.word == "released":
                self._stopping.is_released = True
            elif message.word == "halt" and child is self._control:
                self._halt(str(message.facts.get("fault")), int(message.facts.get("seconds", 0)))
            elif child is self._control and self._stopping.again_at_us is None:
                self._notices.reported(message.word, message.facts)

    def _met_fork_server(self, hello: Hello, sockets: tuple[int, ...]) -> None:
        if self._hello is None:
            self._hello, self._sockets = hello, list(sockets)
            if hello.uses_tls:
                import_module("ssl")  # now, and not from a disk that may hang when it is needed
            history = HistoryHandler(HistoryFile(hello.history, begins_anew=False))
            self._logging.enter_context(
                logging_to(level=hello.log_level, fmt=hello.log_format, directory=hello.log_directory, also=history)
            )
            if hello.address:
                self._address = address_of(virtual_address(*hello.address))
            self._workers = [
                *(Child(Role.WORKER, worker_place(number)) for number in range(hello.workers)),
                *(Child(Role.GATEWAY, gateway_place(number)) for number in range(hello.gateways)),
            ]
        elif hello.fingerprint != self._hello.fingerprint:
            self._stopping.code = Exit.NO  # the settings are good, and a service manager shall start the node with them
            self._stop("the settings have changed since the node was started, and its template had to be started again")
            return
        self._fork_server.is_ready = True

    def _copied(self, place: int, generation: int, pid: int) -> None:
        for child in self._children:
            if child.place == place and child.generation == generation and child.is_wanted:
                child.pid, child.is_wanted = pid, False
                self._page.stamp(place, host_us())
                if pid == 0:
                    log.error("%s could not be started: this host gives no further process", child.name)
                    child.empty()
                    self._plan_next(child)
                elif pid in self._adopted:
                    self._ended(child, self._adopted.pop(pid))

    # ---- ends -------------------------------------------------------------------------------------------------------

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._fork_server.pid:
                self._fork_server_ended(status)
                continue
            child = next((child for child in self._children if child.pid == pid), None)
            if child is None:
                self._adopted[pid] = status
            else:
                self._ended(child, status)

    def _fork_server_ended(self, status: int) -> None:
        code, how = how_it_ended(status)
        self._fork_server.reaped()
        for child in self._children:
            if child.is_wanted:
                child.empty()
        if self._stopping.why:
            return
        if -code in {signal.SIGTERM, signal.SIGINT}:  # sent to the whole group, and not yet ignored there
            self._stop("asked to stop")
        elif self._hello is None:  # it said itself what keeps the node from starting
            self._stopping.code = code if code > 0 else Exit.ERRORS
            self._stop("the settings could not be used")
        else:
            self._plan_fork_server(f"ended {how}")

    def _plan_fork_server(self, why: str) -> None:
        """Start the next fork server, later and later when none of them stays."""
        now_us = host_us()
        wait_ms = self._fork_server.restarts.died(now_us).wait_ms
        self._fork_server.due_us = now_us + wait_ms * 1_000
        told = noted(HistoryEvent.PROCESS_ENDED, process="template")
        when = f"in {wait_ms / 1000:g} s" if wait_ms else "now"
        log.warning("the template of this node's processes %s; another one is started %s", why, when, extra=told)

    def _launch_fork_server(self, now_us: int) -> None:
        try:
            self._fork_server.launch(self._sockets, now_us)
        except OSError as error:
            self._fork_server.reaped()
            self._plan_fork_server(f"could not be started ({error.strerror or error})")

    def _ended(self, child: Child, status: int) -> None:
        code, how = how_it_ended(status)
        if child.is_killed:
            how += f", as {child.is_killed}"
        pid = child.pid
        child.empty()  # first: whatever fails below, the place is free and is filled again
        try:
            if child is self._control:
                self._control_ended(pid, code, how)
            elif not self._stopping.why:
                told = noted(HistoryEvent.PROCESS_ENDED, process=child.role.value)
                log.warning("%s (process %d) ended %s", child.name, pid, how, extra=told)
        finally:
            if not self._stopping.why:
                self._plan_next(child)

    def _control_ended(self, pid: int, code: int, how: str) -> None:
        died_us = host_us()
        permission, generation = self._page.permission(), self._control.generation
        self._page.withdraw(generation)
        withdrawn_us = host_us()
        words = self._words.read()
        self._words.hand_over([])
        if code != Exit.DONE or not self._stopping.why:
            log.error("the control process (process %d) ended %s", pid, how, extra=noted(HistoryEvent.CONTROL_ENDED))
        # An earlier process's word stands on the page for good, and an ended one needs nobody to withdraw it.
        if permission is not None and permission.generation == generation and died_us < permission.deadline_us:
            log.warning(
                "withdrew this node's permission to lead at epoch %d from its API workers within %.1f ms",
                permission.authority.epoch,
                (withdrawn_us - died_us) / 1000,
                extra=noted(HistoryEvent.WITHDRAWN, epoch=permission.authority.epoch, node_process=pid),
            )
        if not self._drop_address():
            words = ()  # the next leader would take the address while it is still here
        for outcome in deliver(words) if words else ():
            place = f"{outcome.word.kind} at {outcome.word.host} port {outcome.word.port}"
            level = logging.WARNING if outcome.heard else logging.INFO
            told = noted(HistoryEvent.LAST_WORD, heard=outcome.heard)
            log.log(level, "last word to the %s: %s, after %.1f ms", place, outcome.said, outcome.took_ms, extra=told)
        if code in FATAL and not self._stopping.why:
            self._stopping.code = code
            self._stop(f"the control process ended {how}")

    def _drop_address(self) -> bool:
        """Drop it before anything is released, as the next leader may take it at once; whether it is surely gone."""
        if self._address is None:
            return True
        began_us = host_us()
        try:
            was_here = self._address.drop()
        except AddressForbidden as error:  # then it was never taken either
            log.error("%s", error)  # noqa: TRY400  # a sentence for the administrator
            return True
        except AddressError as error:
            why = "nothing is released, as the virtual address may still be here; another node leads after the lease"
            log.error("%s; %s", error, why)  # noqa: TRY400
            return False
        if was_here:
            took_ms = (host_us() - began_us) / 1000
            told = noted(HistoryEvent.ADDRESS, here=False)
            log.warning("dropped the virtual address within %.1f ms", took_ms, extra=told)
        return True

    def _plan_next(self, child: Child) -> None:
        now_us = host_us()
        answer = child.restarts.died(now_us)
        child.due_us = now_us + answer.wait_ms * 1000
        if answer.is_storm:
            if child is self._control:
                self._page.plan_start(answer.deaths, child.due_us)
            log.error(
                "%s died %d times in a row, never after a minute; the next one is started in %g s",
                child.name,
                answer.deaths,
                answer.wait_ms / 1000,
                extra=noted(HistoryEvent.RESTARTS, waitMs=answer.wait_ms),
            )

    # ---- what is due ------------------------------------------------------------------------------------------------

    def _tick(self, now_us: int) -> None:
        if self._stopping.why:
            self._go_on_stopping(now_us)
            if self._stopping.again_at_us is not None:
                self._notices.ping(now_us)
            return
        self._kill_the_hung(now_us)
        if not self._fork_server.pid and now_us >= self._fork_server.due_us:
            self._launch_fork_server(now_us)
        if self._fork_server.is_overdue(now_us, waited_for=any(child.is_wanted for child in self._children)):
            log.error("the template of this node's processes does not answer; it is killed, and another one started")
            self._fork_server.end()
        if self._fork_server.is_ready:
            for child in self._children:
                if not child.is_there and now_us >= child.due_us and (why := self._fork_server.copy(child, now_us)):
                    log.error("%s cannot be started: %s", child.name, why)
                    self._plan_next(child)
        self._notices.turned(has_worker=self._workers_up > 0)
        if not self._control.pid or not self._watchdog.why_hung(CONTROL, now_us):
            self._notices.ping(now_us)

    def _kill_the_hung(self, now_us: int) -> None:
        control = self._control
        if control.pid and not control.is_killed and (why := self._watchdog.why_frozen(control.generation, now_us)):
            self._page.withdraw(control.generation)
            control.kill(why)
        for worker in self._workers:
            if not worker.pid or worker.is_killed:
                continue
            if why := self._watchdog.why_hung(worker.place, now_us, worker.restarts.patience(now_us)):
                worker.kill(why)

    def _stop(self, why: str) -> None:
        """Leadership goes first: the workers drain once it is released."""
        if self._stopping.why:
            return
        self._stopping.why = why
        self._stopping.kill_at_us = host_us() + STEP_DOWN_US
        self._fork_server.end()
        for descriptor in self._sockets:
            os.close(descriptor)
        self._sockets = []
        if self._stopping.again_at_us is None:  # else the service goes on, for whoever watches it
            self._notices.stopping(f"stopping: {why}")
        self._control.send("stop", why=why)

    def _go_on_stopping(self, now_us: int) -> None:
        control = self._control
        if control.is_there and not self._stopping.is_released:
            if now_us >= self._stopping.kill_at_us:
                control.kill("it did not step down in time")
            return
        if self._hello is not None and self._workers and not self._stopping.is_draining:
            self._stopping.is_draining = True
            self._stopping.kill_at_us = now_us + self._hello.drain_s * 1_000_000 + BEYOND_DRAIN_US
            for worker in self._workers:
                worker.send("stop", drain_s=self._hello.drain_s)
        elif now_us >= self._stopping.kill_at_us:
            for child in self._children:
                child.kill("it did not end in time")
