"""The name server: what it has of the name, and one update of it, each signed with TSIG.

By TCP, with one connection for all questions of a round: a server that is not there says so at once, and nothing is
sent twice. Decides which error an answer is; an answer that is not signed with the key counts as none, whatever it
says. What it does not promise: an end. Callers set the limit.
"""

import asyncio
import base64
from collections.abc import Iterable
from ipaddress import ip_address
from types import TracebackType
from typing import Final, NamedTuple, Self

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.tsig
import dns.update

from rppam.cluster.dns.errors import (
    ClocksDiffer,
    DnsError,
    KeyNotTaken,
    NameServerFailed,
    NameTaken,
    NoNameServer,
    UpdateRefused,
    WrongZone,
)
from rppam.cluster.dns.model import Address, DnsName, Mark, Seen
from rppam.kernel.network import connected

ADDRESS_TYPES: Final = (dns.rdatatype.A, dns.rdatatype.AAAA)
_ALGORITHM: Final = {
    "hmac-sha256": dns.tsig.HMAC_SHA256,
    "hmac-sha384": dns.tsig.HMAC_SHA384,
    "hmac-sha512": dns.tsig.HMAC_SHA512,
}
_REFUSALS: Final[dict[dns.rcode.Rcode, type[DnsError]]] = {
    dns.rcode.REFUSED: UpdateRefused,
    dns.rcode.NOTAUTH: WrongZone,
    dns.rcode.NOTZONE: WrongZone,
    dns.rcode.NOTIMP: WrongZone,
}
NO_SUCH: Final = ("0.0.0.0", "::", "rppam trial")
"""Records that are never there: to delete them changes nothing, and asks for the same rights as a change."""


class TsigKey(NamedTuple):
    """What messages are signed with."""

    name: str
    algorithm: str
    secret: bytes

    @property
    def made(self) -> dns.tsig.Key:
        """For the library."""
        text = base64.b64encode(self.secret).decode()
        return dns.tsig.Key(self.name, text, _ALGORITHM[self.algorithm])


