"""What the judge takes for a claim without a majority (S3), and what not."""

import pytest

from rppam.cluster.consensus.effects import ClaimEpoch, ConfirmEpoch
from rppam_sim.plants import CORRECT
from rppam_sim.setting import Scenario
from rppam_sim.verdict import Broken
from rppam_sim.world import World

pytestmark = [pytest.mark.integration, pytest.mark.beside]

FIVE = Scenario(nodes=5, policy="majority")
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
