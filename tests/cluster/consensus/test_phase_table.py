"""The table phase x event: every pair is handled, or ignored on purpose; and where each phase leads is what happens."""

from typing import get_args

import pytest

from rppam.cluster.consensus.any_phase import ignored
from rppam.cluster.consensus.effects import Event, Phase, VoteEvent
from rppam.cluster.consensus.election import PHASES, TABLE
from rppam.cluster.consensus.promises import Promises
from rppam.cluster.consensus.state import PhaseState, State
from rppam_sim.setting import Scenario
from rppam_sim.world import World
from scripts.election_page import PAGE, page


def test_each_event_has_a_handler_in_each_phase_or_is_ignored_on_purpose() -> None:
    assert set(TABLE) == set(get_args(Event))
    assert not set(TABLE) & set(get_args(VoteEvent)), "those concern the own vote, in whichever phase"
    for event, row in TABLE.items():
        assert len(row) == len(Phase), event
        assert all(callable(handler) for handler in row), event


def test_a_handler_of_one_phase_stands_in_its_column_alone() -> None:
    for event, row in TABLE.items():
        for phase, handler in zip(PHASES, row, strict=True):
            owner = handler.__qualname__.rpartition(".")[0]
            assert not owner or owner in {base.__name__ for base in phase.__mro__}, (event, phase)


def test_the_columns_are_the_phases_in_their_order() -> None:
    assert tuple(phase.name for phase in PHASES) == tuple(Phase)


def test_what_is_ignored_changes_nothing() -> None:
    assert ignored(None, None, None) is None  # type: ignore[arg-type, func-returns-value]


@pytest.mark.integration
def test_each_phase_leads_where_it_says_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {(phase.name, then) for phase in PHASES for then in phase.leads_to}
    seen: set[tuple[Phase, Phase]] = set()
    begin = PhaseState.__init__

    def noted(self: PhaseState, state: State, promises: Promises | None = None) -> None:
        begin(self, state, promises)
        if "phase" in vars(state):
            seen.add((state.phase.name, self.name))

    monkeypatch.setattr(PhaseState, "__init__", noted)
    runs = ((seed, policy) for seed in range(1, 9) for policy in ("record", "majority", "last-man-standing"))
    for seed, policy in runs:
        if not told <= seen:
            assert World(seed, Scenario(policy=policy)).run() is None
    assert seen - told <= {(Phase.STANDBY, Phase.STANDBY)}, "an order not to stand ends an attempt that never was"
    assert told <= seen, "each is taken"


def test_the_page_is_drawn_from_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run 'make docs'"
