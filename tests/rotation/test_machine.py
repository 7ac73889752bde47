"""The change of a secret, decided: what is done first, what is asked after a crash, simulated histories."""

import pytest

from rppam.rotation.machine import (
    KEPT,
    NONE_TAKEN,
    UNREACHED,
    Begin,
    Call,
    Called,
    Commit,
    Phase,
    Run,
    Settle,
    Stage,
    Tried,
    Try,
    begun,
    called,
    next_step,
    staged,
    tried,
)
from rppam_sim.rotations import play

HISTORIES = 3_000


def test_the_way_without_trouble() -> None:
    run = Run(Phase.WAITING, current=4)
    assert next_step(run) == Try(4), "what counts now is seen to work before anything is touched"
    run = tried(run, 4, Tried.WORKS)
    assert next_step(run) == Stage()
    run = staged(run, 5)
    assert next_step(run) == Begin()
    run = begun(run)
    assert next_step(run) == Call()
    run = called(run, Called.DONE)
    assert next_step(run) == Try(5)
    assert next_step(tried(run, 5, Tried.WORKS)) == Commit(5)


def test_who_takes_over_a_change_asks_before_anything_else() -> None:
    run = Run(Phase.CHANGING, current=4, staged=5, others=(3, 2))
    assert next_step(run) == Try(5), "it never calls again, and makes nothing new, before it knows"
    assert next_step(tried(run, 5, Tried.WORKS)) == Commit(5)
    assert next_step(tried(run, 5, Tried.UNKNOWN)) == Settle(Phase.CHANGING, UNREACHED)
    run = tried(run, 5, Tried.REFUSED)
    assert next_step(run) == Try(4)
    assert next_step(tried(run, 4, Tried.WORKS)) == Settle(Phase.WAITING, KEPT, drops=True)
    run = tried(tried(run, 4, Tried.REFUSED), 3, Tried.REFUSED)
    assert next_step(tried(run, 2, Tried.WORKS)) == Commit(2), "a call of long ago that came late"
    assert next_step(tried(run, 2, Tried.REFUSED)) == Settle(Phase.UNCERTAIN, NONE_TAKEN)


def test_a_target_that_refused_is_asked_for_the_old_secret_first() -> None:
    run = called(begun(staged(Run(Phase.WAITING, current=4), 5)), Called.REFUSED)
    assert next_step(run) == Try(4)


def test_where_none_is_taken_another_account_may_set_a_new_one_and_nobody_else() -> None:
    own = tried(Run(Phase.UNCERTAIN, current=4), 4, Tried.REFUSED)
    assert next_step(own) == Settle(Phase.UNCERTAIN, NONE_TAKEN)
    assert next_step(own._replace(by_other=True)) == Stage()
    drifted = tried(Run(Phase.WAITING, current=4), 4, Tried.REFUSED)
    assert next_step(drifted) == Settle(Phase.UNCERTAIN, NONE_TAKEN), "a secret that is not right is not changed with"


@pytest.mark.parametrize("share", range(3))
def test_no_history_loses_the_secret(share: int) -> None:
    steps = sum(play(seed) for seed in range(share * HISTORIES, (share + 1) * HISTORIES))
    assert steps > HISTORIES
