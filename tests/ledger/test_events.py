"""The catalogue of actions, which is loaded at the first look."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from rppam.ledger.events import Action, Catalogue, Retention


def test_threads_that_look_first_at_the_same_time_all_find_every_action(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one found a catalogue that the first had not filled yet, and what it was to record was not done."""
    begun = threading.Event()

    def slow(place: str) -> tuple[Action, ...]:
        begun.set()
        time.sleep(0.05)
        return (Action(place, "node", "It happened", Retention.CLUSTER),)

    monkeypatch.setattr("rppam.kernel.slice.load", slow)
    places = [f"place.{number}" for number in range(4)]
    catalogue = Catalogue(())
    catalogue.declare(places)
    with ThreadPoolExecutor() as threads:
        first = threads.submit(catalogue.__getitem__, places[0])
        assert begun.wait(5)
        others = [threads.submit(catalogue.__getitem__, place) for place in places]
        assert [one.result().name for one in (first, *others)] == [places[0], *places]
    catalogue.declare(["one more"])
    assert set(catalogue) == {*places, "one more"}
