"""Whether a leader that goes leaves its place to anybody: who could win a majority without it, and keep it.

A vote is worth something only while its member's disk takes promises, and each says with its votes whether that is so.
A leader that went all the same would leave the cluster without one for as long as the disks stay full. Of whom nothing
was heard the best is assumed: whether a member answers at all is judged by who asks for a switchover.

It does not promise that the one who is left wins: disks fill up between one trial and the next.
"""

from collections.abc import Mapping
from typing import Final

from rppam.cluster.consensus.ledger import Weights, is_majority
from rppam.cluster.consensus.membership import STORE, Membership
from rppam.cluster.consensus.messages import Readiness, Vote
from rppam.cluster.consensus.voter import Voter

NOBODY_FOLLOWS: Final = (
    "{why}, and leadership is kept all the same: nobody else could win it, as too few members could keep a promise on "
    "disk. See the warnings of each in its health, and make room there"
)


def is_left_in_hands(
    voter: Voter, electorate: Membership, answers: Mapping[str, Vote], *bodies: Weights, has_store: bool
) -> bool:
    """Whether a member besides ``voter``'s own node could lead by votes that are kept.

    ``answers``: what each last said. ``has_store``: whether the store's vote can be asked for.
    """
    unable = {name for name, vote in answers.items() if vote.stance is Readiness.UNABLE}
    if voter.why_unable:
        unable.add(voter.node)
    able = set(electorate.members) - unable
    heirs = (name for name in able if name != voter.node and electorate.may_stand(name))
    return any(heirs) and is_majority(able | {STORE} if has_store else able, *bodies)
