"""The parts of the vault in one process."""

from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from rppam.cluster.driver.leader_tasks import RepeatedTask
from rppam.cluster.driver.node_tasks import NodeTask
from rppam.foundation import ControlFoundation, Foundation
from rppam.kernel.services import Services
from rppam.vault.checkout_service import Checkouts
from rppam.vault.folder_service import Folders
from rppam.vault.key_service import VaultKeys
from rppam.vault.key_watch import FRESH_US, KeyWatch
from rppam.vault.keys import master_keys_of
from rppam.vault.peer_agreement import AGREE, CONFIRM, agreed
from rppam.vault.peer_unseal import ORDER, PeerUnseal, answer
from rppam.vault.ports import Grants, Tells, Uses
from rppam.vault.sealing import Keyring
from rppam.vault.service import Vault

T = TypeVar("T")
SWEEP_EVERY_S: Final = 0.5
FOLLOW_EVERY_S: Final = 2.0


def wire(base: Foundation, services: Services) -> None:
    """Offer the vault."""
    vault = services.add(
        Vault,
        vault_of(
            base,
            lambda: _offered(services, Grants),
            lambda: _offered(services, Uses),
            lambda: _offered(services, Tells),
        ),
    )
    services.add(Checkouts, Checkouts(vault, minutes_max=base.config.vault.checkout_minutes_max))
    services.add(Folders, Folders(vault))
    services.add(VaultKeys, VaultKeys(base.database, vault.keyring))


def vault_of(
    base: Foundation | ControlFoundation,
    grants: Callable[[], Grants | None],
    uses: Callable[[], Uses | None] = lambda: None,
    tells: Callable[[], Tells | None] = lambda: None,
) -> Vault:
    """The vault on a foundation of any process."""
    keyring = Keyring(master_keys_of(base.config, base.clock))
    return Vault(base.database, keyring, grants, uses, tells, reason_pattern=base.config.vault.reason_pattern or "")


def leader_tasks(base: ControlFoundation) -> list[RepeatedTask]:
    """End check-outs whose time is over, and wrap anew what is wrapped with a key that goes."""
    vault = vault_of(base, lambda: None)
    checkouts = Checkouts(vault, minutes_max=base.config.vault.checkout_minutes_max)
    keys = VaultKeys(base.database, vault.keyring)
    return [
        RepeatedTask("the sweep of check-outs", SWEEP_EVERY_S, lambda _: checkouts.sweep()),
        RepeatedTask("the change of the vault's keys", FOLLOW_EVERY_S, lambda _: keys.follow()),
    ]


def node_tasks(base: ControlFoundation) -> list[NodeTask]:
    """Say in health when this node's master key is not the vault's."""
    keyring = Keyring(master_keys_of(base.config, base.clock, FRESH_US))
    tasks: list[NodeTask] = []
    if base.config.vault.key_source == "shares":
        opening = PeerUnseal(base.config, base.database, base.link)
        tasks.append(opening)
        if base.link is not None and base.link_orders is not None:
            base.link_orders[ORDER] = partial(answer, base.config, base.link)
            base.link_orders[AGREE] = partial(agreed, base.config, base.link)
            base.link_orders[CONFIRM] = opening.questions.confirm
    leads_without = base.config.vault.lead_without_key or not base.config.cluster.enabled
    return [*tasks, KeyWatch(base.database, keyring, leads_without=leads_without)]


def _offered(services: Services, kind: type[T]) -> T | None:
    try:
        return services.get(kind)
    except LookupError:
        return None
