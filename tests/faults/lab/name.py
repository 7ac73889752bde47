"""A real name server on a host of its own, a client's memory of what it said, and a witness of it.

The client's is what a plain resolver does: it asks for a name, and asks again when the time to live (TTL) of the answer
has passed, no sooner, whether or not anybody answers at the address. The witness asks every few milliseconds, and keeps
all that it was told. One record cannot have two holders at one time, so what it proves is another thing than the
witnesses of an address do: the name followed, in time, and never went back.
"""

import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import dns.exception
import dns.message
import dns.rdatatype

from rppam.cluster.dns.follower import ANSWER_S
from tests.faults.lab.cluster import FaultLab
from tests.faults.lab.net import Host
from tests.faults.lab.wire import Looking
from tests.support.named import KEY, NAME, Named, secret_of

PORT: Final = 53
NAMED_WITHIN_S: Final = ANSWER_S
"""After another node is seen to lead the name has to point to it within this time: that of one round of its leader."""
_EVERY_S: Final = 0.02
_HEARD_S: Final = 1.0
_TRIES: Final = 3


class NamedOn(Named):
    """BIND on a host of the lab."""

    def __init__(self, host: Host, folder: Path) -> None:
        self.host, self.address = host, host.address
        super().__init__(folder, port=PORT)

    def _run(self, command: list[str], log: Path) -> "subprocess.Popen[bytes]":
        return self.host.start(command, log)

    def _reached(self) -> socket.socket:
        return self.host.connect(self.address, self.port, 2.0)


def name_server(lab: FaultLab, folder: Path) -> NamedOn:
    """A running one that the nodes of the lab, which do not run yet, are told of: each has a record of its own host."""
    server = NamedOn(lab.net.add("names"), folder)
    server.start()
    for node in lab.nodes:
        file = node.folder / "tsig.key"
        file.write_text(secret_of(KEY))
        file.chmod(0o600)
        node.config["dns"] = {
            "name": NAME, "server": server.address, "addresses": [node.host.address],
            "keyName": KEY, "keySecret": {"file": str(file)},
        }  # fmt: skip
    return server


class Said(NamedTuple):
    """One answer of the name server."""

    at_ns: int
    addresses: tuple[str, ...]
    ttl_s: int


class Asker:
    """Asks the name server from a host, by UDP as resolvers do."""

    def __init__(self, host: Host, server: str) -> None:
        with host.inside():
            self._link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._link.settimeout(_HEARD_S)
        self._link.connect((server, PORT))

    def ask(self) -> Said:
        """What it says now. OSError where it says nothing."""
        for _ in range(_TRIES):
            query = dns.message.make_query(NAME, dns.rdatatype.A)
            with suppress(TimeoutError, dns.exception.DNSException):
                self._link.send(query.to_wire())
                answer = dns.message.from_wire(self._link.recv(4_096))
                at_ns = time.monotonic_ns()
                if query.is_response(answer):
                    found = [one for one in answer.answer if one.rdtype == dns.rdatatype.A]
                    addresses = sorted(one.address for rrset in found for one in rrset)
                    return Said(at_ns, tuple(addresses), min((rrset.ttl for rrset in found), default=0))
        raise OSError(f"the name server has not answered for {NAME} {_TRIES} times")

    def close(self) -> None:
        """Close its socket."""
        self._link.close()


class Resolver:
    """What all of a client's connections share: the address of the name, until its time to live is over."""

    def __init__(self, host: Host, server: str) -> None:
        self._asker, self._one_at_a_time = Asker(host, server), threading.Lock()
        self._known = Said(0, (), 0)

    def __call__(self) -> str:
        """The address for a connection that begins now. OSError: nobody says, or there is none."""
        with self._one_at_a_time:
            if time.monotonic_ns() >= self._known.at_ns + self._known.ttl_s * 1_000_000_000:
                self._known = self._asker.ask()
            if not self._known.addresses:
                raise OSError(f"{NAME} has no address")
            return self._known.addresses[0]

    def close(self) -> None:
        """Close its socket."""
        self._asker.close()


class Answers(Looking):
    """The witness: what the name server says, again and again."""

    def __init__(self, host: Host, server: str) -> None:
        super().__init__()
        self._asker = Asker(host, server)
        self.heard = Heard([])

    def stop(self) -> None:
        """End, and close what was asked with."""
        super().stop()
        self._asker.close()

    def _run(self) -> None:
        while not self._over.wait(_EVERY_S):
            with suppress(OSError):
                self.heard.seen.append(self._asker.ask())

    def violations(self) -> list[str]:
        """What must not be, whoever leads."""
        return self.heard.violations()


class Heard(NamedTuple):
    """What the witness was told in one run, in order."""

    seen: list[Said]

    @property
    def ttl_s(self) -> int:
        """For so long others may remember an answer."""
        return max((one.ttl_s for one in self.seen), default=0)

    def named_ns(self, address: str) -> int | None:
        """When the name was first seen to point to it."""
        return next((one.at_ns for one in self.seen if one.addresses == (address,)), None)

    def violations(self) -> list[str]:
        """No address or several at one time, and a name that goes back to where it was."""
        if not self.seen:
            return ["the name server has answered nothing: nothing was witnessed"]
        odd = [one for one in self.seen if len(one.addresses) != 1]
        told = [f"{NAME} pointed to {_shown(odd[0])} at one time, in {len(odd)} answers"] if odd else []
        order: list[str] = []
        for one in self.seen:
            if order[-1:] != [_shown(one)]:
                order.append(_shown(one))
        if len(order) != len(set(order)):
            told.append(f"{NAME} pointed to {', '.join(order)} in turn")
        return told

    def late(self, old: str, new: str, led_ns: int) -> list[str]:
        """Whether it pointed to the leader of before first, and to the next one in time."""
        told = []
        if self.seen and self.seen[0].addresses != (old,):
            told.append(f"{NAME} pointed to {_shown(self.seen[0])} while {old} led")
        behind = [one for one in self.seen if one.at_ns > led_ns + NAMED_WITHIN_S * 1e9 and one.addresses != (new,)]
        if behind:
            late_s = (behind[-1].at_ns - led_ns) / 1e9
            told.append(f"{NAME} pointed to {_shown(behind[-1])} {late_s:.1f} s after {new} was seen to lead")
        return told


def _shown(one: Said) -> str:
    return " and ".join(one.addresses) or "nobody"
