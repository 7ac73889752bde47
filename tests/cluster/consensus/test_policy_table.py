"""The table of policies in the manual is what the votes make of it."""

from itertools import combinations
from pathlib import Path

from rppam.cluster.consensus.membership import QuorumPolicy, VoterSet
from rppam.cluster.consensus.promises import STORE

PAGE = Path(__file__).parents[3] / "docs" / "safety-levels.md"


def losable(body: VoterSet, *, with_store: bool) -> int:
    """The most members that may be lost, whichever they are, while the rest can still elect."""
    lost = -1
    for count in range(len(body.members)):
        for gone in combinations(body.members, count):
            there = {*body.members, *([STORE] if with_store else [])} - {*gone}
            if sum(body.weights.get(name, 0) for name in there) < body.needed:
                return lost
        lost = count
    return lost


def row(policy: QuorumPolicy, count: int) -> str:
    body = VoterSet.of(tuple(f"node{number}" for number in range(count)), policy)
    total = sum(body.weights.values())
    cells = (
        f"`{policy}`", count, body.store_votes, f"{body.needed} of {total}", losable(body, with_store=True),
        losable(body, with_store=False), "yes" if body.store_votes else "no",
    )  # fmt: skip
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def test_every_row_of_the_manual_is_computed() -> None:
    shown = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith(("| `last", "| `maj"))]
    assert shown == [row(policy, count) for policy in QuorumPolicy for count in (2, 3, 4, 5)]
