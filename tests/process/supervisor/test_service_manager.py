"""What the service manager is told, and when."""

from rppam.process.notify import Notifier
from rppam.process.supervisor.service_manager import Notices


class Told(Notifier):
    """A service manager that writes down."""

    alive_every_ms: int | None = 500

    def __init__(self) -> None:
        self.heard: list[str] = []

    def ready(self, status: str) -> bool:
        self.heard.append(f"ready {status}")
        return True

    def status(self, text: str) -> bool:
        self.heard.append(f"status {text}")
        return True

    def alive(self) -> bool:
        self.heard.append("alive")
        return True

    def stopping(self, status: str) -> bool:
        self.heard.append(f"stopping {status}")
        return True


def test_ready_comes_first_and_once_and_needs_somebody_who_answers() -> None:
    told = Told()
    notices = Notices(told)
    notices.reported("status", {"status": "standby"})
    notices.turned(has_worker=True)
    notices.reported("ready", {"status": "serving"})
    notices.turned(has_worker=False)
    notices.ping(10_000_000)
    assert told.heard == []
    notices.turned(has_worker=True)
    notices.reported("ready", {"status": "serving again"})
    notices.turned(has_worker=True)
    assert told.heard == ["ready serving", "status standby"]


def test_a_ping_leaves_when_it_is_due() -> None:
    told = Told()
    notices = Notices(told)
    notices.reported("ready", {"status": ""})
    notices.turned(has_worker=True)
    for now_us in range(10_000_000, 12_000_001, 100_000):
        notices.ping(now_us)
    assert told.heard.count("alive") == 5
    assert notices.due_us() == 12_500_000


def test_where_nobody_watches_nothing_is_due() -> None:
    told = Told()
    told.alive_every_ms = None
    notices = Notices(told)
    notices.reported("ready", {"status": ""})
    notices.turned(has_worker=True)
    notices.ping(10_000_000)
    assert notices.due_us() is None
    assert "alive" not in told.heard
