"""What only the leader may do: its permission, asked for at the moment of acting.

Should it lapse on the way to the database, the fence there refuses.
"""

from rppam.cluster.health.ports import Authority
from rppam.http.errors import NotLeaderError
from rppam.manager.parts import ApiParts


def authority_of(parts: ApiParts) -> Authority:
    """Under which leadership this node acts now. Raises :class:`NotLeaderError` that says where to go instead."""
    authority = parts.status.authority()
    if authority is not None:
        return authority
    snapshot = parts.status.snapshot()
    # A snapshot may still name this node for a moment after its permission lapsed; sending the caller here again
    # would be wrong.
    leader = snapshot.leader if snapshot.leader != parts.node else None
    url = next((member.api_url for member in snapshot.members if member.node == leader), None)
    raise NotLeaderError(parts.node, leader, url)
