"""A node that should not lead stands down once, and stands again once that is over; not while it ends."""

from rppam.cluster.consensus.effects import StandAgain, StandDown
from rppam.cluster.driver.driver import Fitness


def test_it_is_told_when_it_changes_and_no_more_once_the_node_ends() -> None:
    why = [""]
    fitness = Fitness(lambda: why[0])
    assert fitness.judged() is None, "a node may lead until something says otherwise"
    why[0] = "it has another key"
    assert fitness.judged() == StandDown("it has another key")
    why[0] = "it has yet another key"
    assert fitness.judged() is None
    why[0] = ""
    assert isinstance(fitness.judged(), StandAgain)
    why[0] = "it has another key"
    assert fitness.judged() is not None
    fitness.ends()
    why[0] = ""
    assert fitness.judged() is None, "one that stops does not stand again"
