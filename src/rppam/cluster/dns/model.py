"""The name that follows the leader, the mark beside it, and who may write over whom.

Beside the addresses of ``pam.example.com`` stands a text at ``_rppam.pam.example.com``: whose they are, and at which
epoch they were written. A leader writes addresses and mark in one update, on the condition that the mark is still the
one that it has just read and judged here. So of two leaders the later one wins, whatever is delayed, frozen or sent
twice: who wrote before can only find a mark that is not the one it read, or one that is above its own.

What it does not promise: that a name server is the only one. With several that take updates the condition is judged by
each for itself.
"""

from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

MARK_LABEL: Final = "_rppam"
_WORD: Final = "rppam1"
"""What a mark begins with: its form, and its version."""
_FIELDS: Final = ("cluster", "epoch", "node", "boot")
_DIGITS_MAX: Final = 20

Address = IPv4Address | IPv6Address


class DnsName(NamedTuple):
    """A name, and where it is kept."""

    name: str
    """Without a dot at its end, such as ``pam.example.com``."""
    zone: str
    ttl_s: int
    server: str
    port: int

    @property
    def mark_name(self) -> str:
        """Where the mark stands."""
        return f"{MARK_LABEL}.{self.name}"

    @property
    def where(self) -> str:
        """The name server, for people."""
        return f"{self.server} port {self.port}"


class Mark(NamedTuple):
    """Who wrote the addresses of the name."""

    cluster: str
    epoch: int
    node: str
    boot: str
    """The boot id of the process: no other leader of this epoch has it."""
    since_ms: int = 0
    """When it was written, by the writer's clock, in ms since 1970; 0: not known. For people: it decides nothing."""

    @property
    def text(self) -> str:
        """As it stands in DNS."""
        since = f" since={self.since_ms}" if self.since_ms else ""
        return f"{_WORD} cluster={self.cluster} epoch={self.epoch} node={self.node} boot={self.boot}{since}"


def mark_of(text: str) -> Mark | None:
    """The mark that ``text`` is; ``None``: it is none of ours."""
    word, *rest = text.split(" ")
    said = dict(part.split("=", 1) for part in rest if "=" in part)
    epoch, since = said.get("epoch", ""), said.get("since", "")
    if word != _WORD or any(not said.get(name) for name in _FIELDS) or not _is_number(epoch):
        return None
    return Mark(said["cluster"], int(epoch), said["node"], said["boot"], int(since) if _is_number(since) else 0)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _DIGITS_MAX


def why_not(found: tuple[str, ...], own: Mark) -> str:
    """Why ``own`` may not be written over the texts that stand there; empty where it may."""
    for text in found:
        mark = mark_of(text)
        if mark is None:
            return f"it has a text that no leader wrote: {text[:60]!r}"
        if mark.cluster != own.cluster:
            return f"it belongs to the cluster {mark.cluster}: its node {mark.node} wrote it at epoch {mark.epoch}"
        if mark.epoch > own.epoch:
            return f"{mark.node} wrote it at epoch {mark.epoch}, which is above {own.epoch}, at which {own.node} leads"
        if mark.epoch == own.epoch and mark.boot != own.boot:
            return f"another process ({mark.node}) wrote it at epoch {mark.epoch}, at which {own.node} leads"
    return ""


class Seen(NamedTuple):
    """What the name server has."""

    marks: tuple[str, ...]
    addresses: frozenset[Address]
    ttls: frozenset[int]
    """Of the addresses."""

    def is_as(self, name: DnsName, mark: Mark, addresses: frozenset[Address]) -> bool:
        """Return whether nothing is left to write."""
        found = self.mark
        is_own = found is not None and found._replace(since_ms=mark.since_ms) == mark
        return is_own and self.addresses == addresses and self.ttls == {name.ttl_s}

    @property
    def mark(self) -> Mark | None:
        """The one mark that stands there; ``None``: there is none, or something else beside it."""
        return mark_of(self.marks[0]) if len(self.marks) == 1 else None
