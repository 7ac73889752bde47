"""What the ledger records of what operators do to members on their hosts."""

from typing import Final

from rppam.ledger.events import Action, Retention

_C = Retention.CLUSTER

ACTIONS: Final = (
    Action("cluster-key.begin", "node", "The next cluster key, or sealing key, was made on a node's host", _C, "which"),
    Action("cluster-key.switch", "node", "A node's host switched to the next key", _C, "which, whether by force"),
    Action("cluster-key.finish", "node", "A node's host stopped believing the previous key", _C, "which"),
    Action("member.adopt", "node", "A data directory was declared to be this host's own", _C),
    Action("cluster.found", "node", "A node was made a cluster of its own", _C, "policy"),
)
