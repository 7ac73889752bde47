"""What only the leader may do: its permission, asked for at the moment of acting.

Should it lapse on the way to the database, the fence there refuses.
"""

from rppam.cluster.health.ports import Authority, NodeStatus
from rppam.foundation import Foundation
from rppam.http.errors import NotLeaderError
from rppam.kernel.services import Services


def authority_of(services: Services) -> Authority:
    """Under which leadership this node acts now. Raises :class:`NotLeaderError` that says where to go instead."""
    authority = services.get(NodeStatus).authority()
    if authority is not None:
        return authority
    snapshot = services.get(NodeStatus).snapshot()
    # A snapshot may still name this node for a moment after its permission lapsed; sending the caller here again
    # would be wrong.
    leader = snapshot.leader if snapshot.leader != services.get(Foundation).node else None
    url = next((member.api_url for member in snapshot.members if member.node == leader), None)
    raise NotLeaderError(services.get(Foundation).node, leader, url)