class NameServer:
    """One connection to it: ``async with NameServer(name, key) as server``. Everything raises DnsError."""

    def __init__(self, name: DnsName, key: TsigKey) -> None:
        self._name, self._key = name, key
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._owner = dns.name.from_text(name.name)
        self._mark_owner = dns.name.from_text(name.mark_name)

    async def __aenter__(self) -> Self:
        try:
            with await connected(self._name.server, self._name.port) as plug:
                self._streams = await asyncio.open_connection(sock=plug.dup())
        except OSError as error:
            raise self._silent(error) from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._streams is not None:
            self._streams[1].close()

    async def seen(self) -> Seen:
        """What it has now."""
        marks: list[str] = []
        for rrset in await self._ask(self._mark_owner, dns.rdatatype.TXT):
            marks += [b"".join(one.strings).decode("utf-8", "backslashreplace") for one in rrset]
        addresses: set[Address] = set()
        ttls: set[int] = set()
        for kind in ADDRESS_TYPES:
            for rrset in await self._ask(self._owner, kind):
                addresses |= {ip_address(one.address) for one in rrset}
                ttls.add(rrset.ttl)
        return Seen(tuple(sorted(marks)), frozenset(addresses), frozenset(ttls))

    async def put(self, mark: Mark, addresses: Iterable[Address], over: tuple[str, ...]) -> bool:
        """Replace mark and addresses in one update, if the marks are still ``over``. Return whether it was done: else
        somebody else has written meanwhile."""
        update, owner, mark_owner = self._update(), self._owner, self._mark_owner
        update.absent(owner, dns.rdatatype.CNAME)  # the server would silently ignore the addresses beside one
        if over:
            update.present(mark_owner, *(_text(one) for one in over))
        else:
            update.absent(mark_owner, dns.rdatatype.TXT)
        update.replace(mark_owner, self._name.ttl_s, _text(mark.text))
        for kind in ADDRESS_TYPES:
            update.delete(owner, kind)
        for one in sorted(addresses, key=str):
            update.add(owner, self._name.ttl_s, "A" if one.version == 4 else "AAAA", str(one))
        rcode = (await self._exchange(update)).rcode()
        if rcode == dns.rcode.YXRRSET and await self._is_alias():
            raise NameTaken(f"{self._name.name}: it is an alias (CNAME), beside which there can be no address.")
        if rcode in {dns.rcode.YXRRSET, dns.rcode.NXRRSET}:
            return False
        self._judge(rcode)
        return True

    async def try_out(self) -> None:
        """Ask for an update that changes nothing, to see whether one that does would be taken."""
        update = self._update()
        for owner, kind, text in (
            (self._owner, "A", NO_SUCH[0]),
            (self._owner, "AAAA", NO_SUCH[1]),
            (self._mark_owner, "TXT", f'"{NO_SUCH[2]}"'),
        ):
            update.delete(owner, dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.from_text(kind), text))
        self._judge((await self._exchange(update)).rcode())

    # ---- the protocol -----------------------------------------------------------------------------------------------

    def _update(self) -> dns.update.UpdateMessage:
        return dns.update.UpdateMessage(self._name.zone)

    async def _is_alias(self) -> bool:
        return bool(await self._ask(self._owner, dns.rdatatype.CNAME))

    async def _ask(self, owner: dns.name.Name, kind: dns.rdatatype.RdataType) -> list[dns.rrset.RRset]:
        query = dns.message.make_query(owner, kind)
        query.flags &= ~dns.flags.RD
        answer = await self._exchange(query)
        if answer.rcode() != dns.rcode.NXDOMAIN:
            self._judge(answer.rcode())
        if not answer.flags & dns.flags.AA:
            raise WrongZone(f"{self._name.where}: it has {owner} from elsewhere. {WrongZone.row.remedy}")
        return [one for one in answer.answer if one.rdtype == kind and one.name == owner]

    async def _exchange(self, message: dns.message.Message) -> dns.message.Message:
        """Send one message, signed, and return its answer, which is."""
        assert self._streams is not None, "not connected"
        reader, writer = self._streams
        message.use_tsig(self._key.made)
        wire = message.to_wire()
        try:
            writer.write(len(wire).to_bytes(2, "big") + wire)
            await writer.drain()
            said = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        except (OSError, EOFError) as error:
            raise self._silent(error) from None
        try:
            unproven = dns.message.from_wire(said, keyring=False)
            if not unproven.had_tsig:
                self._judge(unproven.rcode())  # of a failure nobody needs proof
                raise self._not_taken("its answer is not signed")
            answer = dns.message.from_wire(said, keyring=message.keyring, request_mac=message.mac)
        except dns.tsig.PeerBadTime:
            raise ClocksDiffer(f"{self._name.where}: BADTIME. {ClocksDiffer.row.remedy}") from None
        except dns.tsig.BadTime:
            raise ClocksDiffer(f"{self._name.where}: its answer has another time. {ClocksDiffer.row.remedy}") from None
        except (dns.tsig.PeerError, dns.tsig.BadSignature, dns.tsig.BadKey, dns.tsig.BadAlgorithm) as error:
            raise self._not_taken(_WORDS.get(type(error), "its answer is not signed with this key")) from None
        except dns.message.UnknownTSIGKey:
            raise self._not_taken("its answer is signed with another key") from None
        except dns.exception.DNSException as error:
            told = f"{self._name.where}: what answers there speaks no DNS ({type(error).__name__})."
            raise NoNameServer(f"{told} {NoNameServer.row.remedy}") from None
        if not message.is_response(answer):
            raise NoNameServer(f"{self._name.where}: it answered another question. {NoNameServer.row.remedy}")
        return answer

    def _judge(self, rcode: dns.rcode.Rcode) -> None:
        if rcode == dns.rcode.NOERROR:
            return
        kind = _REFUSALS.get(rcode, NameServerFailed)
        raise kind(
            f"{self._name.where}: it answers {dns.rcode.to_text(rcode)} for {self._name.name} in the zone "
            f"{self._name.zone}. {kind.row.meaning} {kind.row.remedy}"
        )

    def _not_taken(self, why: str) -> KeyNotTaken:
        key = f"the key {self._key.name} ({self._key.algorithm})"
        return KeyNotTaken(f"{self._name.where}: {why} for {key}. {KeyNotTaken.row.remedy}")

    def _silent(self, error: Exception) -> NoNameServer:
        why = (
            "it hung up" if isinstance(error, EOFError) else getattr(error, "strerror", "") or str(error) or "no answer"
        )
        return NoNameServer(f"{self._name.where}: {why}. {NoNameServer.row.remedy}")


_WORDS: Final[dict[type[Exception], str]] = {
    dns.tsig.PeerBadKey: "it answers BADKEY",
    dns.tsig.PeerBadSignature: "it answers BADSIG",
    dns.tsig.PeerBadTruncation: "it answers BADTRUNC",
}


def _text(text: str) -> dns.rdata.Rdata:
    words = " ".join(f'"{part}"' for part in _strings(text))
    return dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.TXT, words)


def _strings(text: str) -> list[str]:
    return [text[start : start + 255] for start in range(0, len(text), 255)]
