"""An event of the ledger, and the one text of it that is hashed.

The text is canonical JSON (RFC 8785 as far as our values go: sorted names, no blanks, integers and strings alone). What
is personal is in it only as a salted commitment, ``ref``; the words stand in a table beside it. So they can be erased,
and every proof goes on to hold. Among the details that is what is marked as a :class:`Word`; the body names these under
``committed``, which a body without any does not have. Pure.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

from rppam.ledger.merkle import leaf_hash

VERSION: Final = 1
FIRST: Final = ""
"""What stands before the first event of a writer."""


class Outcome(StrEnum):
    """What became of an act."""

    SUCCESS = "success"
    FAILURE = "failure"


class Entity(NamedTuple):
    """What an act is done to."""

    kind: str
    id: str = ""
    name: str = ""


class Word(str):
    """What tells of a person, such as a name, as the value of a detail: the event has a commitment to it alone.

    A list of details may consist of them. Erasing forgets it by the whole word, so it should be nothing but that.
    """

    __slots__ = ()


class Link(NamedTuple):
    """An event's place in the chain of its writer: one connection of one process to the database."""

    writer: str
    number: int
    previous: str
    """The hash of the writer's event before it, in hexadecimal digits; :data:`FIRST` for none."""


class Remains(NamedTuple):
    """What stays of an event whose text was pruned."""

    hash: str
    """Of the leaf, in hexadecimal digits."""
    writer: str
    number: int
    batch: int
    """With which others it was pruned."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event as it is read back."""

    text: str
    """The canonical text; empty where only ``remains`` are left."""
    index: int | None
    """Its place in the tree; ``None`` until it is integrated."""
    words: Mapping[str, str]
    """What the commitments stand for, as far as it was not erased: by ref."""
    remains: Remains | None = None
    noted: str = ""
    """The hash that stands beside the text in the database; empty: none does, as in a bundle."""

    @property
    def body(self) -> dict[str, Any]:
        """The text, parsed."""
        body: dict[str, Any] = json.loads(self.text)
        return body

    @property
    def hash(self) -> bytes:
        """The leaf's hash."""
        return leaf_hash(self.text.encode()) if self.remains is None else bytes.fromhex(self.remains.hash)

    def document(self) -> dict[str, Any]:
        """The event for people and scripts, with the words in place of the refs where they are known."""
        body = self.body
        actor, target = dict(body["actor"]), dict(body["object"])
        for part, name in ((actor, "name"), (actor, "address"), (target, "name")):
            part[name] = self.words.get(part[name], "") if part.get(name) else ""
        details = dict(body["details"])
        for name in body.get("committed", ()):
            details[name] = self._said(details[name])
        return {
            "id": body["id"],
            "index": self.index,
            "time": body["time"],
            "action": body["action"],
            "actor": actor,
            "object": target,
            "outcome": body["outcome"],
            "reason": body["reason"],
            "node": body["node"],
            "epoch": body["epoch"],
            "request": body["request"],
            "details": details,
        }

    def _said(self, committed: str | list[str]) -> str | list[str]:
        if isinstance(committed, list):
            return [self.words.get(one, "") for one in committed]
        return self.words.get(committed, "")


def canonical(body: Mapping[str, Any]) -> str:
    """The one text of a body. ValueError for what has more than one: a float."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_refused)


def commitment(salt: bytes, word: str) -> str:
    """What stands for ``word`` in an event."""
    digest = hashlib.sha256(salt + word.encode("utf-8", "surrogatepass")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def refs_of(body: Mapping[str, Any]) -> set[str]:
    """The commitments in an event's body."""
    found = {body["actor"]["name"], body["actor"]["address"], body["object"]["name"]}
    for name in body.get("committed", ()):
        committed = body["details"][name]
        found |= set(committed) if isinstance(committed, list) else {committed}
    return found - {""}


def _refused(value: object) -> object:
    raise ValueError(f"expected strings, integers, lists and objects, found {type(value).__name__}")
