"""Versions of the formats that two processes of different releases exchange, and the oldest that each understands.

A format that only gains fields or message types keeps its numbers: a reader passes over what it does not know. A known
field with another meaning, form or range needs a higher version, spoken first one release after it is understood.
What each format looks like now is frozen in ``tests/golden``.
"""

from typing import Final, NamedTuple


class Format(NamedTuple):
    """Versions of one format."""

    version: int
    """What this release writes."""
    oldest: int
    """The oldest that it understands."""

    def common(self, version: int, oldest: int) -> int | None:
        """The version to speak with a peer that speaks ``version`` and understands ``oldest``; ``None``: none."""
        spoken = min(self.version, version)
        return spoken if spoken >= max(self.oldest, oldest) else None

    def reads(self, version: int) -> bool:
        """Whether a text of that version is understood."""
        return self.oldest <= version <= self.version

    def refusal(self, what: str, version: int) -> str:
        """A sentence for a text that is not understood: ``what`` begins it, as in "node2 writes heartbeats of"."""
        where = "on this node" if version > self.version else "there"
        known = str(self.version) if self.oldest == self.version else f"{self.oldest} to {self.version}"
        return f"{what} format {version}; this release understands {known}: update rppam {where}"


MEMBER_LINK: Final = Format(4, 4)
"""3 was lines of words, of the releases that refused every other version."""
HEARTBEAT: Final = Format(2, 1)
"""1 named no version, and its readers refused fields that they did not know."""
NODE_CALLS: Final = Format(1, 1)
"""Between the processes of one node, which differ in release from an update to the next restart."""
