"""Whether all nodes have what must be the same everywhere: settings, licence, release, the vault's master key; who has
the virtual address; and which node answers no requests.

Each node says in its heartbeat what it has: a short digest of each value, and whether the address is on its host. So
every node can tell who differs in what, and says its own value where that helps. What it does not promise: that a value
is right; only that all have the same.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from rppam.catalogue.table import finding
from rppam.cluster.consensus.heartbeat import MemberStatus
from rppam.cluster.health.model import MemberView
from rppam.kernel.finding import Finding
from rppam.kernel.instant import US_PER_MS, US_PER_S, Instant

DIGEST_CHARS: Final = 8
VERSION: Final = "the release of rppam"
ADDRESS: Final = "cluster.virtualIp"
MASTER_KEY: Final = "vault.masterKey"
"""Under this name a node says which master keys it has."""
NO_KEY: Final = "none"
SIGNING_KEYS: Final = "auth.jwtKeysDir"
"""Under this name a node says which signing keys it has."""
SERVES: Final = "serves"
LEADS: Final = "leads"
NO: Final = "no"
"""Said under these two names by a node that answers no requests, and by one that should not lead."""
NOWHERE_S: Final = 5
"""A leader takes the address at once; another node hears of it with the next heartbeat or the one after."""
BEATS: Final = 4
_ALIVE: Final = frozenset((MemberStatus.HEALTHY, MemberStatus.MAINTENANCE))


class HeldKeys(NamedTuple):
    """Which master keys of the vault a node has, by their fingerprints, its own first; and which one is needed."""

    held: tuple[str, ...] = ()
    """Empty: not known yet, so nothing is said of it."""
    needed: str = ""
    """Empty: the vault is empty, or nobody could look."""

    @property
    def is_right(self) -> bool:
        """Whether this node may judge others: it has what the vault needs."""
        return not self.needed or self.needed in self.held


NOT_KNOWN: Final = HeldKeys()


def digests_to_text(values: Mapping[str, str]) -> str:
    """What a node says of its values, by their names, in its heartbeat."""
    return " ".join(f"{name}={_digest(value)}" for name, value in sorted(values.items()))


def digests_from_text(text: str) -> dict[str, str]:
    """The digests by name; what is none is left out."""
    pairs = (part.partition("=") for part in text.split(" "))
    return {name: digest for name, _, digest in pairs if name and digest}


def says_no(text: str, name: str) -> bool:
    """Whether a node says no to ``name`` (``SERVES``, ``LEADS``) in its heartbeat."""
    return digests_from_text(text).get(name) == NO


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()[:DIGEST_CHARS]


class Agreement:
    """What one node makes of what the others say."""

    def __init__(
        self,
        node: str,
        values: Mapping[str, str],
        address: str,
        heartbeat_ms: int,
        keys: Callable[[], HeldKeys] = HeldKeys,
        keeps: Callable[[], Mapping[str, str]] = dict,
        says: Callable[[], Iterable[tuple[str, str]]] = tuple,
    ) -> None:
        """``values``: this node's own, by name. ``address``: the virtual one; empty where there is none. ``keys``:
        which master keys this node has now. ``keeps``: what may change of that which must be the same everywhere.
        ``says``: what else it says of itself, by name."""
        self._node, self._values, self._address, self._keys = node, values, address, keys
        self._keeps, self._says = keeps, says
        self._apart_since: Instant | None = None
        """Since when others have had other signing keys."""
        self._patience_us = max(NOWHERE_S * US_PER_S, BEATS * heartbeat_ms * US_PER_MS)
        self._odd_since: Instant | None = None
        self._text: Final = digests_to_text(values)

    @property
    def text(self) -> str:
        """For this node's heartbeat."""
        if not self._values:
            return self._text
        held, keeps = self._keys().held, self._keeps()
        keys = (f"{MASTER_KEY}={','.join(map(_digest, held))}",) if held else ()
        kept = (digests_to_text(keeps),) if keeps else ()
        return " ".join((self._text, *keys, *kept, *(f"{name}={value}" for name, value in self._says())))

    def findings(
        self, members: Sequence[MemberView], said: Mapping[str, str], leader: str | None, now: Instant
    ) -> tuple[Finding, ...]:
        """``said``: what living members say of their values, by their names; this node's own is left out or ignored."""
        return (
            *self._drift(members, said),
            *self._key_findings(said),
            *self._signing_findings(said, now),
            *self._serving_findings(said),
            *self._address_findings(members, leader, now),
        )

    def _drift(self, members: Iterable[MemberView], said: Mapping[str, str]) -> Iterator[Finding]:
        theirs = {name: digests_from_text(text) for name, text in said.items() if name != self._node and text}
        mine = digests_from_text(self._text)
        told = []
        for name in sorted(mine):
            found = {self._node: mine[name]} | {node: one[name] for node, one in theirs.items() if name in one}
            if len(set(found.values())) > 1:
                told.append(f"{name}: {self._camps(found, self._values[name])}")
        if told:
            yield finding("RD-909", "; ".join(told))
        versions = {one.node: one.version for one in members if one.version and one.status in _ALIVE}
        if len(set(versions.values())) > 1:
            yield finding("RD-910", ", ".join(f"{node} {version}" for node, version in sorted(versions.items())))

    def _key_findings(self, said: Mapping[str, str]) -> Iterator[Finding]:
        """Which other nodes lack the vault's master key. A node that lacks it says so itself, and judges nobody."""
        keys = self._keys()
        if not keys.held or not keys.is_right:
            return
        ours = [_digest(one) for one in keys.held]
        wrong = []
        for name, text in sorted(said.items()):
            theirs = digests_from_text(text).get(MASTER_KEY, "").split(",")
            if name == self._node or theirs == [""]:
                continue
            fits = _digest(keys.needed) in theirs if keys.needed else theirs[0] in ours or ours[0] in theirs
            if not fits:
                has = "has none" if theirs == [_digest(NO_KEY)] else "has another one"
                wrong.append(f"{name} {has}")
        if wrong:
            here = f"the vault needs {keys.needed}" if keys.needed else f"{self._node} has {keys.held[0]}"
            yield finding("RD-956", f"{here}; {', '.join(wrong)}")

    def _signing_findings(self, said: Mapping[str, str], now: Instant) -> Iterator[Finding]:
        """Who has other signing keys, once that lasts: nodes notice a new file one by one."""
        own = self._keeps().get(SIGNING_KEYS)
        theirs = {name: digests_from_text(text).get(SIGNING_KEYS) for name, text in said.items() if name != self._node}
        found = {name: digest for name, digest in theirs.items() if digest}
        if own is None or set(found.values()) <= {_digest(own)}:
            self._apart_since = None
            return
        self._apart_since = now if self._apart_since is None else self._apart_since
        if now - self._apart_since >= self._patience_us:
            yield finding("RD-642", self._camps({self._node: _digest(own), **found}, own))

    def _serving_findings(self, said: Mapping[str, str]) -> Iterator[Finding]:
        """Which other nodes answer no requests. This node's own answer is that somebody reads it."""
        silent = [name for name, text in sorted(said.items()) if name != self._node and says_no(text, SERVES)]
        if silent:
            yield finding("RD-707", f"{', '.join(silent)}: none of its API workers runs, as it says itself")

    def _camps(self, found: Mapping[str, str], own: str) -> str:
        """Who has the same as whom; this node's own value is said."""
        camps: dict[str, list[str]] = {}
        for node, digest in sorted(found.items()):
            camps.setdefault(digest, []).append(node)
        with_me = camps.pop(found[self._node])
        others = "; ".join(f"{', '.join(nodes)} {_has(nodes)} another value" for nodes in camps.values())
        return f"{', '.join(with_me)} {_has(with_me)} {own or 'none'}; {others}"

    def _address_findings(self, members: Iterable[MemberView], leader: str | None, now: Instant) -> Iterator[Finding]:
        alive = [one for one in members if one.status in _ALIVE]
        odd = _odd_address(self._address, alive, leader) if self._address else ""
        if not odd:
            self._odd_since = None
            return
        self._odd_since = now if self._odd_since is None else self._odd_since
        if now - self._odd_since >= self._patience_us:
            yield finding("RD-632", odd)


def _odd_address(address: str, alive: Sequence[MemberView], leader: str | None) -> str:
    """Why the address is not where it should be; empty where it is, where nobody leads, and where that is not known."""
    holders = [one.node for one in alive if one.has_virtual_ip]
    if len(holders) > 1:
        return f"{address} is on the hosts of {', '.join(holders)}"
    lead = next((one for one in alive if one.node == leader), None)
    if holders:
        return f"{address} is on the host of {holders[0]}, and {leader} leads" if lead and holders[0] != leader else ""
    if lead is None:
        return ""
    if lead.has_virtual_ip is False:
        return f"{address} is on no host: {lead.node} leads and does not have it; its own health says why"
    # A release that says nothing of the address says nothing of its settings, either.
    return f"{address} is on no host: {lead.node} leads and has no {ADDRESS} in its config" if lead.says_config else ""


def _has(nodes: Sequence[str]) -> str:
    return "has" if len(nodes) == 1 else "have"
