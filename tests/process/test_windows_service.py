"""What the service manager of Windows is told and answered; its own calls are type-checked only."""

from rppam.process.notify import STOP_HINT_MS, WindowsService, run_as_service

STOP, PAUSE, INTERROGATE, SHUTDOWN = 1, 2, 4, 5
STOPPED, STOP_PENDING, RUNNING = 1, 3, 4


def test_elsewhere_nobody_manages_this_process_in_that_way() -> None:
    assert run_as_service(lambda _: 0) is None
    assert WindowsService.current is None


def test_the_manager_hears_of_each_state_and_of_the_programs_own_exit_code() -> None:
    told: list[tuple[int, int, int]] = []

    def report(state: int, code: int, within_ms: int) -> bool:
        told.append((state, code, within_ms))
        return True

    service = WindowsService(report)
    assert service.ready("serving on port 7101")
    assert service.stopping("stopping")
    assert service.ended(78)
    assert told == [(RUNNING, 0, 0), (STOP_PENDING, 0, STOP_HINT_MS), (STOPPED, 78, 0)]
    assert service.alive_every_ms is None


def test_stop_and_shutdown_stop_the_node_and_what_is_not_known_is_refused() -> None:
    told: list[int] = []
    why: list[str] = []

    def report(state: int, code: int, within_ms: int) -> bool:
        told.append(state)
        return True

    service = WindowsService(report)
    service.on_stop = why.append
    assert [service.asked(control) for control in (INTERROGATE, PAUSE, STOP, SHUTDOWN)] == [0, 120, 0, 0]
    assert why == ["the service manager asks to stop"] * 2
    assert told == [STOP_PENDING] * 2
