"""What the supervisor does when the control process has died, where something else fails, too."""

import logging
import os
import re
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from rppam.cluster.health.ports import Authority
from rppam.cluster.vip.errors import AddressError, AddressForbidden, AddressRefused
from rppam.kernel.errors import Exit, Fault, RppamError
from rppam.kernel.system_clock import host_us
from rppam.process.control_channel import ControlChannel
from rppam.process.crash_release import LastWord
from rppam.process.shared_state import Permission
from rppam.process.supervisor import release_sender as delivery
from rppam.process.supervisor.children import Start
from rppam.process.supervisor.release_sender import Outcome
from scripts.references import all_errors

if sys.platform == "win32":
    pytest.skip("a node is a single process there", allow_module_level=True)

from rppam.process.supervisor import run
from rppam.process.supervisor.run import Supervisor

WORD = LastWord("store", "127.0.0.1", 1, b"x", b"+OK")
KILLED = 9
PID = 4_000_001


class Address:
    """A host that gives this answer."""

    def __init__(self, refusal: AddressError | None) -> None:
        self._refusal = refusal

    def take(self, life_s: int) -> bool:
        return False

    def drop(self) -> bool:
        if self._refusal is not None:
            raise self._refusal
        return True

    def claimed_by(self) -> str:
        return ""

    def announce(self) -> None:
        """Not asked."""


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[LastWord]:
    found: list[LastWord] = []

    def deliver(words: Sequence[LastWord]) -> list[Outcome]:
        found.extend(words)
        return [Outcome(word, heard=True, said="released", took_ms=1.0) for word in words]

    monkeypatch.setattr(run, "deliver", deliver)
    return found


@pytest.fixture
def supervisor() -> Supervisor:
    found = Supervisor(Start(Path("/nowhere/rppam.config"), None, None))
    found._control.pid = PID
    assert found._words.hand_over([WORD])
    return found


@pytest.mark.parametrize(
    ("refusal", "words"),
    [(None, 1), (AddressForbidden("not allowed, so it was never here"), 1), (AddressRefused("no answer in time"), 0)],
)
def test_nothing_is_released_while_the_address_may_still_be_here(
    supervisor: Supervisor,
    said: list[LastWord],
    refusal: AddressError | None,
    words: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    supervisor._address = Address(refusal)
    supervisor._ended(supervisor._control, KILLED)
    assert len(said) == words
    assert ("nothing is released" in caplog.text) is (words == 0)
    assert not supervisor._words.read(), "they are said once"


@pytest.mark.usefixtures("said")
def test_only_a_permission_that_stood_is_told_as_withdrawn(
    supervisor: Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    control, page = supervisor._control, supervisor._page

    def killed(generation: int) -> bool:
        control.pid, control.generation = PID, generation
        caplog.clear()
        supervisor._ended(control, KILLED)
        return "withdrew this node's permission to lead at epoch 7" in caplog.text

    page.permit(Permission(1, Authority(7, "boot"), host_us() + 60_000_000))
    assert killed(1)
    assert not killed(2), "that one never led"
    page.permit(Permission(3, Authority(7, "boot"), host_us()))
    assert not killed(3), "it had ended"


@pytest.mark.usefixtures("said")
def test_the_wait_in_a_storm_of_deaths_stands_where_workers_read_it(supervisor: Supervisor) -> None:
    for death in range(1, 6):
        assert supervisor._page.planned_start() == (0, 0)
        supervisor._control.pid, supervisor._control.generation = PID, death
        supervisor._ended(supervisor._control, KILLED)
    deaths, due_us = supervisor._page.planned_start()
    assert deaths == 5
    assert due_us == supervisor._control.due_us // 1_000 * 1_000 > host_us() + 4_000_000


def test_whatever_fails_at_its_end_the_next_control_process_is_started(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deliver(_words: object) -> list[Outcome]:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(run, "deliver", deliver)
    with pytest.raises(RuntimeError):
        supervisor._ended(supervisor._control, KILLED)
    assert not supervisor._control.is_there
    assert supervisor._control.restarts.died(0).deaths == 2, "the first was counted"


def test_a_word_that_gets_no_thread_keeps_no_other_from_being_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading, "Thread", Refused)
    (outcome,) = delivery.deliver([WORD], 50)
    assert (outcome.heard, outcome.said) == (False, "can't start new thread")


def test_a_template_that_will_not_stay_is_started_later_and_later(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)

    def spawn(*_words: object, **_more: object) -> int:
        raise BlockingIOError(11, os.strerror(11))

    monkeypatch.setattr(os, "posix_spawn", spawn)
    dues = []
    for _ in range(6):
        supervisor._launch_fork_server(0)
        assert not supervisor._fork_server.pid
        dues.append(supervisor._fork_server.due_us)
    assert dues == sorted(dues)
    assert "could not be started (Resource temporarily unavailable); another one is started now" in caplog.text
    assert "another one is started in 5 s" in caplog.text


def test_a_process_for_which_the_host_has_no_socket_is_started_later(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def pair(*_words: object, **_more: object) -> None:
        raise OSError(23, os.strerror(23))

    child, template = supervisor._control, supervisor._fork_server
    child.empty()
    ours, theirs = ControlChannel.pair()
    template.pid, template.is_ready, template.line = PID, True, ours
    monkeypatch.setattr(socket, "socketpair", pair)
    for _ in range(5):
        child.due_us = 0
        supervisor._tick(host_us())
    ours.close()
    theirs.close()
    assert "the control process cannot be started: Too many open files in system" in caplog.text
    assert not child.is_there
    assert child.due_us > host_us(), "later and later"


def test_a_fault_of_our_own_never_ends_a_node_for_good() -> None:
    """What the sample units take for final is what an administrator has to mend."""
    ours: list[type[RppamError]] = [error for error in all_errors() if error.row.fault is Fault.US]
    assert ours
    for unit in (Path(__file__).parents[3] / "packaging").glob("*.service"):
        final = {
            int(code) for code in re.findall(r"\d+", re.findall("RestartPreventExitStatus=(.*)", unit.read_text())[0])
        }
        assert Exit.CONFIGURATION in final
        assert [error for error in ours if error.row.exit in final] == [], unit.name
