"""What the service manager is told, and when."""

from rppam.supervisor.manager import Manager


class Told:
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
    manager = Manager(told)
    manager.reported("status", {"status": "standby"})
    manager.turned(has_worker=True)
    manager.reported("ready", {"status": "serving"})
    manager.turned(has_worker=False)
    manager.ping(10_000_000)
    assert told.heard == []
    manager.turned(has_worker=True)
    manager.reported("ready", {"status": "serving again"})
    manager.turned(has_worker=True)
    assert told.heard == ["ready serving", "status standby"]


def test_a_ping_leaves_when_it_is_due() -> None:
    told = Told()
    manager = Manager(told)
    manager.reported("ready", {"status": ""})
    manager.turned(has_worker=True)
    for now_us in range(10_000_000, 12_000_001, 100_000):
        manager.ping(now_us)
    assert told.heard.count("alive") == 5
    assert manager.due_us() == 12_500_000


def test_where_nobody_watches_nothing_is_due() -> None:
    told = Told()
    told.alive_every_ms = None
    manager = Manager(told)
    manager.reported("ready", {"status": ""})
    manager.turned(has_worker=True)
    manager.ping(10_000_000)
    assert manager.due_us() is None
    assert "alive" not in told.heard
