"""The checker has teeth: planted violations are found, and nothing else is accused."""

import itertools
import random
from collections.abc import Iterable

import pytest

from tests.faults.lab.history import NEVER, Deed, Outcome, leadership_faults, register_faults, spans
from tests.support.watching import Sample

pytestmark = pytest.mark.integration


def write(
    value: str, sent: int, received: float, epoch: int = 1, node: str = "a", outcome: Outcome = "accepted"
) -> Deed:
    return Deed(node, "write", sent, received, value, epoch, outcome)


def read(value: str, sent: int, received: float, node: str = "b") -> Deed:
    return Deed(node, "read", sent, received, value, 0, "accepted")


# ---- leadership ------------------------------------------------------------------------------------------------------


def test_spans_hold_only_what_is_certain() -> None:
    seen = [Sample("a", at, at + 3, 200, 7) for at in (10, 20, 30)] + [Sample("a", 40, 41, 503, 0)]
    assert spans(seen) == [("a", 7, 13, 30)]
    assert spans([Sample("a", 10, 13, 200, 7)]) == [("a", 7, 13, 13)]


def test_two_leaderships_that_overlap_are_a_violation_and_those_that_touch_are_not() -> None:
    first = [Sample("a", at, at + 3, 200, 7) for at in range(0, 100, 10)]
    after = [Sample("b", at, at + 3, 200, 8) for at in range(90, 200, 10)]
    assert leadership_faults(first + after) == []
    assert leadership_faults([*first, *after, Sample("a", 94, 99, 200, 7)]) != []
    assert leadership_faults([*first, Sample("b", 300, 301, 200, 6)]) != [], "a lower epoch led later"
    assert leadership_faults([*first, Sample("b", 300, 301, 200, 7)]) != [], "one epoch, two nodes"


# ---- the register ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "deeds",
    [
        [],
        [read("", 0, 5), write("1", 10, 20), read("1", 30, 40)],
        [write("1", 10, 40), read("", 20, 30), read("1", 25, 35)],
        [write("1", 10, 20), write("2", 15, 25), read("1", 30, 40)],
        [write("1", 10, NEVER, outcome="unknown"), read("", 500, 510), read("1", 600, 610)],
        [write("1", 10, NEVER, outcome="unknown"), read("", 500, 510)],
        [write("1", 10, 20, 5), write("2", 15, 25, 4)],
        [write("1", 10, 20, outcome="refused"), read("", 500, 510)],
    ],
)
def test_histories_of_one_register_are_accepted(deeds: list[Deed]) -> None:
    assert register_faults(deeds) == []


@pytest.mark.parametrize(
    ("deeds", "said"),
    [
        ([write("1", 10, 20, 5), write("2", 30, 40, 4)], "at epoch 4, 0.0 ms after a wrote at 5"),
        ([write("1", 10, 20), read("", 30, 40)], "'1' came and went while the register held ''"),
        ([write("1", 10, 20), write("2", 30, 40), read("1", 50, 60)], "'2' came and went while .* held '1'"),
        ([write("1", 10, 20, outcome="refused"), read("1", 50, 60)], "'1', which a had refused"),
        ([read("ghost", 50, 60)], "which nobody wrote"),
        ([read("1", 5, 8), write("1", 10, 20)], "before it was written"),
        ([write("1", 10, NEVER, outcome="unknown"), read("1", 30, 40), read("", 50, 60)], "held ''"),
        (
            [write("1", 0, 9), write("2", 1, 8), read("1", 20, 21), read("2", 30, 31), read("1", 40, 41)],
            "between two operations that show",
        ),
    ],
)
def test_planted_violations_are_found(deeds: list[Deed], said: str) -> None:
    found = register_faults(deeds)
    assert found
    with pytest.raises(AssertionError, match=said):
        raise AssertionError("; ".join(found))


def explained(deeds: Iterable[Deed]) -> bool:
    """Whether any order of the operations explains them: the definition, by trying all. Only for a few operations."""
    done = [deed for deed in deeds if deed.outcome != "refused"]
    for order in itertools.permutations(done):
        held, fits = "", True
        for place, deed in enumerate(order):
            if any(later.received_ns < deed.sent_ns for later in order[place:]):
                fits = False
            elif deed.kind == "write":
                held = deed.value
            else:
                fits = deed.value == held
            if not fits:
                break
        if fits:
            return True
    return False


def test_the_judgement_is_that_of_the_definition_on_random_histories() -> None:
    chance = random.Random(4)
    verdicts = []
    for _ in range(3_000):
        deeds: list[Deed] = []
        for number in range(chance.randint(1, 3)):
            sent = chance.randrange(60)
            deeds.append(write(str(number), 100 + 2 * sent, 101 + 2 * (sent + chance.randrange(30))))
        for _ in range(chance.randint(1, 3)):
            sent = chance.randrange(90)
            value = chance.choice(["", *(deed.value for deed in deeds if deed.kind == "write")])
            deeds.append(read(value, 100 + 2 * sent, 101 + 2 * (sent + chance.randrange(20))))
        wanted = explained(deeds)
        verdicts.append(wanted)
        assert (register_faults(deeds) == []) == wanted, deeds
    assert 300 < sum(verdicts) < 2_700, "both verdicts were asked for"
