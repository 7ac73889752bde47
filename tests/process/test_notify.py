"""What systemd would receive, received by a real datagram socket; and that nothing there can stop a node."""

import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from rppam.kernel.platform_errors import NotifyAddressError, WatchdogPeriodError
from rppam.process.notify import Notifier, SystemdNotifier, notifier, watchdog_period_ms


class Manager:
    """The receiving end, at a path or an abstract name."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(5)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)

    def heard(self) -> list[str]:
        return self.socket.recv(4096).decode().split("\n")


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    address = f"@rppam-{secrets.token_hex(8)}" if request.param == "abstract" else str(tmp_path / "notify")
    manager = Manager(address)
    yield manager
    manager.socket.close()


def test_a_life_as_systemd_hears_it(manager: Manager) -> None:
    told = SystemdNotifier(manager.address, alive_every_ms=5_000)
    assert told.ready("standby of pam-1")
    assert manager.heard() == ["READY=1", "STATUS=standby of pam-1"]
    assert told.alive()
    assert manager.heard() == ["WATCHDOG=1"]
    assert told.status("leader, epoch 7\nREADY=0 \u2013 one line only")
    assert manager.heard() == ["STATUS=leader, epoch 7 READY=0 \u2013 one line only"]
    assert told.stopping("stepping down")
    assert manager.heard() == ["STOPPING=1", "STATUS=stepping down"]
    told.close()


def test_a_full_queue_delays_nothing_and_answers_false(manager: Manager) -> None:
    told = SystemdNotifier(manager.address)
    answers = [told.alive() for _ in range(5_000)]
    assert answers[0]
    assert not answers[-1]
    told.close()


def test_a_manager_that_went_away_stops_nothing(manager: Manager) -> None:
    told = SystemdNotifier(manager.address)
    manager.socket.close()
    if not manager.address.startswith("@"):
        Path(manager.address).unlink()
    assert not told.ready("leader")
    told.close()


def test_surroundings_without_a_manager_get_the_silent_one() -> None:
    silent = notifier({}, pid=1)
    assert type(silent) is Notifier
    assert silent.alive_every_ms is None
    assert not any([silent.ready("x"), silent.status("x"), silent.alive(), silent.stopping("x")])


def test_surroundings_with_a_manager_are_used(manager: Manager) -> None:
    told = notifier({"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "10000000"}, pid=42)
    assert isinstance(told, SystemdNotifier)
    assert told.alive_every_ms == 5_000
    assert told.ready("up")
    assert manager.heard()[0] == "READY=1"
    told.close()


@pytest.mark.parametrize(
    ("environment", "expected_ms"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": ""}, None),
        ({"WATCHDOG_USEC": "10000000"}, 5_000),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "42"}, 5_000),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "43"}, None),  # meant for another process
        ({"WATCHDOG_USEC": "500"}, 1),
    ],
)
def test_the_watchdog_is_pinged_twice_per_interval(environment: dict[str, str], expected_ms: int | None) -> None:
    assert watchdog_period_ms(environment, pid=42) == expected_ms


@pytest.mark.parametrize("text", ["0", "-5", "10s", "1.5", "\u0663"])
def test_a_broken_interval_is_named(text: str) -> None:
    with pytest.raises(WatchdogPeriodError, match="WATCHDOG_USEC: expected a positive whole number"):
        watchdog_period_ms({"WATCHDOG_USEC": text}, pid=42)


@pytest.mark.parametrize("address", ["vsock:2:1234", "notify", "/", "@"])
def test_an_address_of_another_kind_is_named(address: str) -> None:
    with pytest.raises(NotifyAddressError, match="NOTIFY_SOCKET: expected an absolute path"):
        SystemdNotifier(address)
