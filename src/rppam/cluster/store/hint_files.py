"""Small files in the data directory that are hints and nothing more: one that cannot be read or understood is none.

They carry no secret, and no start depends on them. Calls may block for as long as the disk does.
"""

import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rppam.cluster.consensus.heartbeat import Heartbeat
from rppam.cluster.consensus.membership import MEMBERS_MAX
from rppam.cluster.errors import PromiseFileUnwritable
from rppam.config.endpoint import NotAnEndpointError, parse_endpoint

ADDRESSES_FILE: Final = "members.json"
LIVES_FILE: Final = "lives.json"
VOUCH_FILE: Final = "vouch.json"
BYTES_MAX: Final = 64 * 1024
LIVES_MAX: Final = 32
_BOOT_ID: Final = re.compile(r"[0-9a-f]{16}")
_VOUCH: Final = re.compile(r"[0-9a-f]{16,64}")
_log: Final = logging.getLogger("rppam.node")


class AddressBook:
    """Where the other members were last found, so that a whole cluster can start while Redis is away.

    The member link proves who answers at an address.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> Mapping[str, str]:
        """Return ``host:port`` by member. Raises nothing."""
        tree = _read(self.path)
        if not isinstance(tree, dict) or len(tree) > MEMBERS_MAX:
            return {}
        return {name: address for name, address in tree.items() if isinstance(address, str) and _is_address(address)}

    def save(self, addresses: Mapping[str, str]) -> None:
        """Replace the file. Raises PromiseFileUnwritable."""
        try:
            _write(self.path, json.dumps(dict(sorted(addresses.items())), indent=2))
        except OSError as error:
            raise PromiseFileUnwritable(
                f"{self.path}: expected to note where the members are, found: {error.strerror}. Make room there, or "
                "let the account that runs rppam own the directory"
            ) from None


class FormerLives:
    """The boot ids of the processes that used this data directory before.

    A late heartbeat of one of them is no sign of another node of this name. A copy of the data directory on another
    host remembers the lives of the original, too: so only those count that ran on this host, by its name.
    """

    def __init__(self, path: Path, hostname: str) -> None:
        self._path = path
        self._hostname = hostname
        self._lives: tuple[str, ...] = ()

    def begin(self, boot_id: str) -> None:
        """Read them, and remember this one for the processes to come. Raises nothing."""
        found = _read(self._path)
        lives = [life for life in found[-LIVES_MAX:] if isinstance(life, str)] if isinstance(found, list) else []
        self._lives = tuple(life for life in lives if _BOOT_ID.fullmatch(life) and life != boot_id)
        try:
            _write(self._path, json.dumps([*self._lives, boot_id][-LIVES_MAX:]))
        except OSError as error:
            _log.warning(
                "%s: expected to note this process there, found: %s. Late heartbeats of this process may keep the next "
                "one waiting for some seconds; make room there, or let the account that runs rppam own it",
                self._path,
                error.strerror,
            )

    def has(self, heartbeat: Heartbeat) -> bool:
        return heartbeat.boot_id in self._lives and heartbeat.hostname == self._hostname


class VouchNote:
    """A node's word for the list of members that a witness has, for the process that comes after this one."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> tuple[str, str]:
        """Return the list and the word for it; empty where there is none. Raises nothing."""
        tree = _read(self._path)
        text, vouch = (tree.get("members"), tree.get("vouch")) if isinstance(tree, dict) else ("", "")
        if not isinstance(text, str) or not isinstance(vouch, str) or not _VOUCH.fullmatch(vouch):
            return "", ""
        return text, vouch

    def save(self, text: str, vouch: str) -> None:
        """Replace the file. Raises nothing: without it, nodes go by what other nodes say."""
        try:
            _write(self._path, json.dumps({"members": text, "vouch": vouch}))
        except OSError as error:
            _log.warning(
                "%s: expected to keep a node's word for the list of members there, found: %s. Make room there, or let "
                "the account that runs rppam own it",
                self._path,
                error.strerror,
            )


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            return json.loads(file.read(BYTES_MAX))
    except (OSError, ValueError, RecursionError):
        return None


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(f"{text}\n", encoding="ascii")
    part.replace(path)


def _is_address(text: str) -> bool:
    try:
        parse_endpoint(text)
    except NotAnEndpointError:
        return False
    return True
