"""The page that says what each surface says of each bad state: nothing is left out, and no cell is empty."""

import re
from functools import cache
from pathlib import Path

import pytest

from rppam.catalogue.table import ROWS
from rppam.cluster.health.model import UNHEALTHY
from rppam.cluster.store import store_warnings
from rppam.kernel.finding import Severity
from scripts.health_page import Told, cells_of
from scripts.health_states import FINDING, TASKS, WELL, State, states

SOURCE = Path(__file__).resolve().parents[2] / "src" / "rppam"
STATES = list(states())
OF_REDIS = ("1", "2", "3", "4", "5", "8")
"""Areas of findings that the page of faults shows, as real nodes told them."""
OF_THE_POLICY = {"RD-931", "RD-932", "RD-933", "RD-934"}
"""Advice that is no state of a node."""
OF_THE_START = {"RD-604", "RD-609", "RD-901", "RD-904"}
"""What keeps a node from starting is told by its end: no health speaks then."""


@cache
def texts() -> dict[Path, str]:
    """Of every module of the product, read once."""
    return {path: path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py")}


@cache
def joined() -> str:
    """All of it, with texts that are written in parts made one."""
    return re.sub(r'"\s*f?"', "", "".join(texts().values()))


@cache
def well() -> Told:
    return Told(WELL)


@pytest.mark.parametrize("state", STATES, ids=[one.name for one in STATES])
def test_no_cell_is_empty_and_what_health_says_status_shows_too(state: State) -> None:
    cells = cells_of(state, well())
    assert all(cell.strip() for cell in cells), cells
    assert cells[2], "health says nothing of it"
    assert cells[4] != "nothing" or "exit 0: the same" not in cells[3] or "finding" in cells[2], "nobody would notice"


@pytest.mark.parametrize("state", STATES, ids=[one.name for one in STATES])
def test_what_the_log_is_said_to_hold_is_logged_somewhere(state: State) -> None:
    if state.log is FINDING or state.log.startswith("nothing"):
        return
    assert state.log in joined(), state.log


def test_every_finding_that_a_node_makes_of_itself_has_its_line() -> None:
    made = set()
    for folder in ("app", "cluster", "db", "ledger", "licence", "audit"):
        for path, text in texts().items():
            if path.is_relative_to(SOURCE / folder):
                made |= set(re.findall(r'"(RD-\d+)"', text))
    shown = {one.code for state in STATES for one in state.change(WELL).findings}
    assert {code for code in made if code[3] not in OF_REDIS} - OF_THE_POLICY - OF_THE_START <= shown


def test_each_thing_that_a_node_does_beside_has_a_line_that_says_when_it_fails() -> None:
    named = re.compile(r'(?:RepeatedTask|NodeTask|super\(\).__init__)\(\s*"((?:the |failover tests )[^"]+)"')
    tasks = {name for text in texts().values() for name in named.findall(text)}
    assert tasks == TASKS.keys()
    assert set(TASKS.values()) <= {state.name for state in STATES}


def test_each_thing_that_others_do_to_what_is_shared_has_its_line() -> None:
    sentences = [one for name, one in vars(store_warnings).items() if name[0].isupper() and isinstance(one, str)]
    told = [warning for state in STATES for warning in state.change(WELL).warnings]
    for sentence in sentences:
        begins = sentence.partition("{")[0]
        assert sentence == store_warnings.WRITERS or any(one.startswith(begins) for one in told), sentence


def test_a_state_that_takes_something_from_people_is_not_healthy() -> None:
    for state in STATES:
        told = Told(state.change(WELL))
        grave = [one.code for one in told.snapshot.findings if one.severity is Severity.ERROR]
        assert not (grave and told.view.healthy), f"{state.name}: {grave}"
    assert ROWS.keys() >= UNHEALTHY
