"""Founding a cluster: the first list of members, written into each founder's data directory.

It is done once, by an operator (``rppam init``, ``rppam cluster found``, the demo). Later members come by asking the
leader. Founding twice makes two clusters that know nothing of each other; the lineage, drawn here, tells them apart.
"""

from collections.abc import Mapping
from pathlib import Path

from rppam.cluster.consensus.membership import Membership, QuorumPolicy, VoterSet, founding
from rppam.cluster.consensus.messages import NO_CLAIM, PersistedVote
from rppam.cluster.store.vote_file import FILE_NAME, FilePromises
from rppam.kernel.entropy import Entropy


def found(
    homes: Mapping[str, Path], policy: QuorumPolicy, entropy: Entropy, witnesses: tuple[str, ...] = ()
) -> Membership:
    """Make the members named in ``homes`` one cluster; each path is that member's data directory.

    Where all of them are members of just this cluster already, nothing changes. Raises PromiseFileBroken and
    PromiseFileUnwritable.
    """
    body = VoterSet.of(tuple(homes), policy, witnesses)
    files = {name: FilePromises(home / FILE_NAME) for name, home in homes.items()}
    kept = {name: file.load() for name, file in files.items()}
    present = {entry.electorate for entry in kept.values() if entry is not None}
    if len(present) == 1 and None not in kept.values():
        (electorate,) = present
        if electorate is not None and electorate.old is None and electorate.body == body:
            return electorate
    electorate = founding(entropy.nonce(), body)
    for name, file in files.items():
        before = kept[name]
        file.adopt(PersistedVote(NO_CLAIM, electorate, 0 if before is None else before.highest))
    return electorate
