"""The lines of a fix as they hold for this host: with the paths and the port of its config, and with the name of
another host where it is Redis's.

The table of codes has the places that packages use, and their unit of systemd. Somebody who pastes a line wants it to
work here; and one that restarts Redis, pasted on a node, would do nothing, or restart another Redis. What it does not
know: what a line means, only which words stand in it.
"""

import re
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from rppam.config.settings import Settings
from rppam.doctor.by_hand import by_hand, has_unit
from rppam.kernel.network import is_this_host

_CONFIG: Final = "/etc/rppam/rppam.config"
_KEYS: Final = "/var/lib/rppam/keys"
_DATA: Final = "/var/lib/rppam"
_PORT: Final = ":7101"
_OF_REDIS: Final = re.compile(r"\b(?:redis\.conf|redis-server|redis-cli|systemctl \w+ redis|-u redis|users\.acl)\b")
_ELSEWHERE: Final = re.compile(r"^(?:there|on \S+):")


class OwnHost(NamedTuple):
    """What stands here in place of what packages use."""

    words: Mapping[str, str]
    redis: str
    """Where Redis runs, when that is another host; empty where it runs here, or at several places."""
    is_by_hand: bool = False
    """No service manager starts the node."""

    @classmethod
    def of(cls, settings: Settings, config: Path) -> "OwnHost":
        """Of the host with this config."""
        words = {
            _CONFIG: str(config),
            _KEYS: str(settings.auth.cluster_key_path.parent),
            _DATA: str(settings.node.data_dir),
            _PORT: f":{settings.api.port}",
        }
        said = settings.redis.connection
        hosts = {endpoint.host for endpoint in said.endpoints} if said is not None else set()
        redis = hosts.pop() if len(hosts) == 1 and not _is_here(hosts) else ""
        return cls(words, redis, is_by_hand=not has_unit(config))

    def fitted(self, fix: str) -> str:
        """A fix, as it holds here."""
        common, *lines = fix.split("\n")
        return "\n".join((common, *map(self._line, lines)))

    def _line(self, line: str) -> str:
        platform, found, rest = line.partition(": ")
        if not found:
            return line
        if _ELSEWHERE.match(rest):  # the paths of this host are not those of another
            return line
        if self.is_by_hand:
            rest = by_hand(rest)
        known = re.compile("|".join(map(re.escape, self.words)))  # the longest stand first
        rest = known.sub(lambda word: self.words[word[0]], rest)
        if self.redis and _OF_REDIS.search(rest):
            rest = f"on {self.redis}: {rest}"
        return f"{platform}: {rest}"


def _is_here(hosts: Iterable[str]) -> bool:
    """Whether one of them is an address of this host. A name that nobody knows is not."""
    for host in hosts:
        if is_this_host(host):
            return True
        with suppress(OSError):
            for family, kind, number, _, place in socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM):
                with suppress(OSError), socket.socket(family, kind, number) as probe:
                    probe.bind(place)
                    return True
    return False
