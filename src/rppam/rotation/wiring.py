"""The parts of rotation in one process."""

from typing import Final

from rppam.cluster.driver.leader_tasks import RepeatedTask
from rppam.foundation import ControlFoundation, Foundation
from rppam.kernel.services import Services
from rppam.rotation.asking import Hands
from rppam.rotation.runner import Runner
from rppam.rotation.service import Rotations
from rppam.rotation.watch import RotationWatch
from rppam.vault.keys import master_keys_of
from rppam.vault.sealing import Keyring
from rppam.vault.service import Vault

WORK_EVERY_S: Final = 1.0


def wire(_base: Foundation, services: Services) -> None:
    """Offer the rotations."""
    services.add(Rotations, Rotations(services.get(Vault)))


def leader_tasks(base: ControlFoundation) -> list[RepeatedTask]:
    """Change what is due."""
    keyring = Keyring(master_keys_of(base.config, base.clock))
    runner = Runner(base.database, keyring, base.node, Hands, base.config.access.source_addresses)
    return [RepeatedTask("the rotation of secrets", WORK_EVERY_S, runner.work)]


def node_tasks(base: ControlFoundation) -> list[RotationWatch]:
    """Say in health which secrets could not be changed."""
    return [RotationWatch(base.database)]
