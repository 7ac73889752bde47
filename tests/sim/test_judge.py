"""What the judge takes for a claim without a majority (S3) and for an epoch that was known (S2), and what not."""

import pytest

from rppam.cluster.consensus.effects import ClaimEpoch, ConfirmEpoch
from rppam_sim.plants import CORRECT
from rppam_sim.setting import Scenario
from rppam_sim.verdict import Broken
from rppam_sim.world import World

pytestmark = [pytest.mark.integration, pytest.mark.beside]

FIVE = Scenario(nodes=5, policy="majority")
RECORD = Scenario(nodes=4, policy="record")
EPOCH = 7


def test_a_claim_takes_a_majority_and_a_confirmation_the_permission_it_was_made_with() -> None:
    world = World(0, FIVE, CORRECT)
    host = world.hosts[0]
    world.start(host, 1)
    for effect, had in ((ClaimEpoch(1, EPOCH), EPOCH), (ConfirmEpoch(EPOCH), None), (ConfirmEpoch(EPOCH), EPOCH - 1)):
        with pytest.raises(Broken):
            world.judge.decided(host, [effect], had, 0)
    world.judge.decided(host, [ConfirmEpoch(EPOCH)], EPOCH, 0)


def test_a_leader_confirms_its_epoch_in_the_step_in_which_a_newer_list_takes_its_majority() -> None:
    """It stood still, and the answer that it hears then brings a list that another leader had begun."""
    assert World(1_018_883, FIVE, CORRECT).run() is None


def test_what_a_node_is_shown_once_it_has_written_an_epoch_may_be_its_own() -> None:
    """Nobody told it of the one before; then a mark stood in the place of its own record."""
    assert World(1_049_940, RECORD, CORRECT).run() is None


@pytest.mark.parametrize(("before", "later", "breaks"), [(0, 7, False), (7, 7, True), (0, 8, True)])
def test_an_epoch_that_was_shown_before_or_is_higher_was_known(
    before: int, later: int, breaks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(0, RECORD, CORRECT)
    host = world.hosts[0]
    world.start(host, 1)
    world.judge.highest = EPOCH
    host.took_over_epoch, host.shown_before = EPOCH - 1, before
    monkeypatch.setattr(type(host), "shown", lambda _host: later)
    if breaks:
        with pytest.raises(Broken):
            world.judge._higher(host, EPOCH, 0)
    else:
        world.judge._higher(host, EPOCH, 0)
