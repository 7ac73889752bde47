"""What a run is, besides its seed: how many nodes, who votes, which store, and what may go wrong."""

from typing import Final, NamedTuple

from rppam.cluster.consensus.membership import QuorumPolicy
from rppam_sim.member_faults import KINDS

RECORD: Final = "record"
"""No member votes; the leadership record and the node itself decide."""
POLICIES: Final = (RECORD, *(policy.value for policy in QuorumPolicy))
SINGLE: Final = "single"
SENTINEL: Final = "sentinel"
STORES: Final = (SINGLE, SENTINEL)
"""One server; or one with replicas, which confirm each write, and a failover among them."""


class Scenario(NamedTuple):
    """What a run is, besides its seed."""

    hours: float = 1.0
    nodes: int = 3
    profile: str = "classic"
    faults: tuple[str, ...] = KINDS
    """Kinds that may happen; those that cannot in this setting do not."""
    policy: str = RECORD
    witnesses: int = 0
    """Members that vote and never stand, besides the nodes."""
    store: str = SINGLE

    @property
    def votes(self) -> bool:
        """Whether members vote."""
        return self.policy != RECORD

    @property
    def described(self) -> str:
        """For people."""
        words = f"{self.nodes} nodes, profile {self.profile}"
        if self.witnesses:
            words += f", {self.witnesses} witness{'es' if self.witnesses > 1 else ''}"
        if self.votes:
            words += f", policy {self.policy}"
        return words + (", store behind Sentinel" if self.store == SENTINEL else "")

    @property
    def options(self) -> str:
        """As they are typed."""
        words = f"--nodes {self.nodes} --profile {self.profile}"
        if self.votes:
            words += f" --policy {self.policy}"
        if self.witnesses:
            words += f" --witnesses {self.witnesses}"
        return words + (f" --store {self.store}" if self.store != SINGLE else "")
